"""The decoder alone: every token sees what came before it (GPT, LLaMA and their family)."""

from typing import Any

from ..backend import Array, random_generator, to_numpy
from ..checks.arrays import check_inputs, check_mask
from ..checks.writing import check_head
from .config import Config
from .decoding import PromptState
from .heads import LanguageModelHead, make_head
from .masks import causal_mask, hide_padding
from .model import Model
from .stack import Stack
from .variants.heads import PooledClassifier, TokenClassifier, Vectors
from .variants.inputs import make_input_embedding, positions_of

HEADS = {
    "causal_lm": LanguageModelHead,
    "sequence_classification": PooledClassifier,
    "token_classification": TokenClassifier,
    "none": Vectors,
}


class DecoderOnly(Model):
    """Predicts the token that follows each token: the blocks of an encoder under a look-ahead mask.

    config.head: "causal_lm" (the default), "sequence_classification" (for which pooling = "last" makes sense),
    "token_classification", or "none": the vectors.
    """

    reads_prompts = True

    def __init__(self, config: Config, seed: Any = 0) -> None:
        """config: a Config; num_decoder_layers blocks. seed: of the initial weights, the same on every backend."""
        super().__init__("DecoderOnly", HEADS, config)
        rng = random_generator(seed)
        self.embedding = make_input_embedding(config, config.vocab_size, rng=rng)
        self.decoder = Stack(config, config.num_decoder_layers, rng, bidirectional=False)
        self.head = make_head(HEADS, config, self.embedding.tokens.weight, rng)

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        mask: Any = None,
        rng: Any = None,
        save: bool = True,
    ) -> tuple[Array, tuple]:
        """input_ids: (B, T) integers → by head: logits of the token after each, (B, T, V), or (B, num_labels),
        (B, T, num_labels), (B, T, d)

        attention_mask: (B, T), 1 where there is a real token; None: everywhere
        position_ids: (B, T), in place of 0, 1, 2 ...   mask: in place of the look-ahead mask, such as prefix_mask
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        input_ids, attention_mask = check_inputs(input_ids, attention_mask, rng=rng)
        B, T = input_ids.shape
        mask = causal_mask(T) if mask is None else check_mask(mask, (B, self.config.num_heads, T, T))
        mask = hide_padding(attention_mask, mask)
        position_ids = positions_of(position_ids, attention_mask, (B, T), self.config)
        x, saved_embedding = self.embedding.forward(input_ids, rng, position_ids=position_ids)  # (B, T, d)
        y, saved_decoder = self.decoder.forward(x, mask, rng, save=save)
        logits, saved_head = self.head.forward(y, input_ids, attention_mask)  # (B, T, V)
        return logits, (saved_embedding, saved_decoder, saved_head)

    def backward(self, dlogits: Array, saved: tuple) -> None:
        """dlogits: of the shape of forward's output. Adds to every parameter's gradient; returns None."""
        saved_embedding, saved_decoder, saved_head = saved
        dy = self.head.backward(dlogits, saved_head)
        dx = self.decoder.backward(dy, saved_decoder)
        self.embedding.backward(dx, saved_embedding)

    def attention_weights(self, saved: tuple) -> list[Array]:
        """One (B, H, T, T) per block, out of what forward saved."""
        _, saved_decoder, _ = saved
        return self.decoder.attention_weights(saved_decoder)

    # --- generation, one token at a time

    def start(self, input_ids: Any, attention_mask: Any = None) -> tuple[Any, PromptState]:
        """(the ids to go on from: the prompts themselves, the state that step needs)"""
        check_head(isinstance(self.head, LanguageModelHead), self.config.head, "causal_lm")
        input_ids, mask = check_inputs(input_ids, attention_mask)
        return input_ids, PromptState(self.decoder.new_caches(), None if mask is None else to_numpy(mask))

    def step(self, ids: Any, state: PromptState) -> Array:
        """Read the next tokens.  ids: (B, T): the prompts at first, then T = 1 → logits of what follows: (B, V)"""
        ids, _ = check_inputs(ids, None)
        T, seen = ids.shape[1], state.length
        real, positions = state.padding(T)
        mask = hide_padding(real, causal_mask(T, seen + T) if T > 1 else None)
        x = self.embedding(ids, offset=seen, position_ids=positions)  # (B, T, d)
        y = self.decoder(x, mask, caches=state.caches, save=False)
        state.length += T
        return self.head(y[:, -1])  # (B, V)
