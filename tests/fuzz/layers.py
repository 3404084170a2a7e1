"""Calls of layers: constructors, what they are given, and gradients of what broadcasts."""

import math

import numpy

import minixfmr
from minixfmr import layers

from .learning import call, close
from .models import V, attention, words
from .odd import BAD, Argument, choice, count, integers, number, pick
from .reference import activation, sinusoid, softmax
from .runner import Case


def slopes(layer, x, options, result, dy, rng):
    """None if backward's dx is the slope of dy · y along a random direction of x."""
    dx = layer.backward(dy, result[1])
    dx = dx[0] if isinstance(dx, tuple) else dx
    if dx.shape != x.shape:
        return f"dx has shape {dx.shape}"
    way, h = rng.standard_normal(x.shape), 1e-6
    up, down = (float((layer.forward(x + s * h * way, **options)[0] * dy).sum()) for s in (1, -1))
    slope = (up - down) / (2 * h)
    return None if abs((dx * way).sum() - slope) < 1e-5 * (1 + abs(slope)) else f"slope {slope}"


def vectors(rng, width, axes=None):
    """x: (..., width) floats, or something else."""
    shape = tuple(rng.integers(1, 4, axes - 1 if axes else rng.integers(1, 4)))
    x = rng.standard_normal((*shape, width))
    if rng.random() < 0.75:
        return Argument(x, x)
    bad = [
        x[..., :-1],
        x[..., :0],
        numpy.repeat(x, 2, -1),
        x.tolist(),
        None,
        "x",
        1.0,
        numpy.float64(1),
        numpy.array(1.0),
    ]
    return Argument(pick(rng, *bad, *([x[..., :1]] if width > 1 else [])), BAD)


def small(rng):
    """Layers of one vector at a time."""
    d, m = int(rng.integers(2, 5)), int(rng.integers(1, 4))
    kind = pick(rng, "Linear", "LayerNorm", "RMSNorm", "OffsetRMSNorm", "OutputProjection")
    x = vectors(rng, d)
    sizes = {"d": count(rng, (d,), (0, -1))} if rng.random() < 0.3 else {"d": Argument(d, d)}
    if kind == "Linear":
        sizes["m"] = count(rng, (m,), (0, -1))
    elif kind == "OutputProjection":
        bias = [None, rng.standard_normal(m)]
        wrong = [rng.standard_normal(s) for s in ((1,), (m + 1,), (1, m), (2, m)) if s != (m,)]
        sizes = {"d": Argument(d, d), "b": Argument(*pick(rng, *[(b, b) for b in bias], *[(w, BAD) for w in wrong]))}
    else:
        sizes["eps"] = number(rng, (1e-5, 1e-3, 1.0), (0, -1.0, 1e-200, 1e9))
    weight = rng.standard_normal((m, d))

    def run(x, d, m=None, eps=None, b=None):
        if kind == "Linear":
            made = layers.Linear(d, m, dtype="float64", rng=3)
            made.bias.data += 0.3
        elif kind == "OutputProjection":
            made = layers.OutputProjection(minixfmr.Parameter(weight), None if b is None else minixfmr.Parameter(b))
        else:
            made = getattr(layers, kind)(d, eps=eps, dtype="float64")
            made.weight.data += 0.1 * numpy.arange(d)
        y, saved = made.forward(x)
        dy = rng.standard_normal(y.shape)
        return made, y, slopes(made, x, {}, (y, saved), dy, rng)

    def check(result, x, d, m=None, eps=None, b=None):
        made, y, wrong = result
        if kind == "Linear":
            expected = x @ made.weight.data + made.bias.data
        elif kind == "OutputProjection":
            expected = x @ weight.T + (0 if b is None else b)
        else:
            centred = x - (x.mean(-1, keepdims=True) if kind == "LayerNorm" else 0)
            expected = centred / numpy.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
            expected = expected * (made.weight.data + (kind == "OffsetRMSNorm"))
        return close(y, expected) or wrong

    return call(kind, run, {"x": x, **sizes}, check)


def embedding(rng):
    """Embedding: rows of a table, and their gradient."""
    shape = tuple(rng.integers(1, 4, rng.integers(1, 3)))
    ids = integers(rng, rng.integers(0, V, shape), V, shapes_too=False)
    if isinstance(ids.passed, int):  # a single token, here
        ids = Argument(ids.passed, numpy.array(ids.passed))
    sizes = (
        {"V": count(rng, (V,)), "d": count(rng, (3,))}
        if rng.random() < 0.2
        else {"V": Argument(V, V), "d": Argument(3, 3)}
    )

    def run(ids, V, d):
        made = layers.Embedding(V, d, dtype="float64")
        y, saved = made.forward(ids)
        made.backward(numpy.ones_like(y), saved)
        return made, y

    def check(result, ids, V, d):
        made, y = result
        told = numpy.array([[(ids == v).sum()] * d for v in range(V)])
        return close(y, made.weight.data[ids]) or close(made.weight.grad, told)

    return call("Embedding", run, {"ids": ids, **sizes}, check)


def positions(rng):
    """Positions: rows for each vector, or one row of them for all."""
    kind, longest, d = pick(rng, "LearnedPositions", "SinusoidalPositions"), 6, 4
    x = vectors(rng, d, axes=3)
    B, T = x.meaning.shape[:2] if not x.bad else (2, 3)
    drawn = rng.integers(0, longest, (B, T))
    form = rng.integers(4)
    if form == 0:
        start = int(rng.integers(0, longest - T + 1)) if longest >= T else 0
        rows = Argument(
            pick(rng, start, numpy.int64(start), numpy.array(start)), numpy.tile(numpy.arange(start, start + T), (B, 1))
        )
        if rng.random() < 0.3:
            rows = Argument(pick(rng, -1, longest - T + 1, 1.5, "x", None, longest + 3), BAD)
    elif form == 1:
        given = integers(rng, drawn[0], shapes_too=False)
        rows = Argument(given.passed, BAD if given.bad else numpy.tile(drawn[0], (B, 1)))
    elif form == 2:
        given = integers(rng, drawn[:1], longest, shapes_too=False)
        rows = Argument(given.passed, BAD if given.bad else numpy.tile(drawn[0], (B, 1)))
    else:
        rows = integers(rng, drawn, longest, shapes_too=False)

    if isinstance(rows.passed, int) and rows.passed == 3:  # a start, here
        rows = Argument(3, numpy.tile(numpy.arange(3, 3 + T), (B, 1)) if longest >= 3 + T else BAD)

    def run(x, rows):
        made = getattr(layers, kind)(longest, d, dtype="float64")
        y, saved = made.forward(x, rows)
        made.backward(numpy.ones_like(y), saved)
        return made, y

    def check(result, x, rows):
        made, y = result
        if kind == "SinusoidalPositions":
            return close(y, x + numpy.array([[sinusoid(t, d) for t in row] for row in rows]))
        told = numpy.array([[(rows == t).sum()] * d for t in range(longest)])
        return close(y, x + made.weight.data[rows]) or close(made.weight.grad, told)

    return call(kind, run, {"x": x, "rows": rows}, check)


def heads(rng):
    """MultiHeadAttention and VariantAttention: masks of any shape, memories, gradients."""
    d, H = 4, 2
    B, Tq = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x = vectors(rng, d, axes=3)
    if not x.bad:
        B, Tq = x.meaning.shape[:2]
    memory, options = Argument(None, None), {}
    allowed = Argument(None, None)
    if rng.random() < 0.3:
        m = rng.standard_normal((B, int(rng.integers(1, 4)), d))
        wrong = [m[..., :-1], m[0], m[None], m.tolist(), "x"] + ([m[:1]] if B > 1 else [numpy.repeat(m, 2, axis=0)])
        memory = Argument(m, m) if rng.random() < 0.7 else Argument(pick(rng, *wrong), BAD)
    elif rng.random() < 0.8:
        allowed = attention(rng, B, H, Tq)
        if allowed.passed is not None and not isinstance(allowed.passed, numpy.ndarray) and not allowed.bad:
            allowed = Argument(numpy.array(allowed.passed), allowed.meaning)
    if rng.random() < 0.3:
        wrong = [(3, BAD), (0, BAD), (-2, BAD), (2.0, BAD), ("2", BAD), (True, BAD), (None, BAD), (numpy.int64(2), 2)]
        options = {"num_heads": Argument(*pick(rng, *wrong))}
    if rng.random() < 0.2:
        options["dropout"] = number(rng, (0.0, 0.5), (1.0, -0.1, 2.0))
    kind = pick(rng, "MultiHeadAttention", "VariantAttention")

    def run(x, memory, mask, num_heads=H, dropout=0.0):
        made = getattr(layers, kind)(d, num_heads, dropout=dropout, dtype="float64", rng=1)
        y, saved = made.forward(x, memory, mask=mask)
        return made, y, slopes(made, x, {"memory": memory, "mask": mask}, (y, saved), rng.standard_normal(y.shape), rng)

    def check(result, x, memory, mask, **_):
        made, y, wrong = result
        source = x if memory is None else memory
        project = lambda name, v: v @ getattr(made, name).weight.data + getattr(made, name).bias.data  # noqa: E731
        expected = numpy.empty_like(y)
        for b in range(len(x)):
            q, k, v = project("query", x[b]), project("key", source[b]), project("value", source[b])
            for i in range(len(q)):
                parts = []
                for h in range(H):
                    own = slice(h * d // H, (h + 1) * d // H)
                    see = [mask is None or mask[b, h, i, j] for j in range(len(k))]
                    w = softmax([q[i, own] @ key[own] / math.sqrt(d // H) for key in k], see)
                    parts.append(w @ v[:, own])
                expected[b, i] = project("output", numpy.concatenate(parts))
        return close(y, expected) or wrong

    return call(kind, run, {"x": x, "memory": memory, "mask": allowed, **options}, check)


def activations(rng):
    """Activation, by name."""
    name, x = choice(rng, ("relu", "gelu", "gelu_tanh", "silu", "tanh")), rng.standard_normal(5)
    check = lambda result, name: close(result, activation(name, x), 1e-7)  # noqa: E731
    return call("Activation", lambda name: layers.Activation(name)(x), {"name": name}, check)


def dropout(rng):
    """Dropout: the identity in evaluation, zeros and a larger rest in training."""
    p, x = number(rng, (0.0, 0.25, 0.5, 0.999), (1.0, -0.1, 2.0)), rng.standard_normal(200)

    def run(p):
        made = layers.Dropout(p)
        return made(x), made.forward(x, numpy.random.default_rng(0))[0]

    def check(result, p):
        still, y = result
        kept = y != 0
        wrong = close(still, x) or close(y[kept], (x / (1 - p))[kept], 1e-3 / (1 - p))
        return wrong or (None if abs(kept.mean() - (1 - p)) < 0.2 else "another share")

    return call("Dropout", run, {"p": p}, check)


def functions(rng):
    """Pure functions with arguments that fit: softmax with a mask that broadcasts."""
    B, H, T = 2, 2, 3
    allowed = attention(rng, B, H, T)
    x = rng.standard_normal((B, H, T, T))
    if allowed.bad:
        return activations(rng)
    mask = numpy.array(allowed.passed)

    def check(p):
        rows = zip(x.reshape(-1, T), numpy.broadcast_to(mask, x.shape).reshape(-1, T), strict=True)
        return close(p, numpy.array([softmax(row, see) for row, see in rows]).reshape(x.shape))

    return Case(f"softmax(x, {words(mask)})", lambda: layers.softmax(x, mask), check, True)


DOORS = [small, small, embedding, positions, heads, heads, activations, dropout, functions]
