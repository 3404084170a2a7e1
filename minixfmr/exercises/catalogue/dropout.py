"""Silence random units."""

import numpy

from ..compare import NotRight, as_numbers, compare
from ..exercise import Mistake, Pair, Seed
from ..reasons import reason_of_result
from .materials import DH, B, T, normal

P = 0.3
SCALES = (
    Mistake("not rescaled", "what is kept is not divided by 1 - p", lambda x, p: x),
    Mistake("divided by p", "what is kept is divided by p: by 1 - p", lambda x, p: x / p),
    Mistake("multiplied", "what is kept is multiplied by 1 - p: divided", lambda x, p: x * (1 - p)),
)


class _Dropout(Pair):
    def forward(self, session, explain=None):
        name = self.functions[0]
        x = session.rng.uniform(1, 2, (40, 50))
        self.compare_y(session.forward(name, (x, P, None), self.names), (x, P, None), " in evaluation (rng None)")
        seeds = [session.seed(), session.seed()]
        y, other, again = (
            as_numbers("y", session.forward(name, (x, P, Seed(seed)), self.names)) for seed in (*seeds, seeds[0])
        )
        self.compare_y(y, (x, P, Seed(seeds[0])), "")
        zero = y == 0
        if (zero == zero[:1]).all() or (zero == zero[:, :1]).all():
            text = "whole rows or columns of y are 0: each element is drawn by itself"
            raise NotRight(text, cause="one draw for many elements", where="y")
        share = float(zero.mean())
        if abs(share - (1 - P)) < 0.06:
            text = f"{share:.0%} of y are 0, expected about {P:.0%}: p is the probability to silence, not to keep"
            raise NotRight(text, cause="p taken for the share that is kept", where="y")
        if abs(share - P) > 0.06:  # six standard deviations
            raise NotRight(f"{share:.0%} of y are 0, expected about {P:.0%}", cause="wrong share of zeros", where="y")
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
            return super().compare_y(y, arguments, remark or " in evaluation")
        kept = y != 0
        if not kept.any():
            raise NotRight(f"y is 0 everywhere{remark}", where="y")
        try:
            compare("y, where it is not 0,", y[kept], (x / (1 - p))[kept], remark)
        except NotRight as error:
            found = reason_of_result(SCALES, y[kept], (x / (1 - p))[kept], (x[kept], p))
            raise found.of(error, remark) if found else error from None

    def backward_mistakes(self, y):
        kept = numpy.asarray(y) != 0
        return (
            Mistake("not rescaled", "the division by 1 - p is missing", lambda dy, x, p, rng: {"x": dy * kept}),
            Mistake("divided by p", "it is divided by p: by 1 - p", lambda dy, x, p, rng: {"x": dy * kept / p}),
            Mistake(
                "multiplied", "it is multiplied by 1 - p: divided", lambda dy, x, p, rng: {"x": dy * kept * (1 - p)}
            ),
            Mistake(
                "rescaled twice", "it is divided by 1 - p twice", lambda dy, x, p, rng: {"x": dy * kept / (1 - p) ** 2}
            ),
            Mistake(
                "mask forgotten",
                "the mask is missing: units that were silent in the forward get no gradient",
                lambda dy, x, p, rng: {"x": dy / (1 - p)},
            ),
            Mistake(
                "mask forgotten",
                "the mask and the division by 1 - p are missing: units that were silent get no gradient",
                lambda dy, x, p, rng: {"x": dy},
            ),
            Mistake(
                "mask upside down",
                "the mask is upside down: units that were silent in the forward get no gradient",
                lambda dy, x, p, rng: {"x": dy * ~kept / (1 - p)},
            ),
            Mistake("y in place of the mask", "y is taken for the mask", lambda dy, x, p, rng: {"x": dy * y}),
        )

    def right_gradients(self, dy, arguments, y):
        _, p, rng = arguments
        return {"x": dy if rng is None else dy * (numpy.asarray(y) != 0) / (1 - p)}


TUTORIAL = 5
EXERCISE = _Dropout(
    "dropout",
    "x p rng",
    points=(2, 3),
    right=lambda x, p, rng: x,
    mistakes=(
        (
            Mistake(
                "rescaled in evaluation",
                "y is x itself in evaluation: nothing is rescaled",
                lambda x, p, rng: x * (1 - p),
            ),
            Mistake(
                "rescaled in evaluation",
                "y is x itself in evaluation: nothing is rescaled",
                lambda x, p, rng: x / (1 - p),
            ),
        ),
        (),
    ),
    cases=lambda rng: {
        "": (normal(rng, B, T, DH), P, Seed(int(rng.integers(1 << 31)))),
        " in evaluation": (normal(rng, B, T, DH), P, None),
    },
)
