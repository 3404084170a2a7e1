"""Calls of Config, the masks, the backend, and the gradient checker."""

import dataclasses
import operator
import types

import numpy

import minixfmr
from minixfmr import models

from .learning import call, close
from .models import V, words
from .odd import BAD, HUGE, NO_NUMBERS, Argument, count, integers, mask, number, pick
from .runner import Case

FIELDS = {f.name: f.type for f in dataclasses.fields(minixfmr.Config)}
WORDS = {
    "positions": ("sinusoidal", "sinusoidal_halves", "sinusoidal_stored", "sinusoidal_t2t", "learned", "none"),
    "norm_order": ("post", "pre"),
    "activation": ("relu", "gelu", "gelu_tanh", "silu", "tanh"),
    "dtype": ("float32", "float64"),
    "norm": ("layer", "rms", "rms_offset"),
    "relative_positions": ("none", "rotary", "buckets", "disentangled"),
    "disentangled_terms": ("c2p|p2c", "c2p", "p2c", "p2p", ""),
    "head": (
        "auto",
        "none",
        "masked_lm",
        "causal_lm",
        "seq2seq_lm",
        "sequence_classification",
        "token_classification",
        "replaced_tokens",
    ),
    "head_activation": ("gelu", "relu"),
    "convolution_activation": ("gelu", "tanh"),
    "pooling": ("first", "last", "last_by_id", "mean"),
}
SCALINGS = (
    {"frequencies": [1.0], "factor": 1.0},
    {"frequencies": [1.0, 0.5], "factor": 1.0},
    {"frequencies": [1.0, float("nan")], "factor": 1.0},
    {"growth": 2.0, "length": 4, "width": 2},
    {"growth": 2.0, "length": 4},
    {"growth": -1.0, "length": 4},
    {"growth": 2.0, "length": 0},
    {"frequencies": [1.0, 0.5], "long_frequencies": [0.5, 0.2], "length": 2, "factor": 1.0},
    {"frequencies": [1.0, 0.5], "long_frequencies": [0.5], "length": 2, "factor": 1.0},
    {"frequencies": "ab", "factor": 1.0},
    {"factor": 2.0},
    {"type": "linear"},
    {},
)
INTEGERS = (-1, 0, 1, 2, 3, 4, 5, 7, 8, numpy.int64(4), numpy.array(2), 10**9, 10**9 + 1, 1 << 62, 1 << 70, 10**30)
FLOATS = (0.0, 0.1, 0.5, 1.0, 1e-5, -0.1, 2, numpy.float32(0.5), 1e-200, 1e-40, 1e6, 1e300, 10000.0)


def field(rng, name, kind):
    """A value for a field of Config: likely, unlikely or impossible."""
    if rng.random() < 0.1:
        return pick(rng, *NO_NUMBERS, *HUGE)
    kinds = kind.__args__ if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in kinds and rng.random() < 0.4:
        return None
    if name in WORDS:
        return pick(rng, *WORDS[name])
    if bool in kinds:
        return bool(rng.integers(2))
    if dict in kinds:
        return pick(rng, *SCALINGS)
    return pick(rng, *(INTEGERS if int in kinds else FLOATS))


def config(rng):
    """A Config of a few odd fields: the model of it runs, forward and backward, or a ConfigError says why not."""
    fields = {
        "vocab_size": V,
        "d_model": 8,
        "num_heads": 2,
        "d_ff": 5,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
    }
    fields |= {"max_position_embeddings": 8, "dtype": "float64"}
    for name in rng.permutation(sorted(FIELDS))[: rng.integers(1, 6)].tolist():
        fields[name] = field(rng, name, FIELDS[name])
    kind = pick(rng, minixfmr.EncoderOnly, minixfmr.DecoderOnly, minixfmr.EncoderDecoder)

    def run():
        made = kind(minixfmr.Config(**fields))
        c, T = made.config, min(4, made.config.max_position_embeddings)
        source = rng.integers(0, c.vocab_size, (2, T))
        inputs = {"input_ids": source}
        if kind is minixfmr.EncoderDecoder:
            inputs["decoder_input_ids"] = rng.integers(0, c.target_vocab_size, (2, T))
            if c.eos_token_id is not None:
                source[:, -1] = c.eos_token_id
        y, saved = made.forward(**inputs)
        made.backward(rng.standard_normal(y.shape).astype(y.dtype), saved)
        return made, y, inputs

    def check(result):
        made, y, inputs = result
        finite = numpy.isfinite(y).all() and all(numpy.isfinite(p.grad).all() for p in made.parameters())
        if not finite:
            return "not finite"
        text = made.config.to_dict()
        if type(made.config).from_dict(text) != made.config:
            return "from_dict gives another"
        known = {int, float, bool, str, dict, list, type(None)}
        return None if {type(v) for v in text.values()} <= known else "not Python's own types"

    return Case(f"Config({words(fields)[1:-1]}) of {kind.__name__}", run, check)


def masks(rng):
    """The four masks."""
    kind = pick(rng, "causal_mask", "sliding_window_mask", "prefix_mask", "padding_mask")
    if kind == "padding_mask":
        real = rng.random((2, 3)) < 0.6
        given = mask(rng, real)
        flat = given.bad and getattr(given.passed, "dtype", None) in (bool, float) and given.passed.ndim == 2
        if flat and numpy.isin(given.passed, (0, 1)).all():  # of another shape than ids, of which there are none here
            given = Argument(given.passed, given.passed)
        check = lambda result, attention_mask: close(result, attention_mask[:, None, None, :])  # noqa: E731
        return call(kind, models.padding_mask, {"attention_mask": given}, check)
    Tq = count(rng, (1, 2, 4), (-1,))
    if kind == "prefix_mask":
        told = rng.integers(0, 5, 3)

        def seen(result, Tq, prefix_lengths):
            return close(result, [[[[k <= q or k < n for k in range(Tq)] for q in range(Tq)]] for n in prefix_lengths])

        arguments = {"Tq": Tq, "prefix_lengths": integers(rng, told)}
        return call(kind, models.prefix_mask, arguments, seen)
    Tk = count(rng, (4, 6), (1, -1) if not Tq.bad and Tq.meaning > 1 else (-1,), none=True)
    arguments = {"Tq": Tq, "Tk": Tk}
    if kind == "sliding_window_mask":
        arguments["window"] = count(rng, (1, 2, 9))

    def check(result, Tq, Tk, window=None):
        at = [Tk - Tq + q for q in range(Tq)]
        return close(result, [[[[(k > q - window) if window else k <= q for k in range(Tk)] for q in at]]])

    return call(kind, getattr(models, kind), arguments, check)


def backends(rng):
    """use_backend, backend, to_device."""
    if rng.random() < 0.5:
        good = Argument(*pick(rng, ("numpy", None), (numpy, None)))
        bad = [
            None,
            "",
            "torch",
            3,
            numpy.ones(3),
            operator,
            types,
            object(),
            types.ModuleType("empty"),
            [],
            b"numpy",
            minixfmr,
            numpy.linalg,
        ]
        name = good if rng.random() < 0.3 else Argument(pick(rng, *bad), BAD)

        def run(backend):
            with minixfmr.backend(backend):
                return minixfmr.backend_name()

        check = lambda found, backend: None if found == minixfmr.backend_name() == "numpy" else "another"  # noqa: E731
        return call("use_backend", run, {"backend": name}, check)
    values = rng.standard_normal((2, 2))
    good = rng.random() < 0.4
    thing = (
        pick(rng, values, values.tolist())
        if good
        else pick(rng, None, "x", {}, object(), [[1], [1, 2]], [None], {1}, b"x")
    )
    dtype = Argument(
        *pick(rng, (None, None), ("float64", None), (numpy.float64, None), ("floaty", BAD), (object(), BAD), (7, BAD))
    )
    arguments = {"array": Argument(thing, values if good else BAD), "dtype": dtype}
    return call("to_device", minixfmr.to_device, arguments, lambda result, array, dtype: close(result, array))


def checker(rng):
    """gradcheck_function: a right pair passes, a wrong one fails, and nothing is passed without being compared."""
    right, shape = rng.random() < 0.5, (2, 3)
    factor = 2.0 if right else 2.5
    x = rng.standard_normal(shape)
    good = Argument(*pick(rng, (x, x), (x.astype("float32"), x), (numpy.array(0.7), x), (x[None], x)))
    bad = [
        x[:0],
        x.astype(int),
        x * 1j,
        x.tolist(),
        None,
        "x",
        2.0,
        2,
        numpy.float64(2.0),
        x > 0,
        x * numpy.nan,
        x.astype(object),
        {},
        [],
    ]
    array = good if rng.random() < 0.8 else Argument(pick(rng, *bad), BAD)
    arguments = {"array": array}
    options = {
        "tolerance": lambda: number(rng, (1e-7, 1e-6), (0, -1.0, 10.0)),
        "max_entries": lambda: count(rng, (1, 4, 64)),
        "max_seconds": lambda: number(rng, (1.0, 30.0), (-1.0,)),
        "seed": lambda: count(rng, (0, 5), (-1,)),
        "explain": lambda: Argument(*pick(rng, (False, False), (False, False), ("no", BAD), (None, BAD), (0, BAD))),
        "profile": lambda: Argument(
            *pick(rng, (None, None), ("nonsense", BAD), (3, BAD), ({"nonsense": 1}, BAD), ([], BAD))
        ),
    }
    for name in rng.permutation(sorted(options))[:2].tolist():
        arguments[name] = options[name]()
    arguments.setdefault("explain", Argument(False, False))

    def run(array, **given):
        forward, backward = lambda a: (a * a, a), lambda dy, a: factor * dy * a
        return minixfmr.gradcheck_function(forward, backward, array, **given)

    def check(report, **_):
        compared = any(row.checked for row in report.rows)
        return None if report.ok == right and compared else f"ok = {report.ok}, compared: {compared}"

    made = call("gradcheck_function", run, arguments, check)
    if made.valid is False and not any(a.bad for name, a in arguments.items() if name != "array"):
        made.valid = None  # passed through, and then the report must not be ok
        made.check = lambda report: "nothing was compared, and it is ok" if report.ok else None
    return made


def layer_checker(rng):
    """gradcheck of a layer."""
    layer = minixfmr.models.LanguageModelHead.__mro__[1] if rng.random() < 0.1 else None
    from minixfmr import layers

    made = layers.Linear(3, 2, dtype="float64", rng=int(rng.integers(5)))
    things = [made, made, made, layers.Linear, None, 3, "x", object(), layer]
    thing = pick(rng, *things)
    x = pick(
        rng,
        numpy.ones((2, 3)),
        numpy.ones((2, 3)),
        numpy.ones((2, 4)),
        2.0,
        None,
        "x",
        numpy.ones((2, 3), int),
        numpy.ones((0, 3)),
    )
    parameters = pick(rng, None, None, {}, {"weight": "dweight"}, {"nonsense": "x"}, "W", [1])
    fits = (
        thing is made and isinstance(x, numpy.ndarray) and x.shape == (2, 3) and x.dtype == float and parameters is None
    )
    check = lambda report: None if report.ok and all(row.checked for row in report.rows) else "not ok"  # noqa: E731
    name = f"gradcheck({words(thing)}, {words(x)}, parameters={words(parameters)})"
    empty = isinstance(x, numpy.ndarray) and (x.size == 0 or x.dtype == int) and x.shape[-1] == 3  # so it is data
    return Case(
        name,
        lambda: minixfmr.gradcheck(thing, x, parameters=parameters, explain=False),
        (lambda r: None) if empty else check,
        True if fits else None if empty else False,
    )


DOORS = [config, config, config, masks, backends, checker, layer_checker]
