"""Find out, by running a pair once, how it is called and what has a gradient."""

from typing import Any

import numpy

from ..backend import to_device, to_numpy
from ..module import Module
from .calling import RATE, Convention
from .names import RATES, plain
from .pairing import RETURNED, Pair, Stepped, aliases_of, by_shape, changed, named, pairs, snapshot
from .places import Place, is_array, is_number
from .report import GradcheckError
from .subject import Subject


def prepare(subject: Subject, rng: numpy.random.Generator, explicit: bool = False) -> None:
    """Choose the calling convention, find the parameters, and move them off their initial values.

    explicit: the parameters were named by the caller. Raises GradcheckError where no convention can be run."""
    subject.move_parameters(rng)  # those that are known
    before = snapshot(subject.roots)
    result = subject.run_forward()
    subject.convention = _convention(subject, result)
    state, left = _one_turn(subject, before)
    if not (isinstance(subject.layer, Module) or (subject.parameters and not explicit and _declared(subject))):
        _find_parameters(subject, before, state, left)
    subject.move_parameters(rng)
    subject.notes += subject.convention.told()


def fit(subject: Subject) -> float:
    """2 if gradients of the right shapes come back for these inputs, 1 if backward runs, 0 if not.

    1.5 where a loss is averaged over more axes than one of examples and one of numbers: over which, it may not say."""
    rng = numpy.random.default_rng(0)
    try:
        prepare(subject, rng)
        y, saved = subject.forward()
        gradients = subject.backward(subject.starting_gradient(y, rng), saved)
    except GradcheckError:
        return 0
    finally:
        subject.put_back()
    fits = all(g is None or numpy.shape(g) == subject.values[n].shape for n, g in gradients.items())
    deep = not numpy.shape(y) and any(value.ndim > 2 for value in subject.values.values())
    return 1 + fits * (0.5 if deep else 1)


def _declared(subject):
    return hasattr(subject.layer, "named_parameters")


def _convention(subject, result):
    """The first way of calling that runs and gives a gradient of the right shape for each input."""
    fitting: list[Any] = []
    first_error, ran = None, []
    for convention in subject.candidates(result):
        subject.convention = convention
        try:
            y, saved = subject.forward()
            dy = subject.starting_gradient(y, numpy.random.default_rng(0))
            gradients = subject.backward(dy, saved)
        except GradcheckError as error:
            first_error = first_error or error
            continue
        ran.append(convention)
        if all(
            g is not None and numpy.shape(g) == subject.values[n].shape
            for n, g in gradients.items()
            if n in subject.values
        ):
            if convention.sure:
                return convention if not fitting else _agreeing(subject, [*fitting, convention])
            fitting.append(convention)
    if not ran:
        raise first_error or GradcheckError("backward cannot be called")
    return _agreeing(subject, fitting) if fitting else ran[0]


def _agreeing(subject, found: list[Convention]):
    """Which of several: the one whose gradients agree with one difference along a random direction."""
    for convention in found:
        subject.convention = convention
        y, saved = subject.forward()
        dy = subject.starting_gradient(y, numpy.random.default_rng(0))
        gradients = {n: to_numpy(g).copy() for n, g in subject.backward(dy, saved).items() if n in subject.values}
        rng = numpy.random.default_rng(1)
        steps = {n: rng.standard_normal(subject.values[n].shape) for n in gradients}
        told = sum(float((g * steps[n]).sum()) for n, g in gradients.items())
        seen = _slope(subject, dy, steps)
        if abs(told - seen) <= 1e-4 * max(abs(told), abs(seen)):
            return convention
    return found[0]


def _slope(subject, dy, steps, h=1e-5):
    sides = []
    kept = {n: to_numpy(subject.values[n]).copy() for n in steps}
    try:
        for sign in (1, -1):
            for n, step in steps.items():
                subject.values[n][...] = to_device(kept[n] + sign * h * step)
            sides.append(float(to_numpy((subject.forward()[0] * dy).sum())))
    finally:
        for n, value in kept.items():
            subject.values[n][...] = to_device(value)
    return (sides[0] - sides[1]) / (2 * h)


def _one_turn(subject, before):
    """(places that forward changes, places that backward leaves a gradient at)."""
    y, saved = subject.forward()
    middle = snapshot(subject.roots)
    dy = subject.starting_gradient(y, numpy.random.default_rng(0))
    subject.backward(dy, saved)
    roots = [*subject.roots, *_new_globals(subject), Place({"grads": subject.returned}, "grads", (RETURNED, "grads"))]
    return changed(before, middle), changed(middle, snapshot(roots))


def _new_globals(subject):
    known = {(id(p.owner), p.key) for p in subject.roots}
    return [p for p in subject.all_roots() if (id(p.owner), p.key) not in known]


def _find_parameters(subject, before, state, left):
    templates = subject.profile.gradients
    moved = {(id(p.owner), p.key) for p in state}
    stepped = [p for p in left if (id(p.owner), p.key) in before]  # changed by backward, but there before
    there = [place for place, value, _ in before.values()]
    known = {id(p.value.owner): p for p in subject.parameters.values() if isinstance(p, Pair)}
    explicit = {(id(q.owner), q.key) for p in known.values() for q in (p.value, p.gradient) if q}
    values = [
        p
        for p in there
        if (id(p.owner), p.key) not in moved | explicit and not subject.profile.is_data(str(p.path[-1]))
    ]
    gradients = [p for p in [*left, *there] if (id(p.owner), p.key) not in explicit]
    found = pairs(values, _unique(gradients), templates)
    found += _returned_in_order(subject, values, left, found)
    subject.state.rewind()
    for pair in found:
        pair.aliases += aliases_of(pair.value, values)
    subject.add_parameters(dict(subject.parameters) | named(found))
    taken = {(id(p.value.owner), p.value.key) for p in found}
    if (rate := _rate(subject, there)) is not None:
        spots = {(id(p.owner), p.key) for p in stepped}
        steps = [p for p in values if (id(p.owner), p.key) in spots - taken]
        new = named([Stepped(p, aliases_of(p, there), rate) for p in steps])
        subject.add_parameters(dict(subject.parameters) | new)
        if steps:
            subject.notes.append("backward takes a learning rate: the gradient is what it takes off, divided by it")


def _returned_in_order(subject, values, left, found):
    """Pairs of what backward returned without a name, after the gradients of the inputs."""
    paired = {id(p.value.get()) for p in found}
    free = [v for v in values if is_array(v.get()) and id(v.get()) not in paired]
    nameless = [g for g in left if g.path[0] == RETURNED and isinstance(g.path[-1], int)]
    new = by_shape(free, [g for g in nameless if all(p.gradient is not g for p in found)])
    if new:
        told = ", ".join(named(new))
        subject.notes.append(f"what backward returns beside the gradients of its inputs is those of {told}, by shape")
    return new


def _rate(subject, there):
    """The learning rate that backward is given, or the one that it sees; None if there is none, or more than one."""
    if "rate" in subject.convention.roles:
        return RATE
    seen = {float(p.get()) for p in there if is_number(p.get()) and plain(p.path[-1]) in RATES}
    return seen.pop() if len(seen) == 1 and min(seen) > 0 else None


def _unique(places):
    found: dict[tuple, Any] = {}
    for place in places:
        found.setdefault((id(place.owner), place.key), place)
    return list(found.values())
