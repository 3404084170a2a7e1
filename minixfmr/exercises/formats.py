"""Results for people and for graders: lines, a map, JSON, Gradescope, a class as table, CSV and tally."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Container
from typing import Any

from .. import __version__
from .exercise import Exercise
from .marking import USES_WRONG, Result
from .session import NEEDS, plain

STAGES = (  # of the map, from softmax to the whole Transformer
    ("parts", ("softmax", "cross_entropy", "linear", "embedding", "layer_norm", "gelu", "dropout")),
    ("attention", ("attention", "multi_head_attention", "cross_attention")),
    ("blocks", ("feed_forward", "encoder_block", "decoder_block")),
    ("learning and writing", ("adamw", "greedy_decoding")),
)


def shown(result: Result, hint: int) -> str:
    """The message, as far as the level of hints allows: 1 which array, 2 which line or step, 3 what."""
    return result.hints[hint - 1] if result.state == "wrong" and hint < 3 else result.message


def totals(results: list[Result]) -> tuple[int, int]:
    """(points, possible points)"""
    return sum(r.points for r in results), sum(r.possible for r in results)


def line(result: Result, hint: int) -> str:
    """One exercise in one line."""
    text = f"{result.name:24}{result.state:14}{result.points:3}/{result.possible:<3}  {shown(result, hint)}"
    return text.rstrip()


def progress_map(results: list[Result], exercises: dict[str, Exercise]) -> str:
    """From softmax to the whole Transformer: what is right, what is next, and the tutorial that goes with it."""
    of = {r.name: r for r in results}
    stages = [(stage, [n for n in names if n in of]) for stage, names in STAGES]
    known = {n for _, names in STAGES for n in names}
    stages.append(("more", [n for n in of if n not in known]))
    lines = []
    for stage, names in stages:
        if names:
            cells = [f"{_sign(of[n])} {n}" for n in names]
            lines.append(f"{stage:21}  {'  '.join(cells)}".rstrip())
    left = [r for r in results if r.state != "right"]
    if not left:
        lines.append("all right: --train lets your functions train a Transformer")
    else:
        first = next((r for r in left if r.state == "wrong"), left[0])
        tutorial = exercises[first.name].tutorial
        with_it = f"; tutorial {tutorial:02} goes with it" if tutorial else ""
        lines.append(f"next: {first.name}, {exercises[first.name].title}{with_it}")
    return "\n".join(lines)


def _sign(result):
    return {"right": "●", "wrong": "×", "not started": "○"}[result.state] if not _half(result) else "◐"


def _half(result):
    return 0 < result.points < result.possible


def as_json(results: list[Result], missing: list[str], hint: int = 3) -> dict[str, Any]:
    """All of it as plain dictionaries."""
    points, possible = totals(results)
    return {
        "version": __version__,
        "points": points,
        "possible": possible,
        "not limited": missing,
        "exercises": {r.name: _exercise(r, hint) for r in results},
    }


def _exercise(result, hint):
    entry = {"state": result.state, "points": result.points, "possible": result.possible}
    entry |= {"message": shown(result, hint), "cause": result.cause if hint == 3 else ""}
    entry["report"] = result.report if hint == 3 else ""
    return entry | {p.label: {"state": p.state, "points": p.points, "possible": p.possible} for p in result.parts}


def gradescope(results: list[Result], missing: list[str], hint: int = 3) -> dict[str, Any]:
    """Gradescope's results.json: a test for each part of each exercise, failed also where it is not started."""
    tests = []
    for number, result in enumerate(results, 1):
        for i, part in enumerate(result.parts, 1):
            output = shown(result, hint) if part.state != "right" else ""
            if part.state == "wrong" and hint == 3 and result.report:
                output += "\n\n" + result.report
            tests.append(
                {
                    "name": f"{result.name}: {part.label}",
                    "number": f"{number}.{i}",
                    "score": part.points,
                    "max_score": part.possible,
                    "status": "passed" if part.state == "right" else "failed",
                    "output": output or part.state,
                    "output_format": "text",
                    "visibility": "visible",
                }
            )
    points, possible = totals(results)
    output = f"{points} of {possible} points, minixfmr {__version__}"
    if missing:
        output += "\nnot limited on this system: " + "; ".join(missing)
    return {"score": points, "output": output, "visibility": "visible", "tests": tests}


# --- a class: {student: results}


def class_table(marked: dict[str, list[Result]]) -> str:
    """A row for each student, a column for each exercise."""
    if not marked:
        return ""
    names = [r.name for r in next(iter(marked.values()))]
    width = max(12, *(len(student) for student in marked))
    heads = [_short(name) for name in names]
    rows = [f"{'':{width}} {' '.join(f'{h:>6}' for h in heads)}  total"]
    for student, results in marked.items():
        cells = [f"{_points(r):>6}" for r in results]
        points, possible = totals(results)
        rows.append(f"{student:{width}} {' '.join(cells)}  {points:3}/{possible}")
    return "\n".join(rows)


def _short(name):
    """softmax → softm, multi_head_attention → m_h_a"""
    words = name.split("_")
    return (
        name[:6]
        if len(words) == 1
        else "_".join(w[0] for w in words)
        if len(words) > 2
        else f"{words[0][:3]}_{words[1][:2]}"
    )


def _points(result):
    return "–" if result.state == "not started" and not result.points else str(result.points)


def class_csv(marked: dict[str, list[Result]], notes: dict[str, str]) -> str:
    """A row for each student: points of each exercise, total, and what went wrong."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [r.name for r in next(iter(marked.values()), [])]
    writer.writerow(["student", "points", "possible", *names, "note", "wrong"])
    for student, results in marked.items():
        wrong = "; ".join(f"{r.name}: {r.message}" for r in results if r.state == "wrong")
        row = [student, *totals(results), *(r.points for r in results), notes.get(student, ""), wrong]
        writer.writerow([_harmless(cell) for cell in row])
    return out.getvalue()


def _harmless(cell):
    """A cell that no spreadsheet takes for a formula."""
    return "'" + cell if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t")) else cell


def tally(marked: dict[str, list[Result]]) -> str:
    """How many of the class make which mistake, the most frequent first."""
    wrong = [r for results in marked.values() for r in results if r.state == "wrong"]
    count = Counter((r.name, r.cause) for r in wrong)
    n = len(marked)
    rest = {
        "other": "without a known cause",
        USES_WRONG: "since they use a file that is",
        NEEDS: "since a file is missing",
    }
    lines = [f"{times:3} of {n}  {name}: {cause}" for (name, cause), times in count.most_common() if cause not in rest]
    for cause, text in rest.items():
        more = sum(times for (_, c), times in count.items() if c == cause)
        lines += [f"{more:3} more results are wrong {text}"] if more else []
    return "\n".join(lines) or "no mistakes"


def student_name(folder_name: str, taken: Container[str]) -> str:
    """A folder's name as one plain line, unlike those that are taken."""
    name = plain(folder_name, 40) or "?"
    numbers = (f"{name} ({i})" for i in itertools.count(2))
    return name if name not in taken else next(n for n in numbers if n not in taken)
