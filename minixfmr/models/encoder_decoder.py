"""The encoder-decoder Transformer of Vaswani et al. 2017."""

from typing import Any

from ..backend import Array, random_generator, to_numpy
from ..checks.arrays import check_inputs
from ..checks.writing import check_head
from .config import Config
from .decoding import DecodingState
from .heads import LanguageModelHead, make_head
from .masks import causal_mask, hide_padding
from .model import Model
from .stack import DecoderStack, Stack
from .variants.heads import EndClassifier, Vectors
from .variants.inputs import make_input_embedding

HEADS = {"seq2seq_lm": LanguageModelHead, "sequence_classification": EndClassifier, "none": Vectors}


class EncoderDecoder(Model):
    """Reads a source sequence, writes a target sequence.

    The encoder turns the source into a memory, (B, S, d). The decoder predicts each target token from the tokens
    before it (look-ahead mask) and from the memory (cross-attention).
    """

    def __init__(self, config: Config, seed: Any = 0) -> None:
        """config: a Config. seed: of the initial weights, the same on every backend."""
        super().__init__("EncoderDecoder", HEADS, config)
        rng = random_generator(seed)
        self.source = make_input_embedding(config, config.vocab_size, rng=rng)
        shared = self.source.tokens if config.share_encoder_decoder_embeddings else None
        self.target = make_input_embedding(config, config.target_vocab_size, shared, rng=rng)
        self.encoder = Stack(config, config.num_encoder_layers, rng)
        self.decoder = DecoderStack(config, rng)
        self.head = make_head(HEADS, config, self.target.tokens.weight, rng)

    def forward(
        self,
        input_ids: Any,
        decoder_input_ids: Any = None,
        attention_mask: Any = None,
        decoder_attention_mask: Any = None,
        rng: Any = None,
        save: bool = True,
    ) -> tuple[Array, tuple]:
        """Predict, at each target position, the token that follows (teacher forcing: the true ones before are given).

        input_ids: (B, S), decoder_input_ids: (B, T), integers → logits: (B, T, V)
        With head "sequence_classification" → (B, num_labels), with "none" → (B, T, d)
        attention_mask: (B, S), decoder_attention_mask: (B, T): 1 where there is a real token; None: everywhere
        rng: a generator for dropout while training; None in evaluation. save: False where no backward follows
        Raises TypeError or ValueError for ids, masks or shapes that do not fit.
        """
        target_ids, target_real = check_inputs(decoder_input_ids, decoder_attention_mask, "decoder_", rng=rng)
        ids, source_real = check_inputs(input_ids, attention_mask, batch=len(target_ids))
        source_mask = hide_padding(source_real)  # (B, 1, 1, S) or None
        target_mask = hide_padding(target_real, causal_mask(target_ids.shape[1]))  # (B or 1, 1, T, T)
        x, saved_source = self.source.forward(ids, rng)  # (B, S, d)
        memory, saved_encoder = self.encoder.forward(x, source_mask, rng, save=save)
        y, saved_target = self.target.forward(target_ids, rng)  # (B, T, d)
        z, saved_decoder = self.decoder.forward(y, memory, target_mask, source_mask, rng, save=save)
        logits, saved_head = self.head.forward(z, ids)  # (B, T, V)
        return logits, (saved_source, saved_encoder, saved_target, saved_decoder, saved_head)

    def backward(self, dlogits: Array, saved: tuple) -> None:
        """dlogits: (B, T, V). Adds to every parameter's gradient; the inputs are integers, so returns None."""
        saved_source, saved_encoder, saved_target, saved_decoder, saved_head = saved
        dz = self.head.backward(dlogits, saved_head)  # (B, T, d)
        dy, dmemory = self.decoder.backward(dz, saved_decoder)
        self.target.backward(dy, saved_target)
        dx = self.encoder.backward(dmemory, saved_encoder)  # (B, S, d)
        self.source.backward(dx, saved_source)

    def attention_weights(self, saved: tuple) -> dict[str, list[Array]]:
        """The attention weights of a forward pass, {"encoder": ..., "decoder": ..., "cross": ...}: for each a list
        with one array (B, H, queries, keys) per block."""
        _, saved_encoder, _, saved_decoder, _ = saved
        own, cross = self.decoder.attention_weights(saved_decoder)
        return {"encoder": self.encoder.attention_weights(saved_encoder), "decoder": own, "cross": cross}

    # --- generation, one token at a time

    def start(self, input_ids: Any, attention_mask: Any = None) -> tuple[Any, DecodingState]:
        """Encode the source once. → (the ids to go on from: the start token of each sequence, the state that step
        needs: the memory, and empty key/value caches)"""
        check_head(isinstance(self.head, LanguageModelHead), self.config.head, "seq2seq_lm")
        input_ids, attention_mask = check_inputs(input_ids, attention_mask)
        mask = hide_padding(attention_mask)  # (B, 1, 1, S) or None
        memory = self.encoder(self.source(input_ids), mask, save=False)  # (B, S, d)
        ids = to_numpy([[self.config.decoder_start_token_id]] * len(memory))  # (B, 1)
        return ids, DecodingState(memory, mask, self.decoder.new_caches())

    def step(self, ids: Any, state: DecodingState) -> Array:
        """Read the next target tokens.  ids: (B, T), usually T = 1 → logits of the token that follows: (B, V)"""
        ids, _ = check_inputs(ids, None)
        T, seen = ids.shape[1], state.length
        y = self.target(ids, offset=seen)  # (B, T, d)
        mask = causal_mask(T, seen + T) if T > 1 else None
        z = self.decoder(y, state.memory, mask, state.memory_mask, caches=state.caches, save=False)
        state.length += T
        return self.head(z[:, -1])  # (B, V)
