"""With cross-attention between them."""

from ...models import DecoderBlock, padding_mask
from ..exercise import Mistake, Pair
from .encoder_block import NAMES, attended, config, fed, normed
from .materials import B, D, H, S, T, block, memory_mask, normal, own_mask, run

OWN = {name: path for name, path in NAMES.items() if not name.startswith("norm2")}
OWN |= {f"cross_w_{p[0]}": f"cross_attention.layer.{p}.weight" for p in ("query", "key", "value", "output")}
OWN |= {f"norm2_{p}": f"cross_attention.norm.{p}" for p in ("weight", "bias")}
OWN |= {f"norm3_{p}": f"feed_forward.norm.{p}" for p in ("weight", "bias")}


def _run(x, memory, p, num_heads, mask, memory_mask, dy=None):
    parameters = {OWN[name]: value for name, value in p.items()}
    masks = {"mask": mask, "memory_mask": None if memory_mask is None else padding_mask(memory_mask)}
    return run(DecoderBlock(config(num_heads)), parameters, (x, memory), dy, **masks)


def gradients(dy, x, memory, p, num_heads, mask, memory_mask):
    (dx, dmemory), of = _run(x, memory, p, num_heads, mask, memory_mask, dy)
    return {"x": dx, "memory": dmemory, "p": {name: of[OWN[name]] for name in p}}


def cases(rng):
    x, memory, p = normal(rng, B, T, D), normal(rng, B, S, D), block(rng, 3, "", "cross_")
    return {"": (x, memory, p, H, own_mask(), memory_mask())}


def _block(
    a=lambda x, f: x + f, b=lambda x, h, f: h + f, c=lambda x, h, f: h + f, own=True, seen=True, order=(1, 2, 3)
):
    """The block with other sums, of x or the h before, and what comes out of the sublayer; or without masks."""

    def wrong(x, memory, p, num_heads, mask, memory_mask):
        mask = mask if own else None
        padding = padding_mask(memory_mask) if seen and memory_mask is not None else None
        h1 = normed(a(x, attended(x, p, num_heads, mask)), p, order[0])
        h2 = normed(b(x, h1, attended(h1, p, num_heads, padding, memory, "cross_")), p, order[1])
        return normed(c(h1, h2, fed(h2, p)), p, order[2])

    return wrong


PAST = "the residual path is missing: {}"
FORWARD = (
    Mistake("residual forgotten", PAST.format("h₁ = norm₁(x + self_attention(x))"), _block(a=lambda x, f: f)),
    Mistake("residual forgotten", PAST.format("h₂ = norm₂(h₁ + cross_attention(h₁))"), _block(b=lambda x, h, f: f)),
    Mistake("residual forgotten", PAST.format("y = norm₃(h₂ + feed_forward(h₂))"), _block(c=lambda x, h, f: f)),
    Mistake("x in place of h", "x is added to the cross-attention: h₁ belongs there", _block(b=lambda x, h, f: x + f)),
    Mistake(
        "x in place of h", "h₁ is added to the feed-forward layer: h₂ belongs there", _block(c=lambda x, h, f: x + f)
    ),
    Mistake("mask not used", "the mask of the self-attention is not used", _block(own=False)),
    Mistake("mask not used", "the mask of the memory is not used", _block(seen=False)),
    Mistake("mask not used", "neither mask is used", _block(own=False, seen=False)),
    *(
        Mistake("norms exchanged", f"norms {i} are exchanged", _block(order=order))
        for i, order in (("1 and 2", (2, 1, 3)), ("2 and 3", (1, 3, 2)), ("1 and 3", (3, 2, 1)))
    ),
)


TUTORIAL = 5
EXERCISE = Pair(
    "decoder_block",
    "x memory p num_heads mask memory_mask",
    points=(3, 4),
    right=_run,
    gradients=gradients,
    mistakes=(FORWARD, ()),
    cases=cases,
)
