"""What a configuration can do with its fields: check them, name them, write them down."""

import inspect
import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, get_args

from .values import plain, shown


class ConfigError(ValueError):
    """A field of a Config is wrong; the message names it, its value, what is valid and the fix."""


@dataclass(frozen=True)
class Fields:
    """The base of Config."""

    def __post_init__(self) -> None:
        for field in fields(self):
            self._take(field.name, field.type)

    def require(self, name: str, holds: bool, valid: str) -> None:
        """Raise ConfigError, naming the field, unless it holds."""
        if not holds:
            raise ConfigError(f"{name} must be {valid}, got {shown(getattr(self, name))}")

    def one_of(self, name: str, choices: tuple[str, ...]) -> None:
        """Raise ConfigError unless the field has one of these values."""
        self.require(name, getattr(self, name) in choices, "one of " + ", ".join(map(repr, choices)))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration of such values. Raises ConfigError for a name that is no field, or for a missing one."""
        if not isinstance(values, dict):
            raise ConfigError(f"a config must be a dictionary of its fields, got a {type(values).__name__}")
        names = list(inspect.signature(cls).parameters)  # the paper's first
        unknown = sorted({str(name) for name in values} - set(names))
        if unknown:
            raise ConfigError(f"unknown config field {', '.join(unknown)}: the fields are {', '.join(names)}")
        if "vocab_size" not in values:
            raise ConfigError("the config lacks vocab_size, which has no default")
        return cls(**values)

    def _take(self, name, kind):
        """Keep the value as Python's own number, for it may be NumPy's. Raises ConfigError for another type."""
        value = plain(getattr(self, name))
        allowed = get_args(kind) or (kind,)
        if isinstance(value, int) and not isinstance(value, bool) and float in allowed and int not in allowed:
            value = float(value) if abs(value) < 1 << 1000 else math.inf
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            wanted = getattr(kind, "__name__", str(kind))
            shown_kind = "" if "(" in shown(value) else f" ({type(value).__name__})"
            raise ConfigError(f"{name} must be of type {wanted}, got {shown(value)}{shown_kind}")
        object.__setattr__(self, name, value)


def with_remarks(cls: type) -> type:
    """Add the remark beside each field to the docstring, for help()."""
    try:
        sources = [inspect.getsource(kind) for kind in cls.__mro__ if issubclass(kind, Fields)]
    except OSError:  # installed without its source
        return cls
    remarks = [found for source in sources for found in re.findall(r"^    (\w+): .*?  # (.*)$", source, re.M)]
    cls.__doc__ = f"{cls.__doc__}\n" + "\n".join(f"    {name}: {remark}" for name, remark in remarks)
    return cls
