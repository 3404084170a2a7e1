"""Find what can be checked in a student's file, and something to check it with."""

import importlib.util
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

from .blame import blame
from .report import GradcheckError

# what an argument without a default is tried as, by its name; B 2, T 5, d 6, heads 2
NAMED: dict[str, Callable[[numpy.random.Generator], Any]] = {
    "mask": lambda rng: None,
    "rng": lambda rng: numpy.random.default_rng(1),
    "seed": lambda rng: 1,
    "p": lambda rng: 0.3,
    "rate": lambda rng: 0.3,
    "eps": lambda rng: 1e-5,
    "num_heads": lambda rng: 2,
    "heads": lambda rng: 2,
    "ids": lambda rng: rng.integers(0, 4, (2, 5)),
    "tokens": lambda rng: rng.integers(0, 4, (2, 5)),
    "labels": lambda rng: rng.integers(0, 4, (2, 5)),
    "targets": lambda rng: rng.integers(0, 4, (2, 5)),
    "d_out": lambda rng: 4,
}
SHAPES = ((2, 5, 6), (6, 4), (6,), (4,), (6, 6), (5, 6), (2, 2, 5, 3))


def load_file(path: str) -> types.ModuleType:
    """Import a file by its path; its own folder is searched for what it imports."""
    file = Path(path).resolve()
    if not file.is_file():
        raise GradcheckError(f"{path} is not a file: give the path of a Python file, such as homework.py")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise GradcheckError(f"{path} is not a Python file: its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # so that the source can be found
    sys.path.insert(0, str(file.parent))
    try:
        with blame(file.name):
            spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def pairs_in(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """(name, (forward, backward)) of the functions name_forward and name_backward, then (name, class) of the layers."""
    for name, thing in list(vars(module).items()):
        if inspect.isfunction(thing) and name.endswith("_forward") and thing.__module__ == module.__name__:
            stem = name.removesuffix("_forward")
            backward = getattr(module, f"{stem}_backward", None)
            if backward is None:
                raise GradcheckError(f"{name} has no {stem}_backward beside it: write it, or rename the function")
            yield stem, (thing, backward)
    for name, thing in list(vars(module).items()):
        layer = inspect.isclass(thing) and all(callable(getattr(thing, m, None)) for m in ("forward", "backward"))
        if layer and thing.__module__ == module.__name__:
            yield name, thing


def inputs_for(module: types.ModuleType, name: str, thing: Any, seed: int = 0) -> tuple[Any, tuple]:
    """What to check and the arguments of its forward: (pair or layer, arguments).

    From the file's hook, gradcheck_inputs(name, rng) → the arguments of forward; for a class, the layer comes first.
    Where there is no hook, or it returns None: defaults stay as they are, known names get what is usual (NAMED), and
    other arguments are tried as float arrays of a few shapes until forward runs.
    """
    rng = numpy.random.default_rng(seed)
    hook = getattr(module, "gradcheck_inputs", None)
    with blame(hook or name):
        given = hook(name, rng) if hook else None
    if given is not None:
        given = given if isinstance(given, tuple) else (given,)
        return (given[0], given[1:]) if inspect.isclass(thing) else (thing, given)
    if inspect.isclass(thing):
        thing = _construct(thing, name, rng)
    forward = thing[0] if isinstance(thing, tuple) else thing.forward
    first_error = ""
    for arguments in _guesses(forward, rng):
        try:
            with blame(forward):
                forward(*arguments)
            return thing, arguments
        except GradcheckError as error:  # these shapes do not fit: try others
            first_error = first_error or str(error)
    raise GradcheckError(
        f"no shapes were found that forward accepts ({first_error}); if it is right, add to the file\n"
        f"    def gradcheck_inputs(name, rng):\n"
        f'        if name == "{name}":\n'
        f"            return rng.standard_normal((2, 5, 6)), ...  # the arguments of forward"
    )


def _construct(kind, name, rng):
    sizes = {p.name: NAMED.get(p.name, lambda rng: 6)(rng) for p in _required(kind)}
    try:
        return kind(**sizes)
    except Exception as error:
        raise GradcheckError(
            f"{name}({', '.join(f'{k}={v!r}' for k, v in sizes.items())}) raised {type(error).__name__}: {error}; let "
            f'gradcheck_inputs("{name}", rng) return a layer and the arguments of its forward'
        ) from None


def _guesses(forward, rng):
    """Tuples of arguments: the first array is (B, T, d), the others take a few shapes in turns."""
    required = _required(forward)
    unknown = [p.name for p in required if p.name not in NAMED]
    for shapes in itertools.product(SHAPES[:1], *[SHAPES[1:] + SHAPES[:1]] * (len(unknown) - 1)):
        arrays = dict(zip(unknown, map(rng.standard_normal, shapes), strict=False))
        yield tuple(arrays[p.name] if p.name in arrays else NAMED[p.name](rng) for p in required)
        if not unknown:
            return


def _required(function):
    kinds = inspect.signature(function).parameters.values()
    return [p for p in kinds if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
