"""Two weeks of exercises, and their points."""

from .exercise import Exercise

DAYS = (  # what to read, the tutorial, the exercises
    ("any text on the softmax and its Jacobian", "01 Attention by hand, the first half", ("softmax",)),
    ("the chain rule for matrices; Hendrycks & Gimpel 2016", "02 Your gradient, checked", ("linear", "gelu")),
    ("Szegedy et al. 2016, section 7", "04 Decoder-only, the loss", ("cross_entropy",)),
    ("Ba, Kiros & Hinton 2016", "11 Every gradient derived, chapter on norms", ("layer_norm",)),
    ("Srivastava et al. 2014", "03 Encoder-only", ("embedding", "dropout")),
    ("Vaswani et al. 2017, section 3.2.1", "01 Attention by hand, the second half", ("attention",)),
    ("Vaswani et al. 2017, section 3.2.2", "01 Attention by hand, heads", ("multi_head_attention",)),
    ("Vaswani et al. 2017, section 3.2.3", "05 Encoder-decoder", ("cross_attention", "feed_forward")),
    ("Vaswani et al. 2017, section 3.1", "05 Encoder-decoder", ("encoder_block", "decoder_block")),
    ("Loshchilov & Hutter 2019", "06 One task, three architectures", ("adamw", "greedy_decoding")),
)


def points_of(exercise: Exercise) -> int:
    """All points of an exercise."""
    return sum(exercise.points)


def plan(exercises: dict[str, Exercise]) -> str:
    """PLAN.md: a day a row, and the teacher's own exercises at the end."""
    total = sum(map(points_of, exercises.values()))
    lines = [
        "# Two weeks, from softmax to a Transformer",
        "",
        f"Ten days, {len(exercises)} exercises, {total} points. Tutorials are those of minixfmr. Each day's exercises",
        "build on nothing that comes later.",
        "",
        "| Day | Read | Tutorial | Exercises | Points |",
        "|---|---|---|---|---|",
    ]
    for day, (read, tutorial, names) in enumerate(DAYS, 1):
        chosen = [name for name in names if name in exercises]
        lines.append(_row(f"{(day - 1) // 5 + 1}.{(day - 1) % 5 + 1}", read, tutorial, chosen, exercises))
    own = [name for name in exercises if name not in {n for _, _, names in DAYS for n in names}]
    if own:
        lines.append(_row("extra", "", "", own, exercises))
    lines += [
        "",
        "Mark a folder with `python -m minixfmr.exercises FOLDER`, a class with `--all FOLDER`. When all is right,",
        "`python -m minixfmr.exercises FOLDER --train` lets the functions in the folder train a Transformer.",
        "",
    ]
    return "\n".join(lines)


def _row(day, read, tutorial, names, exercises):
    points = sum(points_of(exercises[name]) for name in names)
    files = ", ".join(f"`{name}.py`" for name in names)
    return f"| {day} | {read} | {tutorial} | {files} | {points} |"


def points_table(exercises: dict[str, Exercise]) -> str:
    """The list of the README: a row for each exercise."""
    lines = ["| Exercise | What it is | Points |", "|---|---|---|"]
    for name, exercise in exercises.items():
        points = " + ".join(f"{p} {check.label}" for p, check in zip(exercise.points, exercise.checks, strict=True))
        lines.append(f"| `{name}.py` | {exercise.title} | {points} |")
    lines.append(f"| | | {sum(map(points_of, exercises.values()))} in all |")
    return "\n".join(lines) + "\n"
