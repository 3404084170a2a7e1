"""Calls of the training objectives: every token is where it belongs."""

import numpy

from minixfmr.training import objectives
from minixfmr.training.variants import objectives as more

from .learning import call, close
from .models import V
from .odd import BAD, Argument, count, integers, number, pick


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
    return call(kind, getattr(more if kind == "prefix_lm" else objectives, kind), {"ids": ids, name: lengths}, check)


DOORS = [objective, objective, shifting]
