"""Calls of the three architectures: logits and gradients against the slow reference."""

import functools

import numpy

import minixfmr

from .odd import BAD, Argument, Unreadable, integers, mask, pick
from .reference import Reference
from .runner import Case

V = 7


def config(rng, **fields):
    """A small model of plain layers."""
    choices = {
        "d_model": (4, 6),
        "num_heads": (1, 2, 2),
        "d_ff": (5,),
        "positions": ("sinusoidal", "learned", "learned", "none"),
        "norm_order": ("pre", "post"),
        "norm": ("layer", "rms"),
        "activation": ("gelu", "silu", "tanh", "gelu_tanh"),
        "embedding_norm": (False, True),
        "scale_embeddings": (False, True),
        "tie_word_embeddings": (False, True),
        "share_encoder_decoder_embeddings": (False, True),
        "position_offset": (0, 0, 2),
        "gated_feed_forward": (False, False, True),
        "num_key_value_heads": (None, None, 1),
        "attention_bias": (True, True, False),
        "type_vocab_size": (0, 2, 3),
    }
    drawn = {name: pick(rng, *values) for name, values in choices.items()}
    usual = {"vocab_size": V, "num_encoder_layers": 1, "num_decoder_layers": 1, "max_position_embeddings": 6}
    return minixfmr.Config(**usual, dropout=0.0, dtype="float64", **(drawn | fields))


@functools.lru_cache(64)
def model(kind, number, **fields):
    """One of a few models, made once."""
    rng = numpy.random.default_rng(number)
    made = getattr(minixfmr, kind)(config(rng, **fields), seed=number)
    for p in made.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape)  # no gain is 1 and no bias 0
    return made


def ids_of(rng, B, T):
    return integers(rng, rng.integers(0, V, (B, T)), V)


def maybe(rng, argument):
    """Left out as often as not."""
    return argument if rng.random() < 0.5 else Argument(None, None)


def rows(rng, values, size):
    """Integers for each of the ids (B, T), or one row for all."""
    form = rng.integers(4)
    B = len(values)
    if form == 0 and rng.random() < 0.5:
        odd = [values[:, :1], values[:, :-1], values[0, 0], values[None], values[:0], values.T]
        allowed = (values.shape, (1, values.shape[1]), (values.shape[1],))
        return Argument(pick(rng, *(o for o in odd if o.shape not in allowed)), BAD)
    if form == 1:
        values = numpy.repeat(values[:1], B, axis=0)
        drawn = integers(rng, values[:1], size, shapes_too=False)
    elif form == 2:
        values = numpy.repeat(values[:1], B, axis=0)
        drawn = integers(rng, values[0], size, shapes_too=False)
    else:
        drawn = integers(rng, values, size, shapes_too=False)
    return drawn if drawn.bad else Argument(drawn.passed, values)


def sizes(rng):
    return int(rng.integers(1, 4)), int(rng.integers(1, 5))


def agrees(made, drawn, call, reference, slow):
    """The check of a call: the logits, and now and then the gradients, are the reference's."""

    def check(result):
        logits, saved = result
        weights = made.state_dict()
        expected = reference(Reference(made.config, weights))
        if logits.shape != expected.shape or not numpy.allclose(logits, expected, rtol=1e-8, atol=1e-9):
            return f"logits differ from {expected.tolist()}"
        return gradients_differ(made, logits, saved, weights, reference, drawn) if slow else None

    return check


def gradients_differ(made, logits, saved, weights, reference, rng):
    """Along a random direction of all weights, the slope of Σ dlogits · logits is Σ gradient · direction."""
    dlogits = rng.standard_normal(logits.shape)
    made.zero_grad()
    made.backward(dlogits, saved)
    own = dict(made.named_parameters())
    way = {name: rng.standard_normal(p.shape) for name, p in own.items()}
    told = sum(float((p.grad * way[name]).sum()) for name, p in own.items())
    h, values = 1e-6, []
    for sign in (1, -1):
        moved = {name: w + sign * h * way.get(name, 0) for name, w in weights.items()}
        values.append(float((reference(Reference(made.config, moved)) * dlogits).sum()))
    slope = (values[0] - values[1]) / (2 * h)
    return None if abs(slope - told) <= 1e-5 * (abs(slope) + abs(told) + 1) else f"slope {slope}, told {told}"


def call(rng, name, made, arguments, reference):
    """A Case of made.forward(**arguments)."""
    given = {key: a.passed for key, a in arguments.items() if a.passed is not None or a.bad}
    valid = not any(a.bad for a in arguments.values())
    slow = valid and rng.random() < 0.3
    text = ", ".join(f"{key}={words(value)}" for key, value in given.items())
    return Case(f"{name}({text})", lambda: made.forward(**given), agrees(made, rng, given, reference, slow), valid)


def words(value):
    """The value in at most 150 letters, whatever its repr may do."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {words(part)}" for key, part in value.items()) + "}"
    try:
        return " ".join(repr(value).split())[:150]
    except Exception:
        return type(value).__name__


def optional(rng, argument):
    """None means left out here, so it is no damage."""
    drawn = maybe(rng, argument)
    return Argument(None, None) if drawn.passed is None else drawn


def encoder_only(rng):
    made = model("EncoderOnly", int(rng.integers(12)))
    B, T = sizes(rng)
    real = rng.random((B, T)) < 0.7
    types = rng.integers(0, max(made.config.type_vocab_size, 1), (B, T))
    arguments = {
        "input_ids": ids_of(rng, B, T),
        "attention_mask": optional(rng, mask(rng, real)),
        "token_type_ids": optional(rng, rows(rng, types, made.config.type_vocab_size)),
    }
    kinds = arguments["token_type_ids"]
    if kinds.passed is not None and not made.config.type_vocab_size:
        kinds.meaning = BAD
    if rng.random() < 0.05:
        arguments["rng"] = Argument(pick(rng, 5, "x", numpy.random, numpy.random.RandomState(0), Unreadable()), BAD)

    def reference(slow):
        seen = arguments["attention_mask"].meaning
        return slow.encoder_only(
            arguments["input_ids"].meaning,
            numpy.ones((B, T), bool) if seen is None else seen,
            numpy.zeros((B, T), int) if kinds.meaning is None else kinds.meaning,
        )

    return call(rng, "EncoderOnly.forward", made, arguments, reference)


def attention(rng, B, H, T):
    """A `mask` of one of the shapes that broadcast to (B, H, T, T), and what it means: (b, h, i, j) → bool."""
    shape = pick(
        rng, (B, H, T, T), (B, 1, T, T), (1, H, T, T), (1, 1, T, T), (B, 1, 1, T), (H, T, T), (1, T, T), (T, T)
    )
    allowed = rng.random(shape) < 0.6
    if len(shape) == 2 and rng.random() < 0.5:
        allowed = numpy.tri(T, dtype=bool)
    full = numpy.broadcast_to(allowed, (B, H, T, T))
    ambiguous = (len(shape) == 3 and shape[0] == B == H > 1) or (
        len(shape) == 2 and B == T > 1 and not (allowed == numpy.tri(T, dtype=bool)).all()
    )
    if ambiguous:
        return Argument(allowed, BAD)
    if rng.random() < 0.7:
        return Argument(pick(rng, allowed, allowed.tolist()), full)
    additive = numpy.where(allowed, 0.0, -1e9)
    shapes = [
        numpy.ones((B, T, T + 1), bool),
        numpy.ones((T + 1, T + 1), bool),
        allowed[..., None, None, None],
        allowed[0, 0],
    ]
    if (B, T) != (T, T) and B != T and (B, T) not in ((1, T),):
        shapes += [numpy.ones((B, T), bool)]  # padding, which belongs into attention_mask
    shapes = [s for s in shapes if not (2 <= s.ndim <= 4) or not _broadcasts(s.shape, (B, H, T, T))]
    return Argument(
        pick(rng, additive, allowed.astype(int), allowed.astype(float), "causal", 1, allowed * 1j, *shapes), BAD
    )


def _broadcasts(shape, to):
    return all(m in (1, n) for m, n in zip(shape[::-1], to[::-1], strict=False))


def decoder_only(rng):
    made = model("DecoderOnly", int(rng.integers(12)), type_vocab_size=0)
    c = made.config
    B, T = sizes(rng)
    real = rng.random((B, T)) < 0.7
    positions = rng.integers(0, c.max_position_embeddings, (B, T))
    arguments = {
        "input_ids": ids_of(rng, B, T),
        "attention_mask": optional(rng, mask(rng, real)),
        "position_ids": optional(rng, rows(rng, positions, c.max_position_embeddings)),
        "mask": optional(rng, attention(rng, B, c.num_heads, T)),
    }
    if arguments["position_ids"].passed is not None and c.positions == "none":
        arguments["position_ids"].meaning = BAD

    def reference(slow):
        seen, at = arguments["attention_mask"].meaning, arguments["position_ids"].meaning
        sees = arguments["mask"].meaning
        return slow.decoder_only(
            arguments["input_ids"].meaning,
            numpy.ones((B, T), bool) if seen is None else seen,
            numpy.tile(numpy.arange(T), (B, 1)) if at is None else at,
            (lambda b, h, i, j: j <= i) if sees is None else (lambda b, h, i, j: sees[b, h, i, j]),
        )

    return call(rng, "DecoderOnly.forward", made, arguments, reference)


def encoder_decoder(rng):
    made = model("EncoderDecoder", int(rng.integers(12)), type_vocab_size=0)
    (B, S), (other, T) = sizes(rng), sizes(rng)
    fits = rng.random() < 0.95 or other == B
    target_batch = B if fits else other
    arguments = {
        "input_ids": ids_of(rng, B, S),
        "decoder_input_ids": ids_of(rng, target_batch, T),
        "attention_mask": optional(rng, mask(rng, rng.random((B, S)) < 0.7)),
        "decoder_attention_mask": optional(rng, mask(rng, rng.random((target_batch, T)) < 0.7)),
    }
    if not fits:
        arguments["input_ids"].meaning = BAD

    def reference(slow):
        seen, read = arguments["attention_mask"].meaning, arguments["decoder_attention_mask"].meaning
        return slow.encoder_decoder(
            arguments["input_ids"].meaning,
            arguments["decoder_input_ids"].meaning,
            numpy.ones((B, S), bool) if seen is None else seen,
            numpy.ones((B, T), bool) if read is None else read,
        )

    return call(rng, "EncoderDecoder.forward", made, arguments, reference)


DOORS = [encoder_only, decoder_only, encoder_decoder]
