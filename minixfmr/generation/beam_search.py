"""Beam search: follow several hypotheses at once."""

import numpy

from ..backend import largest, to_device, to_numpy, xp
from ..layers import log_softmax
from .greedy import read
from .variants.rules import apply_rules


def beam_search(
    model, ids, state, settings, num_beams, length_penalty=1.0, early_stopping=False, num_return_sequences=1
):
    """Keep the K = num_beams likeliest unfinished hypotheses of each sequence, and its K best finished ones.

        score = log p(tokens) / (number of tokens, eos included)^length_penalty

    The rules are those of Hugging Face: each step looks at the 2K best continuations (more with several end tokens);
    those among the first K that end, in eos or at the longest length, are finished; the best K others live on.
    ids, state: of model.start → ids (B · num_return_sequences, T), the best hypotheses of each sequence
    """
    ids, B, K = to_numpy(ids), len(ids), num_beams
    sequences = [Hypotheses(K, settings, length_penalty, early_stopping) for _ in range(B)]
    log_p = log_softmax(read(model, ids, state, settings))  # (B, V)
    rows = numpy.repeat(numpy.arange(B), K)  # from now on K rows for each sequence
    ids, log_p = ids[rows], log_p[rows]  # (B·K, T), (B·K, V)
    state.reorder(rows)
    while True:
        V = log_p.shape[-1]
        scores = to_device([s.scores for s in sequences], log_p.dtype)  # (B, K)
        total = apply_rules(log_p, ids, settings).reshape(B, K, V) + scores[:, :, None]
        candidates = best(total.reshape(B, K * V), min(max(2, 1 + len(settings.eos)) * K, K * V))
        for b, (sequence, pairs) in enumerate(zip(sequences, candidates, strict=True)):
            sequence.extend(ids[b * K : b * K + K], [(*divmod(index, V), score) for index, score in pairs])
        if all(s.done for s in sequences) or ids.shape[1] + 1 == settings.max_length:
            return padded([h for s in sequences for h in s.finished[:num_return_sequences]], settings.beam_pad)
        rows = numpy.concatenate([b * K + numpy.array(s.rows) for b, s in enumerate(sequences)])
        tokens = numpy.concatenate([s.tokens for s in sequences])
        ids = numpy.concatenate([ids[rows], tokens[:, None]], axis=1)  # (B·K, T + 1)
        state.reorder(rows)
        log_p = log_softmax(read(model, ids, state, settings))  # (B·K, V)


class Hypotheses:
    """The hypotheses of one sequence: K unfinished ones, as rows of the batch to go on from, and up to K finished."""

    def __init__(self, K, settings, length_penalty, early_stopping):
        self.K, self.settings = K, settings
        self.length_penalty, self.early_stopping = length_penalty, early_stopping
        self.scores = [0.0] + [-1e9] * (K - 1)  # log p; all K start alike, so only the first may go on
        self.rows, self.tokens = [], []  # which row each unfinished one continues, and with which token
        self.finished = []  # [(score, ids)], best first
        self.done = False

    def extend(self, ids, candidates):
        """Take the continuations (row, token, log p), likeliest first, of the unfinished ids (K, T).

        A sequence is done when its best unfinished hypothesis, scored as if it ended now, is not better than its worst
        finished one, and K are finished. early_stopping True: as soon as K are finished; "never": scored as if at
        full length.
        """
        K, settings = self.K, self.settings
        length, longest = ids.shape[1] + 1 - settings.prompt_length, settings.max_length - settings.prompt_length
        live = []
        for rank, (row, token, score) in enumerate(candidates):
            if token not in settings.eos and length < longest:
                live.append((row, token, score))
            elif rank < K and not self.done:
                self.finished.append((score / length**self.length_penalty, [*ids[row], token]))
        self.finished = sorted(self.finished, key=lambda pair: -pair[0])[:K]
        live = (live + [(0, settings.pad, -1e9)] * K)[:K]
        self.rows, self.tokens, self.scores = map(list, zip(*live, strict=True))
        if len(self.finished) == K:
            at = longest if self.early_stopping == "never" and self.length_penalty > 0 else length
            hopeless = self.scores[0] / at**self.length_penalty <= self.finished[-1][0]
            self.done = self.done or self.early_stopping is True or hopeless


def best(x, k):
    """The k largest of each row, largest first: a list of (index, value) per row."""
    found = largest(x, k)
    values = xp.take_along_axis(x, found, -1)
    order = xp.argsort(-values, axis=-1, kind="stable")
    indices, values = (to_numpy(xp.take_along_axis(a, order, -1)).tolist() for a in (found, values))
    return [list(zip(*row, strict=True)) for row in zip(indices, values, strict=True)]


def padded(hypotheses, pad):
    """[(score, ids)] → ids (n, T), shorter ones filled up."""
    widest = max(len(ids) for _, ids in hypotheses)
    return numpy.array([[*ids, *[pad] * (widest - len(ids))] for _, ids in hypotheses])
