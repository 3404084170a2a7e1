"""Dropout. Each student draws as they like, so a forward is judged by what holds for every draw."""

import numpy

from ..compare import NotRight, as_numbers, compare
from ..exercise import Pair, Seed
from .materials import DH, B, T, normal

P = 0.3


class _Dropout(Pair):
    def forward(self, session, explain=None):
        name = self.functions[0]
        x = session.rng.uniform(1, 2, (40, 50))
        compare("y", session.forward(name, (x, P, None), self.names), x, " in evaluation (rng None)")
        seeds = [session.seed(), session.seed()]
        y, other, again = (
            as_numbers("y", session.forward(name, (x, P, Seed(seed)), self.names)) for seed in (*seeds, seeds[0])
        )
        self.compare_y(y, (x, P, Seed(seeds[0])), "")
        share = float((y == 0).mean())
        if abs(share - P) > 0.06:  # six standard deviations
            raise NotRight(f"{share:.0%} of y are 0, expected about {P:.0%}", cause="wrong share of zeros", where="y")
        zero = y == 0
        if (zero == zero[:1]).all() or (zero == zero[:, :1]).all():
            text = "whole rows or columns of y are 0: each element is drawn by itself"
            raise NotRight(text, cause="one draw for many elements", where="y")
        if y.shape != again.shape or (again != y).any():
            raise NotRight(
                "y differs between two calls with equal generators: draw from rng alone",
                cause="does not draw from rng",
                where="y",
            )
        if y.shape == other.shape and (other == y).all():
            raise NotRight("y is the same for two generators: draw from rng", cause="does not draw from rng", where="y")

    def compare_y(self, y, arguments, remark):
        x, p, rng = arguments
        y = as_numbers("y", y, remark)
        if y.shape != x.shape:
            raise NotRight(f"y has shape {y.shape}{remark}, expected {x.shape}", where="y")
        if rng is None:
            return super().compare_y(y, arguments, remark)
        kept = y != 0
        if not kept.any():
            raise NotRight(f"y is 0 everywhere{remark}", where="y")
        compare("y, where it is not 0,", y[kept], (x / (1 - p))[kept], remark)

    def right_gradients(self, dy, arguments, y):
        _, p, rng = arguments
        return {"x": dy if rng is None else dy * (numpy.asarray(y) != 0) / (1 - p)}


EXERCISE = _Dropout(
    "dropout",
    "x p rng",
    title="silence random units",
    points=(2, 3),
    tutorial=5,
    right=lambda x, p, rng: x,
    cases=lambda rng: {
        "": (normal(rng, B, T, DH), P, Seed(int(rng.integers(1 << 31)))),
        " in evaluation": (normal(rng, B, T, DH), P, None),
    },
)
