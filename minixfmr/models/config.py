"""Config: everything that decides what a model computes, in one validated dataclass."""

from dataclasses import dataclass, replace
from typing import Self

from ..layers import ACTIVATIONS
from .fields import ConfigError, with_remarks
from .variants.config import VariantConfig

POSITIONS = (
    "sinusoidal",  # the paper's: sine and cosine in turn
    "sinusoidal_halves",  # the same waves, all sines before all cosines (Marian, PEGASUS)
    "sinusoidal_stored",  # these, saved with the model (PEGASUS)
    "sinusoidal_t2t",  # these, with frequencies spread a little wider (M2M100)
    "learned",
    "none",
)


@with_remarks
@dataclass(frozen=True)
class Config(VariantConfig):
    """The architecture of a model. Defaults are the base model of Vaswani et al. 2017; names follow Hugging Face.

    What its descendants changed is in VariantConfig; each of those fields is given by name.
    Raises ConfigError, naming the field, for a value that makes no sense.
    """

    vocab_size: int  # V, tokens of the vocabulary (of the source side, if the two sides differ)
    d_model: int = 512  # d, width of the vectors between layers
    num_heads: int = 8  # H, attention heads, each of width d / H
    d_ff: int = 2048  # f, width inside the feed-forward layers
    num_encoder_layers: int = 6  # blocks of the encoder
    num_decoder_layers: int = 6  # blocks of the decoder
    max_position_embeddings: int = 512  # longest sequence
    positions: str = "sinusoidal"  # added to the embeddings: "sinusoidal", "learned", or another of POSITIONS
    norm_order: str = "post"  # norm(x + f(x)) as in the paper; "pre": x + f(norm(x)), easier to train deep
    activation: str = "relu"  # inside the feed-forward layers: or "gelu", "gelu_tanh", "silu", "tanh"
    layer_norm_eps: float = 1e-5  # PyTorch's; the paper gives none
    scale_embeddings: bool = True  # token vectors times √d before the positions are added (section 3.4)
    tie_word_embeddings: bool = True  # the output layer uses the decoder's token table (section 3.4)
    share_encoder_decoder_embeddings: bool = True  # encoder and decoder use one token table
    decoder_vocab_size: int | None = None  # of the target side, where it has a vocabulary of its own
    dropout: float = 0.1  # on each sublayer's output and on the embeddings (section 5.4)
    attention_dropout: float = 0.0  # on the attention weights; 0 in the paper
    activation_dropout: float = 0.0  # inside the feed-forward layers; 0 in the paper
    pad_token_id: int = 0  # what fills up shorter sequences
    decoder_start_token_id: int = 1  # what the decoder reads first
    eos_token_id: int | None = 2  # what a generating model writes last
    dtype: str = "float32"  # of all weights; "float64" for gradient checks

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("vocab_size", "d_model", "num_heads", "d_ff", "max_position_embeddings"):
            self.require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("num_encoder_layers", "num_decoder_layers"):
            self.require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            self.require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        self.require("layer_norm_eps", self.layer_norm_eps > 0, "greater than 0, such as 1e-5")
        self.one_of("positions", POSITIONS)
        self.one_of("norm_order", ("post", "pre"))
        self.one_of("activation", tuple(ACTIVATIONS))
        self.one_of("dtype", ("float32", "float64"))
        self._check_heads()
        self._check_vocabulary()

    def _check_heads(self):
        groups = self.num_key_value_heads or self.num_heads
        self.require("num_key_value_heads", self.num_heads % groups == 0, f"a divisor of num_heads = {self.num_heads}")
        d, H = self.d_model, self.num_heads
        if self.head_dim is None and d % H:
            near = (h for k in range(1024) for h in (H - k, H + k) if 1 <= h <= d and d % h == 0)
            raise ConfigError(
                f"d_model must be divisible by num_heads, got d_model = {d} and num_heads = {H}: "
                f"try num_heads = {next(near, 1)}"
            )

    def _check_vocabulary(self):
        if self.share_encoder_decoder_embeddings and self.decoder_vocab_size not in (None, self.vocab_size):
            raise ConfigError(
                f"decoder_vocab_size = {self.decoder_vocab_size} differs from vocab_size = {self.vocab_size}, so the "
                "two sides cannot share a table: set share_encoder_decoder_embeddings = False"
            )
        V = self.target_vocab_size
        for name, size in (
            ("pad_token_id", min(self.vocab_size, V)),
            ("decoder_start_token_id", V),
            ("eos_token_id", V),
        ):
            value = getattr(self, name)
            self.require(name, value is None or 0 <= value < size, f"a token id in [0, {size})")

    @property
    def has_final_norm(self) -> bool:
        """Whether a norm ends each stack."""
        return self.norm_order == "pre" if self.final_norm is None else self.final_norm

    def for_decoder(self) -> Self:
        """The same with the decoder's own number of heads and width in their places."""
        heads, d_ff = self.decoder_num_heads or self.num_heads, self.decoder_d_ff or self.d_ff
        return replace(self, num_heads=heads, d_ff=d_ff, decoder_num_heads=None, decoder_d_ff=None)

    @property
    def target_vocab_size(self) -> int:
        """V of the decoder's side."""
        return self.vocab_size if self.decoder_vocab_size is None else self.decoder_vocab_size
