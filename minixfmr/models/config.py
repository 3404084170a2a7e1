"""Config: everything that decides what a model computes, in one validated dataclass."""

from dataclasses import asdict, dataclass, fields

from ..layers import ACTIVATIONS


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
    positions: str = "sinusoidal"  # or "learned"
    norm_order: str = "post"  # norm(x + f(x)) as in the paper, or "pre": x + f(norm(x)), easier to train deep
    activation: str = "relu"  # or "gelu", "gelu_tanh"
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
    eos_token_id: int = 2  # what it writes last
    dtype: str = "float32"  # or "float64", for gradient checks

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
        self._one_of("positions", ("sinusoidal", "learned"))
        self._one_of("norm_order", ("post", "pre"))
        self._one_of("activation", tuple(ACTIVATIONS))
        self._one_of("dtype", ("float32", "float64"))
        if self.d_model % self.num_heads:
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
            size = min(self.vocab_size, self.target_vocab_size) if name == "pad_token_id" else self.target_vocab_size
            self._require(name, 0 <= getattr(self, name) < size, f"a token id in [0, {size})")

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
        allowed = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}.get(kind, (int, type(None)))
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            wanted = getattr(kind, "__name__", str(kind))
            raise ConfigError(f"{name} must be of type {wanted}, got {value!r} ({type(value).__name__})")

    def _require(self, name, holds, valid):
        if not holds:
            raise ConfigError(f"{name} must be {valid}, got {getattr(self, name)!r}")

    def _one_of(self, name, choices):
        self._require(name, getattr(self, name) in choices, "one of " + ", ".join(map(repr, choices)))
