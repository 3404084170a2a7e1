"""The double of CuPy against CuPy itself: its manners, and that each name and argument used is one that CuPy has."""

import ast
import copy
import importlib
import inspect
import re
from pathlib import Path

import cupy_double
import numpy
import pytest
from conftest import install_double
from cupy_double import counts

import minixfmr
from minixfmr.backend import to_device, xp

PACKAGE = Path(minixfmr.__file__).parent
TREES = {p.relative_to(PACKAGE).as_posix(): ast.parse(p.read_text(encoding="utf-8")) for p in PACKAGE.rglob("*.py")}
ON_CUDA_ALONE = {"add", "argpartition", "random"}  # used where a module has them


@pytest.fixture
def double(monkeypatch):
    install_double(monkeypatch)
    with minixfmr.backend("cupy"):
        counts.clear()
        yield cupy_double


# --- the double has CuPy's manners


class TestManners:
    def test_it_is_no_numpy_array_and_becomes_none_unasked(self, double):
        x = xp.ones((2, 3))
        assert not isinstance(x, numpy.ndarray)
        for convert in (numpy.asarray, numpy.array, numpy.sum, numpy.exp):
            with pytest.raises(TypeError):
                convert(x)
        with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
            numpy.asarray(x)

    def test_it_does_not_mix_with_numpy(self, double):
        x, y = xp.ones(3), numpy.ones(3)
        for mixed in (
            lambda: x + y,
            lambda: y + x,
            lambda: x @ y,
            lambda: y @ x,
            lambda: x < y,
            lambda: xp.maximum(x, y),
            lambda: xp.exp(y),
            lambda: x.__iadd__(y),
            lambda: x.__setitem__(slice(None), y),
            lambda: xp.concatenate([x, y]),
            lambda: xp.exp(x, out=y),
        ):
            with pytest.raises(TypeError):
                mixed()
        with pytest.raises(TypeError):
            y += x
        assert float((x + numpy.float64(1)).sum()) == 6  # scalars are no arrays

    def test_waiting_is_counted(self, double):
        x = xp.arange(3)
        for wait in (float, int, bool, repr, lambda a: a.item(), lambda a: a.tolist(), lambda a: a.get()):
            counts.clear()
            wait(x[1])
            assert len(counts.downloads) == 1
        counts.clear()
        total = x.sum()
        assert isinstance(total, double.ndarray)
        assert total.shape == ()
        assert counts.downloads == []
        assert [float(v) for v in x] == [0, 1, 2]
        assert len(counts.downloads) == 3

    def test_launches_are_counted_and_views_are_free(self, double):
        x = xp.ones((2, 3, 4))
        counts.clear()
        view = x.swapaxes(1, 2)[:, 1:].reshape(2, 3, 3)
        assert counts.launches == 0
        assert view.base is x
        view += 1
        assert counts.launches == 1
        assert float(x[0, 0, 1]) == 2
        x.transpose(2, 0, 1).reshape(-1)  # has to copy
        assert counts.launches == 2
        counts.clear()
        x[:, :, 1:] @ view  # both must be made contiguous first
        assert counts.launches == 3
        x @ xp.ones((4, 1))  # one for the vector, three for tables of pointers, as it serves all matrices
        assert counts.launches == 3 + 5
        xp.ones((5, 4)) @ xp.ones((6, 4)).T  # BLAS takes two transposed axes as they are
        assert counts.launches == 8 + 3

    def test_places_beyond_the_end_wrap_around(self, double):
        x = xp.arange(4)
        assert x[to_device([5])].tolist() == [1]
        x[to_device([6])] = 9
        assert x.tolist() == [0, 1, 9, 3]

    def test_arrays_cannot_be_pickled_or_hashed(self, double):
        with pytest.raises(TypeError):
            copy.copy(xp.ones(3))
        with pytest.raises(TypeError):
            hash(xp.ones(3))
        assert float(copy.deepcopy(xp.ones(3)).sum()) == 3


# --- the names and arguments that are used are those that CuPy has


def uses():
    """(file, line, name, positional arguments, keywords) of every xp.name; None where it is not called."""
    for file, tree in TREES.items():
        called = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called[id(node.func)] = (len(node.args), [k.arg for k in node.keywords])
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xp":
                yield file, node.lineno, node.attr, *called.get(id(node), (None, None))


def method_calls():
    """(file, line, name, positional arguments, keywords) of every call of what may be a method of an array."""
    for file, tree in TREES.items():
        for node in ast.walk(
            tree if not file.startswith(("gradcheck", "exercises")) else ast.Module([])
        ):  # that works in NumPy
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("xp", "numpy", "copy")
                if not module and node.func.attr in ARRAY_NAMES:
                    yield file, node.lineno, node.func.attr, len(node.args), [k.arg for k in node.keywords]


ARRAY_NAMES = {name for name in vars(cupy_double.ndarray) if not name.startswith("_")}
LISTED = [
    set(block.split())
    for block in re.findall(r":\n\n((?:    .*\n)+)", importlib.import_module("minixfmr.backend.switch").__doc__)
]


def test_the_names_that_a_module_must_have_are_those_listed():
    names = {name for _, _, name, *_ in uses()} - ON_CUDA_ALONE
    assert LISTED[0] == names | {"matmul"}  # by which use_backend knows an array module
    assert LISTED[0] <= set(dir(numpy))
    assert LISTED[0] <= set(dir(cupy_double))
    assert LISTED[1] | {"get", "item", "tolist"} == ARRAY_NAMES
    mentioned = {n.attr for tree in TREES.values() for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert mentioned >= LISTED[1]


def signature(function):
    """The signature of a function, out of its docstring where it is compiled."""
    try:
        return inspect.signature(function)
    except ValueError:
        header = function.__doc__.splitlines()[0].replace("\\", "").split(" -> ")[0]
        header = re.sub(r"\b(Py_ssize_t|_ndarray_base|int|bool) (?=\w)", "", header)
        arguments = header[header.index("(") + 1 : header.rindex(")")]
        return inspect.signature(eval(f"lambda {arguments}: None", {"numpy": numpy}))


@pytest.mark.cupy
class TestAgainstCuPy:
    @pytest.fixture
    def cupy(self):
        return pytest.importorskip("cupy", reason="CuPy is not installed; pip install cupy-cuda12x does for this")

    def test_every_function_used_takes_its_arguments(self, cupy):
        checked = 0
        for file, line, name, count, keywords in uses():
            assert hasattr(cupy, name), f"{file}:{line} uses xp.{name}, which CuPy lacks"
            if count is not None and callable(getattr(cupy, name)) and not isinstance(getattr(cupy, name), type):
                arguments = dict.fromkeys(keywords)
                try:
                    signature(getattr(cupy, name)).bind(*[None] * count, **arguments)
                except TypeError as error:
                    raise AssertionError(f"{file}:{line} xp.{name}: CuPy's {error}") from error
                checked += 1
        assert checked > 50

    def test_every_method_used_takes_its_arguments(self, cupy):
        for file, line, name, count, keywords in method_calls():
            method = getattr(cupy.ndarray, name)
            try:
                signature(method).bind(None, *[None] * count, **dict.fromkeys(keywords))
            except TypeError as error:
                raise AssertionError(f"{file}:{line} .{name}: CuPy's {error}") from error

    def test_the_double_has_nothing_that_cupy_lacks(self, cupy):
        public = LISTED[0] - {"inf", "float32", "finfo", "ndarray"}
        for name in public:
            ours, theirs = getattr(cupy_double, name), signature(getattr(cupy, name))
            if isinstance(ours, cupy_double.ufunc):
                assert isinstance(getattr(cupy, name), cupy.ufunc), name
                assert set(theirs.parameters) >= {"out", "casting", "dtype"}, name
            else:
                assert_narrower(name, inspect.signature(ours), theirs)
        for name in ARRAY_NAMES:
            ours = getattr(cupy_double.ndarray, name)
            assert hasattr(cupy.ndarray, name)
            if callable(ours):
                assert_narrower(name, inspect.signature(ours), signature(getattr(cupy.ndarray, name)))
        assert cupy.add.at.__doc__.startswith("ufunc.at(self, a, indices, b=None)")

    def test_what_is_asked_of_cupy_alone(self, cupy):
        """It imports without a GPU, but nothing of this can be called."""
        generator = importlib.import_module("cupy.random._generator_api").Generator
        for name in ("Generator", "Philox4x3210"):
            assert hasattr(cupy.random, name)
        assert signature(generator.random).bind(None, (2, 3), dtype="float32")
        special = importlib.import_module("cupyx.scipy.special")
        assert isinstance(special.erf, cupy.ufunc)
        runtime = cupy.cuda.runtime
        assert issubclass(runtime.CUDARuntimeError, Exception)
        assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
        for name in vars(cupy_double.cuda.runtime):
            assert callable(getattr(runtime, name))

    def test_without_a_gpu_one_sentence_says_so(self, cupy):
        try:
            with minixfmr.backend("cupy"):
                pytest.skip("there is a GPU here")
        except minixfmr.BackendError as error:
            assert re.search(r"(driver|GPU).*stay with use_backend", str(error))
            assert "\n" not in str(error)


def assert_narrower(name, ours, theirs):
    """Every argument of ours is one of theirs, with the same default; positional ones come in their order."""
    order = list(theirs.parameters)
    for position, (argument, p) in enumerate(ours.parameters.items()):
        if argument == "self" or p.kind is p.VAR_POSITIONAL:
            continue
        if any(q.kind is q.VAR_POSITIONAL for q in theirs.parameters.values()) and name in ("reshape", "transpose"):
            continue
        if name == "matmul":  # (*args, out=...)
            continue
        assert argument in order, f"{name}: CuPy has no argument {argument}"
        assert order.index(argument) >= position, f"{name}: {argument} comes earlier in CuPy"
        assert theirs.parameters[argument].default in (p.default, numpy.float64), f"{name}: default of {argument}"
