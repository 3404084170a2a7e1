"""Whether the arguments of generate make sense."""

import numbers
from typing import Any


def require(name: str, value: Any, holds: bool, valid: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(f"{name} must be {valid}, got {value!r}")


def is_count(value: Any, least: int = 1) -> bool:
    """Whether it is an integer of at least so many."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether it is a real number, and not a NaN."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value


def check_search(search: dict[str, Any]) -> None:
    """Raise ValueError for a way of searching that makes no sense. search: as generation.settings.SEARCH"""
    beams, count, sampled = search["num_beams"], search["num_return_sequences"], search["do_sample"]
    for name in ("do_sample", "use_cache"):
        require(name, search[name], isinstance(search[name], bool), "True or False")
    require("num_beams", beams, is_count(beams), "an integer of at least 1")
    valid = "at least 1" if sampled else f"from 1 to num_beams = {beams}"
    require("num_return_sequences", count, is_count(count) and (sampled or count <= beams), valid)
    if sampled and beams > 1:
        raise ValueError(
            f"do_sample=True draws one sequence and num_beams = {beams} > 1 searches for the best: choose one"
        )
    require("length_penalty", search["length_penalty"], is_number(search["length_penalty"]), "a number")
    stop = search["early_stopping"]
    require("early_stopping", stop, isinstance(stop, bool) or stop == "never", 'True, False or "never"')
    check_sampling(search["temperature"], search["top_k"], search["top_p"])
    ids = search["eos_token_id"]
    ids = list(ids) if isinstance(ids, list | tuple) else [ids]
    require("eos_token_id", search["eos_token_id"], all(e is None or is_count(e, 0) for e in ids), "token ids")


def check_sampling(temperature: Any, top_k: Any, top_p: Any) -> None:
    """Raise ValueError for a distribution that makes no sense."""
    valid = "greater than 0 (for the likeliest token: do_sample=False)"
    require("temperature", temperature, is_number(temperature) and temperature > 0, valid)
    require("top_k", top_k, top_k is None or is_count(top_k, 0), "None, 0 for no limit, or an integer of at least 1")
    require("top_p", top_p, top_p is None or (is_number(top_p) and 0 < top_p <= 1), "None or in (0, 1]")


def check_rules(rules: dict[str, Any], V: int) -> None:
    """Raise ValueError for a rule that makes no sense for V tokens. rules: as generation.rules.RULES"""

    def is_token(value):
        return is_count(value, 0) and value < V

    def are_tokens(value):
        return isinstance(value, list | tuple) and all(map(is_token, value))

    def are_words(value):
        return isinstance(value, list | tuple) and all(are_tokens(word) and len(word) > 0 for word in value)

    def are_biases(value):
        pairs = isinstance(value, list | tuple) and all(isinstance(p, list | tuple) and len(p) == 2 for p in value)
        return pairs and are_words([word for word, _ in value]) and all(is_number(bias) for _, bias in value)

    token, tokens = f"a token id in [0, {V})", f"a list of token ids in [0, {V})"
    for name, holds, valid in (
        ("repetition_penalty", lambda v: is_number(v) and v > 0, "greater than 0"),
        ("encoder_repetition_penalty", lambda v: is_number(v) and v > 0, "greater than 0"),
        ("no_repeat_ngram_size", lambda v: is_count(v, 0), "an integer of at least 0"),
        ("encoder_no_repeat_ngram_size", lambda v: is_count(v, 0), "an integer of at least 0"),
        ("min_length", lambda v: is_count(v, 0), "an integer of at least 0"),
        ("min_new_tokens", lambda v: is_count(v, 0), "an integer of at least 0"),
        ("bad_words_ids", are_words, f"a list of lists of token ids in [0, {V}), such as [[20], [30, 31]]"),
        ("sequence_bias", are_biases, f"a list of pairs [ids in [0, {V}), bias], such as [[[20, 21], 9.0]]"),
        ("forced_bos_token_id", is_token, token),
        ("forced_eos_token_id", lambda v: is_token(v) or are_tokens(v), token),
        ("suppress_tokens", are_tokens, tokens),
        ("begin_suppress_tokens", are_tokens, tokens),
        ("renormalize_logits", lambda v: isinstance(v, bool), "True or False"),
    ):
        require(name, rules[name], rules[name] is None or holds(rules[name]), valid)
