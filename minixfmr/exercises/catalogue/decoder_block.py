"""The decoder block."""

from ...models import DecoderBlock, padding_mask
from ..exercise import Pair
from .encoder_block import NAMES, config
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


EXERCISE = Pair(
    "decoder_block",
    "x memory p num_heads mask memory_mask",
    title="with cross-attention between them",
    points=(3, 4),
    tutorial=5,
    right=_run,
    gradients=gradients,
    cases=cases,
)
