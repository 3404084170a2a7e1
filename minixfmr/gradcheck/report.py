"""What a check found: a row for each gradient, a line for each property, and what went wrong where something did."""

import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy

RIGHT, WRONG, NOT_CHECKED = "right", "WRONG", "NOT CHECKED"  # the three verdicts
WIDTH = 100  # columns of the printed table


class GradcheckError(ValueError):
    """What was given cannot be checked; the message says in one sentence what, where and how to mend it."""

    original: BaseException | None = None  # what the code under check raised


@dataclass
class Row:
    """The check of one array: a parameter or an input."""

    name: str
    shape: tuple[int, ...]
    relative_error: float  # the largest over the entries that were checked
    where: tuple[int, ...]  # the index of that entry
    analytic: float  # what backward says there
    numeric: float  # what finite differences say there
    ok: bool
    checked: int = 0  # entries compared
    kinks: int = 0  # entries left out: L has a kink there (ReLU at 0), so no derivative to compare with
    broken: int = 0  # entries left out: L is NaN or infinite there or right beside it

    @property
    def verdict(self) -> str:
        if not self.ok:
            return "WRONG"
        return "ok" if self.checked or not numpy.prod(self.shape) else "NaN" if self.broken else "kink"


@dataclass
class Property:
    """Something that must hold and that no finite difference can see."""

    name: str
    ok: bool
    remark: str = ""  # what was seen where it does not hold


@dataclass
class Explanation:
    """A change that turns the analytic gradient into the numeric one: it was applied, and the gradients passed."""

    names: tuple[str, ...]  # the gradients that it mends
    cause: str  # one of the causes of remedies.py
    sentence: str  # what is wrong, and the fix
    line: int | None = None  # of the source, where it could be found

    def __str__(self) -> str:
        return f"{', '.join('d' + name for name in self.names)}: {self.sentence}"


@dataclass
class Report:
    """The outcome of a check; print it for a table."""

    tolerance: float
    rows: list[Row] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    maps: dict[str, str] = field(default_factory=dict)  # {name: picture of the wrong entries}, where nothing explains
    first_step: str = ""  # the first intermediate gradient of backward that is wrong
    pencil: dict[str, Any] = field(default_factory=dict)  # the smallest inputs at which a gradient is still wrong
    notes: list[str] = field(default_factory=list)  # what was assumed, a line each
    unchecked: list[str] = field(default_factory=list)  # what was not compared, each with what to do about it

    @property
    def verdict(self) -> str:
        """One of RIGHT, WRONG and NOT_CHECKED: right is what was found, compared and agrees, all of it."""
        if not all(row.ok for row in self.rows) or not all(p.ok for p in self.properties):
            return WRONG
        return NOT_CHECKED if self.unchecked else RIGHT

    @property
    def ok(self) -> bool:
        return self.verdict == RIGHT

    @property
    def max_relative_error(self) -> float:
        return max((row.relative_error for row in self.rows), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain dictionaries, lists and numbers, ready for JSON."""
        rows = [asdict(row) | {"verdict": row.verdict} for row in self.rows]
        for row in rows:  # JSON knows neither infinity nor NaN
            for key in ("relative_error", "analytic", "numeric"):
                row[key] = row[key] if numpy.isfinite(row[key]) else None
        return {
            "ok": self.ok,
            "verdict": self.verdict,
            "tolerance": self.tolerance,
            "max_relative_error": self.max_relative_error if numpy.isfinite(self.max_relative_error) else None,
            "rows": rows,
            "properties": [asdict(p) for p in self.properties],
            "explanations": [asdict(e) for e in self.explanations],
            "maps": dict(self.maps),
            "first_step": self.first_step,
            "pencil": dict(self.pencil),
            "assumed": list(self.notes),
            "not_checked": list(self.unchecked),
        }

    def __str__(self) -> str:
        lines = [f"{'':6}{'gradient of':30} {'shape':13} {'error':>7} {'at':>14} {'analytic':>12} {'numeric':>12}"]
        for r in self.rows:
            shape, where = ("×".join(map(str, index)) for index in (r.shape, r.where))
            lines.append(
                f"{r.verdict:6}{_short(r.name, 30):30} {_short(shape, 13):13} {r.relative_error:7.0e} "
                f"{_short(where, 14):>14} {r.analytic:12.4g} {r.numeric:12.4g}"
            )
        lines += _wrapped("ok    ", ", ".join(p.name for p in self.properties if p.ok))
        for p in self.properties:
            lines += [] if p.ok else _wrapped("WRONG ", f"{p.name}: {p.remark}")
        lines += [line for e in self.explanations for line in _wrapped("  why ", str(e))]
        for name, picture in self.maps.items():
            lines += _wrapped("  why ", f"d{name}: no mistake known to the checker turns it into the numeric gradient.")
            lines += textwrap.indent(picture, " " * 6).splitlines()
        lines += _wrapped(" step ", self.first_step) if self.first_step else []
        lines += _by_hand(self.pencil) if self.pencil else []
        lines += [line for note in self.notes for line in _wrapped("note  ", note)]
        lines += [line for what in self.unchecked for line in _wrapped("NOT CHECKED  ", what)]
        return "\n".join([*lines, *_wrapped("", self._summary())])

    def _summary(self):
        wrong = sum(not r.ok for r in self.rows) + sum(not p.ok for p in self.properties)
        agree = "all that was compared agrees" if self.unchecked else "all gradients agree"
        verdict = f"{wrong} wrong" if wrong else agree
        kinks, broken = (sum(getattr(r, what) for r in self.rows) for what in ("kinks", "broken"))
        left_out = f"; {kinks} entries left out, at a kink" if kinks else ""
        left_out += f"; {broken} entries where the output is NaN or infinite" if broken else ""
        worst = f"largest relative error {self.max_relative_error:.1e}, allowed {self.tolerance:.0e}"
        return f"{verdict}: {worst}{left_out}"


def wrong_entries(wrong: numpy.ndarray) -> str:
    """A picture of a boolean array, True where an entry is wrong: '#' for it, '.' for a right one.

    All axes but the last are folded into rows; long axes are folded into at most 16 rows and 64 columns of bins.
    """
    table = wrong.reshape(-1, wrong.shape[-1] if wrong.ndim else 1)
    rows = numpy.array_split(table, min(16, len(table)))
    columns = min(64, table.shape[1])
    lines = []
    for i, block in enumerate(rows):
        cells = [part.any() for part in numpy.array_split(block, columns, axis=1)]
        first = sum(map(len, rows[:i]))
        label = f"{first}" if len(block) == 1 else f"{first}-{first + len(block) - 1}"
        lines.append(f"row {label:>9} {''.join('#' if cell else '.' for cell in cells)}")
    share = f"{int(wrong.sum())} of {wrong.size} entries wrong ('#')"
    return "\n".join([f"{share}, rows over all axes but the last, columns over the last", *lines])


def _by_hand(case):
    """The lines of a pencil case."""
    named = {**case["inputs"], "dy": case["dy"], f"{case['gradient']} is": case["yours"], "must be": case["right"]}
    told = [f"{name}{'' if name.endswith(('is', 'be')) else ' ='} {_nested(value)}" for name, value in named.items()]
    return [
        *_wrapped("small ", "the smallest case that was found to fail, to redo by hand:"),
        *(line for text in told for line in _wrapped("      ", text)),
    ]


def _nested(value):
    """Nested lists, whole numbers without a point."""
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(text, width):
    return text if len(text) <= width else "…" + text[1 - width :]


def _wrapped(label, text):
    lines = textwrap.wrap(text, WIDTH - len(label))
    return [(label if i == 0 else " " * len(label)) + line for i, line in enumerate(lines)]
