"""Rules that a generated sequence must follow, as changes to the scores of the next token.

Published models bring such rules in their generation_config.json. Order and meaning are those of Hugging Face: in
greedy search and sampling they change logits, in beam search log-probabilities.
"""

from typing import Any

import numpy

from ...backend import to_device, to_numpy, xp
from ...layers import log_softmax

# the settings that are rules, with the values that ask for nothing
RULES: dict[str, Any] = {
    "sequence_bias": None,
    "encoder_repetition_penalty": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "min_length": 0,
    "min_new_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "renormalize_logits": False,
}


def apply_rules(scores, ids, settings):
    """The scores after all rules.

    scores: (B, V) of the next token    ids: (B, n), all so far    settings: the Settings of the call
    """
    rules, n = settings.rules, ids.shape[1]
    if rules == RULES:
        return scores
    scores = scores.copy()
    source = numpy.repeat(settings.source, len(ids) // len(settings.source), axis=0)  # (B, S)
    biases = {tuple(sequence): bias for sequence, bias in rules["sequence_bias"] or []}  # of one said twice, the last
    for sequence, bias in biases.items():
        scores[to_device(_ends_with(ids, sequence[:-1])), sequence[-1]] += bias
    if rules["encoder_repetition_penalty"] != 1:
        scores = _penalized(scores, source, 1 / rules["encoder_repetition_penalty"])
    if rules["repetition_penalty"] != 1:
        scores = _penalized(scores, ids, rules["repetition_penalty"], settings.left_padding)
    rows = ids.tolist()
    banned = [(b, t) for b, row in enumerate(rows) for t in _repeating(row, row, rules["no_repeat_ngram_size"])]
    size = rules["encoder_no_repeat_ngram_size"]
    banned += [(b, t) for b, row in enumerate(rows) for t in _repeating(source[b].tolist(), row, size)]
    if banned:
        scores[tuple(to_device(banned).T)] = -xp.inf
    for word in rules["bad_words_ids"] or []:
        if word not in [[e] for e in settings.eos]:
            scores[to_device(_ends_with(ids, word[:-1])), word[-1]] = -xp.inf
    return _at_their_place(scores, n, rules, settings)


def _at_their_place(scores, n, rules, settings):
    """The rules that depend on the length so far alone, n."""
    written = n - settings.prompt_length
    forced_bos, forced_eos = rules["forced_bos_token_id"], rules["forced_eos_token_id"]
    if n < (rules["min_length"] or 0) or written < (rules["min_new_tokens"] or 0):
        scores[:, [e for e in settings.eos if e < scores.shape[1]]] = -xp.inf
    if n == 1 and forced_bos is not None:
        scores = _only(scores, forced_bos)
    if n == settings.max_length - 1 and forced_eos is not None:
        scores = _only(scores, forced_eos)
    if rules["suppress_tokens"]:
        scores[:, rules["suppress_tokens"]] = -xp.inf
    beginning = 1 if settings.prompt_length == 1 and forced_bos is not None else 0
    if written == beginning and rules["begin_suppress_tokens"]:
        scores[:, rules["begin_suppress_tokens"]] = -xp.inf
    return log_softmax(scores) if rules["renormalize_logits"] else scores


def _penalized(scores, ids, factor, left_padding=None):
    """The scores of all tokens among the ids, made less likely (Keskar et al. 2019, section 4.1); padding on the left
    (B, of which so many) was never said."""
    seen = numpy.zeros(scores.shape, bool)
    said = numpy.ones(ids.shape, bool)
    if left_padding is not None:
        rows = numpy.repeat(left_padding, len(ids) // len(left_padding))
        said = numpy.arange(ids.shape[1]) >= rows[:, None]
    b, t = said.nonzero()
    seen[b, to_numpy(ids)[b, t]] = True
    return xp.where(to_device(seen), xp.where(scores < 0, scores * factor, scores / factor), scores)


def _ends_with(ids, sequence):
    """Which rows of ids (B, n) end in the sequence: (B,)."""
    tail = ids[:, ids.shape[1] - len(sequence) :] if len(sequence) <= ids.shape[1] else ids[:, :0]
    return numpy.array([row.tolist() == list(sequence) for row in tail], bool)


def _repeating(text, row, size):
    """The tokens that would make the row end in an n-gram of the text."""
    if not 0 < (size or 0) <= len(row) + 1:
        return []
    start = row[len(row) - size + 1 :]
    return [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == start]


def _only(scores, tokens):
    """Nothing but these tokens is possible; their score is 0."""
    scores = xp.full_like(scores, -xp.inf)
    scores[:, to_device(tokens)] = 0
    return scores
