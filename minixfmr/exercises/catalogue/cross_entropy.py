"""Cross-entropy, with ignored labels and label smoothing."""

import numpy

from ...training import CrossEntropy
from ..exercise import Pair
from .materials import B, T, V, normal


def right(logits, labels, ignore_index, label_smoothing):
    return CrossEntropy(ignore_index, label_smoothing).forward(logits, labels)[0]


def gradients(dy, logits, labels, ignore_index, label_smoothing):
    criterion = CrossEntropy(ignore_index, label_smoothing)
    return {"logits": dy * criterion.backward(criterion.forward(logits, labels)[1])}


def _labels(rng):
    labels = rng.integers(1, V, (B, T))
    ignored = labels.copy()
    ignored[0, 4] = ignored[1, 3] = ignored[1, 4] = -100
    return labels, ignored


def cases(rng):
    labels, ignored = _labels(rng)
    logits = normal(rng, B, T, V)
    return {
        "": (logits, labels, -100, 0.0),
        " with ignored labels": (logits, ignored, -100, 0.0),
        " with label smoothing and ignored labels": (logits, ignored, -100, 0.1),
        " with logits far from 0": (logits + 1e6 * normal(rng, B, T, 1), labels, -100, 0.1),  # no step is small there
    }


def extra(rng):
    labels, _ = _labels(rng)
    return {
        " with large logits": (500 * normal(rng, B, T, V), labels, -100, 0.0),
        " with ignore_index 0": (normal(rng, B, T, V), labels * (labels > 3), 0, 0.1),
        " without any label that counts": (normal(rng, B, T, V), numpy.full_like(labels, -100), -100, 0.0),
    }


EXERCISE = Pair(
    "cross_entropy",
    "logits labels ignore_index label_smoothing",
    title="the loss, with label smoothing and ignored labels",
    points=(3, 5),
    tutorial=4,
    right=right,
    gradients=gradients,
    cases=cases,
    extra=extra,
)
