"""The catalogue of planted mistakes is sound: the solutions are right, and each mistake really is one."""

import copy
import multiprocessing
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import mistakes
import numpy as np
import pytest
from mistakes import MISTAKES, Mistake
from more_mistakes import MORE_MISTAKES
from third_mistakes import THIRD_MISTAKES, third_inputs

from minixfmr import gradcheck, gradcheck_function

pytestmark = pytest.mark.long

FUNCTIONS = sorted({m.file for m in MISTAKES if not m.file.startswith("classes.")})
CLASSES = sorted({m.file for m in MISTAKES if m.file.startswith("classes.")})
GRADIENT = [m for m in [*MISTAKES, *MORE_MISTAKES] if m.cause in mistakes.GRADIENTS]
PROPERTY = [m for m in MISTAKES if m.cause in mistakes.PROPERTIES]


def label(m):
    return f"{m.file}-{m.cause}" if isinstance(m, Mistake) else str(m)


def is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def flat(values):
    """The float arrays among them, those in dictionaries too."""
    for value in values:
        if isinstance(value, dict):
            yield from value.values()
        elif is_float(value):
            yield value


def as_pair(module, file, arguments, rng):
    """(forward, backward, arrays): plain functions of float arrays, for a file of functions or a class."""
    if file.startswith("classes."):
        name = file.split(".")[1]
        layer = mistakes.CONSTRUCT[name](getattr(module, name), rng)
        for value in layer.params.values():
            value += 0.3 * rng.standard_normal(value.shape)
        floats = [a for a in arguments if is_float(a)]

        def forward(*arrays):
            fresh = copy.deepcopy(layer)
            fresh.params = dict(zip(layer.params, arrays[len(floats) :], strict=True))
            return fresh.forward(*(arrays[:1] or arguments) if floats else arguments), fresh

        def backward(dout, fresh):
            dx = fresh.backward(dout)
            return (*([dx] if floats else []), *fresh.grads.values())

        return forward, backward, (*floats, *layer.params.values())

    student_forward, student_backward = mistakes.functions(module, file)
    arrays = tuple(flat(arguments))

    def forward(*values):
        values = iter(values)
        filled = [
            {name: next(values) for name in a} if isinstance(a, dict) else next(values) if is_float(a) else a
            for a in copy.deepcopy(arguments)
        ]
        y, cache = student_forward(*filled)
        return np.asarray(y), cache

    def backward(dout, cache):
        gradients = student_backward(dout, cache)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        order = [list(a) for a in arguments if isinstance(a, dict)]
        return tuple(
            part for g in gradients for part in ([g[name] for name in order[0]] if isinstance(g, dict) else [g])
        )

    return forward, backward, arrays


def gradients_agree(forward, backward, arrays):
    """Plain finite differences; an exception or a wrong shape is a wrong gradient."""
    try:
        count = 24 if len(arrays) > 5 else 120
        report = gradcheck_function(forward, backward, *arrays, max_entries=count, explain=False)
        return report.ok and all(row.kinks < 10 for row in report.rows)
    except (ValueError, TypeError, IndexError, AttributeError):
        return False


@pytest.fixture
def check(tmp_path):
    def run(mistake, file, variant=""):
        rng = np.random.default_rng(3)
        module = mistakes.load(mistake, tmp_path)
        return gradients_agree(*as_pair(module, file, mistakes.inputs(file, rng, variant), rng))

    return run


@pytest.mark.parametrize("variant", ["", "square"])
@pytest.mark.parametrize("file", FUNCTIONS + CLASSES)
def test_the_solutions_are_right(check, file, variant):
    assert check(file, file, variant)


@pytest.mark.parametrize("mistake", GRADIENT, ids=label)
def test_each_mistake_changes_a_gradient(check, mistake, tmp_path):
    if mistake.cause == mistakes.OVERWRITTEN and mistake.file.startswith("classes."):
        assert not (adds_up(mistake, tmp_path) and check(mistake, mistake.file, mistake.variant))
    else:
        assert not check(mistake, mistake.file, mistake.variant)


def adds_up(mistake, folder):
    """Whether backward, called twice, leaves twice the gradient."""
    rng = np.random.default_rng(3)
    module = mistakes.load(mistake, folder)
    name = mistake.file.split(".")[1] if isinstance(mistake, Mistake) else mistake.split(".")[1]
    layer = mistakes.CONSTRUCT[name](getattr(module, name), rng)
    arguments = mistakes.inputs(f"classes.{name}", rng)
    dout = np.ones_like(layer.forward(*arguments))
    layer.backward(dout)
    once = copy.deepcopy(layer.grads)
    layer.backward(dout)
    return all(np.allclose(layer.grads[key], 2 * once[key]) for key in once)


@pytest.mark.parametrize("file", sorted({m.file for m in THIRD_MISTAKES}))
def test_the_solutions_of_the_third_set_are_right(file, tmp_path):
    forward, backward = mistakes.functions(mistakes.load(file, tmp_path), file)
    assert gradcheck_function(forward, backward, *third_inputs(file, np.random.default_rng(3)), explain=False).ok


@pytest.mark.parametrize("file", CLASSES)
def test_the_classes_add_up(file, tmp_path):
    assert adds_up(file, tmp_path)


def violates(cause, module, file, arguments):
    """Whether the file has the property's failing, each tested by itself and plainly."""
    forward, backward = mistakes.functions(module, file)
    arguments = copy.deepcopy(arguments)
    before = copy.deepcopy(arguments)
    with np.errstate(all="ignore"):
        y, cache = forward(*arguments)
        dout = np.random.default_rng(0).standard_normal(np.shape(y))
        kept = np.copy(dout)
        gradients = backward(dout, cache)
    gradients = list(flat(gradients if isinstance(gradients, tuple) else (gradients,)))
    if cause == mistakes.CHANGES_INPUT:
        return not all(np.array_equal(a, b) for a, b in zip(flat(before), flat(arguments), strict=True))
    if cause == mistakes.CHANGES_DY:
        return not np.array_equal(dout, kept)
    if cause == mistakes.NOT_DETERMINISTIC:
        return not np.array_equal(y, forward(*copy.deepcopy(before))[0])
    if cause == mistakes.DTYPE:
        return any(g.dtype != np.float64 for g in gradients)
    if cause == mistakes.NAN:
        return not all(np.isfinite(a).all() for a in (y, *gradients))
    if cause == mistakes.LOOK_AHEAD:  # the last position of what is attended to moves; earlier outputs must not
        for i in (0, 1, 2) if file == "attention" else (0,):
            moved = copy.deepcopy(before)
            moved[i][..., -1, :] += 1
            if not np.allclose(forward(*moved)[0][..., :-1, :], y[..., :-1, :]):
                return True
        return False
    if cause == mistakes.PADDING:
        memory_mask = before[-1]
        moved = copy.deepcopy(before)
        moved[1][~memory_mask] += 1
        return not np.allclose(forward(*moved)[0], y)
    raise ValueError(cause)


@pytest.mark.parametrize("mistake", PROPERTY, ids=label)
def test_each_mistake_breaks_its_property_and_the_solution_does_not(mistake, tmp_path):
    arguments = mistakes.inputs(mistake.file, np.random.default_rng(3), mistake.variant)
    assert violates(mistake.cause, mistakes.load(mistake, tmp_path), mistake.file, arguments)
    assert not violates(mistake.cause, mistakes.load(mistake.file, tmp_path), mistake.file, arguments)


@pytest.mark.parametrize("mistake", [m for m in MISTAKES if m.factor], ids=label)
def test_a_named_factor_is_the_factor(mistake, tmp_path):
    rng = np.random.default_rng(3)
    arguments = mistakes.inputs(mistake.file, rng, mistake.variant)
    state = copy.deepcopy(rng)
    results = []
    for version in (mistake, mistake.file):
        pair = as_pair(mistakes.load(version, tmp_path), mistake.file, arguments, copy.deepcopy(state))
        forward, backward, arrays = pair
        y, cache = forward(*arrays)
        results.append(backward(np.random.default_rng(1).standard_normal(np.shape(y)), cache))
    changed = [(wrong, right) for wrong, right in zip(*results, strict=True) if not np.allclose(wrong, right)]
    factor = mistakes.FACTORS[mistake.factor]
    assert any(np.allclose(wrong, factor * right, rtol=1e-9, atol=1e-12) for wrong, right in changed)


def test_snippets_occur_once_and_give_another_file():
    for mistake in [*MISTAKES, *MORE_MISTAKES, *THIRD_MISTAKES, *mistakes.RESULTS]:
        text = mistakes.source(mistake)
        compile(text, mistake.file, "exec")
        assert text != (mistakes.HOMEWORK / f"{mistake.file.split('.')[0]}.py").read_text(encoding="utf-8")
    assert len({*MISTAKES, *MORE_MISTAKES}) == len(MISTAKES) + len(MORE_MISTAKES)


def test_the_catalogue_covers_every_cause_and_every_file():
    causes = Counter(m.cause for m in MISTAKES)
    assert set(causes) == set(mistakes.CAUSES)
    assert len(GRADIENT) >= 75
    assert min(Counter(m.file.split(".")[0] for m in MISTAKES).values()) >= 4
    assert {c for m in MISTAKES for c in m.also} <= set(mistakes.CAUSES)
    assert {m.factor for m in MISTAKES} - {""} <= set(mistakes.FACTORS)
    assert all(m.factor for m in MISTAKES if m.cause == mistakes.FACTOR)


# --- the checker, faced with all of them

LINES = {  # the property that must fail, where a mistake is one that finite differences do not see
    mistakes.LOOK_AHEAD: "blocks",
    mistakes.PADDING: "blocks",
    mistakes.CHANGES_INPUT: "forward leaves its inputs alone",
    mistakes.CHANGES_DY: "backward leaves dy and saved alone",
    mistakes.NOT_DETERMINISTIC: "forward is deterministic",
    mistakes.DTYPE: "dtypes are kept",
    mistakes.NAN: "no NaN or infinity",
    mistakes.OVERWRITTEN: "backward adds to gradients",
}


SETS = (("catalogue", MISTAKES, 0.98), ("by another hand", MORE_MISTAKES, 0.85), ("third", THIRD_MISTAKES, 0.85))


def full_check(mistake):
    with tempfile.TemporaryDirectory() as folder:
        return _full_check(mistake, folder)


def _full_check(mistake, folder):
    rng = np.random.default_rng(0)
    module = mistakes.load(mistake, folder)
    if mistake in THIRD_MISTAKES:
        with np.errstate(all="ignore"):
            return gradcheck_function(*mistakes.functions(module, mistake.file), *third_inputs(mistake.file, rng))
    arguments = mistakes.inputs(mistake.file, rng, mistake.variant)
    if mistake.file.startswith("classes."):
        name = mistake.file.split(".")[1]
        return gradcheck(mistakes.CONSTRUCT[name](getattr(module, name), rng), *arguments)
    with np.errstate(all="ignore"):
        return gradcheck_function(*mistakes.functions(module, mistake.file), *arguments)


NOTES = {  # what is a convention and no mistake where nobody minds; the report says that it was seen
    mistakes.OVERWRITTEN: "sets the gradients of",
    mistakes.NOT_DETERMINISTIC: "draws random numbers",
}


def noted(mistake, report):
    return any(NOTES.get(mistake.cause, "nothing") in note for note in report.notes)


def judge(mistake, report):
    """'explained', 'explained wrongly' or 'unexplained': by the line of a property, or by the causes given."""
    if noted(mistake, report):
        return "explained"
    seen = [p.name for p in report.properties if not p.ok and LINES.get(mistake.cause, "nothing") in p.name]
    causes = {e.cause for e in report.explanations}
    if causes - mistake.accepted and not seen:
        return "explained wrongly"
    return "explained" if seen or (causes and not report.maps) else "unexplained"


@pytest.fixture(scope="module", params=[3, pytest.param(1, marks=pytest.mark.slow)], ids=["every third", "all"])
def reports(request):
    every = [*MISTAKES, *MORE_MISTAKES, *THIRD_MISTAKES][:: request.param]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as workers:
        return dict(zip(every, workers.map(full_check, every), strict=True))


def test_all_mistakes_are_flagged_most_are_explained_and_none_wrongly(reports, capsys):
    assert [label(m) for m, report in reports.items() if report.ok and not noted(m, report)] == []
    verdicts = {m: judge(m, report) for m, report in reports.items()}
    shares = {}
    with capsys.disabled():
        for name, some, least in SETS:
            count = Counter(verdicts[m] for m in some if m in verdicts)
            share = count["explained"] / count.total()
            shares[name] = share - least
            print(
                f"\n{count.total()} planted mistakes ({name}): all flagged, {count['explained']} explained "
                f"({share:.1%}), {count['explained wrongly']} explained wrongly",
                end="",
            )
    wrongly = [f"{label(m)}: {reports[m].explanations}" for m, v in verdicts.items() if v == "explained wrongly"]
    assert not wrongly, "\n".join(wrongly)
    assert min(shares.values()) >= 0, shares


def test_tables_fit_100_columns_and_say_it_all(reports):
    for mistake, report in reports.items():
        lines = str(report).splitlines()
        assert max(map(len, lines)) <= 100
        assert report.ok or noted(mistake, report) or any(line.startswith("WRONG") for line in lines)
        for row in report.rows:  # a wrong gradient is explained, or mapped, or a property says what to mend first
            told = {name for e in report.explanations for name in e.names} | set(report.maps)
            assert row.ok or row.name in told or not all(p.ok for p in report.properties)


# --- agreement with PyTorch's checker


@pytest.mark.parity
def test_the_verdicts_are_those_of_pytorch(tmp_path):
    """Right and wrong functions, wrapped for autograd: both checkers pass the same ones."""
    torch = pytest.importorskip("torch")

    def theirs(forward, backward, arrays):
        class Wrapped(torch.autograd.Function):
            @staticmethod
            def forward(context, *tensors):
                y, context.cache = forward(*(t.detach().numpy() for t in tensors))
                return torch.from_numpy(np.array(y))

            @staticmethod
            def backward(context, dy):
                gradients = backward(dy.numpy(), context.cache)
                if [np.shape(g) for g in gradients] != [a.shape for a in arrays]:
                    raise RuntimeError("autograd would sum it to the right shape, and hide the mistake")
                return tuple(torch.from_numpy(np.array(g)) for g in gradients)

        tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
        try:
            return torch.autograd.gradcheck(Wrapped.apply, tensors)
        except RuntimeError:  # of another shape, or not equal
            return False

    compared = Counter()
    some = [m for m in GRADIENT if m.file in ("softmax", "linear", "layer_norm", "gelu", "attention", "feed_forward")]
    for version in [*{m.file for m in some}, *some]:
        file = version.file if isinstance(version, Mistake) else version
        variant = version.variant if isinstance(version, Mistake) else ""
        rng = np.random.default_rng(3)
        module = mistakes.load(version, tmp_path)
        forward, backward, arrays = as_pair(module, file, mistakes.inputs(file, rng, variant), rng)
        report = gradcheck_function(forward, backward, *arrays, explain=False, max_entries=10_000)
        ours = all(row.ok for row in report.rows)
        assert ours == theirs(forward, backward, arrays), f"{label(version)}\n{report}"
        compared[ours] += 1
    assert compared[True] == 6
    assert compared[False] == len(some) >= 40
