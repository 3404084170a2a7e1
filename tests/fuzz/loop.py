"""Calls of training data and the trainer."""

import math

import numpy

import minixfmr
from minixfmr import training

from .learning import call
from .models import V, config
from .odd import BAD, HUGE, Argument, count, number, pick
from .reference import adamw


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


DOORS = [data, data, trainer]
