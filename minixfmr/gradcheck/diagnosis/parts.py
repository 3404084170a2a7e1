"""A wrong layer made of layers: which of them is wrong by itself, and which is used in a way that it does not bear."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...backend import to_numpy
from ..adapter import children_of, parameters_of
from ..report import Explanation, GradcheckError
from ..subject import LayerSubject
from .inputs import restarting


def blame_part(subject: LayerSubject, dy: Any, cases: list, check: Callable) -> Explanation | None:
    """The explanation from the parts of a layer, or None if each of them is right by itself and used rightly.

    cases: the wrong gradients    check: gradcheck
    """
    names = tuple(case.name for case in cases)
    for name, part in children_of(subject.layer):
        calls: list[tuple] = []

        def recording(*inputs, _forward=part.forward, _calls=calls, **options):
            _calls.append(copy.deepcopy((inputs, options)))
            return _forward(*inputs, **options)

        try:
            with _methods(part, forward=recording), restarting(subject):
                subject.forward()
            if not calls:
                continue
            inputs, options = calls[0]
            report = check(part, *inputs, tolerance=cases[0].tolerance, **options)
        except (GradcheckError, TypeError, AttributeError):
            continue
        kind = type(part).__name__
        if report.explanations and not all(row.ok for row in report.rows):
            why = report.explanations[0]
            sentence = f"the mistake is in {name} ({kind}), which is wrong by itself: {why}"
            return Explanation(names, why.cause, sentence, why.line)
        if len(calls) > 1:
            used = f"{name} ({kind}) is used {len(calls)} times in one forward, but"
            if _passes(subject, dy, cases, part, _state_of_each_call):
                sentence = f"{used} keeps only its last call's values: give each use a layer of its own, or return them"
                return Explanation(names, "state overwritten", sentence)
            if _passes(subject, dy, cases, part, _sum_of_all_calls):
                return Explanation(names, "overwritten", f"{used} overwrites its gradients: write grad += ...")
    return None


def _passes(subject, dy, cases, part, mended):
    """Do the wrong gradients pass with the part's methods mended?"""
    with _methods(part, **mended(part)), restarting(subject):
        subject.zero_grad()
        try:
            _, saved = subject.forward()
            gradients = subject.backward(dy, saved)
        except GradcheckError:
            return False
    return all(gradients[c.name] is not None and c.agrees(to_numpy(gradients[c.name])) for c in cases)


def _state_of_each_call(part):
    """Backward sees what its own forward left on the layer: calls are unwound from the last to the first."""
    states: list[dict] = []
    original_forward, original_backward = part.forward, part.backward

    def forward(*inputs, **options):
        before = dict(vars(part))
        result = original_forward(*inputs, **options)
        states.append({name: value for name, value in vars(part).items() if before.get(name) is not value})
        return result

    def backward(*arguments):
        vars(part).update(states.pop() if states else {})
        return original_backward(*arguments)

    return {"forward": forward, "backward": backward}


def _sum_of_all_calls(part):
    """Each backward's gradients are added to those before."""
    original = part.backward

    def backward(*arguments):
        parameters = parameters_of(part)
        before = {name: p.grad for name, p in parameters.items()}
        for p in parameters.values():
            p.grad = 0 * p.data
        result = original(*arguments)
        for name, p in parameters_of(part).items():
            p.grad = before[name] + p.grad
        return result

    return {"backward": backward}


@contextmanager
def _methods(layer: Any, **methods: Callable) -> Iterator[None]:
    """Other methods for one object, for a while."""
    vars(layer).update(methods)
    try:
        yield
    finally:
        for name in methods:
            vars(layer).pop(name, None)
