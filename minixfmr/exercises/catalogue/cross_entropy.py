"""The loss, with label smoothing and ignored labels."""

import numpy

from ...training import CrossEntropy
from ..exercise import Mistake, Pair
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
    logits[0, 0, (labels[0, 0] + 1) % V] = logits[0, 0, labels[0, 0]]  # a tie with the label
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


def _log_p(logits):
    z = logits - logits.max(-1, keepdims=True)
    return z - numpy.log(numpy.exp(z).sum(-1, keepdims=True))


def _target(logits, labels, epsilon, rest=None, own=None):
    """What p is compared with; rest: the share of every other token, own: that of the label."""
    rest = epsilon / V if rest is None else rest
    onehot = labels[..., None] == numpy.arange(V)
    return numpy.where(onehot, 1 - epsilon + epsilon / V if own is None else own, rest)


def _losses(change):
    """log p, target, which count, → the wrong loss."""

    def wrong(logits, labels, ignore_index, epsilon):
        return change(_log_p(logits), _target(logits, labels, epsilon), labels != ignore_index)

    return wrong


def _taken_for(token, all_count):
    """Ignored labels are taken for another token (-100 counts from the end), and divided by all, or the others."""

    def wrong(logits, labels, ignore_index, epsilon):
        ignored = labels == ignore_index
        target = _target(logits, numpy.where(ignored, token % V, labels), epsilon)
        return -(target * _log_p(logits)).sum() / (labels.size if all_count else max((~ignored).sum(), 1))

    return wrong


def _smoothed(share):
    """ε → (the share of every other token, that of the label)"""

    def wrong(logits, labels, ignore_index, epsilon):
        keep = labels != ignore_index
        target = _target(logits, labels, epsilon, *share(epsilon))
        return -((target * _log_p(logits)).sum(-1) * keep).sum() / max(keep.sum(), 1)

    return wrong


def _of_logits(change):
    """dy, p, target, which count → the wrong dlogits."""

    def wrong(dy, logits, labels, ignore_index, epsilon):
        keep = (labels != ignore_index)[..., None]
        return {"logits": change(dy, numpy.exp(_log_p(logits)), _target(logits, labels, epsilon), keep)}

    return wrong


def _first_token(dy, logits, labels, ignore_index, epsilon):
    """Ignored labels are taken for token 0."""
    p, count = numpy.exp(_log_p(logits)), (labels != ignore_index).sum()
    return {"logits": dy * (p - _target(logits, numpy.where(labels == ignore_index, 0, labels), epsilon)) / count}


def _unsmoothed(dy, logits, labels, ignore_index, epsilon):
    keep = (labels != ignore_index)[..., None]
    p, target = numpy.exp(_log_p(logits)), _target(logits, labels, 0.0)
    return {"logits": dy * (p - target) * keep / keep.sum()}


def _spread_over_others(dy, logits, labels, ignore_index, epsilon):
    keep = (labels != ignore_index)[..., None]
    p, target = numpy.exp(_log_p(logits)), _target(logits, labels, epsilon, epsilon / (V - 1), 1 - epsilon)
    return {"logits": dy * (p - target) * keep / keep.sum()}


def _label_alone(dy, logits, labels, ignore_index, epsilon):
    keep = (labels != ignore_index)[..., None]
    p, target = numpy.exp(_log_p(logits)), _target(logits, labels, epsilon, rest=0.0)
    return {"logits": dy * (p - target) * keep / keep.sum()}


COUNT = "it is divided by {}: the mean is over the labels that count"
SMOOTH = "label smoothing: every token has the share ε / V, and the label 1 - ε besides"
IGNORED = "labels equal to ignore_index are not left out"
FORWARD = (
    Mistake(
        "divided by all labels",
        COUNT.format("the number of all labels"),
        _losses(lambda log_p, target, keep: -((target * log_p).sum(-1) * keep).mean()),
        "the mean",
    ),
    Mistake(
        "sum instead of mean",
        "it is the sum: the loss is the mean over the labels that count",
        _losses(lambda log_p, target, keep: -((target * log_p).sum(-1) * keep).sum()),
        "the mean",
    ),
    Mistake(
        "divided by the batch size",
        COUNT.format("the number of sequences"),
        _losses(lambda log_p, target, keep: -((target * log_p).sum(-1) * keep).sum() / B),
        "the mean",
    ),
    Mistake("ignored labels count", IGNORED, _losses(lambda log_p, target, keep: -(target * log_p).sum() / keep.sum())),
    Mistake("ignored labels count", IGNORED, _losses(lambda log_p, target, keep: -(target * log_p).sum(-1).mean())),
    *(
        Mistake("ignored labels count", IGNORED, _taken_for(token, every))
        for token in (0, -100)
        for every in (True, False)
    ),
    Mistake(
        "wrong sign",
        "it has the wrong sign: log p is negative, the loss is not",
        _losses(lambda log_p, target, keep: ((target * log_p).sum(-1) * keep).sum() / keep.sum()),
    ),
    Mistake(
        "log forgotten",
        "the logarithm is missing: the loss is made of log p, not of p",
        _losses(lambda log_p, target, keep: -((target * numpy.exp(log_p)).sum(-1) * keep).sum() / keep.sum()),
    ),
    Mistake(
        "logarithm of another base",
        "this is the logarithm to base 2: the natural one belongs here",
        _losses(lambda log_p, target, keep: -((target * log_p).sum(-1) * keep).sum() / keep.sum() / numpy.log(2)),
    ),
    Mistake("label smoothing", f"{SMOOTH}; here ε is spread over V - 1", _smoothed(lambda e: (e / (V - 1), 1 - e))),
    Mistake(
        "label smoothing",
        f"{SMOOTH}; here ε is spread over V - 1",
        _smoothed(lambda e: (e / (V - 1), 1 - e + e / (V - 1))),
    ),
    Mistake("label smoothing", f"{SMOOTH}; here the other tokens get nothing", _smoothed(lambda e: (0.0, 1 - e))),
    Mistake("label smoothing", f"{SMOOTH}; here the label lacks its ε / V", _smoothed(lambda e: (e / V, 1 - e))),
    Mistake("label smoothing", f"{SMOOTH}; here the label has all of 1", _smoothed(lambda e: (e / V, 1.0))),
    Mistake("label smoothing", f"{SMOOTH}; it is not used", _smoothed(lambda e: (0.0, 1.0))),
    Mistake(
        "exp overflows",
        "exp overflows for large logits: subtract the largest of each row first",
        lambda z, labels, i, e: numpy.nan,
    ),
    Mistake(
        "log of 0",
        "log p is infinite where p was rounded to 0: compute log p without p",
        lambda z, labels, i, e: numpy.inf,
    ),
)
BACKWARD = (
    Mistake(
        "wrong sign",
        "it has the wrong sign: dlogits = (p - target) / count",
        _of_logits(lambda dy, p, target, keep: dy * (target - p) * keep / keep.sum()),
    ),
    Mistake(
        "not divided by the count",
        "it is not divided by the number of labels that count: the loss is a mean",
        _of_logits(lambda dy, p, target, keep: dy * (p - target) * keep),
        "the division",
    ),
    Mistake(
        "divided by all labels",
        COUNT.format("the number of all labels"),
        _of_logits(lambda dy, p, target, keep: dy * (p - target) * keep / keep.size),
        "the division",
    ),
    Mistake(
        "divided by the batch size",
        COUNT.format("the number of sequences"),
        _of_logits(lambda dy, p, target, keep: dy * (p - target) * keep / B),
        "the division",
    ),
    Mistake(
        "ignored labels count",
        "rows whose label is ignore_index get a gradient: theirs is 0",
        _of_logits(lambda dy, p, target, keep: dy * (p - target) / keep.sum()),
    ),
    Mistake("ignored labels count", "rows whose label is ignore_index get a gradient: theirs is 0", _first_token),
    Mistake(
        "dy not used",
        "dy is not used: it is the gradient of the loss's own, and multiplies all of it",
        _of_logits(lambda dy, p, target, keep: (p - target) * keep / keep.sum()),
        "the last line",
    ),
    Mistake("label smoothing", f"{SMOOTH}; the target has no smoothing", _unsmoothed, "the target"),
    Mistake("label smoothing", f"{SMOOTH}; the other tokens get nothing", _label_alone, "the target"),
    Mistake("label smoothing", f"{SMOOTH}; here ε is spread over V - 1", _spread_over_others, "the target"),
    Mistake(
        "softmax differentiated twice",
        "p (1 - p) is one factor too many: p - target is the derivative of the logits already",
        _of_logits(lambda dy, p, target, keep: dy * (p - target) * p * (1 - p) * keep / keep.sum()),
    ),
)


TUTORIAL = 4
EXERCISE = Pair(
    "cross_entropy",
    "logits labels ignore_index label_smoothing",
    points=(3, 5),
    right=right,
    gradients=gradients,
    cases=cases,
    extra=extra,
    mistakes=(FORWARD, BACKWARD),
)
