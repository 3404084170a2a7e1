"""The decoder alone: every token sees what came before it (GPT, LLaMA and their family)."""

from typing import Any

from ..backend import random_generator, to_device, to_numpy
from ..module import Parameter
from .decoding import PromptState
from .fields import ConfigError
from .heads import LanguageModelHead, PooledClassifier, TokenClassifier
from .inputs import InputEmbedding, check_inputs
from .masks import causal_mask, padding_mask
from .model import Model
from .stack import Encoder


class DecoderOnly(Model):
    """Predicts the token that follows each token: the blocks of an encoder under a look-ahead mask.

    config.head: "causal_lm" (the default), "sequence_classification" (for which pooling = "last" makes sense),
    "token_classification", or "none": the vectors.
    """

    reads_prompts = True

    def __init__(self, config, seed=0):
        """config: a Config; num_decoder_layers blocks. seed: of the initial weights, the same on every backend."""
        rng = random_generator(seed)
        self.config = config
        self.embedding = InputEmbedding(config, config.vocab_size, rng=rng)
        self.decoder = Encoder(config, rng, config.num_decoder_layers, bidirectional=False)
        self.head: Any = None
        if config.head in ("auto", "causal_lm"):
            table = self.embedding.tokens.weight
            if not config.tie_word_embeddings:
                values = rng.normal(0, config.d_model**-0.5, (config.vocab_size, config.d_model))
                table = Parameter(to_device(values, config.dtype))
            self.head = LanguageModelHead(config, table)
        elif config.head == "sequence_classification":
            self.head = PooledClassifier(config, rng)
        elif config.head == "token_classification":
            self.head = TokenClassifier(config, rng)
        elif config.head != "none":
            raise ConfigError(f"DecoderOnly has no head {config.head!r}, which looks both ways: use EncoderOnly")

    def forward(self, input_ids, attention_mask=None, position_ids=None, mask=None, rng=None, save=True):
        """input_ids: (B, T) integers → by head: logits of the token after each, (B, T, V), or (B, num_labels),
        (B, T, num_labels), (B, T, d)

        attention_mask: (B, T), 1 where there is a real token; None: everywhere
        position_ids: (B, T), in place of 0, 1, 2 ...   mask: in place of the look-ahead mask, such as prefix_mask
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        _, T = check_inputs(input_ids, attention_mask)
        mask = causal_mask(T) if mask is None else to_device(mask)
        if attention_mask is not None:
            mask = mask & padding_mask(attention_mask)
        x, saved_embedding = self.embedding.forward(input_ids, rng, position_ids=position_ids)
        y, saved_decoder = self.decoder.forward(x, mask, rng, save=save)  # (B, T, d)
        if self.head is None:
            return y, (saved_embedding, saved_decoder, None)
        logits, saved_head = self.head.forward(y, attention_mask)
        return logits, (saved_embedding, saved_decoder, saved_head)

    def backward(self, dlogits, saved):
        """dlogits: of the shape of forward's output. Adds to every parameter's gradient; returns None."""
        saved_embedding, saved_decoder, saved_head = saved
        dy = dlogits if self.head is None else self.head.backward(dlogits, saved_head)
        self.embedding.backward(self.decoder.backward(dy, saved_decoder), saved_embedding)

    def attention_weights(self, saved):
        """A list of (B, H, T, T), one a block, out of what forward saved."""
        return self.decoder.attention_weights(saved[1])

    # --- generation, one token at a time

    def start(self, input_ids, attention_mask=None):
        """(the ids to go on from: the prompts themselves, the state that step needs)"""
        if not isinstance(self.head, LanguageModelHead):
            raise ConfigError(f"a model with head {self.config.head!r} writes nothing: its head must be causal_lm")
        check_inputs(input_ids, attention_mask)
        mask = None if attention_mask is None else to_numpy(attention_mask) != 0
        return input_ids, PromptState(self.decoder.new_caches(), mask)

    def step(self, ids, state):
        """Read the next tokens.  ids: (B, T): the prompts at first, then T = 1 → logits of what follows: (B, V)"""
        T, seen = ids.shape[1], state.length
        mask = causal_mask(T, seen + T) if T > 1 else None
        padding, positions = state.padding(T)
        if padding is not None:
            mask = padding if mask is None else mask & padding
        x, _ = self.embedding.forward(ids, offset=seen, position_ids=positions)
        y, _ = self.decoder.forward(x, mask, caches=state.caches, save=False)
        state.length += T
        return self.head(y[:, -1])  # (B, V)
