"""The lines of a file cut into columns: between tabs, or between commas, semicolons and the like, quoted or not."""

import csv
import re

from . import DataError
from .console import counted, note

NAMED = {"tab": "\t", "comma": ",", "semicolon": ";"}
RECOGNISED = (";", ",", "|||", "|")  # where there are no tabs
WORDS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
BAD = "\0"  # stands for a line that is no text; no text has it
EXCEL = re.compile("sep=(.)", re.IGNORECASE)  # a first line by which Excel says what stands between the columns


def cut(path, lines, separator=None, quoting=None):
    """(line number, columns, or None for a line that is no text) of each row.

    separator: None is the tab, unless no line has one and all have equally many columns by another
    quoting: "csv": a cell may stand in double quotes, as Excel writes it, with separators and ends of lines in it;
    "none": a quote is a character. None: "csv" between commas and semicolons, else "none"
    """
    said = EXCEL.fullmatch(lines[0] or "")
    chosen = separator or (said[1] if said else _recognised(path, lines, quoting))
    if not separator and chosen != "\t":
        print(f"{path}: the columns stand between {WORDS.get(chosen, chosen)} (--separator chooses others)")
    rows = _cut(path, lines, chosen, quoting)
    if chosen == "\t" and not quoting:
        _tell_quotes(path, rows)
    return rows[1:] if said else rows


def _recognised(path, lines, quoting):
    text = [line for line in lines if line and line.strip()]
    if len(text) < 2 or any("\t" in line for line in text) or text[0].lstrip()[0] in "{[<":  # JSON, XML
        return "\t"
    fitting = [separator for separator in RECOGNISED if _fits(path, lines, separator, quoting)]
    if {";", ","} <= set(fitting):
        raise DataError(f"{path}: the columns may stand between commas or semicolons: say it, with --separator ';'")
    return fitting[0] if fitting else "\t"


def _fits(path, lines, separator, quoting):
    """Whether all rows have equally many columns, two or more. Commas of a text have a space behind them."""
    if separator in (",", ";") and 2 * sum(line.count(f"{separator} ") for line in lines if line) > sum(
        line.count(separator) for line in lines if line
    ):
        return False
    try:
        rows = [row for _, row in _cut(path, lines, separator, quoting) if row and any(map(str.strip, row))]
    except DataError:
        return False
    widths = {len(row) for row in rows}
    return len(rows) > 1 and len(widths) == 1 and min(widths) > 1


def _cut(path, lines, separator, quoting):
    if (quoting or ("csv" if separator in (",", ";") else "none")) == "none":
        return [(n, line if line is None else line.split(separator)) for n, line in enumerate(lines, 1)]
    if len(separator) > 1:
        raise DataError(f"--quoting csv takes a separator of one character, not {separator!r}")
    csv.field_size_limit((1 << 31) - 1)
    whole = (BAD if line is None else line.replace("\r", " ") + "\n" for line in lines)  # only line feeds end lines
    reader = csv.reader(whole, delimiter=separator, strict=True)
    rows, first = [], 1
    try:
        for row in reader:
            rows.append((first, None if any(BAD in cell for cell in row) else row))
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {first}: the double quotes do not pair up ({error}); where they are characters like any "
            "other, say --quoting none"
        ) from None
    return rows


def _tell_quotes(path, rows):
    """Cells that a spreadsheet seems to have put in quotes are named, for they are read as they stand."""
    cells = [cell for _, row in rows for cell in row or ()]
    quoted = [cell for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == '"']
    doubled = [cell for cell in quoted if '""' in cell[1:-1]]
    found, kind = (quoted, "quotes") if 2 * len(quoted) > len(cells) else (doubled, "doubled quotes")
    if found:
        words = f"{counted(len(found), 'cell')} in {kind}, which stay as they are"
        note(f"{path}: {words}; --quoting csv takes them off")
