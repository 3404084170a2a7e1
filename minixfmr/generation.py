"""Generation: let a model write, one token after the other."""

from typing import Any

from .backend import random_generator, row_sum, to_numpy, xp


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
    early_stopping: bool = False,
    use_cache: bool = True,
    seed: int | None = None,
) -> Any:
    """Write a sequence for each input; the argument names and their meaning are those of Hugging Face.

    input_ids: (B, S) integers    attention_mask: (B, S), 1 where there is a real token
    → ids (B, 1 + new), a numpy.ndarray: the start token, then what was written, eos included, then padding
    The default is greedy: the likeliest token each time. num_beams > 1: beam search, see beam_search.
    do_sample: draw tokens, see sampling_probabilities; seed: of the draws.
    use_cache: keep the keys and values of earlier positions; without, the result is the same, only slower.
    Raises ValueError for arguments that make no sense.
    """
    limit = model.config.max_position_embeddings
    _require(
        "max_new_tokens", max_new_tokens, 1 <= max_new_tokens <= limit, f"from 1 to {limit}, the model's positions"
    )
    _require("num_beams", num_beams, num_beams >= 1, "at least 1")
    _require("temperature", temperature, temperature > 0, "greater than 0 (for the likeliest token: do_sample=False)")
    _require("top_k", top_k, top_k is None or top_k >= 1, "None or at least 1")
    _require("top_p", top_p, top_p is None or 0 < top_p <= 1, "None or in (0, 1]")
    if do_sample and num_beams > 1:
        raise ValueError("do_sample=True draws one sequence and num_beams > 1 searches for the best: choose one")
    ids, state = model.start(input_ids, attention_mask)  # (B, 1), or the prompts (B, T)
    decoder = _CachedDecoder(model, state) if use_cache else _PlainDecoder(model, input_ids, attention_mask)
    if num_beams > 1:
        return beam_search(decoder, ids, model.config, max_new_tokens, num_beams, length_penalty, early_stopping)
    rng = random_generator(seed)
    finished = ids[:, 0] < 0  # (B,)  nobody yet
    while not finished.all() and ids.shape[1] <= max_new_tokens:
        logits = decoder.next_logits(ids)  # (B, V)
        if do_sample:
            token = _draw(sampling_probabilities(logits, temperature, top_k, top_p), rng)
        else:
            token = to_numpy(logits.argmax(-1))
        token[finished] = model.config.pad_token_id
        finished |= token == model.config.eos_token_id
        ids = _append(ids, token)
    return ids


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


def beam_search(decoder, ids, config, max_new_tokens, num_beams, length_penalty=1.0, early_stopping=False):
    """Keep the K = num_beams likeliest unfinished hypotheses of each sequence, and its K best finished ones.

        score = log p(tokens) / (number of tokens, eos included)^length_penalty

    The rules are those of Hugging Face: each step looks at the 2K best continuations; those among the first K that end
    (in eos, or at max_new_tokens) are finished; the best K others live on. A sequence is done when nothing that lives
    scores better than its K finished ones or, with early_stopping, as soon as it has K of them.
    ids: (B, 1), the start → (B, 1 + new), the best hypothesis of each
    """
    B, K = len(ids), num_beams
    finished: list[list] = [[] for _ in range(B)]  # of (score, ids)
    done = [False] * B
    scores = [[0.0] + [-1e9] * (K - 1) for _ in range(B)]  # all K start alike: only the first may continue
    for length in range(1, max_new_tokens + 1):
        logits = decoder.next_logits(ids)  # (B, V) at first, then (B·K, V)
        if length == 1:
            rows = [b for b in range(B) for _ in range(K)]
            logits, ids = logits[rows], ids[rows]
            decoder.reorder(rows)
        V = logits.shape[-1]
        total = log_softmax(logits).reshape(B, K, V) + xp.asarray(scores, logits.dtype)[:, :, None]
        best, best_scores = _top(total.reshape(B, K * V), 2 * K)  # (B, 2K)
        rows, tokens = [], []
        for b in range(B):
            live: list[tuple] = []  # of (score, row, token)
            for rank, (candidate, score) in enumerate(zip(best[b], best_scores[b], strict=True)):
                row, token = b * K + candidate // V, candidate % V
                if token != config.eos_token_id and length < max_new_tokens:
                    live.append((score, row, token))
                elif rank < K and not done[b]:
                    finished[b].append((score / length**length_penalty, [*ids[row], token]))
            finished[b] = sorted(finished[b], key=lambda pair: -pair[0])[:K]
            live = (live + [(-1e9, b * K, config.pad_token_id)] * K)[:K]
            if len(finished[b]) == K:
                hopeless = live[0][0] / length**length_penalty <= finished[b][-1][0]
                done[b] = done[b] or early_stopping or hopeless
            scores[b] = [score for score, _, _ in live]
            rows += [row for _, row, _ in live]
            tokens += [token for _, _, token in live]
        if all(done) or length == max_new_tokens:
            break
        ids = _append(ids[rows], to_numpy(tokens))
        decoder.reorder(rows)
    winners = [hypotheses[0][1] for hypotheses in finished]
    longest = max(map(len, winners))
    return to_numpy([[*w, *[config.pad_token_id] * (longest - len(w))] for w in winners])


class _CachedDecoder:
    """Feeds a model the tokens that it has not read yet."""

    def __init__(self, model, state):
        self.model, self.state = model, state

    def next_logits(self, ids):
        return self.model.step(ids[:, self.state.length :], self.state)  # (B, V)

    def reorder(self, rows):
        self.state.reorder(rows)


class _PlainDecoder:
    """Feeds a model everything again for each token."""

    def __init__(self, model, input_ids, attention_mask):
        self.model = model
        self.inputs: tuple = (input_ids, attention_mask)

    def next_logits(self, ids):
        input_ids, attention_mask = self.inputs
        return self.model(input_ids, ids, attention_mask=attention_mask)[:, -1]  # (B, V)

    def reorder(self, rows):
        self.inputs = tuple(None if array is None else array[rows] for array in self.inputs)


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


def _append(ids, token):
    """(B, T), (B,) → (B, T + 1)"""
    return to_numpy([[*row, t] for row, t in zip(ids.tolist(), token.tolist(), strict=True)])


def _require(name, value, holds, valid):
    if not holds:
        raise ValueError(f"{name} must be {valid}, got {value!r}")
