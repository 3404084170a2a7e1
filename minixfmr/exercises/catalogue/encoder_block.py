"""Self-attention and feed-forward."""

from ...layers import layer_norm, linear, relu
from ...models import Config, EncoderBlock
from ..exercise import Mistake, Pair
from .materials import EPS, B, D, F, H, T, block, normal, own_mask, run
from .plain import heads

NAMES = {  # of the package's layers
    **{f"w_{p[0]}": f"self_attention.layer.{p}.weight" for p in ("query", "key", "value", "output")},
    "w1": "feed_forward.layer.hidden.weight",
    "b1": "feed_forward.layer.hidden.bias",
    "w2": "feed_forward.layer.output.weight",
    "b2": "feed_forward.layer.output.bias",
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


def attended(x, p, num_heads, mask, memory=None, prefix=""):
    """Attention with the matrices of p."""
    return heads(x, [p[f"{prefix}w_{m}"] for m in "qkvo"], num_heads, mask, memory)


def normed(x, p, i, eps=EPS):
    """norm i of x."""
    return layer_norm(x, p[f"norm{i}_weight"], p[f"norm{i}_bias"], eps)[0]


def fed(h, p):
    """The feed-forward layer of p."""
    return linear(relu(linear(h, p["w1"], p["b1"])[0])[0], p["w2"], p["b2"])[0]


def _block(a=lambda x, f: x + f, b=lambda x, h, f: h + f, masked=True, eps=EPS, norms=(1, 2)):
    """The block with other sums: a of x and the attention, b of x, h and the feed-forward layer."""

    def wrong(x, p, num_heads, mask):
        h = normed(a(x, attended(x, p, num_heads, mask if masked else None)), p, norms[0], eps)
        return normed(b(x, h, fed(h, p)), p, norms[1], eps)

    return wrong


def _pre_norm(x, p, num_heads, mask):
    h = x + attended(normed(x, p, 1), p, num_heads, mask)
    return h + fed(normed(h, p, 2), p)


def _no_norms(x, p, num_heads, mask):
    h = x + attended(x, p, num_heads, mask)
    return h + fed(h, p)


def _unmasked_norm(x, p, num_heads, mask):
    h = x + attended(x, p, num_heads, mask)
    return normed(h + fed(h, p), p, 2)


def _no_last_norm(x, p, num_heads, mask):
    h = normed(x + attended(x, p, num_heads, mask), p, 1)
    return h + fed(h, p)


PAST = "the residual path is missing: {}"
FORWARD = (
    Mistake("residual forgotten", PAST.format("h = norm₁(x + self_attention(x))"), _block(a=lambda x, f: f)),
    Mistake("residual forgotten", PAST.format("y = norm₂(h + feed_forward(h))"), _block(b=lambda x, h, f: f)),
    Mistake("residual forgotten", PAST.format("x and h, both"), _block(lambda x, f: f, lambda x, h, f: f)),
    Mistake(
        "x in place of h", "x is added to the feed-forward layer: h belongs there", _block(b=lambda x, h, f: x + f)
    ),
    Mistake("mask not used", "masked keys still count: the mask is not used", _block(masked=False)),
    Mistake("norms exchanged", "the two norms are exchanged", _block(norms=(2, 1))),
    Mistake("norms exchanged", "norm 1 is taken twice", _block(norms=(1, 1))),
    *(Mistake("another eps", f"eps is taken as {e:g}: 1e-5", _block(eps=e)) for e in (1e-6, 1e-8, 1e-12, 1e-3)),
    Mistake("pre-norm", "this is pre-norm, x + f(norm(x)): norm(x + f(x)) is asked for", _pre_norm),
    Mistake("norms forgotten", "the norms are missing", _no_norms),
    Mistake("norms forgotten", "the first norm is missing", _unmasked_norm),
    Mistake("norms forgotten", "the second norm is missing", _no_last_norm),
)


TUTORIAL = 3
EXERCISE = Pair(
    "encoder_block",
    "x p num_heads mask",
    points=(3, 4),
    right=_run,
    gradients=gradients,
    mistakes=(FORWARD, ()),
    cases=lambda rng: {"": (normal(rng, B, T, D), block(rng, 2, ""), H, own_mask())},
)
