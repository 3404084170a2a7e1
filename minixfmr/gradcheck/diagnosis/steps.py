"""The first wrong step: where forward has z and backward dz, dz is compared with what moving z does to the output.

Everything after the first wrong one is only a consequence. It is named only if backward gets right with the right dz
in its place: a name may also hold a part of a gradient, and that is no mistake.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from ...backend import backend_name
from ..differences import Differences, Numeric
from ..report import GradcheckError
from .case import Case
from .instrument import standing_in
from .recorder import Moment, Recorder
from .settings import Setting

SPELLINGS = ("d{}", "d_{}", "grad_{}", "{}_grad", "dL_d{}", "dLd{}", "delta_{}")
SAMPLED, MOST = 6, 250  # entries compared of a step, and of all the steps that are put right
FLOOR = 1e-6


@dataclass
class Step:
    """dz at one moment of backward, and z at the moment of forward that it belongs to."""

    name: str  # dz
    z: Moment
    dz: Moment
    when: int  # the order in backward


def first_wrong_step(first: Setting, cases: list[Case], end: float) -> str:
    """One sentence about the first intermediate gradient that is wrong; '' where there is none to name."""
    if backend_name() != "numpy":
        return ""
    try:
        recorder = Recorder(first.subject)
        with standing_in(first.subject, recorder.copies, recorder.hooks), numpy.errstate(all="ignore"):
            return _Walk(first, cases, recorder, end).told()
    except (OSError, TypeError, SyntaxError, ValueError):  # no source, or GradcheckError: it does not run that way
        return ""


class _Walk:
    """Backward's steps in the order in which they happen."""

    def __init__(self, first: Setting, cases: list[Case], recorder: Recorder, end: float):
        self.first, self.cases, self.recorder, self.end = first, cases, recorder, end
        self.left = MOST
        recorder.recording = True
        recorder.restart()
        first.run()
        self.moments = recorder.moments
        recorder.recording = False

    def told(self) -> str:
        right: list[str] = []
        for name, steps in self._by_name():
            wrong = [step for step in steps if self._differs(step)]
            if time.monotonic() > self.end or self.left <= 0:
                return ""
            if not wrong:
                right.append(name)
            elif mended := self._mended(steps):
                return self._sentence(name, steps, wrong[0], mended, right)
        return ""

    def _by_name(self) -> Iterator[tuple[str, list[Step]]]:
        """The steps of each gradient, the one that is ready first coming first."""
        steps = sorted(self._steps(), key=lambda step: step.when)
        names = list(dict.fromkeys(step.name for step in steps))
        yield from ((name, [step for step in steps if step.name == name]) for name in names)

    def _steps(self) -> Iterator[Step]:
        places = self.recorder.places
        forward: dict[str, list[Moment]] = {}
        backward: dict[str, list[tuple[int, Moment]]] = {}
        for when, moment in enumerate(self.moments):
            place = places[moment.place]
            if isinstance(moment.value, numpy.ndarray) and moment.value.dtype.kind == "f":
                if place.backward:
                    backward.setdefault(place.name, []).append((when, moment))
                else:
                    forward.setdefault(place.name, []).append(moment)
        arguments = set(self.first.subject.names)
        for name, zs in forward.items():
            if any(z.loops for z in zs):  # what it starts with, before the loop, is no step of it
                zs = [z for z in zs if z.loops]
            if len({z.place for z in zs}) > 1 or name in arguments:
                continue  # the name stands for several things
            for spelled in (s.format(name) for s in SPELLINGS):
                for z, (when, dz) in _paired(zs, backward.get(spelled, [])):
                    if z.value.shape == dz.value.shape and z.value.size:
                        yield Step(spelled, z, dz, when)

    def _numeric(self, step: Step, entries: list[int]) -> Numeric:
        """What moving z at that moment does to the output."""
        held = step.z.value.copy()
        self.recorder.held = {(step.z.place, step.z.turn): held}

        def output():
            self.recorder.restart()
            return self.first.subject.forward()[0]

        try:
            return Differences(output, self.first.dy).numeric(held, iter(entries), 5.0, least=len(entries))
        finally:
            self.recorder.held = {}

    def _differs(self, step: Step) -> bool:
        size = step.z.value.size
        largest = numpy.abs(step.dz.value).reshape(-1).argsort()[::-1]
        entries = [int(i) for i in dict.fromkeys([*largest[: SAMPLED // 2], *range(0, size, max(1, size // SAMPLED))])]
        numeric = self._numeric(step, entries)
        scale = max(abs(numeric.slopes).max(initial=0), abs(step.dz.value).max())
        numeric.floor = max(0.01 * scale, FLOOR)
        errors = numeric.errors(step.dz.value)
        return bool(errors.size and errors.max() > max(1e-5, self.first.tolerance))

    def _mended(self, steps: list[Step]) -> list[str]:
        """The wrong gradients that are right with this one right, at every step of a loop; none if others suffer."""
        right = {}
        for step in steps:
            self.left -= step.z.value.size
            if self.left <= 0:
                return []
            numeric = self._numeric(step, list(range(step.z.value.size)))
            array = step.dz.value.copy()
            array[numeric.indices] = numeric.slopes
            right[step.dz.place, step.dz.turn] = array
        self.recorder.restart()
        try:
            self.recorder.held = right
            gradients = self.first.run()
        except GradcheckError:
            return []
        finally:
            self.recorder.held = {}
        loose = [Case(c.name, c.analytic, c.numeric, c.shape, 1e-5) for c in self.first.cases.values()]
        agree = {c.name for c in loose if gradients.get(c.name) is not None and c.agrees(gradients[c.name])}
        wrong = {case.name for case in self.cases}
        before = {c.name for c in loose if c.name not in wrong}
        return sorted(agree & wrong) if before <= agree else []

    def _sentence(self, name, steps, wrong, mended, right):
        place = self.recorder.places[wrong.dz.place]
        when = ""
        if len(steps) > 1:
            turn = steps.index(wrong)
            at = ", ".join(map(str, wrong.dz.loops)) or str(turn)
            first = "where backward begins" if turn == 0 else "and right at the steps that backward comes to before"
            when = f", at step {at} of its loop, {first}"
        before = f": {', '.join(right[-3:])} before it {'is' if len(right) == 1 else 'are'} right" if right else ""
        follow = ", ".join(f"d{n}" for n in mended[:4]) + (", ..." if len(mended) > 4 else "")
        spelled = name if follow != name else "it"
        return (
            f"{name} ({place.file}:{place.line}) is the first that is wrong{when}{before}; "
            f"with the right {spelled}, {follow} {'is' if len(mended) == 1 else 'are'} right"
        )


def _paired(zs: list[Moment], dzs: list[tuple[int, Moment]]) -> Iterator[tuple[Moment, tuple[int, Moment]]]:
    """z and the last dz of the same turn of the loop: by the loop's variable, or else from the last to the first."""
    if not dzs:
        return
    if len(zs) == 1:
        yield zs[0], dzs[-1]
        return
    by_turn = {dz.loops: (when, dz) for when, dz in dzs}
    turns = [z.loops for z in zs]
    if len(set(turns)) == len(turns) and set(by_turn) <= set(turns):
        yield from ((z, by_turn[z.loops]) for z in zs if z.loops in by_turn)
    elif len(dzs) == len(zs):
        yield from zip(reversed(zs), dzs, strict=True)
