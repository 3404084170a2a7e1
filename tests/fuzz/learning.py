"""Calls of what training is made of: criteria, optimizers, schedules, weights."""

import math

import numpy

import minixfmr
from minixfmr import training

from .models import V, model, words
from .odd import BAD, HUGE, NO_NUMBERS, Argument, count, integers, number, pick
from .reference import adamw, cross_entropy
from .runner import Case


def call(name, function, arguments, check, valid=None):
    """A Case of function(**arguments), valid unless one of them is bad."""
    given = {key: a.passed for key, a in arguments.items()}
    good = not any(a.bad for a in arguments.values()) if valid is None else valid
    text = f"{name}({words(given)[1:-1]})"
    return Case(text, lambda: function(**given), lambda result: check(result, **meanings(arguments)), good)


def meanings(arguments):
    return {key: a.meaning for key, a in arguments.items()}


def close(found, expected, tolerance=1e-9):
    same = numpy.shape(found) == numpy.shape(expected) and numpy.allclose(
        found, expected, tolerance, 1e-12, equal_nan=True
    )
    return None if same else f"expected {expected!r}"


def criterion(rng):
    """CrossEntropy: the loss and its gradient."""
    shape = tuple(rng.integers(1, 4, rng.integers(1, 3)))
    logits = rng.standard_normal((*shape, V))
    ignored = count(rng, (-100, 0, -1, 3), ()) if rng.random() < 0.5 else Argument(-100, -100)
    smoothing = number(rng, (0.0, 0.1, 0.5), (-0.1, 1.0, 2.0)) if rng.random() < 0.5 else Argument(0.0, 0.0)
    values = rng.integers(0, V, shape)
    labels = integers(rng, values)
    if labels.bad and ignored.meaning == -1:  # which makes a bad label, -1, a good one
        ignored = Argument(-100, -100)
    if not labels.bad and not ignored.bad and rng.random() < 0.7:
        values = numpy.where(rng.random(shape) < 0.4, ignored.meaning, values)
        labels = Argument(pick(rng, values, values.tolist()), values)
    own = int((values != ignored.meaning).sum()) if not ignored.bad else 0
    counted = Argument(None, None)
    if rng.random() < 0.3:
        counted = count(rng, (own, own + 5), [-1, 1.5] + ([own - 1] if own else []), none=True)
    given = Argument(logits, logits)
    if rng.random() < 0.1:
        broken = [logits.astype(int), logits * 1j, logits[..., :-1, :] if len(shape) > 1 and shape[-1] > 1 else None]
        given = Argument(
            pick(rng, *broken, None, logits.tolist(), "x", logits > 0, logits[..., :0], numpy.float64(1)), BAD
        )
    arguments = {
        "ignore_index": ignored,
        "label_smoothing": smoothing,
        "labels": labels,
        "count": counted,
        "logits": given,
    }

    def run(ignore_index, label_smoothing, **rest):
        made = minixfmr.CrossEntropy(ignore_index, label_smoothing)
        loss, saved = made.forward(**rest)
        return float(loss), made.backward(saved)

    def check(result, ignore_index, label_smoothing, labels, count, logits):
        loss, dlogits = result
        c = own if count is None else count
        if not math.isclose(loss, cross_entropy(logits, labels, ignore_index, label_smoothing, c), abs_tol=1e-10):
            return f"loss {cross_entropy(logits, labels, ignore_index, label_smoothing, c)}"
        way, h = rng.standard_normal(logits.shape), 1e-6
        up, down = (cross_entropy(logits + s * h * way, labels, ignore_index, label_smoothing, c) for s in (1, -1))
        slope = (up - down) / (2 * h)
        return None if abs((dlogits * way).sum() - slope) < 1e-6 else f"slope {slope}"

    return call("CrossEntropy", run, arguments, check)


def optimizer(rng):
    """AdamW: a few steps."""
    arguments = {
        "lr": number(rng, (0.0, 1e-3, 0.5), (-1e-3,)),
        "betas": Argument(
            *pick(rng, ((0.9, 0.999), (0.9, 0.999)), ([0.5, 0.0], (0.5, 0.0)), (numpy.array([0.9, 0.9]), (0.9, 0.9)))
        ),
        "eps": number(rng, (1e-8, 1e-3), (0, -1e-8, 1e-200, 10.0)),
        "weight_decay": number(rng, (0.0, 0.1), (-0.1,)),
    }
    if rng.random() < 0.15:
        bad = [
            (0.9,),
            0.9,
            (0.9, 1.0),
            (-0.1, 0.9),
            "ab",
            None,
            (0.9, "x"),
            (0.9, float("nan")),
            (0.9, 0.9, 0.9),
            (None, 0.9),
        ]
        arguments["betas"] = Argument(pick(rng, *bad), BAD)
    values = [rng.standard_normal(3), rng.standard_normal((2, 2))]
    grads = [[rng.standard_normal(v.shape) for v in values] for _ in range(2)]
    parameters = [minixfmr.Parameter(v.copy()) for v in values]
    given = Argument(pick(rng, parameters, tuple(parameters), parameters * 2, iter(parameters)), None)
    if rng.random() < 0.15:
        single = minixfmr.Parameter(numpy.ones(2, "float32"))
        broken = [
            [],
            None,
            parameters[0],
            values,
            [*parameters, single],
            "x",
            3,
            dict(a=parameters[0]),
            [None],
            model("DecoderOnly", 0),
        ]
        given = Argument(pick(rng, *broken, [("a", parameters[0])], values[0]), BAD)
    later = Argument(None, None)
    if rng.random() < 0.15:
        later = Argument(pick(rng, *(x for x in NO_NUMBERS if x is not None), -1.0, math.inf), BAD)

    def run(parameters_given, lr_later, **options):
        made = minixfmr.AdamW(parameters_given, **options)
        for step in grads:
            for p, g in zip(parameters, step, strict=True):
                p.grad[...] = g
            if lr_later is not None:
                made.lr = lr_later
            made.step()
        return [p.data for p in parameters]

    def check(result, parameters_given, lr_later, **options):
        for i, p in enumerate(result):
            expected = adamw(values[i], [g[i] for g in grads], *options.values())
            if not numpy.allclose(p, expected, 1e-9, 1e-12):
                return f"expected {expected}"
        return None

    arguments = {"parameters_given": given, "lr_later": later, **arguments}
    return call("AdamW", run, arguments, check)


def parameter(rng):
    """Parameter: floats of the backend alone."""
    good = rng.standard_normal(3)
    bad = [
        good.astype(int),
        good * 1j,
        good > 0,
        good.tolist(),
        None,
        "x",
        1.0,
        numpy.float64(1),
        good.astype(object),
        good.astype("float16"),
    ]
    fits = rng.random() < 0.3
    data = good.astype(pick(rng, "float32", "float64")) if fits else pick(rng, *bad)
    check = lambda p: None if p.data is data and p.grad.dtype == data.dtype and not p.grad.any() else "not the data"  # noqa: E731
    return Case(f"Parameter({words(data)})", lambda: minixfmr.Parameter(data), check, fits)


def clipping(rng):
    """clip_grad_norm: scales all, and returns the norm from before."""
    most = number(rng, (0.5, 1.0, 100.0), (0, -1.0))
    if most.passed is HUGE[0]:
        most = Argument(math.inf, math.inf)
    p = minixfmr.Parameter(rng.standard_normal(4))
    p.grad[...] = kept = rng.standard_normal(4)
    norm = math.sqrt(sum(g * g for g in kept))

    def check(result, max_norm, parameters):
        return close(result, norm) or close(p.grad, kept * min(1, max_norm / (norm + 1e-6)))

    return call("clip_grad_norm", minixfmr.clip_grad_norm, {"parameters": Argument([p], None), "max_norm": most}, check)


def schedule(rng):
    """The rates of a schedule at one step."""
    kind = pick(rng, "noam", "inverse_sqrt", "cosine", "constant")
    step = count(rng, (1, 2, 5, 40), (0, -1))
    warmup, peak = count(rng, (0, 1, 5, 10)), number(rng, (0.0, 1e-3, 2.0), (-1e-3,))
    if kind == "noam":
        warmup = count(rng, (0, 1, 5, 10), (-1,))
        arguments = {"d_model": count(rng, (1, 64)), "warmup": warmup, "factor": number(rng, (0.5, 1.0), (-1.0,))}
        told = lambda d_model, warmup, factor, n: factor * d_model**-0.5 * min(n**-0.5, n * max(warmup, 1) ** -1.5)  # noqa: E731
    elif kind == "inverse_sqrt":
        warmup = count(rng, (0, 1, 5, 10), (-1,))
        arguments = {"peak": peak, "warmup": warmup}
        told = lambda peak, warmup, n: peak * min(n / max(warmup, 1), math.sqrt(max(warmup, 1) / n))  # noqa: E731
    elif kind == "cosine":
        total = count(rng, (10, 30))
        warmup = count(rng, (0, 1, 5, 10), (-1, 31))
        arguments = {"peak": peak, "warmup": warmup, "total": total, "final": number(rng, (0.0, 1e-4), (-1e-4,))}

        def told(peak, warmup, total, final, n):
            if n < warmup:
                return peak * n / warmup
            share = min((n - warmup) / (total + 1 - warmup), 1)
            return final + (peak - final) / 2 * (1 + math.cos(math.pi * share))
    else:
        arguments = {"peak": peak}
        told = lambda peak, n: peak  # noqa: E731

    def run(n, **options):
        return getattr(training, kind)(**options)(n)

    def check(result, n, **options):
        return close(result, told(**options, n=n))

    return call(kind, run, arguments | {"n": step}, check)


def weights(rng):
    """load_state_dict: all of it, or nothing."""
    made = model("EncoderOnly", int(rng.integers(4)))
    state = {name: w.copy() for name, w in made.state_dict().items()}
    name = sorted(state)[rng.integers(len(state))]
    w, fits = state[name], rng.random() < 0.4
    if fits:
        state[name] = pick(rng, w, w.tolist(), w.astype("float32"), numpy.asfortranarray(w))
    else:
        spoilt = w.copy()
        spoilt.reshape(-1)[0] = pick(rng, numpy.nan, numpy.inf, -numpy.inf)
        bad = [
            spoilt,
            w * 1j,
            w.astype(str),
            w.astype(object),
            None,
            "x",
            w[None],
            w[:-1],
            {},
            w > 0,
            [[1.0], [2.0, 3.0]],
        ]
        state = pick(
            rng,
            state | {name: pick(rng, *bad)},
            {k: v for k, v in state.items() if k != name},
            state | {"more": w},
            None,
            [],
            "x",
        )
    before = made.state_dict()

    def run():
        try:
            made.load_state_dict(state)
        except Exception:
            after = made.state_dict()
            if any(not numpy.array_equal(after[k], before[k]) for k in before):
                raise AssertionError("refused, and changed") from None
            raise
        return made.state_dict()

    check = lambda after: None if all(numpy.allclose(after[k], before[k], 1e-5) for k in before) else "other weights"  # noqa: E731
    return Case(
        f"load_state_dict({name}: {words(state[name]) if isinstance(state, dict) and name in state else words(state)})",
        run,
        check,
        fits,
    )


DOORS = [criterion, criterion, optimizer, parameter, clipping, schedule, weights]
