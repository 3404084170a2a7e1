"""Calls of what training is made of: criteria, optimizers, schedules, objectives, data, the trainer."""

import math

import numpy

import minixfmr
from minixfmr import training
from minixfmr.training import objectives
from minixfmr.training.variants import objectives as more

from .models import V, config, model, words
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


# --- objectives


def generator_of(rng):
    if rng.random() < 0.9:
        return Argument(numpy.random.default_rng(int(rng.integers(100))), None)
    return Argument(pick(rng, None, 3, "x", numpy.random, numpy.random.RandomState(0)), BAD)


def token_list(rng, least=0, size=None):
    values = rng.integers(0, V, rng.integers(least, 9)).tolist()
    if rng.random() < 0.8:
        return Argument(
            pick(rng, values, tuple(values), numpy.array(values, int), list(map(numpy.int64, values))), values
        )
    bad = [
        [*values, -1],
        [*values, 1.5],
        [*values, None],
        [*values, "a"],
        None,
        "abc",
        3,
        [values],
        [*values, True],
        {1: 2},
    ]
    bad += [[*values, size]] if size else []
    bad += [values[: least - 1]] if least else []
    return Argument(pick(rng, *bad), BAD)


def rate(rng):
    return number(rng, (0.0, 0.15, 0.5, 1.0), (-0.1, 1.1))


def length(rng):
    return number(rng, (0.5, 1.0, 3.0), (0, -1.0, 1e-12))


def objective(rng):
    """Masking, spans, infilling: every token is where it belongs."""
    kind = pick(
        rng, "masked_lm", "span_corruption", "text_infilling", "token_deletion", "gap_sentences", "sentence_permutation"
    )
    ids, draws = token_list(rng, size=V if kind == "masked_lm" else None), generator_of(rng)
    if kind == "masked_lm":
        special = (
            pick(rng, Argument((), ()), Argument([0], [0]), token_list(rng)) if rng.random() < 0.8 else token_list(rng)
        )
        mask_token = count(rng, (0, 5, V - 1), (-1, V))
        if not special.bad and not mask_token.bad and len({*special.meaning, mask_token.meaning}) >= V:
            special = Argument(special.passed, BAD)
        arguments = {
            "ids": ids,
            "rng": draws,
            "mask_token": mask_token,
            "vocab_size": Argument(V, V),
            "special": special,
            "rate": rate(rng),
        }

        def check(result, ids, rng, mask_token, vocab_size, special, rate):
            inputs, labels = result
            fits = len(inputs) == len(labels) == len(ids)
            for read, label, token in zip(inputs, labels, ids, strict=fits):
                fits &= (label == -100 and read == token) or (label == token and token not in special and 0 <= read < V)
            able = sum(token not in special for token in ids)
            chosen = sum(label != -100 for label in labels)
            return None if fits and chosen == (round(rate * able) or min(1, able)) else "not masked so"
    elif kind == "span_corruption":
        ids = token_list(rng, least=2)
        sentinels = Argument(
            *pick(
                rng,
                *[([90, 91, 92, 93], None)] * 4,
                (range(90, 99), None),
                ([], BAD),
                ([90], BAD),
                (None, BAD),
                ([-1, -2], BAD),
            )
        )
        arguments = {"ids": ids, "rng": draws, "sentinels": sentinels, "rate": rate(rng), "mean_length": length(rng)}

        def check(result, ids, **_):
            inputs, targets = result
            spans, current = {}, None
            for t in targets:
                if t >= 90:
                    current = spans.setdefault(t, [])
                else:
                    current.append(t)
            whole = [x for t in inputs for x in (spans[t] if t >= 90 else [t])]
            return None if whole == ids and inputs != ids else "does not put together again"
    elif kind in ("text_infilling", "token_deletion"):
        arguments = {"ids": ids, "rng": draws, "rate": rate(rng)}
        arguments |= {"mask_token": Argument(90, 90), "mean_length": length(rng)} if kind == "text_infilling" else {}

        def check(result, ids, rate, **_):
            left, it = [t for t in result if t != 90], iter(ids)
            kept = len(ids) - round(rate * len(ids)) if kind == "text_infilling" else len(left)
            return None if all(t in it for t in left) and len(left) == kept else "not what was left"
    else:
        sentences = [rng.integers(0, V, rng.integers(1, 4)).tolist() for _ in range(rng.integers(1, 4))]
        given = Argument(sentences, sentences)
        if rng.random() < 0.2:
            given = Argument(pick(rng, [], None, "x", [1, 2], [[1], [-1]], [[1], None], [[1.5]], 3), BAD)
        arguments = {"sentences": given, "rng": draws}
        if kind == "gap_sentences":
            arguments = {"sentences": given, "mask_token": Argument(90, 90), "rate": rate(rng)}

        def check(result, sentences, **_):
            flat = [t for s in sentences for t in s]
            if kind == "sentence_permutation":
                return None if sorted(result) == sorted(flat) else "other tokens"
            inputs, targets = result
            return None if sorted([t for t in inputs if t != 90] + targets) == sorted(flat) else "other tokens"

    return call(kind, getattr(more, kind), arguments, check)


def shifting(rng):
    """next_token, prefix_lm, shift_right."""
    kind = pick(rng, "next_token", "prefix_lm", "shift_right")
    B, T = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    ids = integers(rng, rng.integers(0, V, (B, T)))
    if kind == "shift_right":
        arguments = {"labels": ids, "start": count(rng, (0, 1), (-1,)), "pad": count(rng, (0, 2), (-1,))}
        check = lambda result, labels, start, pad: close(result, [[start, *row[:-1]] for row in labels.tolist()])  # noqa: E731
        return call(kind, objectives.shift_right, arguments, check)
    told = rng.integers(0, T + 1, B)
    lengths = integers(rng, told, T + 1)

    if kind == "next_token" and lengths.passed is None:
        lengths = Argument(None, None)

    def check(result, ids, **lengths):
        (told,) = lengths.values()
        labels = [[-100 if told is not None and t < told[b] else ids[b, t] for t in range(1, T)] for b in range(B)]
        wrong = close(result["input_ids"], ids[:, :-1]) or close(result["labels"], labels)
        if kind == "next_token" or wrong:
            return wrong
        seen = [[[[k <= q or k < told[b] for k in range(T - 1)] for q in range(T - 1)]] for b in range(B)]
        return close(result["mask"], seen)

    name = "prompt_lengths" if kind == "next_token" else "prefix_lengths"
    return call(kind, getattr(objectives, kind), {"ids": ids, name: lengths}, check)


# --- data and the trainer


def pairs(rng, least=1):
    """Two lists of sequences."""
    n = int(rng.integers(1, 5))
    sides = [[rng.integers(3, V, rng.integers(1, 4)).tolist() for _ in range(n)] for _ in "st"]
    if rng.random() < 0.75:
        forms = [lambda s: s, tuple, lambda s: [tuple(x) for x in s], lambda s: [numpy.array(x) for x in s]]
        form = pick(rng, *forms)
        return [Argument(form(side), side) for side in sides]
    side, i = int(rng.integers(2)), int(rng.integers(n))
    spoilt = pick(rng, [-1], [V], [1.5], ["a"], [None], None, 3, "abc", [1] * 20, [[1]], [True])
    sides[side] = pick(rng, [*sides[side][:i], spoilt, *sides[side][i + 1 :]], [], None, 3, "abc", sides[side] + [[1]])
    return [Argument(side, BAD) for side in sides]


def data(rng):
    """TranslationData: the batches, padded and shifted."""
    sources, targets = pairs(rng)
    c = config(rng, eos_token_id=pick(rng, 2, 2, 2, 2, 2, None))
    arguments = {
        "sources": sources,
        "targets": targets,
        "max_tokens": count(rng, (1, 5, 100)),
        "seed": Argument(
            *pick(rng, (None, None), (0, 0), (numpy.int64(3), 3), (-1, BAD), ("x", BAD), (1.5, BAD), (True, BAD))
        ),
        "config": Argument(c, c if c.eos_token_id is not None else BAD),
        "epoch": count(rng, (0, 1, 7), (-1,)),
    }

    def run(epoch, **options):
        made = minixfmr.TranslationData(**options)
        return [(indices, made.batch(indices)) for indices in made.order(epoch)]

    def check(result, sources, targets, config, max_tokens, **_):
        if sorted(i for indices, _ in result for i in indices) != list(range(len(sources))):
            return "not each pair once"
        for indices, batch in result:
            for row, i in enumerate(indices):
                s, t = [*sources[i], 2], [*targets[i], 2]
                fits = batch["input_ids"][row].tolist()[: len(s)] == s
                fits &= batch["attention_mask"][row].sum() == len(s)
                fits &= [x for x in batch["labels"][row].tolist() if x != -100] == t
                fits &= batch["decoder_input_ids"][row].tolist()[: len(t)] == [1, *t[:-1]]
                if not fits:
                    return f"pair {i}"
        return None

    return call("TranslationData", run, arguments, check)


class Lists:
    """A user's data: two batches of plain lists, the same dictionaries each time."""

    def __init__(self, rng, spoil=None):
        ids = rng.integers(3, V, (2, 2, 3))
        self.batches = [{"input_ids": b[:, :-1].tolist(), "labels": b[:, 1:].tolist()} for b in ids]
        if spoil is not None:
            self.batches[1] = spoil(dict(self.batches[1]))

    def order(self, epoch):
        return [0, 1]

    def batch(self, key):
        return self.batches[key]


SPOILT = (
    lambda b: {k: v for k, v in b.items() if k != "labels"},
    lambda b: b | {"surprise": [[1]]},
    lambda b: b | {"labels": [[1.5, 2.0], [1.0, 2.0]]},
    lambda b: b | {"labels": [[1, V], [1, 2]]},
    lambda b: b | {"labels": [[1, 2], [1]]},
    lambda b: b | {"labels": None},
    lambda b: b | {"input_ids": [[1, -1], [1, 2]]},
    lambda b: b | {"input_ids": "x"},
    lambda b: [b],
    lambda b: None,
    lambda b: b | {"attention_mask": [[0, -1e9], [0, 0]]},
    lambda b: b | {"position_ids": [[0, -1], [0, 1]]},
)


def trainer(rng):
    """Trainer, against a loop of one's own; and evaluate."""
    made = minixfmr.DecoderOnly(config(rng, positions="learned", type_vocab_size=0), seed=int(rng.integers(9)))
    spoil = pick(rng, *SPOILT) if rng.random() < 0.3 else None
    arguments = {
        "data": Argument(Lists(rng, spoil), BAD if spoil else None),
        "accumulate": count(rng, (1, 2)),
        "clip_norm": number(rng, (0.5, 1.0), (0, -1.0)) if rng.random() < 0.3 else Argument(1.0, 1.0),
        "seed": count(rng, (0, 3), (-1,)) if rng.random() < 0.3 else Argument(0, 0),
        "epochs": count(rng, (0, 1, 2), (-1,)) if rng.random() < 0.3 else Argument(1, 1),
        "workers": Argument(1, 1),
        "schedule": Argument(training.constant(0.01), None),
    }
    if arguments["clip_norm"].passed is None or arguments["clip_norm"].passed is HUGE[0]:  # both mean none
        arguments["clip_norm"] = Argument(1.0, 1.0)
    if spoil:
        arguments["epochs"] = Argument(1, 1)
    if rng.random() < 0.1:
        arguments["schedule"] = Argument(
            pick(rng, None, 0.1, "x", lambda n: None, lambda n: -1.0, lambda n: math.nan, lambda n: "x"), BAD
        )
        arguments["epochs"] = Argument(1, 1)
    if rng.random() < 0.1:
        arguments["workers"] = Argument(
            *pick(rng, (0, BAD), (-1, BAD), (1.0, BAD), ("two", BAD), (None, BAD), (numpy.int64(1), 1))
        )
    if rng.random() < 0.05:
        arguments["data"] = Argument(pick(rng, None, [], [{}], 3, "x"), BAD)
    before = [p.data.copy() for p in made.parameters()]

    def run(epochs, schedule, data, **options):
        losses = minixfmr.evaluate(made, data) - minixfmr.evaluate(made, data) if hasattr(data, "order") else 0.0
        optimizer = minixfmr.AdamW(made.parameters(), weight_decay=0.0)
        results = list(minixfmr.Trainer(made, optimizer, schedule, data, **options).run(epochs))
        return losses, len(results), [p.data.copy() for p in made.parameters()]

    def check(result, epochs, accumulate, clip_norm, data, **_):
        same, steps, after = result
        for p, value in zip(made.parameters(), before, strict=True):
            p.data[...] = value
        if same != 0 or steps != epochs * (2 // accumulate):
            return f"{steps} steps"
        gradients, losses = [[] for _ in before], minixfmr.CrossEntropy()
        for step in range(steps):
            made.zero_grad()
            batches = [arguments["data"].passed.batches[(step * accumulate + i) % 2] for i in range(accumulate)]
            for b in batches:
                logits, saved = made.forward(b["input_ids"])
                _, saved_loss = losses.forward(logits, b["labels"], 4 * accumulate)
                made.backward(losses.backward(saved_loss), saved)
            norm = math.sqrt(sum((p.grad**2).sum() for p in made.parameters()))
            for i, p in enumerate(made.parameters()):
                gradients[i].append(p.grad * min(1, clip_norm / (norm + 1e-6)))
                p.data[...] = adamw(before[i], gradients[i], 0.01, (0.9, 0.999), 1e-8, 0.0)
        wrong = any(not numpy.allclose(p.data, a, 1e-6, 1e-9) for p, a in zip(made.parameters(), after, strict=True))
        return "other weights" if wrong else None

    return call("Trainer", run, arguments, check)


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


DOORS = [
    criterion,
    criterion,
    optimizer,
    parameter,
    clipping,
    schedule,
    objective,
    objective,
    shifting,
    data,
    trainer,
    weights,
]
