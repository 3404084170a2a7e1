"""Source code in a notebook: functions as they stand in their files, alone or beside those that do the same."""

import ast
import html
import inspect
import textwrap
from pathlib import Path

import minixfmr

PACKAGE = Path(minixfmr.__file__).parent


class Code:
    """Functions one below the other."""

    def __init__(self, *functions):
        self.text = "\n\n".join("\n".join(lines(function)) for function in functions)

    def __repr__(self):
        return self.text

    def _repr_markdown_(self):
        return f"```python\n{self.text}\n```"


class SideBySide:
    """Each line of a function, and beside it what does the same elsewhere.

    others: the functions from elsewhere. beginnings: how their lines begin that answer those of the function, one entry
    for each line below its def: a string, several in a tuple, or "" where nothing answers. Raises ValueError where no
    line, or more than one, of the others begins like that.
    """

    def __init__(self, function, others, beginnings):
        head, *body = lines(function)
        known = [line for other in others for line in lines(other)]
        self.rows = [(head, others_named(others))]
        for line, starts in zip(body, beginnings, strict=True):
            found = [the_line(known, start) for start in ((starts,) if isinstance(starts, str) else starts) if start]
            self.rows.append((line, "\n".join(found)))

    def __repr__(self):
        width = max(len(left) for left, _ in self.rows)
        return "\n".join(
            f"{left if i == 0 else '':{width}} | {part}".rstrip()
            for left, right in self.rows
            for i, part in enumerate(right.split("\n"))
        )

    def _repr_html_(self):
        style = 'style="text-align: left; vertical-align: top; white-space: pre-wrap; padding: 0 6px"'
        rows = "".join(
            "<tr>" + "".join(f"<td {style}><code>{html.escape(part)}</code></td>" for part in row) + "</tr>"
            for row in self.rows
        )
        return f'<table style="table-layout: fixed; width: 100%; font-size: 90%">{rows}</table>'


def lines(function):
    """The lines of a function, at the margin, without its docstring."""
    source = textwrap.dedent(inspect.getsource(function)).rstrip()
    (node,) = ast.parse(source).body
    found = source.splitlines()
    if ast.get_docstring(node) is not None:
        text = node.body[0]
        del found[text.lineno - 1 : text.end_lineno]
    return found


def others_named(functions):
    """The names of functions, with the files in which they stand."""
    return "\n".join(f"# {function.__qualname__} in {short_path(function)}" for function in functions)


def short_path(function):
    """The path of a function's file from the package, or else with the folder it is in."""
    file = Path(inspect.getsourcefile(inspect.unwrap(function)))
    inside = file.is_relative_to(PACKAGE)
    return (file.relative_to(PACKAGE) if inside else Path(file.parent.name, file.name)).as_posix()


def the_line(known, start):
    """The one line that begins like this, without its indentation."""
    found = {line.strip() for line in known if line.strip().startswith(start)}
    if len(found) != 1:
        raise ValueError(f"{len(found)} lines begin with {start!r}: {sorted(found)}")
    return found.pop()
