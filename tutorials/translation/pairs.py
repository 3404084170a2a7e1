"""Sentence pairs out of files: two columns of one, or the lines of two. Every sentence is normalised here, once."""

import re
from dataclasses import dataclass

from . import DataError
from .columns import cut
from .console import counted, note
from .files import normalise, read_lines

HEADERS = {"source", "target", "src", "tgt", "trg", "sentence", "translation", "text", "en", "de", "fr", "es", "it"}
HEADERS |= {"english", "german", "french", "spanish", "italian", "input", "output", "source_text", "target_text"}
HEADERS |= {"deutsch", "englisch", "französisch", "anglais", "allemand", "français", "inglés", "español", "italiano"}
NUMBER = re.compile(r"-?\d+([.,]\d+)?")
LANGUAGE = re.compile(r"[a-z]{2,3}([-_]\w{2,4})?", re.ASCII | re.IGNORECASE)


@dataclass
class Layout:
    """How a file of pairs is laid out.

    columns: the numbers, from 1, of the source's and the target's; None: the first two, or those of a Tatoeba export
    reverse: from target to source. header: the first line is none of the data. skip_bad_lines: instead of an error
    separator, quoting: of the columns, as columns.cut has them
    """

    columns: tuple[int, int] | None = None
    reverse: bool = False
    header: bool = False
    skip_bad_lines: bool = False
    separator: str | None = None
    quoting: str | None = None

    def turned(self, pairs):
        return [(target, source) for source, target in pairs] if self.reverse else pairs


def read_pairs(path, layout=None):
    """The pairs of a file with columns, a source and its translation on each line."""
    layout = layout or Layout()
    lines = read_lines(path, layout.skip_bad_lines)
    numbered = cut(path, lines, layout.separator, layout.quoting)
    filled = [(n, columns) for n, columns in numbered if columns is None or any(map(str.strip, columns))]
    _tell(len(numbered) - len(filled), "empty line", path)
    filled = filled[1:] if layout.header else filled
    first, second = layout.columns or _columns(path, [columns for _, columns in filled[1:] or filled if columns])
    filled = filled[1:] if not layout.header and _is_header(path, filled, (first, second)) else filled
    pairs, bad = [], []
    for number, columns in filled:
        pair = _pick(columns or [], first - 1, second - 1)
        if pair:
            pairs.append(pair)
        elif not layout.skip_bad_lines:
            raise DataError(_complaint(path, number, columns, first, second))
        else:
            bad.append(number)
    _tell(len(bad), "bad line", path, bad)
    if not pairs:
        raise DataError(f"{path} holds no line with a source in column {first} and a target in column {second}")
    return layout.turned(pairs)


def read_parallel(source, target, layout=None):
    """The pairs of two files where equal line numbers belong together; where one side is empty there is no pair."""
    layout = layout or Layout()
    sources, targets = (read_lines(path, layout.skip_bad_lines) for path in (source, target))
    if layout.header:
        sources, targets = sources[1:], targets[1:]
    shorter = min(len(sources), len(targets))
    surplus = sources[shorter:] + targets[shorter:]
    if any(line is None or line.strip() for line in surplus):
        raise DataError(
            f"{source} has {len(sources)} lines, {target} has {len(targets)}: line n of one must translate line n of "
            "the other"
        )
    bad = [n for n, pair in enumerate(zip(sources, targets, strict=False), 1 + layout.header) if None in pair]
    good = [pair for pair in zip(sources, targets, strict=False) if None not in pair]
    pairs = [tuple(map(normalise, pair)) for pair in good]
    filled = [pair for pair in pairs if all(pair)]
    _tell(len(bad), "bad line", source, bad)
    _tell(len(pairs) - len(filled) + len(surplus), "pair", source, why=", which have an empty side")
    if not filled:
        raise DataError(f"{source} and {target} hold no pair of lines that are both filled")
    return layout.turned(filled)


def _pick(columns, first, second):
    """The two sentences, or None unless both are there."""
    if max(first, second) >= len(columns):
        return None
    pair = normalise(columns[first]), normalise(columns[second])
    return pair if all(pair) else None


def _complaint(path, number, columns, first, second):
    wanted = "source TAB target" if (first, second) == (1, 2) else f"sentences in columns {first} and {second}"
    line = "\t".join(columns)
    hint = next((words for mark, words in HINTS if len(columns) == 1 and mark(line)), "")
    return (
        f"{path}, line {number}: expected {wanted}, got {line[:60]!r}{hint}; --columns chooses others, "
        "--skip-bad-lines leaves such lines out"
    )


HINTS = (  # what a line that is no pair looks like
    (lambda line: line.lstrip()[:1] in ("{", "["), "; it looks like JSON: write its sentences as source TAB target"),
    (lambda line: line.lstrip()[:1] == "<", "; it looks like XML: write its sentences as source TAB target"),
    (lambda line: '"' in line and line.count('"') % 2, "; does a cell in quotes go on? --quoting csv reads such cells"),
    (lambda line: "  " in line.strip(), "; are the columns between spaces? They must be between tabs"),
    (lambda line: ";" in line, "; are the columns between semicolons? Say --separator ';'"),
    (lambda line: "," in line, "; are the columns between commas? Say --separator ,"),
)


def _columns(path, rows):
    """The first two columns, unless one of them holds no sentences: then those beside the numbers of a Tatoeba
    export."""
    if _numbers([row for row in rows if len(row) == 2])[:1] == [0]:
        note(f"{path}: column 1 holds numbers alone, and they are taken for the sources")
    rows = [row for row in rows if len(row) > 2]
    width, numbers = min(map(len, rows), default=0), _numbers(rows)
    for i in range(min(width, 2) if len(rows) > 1 else 0):
        cells = {row[i].strip() for row in rows}
        if len(cells) == 1 and LANGUAGE.fullmatch(cell := cells.pop()):
            raise DataError(
                f"{path}: column {i + 1} holds {cell} on every line, which seems to be a language: name the columns of "
                "the sentences, such as --columns 2,4 (or --columns 1,2 if they are these)"
            )
    if not {0, 1} & set(numbers):
        return 1, 2
    if width >= 4 and numbers[:2] == [0, 2] and not {1, 3} & set(numbers):
        print(f"{path}: sentences are read from columns 2 and 4, columns 1 and 3 are numbers of sentences")
        return 2, 4
    raise DataError(
        f"{path}: column {numbers[0] + 1} holds numbers alone, which may be ids or scores: name the columns of the "
        "sentences, such as --columns 2,3"
    )


def _numbers(rows):
    """Which columns hold numbers alone; a header or a bad line changes nothing."""
    width = min(map(len, rows), default=0)
    return [i for i in range(width) if sum(bool(NUMBER.fullmatch(row[i].strip())) for row in rows) > 0.9 * len(rows)]


def _is_header(path, rows, columns):
    """Whether the first line names the columns."""
    pair = _pick(rows[0][1] or [], *(column - 1 for column in columns)) if rows else None
    names = {name.lower() for name in pair or ()}
    named = len(names) == 2 and names <= HEADERS
    if named:
        print(f"{path}: line {rows[0][0]} names the columns ({', '.join(pair)}) and is left out")
    return named


def _tell(number, what, path, lines=(), why=""):
    if number:
        where = f" (the first is line {lines[0]})" if lines else ""
        print(f"left out {counted(number, what)} of {path}{where}{why}")
