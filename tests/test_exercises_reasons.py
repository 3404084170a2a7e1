"""Usual mistakes of every exercise: all are found, nine of ten explained, none wrongly."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from coursework_mistakes import BACKWARDS, FORWARDS

from minixfmr.exercises import Limits, Marker, Mistake
from minixfmr.exercises.catalogue import exercises
from minixfmr.exercises.reasons import reason_of_gradients, reason_of_result

SOLVED = Path(__file__).parent / "homework"
EXERCISES = exercises()


@pytest.mark.long
@pytest.mark.parametrize(("some", "label"), [(FORWARDS, "forward"), (BACKWARDS, "backward")])
def test_mistakes_are_found_most_are_explained_and_none_wrongly(some, label, tmp_path, capsys):
    folder = shutil.copytree(SOLVED, tmp_path / "student")
    explained, wrongly = 0, []
    limits = Limits(10, 1000)
    with Marker(limits, explain=False) as quick, Marker(limits) as thorough:
        for name, old, new, pattern in some:
            right = (SOLVED / f"{name}.py").read_text(encoding="utf-8")
            assert old in right
            (folder / f"{name}.py").write_text(right.replace(old, new), encoding="utf-8")
            marker = thorough if name == "encoder_block" else quick  # where a search takes a second
            result = marker.mark(EXERCISES[name], folder)
            (folder / f"{name}.py").write_text(right, encoding="utf-8")
            assert result.state == "wrong", (name, new)
            if result.cause != "other":
                explained += 1
                if not re.search(pattern, result.message):
                    wrongly.append((name, new, result.message))
    with capsys.disabled():
        print(f"\n{len(some)} mistakes in a {label}: all found, {explained} explained", end="")
    assert not wrongly
    assert explained >= 0.9 * len(some)


def test_there_are_120_mistakes():
    assert len({(name, old, new) for name, old, new, _ in FORWARDS + BACKWARDS}) >= 120


@pytest.mark.parametrize("name", EXERCISES)
def test_no_named_mistake_is_right_and_each_can_be_made(name):
    """A mistake that gives the right result in every case, or fails in every one, would never be named."""
    exercise = EXERCISES[name]
    if not hasattr(exercise, "mistakes") or name == "dropout":
        pytest.skip("its mistakes are told in another way")
    rng = np.random.default_rng(0)
    cases = exercise.cases(rng)
    for mistakes, every in ((exercise.mistakes[0], cases | exercise.extra(rng)), (exercise.mistakes[1], cases)):
        for mistake in mistakes:
            assert any(named(exercise, mistake, arguments) for arguments in every.values()), mistake.text


def named(exercise, mistake, arguments):
    """Is it named where its own result is given? It may have a twin that gives the same numbers."""
    right = np.asarray(exercise.right(*arguments))
    with np.errstate(all="ignore"):
        if mistake in exercise.mistakes[0]:
            wrong = tried(mistake, *arguments)
            return wrong is not None and reason_of_result((mistake,), wrong, right, arguments) is not None
        dy = np.random.default_rng(1).standard_normal(right.shape)
        dy = dy if dy.ndim else float(dy)
        gradients = exercise.gradients(dy, *arguments)
        wrong = tried(mistake, dy, *arguments)
    if wrong is None:
        return False
    got = gradients | wrong
    again = lambda dy: exercise.gradients(dy, *arguments)  # noqa: E731
    found, _ = reason_of_gradients((mistake,), got, gradients, dy, arguments, again)
    return found is not None and found.cause == mistake.cause


def tried(mistake, *arguments):
    try:
        return mistake.wrong(*arguments)
    except (TypeError, ValueError):
        return None


# --- reasons in general

RIGHT = {"w": np.random.default_rng(0).standard_normal((4, 4)), "b": np.random.default_rng(1).standard_normal(4)}
DY = np.random.default_rng(2).standard_normal((5, 4))


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ({"w": -RIGHT["w"]}, "dw: it has the wrong sign"),
        ({"w": RIGHT["w"] / 5}, "dw: it is the right one divided by 5"),
        ({"w": RIGHT["w"] * 2}, "dw: it is √4 times the right one"),
        ({"w": RIGHT["w"] * 3}, "dw: it is 3 times the right one, everywhere"),
        ({"w": RIGHT["w"].T}, "dw: it is transposed"),
        ({"b": np.stack([RIGHT["b"] / 2] * 2)}, "db: it has to be summed over axis 0 too"),
        ({"w": RIGHT["w"].reshape(2, 8)}, "dw: the numbers are right, but the shape must be (4, 4)"),
        ({"w": RIGHT["w"].sum(0) + 0 * RIGHT["w"]}, "dw: it is summed over axis 0"),
        ({"b": np.ones(4)}, "db: it is 1 everywhere: dy has to enter"),
        ({"b": RIGHT["b"] + [0, 0, 0, 1e-3]}, None),
        ({"w": RIGHT["w"] + 1e-3 * np.eye(4)}, None),
    ],
)
def test_what_can_be_told_of_any_gradient(got, words):
    found, _ = reason_of_gradients(
        (), RIGHT | got, RIGHT, DY, (), lambda dy: {"w": 0 * RIGHT["w"], "b": 0 * RIGHT["b"]}
    )
    assert (found and f"{', '.join(found.names)}: {found.text}".startswith(words)) == (words and True)


def test_a_mistake_that_would_have_spoiled_what_is_right_is_not_named():
    both = Mistake("both", "w and b doubled plus one", lambda dy: {"w": RIGHT["w"] + 1, "b": RIGHT["b"] + 1})
    again = lambda dy: {"w": 0 * RIGHT["w"], "b": 0 * RIGHT["b"]}  # noqa: E731
    assert reason_of_gradients((both,), RIGHT | {"w": RIGHT["w"] + 1}, RIGHT, DY, (), again) == (None, False)
    found, whole = reason_of_gradients((both,), {n: a + 1 for n, a in RIGHT.items()}, RIGHT, DY, (), again)
    assert (found.names, whole) == (("dw", "db"), True)
