"""The pictures of the tutorials: one look for all, readable without colour vision.

Each function returns a matplotlib Figure: a notebook shows it where it is the last line of a cell, a script calls
figure.savefig(path).
"""

import math

import matplotlib.pyplot as plt
import numpy as np

PAGE = 8.9  # inches across 800 pixels, where README and the notebooks show a picture
LONGEST = 60  # tokens of a sentence in a picture: more could not be read, nor opened
BLUE, RED, GREEN, ORANGE = "#0072b2", "#d55e00", "#009e73", "#e69f00"  # of the palette of Okabe & Ito (2008)
COLOURS = [BLUE, RED, GREEN, ORANGE, "#cc79a7", "#56b4e9", "#999999"]
plt.rcParams.update(
    {
        "axes.prop_cycle": plt.cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "figure.constrained_layout.use": True,
        "figure.dpi": 90,
        "font.size": 10,
        "image.cmap": "cividis",
        "legend.frameon": False,
    }
)


def figure(rows=1, columns=1, size=(6.4, 3.6), **options):
    """(Figure, its axes) in the common style, for a picture that no function below draws."""
    drawn, axes = plt.subplots(rows, columns, figsize=size, **options)
    plt.close(drawn)  # a notebook shows what a cell returns, not what is open
    return drawn, axes


def heat_maps(
    panels, rows=None, columns=None, *, xlabel="", ylabel="", limits=None, signed=False, numbers=None, bar=True
):
    """Matrices as heat maps, side by side.

    panels: {title: matrix}, all of one shape. rows, columns: labels of the cells' rows and columns. limits: (lowest,
    highest) of the colours, None for those of the data. signed: white at 0. numbers: whether to write each
    number into its cell; None where there is room. bar: the scale of the colours beside them. A cell of -inf, as a
    masked score is, is crossed out.
    """
    matrices = [np.asarray(matrix, dtype=float) + 0.0 for matrix in panels.values()]  # and no -0
    m, n = matrices[0].shape
    seen = np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices])
    low, high = limits or ((-abs(seen).max(), abs(seen).max()) if signed else (seen.min(), seen.max()))
    numbers = n * len(matrices) <= 24 and m <= 12 if numbers is None else numbers
    cell = 0.55 if numbers else 0.34
    size = (max(n * cell, 1.6) * len(matrices) + 1.8, max(m * cell, 1.2) + 1.1)
    drawn, axes = figure(1, len(matrices), size, squeeze=False)
    for axis, title, matrix in zip(axes[0], panels, matrices, strict=True):
        shown = np.where(np.isfinite(matrix), matrix, np.nan)
        image = axis.imshow(shown, cmap="RdBu_r" if signed else "cividis", vmin=low, vmax=high)
        _label(axis, rows if rows is not None else range(m), columns if columns is not None else range(n))
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        for i, j in np.argwhere(~np.isfinite(matrix)):
            axis.text(j, i, "×", ha="center", va="center", color="0.6")
        for i, j in np.argwhere(np.isfinite(matrix)) if numbers else ():
            shade = (matrix[i, j] - low) / (high - low or 1)
            dark = abs(shade - 0.5) > 0.35 if signed else shade < 0.5
            axis.text(j, i, f"{matrix[i, j]:.3g}", ha="center", va="center", size=8, color="w" if dark else "k")
    if bar:
        drawn.colorbar(image, ax=axes[0], shrink=0.7)
    return drawn


def masks(panels, rows=None, columns=None):
    """Boolean masks side by side: 1 = may attend, 0 = hidden. Down the side the queries, along the bottom the keys.

    panels: {title: mask (Tq, Tk)}
    """
    return heat_maps(
        {title: np.asarray(mask).astype(int) for title, mask in panels.items()},
        rows,
        columns,
        xlabel="key",
        ylabel="query",
        limits=(0, 1),
        numbers=True,
        bar=False,
    )


def attention_maps(examples):
    """Cross-attention as heat maps, one per translation, as many side by side as a page of 800 pixels has room for.

    examples: (source tokens, target tokens, weights (target, source)). Down the side stands what the model wrote, along
    the bottom what it read: a row shows where it looked while it wrote that token. Of a longer sentence the first
    LONGEST tokens are shown, and their number is said.
    """
    cut = [(s[:LONGEST], t[:LONGEST], np.asarray(w)[:LONGEST, :LONGEST]) for s, t, w in examples]
    widths = [0.22 * len(source) + 0.07 * max(map(len, target)) + 0.5 for source, target, _ in cut]
    heights = [0.22 * len(target) + 0.06 * max(map(len, source)) + 0.4 for source, target, _ in cut]
    lines = [[0]]  # the numbers of the examples that stand side by side
    for i in range(1, len(cut)):
        fits = sum(widths[j] for j in lines[-1]) + widths[i] <= PAGE - 0.8
        lines[-1:] = [lines[-1] + [i]] if fits else [lines[-1], [i]]
    wide, tall = max(sum(widths[i] for i in line) for line in lines), [max(heights[i] for i in line) for line in lines]
    drawn = plt.figure(figsize=(wide + 0.8, sum(tall)), dpi=180)
    plt.close(drawn)
    rows = drawn.subfigures(len(lines), 1, height_ratios=tall, squeeze=False)[:, 0]
    for row, line in zip(rows, lines, strict=True):
        ratios = [widths[i] for i in line]
        ratios.append(max(wide - sum(ratios), 0.001))  # what is left of the line
        *axes, rest = row.subplots(1, len(ratios), width_ratios=ratios)
        rest.set_visible(False)
        for axis, i in zip(axes, line, strict=True):
            (read, written, _), (source, target, weights) = examples[i], cut[i]
            image = axis.imshow(weights, vmin=0, vmax=1)
            _label(axis, target, source, size=9)
            axis.set(
                xlabel="reads (source)" + f", {LONGEST} of {len(read)} tokens" * (len(read) > LONGEST),
                ylabel="writes (target)" + f", {LONGEST} of {len(written)} tokens" * (len(written) > LONGEST),
            )
        row.colorbar(image, ax=axes, shrink=0.7).set_label("attention weight", size=9)
    return drawn


def attention_heads(weights, rows, columns=None):
    """Every head of every layer as a small heat map: layers down, heads across.

    weights: a list with an array (H, Tq, Tk) for each layer. rows: the tokens that look (queries). columns: the tokens
    looked at (keys), None for the same.
    """
    columns = rows if columns is None else columns
    L, H = len(weights), len(weights[0])
    size = (H * (0.2 * len(columns) + 0.35) + 1.6, L * (0.2 * len(rows) + 0.35) + 1)
    drawn, axes = figure(L, H, size, squeeze=False, sharex=True, sharey=True)
    for layer, head in np.ndindex(L, H):
        axis = axes[layer, head]
        image = axis.imshow(weights[layer][head], vmin=0, vmax=1)
        _label(axis, rows, columns, size=8)
        axis.set_title(f"layer {layer + 1}, head {head + 1}", size=9)
    drawn.colorbar(image, ax=axes, shrink=0.6, label="attention weight")
    drawn.supxlabel("looked at (key)", size=9)
    drawn.supylabel("looks (query)", size=9)
    return drawn


def losses(curves, baselines=None, *, xlabel="step", ylabel="loss (nats a token)", bottom=0):
    """Losses over the steps; a long curve as its running mean, with the noise in grey behind it.

    curves: {label: [(step, loss), ...]}. baselines: {label: loss}, drawn as level dashed lines.
    """
    drawn, axis = figure()
    for colour, (label, points) in zip(COLOURS * 9, curves.items(), strict=False):
        xs, ys = np.array(points, dtype=float).T
        if len(ys) > 100:
            axis.plot(xs, ys, color=colour, alpha=0.2, linewidth=0.8)
            window = len(ys) // 50
            sums = np.cumsum(np.pad(ys, (window, 0)))
            ys = (sums[window:] - sums[:-window]) / np.minimum(np.arange(1, len(ys) + 1), window)
        axis.plot(xs, ys, color=colour, label=label, marker="o" if len(ys) <= 30 else None, markersize=4)
    for dash, (label, loss) in zip(["--", ":", "-."] * 9, (baselines or {}).items(), strict=False):
        axis.axhline(loss, color="0.4", linestyle=dash, linewidth=1, label=f"{label}: {loss:.2f}")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_ylim(bottom=bottom)
    axis.grid(alpha=0.3)
    axis.legend()
    return drawn


def embeddings(tables, words, groups=None):
    """Vectors as points in the plane that keeps most of their variance (principal components), one panel per table.

    tables: {title: (N, d)}. words: N labels. groups: N group names, each a colour and a marker; None for one group.
    """
    groups = [""] * len(words) if groups is None else groups
    names = list(dict.fromkeys(groups))
    drawn, axes = figure(1, len(tables), (5.2 * len(tables), 4.6), squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        centred = np.asarray(table, dtype=float) - np.mean(table, axis=0)
        _, s, directions = np.linalg.svd(centred, full_matrices=False)
        points = centred @ directions[:2].T  # (N, 2)
        for colour, marker, name in zip(COLOURS * 9, "osD^vPX" * 9, names, strict=False):
            mine = np.array([group == name for group in groups])
            axis.scatter(*points[mine].T, s=14, color=colour, marker=marker, label=name or None)
        for word, (x, y) in zip(words, points, strict=True):
            axis.annotate(word, (x, y), xytext=(3, 2), textcoords="offset points", size=8)
        share = (s[:2] ** 2).sum() / (s**2).sum()
        axis.set(title=f"{title} ({share:.0%} of the variance)", xticks=[], yticks=[])
    if len(names) > 1:
        axes[0, -1].legend(loc="best", fontsize=8)
    return drawn


def probabilities(panels):
    """Bars of the likeliest next tokens, one panel per step or setting, at most four side by side.

    panels: {title: [(token, probability), ...]}
    """
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    longest = max(len(bars) for bars in panels.values())
    drawn, axes = figure(rows, columns, (2.5 * columns, rows * (0.24 * longest + 0.8)), squeeze=False, sharex=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, bars) in zip(axes.flat, panels.items(), strict=False):
        tokens, shares = zip(*bars, strict=True)
        axis.barh(range(len(bars)), shares, color=BLUE)
        axis.set_yticks(range(len(bars)), [repr(t)[1:-1].replace(" ", "␣") for t in tokens], size=9)
        axis.invert_yaxis()
        axis.set(title=title, xlim=(0, 1), xticks=[0, 0.5, 1])
    return drawn


def bars(values, *, xlabel="", digits=".3g"):
    """Horizontal bars with their numbers: a measured quantity of several things.   values: {label: number}"""
    drawn, axis = figure(size=(6.4, 0.34 * len(values) + 0.8))
    drawn_bars = axis.barh(range(len(values)), list(values.values()), color=BLUE)
    axis.bar_label(drawn_bars, [format(value, digits) for value in values.values()], padding=3, size=9)
    axis.set_yticks(range(len(values)), values.keys())
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(xlabel)
    return drawn


def _label(axis, rows, columns, size=None):
    wide = any(len(str(column)) > 3 for column in columns)
    slanted = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if wide else {}
    # parse_math: a $ is a $
    axis.set_xticks(range(len(columns)), columns, size=size, parse_math=False, **slanted)
    axis.set_yticks(range(len(rows)), rows, size=size, parse_math=False)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
