"""Config: everything that decides what a model computes, in one validated dataclass."""

from dataclasses import dataclass, replace
from typing import Self

from ..checks.config import check_config
from ..checks.fields import with_remarks
from ..layers import ACTIVATIONS
from .variants.config import VariantConfig


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
    positions: str = "sinusoidal"  # added to the embeddings: "sinusoidal", "learned", "none", or one of VariantWaves
    norm_order: str = "post"  # norm(x + f(x)) as in the paper; "pre": x + f(norm(x)), easier to train when deep
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
        check_config(self, tuple(ACTIVATIONS))

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
