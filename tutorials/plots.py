"""The pictures of the tutorials: one look for all, readable without colour vision."""

import matplotlib

matplotlib.use("Agg")  # files, no window
import matplotlib.pyplot as plt


def attention_maps(path, examples):
    """Cross-attention as heat maps, one a translation, side by side.

    examples: (source tokens, target tokens, weights (target, source)). Down the side stands what the model wrote, along
    the bottom what it read: a row shows where it looked while it wrote that token.
    """
    widths = [len(source) for source, _, _ in examples]
    height = 0.33 * max(len(target) for _, target, _ in examples) + 1.6
    figure, axes = plt.subplots(
        1,
        len(examples),
        figsize=(0.36 * sum(widths) + 1.6 * len(examples), height),
        width_ratios=widths,
        squeeze=False,
        layout="constrained",
    )
    for axis, (source, target, weights) in zip(axes[0], examples, strict=True):
        image = axis.imshow(weights, cmap="cividis", vmin=0, vmax=1)
        axis.set_xticks(range(len(source)), source, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(target)), target)
        axis.set_xlabel("reads (source)")
        axis.set_ylabel("writes (target)")
    figure.colorbar(image, ax=axes[0], shrink=0.6, label="attention weight")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def loss_curve(path, steps, valid):
    """Training loss (step, nats) with a running mean, and validation loss (step, nats), over the steps."""
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    xs, ys = zip(*steps, strict=True)
    window = max(1, len(ys) // 50)
    mean = [sum(ys[max(0, i - window) : i + 1]) / len(ys[max(0, i - window) : i + 1]) for i in range(len(ys))]
    axis.plot(xs, ys, color="0.8", linewidth=0.8)
    axis.plot(xs, mean, color="#0072b2", label="training (dropout, smoothed labels)")
    if valid:
        axis.plot(*zip(*valid, strict=True), color="#d55e00", marker="o", markersize=4, label="validation (neither)")
    axis.set_xlabel("step")
    axis.set_ylabel("loss (nats a token)")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)
