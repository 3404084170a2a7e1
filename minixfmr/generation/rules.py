"""Rules that a generated sequence must follow, as changes to the scores of the next token.

Published models bring such rules in their generation_config.json. Order and meaning are those of Hugging Face: in
greedy search and sampling they change logits, in beam search log-probabilities (which are not normalized again).
"""

from typing import Any

from ..backend import to_device, xp

# the settings that are rules, with the values that ask for nothing
RULES: dict[str, Any] = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "min_length": 0,
    "min_new_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "suppress_tokens": None,
}


def apply_rules(scores, ids, settings):
    """The scores after all rules.

    scores: (B, V) of the next token    ids: (B, n), all so far    settings: the Settings of the call
    """
    rules, eos, n = settings.rules, settings.eos, ids.shape[1]
    if rules == RULES:
        return scores
    scores, rows = scores.copy(), ids.tolist()
    if rules["repetition_penalty"] != 1:  # Keskar et al. 2019, section 4.1
        seen = xp.zeros(scores.shape, dtype=bool)
        seen[xp.arange(len(ids))[:, None], to_device(ids)] = True
        factor = rules["repetition_penalty"]
        scores = xp.where(seen, xp.where(scores < 0, scores * factor, scores / factor), scores)
    banned = [(b, token) for b, row in enumerate(rows) for token in _banned(row, rules, eos)]
    if banned:
        scores[tuple(to_device(banned).T)] = -xp.inf
    too_short = n < (rules["min_length"] or 0) or n - settings.prompt_length < (rules["min_new_tokens"] or 0)
    if too_short:
        scores[:, eos] = -xp.inf
    if n == 1 and rules["forced_bos_token_id"] is not None:
        scores = _only(scores, rules["forced_bos_token_id"])
    if n == settings.max_length - 1 and rules["forced_eos_token_id"] is not None:
        scores = _only(scores, rules["forced_eos_token_id"])
    if rules["suppress_tokens"]:
        scores[:, rules["suppress_tokens"]] = -xp.inf
    return scores


def _banned(row, rules, eos):
    """The tokens that would repeat an n-gram of the row, or complete a bad word."""
    banned = []
    size = rules["no_repeat_ngram_size"] or 0
    if 0 < size <= len(row) + 1:
        start = row[len(row) - size + 1 :]
        banned += [row[i + size - 1] for i in range(len(row) - size + 1) if row[i : i + size - 1] == start]
    for word in rules["bad_words_ids"] or []:
        *before, last = word
        if word not in [[e] for e in eos] and row[len(row) - len(before) :] == before:
            banned.append(last)
    return banned


def _only(scores, tokens):
    """Nothing but these tokens is possible; their score is 0."""
    scores = xp.full_like(scores, -xp.inf)
    scores[:, to_device(tokens)] = 0
    return scores
