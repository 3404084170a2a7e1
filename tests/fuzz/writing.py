"""Calls of generate: what is written against a slow loop over the reference's logits."""

import itertools

import numpy

import minixfmr

from .models import V, ids_of, mask, model, optional, sizes, words
from .odd import BAD, Argument, count, flag, number, pick
from .reference import Reference
from .runner import Case


def tokens(rng, several=True):
    """A token, or several, or what is none."""
    if rng.random() < 0.7:
        found = rng.integers(0, V, rng.integers(1, 3)).tolist()
        if not several:
            return Argument(pick(rng, found[0], numpy.int64(found[0]), numpy.array(found[0])), found[0])
        forms = [found, tuple(found), numpy.array(found), list(map(numpy.int64, found))]
        return Argument(pick(rng, *forms), found)
    bad = [[-1], [V], [1.5], ["a"], [None], [[1, [2]]], "a", 1.5, -1, V, True, [True], {1: 2}, object(), float("nan")]
    return Argument(pick(rng, *bad, numpy.array([1.5])), BAD)


def token_lists(rng):
    if rng.random() < 0.7:
        found = [rng.integers(0, V, rng.integers(1, 3)).tolist() for _ in range(rng.integers(1, 3))]
        return Argument(pick(rng, found, tuple(map(tuple, found)), [numpy.array(w) for w in found]), found)
    return Argument(pick(rng, [[]], [[-1]], [[V]], [1], "a", 3, [["a"]], [None], [[1.5]], {1}, [[1], [2, None]]), BAD)


def biases(rng):
    if rng.random() < 0.7:
        found = [[rng.integers(0, V, rng.integers(1, 3)).tolist(), float(rng.normal())]]
        return Argument(pick(rng, found, tuple(map(tuple, found))), found)
    return Argument(
        pick(rng, [[[1], "x"]], [[[1], float("nan")]], [[[-1], 1.0]], [[1, 2]], {(1,): 2.0}, [[[1]]], "x"), BAD
    )


SEARCH = {
    "max_new_tokens": lambda rng: count(rng, (1, 2, 3), (0, -1, 1 << 40), none=True),
    "temperature": lambda rng: number(rng, (0.5, 1.0, 2.0), (0, -1.0, 1e-300, 1e300)),
    "top_k": lambda rng: count(rng, (0, 1, 3, 100), (-1,), none=True),
    "top_p": lambda rng: number(rng, (0.3, 0.9, 1.0, 1e-40), (0, -0.5, 1.5, 2)),
    "length_penalty": lambda rng: number(rng, (0.0, 1.0, -1.0, 2.0), (1e10, -1e10)),
    "early_stopping": lambda rng: pick(rng, flag(rng), Argument("never", "never"), Argument("soon", BAD)),
    "use_cache": flag,
    "eos_token_id": lambda rng: tokens(rng),
    "pad_token_id": lambda rng: tokens(rng, several=False),
    "num_beams": lambda rng: count(rng, (1, 1, 1, 2), (0, -1, 1 << 40)),
    "repetition_penalty": lambda rng: number(rng, (0.5, 1.0, 2.0), (0, -1.0, 1e300)),
    "no_repeat_ngram_size": lambda rng: count(rng, (0, 1, 2, 9), (-1,), none=True),
    "min_new_tokens": lambda rng: count(rng, (0, 1, 2, 9), (-1,), none=True),
    "min_length": lambda rng: count(rng, (0, 1, 2, 9), (-1,), none=True),
    "bad_words_ids": token_lists,
    "sequence_bias": biases,
    "suppress_tokens": lambda rng: tokens(rng),
    "begin_suppress_tokens": lambda rng: tokens(rng),
    "forced_eos_token_id": lambda rng: tokens(rng),
    "renormalize_logits": flag,
    "seed": lambda rng: Argument(*pick(rng, (0, 0), (7, 7), (numpy.int64(3), 3), ("x", BAD), (-1, BAD), (1.5, BAD))),
    "nonsense": lambda rng: Argument(1, BAD),
}


def drawn_settings(rng, names, most=3):
    """A few settings, by name. None stands for "as usual" everywhere, so it is not damage."""
    found = {}
    for name in rng.permutation(sorted(names))[: rng.integers(0, most + 1)].tolist():
        argument = SEARCH[name](rng)
        if argument.passed is None:
            continue
        if name in ("suppress_tokens", "begin_suppress_tokens") and not isinstance(
            argument.passed, list | tuple | numpy.ndarray
        ):
            argument.meaning = BAD
        found[name] = argument
    return found


class Slow:
    """The scores of the next token, from the reference."""

    def __init__(self, made, ids, real):
        self.made, self.ids, self.real = made, ids, real
        self.slow = Reference(made.config, made.state_dict())
        self.prompt = ids if made.reads_prompts else numpy.full((len(ids), 1), made.config.decoder_start_token_id)

    def logits(self, written):
        """(B, V) after these ids (B, T)."""
        B, T = written.shape
        if not self.made.reads_prompts:
            return self.slow.encoder_decoder(self.ids, written, self.real, numpy.ones((B, T), bool))[:, -1]
        real = numpy.concatenate([self.real, numpy.ones((B, T - self.ids.shape[1]), bool)], axis=1)
        before = (numpy.cumsum(self.real, 1) - 1) * self.real
        after = before[:, -1:] + 1 + numpy.arange(T - self.ids.shape[1])
        positions = numpy.concatenate([before, after], axis=1)
        return self.slow.decoder_only(written, real, positions, lambda b, h, i, j: j <= i)[:, -1]


def ruled(row, ids, start, last, s, padding=0):
    """The scores of one sequence after the rules, in Hugging Face's order. padding: ids on the left that nobody said"""
    row = row.copy()
    for sequence, bias in s.get("sequence_bias") or []:
        if len(sequence) - 1 <= len(ids) and ids[len(ids) - len(sequence) + 1 :] == sequence[:-1]:
            row[sequence[-1]] += bias
    penalty = s.get("repetition_penalty", 1.0)
    for token in set(ids[padding:]):
        row[token] = row[token] * penalty if row[token] < 0 else row[token] / penalty
    n = s.get("no_repeat_ngram_size") or 0
    if 0 < n <= len(ids) + 1:
        for i in range(len(ids) - n + 1):
            if ids[i : i + n - 1] == ids[len(ids) - n + 1 :]:
                row[ids[i + n - 1]] = -numpy.inf
    for word in s.get("bad_words_ids") or []:
        ends = len(word) - 1 <= len(ids) and ids[len(ids) - len(word) + 1 :] == word[:-1]
        if ends and word not in [[e] for e in s["eos"]]:
            row[word[-1]] = -numpy.inf
    if len(ids) < s.get("min_length", 0) or len(ids) - start < s.get("min_new_tokens", 0):
        row[s["eos"]] = -numpy.inf
    if len(ids) == last - 1 and "forced_eos_token_id" in s:
        only = s["forced_eos_token_id"]
        row = numpy.where(numpy.isin(numpy.arange(V), only), 0, -numpy.inf)
    row[s.get("suppress_tokens") or []] = -numpy.inf
    if len(ids) == start:
        row[s.get("begin_suppress_tokens") or []] = -numpy.inf
    return row


def greedy(slow, s, last):
    """What generate must write, or None where two tokens are too close to tell, or nothing is left to write."""
    ids, finished = slow.prompt.copy(), numpy.zeros(len(slow.prompt), bool)
    while not finished.all() and ids.shape[1] < last:
        logits, tokens = slow.logits(ids), []
        for b, row in enumerate(logits):
            padding = int(slow.real[b].argmax()) if slow.made.reads_prompts else 0
            row = ruled(row, ids[b].tolist(), slow.prompt.shape[1], last, s, padding)
            first, second = numpy.sort(row)[::-1][:2]
            if not finished[b] and (not first - second > 1e-7 or first == -numpy.inf):
                return None
            tokens.append(s["pad"] if finished[b] else int(row.argmax()))
        ids = numpy.concatenate([ids, numpy.array(tokens)[:, None]], axis=1)
        finished |= numpy.isin(tokens, s["eos"])
    return ids


def prompt(rng, made):
    """(input_ids, attention_mask) as Arguments: prompts are padded on the left."""
    B, T = sizes(rng)
    T = min(T, 3)
    ids = ids_of(rng, B, T)
    real = rng.random((B, T)) < 0.7
    if made.reads_prompts:
        real = numpy.sort(real, axis=1)  # padding first
        real[:, -1] = True
    return ids, optional(rng, mask(rng, real))


def written(rng):
    """generate, greedily."""
    kind = pick(rng, "DecoderOnly", "EncoderDecoder")
    made = model(kind, int(rng.integers(12)), type_vocab_size=0)
    ids, real = prompt(rng, made)
    names = set(SEARCH) - {"temperature", "top_k", "top_p", "length_penalty", "early_stopping", "num_beams"}
    settings = drawn_settings(rng, names)
    if rng.random() < 0.4:
        settings |= drawn_settings(rng, {"temperature", "top_k", "top_p", "length_penalty", "early_stopping"}, 1)
    if rng.random() < 0.1:
        settings["do_sample"] = Argument(*pick(rng, ("no", BAD), (1, BAD), (numpy.bool_(False), False), (None, None)))
    given = {name: a.passed for name, a in settings.items()} | {"attention_mask": real.passed}
    given["max_new_tokens"] = given.get("max_new_tokens", 2)
    valid = not any(a.bad for a in (ids, real, *settings.values()))
    s = {name: a.meaning for name, a in settings.items()}

    def check(result):
        source = ids.meaning
        slow = Slow(made, source, numpy.ones(source.shape, bool) if real.meaning is None else real.meaning)
        s["eos"] = s.get("eos_token_id", [made.config.eos_token_id])
        s["pad"] = s.get("pad_token_id", made.config.pad_token_id)
        expected = greedy(slow, s, slow.prompt.shape[1] + s.get("max_new_tokens", 2))
        same = expected is None or (expected.shape == result.shape and (expected == result).all())
        return None if same else f"expected {expected.tolist()}"

    text = f"generate({kind}, {words(ids.passed)}, {words(given)})"
    return Case(text, lambda: minixfmr.generate(made, ids.passed, **given), check, valid)


def beams(rng):
    """With as many beams as there are beginnings, beam search finds the very best sequence of two tokens."""
    kind = pick(rng, "DecoderOnly", "EncoderDecoder")
    made = model(kind, int(rng.integers(12)), type_vocab_size=0)
    ids = ids_of(rng, int(rng.integers(1, 3)), 2)
    settings = drawn_settings(rng, {"use_cache", "length_penalty"}, 2)
    broken = Argument(*pick(rng, (0, BAD), (-3, BAD), (2.0, BAD), ("2", BAD), (True, BAD), (1 << 60, BAD)))
    beam = broken if rng.random() < 0.3 else Argument(pick(rng, V, V + 3, numpy.int32(V)), V)
    given = {name: a.passed for name, a in settings.items()}
    valid = not any(a.bad for a in (ids, beam, *settings.values()))

    def check(result):
        source, best = ids.meaning, []
        slow = Slow(made, source, numpy.ones(source.shape, bool))
        first = log_softmax(slow.logits(slow.prompt))  # (B, V)
        after = [
            log_softmax(slow.logits(numpy.concatenate([slow.prompt, numpy.full((len(source), 1), t)], 1)))
            for t in range(V)
        ]
        for b in range(len(source)):
            scores = {(t, u): first[b, t] + after[t][b, u] for t, u in itertools.product(range(V), repeat=2)}
            told = scores[tuple(result[b, -2:].tolist())]
            if told < max(scores.values()) - 1e-9:
                best.append(f"sequence {b}: {max(scores, key=scores.get)} is better")
        return ", ".join(best) or None

    run = lambda: minixfmr.generate(made, ids.passed, num_beams=beam.passed, max_new_tokens=2, eos_token_id=[], **given)  # noqa: E731
    return Case(
        f"generate({kind}, {words(ids.passed)}, num_beams={words(beam.passed)}, {words(given)})", run, check, valid
    )


def log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - numpy.log(numpy.exp(z).sum(axis=-1, keepdims=True))


def sampled(rng):
    """Every token drawn is among those that top_k and top_p leave."""
    made = model("DecoderOnly", int(rng.integers(12)), type_vocab_size=0)
    ids, _ = prompt(rng, made)
    settings = drawn_settings(rng, {"temperature", "top_k", "top_p", "seed", "use_cache"}, 3)
    sample = Argument(
        *pick(rng, (True, True), (numpy.bool_(True), True), (numpy.array(True), True), ("yes", BAD), (1, BAD))
    )
    given = {name: a.passed for name, a in settings.items()} | {"do_sample": sample.passed}
    sequences = Argument(*pick(rng, (1, 1), (2, 2), (numpy.int64(2), 2), (0, BAD), (1.0, BAD), (1 << 50, BAD)))
    valid = not any(a.bad for a in (ids, sample, sequences, *settings.values()))
    s = {name: a.meaning for name, a in settings.items()}

    def check(result):
        prompts = numpy.repeat(ids.meaning, sequences.meaning, axis=0)
        slow = Slow(made, prompts, numpy.ones(prompts.shape, bool))
        if result.shape != (len(prompts), prompts.shape[1] + 2):
            return f"shape {result.shape}"
        for T in range(prompts.shape[1], result.shape[1]):
            for row, token in zip(slow.logits(result[:, :T]), result[:, T], strict=True):
                p = numpy.exp(log_softmax(row / s.get("temperature", 1.0)))
                likelier = p[p > p[token] * (1 + 1e-9)]
                if s.get("top_k") and len(likelier) >= s["top_k"]:
                    return f"token {token} is none of the {s['top_k']} likeliest"
                if s.get("top_p", 1.0) < 1 and likelier.sum() > s["top_p"] * (1 + 1e-9) and not s.get("top_k"):
                    return f"token {token} lies beyond top_p"
        return None

    given |= {"num_return_sequences": sequences.passed, "max_new_tokens": 2, "eos_token_id": []}
    text = f"generate({words(ids.passed)}, {words(given)})"
    return Case(text, lambda: minixfmr.generate(made, ids.passed, **given), check, valid)


def steps(rng):
    """generate_steps: the probability of what generate writes."""
    made = model(pick(rng, "DecoderOnly", "EncoderDecoder"), int(rng.integers(12)), type_vocab_size=0)
    ids, top = ids_of(rng, 2, 2), count(rng, (1, 3, V, 100), (0, -1))
    beam = Argument(*pick(rng, (1, 1), (1, 1), (2, BAD), ("1", BAD)))

    def run():
        return list(minixfmr.generate_steps(made, ids.passed, top=top.passed, num_beams=beam.passed, max_new_tokens=2))

    def check(result):
        slow = Slow(made, ids.meaning, numpy.ones(ids.meaning.shape, bool))
        p = numpy.exp(log_softmax(slow.logits(slow.prompt)))
        for b, found in enumerate(result[0].alternatives):
            expected = sorted(p[b], reverse=True)[: min(top.meaning, V)]
            if not numpy.allclose([value for _, value in found], expected):
                return f"alternatives {expected}"
        return None

    text = f"generate_steps({words(ids.passed)}, top={words(top.passed)}, num_beams={words(beam.passed)})"
    return Case(text, run, check, not any(a.bad for a in (ids, top, beam)))


def no_writer(rng):
    """Something that does not write."""
    things = (
        None,
        "model",
        3,
        model("EncoderOnly", 1),
        minixfmr.EncoderOnly,
        object(),
        {},
        minixfmr.Parameter(numpy.ones(3)),
    )
    thing = pick(rng, *things, model("DecoderOnly", 1, type_vocab_size=0, head="none"))
    return Case(
        f"generate({type(thing).__name__})", lambda: minixfmr.generate(thing, [[1, 2]], max_new_tokens=1), valid=False
    )


DOORS = [written, written, beams, sampled, steps, no_writer]
