"""Draw the Transformer with the file that implements each box.

python docs/transformer.py      writes transformer.svg beside this file

Each file's name is a link to it, which works where the picture is opened by itself or stands in the page as SVG.
"""

import re
from itertools import pairwise
from pathlib import Path

WIDTH, HEIGHT = 800, 700
BOX, TALL = 290, 40  # the size of a box
LEFT, RIGHT = 70, 440  # where the boxes of the encoder and of the decoder start
FILLS = {"attention": "#fde3c8", "norm": "#f3f3c2", "feed": "#cfe8f7", "embed": "#f9d9d9", "out": "#dcd6ef"}

# (x, top, kind, title, files)
BOXES = [
    (LEFT, 600, "embed", "Embedding × √d + positions", "layers/embedding.py, positions.py"),
    (LEFT, 500, "attention", "Multi-head self-attention", "layers/multi_head.py, attention.py"),
    (LEFT, 446, "norm", "Add, then LayerNorm", "models/residual.py"),
    (LEFT, 376, "feed", "Feed-forward", "layers/feedforward.py"),
    (LEFT, 322, "norm", "Add, then LayerNorm", "layers/normalization.py"),
    (RIGHT, 600, "embed", "Embedding × √d + positions", "models/inputs.py"),
    (RIGHT, 500, "attention", "Masked self-attention", "models/masks.py, layers/multi_head.py"),
    (RIGHT, 446, "norm", "Add, then LayerNorm", "models/residual.py"),
    (RIGHT, 376, "attention", "Cross-attention", "layers/attention.py, softmax.py"),
    (RIGHT, 322, "norm", "Add, then LayerNorm", "layers/normalization.py"),
    (RIGHT, 252, "feed", "Feed-forward", "layers/linear.py, activations.py"),
    (RIGHT, 198, "norm", "Add, then LayerNorm", "layers/normalization.py"),
    (RIGHT, 108, "out", "Logits over the vocabulary", "layers/linear.py"),
    (RIGHT, 42, "out", "Cross-entropy", "training/losses.py"),
]
# frames around what is repeated: (x, top, bottom, text)
FRAMES = [
    (LEFT - 28, 292, 560, "× L   models/blocks.py, stack.py"),
    (RIGHT - 28, 168, 560, "× L   models/blocks.py, stack.py"),
]


def box(x, top, kind, title, files):
    middle = x + BOX / 2
    return [
        f'<rect x="{x}" y="{top}" width="{BOX}" height="{TALL}" rx="6" fill="{FILLS[kind]}" stroke="#555"/>',
        f'<text x="{middle}" y="{top + 17}" class="title">{title}</text>',
        f'<text x="{middle}" y="{top + 33}" class="file">{linked(files)}</text>',
    ]


def linked(text):
    """A text in which each file of the package links to itself; one without a folder is in that of the one before."""
    folder = ""

    def link(found):
        nonlocal folder
        folder = found[1] or folder
        return f'<a href="../minixfmr/{folder}{found[2]}">{found[0]}</a>'

    return re.sub(r"(\w+/)?(\w+\.py)", link, text)


def frame(x, top, bottom, text):
    return [
        f'<rect x="{x}" y="{top}" width="{BOX + 56}" height="{bottom - top}" rx="12" fill="#fafafa" stroke="#999"/>',
        f'<text x="{x + 14}" y="{top + 19}" class="file" style="text-anchor: start">{linked(text)}</text>',
    ]


def arrows(x):
    """From each box of a column up to the next."""
    tops = sorted((top for left, top, *_ in BOXES if left == x), reverse=True)
    middle = x + BOX / 2
    return [line(f"M{middle} {low} V{high + TALL + 7}") for low, high in pairwise(tops)]


def line(path):
    return f'<path d="{path}" fill="none" stroke="#333" stroke-width="1.5" marker-end="url(#tip)"/>'


def skip(x, start, top):
    """The residual connection: past a sublayer, into the middle of the box above it."""
    return line(f"M{x + BOX / 2} {start} H{x - 14} V{top + TALL / 2} H{x - 7}")


def drawing():
    """The picture as SVG."""
    middle = [LEFT + BOX / 2, RIGHT + BOX / 2]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-label="The encoder-decoder Transformer, each box with the file that implements it">'
    )
    style = (
        "<style>text { text-anchor: middle; fill: #222 } .title { font: 600 15px sans-serif } "
        ".file { font: 12px ui-monospace, Menlo, Consolas, monospace } .say { font: 15px sans-serif } "
        "a text, text a { fill: #004d80; text-decoration: underline }</style>"
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#333"/></marker></defs>'
    )
    parts = [head, style, tip, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    parts += [part for one in FRAMES for part in frame(*one)]
    parts += [part for one in BOXES for part in box(*one)]
    parts += arrows(LEFT) + arrows(RIGHT)
    parts += [skip(LEFT, 550, 446), skip(LEFT, 431, 322)]
    parts += [skip(RIGHT, 550, 446), skip(RIGHT, 431, 322), skip(RIGHT, 307, 198)]
    parts += [line(f"M{middle[0]} 322 V270 H390 V396 H{RIGHT - 7}")]  # the memory
    for x, text in zip(middle, ("source ids", "target ids, shifted right"), strict=True):
        parts += [f'<text x="{x}" y="682" class="say">{text}</text>', line(f"M{x} 667 V{600 + TALL + 7}")]
    start = f'x="{LEFT - 28}" style="text-anchor: start"'
    parts += [
        f'<text x="{middle[0]}" y="262" class="say">encoder output (the memory)</text>',
        f'<text {start} y="62" class="say">All of it:</text>',
        f'<text {start} y="84" class="file">{linked("models/encoder_decoder.py")}</text>',
        f'<text {start} y="118" class="say">Sizes and options:</text>',
        f'<text {start} y="140" class="file">{linked("models/config.py")}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(drawing(), encoding="utf-8")
