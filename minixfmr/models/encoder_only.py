"""The encoder alone: every token sees all others (BERT and its family)."""

from typing import Any

from ..backend import Array, random_generator
from ..checks.arrays import check_inputs, check_types
from .config import Config
from .heads import make_head
from .masks import hide_padding
from .model import Model
from .stack import Stack
from .variants.heads import MaskedLMHead, ReplacedTokenHead, SequenceClassifier, TokenClassifier, Vectors
from .variants.narrow import make_encoder_embedding

HEADS = {
    "masked_lm": MaskedLMHead,
    "sequence_classification": SequenceClassifier,
    "token_classification": TokenClassifier,
    "replaced_tokens": ReplacedTokenHead,
    "none": Vectors,
}


class EncoderOnly(Model):
    """Reads a sequence both ways, and gives a vector for each token, or what its head makes of them.

    config.head: "masked_lm" (the default), "sequence_classification", "token_classification", or "none": the vectors.
    """

    def __init__(self, config: Config, seed: Any = 0) -> None:
        """config: a Config; num_encoder_layers blocks. seed: of the initial weights, the same on every backend."""
        super().__init__("EncoderOnly", HEADS, config)
        rng = random_generator(seed)
        self.embedding = make_encoder_embedding(config, rng)
        self.encoder = Stack(config, config.num_encoder_layers, rng)
        self.head = make_head(HEADS, config, self.embedding.tokens.weight, rng)

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        rng: Any = None,
        save: bool = True,
    ) -> tuple[Array, tuple]:
        """input_ids: (B, T) integers → by head: logits (B, T, V), (B, num_labels), (B, T, num_labels), or (B, T, d)

        attention_mask: (B, T), 1 where there is a real token; None: everywhere
        token_type_ids: (B, T) integers, such as 0 for a first and 1 for a second sentence; None: 0
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        input_ids, attention_mask = check_inputs(input_ids, attention_mask, rng=rng)
        token_type_ids = check_types(token_type_ids, input_ids.shape, self.config)
        mask = hide_padding(attention_mask)  # (B, 1, 1, T) or None
        x, saved_embedding = self.embedding.forward(input_ids, rng, token_type_ids=token_type_ids, mask=mask)
        y, saved_encoder = self.encoder.forward(x, mask, rng, save=save)  # (B, T, d)
        logits, saved_head = self.head.forward(y, input_ids, attention_mask)
        return logits, (saved_embedding, saved_encoder, saved_head)

    def backward(self, dlogits: Array, saved: tuple) -> None:
        """dlogits: of the shape of forward's output. Adds to every parameter's gradient; returns None."""
        saved_embedding, saved_encoder, saved_head = saved
        dy = self.head.backward(dlogits, saved_head)
        dx = self.encoder.backward(dy, saved_encoder)
        self.embedding.backward(dx, saved_embedding)

    def attention_weights(self, saved: tuple) -> list[Array]:
        """One (B, H, T, T) per block, out of what forward saved."""
        _, saved_encoder, _ = saved
        return self.encoder.attention_weights(saved_encoder)
