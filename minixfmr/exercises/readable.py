"""What a student's code may read, where the system can limit that."""

import functools
import sysconfig
from pathlib import Path

import numpy

from .child.student import FORBIDDEN

SYSTEM = ("/lib", "/lib64", "/etc", "/usr/share", "/sys", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo")


@functools.cache
def installed_paths() -> list[str]:
    """All that is installed, one by one, without this package and those that solve the exercises."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    installed = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")] + [Path(numpy.__file__).parents[1]]
    paths = [p for p in stdlib.glob("*") if p.name not in ("site-packages", "dist-packages")]
    paths += [p for folder in dict.fromkeys(installed) for p in folder.glob("*")]
    paths = [p for p in paths if not p.name.lower().startswith(FORBIDDEN) and p.suffix != ".pth"]
    paths += map(
        Path, ("/lib", "/lib64", "/etc", "/usr/share", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/sys")
    )
    return [str(p) for p in paths if p.exists()]
