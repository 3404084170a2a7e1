"""The encoder block."""

from ...models import Config, EncoderBlock
from ..exercise import Pair
from .materials import EPS, B, D, F, H, T, block, normal, own_mask, run

NAMES = {  # of the package's layers
    **{f"w_{p[0]}": f"self_attention.layer.{p}.weight" for p in ("query", "key", "value", "output")},
    "w1": "feed_forward.layer.hidden.weight", "b1": "feed_forward.layer.hidden.bias",
    "w2": "feed_forward.layer.output.weight", "b2": "feed_forward.layer.output.bias",
    **{f"norm1_{p}": f"self_attention.norm.{p}" for p in ("weight", "bias")},
    **{f"norm2_{p}": f"feed_forward.norm.{p}" for p in ("weight", "bias")},
}


def config(num_heads):
    """What the package calls a block of this kind."""
    return Config(
        8, D, num_heads, F, norm_order="post", layer_norm_eps=EPS, activation="relu", dropout=0.0, dtype="float64"
    )


def _run(x, p, num_heads, mask, dy=None):
    parameters = {NAMES[name]: value for name, value in p.items()}
    return run(EncoderBlock(config(num_heads)), parameters, (x, mask), dy)


def gradients(dy, x, p, num_heads, mask):
    dx, of = _run(x, p, num_heads, mask, dy)
    return {"x": dx, "p": {name: of[NAMES[name]] for name in p}}


EXERCISE = Pair(
    "encoder_block",
    "x p num_heads mask",
    title="self-attention and feed-forward",
    points=(3, 4),
    tutorial=3,
    right=_run,
    gradients=gradients,
    cases=lambda rng: {"": (normal(rng, B, T, D), block(rng, 2, ""), H, own_mask())},
)
