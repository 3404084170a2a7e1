"""Mean 0, variance 1."""

import numpy

from ...layers import layer_norm, layer_norm_backward
from ..exercise import Mistake, Pair
from .materials import EPS, B, D, T, gain, normal


def gradients(dy, *arguments):
    return dict(zip(("x", "weight", "bias"), layer_norm_backward(dy, layer_norm(*arguments)[1]), strict=True))


def _mean(a):
    return a.mean(-1, keepdims=True)


def _sum(a):
    return a.sum(-1, keepdims=True)


def _with(mean=_mean, spread=None, last=lambda n, w, b: n * w + b):
    """The forward with another mean, spread(x, centered, eps) or last line."""

    def wrong(x, weight, bias, eps):
        centered = x - mean(x)
        std = numpy.sqrt(_mean(centered**2) + eps) if spread is None else spread(x, centered, eps)
        return last(centered / std, weight, bias)

    return wrong


def _variance(change):
    """x, the centered x → another variance."""
    return _with(spread=lambda x, c, eps: numpy.sqrt(change(x, c) + eps))


def _eps(value):
    return _with(spread=lambda x, c, eps: numpy.sqrt(_mean(c**2) + value))


BOTH = "mean and variance over the whole array"
WHOLE = "over the whole array: each vector, the last axis, has its own"
FORWARD = (
    Mistake(
        "eps outside the root",
        "eps stands outside the root: √(σ² + eps)",
        _with(spread=lambda x, c, eps: x.std(-1, keepdims=True) + eps),
    ),
    Mistake("eps forgotten", "eps is missing under the root", _with(spread=lambda x, c, eps: x.std(-1, keepdims=True))),
    Mistake(
        "root forgotten",
        "the root is missing: divide by √(σ² + eps)",
        _with(spread=lambda x, c, eps: x.var(-1, keepdims=True) + eps),
    ),
    *(
        Mistake("another eps", f"eps is taken as {value:g}, not as the argument says", _eps(value))
        for value in (1e-5, 1e-6, 1e-8, 1e-12, 1e-3)
    ),
    Mistake(
        "divided by d - 1",
        "the variance is divided by d - 1: by d",
        _variance(lambda x, c: x.var(-1, ddof=1, keepdims=True)),
    ),
    Mistake(
        "sum instead of mean", "the variance is a sum: it is the mean of (x - μ)²", _variance(lambda x, c: _sum(c**2))
    ),
    Mistake("variance about 0", "σ² is the mean of (x - μ)², not of x²", _variance(lambda x, c: _mean(x**2))),
    Mistake("variance over the whole array", f"the variance goes {WHOLE}", _variance(lambda x, c: x.var())),
    Mistake("variance over the whole array", f"the variance goes {WHOLE}", _variance(lambda x, c: (c**2).mean())),
    Mistake("mean over the whole array", f"the mean goes {WHOLE}", _with(mean=lambda x: x.mean())),
    Mistake(BOTH, f"mean and variance go {WHOLE}", _with(lambda x: x.mean(), lambda x, c, eps: (x.var() + eps) ** 0.5)),
    Mistake(
        BOTH, f"mean and variance go {WHOLE}; eps is missing", _with(lambda x: x.mean(), lambda x, c, eps: x.std())
    ),
    *(
        Mistake(f"{what} over the wrong axis", f"{what} over axis {axis}: over the last axis, axis=-1", wrong)
        for axis in (0, 1)
        for what, wrong in (
            ("the mean", _with(mean=lambda x, axis=axis: x.mean(axis, keepdims=True))),
            ("the variance", _variance(lambda x, c, axis=axis: x.var(axis, keepdims=True))),
            (
                "mean and variance",
                _with(
                    mean=lambda x, axis=axis: x.mean(axis, keepdims=True),
                    spread=lambda x, c, eps, axis=axis: numpy.sqrt(x.var(axis, keepdims=True) + eps),
                ),
            ),
        )
    ),
    Mistake("weight forgotten", "the factor weight is missing", _with(last=lambda n, w, b: n + b)),
    Mistake("bias forgotten", "the bias is missing", _with(last=lambda n, w, b: n * w)),
    Mistake("weight and bias forgotten", "weight and bias are missing", _with(last=lambda n, *_: n)),
    Mistake(
        "weight on the bias",
        "the weight multiplies the bias too: n · weight + bias",
        _with(last=lambda n, w, b: (n + b) * w),
    ),
    Mistake("bias multiplied", "the bias multiplies n too: n · weight + bias", _with(last=lambda n, w, b: n * (w + b))),
    Mistake(
        "mean not subtracted",
        "the mean is not subtracted",
        _with(mean=lambda x: 0 * x, spread=lambda x, c, eps: numpy.sqrt(x.var(-1, keepdims=True) + eps)),
    ),
    Mistake("mean not subtracted", "the mean is not subtracted: this is RMSNorm", _with(mean=lambda x: 0 * x)),
)


def _dx(change):
    """n, std, weight, dy → the wrong dx."""

    def wrong(dy, x, weight, bias, eps):
        centered = x - _mean(x)
        std = numpy.sqrt(_mean(centered**2) + eps)
        return {"x": change(centered / std, std, weight, dy)}

    return wrong


def _through(dn, n, mean=_mean, spread=_mean):
    """dn without what comes back through μ and σ²."""
    return dn - mean(dn) - n * spread(dn * n)


def _dweight(change):
    """n, dy → the wrong dweight, before the sum over the rows."""

    def wrong(dy, x, weight, bias, eps):
        centered = x - _mean(x)
        n = centered / numpy.sqrt(_mean(centered**2) + eps)
        return {"weight": change(n, dy, centered).reshape(-1, D).sum(0)}

    return wrong


def _batch(a):
    return a.mean((0, 1), keepdims=True)


def _with_y(dy, x, weight, bias, eps):
    std = numpy.sqrt(_mean((x - _mean(x)) ** 2) + eps)
    y = (x - _mean(x)) / std * weight + bias
    return {"x": _through(dy * weight, y) / std, "weight": (dy * y).reshape(-1, D).sum(0)}


WAYS = "x affects y in three ways, directly, through μ and through σ²; "
BACKWARD = (
    Mistake(
        "mean and variance terms forgotten",
        WAYS + "what comes back through mean and variance is missing",
        _dx(lambda n, s, w, dy: dy * w / s),
    ),
    Mistake(
        "variance term forgotten",
        WAYS + "what comes back through the variance is missing: - n · mean(dn · n)",
        _dx(lambda n, s, w, dy: (dy * w - _mean(dy * w)) / s),
    ),
    Mistake(
        "mean term forgotten",
        WAYS + "what comes back through the mean is missing: - mean(dn)",
        _dx(lambda n, s, w, dy: (dy * w - n * _mean(dy * w * n)) / s),
    ),
    Mistake(
        "division by σ forgotten",
        "the division by √(σ² + eps) is missing: n = (x - μ) / √(σ² + eps)",
        _dx(lambda n, s, w, dy: _through(dy * w, n)),
    ),
    Mistake(
        "division by σ twice",
        "it is divided by √(σ² + eps) twice: once",
        _dx(lambda n, s, w, dy: _through(dy * w, n) / s**2),
    ),
    Mistake(
        "multiplied by σ", "it is multiplied by √(σ² + eps): divide", _dx(lambda n, s, w, dy: _through(dy * w, n) * s)
    ),
    Mistake(
        "weight forgotten", "the weight is missing: dn = dy · weight", _dx(lambda n, s, w, dy: _through(dy, n) / s)
    ),
    Mistake(
        "weight outside the sums",
        "the weight belongs inside the means: dn = dy · weight first",
        _dx(lambda n, s, w, dy: w * _through(dy, n) / s),
    ),
    Mistake(
        "sums for means",
        "both terms are sums: they are means over the row",
        _dx(lambda n, s, w, dy: _through(dy * w, n, _sum, _sum) / s),
    ),
    Mistake(
        "sum for the mean",
        "the variance term is a sum: it is n · mean(dn · n)",
        _dx(lambda n, s, w, dy: _through(dy * w, n, spread=_sum) / s),
    ),
    Mistake(
        "sum for the mean",
        "the mean term is a sum: it is mean(dn)",
        _dx(lambda n, s, w, dy: _through(dy * w, n, mean=_sum) / s),
    ),
    Mistake(
        "wrong sign of the variance term",
        "the variance term has the wrong sign: it is subtracted",
        _dx(lambda n, s, w, dy: (dy * w - _mean(dy * w) + n * _mean(dy * w * n)) / s),
    ),
    Mistake(
        "wrong sign of the mean term",
        "the mean term has the wrong sign: it is subtracted",
        _dx(lambda n, s, w, dy: (dy * w + _mean(dy * w) - n * _mean(dy * w * n)) / s),
    ),
    Mistake(
        "factor n forgotten",
        "the variance term lacks its factor n: n · mean(dn · n)",
        _dx(lambda n, s, w, dy: (dy * w - _mean(dy * w) - _mean(dy * w * n)) / s),
    ),
    *(
        Mistake(
            "means over the wrong axis",
            f"the means go over axis {axis}: over the last axis",
            _dx(lambda n, s, w, dy, m=lambda a, axis=axis: a.mean(axis, keepdims=True): _through(dy * w, n, m, m) / s),
        )
        for axis in (0, 1)
    ),
    Mistake(
        "means over the wrong axis",
        "the means go over batch and time: over the last axis",
        _dx(lambda n, s, w, dy: _through(dy * w, n, _batch, _batch) / s),
    ),
    Mistake("y in place of n", "y stands where n, before weight and bias, belongs", _with_y, "what is saved"),
    Mistake(
        "n forgotten in dweight", "dweight lacks the normalised x: Σ (dy · n)", _dweight(lambda n, dy, c: dy), "dweight"
    ),
    Mistake(
        "not normalised in dweight",
        "dweight takes x - μ: the normalised n belongs there",
        _dweight(lambda n, dy, c: dy * c),
        "dweight",
    ),
)

TUTORIAL = 2
EXERCISE = Pair(
    "layer_norm",
    "x weight bias eps",
    points=(3, 6),
    right=lambda *arguments: layer_norm(*arguments)[0],
    gradients=gradients,
    mistakes=(FORWARD, BACKWARD),
    cases=lambda rng: {"": (normal(rng, B, T, D), gain(rng), normal(rng, D), EPS)},
    extra=lambda rng: {" with a large eps": (normal(rng, T, D), gain(rng), normal(rng, D), 0.5)},
)
