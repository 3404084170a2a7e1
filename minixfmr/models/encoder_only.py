"""The encoder alone: every token sees all others (BERT and its family)."""

from typing import Any

from ..backend import random_generator, xp
from .fields import ConfigError
from .heads import MaskedLMHead, SequenceClassifier, TokenClassifier, pool
from .inputs import InputEmbedding, check_inputs
from .masks import padding_mask
from .model import Model
from .stack import Encoder


class EncoderOnly(Model):
    """Reads a sequence both ways, and gives a vector for each token, or what its head makes of them.

    config.head: "masked_lm" (the default), "sequence_classification", "token_classification", or "none": the vectors.
    """

    def __init__(self, config, seed=0):
        """config: a Config; num_encoder_layers blocks. seed: of the initial weights, the same on every backend."""
        rng = random_generator(seed)
        self.config = config
        self.embedding = InputEmbedding(config, config.vocab_size, rng=rng)
        self.encoder = Encoder(config, rng)
        self.head: Any = None
        if config.head in ("auto", "masked_lm"):
            self.head = MaskedLMHead(config, self.embedding.tokens.weight, rng)
        elif config.head == "sequence_classification":
            self.head = SequenceClassifier(config, rng)
        elif config.head == "token_classification":
            self.head = TokenClassifier(config, rng)
        elif config.head != "none":
            raise ConfigError(
                f"head {config.head!r} needs a look-ahead mask, which EncoderOnly has not: use DecoderOnly"
            )

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, rng=None, save=True):
        """input_ids: (B, T) integers → by head: logits (B, T, V), (B, num_labels), (B, T, num_labels), or (B, T, d)

        attention_mask: (B, T), 1 where there is a real token; None: everywhere
        token_type_ids: (B, T) integers, such as 0 for a first and 1 for a second sentence; None: 0
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        y, saved = self._encode(input_ids, attention_mask, token_type_ids, rng, save)  # (B, T, d)
        if self.head is None:
            return y, (*saved, None)
        logits, saved_head = self.head.forward(y, attention_mask)
        return logits, (*saved, saved_head)

    def backward(self, dlogits, saved):
        """dlogits: of the shape of forward's output. Adds to every parameter's gradient; returns None."""
        saved_embedding, saved_encoder, saved_head = saved
        dy = dlogits if self.head is None else self.head.backward(dlogits, saved_head)
        self.embedding.backward(self.encoder.backward(dy, saved_encoder), saved_embedding)

    def attention_weights(self, saved):
        """A list of (B, H, T, T), one a block, out of what forward saved."""
        return self.encoder.attention_weights(saved[1])

    def token_embeddings(self, input_ids, attention_mask=None, token_type_ids=None):
        """The vector of each token in its context, before the head: (B, T, d)."""
        return self._encode(input_ids, attention_mask, token_type_ids, save=False)[0]

    def sentence_embeddings(self, input_ids, attention_mask=None, token_type_ids=None):
        """One vector of length 1 a sentence, the mean over its tokens (Reimers & Gurevych 2019): (B, d)."""
        x = self.token_embeddings(input_ids, attention_mask, token_type_ids)
        s, _ = pool(x, attention_mask, "mean")
        return s / xp.maximum(xp.sqrt((s * s).sum(axis=-1, keepdims=True)), 1e-12)

    def _encode(self, input_ids, attention_mask, token_type_ids, rng=None, save=True):
        check_inputs(input_ids, attention_mask)
        mask = real = None
        if attention_mask is not None:
            mask = padding_mask(attention_mask)  # (B, 1, 1, T)
            real = mask[:, 0, 0, :, None].astype(self.config.dtype)  # (B, T, 1)
        x, saved_embedding = self.embedding.forward(input_ids, rng, token_type_ids=token_type_ids, real=real)
        y, saved_encoder = self.encoder.forward(x, mask, rng, save=save)  # (B, T, d)
        return y, (saved_embedding, saved_encoder)
