"""The encoder-decoder Transformer of Vaswani et al. 2017."""

from typing import Any

from ..backend import random_generator, to_device, to_numpy
from ..module import Parameter
from .decoding import DecodingState
from .fields import ConfigError
from .heads import LanguageModelHead, SequenceClassifier
from .inputs import InputEmbedding, check_inputs
from .masks import causal_mask, padding_mask
from .model import Model
from .stack import Decoder, Encoder


class EncoderDecoder(Model):
    """Reads a source sequence, writes a target sequence.

    The encoder turns the source into a memory, (B, S, d). The decoder predicts each target token from the tokens
    before it (look-ahead mask) and from the memory (cross-attention).
    """

    def __init__(self, config, seed=0):
        """config: a Config. seed: of the initial weights, the same on every backend."""
        rng = random_generator(seed)
        self.config = config
        self.source = InputEmbedding(config, config.vocab_size, rng=rng)
        shared = self.source.tokens if config.share_encoder_decoder_embeddings else None
        self.target = InputEmbedding(config, config.target_vocab_size, shared, rng=rng)
        self.encoder = Encoder(config, rng)
        self.decoder = Decoder(config, rng)
        self.head: Any = None
        if config.head in ("auto", "seq2seq_lm"):
            table = self.target.tokens.weight
            if not config.tie_word_embeddings:
                shape = (config.target_vocab_size, config.d_model)
                table = Parameter(to_device(rng.normal(0, config.d_model**-0.5, shape), config.dtype))
            self.head = LanguageModelHead(config, table)
        elif config.head == "sequence_classification":
            self.head = SequenceClassifier(config, rng)
        elif config.head != "none":
            raise ConfigError(
                f"EncoderDecoder has no head {config.head!r}: choose seq2seq_lm or sequence_classification"
            )

    def forward(
        self, input_ids, decoder_input_ids, attention_mask=None, decoder_attention_mask=None, rng=None, save=True
    ):
        """Predict, at each target position, the token that follows (teacher forcing: the true ones before are given).

        input_ids: (B, S), decoder_input_ids: (B, T), integers → logits: (B, T, V)
        With head "sequence_classification" → (B, num_labels), with "none" → (B, T, d)
        attention_mask: (B, S), decoder_attention_mask: (B, T): 1 where there is a real token; None: everywhere
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        B, T = check_inputs(decoder_input_ids, decoder_attention_mask, "decoder_")
        mask = causal_mask(T)
        if decoder_attention_mask is not None:
            mask = mask & padding_mask(decoder_attention_mask)
        memory, memory_mask, saved_encoder = self._encode(input_ids, attention_mask, rng, B, save)
        x, saved_target = self.target.forward(decoder_input_ids, rng)  # (B, T, d)
        y, saved_decoder = self.decoder.forward(x, memory, mask, memory_mask, rng, save=save)
        if self.head is None:
            return y, (saved_encoder, saved_target, saved_decoder, None)
        # where a classifier pools: its decoder reads the source once more, shifted right (Lewis et al. 2020, fig. 3a)
        ends = input_ids == self.config.eos_token_id  # (B, S)
        logits, saved_head = self.head.forward(y, ends)  # (B, T, V)
        return logits, (saved_encoder, saved_target, saved_decoder, saved_head)

    def backward(self, dlogits, saved):
        """dlogits: (B, T, V). Adds to every parameter's gradient; the inputs are integers, so returns None."""
        (saved_source, saved_stack), saved_target, saved_decoder, saved_head = saved
        dy = dlogits if self.head is None else self.head.backward(dlogits, saved_head)  # (B, T, d)
        dx, dmemory = self.decoder.backward(dy, saved_decoder)
        self.target.backward(dx, saved_target)
        self.source.backward(self.encoder.backward(dmemory, saved_stack), saved_source)

    def attention_weights(self, saved):
        """The attention weights of a forward pass, {"encoder": ..., "decoder": ..., "cross": ...}: for each a list
        with one array (B, H, queries, keys) a block."""
        (_, saved_stack), _, saved_decoder, _ = saved
        own, cross = self.decoder.attention_weights(saved_decoder)
        return {"encoder": self.encoder.attention_weights(saved_stack), "decoder": own, "cross": cross}

    # --- generation, one token at a time

    def start(self, input_ids, attention_mask=None):
        """Encode the source once. → (the ids to go on from: the start token of each sequence, the state that step
        needs: the memory, and empty key/value caches)"""
        if not isinstance(self.head, LanguageModelHead):
            raise ConfigError(f"a model with head {self.config.head!r} writes nothing: its head must be seq2seq_lm")
        memory, memory_mask, _ = self._encode(input_ids, attention_mask, save=False)
        ids = to_numpy([[self.config.decoder_start_token_id]] * len(memory))  # (B, 1)
        return ids, DecodingState(memory, memory_mask, self.decoder.new_caches())

    def step(self, ids, state):
        """Read the next target tokens.  ids: (B, T), usually T = 1 → logits of the token that follows: (B, V)"""
        T, seen = ids.shape[1], state.length
        x, _ = self.target.forward(ids, offset=seen)  # (B, T, d)
        mask = causal_mask(T, seen + T) if T > 1 else None
        y, _ = self.decoder.forward(x, state.memory, mask, state.memory_mask, caches=state.caches, save=False)
        state.length += T
        return self.head(y[:, -1])  # (B, V)

    def _encode(self, input_ids, attention_mask, rng=None, batch=None, save=True):
        check_inputs(input_ids, attention_mask, batch=batch)
        mask = None if attention_mask is None else padding_mask(attention_mask)  # (B, 1, 1, S)
        x, saved_source = self.source.forward(input_ids, rng)  # (B, S, d)
        memory, saved_stack = self.encoder.forward(x, mask, rng, save=save)
        return memory, mask, (saved_source, saved_stack)
