"""Explanations in the student's own names: dout for dy, the names a cache is unpacked into for saved[0]."""

import ast
import inspect
import re
import textwrap

from ..subject import Subject
from .instrument import plain


def in_their_words(text: str, subject: Subject) -> str:
    """The text with the names that backward uses."""
    names = _names(subject)
    for ours, theirs in names.items():
        text = re.sub(rf"(?<![\w.`]){re.escape(ours)}(?![\w\[])", theirs, text)
    return text


def _names(subject):
    """{ours: theirs}, as far as the source tells."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(plain(subject.backward_code))))
    except (OSError, TypeError, SyntaxError):
        return {}
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return {}
    arguments = [a.arg for a in definition.args.args if a.arg != "self"]
    names = {"dy": arguments[0]} if arguments else {}
    for node in ast.walk(definition):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
            continue
        if isinstance(node.value, ast.Name) and node.value.id in arguments[-1:]:
            entries = node.targets[0].elts
            names |= {f"saved[{i}]": e.id for i, e in enumerate(entries) if isinstance(e, ast.Name)}
    return names
