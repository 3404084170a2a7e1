"""Generation: let a model write, one token after the other."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .backend import fits_in_memory, joined, one_blas_thread, random_generator, row_sum, to_device, to_numpy, xp
from .models import DecoderOnly
from .token_rules import RULES, apply_rules

SMALL = 1 << 25  # multiplications a step that are not worth a second core


def generate(
    model: Any,
    input_ids: Any,
    *,
    max_new_tokens: int,
    attention_mask: Any = None,
    do_sample: bool = False,
    num_beams: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    num_return_sequences: int = 1,
    use_cache: bool = True,
    seed: int | None = None,
    eos_token_id: int | list[int] | None = None,
    **rules: Any,
) -> Any:
    """Write a sequence for each input; the argument names and their meaning are those of Hugging Face.

    input_ids: (B, S) integers; for a DecoderOnly the prompts, padded on the left if they differ in length
    attention_mask: (B, S), 1 where there is a real token
    → ids (B · num_return_sequences, T), a numpy.ndarray: the start token or the prompt, what was written, the end token
      included, then padding
    The default is greedy: the likeliest token each time. num_beams > 1: beam search, see beam_search.
    do_sample: draw tokens, see sampling_probabilities; seed: of the draws.
    use_cache: keep the keys and values of earlier positions; without, the result is the same, only slower.
    rules: min_length, min_new_tokens, repetition_penalty, no_repeat_ngram_size, bad_words_ids, forced_bos_token_id,
    forced_eos_token_id, suppress_tokens; where one is not given, the one of the model's generation_config.json holds.
    Raises ValueError for arguments that make no sense.
    """
    _require("num_beams", num_beams, _is_count(num_beams), "an integer of at least 1")
    most = num_beams if not do_sample else 1 << 30
    valid = f"from 1 to num_beams = {num_beams}" if not do_sample else "at least 1"
    count = num_return_sequences
    _require("num_return_sequences", count, _is_count(count) and count <= most, valid)
    if do_sample and num_beams > 1:
        raise ValueError("do_sample=True draws one sequence and num_beams > 1 searches for the best: choose one")
    task = _Task(model, input_ids, attention_mask, max_new_tokens, use_cache, eos_token_id, rules)
    small = model.num_parameters() * len(task.ids) * num_beams < SMALL
    with one_blas_thread() if small else nullcontext():
        if num_beams > 1:
            return beam_search(task, num_beams, length_penalty, early_stopping, num_return_sequences)
        if num_return_sequences > 1:
            task.reorder([b for b in range(len(task.ids)) for _ in range(num_return_sequences)])
        for _ in _steps(task, do_sample, temperature, top_k, top_p, seed):
            pass
        return task.ids


@dataclass
class Step:
    """One step of generation, for each sequence of the batch."""

    ids: Any  # (B,) the tokens chosen
    probabilities: Any  # (B,) of these tokens
    alternatives: list  # for each sequence a list of (token, probability), likeliest first


def generate_steps(
    model: Any,
    input_ids: Any,
    *,
    max_new_tokens: int,
    attention_mask: Any = None,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    top: int = 5,
    seed: int | None = None,
    eos_token_id: int | list[int] | None = None,
    **rules: Any,
) -> Iterator[Step]:
    """Look over the model's shoulder: yield a Step for each token, with its probability and the `top` likeliest
    alternatives. The other arguments are those of generate, without beams."""
    _require("top", top, _is_count(top), "an integer of at least 1")
    task = _Task(model, input_ids, attention_mask, max_new_tokens, True, eos_token_id, rules)
    for token, scores, p in _steps(task, do_sample, temperature, top_k, top_p, seed):
        p = xp.exp(log_softmax(scores)) if p is None else p
        best, values = _top(p, min(top, p.shape[-1]))
        chosen = to_numpy(xp.take_along_axis(p, to_device(token)[:, None], -1))[:, 0]
        yield Step(token, chosen, [list(zip(*pair, strict=True)) for pair in zip(best, values, strict=True)])


_fits = fits_in_memory("generate for fewer sequences at a time, or search with fewer beams")


class _Task:
    """What is being written: the ids so far, and the scores of the next token."""

    @_fits
    def __init__(self, model, input_ids, attention_mask, max_new_tokens, use_cache, eos_token_id, rules):
        unknown = sorted(set(rules) - set(RULES))
        if unknown:
            raise TypeError(f"generate has no argument {', '.join(unknown)}; its rules are {', '.join(RULES)}")
        settings, config = getattr(model, "generation", {}), model.config
        given = {name: value for name, value in (settings | rules).items() if value is not None}
        self.rules = {name: given.get(name, none) for name, none in RULES.items()}
        penalty = self.rules["repetition_penalty"]
        _require("repetition_penalty", penalty, penalty > 0, "greater than 0")
        asked = (eos_token_id, settings.get("eos_token_id"), config.eos_token_id)
        eos: Any = next((e for e in asked if e is not None), [])
        self.eos = list(eos) if isinstance(eos, list | tuple) else [eos]
        self.published = hasattr(model, "published")
        pad = settings.get("pad_token_id") if self.published else config.pad_token_id
        self.pad = pad if pad is not None else self.eos[0] if self.eos else config.pad_token_id
        if self.published and isinstance(model, DecoderOnly) and attention_mask is None and pad is not None:
            padded = (input_ids == pad).any() and pad not in self.eos  # as Hugging Face infers it
            attention_mask = (input_ids != pad).astype(int) if padded else None
        self.model = model
        self.inputs: tuple = (input_ids, attention_mask)
        self.ids, self.state = model.start(input_ids, attention_mask)  # (B, 1), or the prompts (B, T)
        self.ids, self.use_cache = to_numpy(self.ids), use_cache
        self.prompt_length = self.ids.shape[1]
        room = config.max_position_embeddings - self.prompt_length + 1 if config.positions != "none" else 1 << 30
        in_range = _is_count(max_new_tokens) and max_new_tokens <= room
        _require("max_new_tokens", max_new_tokens, in_range, f"from 1 to {room}, where the model's positions end")
        self.max_length = self.prompt_length + max_new_tokens

    @_fits
    def next_logits(self):
        """(B, V) of the token that follows"""
        if not self.use_cache:  # read everything again
            _, self.state = self.model.start(*self.inputs)
        return self.model.step(self.ids[:, self.state.length :], self.state)

    def apply_rules(self, scores):
        """The scores (B, V) after the rules."""
        return apply_rules(scores, self.ids, self.rules, self.eos, self.prompt_length, self.max_length)

    def reorder(self, rows):
        """Keep these sequences in this order; one may come several times."""
        self.ids = self.ids[rows]
        self.inputs = tuple(None if array is None else array[rows] for array in self.inputs)
        self.state.reorder(rows)

    def append(self, token):
        """Write a token (B,) to each sequence."""
        self.ids = joined([self.ids, token[:, None]], 1)  # (B, T + 1)


def _steps(task, do_sample, temperature, top_k, top_p, seed):
    """Write until every sequence has ended; yield for each position (tokens (B,), scores (B, V), the probabilities
    drawn from (B, V) or None)."""
    _require("temperature", temperature, temperature > 0, "greater than 0 (for the likeliest token: do_sample=False)")
    _require("top_k", top_k, top_k is None or _is_count(top_k), "None or an integer of at least 1")
    _require("top_p", top_p, top_p is None or 0 < top_p <= 1, "None or in (0, 1]")
    rng = random_generator(seed)
    finished = task.ids[:, 0] < 0  # (B,)  nobody yet
    while not finished.all() and task.ids.shape[1] < task.max_length:
        scores = task.apply_rules(task.next_logits())  # (B, V)
        if do_sample:
            p = sampling_probabilities(scores, temperature, top_k, top_p)
            token = _draw(p, rng)
        else:
            p = None
            token = to_numpy(scores.argmax(-1))
        token[finished] = task.pad
        for eos in task.eos:
            finished |= token == eos
        task.append(token)
        yield token, scores, p


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution to draw from:  logits (B, V) → probabilities (B, V).

    temperature: divides the logits; below 1 sharper, above 1 flatter. top_k: only the k likeliest tokens (Fan et al.
    2018). top_p: then only the likeliest ones that together reach p (nucleus sampling, Holtzman et al. 2020).
    """
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        smallest = xp.sort(logits, axis=-1)[:, -top_k, None]  # (B, 1)
        logits = xp.where(logits < smallest, -xp.inf, logits)
    p = xp.exp(log_softmax(logits))
    if top_p is not None and top_p < 1:
        order = xp.argsort(-p, axis=-1, kind="stable")  # (B, V)
        ordered = xp.take_along_axis(p, order, -1)
        before = xp.cumsum(ordered, axis=-1) - ordered  # what the likelier tokens sum up to
        keep = xp.take_along_axis(before < top_p, xp.argsort(order, axis=-1), -1)
        p = p * keep
        p /= p.sum(-1, keepdims=True)
    return p


def log_softmax(logits):
    """log p = z - log Σ exp(z), over the last axis."""
    z = logits - logits.max(axis=-1, keepdims=True)
    return z - xp.log(row_sum(xp.exp(z)))


def beam_search(task, num_beams, length_penalty=1.0, early_stopping=False, num_return_sequences=1):
    """Keep the K = num_beams likeliest unfinished hypotheses of each sequence, and its K best finished ones.

        score = log p(tokens) / (number of tokens, eos included)^length_penalty

    The rules are those of Hugging Face: each step looks at the 2K best continuations (more with several end tokens);
    those among the first K that end, in eos or at the longest length, are finished; the best K others live on. A
    sequence is done when its best living hypothesis, scored as if it ended now, is not better than its worst finished
    one, and K are finished. early_stopping True: as soon as K are finished; "never": scored as if at full length.
    → ids (B · num_return_sequences, T), the best hypotheses of each sequence
    """
    if early_stopping not in (True, False, "never"):
        raise ValueError(f'early_stopping must be True, False or "never", got {early_stopping!r}')
    B, K, prompt = len(task.ids), num_beams, task.prompt_length
    longest = task.max_length - prompt
    finished: list[list] = [[] for _ in range(B)]  # of (score, ids)
    done = [False] * B
    scores = [[0.0] + [-1e9] * (K - 1) for _ in range(B)]  # all K start alike: only the first may continue
    for length in range(1, longest + 1):
        log_p = log_softmax(task.next_logits())  # (B, V) at first, then (B·K, V)
        if length == 1:
            rows = [b for b in range(B) for _ in range(K)]
            log_p = log_p[rows]
            task.reorder(rows)
        V = log_p.shape[-1]
        total = task.apply_rules(log_p).reshape(B, K, V) + to_device(scores, log_p.dtype)[:, :, None]
        best, best_scores = _top(total.reshape(B, K * V), min(max(2, 1 + len(task.eos)) * K, K * V))
        rows, tokens = [], []
        for b in range(B):
            live: list[tuple] = []  # of (score, row, token)
            for rank, (candidate, score) in enumerate(zip(best[b], best_scores[b], strict=True)):
                row, token = b * K + candidate // V, candidate % V
                if token not in task.eos and length < longest:
                    live.append((score, row, token))
                elif rank < K and not done[b]:
                    finished[b].append((score / length**length_penalty, [*task.ids[row], token]))
            finished[b] = sorted(finished[b], key=lambda pair: -pair[0])[:K]
            live = (live + [(-1e9, b * K, task.pad)] * K)[:K]
            if len(finished[b]) == K:
                at = longest if early_stopping == "never" and length_penalty > 0 else length
                hopeless = live[0][0] / at**length_penalty <= finished[b][-1][0]
                done[b] = done[b] or early_stopping is True or hopeless
            scores[b] = [score for score, _, _ in live]
            rows += [row for _, row, _ in live]
            tokens += [token for _, _, token in live]
        if all(done) or length == longest:
            break
        task.reorder(rows)
        task.append(to_numpy(tokens))
    winners = [ids for hypotheses in finished for _, ids in hypotheses[:num_return_sequences]]
    fill = task.pad
    if task.published and not fill:  # Hugging Face takes a padding id of 0 for none
        fill = (*task.eos, task.pad)[0]
    widest = max(map(len, winners))
    return to_numpy([[*ids, *[fill] * (widest - len(ids))] for ids in winners])


def _top(x, k):
    """The k largest of each row, largest first: (indices, values) as nested lists."""
    largest = xp.argpartition(-x, k - 1, axis=-1)[:, :k]
    values = xp.take_along_axis(x, largest, -1)
    order = xp.argsort(-values, axis=-1, kind="stable")
    return (to_numpy(xp.take_along_axis(a, order, -1)).tolist() for a in (largest, values))


def _draw(p, rng):
    """One index a row with these probabilities."""
    below = to_numpy(xp.cumsum(p, axis=-1)) < rng.random((len(p), 1)) * to_numpy(p.sum(-1, keepdims=True))
    return below.sum(-1)


def _is_count(value):
    return isinstance(value, int) and value >= 1


def _require(name, value, holds, valid):
    if not holds:
        raise ValueError(f"{name} must be {valid}, got {value!r}")
