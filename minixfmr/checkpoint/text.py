"""JSON as strict as it can be read: what Python's reader lets through, and JSON does not know, is refused."""

import json
import math
from pathlib import Path
from typing import Any

from .disk import CheckpointError, is_there, read_file

DEEPEST = 64  # a value inside values inside values ...
DIGITS = 400  # of a whole number


def parse_json(data: bytes | str, constants: bool = False) -> Any:
    """The value of a JSON text. Raises ValueError for what is no JSON, is ambiguous, or too deep or large to be meant.

    constants: NaN and Infinity, which json.dumps writes and JSON does not know, are numbers too
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        constant = float if constants else _refuse
        value = json.loads(
            text, object_pairs_hook=_once, parse_float=_finite, parse_int=_integer, parse_constant=constant
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except MemoryError:
        raise ValueError("it does not fit into memory") from None
    _check_depth(value)
    return value


def read_json(path: Path, missing: Any = None, kind: type = dict) -> Any:
    """The dictionary, or the list, in a JSON file; missing, if given and there is no file. Raises CheckpointError."""
    if missing is not None and not is_there(path) and not path.is_symlink():
        return missing
    data = read_file(path)
    try:
        value = parse_json(data)
    except ValueError as error:
        raise CheckpointError(
            f"cannot read {path}: it is no JSON, or damaged ({error}); copy or download it again"
        ) from error
    if not isinstance(value, kind):
        raise CheckpointError(
            f"cannot read {path}: it must hold a {kind.__name__}, and holds {json.dumps(value)[:40]}; is it another "
            "file?"
        )
    return value


def canonical(value: Any) -> str:
    """The one text of a JSON value, by which two are compared: to Python 1 == 1.0 == True."""
    return json.dumps(value, sort_keys=True)


def _once(pairs):
    """A dictionary of pairs, in which no key has two values."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and canonical(found[name]) != canonical(value):
            raise ValueError(f"{name!r} is there twice, with two values")
        found[name] = value
    return found


def _finite(digits):
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _integer(digits):
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too large")
    return int(digits)


def _refuse(name):
    raise ValueError(f"{name} is no number of JSON")


def _check_depth(value):
    level = [value]
    for _ in range(DEEPEST):
        lists = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for values in lists for item in values]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} times")
