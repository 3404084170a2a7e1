"""A right backward that was handed the wrong array: forward saved y where n belongs."""

from typing import Any

import numpy

from ...backend import backend_name, to_numpy
from ..report import Explanation, GradcheckError
from .case import Case
from .instrument import standing_in
from .recorder import Recorder
from .settings import Others, Setting


def wrongly_saved(first: Setting, cases: list[Case], others: Others) -> Explanation | None:
    """Put another array of forward's in the place of each that it saved, until the wrong gradients are right."""
    if backend_name() != "numpy":
        return None
    try:
        recorder = Recorder(first.subject)
        with standing_in(first.subject, recorder.copies, recorder.hooks), numpy.errstate(all="ignore"):
            return _found(first, cases, others, recorder)
    except (OSError, TypeError, SyntaxError, ValueError):  # no source, or it does not run that way
        return None


def _found(first, cases, others, recorder):
    names = tuple(case.name for case in cases)
    _, saved = _forward(first, recorder)
    locals_ = _locals(recorder)
    for label, array in _entries(first.subject, saved):
        wrong = next((n for n, a in locals_.items() if numpy.array_equal(a, array)), label)
        for name, other in locals_.items():
            if other.shape != numpy.shape(array) or numpy.array_equal(other, array):
                continue

            def test(setting, label=label, name=name):
                gradients = _with(setting, recorder, label, name)
                right = [n for n, c in first.cases.items() if n not in names and n in setting.cases]
                return setting.agrees(gradients, tuple(n for n in (*names, *right) if n in setting.cases))

            if test(first) and others.hold(test):
                text = f"forward saves {wrong} as {label}, where backward needs {name}: save {name}"
                return Explanation(names, "wrong variable", text)
    return None


def _forward(setting, recorder):
    recorder.restart()
    recorder.recording = True
    try:
        return setting.subject.forward()
    finally:
        recorder.recording = False


def _locals(recorder) -> dict[str, numpy.ndarray]:
    """{name: array} of what forward's names held in the end."""
    return {
        recorder.places[m.place].name: m.value
        for m in recorder.moments
        if isinstance(m.value, numpy.ndarray) and not recorder.places[m.place].backward
    }


def _entries(subject, saved: Any):
    """(label, array) of what backward is handed: entries of the cache, attributes of a layer that keeps it there."""
    if isinstance(saved, tuple | list):
        yield from ((f"saved[{i}]", a) for i, a in enumerate(saved) if isinstance(a, numpy.ndarray))
    elif isinstance(saved, dict):
        yield from ((f"saved[{key!r}]", a) for key, a in saved.items() if isinstance(a, numpy.ndarray))
    elif subject.layer is not None and subject.stateful:
        yield from ((f"self.{n}", a) for n, a in vars(subject.layer).items() if isinstance(a, numpy.ndarray))


def _with(setting, recorder, label, name):
    """The gradients where that entry is what forward called name."""
    subject = setting.subject
    try:
        _, saved = _forward(setting, recorder)
        other = _locals(recorder).get(name)
        if label.startswith("self."):
            setattr(subject.layer, label[5:], other)
        else:
            key = label[6:-1]
            parts = dict(saved) if isinstance(saved, dict) else list(saved)
            parts[key[1:-1] if isinstance(saved, dict) else int(key)] = other
            saved = parts if isinstance(saved, dict) else type(saved)(parts)
        subject.zero_grad()
        gradients = subject.backward(setting.dy.copy(), saved)
    except GradcheckError:
        return None
    return {n: None if g is None else to_numpy(g).copy() for n, g in gradients.items()}
