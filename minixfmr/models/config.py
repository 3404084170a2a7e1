"""Config: everything that decides what a model computes, in one validated dataclass."""

from dataclasses import asdict, dataclass, fields, replace
from typing import get_args

from ..layers import ACTIVATIONS

POSITIONS = (
    "sinusoidal",  # the paper's: sine and cosine in turn
    "sinusoidal_halves",  # the same waves, all sines before all cosines (Marian, PEGASUS)
    "sinusoidal_stored",  # these, saved with the model (PEGASUS)
    "sinusoidal_t2t",  # so, and frequencies spread a little wider (M2M100)
    "learned",
    "none",
)
RELATIVE_POSITIONS = ("none", "rotary", "buckets", "disentangled")
HEADS = ("auto", "none", "masked_lm", "causal_lm", "seq2seq_lm", "sequence_classification", "token_classification")


class ConfigError(ValueError):
    """A field of a Config is wrong; the message names it, its value, what is valid and the fix."""


@dataclass(frozen=True)
class Config:
    """The architecture of a model. Defaults are the base model of Vaswani et al. 2017; names follow Hugging Face.

    Raises ConfigError, naming the field, for a value that makes no sense.
    """

    vocab_size: int  # V, tokens of the vocabulary (of the source side, if the two sides differ)
    d_model: int = 512  # d, width of the vectors between layers
    num_heads: int = 8  # H, attention heads, each of width d / H
    d_ff: int = 2048  # f, width inside the feed-forward layers
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    max_position_embeddings: int = 512  # longest sequence
    positions: str = "sinusoidal"  # or "learned", or another of POSITIONS
    norm_order: str = "post"  # norm(x + f(x)) as in the paper, or "pre": x + f(norm(x)), easier to train deep
    activation: str = "relu"  # or "gelu", "gelu_tanh", "silu"
    layer_norm_eps: float = 1e-5  # PyTorch's; the paper gives none
    scale_embeddings: bool = True  # token vectors times √d before the positions are added (section 3.4)
    tie_word_embeddings: bool = True  # the output layer uses the decoder's token table (section 3.4)
    share_encoder_decoder_embeddings: bool = True  # and so does the encoder: one vocabulary for both sides
    decoder_vocab_size: int | None = None  # of the target side, where it has a vocabulary of its own
    dropout: float = 0.1  # on each sublayer's output and on the embeddings (section 5.4)
    attention_dropout: float = 0.0  # on the attention weights; 0 in the paper
    activation_dropout: float = 0.0  # inside the feed-forward layers; 0 in the paper
    pad_token_id: int = 0
    decoder_start_token_id: int = 1  # what the decoder reads first
    eos_token_id: int | None = 2  # what a generating model writes last
    dtype: str = "float32"  # or "float64", for gradient checks

    # --- what the descendants changed; the defaults leave the Transformer as it was

    norm: str = "layer"  # or "rms" (T5, LLaMA)
    final_norm: bool | None = None  # a norm at the end of each stack; None: with pre-norm only
    embedding_norm: bool = False  # a norm on the embedding sum (BERT, BART)
    embedding_padding: bool = True  # False: embeddings of padding are set to 0 (DeBERTa)
    type_vocab_size: int = 0  # token types, such as first and second sentence (BERT)
    position_offset: int = 0  # position t uses row t + offset of the table (BART: 2)
    positions_from_ids: bool = False  # row = pad_token_id + number of real tokens so far (RoBERTa, M2M100)
    padding_gradient: bool = True  # False: looking up padding adds nothing to the gradient of its row
    head_dim: int | None = None  # dh; None: d / H
    num_key_value_heads: int | None = None  # Hk, each shared by H / Hk query heads (LLaMA); None: H
    attention_bias: bool = True  # biases of query, key, value and output
    key_bias: bool = True  # that of the key alone (DeBERTa v1: none)
    attention_scale: float | None = None  # of the scores; None: 1/√dh (T5: 1)
    sliding_window: int | None = None  # a query sees this many keys, its own included (Mistral); None: all before it
    window_every: int = 1  # in every n-th block, the first without (2: dense and banded in turn, as in GPT-3)
    relative_positions: str = "none"  # inside attention: "rotary" (LLaMA), "buckets" (T5), "disentangled" (DeBERTa)
    rope_theta: float = 10000.0  # rotary: the base of the wavelengths
    rope_scaling: dict | None = None  # rotary: how they were stretched to longer texts, in Hugging Face's terms
    relative_buckets: int = 32  # of T5's distances, or of DeBERTa v2's logarithmic ones (0: none)
    relative_max_distance: int = 128
    disentangled_terms: str = "c2p|p2c"  # which position terms the scores have (DeBERTa)
    shared_position_projections: bool = False  # positions go through the attention's own matrices (DeBERTa v3)
    relative_norm: bool = False  # a norm on the table of relative positions (DeBERTa v2)
    convolution: int = 0  # width of the convolution beside the first block (DeBERTa v2 xlarge); 0: none
    convolution_activation: str = "gelu"
    feed_forward_bias: bool = True
    gated_feed_forward: bool = False  # activation(x Wᵍ) · (x W¹) inside (Shazeer 2020)
    decoder_num_heads: int | None = None  # of the decoder, where it differs from the encoder (BART)
    decoder_d_ff: int | None = None
    scale_output: bool = False  # final vectors times 1/√d before the output layer (T5 with tied embeddings)
    logits_bias: bool = False  # a constant added to the logits, stored but not trained (BART, Marian)

    # --- what the vectors are used for

    head: str = "auto"  # "masked_lm" for EncoderOnly, "causal_lm" for DecoderOnly, "seq2seq_lm" for EncoderDecoder
    head_activation: str = "gelu"
    num_labels: int = 2  # of classification heads
    pooling: str = "first"  # a sequence is its first token, its "last", or the "mean" of its tokens

    def __post_init__(self):
        for field in fields(self):
            self._check_type(field.name, field.type)
        for name in ("vocab_size", "d_model", "num_heads", "d_ff", "max_position_embeddings"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("num_encoder_layers", "num_decoder_layers"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        self._require("layer_norm_eps", self.layer_norm_eps > 0, "greater than 0, such as 1e-5")
        self._one_of("positions", POSITIONS)
        self._one_of("relative_positions", RELATIVE_POSITIONS)
        self._one_of("norm_order", ("post", "pre"))
        self._one_of("norm", ("layer", "rms"))
        for name in ("activation", "head_activation", "convolution_activation"):
            self._one_of(name, tuple(ACTIVATIONS))
        self._one_of("head", HEADS)
        self._one_of("pooling", ("first", "last", "mean"))
        self._one_of("dtype", ("float32", "float64"))
        for name in ("head_dim", "num_key_value_heads", "sliding_window", "decoder_num_heads", "decoder_d_ff"):
            value = getattr(self, name)
            self._require(name, value is None or value >= 1, "None or at least 1")
        for name in ("type_vocab_size", "position_offset", "relative_buckets", "convolution"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        groups = self.num_key_value_heads or self.num_heads
        self._require("num_key_value_heads", self.num_heads % groups == 0, f"a divisor of num_heads = {self.num_heads}")
        if self.head_dim is None and self.d_model % self.num_heads:
            near = [h for h in range(1, self.d_model + 1) if self.d_model % h == 0]
            best = min(near, key=lambda h: abs(h - self.num_heads))
            raise ConfigError(
                f"d_model must be divisible by num_heads, got d_model = {self.d_model} and "
                f"num_heads = {self.num_heads}: try num_heads = {best}"
            )
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size not in (None, self.vocab_size):
            raise ConfigError(
                f"decoder_vocab_size = {self.decoder_vocab_size} differs from vocab_size = {self.vocab_size}, so the "
                "two sides cannot share a table: set share_encoder_decoder_embeddings = False"
            )
        for name in ("pad_token_id", "decoder_start_token_id", "eos_token_id"):
            if getattr(self, name) is None:
                continue
            size = min(self.vocab_size, self.target_vocab_size) if name == "pad_token_id" else self.target_vocab_size
            self._require(name, 0 <= getattr(self, name) < size, f"a token id in [0, {size})")

    @property
    def has_final_norm(self):
        """Whether a norm ends each stack."""
        return self.norm_order == "pre" if self.final_norm is None else self.final_norm

    def for_decoder(self):
        """The same with the decoder's own number of heads and width in their places."""
        heads, d_ff = self.decoder_num_heads or self.num_heads, self.decoder_d_ff or self.d_ff
        return replace(self, num_heads=heads, d_ff=d_ff, decoder_num_heads=None, decoder_d_ff=None)

    @property
    def target_vocab_size(self):
        """V of the decoder's side."""
        return self.vocab_size if self.decoder_vocab_size is None else self.decoder_vocab_size

    def to_dict(self):
        """The fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """The Config of such values. Raises ConfigError for a name that is no field, or for a missing vocab_size."""
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ConfigError(f"unknown config field {', '.join(unknown)}: the fields are {', '.join(names)}")
        if "vocab_size" not in values:
            raise ConfigError("the config lacks vocab_size, which has no default")
        return cls(**values)

    def _check_type(self, name, kind):
        value = getattr(self, name)
        allowed = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}.get(kind) or get_args(kind)
        allowed += (int,) if float in allowed else ()
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            wanted = getattr(kind, "__name__", str(kind))
            raise ConfigError(f"{name} must be of type {wanted}, got {value!r} ({type(value).__name__})")

    def _require(self, name, holds, valid):
        if not holds:
            raise ConfigError(f"{name} must be {valid}, got {getattr(self, name)!r}")

    def _one_of(self, name, choices):
        self._require(name, getattr(self, name) in choices, "one of " + ", ".join(map(repr, choices)))
