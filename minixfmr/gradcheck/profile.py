"""A course's conventions, written once: [tool.minixfmr.gradcheck] in pyproject.toml, or a small TOML file.

preset = "deeplearning.ai"          # start from the conventions of a known course
gradients = ["dJ_{name}"]           # names of gradients beside those that are known
outputs = 2                         # of what forward returns, the first two have an upstream gradient
data = ["target", "pe"]             # arguments and attributes without a gradient
mask = "padding"                    # what True means in a mask: "padding" or "attend"
factor = "examples in columns"      # gradients of parameters are divided by the number of columns of the input;
                                    # "examples in rows" likewise; without it they are wrong
suffixes = ["_naive"]               # conv_forward_naive and conv_backward_naive are a pair
tolerance = 1e-6
seconds = 20                        # for each pair or layer
"""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .names import DATA, plain
from .report import GradcheckError

MASKS = ("", "padding", "attend")
FACTORS = ("", "examples in columns", "examples in rows")


@dataclass(frozen=True)
class Profile:
    """See the module; every field may be left out."""

    gradients: tuple[str, ...] = ()
    outputs: int = 0  # 0: as the names of backward's arguments say
    data: tuple[str, ...] = ()
    mask: str = ""
    factor: str = ""
    suffixes: tuple[str, ...] = ()
    tolerance: float = 1e-7
    seconds: float = 60.0
    given: frozenset = field(default=frozenset(), repr=False)

    def is_data(self, name: str) -> bool:
        """Does the course say that this array has no gradient?"""
        return any(plain(name) == plain(d) or plain(name.split(".")[-1]) == plain(d) for d in self.data)

    def looks_like_data(self, name: str) -> bool:
        """Is it named as targets and labels are?"""
        return plain(name) in DATA or any(word in plain(name) for word in ("target", "label", "truth"))


PRESETS: dict[str, dict[str, Any]] = {
    "cs231n": {"suffixes": ["_naive", "_fast", "_im2col"], "data": ["running_mean", "running_var"]},
    "cmu-11785": {"gradients": ["dLd{name}"], "data": ["running_M", "running_V"]},
    "deeplearning.ai": {"factor": "examples in columns", "data": ["Y", "AL_target"]},
    "uva": {"gradients": ["{name}_grad"]},
    "dlfs": {"data": ["t"], "gradients": ["d{name}"]},
    "nnfs": {"gradients": ["d{name}"], "data": ["y_true"]},
}


def profile_of(given: Any) -> Profile:
    """A Profile from one, from a dictionary, from the name of a preset, from the path of a TOML file, or from None."""
    if given is None:
        return Profile()
    if isinstance(given, Profile):
        return given
    if isinstance(given, dict):
        return _from_dictionary(given, "the profile")
    if str(given) in PRESETS:
        return _from_dictionary(PRESETS[str(given)], str(given))
    path = Path(given) if isinstance(given, str | Path) else Path()
    if not path.is_file():
        raise GradcheckError(f"{given} is no profile: give a TOML file, or one of {', '.join(PRESETS)}")
    return _from_dictionary(_table(path), path.name)


def profile_beside(file: Path) -> Profile:
    """The profile of the nearest gradcheck.toml or pyproject.toml, from the file's folder upwards."""
    for folder in file.resolve().parents:
        for name in ("gradcheck.toml", "pyproject.toml"):
            path = folder / name
            if path.is_file() and (table := _table(path)):
                return _from_dictionary(table, str(path))
    return Profile()


def _table(path):
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise GradcheckError(f"{path} cannot be read as TOML: {error}") from None
    if path.name == "pyproject.toml" or "tool" in table:
        return table.get("tool", {}).get("minixfmr", {}).get("gradcheck", {})
    return table


def _from_dictionary(table, where):
    table = dict(table)
    if "preset" in table:
        preset = table.pop("preset")
        if preset not in PRESETS:
            raise GradcheckError(f"{where}: preset is {preset!r}: choose from {', '.join(PRESETS)}")
        base = dict(PRESETS[preset])
        table = base | {k: [*base[k], *v] if isinstance(v, list) and k in base else v for k, v in table.items()}
    known = {f.name: f for f in fields(Profile) if f.name != "given"}
    for key, value in table.items():
        if key not in known:
            raise GradcheckError(f"{where}: {key!r} is no setting: choose from {', '.join([*known, 'preset'])}")
        _checked(where, key, value, known[key].default)
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Profile(**settings, given=frozenset(table))


def _checked(where, key, value, default):
    if isinstance(default, tuple):
        valid = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        wanted = "a list of strings"
    elif key in ("mask", "factor"):
        choices = (MASKS if key == "mask" else FACTORS)[1:]
        valid, wanted = value in choices, " or ".join(map(repr, choices))
    else:
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        valid, wanted = valid and (key != "outputs" or isinstance(value, int)), "a number above 0"
    if not valid:
        raise GradcheckError(f"{where}: {key} is {value!r}: give {wanted}")
    if key == "gradients":
        for template in value:
            if template.count("{name}") != 1:
                raise GradcheckError(
                    f"{where}: gradients holds {template!r}: write {{name}} where the array's name goes"
                )
