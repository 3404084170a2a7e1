"""Whether the arguments of generate make sense, and each as Python's own type."""

import warnings
from typing import Any

import numpy

from .fields import ConfigError
from .values import LARGEST, count, flag, is_count, is_number, number, plain, require, shown

MOST = 10_000  # beams, or sequences for each input: more would not end
BIAS = "[-1e30, 1e30]"  # what may be added to a score, or divide one
FACTOR = "[1e-10, 1e10]"
USUAL = 20  # new tokens, where nothing says how many


def check_search(search: dict[str, Any]) -> None:
    """Put into search each setting as Python's own type. Raises ValueError for a way of searching that makes no sense.

    search: as generation.settings.SEARCH"""
    for name in ("do_sample", "use_cache"):
        search[name] = flag(name, search[name])
    beams = search["num_beams"] = count("num_beams", search["num_beams"], 1, MOST)
    sequences, sampled = search["num_return_sequences"], search["do_sample"]
    valid = f"from 1 to {MOST}" if sampled else f"from 1 to num_beams = {beams}"
    require("num_return_sequences", sequences, is_count(sequences, 1, MOST if sampled else beams), valid)
    search["num_return_sequences"] = int(plain(sequences))
    if sampled and beams > 1:
        raise ValueError(
            f"do_sample=True draws one sequence and num_beams = {beams} > 1 searches for the best: choose one"
        )
    search["length_penalty"] = number("length_penalty", search["length_penalty"], "[-50, 50]")
    stop = search["early_stopping"] = plain(search["early_stopping"])
    known = isinstance(stop, bool) or (isinstance(stop, str) and stop == "never")
    require("early_stopping", stop, known, 'True, False or "never"')
    shape = check_sampling(search["temperature"], search["top_k"], search["top_p"])
    search["temperature"], search["top_k"], search["top_p"] = shape
    search["max_new_tokens"] = plain(search["max_new_tokens"])  # checked where the length of the prompts is known
    search["max_length"] = None if search["max_length"] is None else count("max_length", search["max_length"])
    for name in ("bos_token_id", "pad_token_id", "decoder_start_token_id"):
        search[name] = None if search[name] is None else count(name, search[name], 0)
    if search["eos_token_id"] is not None:
        search["eos_token_id"] = tokens("eos_token_id", search["eos_token_id"])


def check_given(given: dict[str, Any], V: int) -> None:
    """Raise ValueError for a token of the caller's own that is not in the vocabulary: what a folder says may be."""
    for name in ("bos_token_id", "pad_token_id", "decoder_start_token_id"):
        if name in given:
            require(name, given[name], is_count(given[name], 0, V - 1), f"a token id in [0, {V})")
    if "eos_token_id" in given:
        tokens("eos_token_id", given["eos_token_id"], V)


def tokens(name: str, value: Any, V: int = LARGEST) -> list[int]:
    """A list of token ids, also of a single one. Raises ValueError for anything else."""
    value = plain(value)
    several = value.tolist() if isinstance(value, numpy.ndarray) and value.ndim == 1 else value
    several = list(several) if isinstance(several, list | tuple | set) else [several]
    valid = "a token id, or a list of them" + (f", in [0, {V})" if V < LARGEST else "")
    require(name, value, all(is_count(token, 0, V - 1) for token in several), valid)
    return [int(plain(token)) for token in several]


def check_sampling(temperature: Any, top_k: Any, top_p: Any) -> tuple[float, int | None, float | None]:
    """The three as Python's numbers. Raises ValueError for a distribution that makes no sense."""
    if not is_number(temperature, FACTOR):
        finite = is_number(temperature, "(0, inf)")
        valid = "from 1e-10 to 1e10" if finite else "greater than 0 and finite"
        raise ValueError(
            f"temperature must be {valid} (for the likeliest token: do_sample=False), got {shown(temperature)}"
        )
    valid = "None, 0 for no limit, or an integer of at least 1"
    require("top_k", top_k, top_k is None or is_count(top_k, 0), valid)
    require("top_p", top_p, top_p is None or is_number(top_p, "(0, 1]"), "None or in (0, 1]")
    top_p = None if top_p is None else max(float(plain(top_p)), 1e-30)  # float32 has nothing much smaller
    return float(plain(temperature)), None if top_k is None else int(plain(top_k)), top_p


def check_rules(rules: dict[str, Any], V: int, num_beams: int = 1) -> None:
    """Put into rules each as lists and numbers of Python's. Raises ValueError for one that makes no sense for V tokens.

    rules: as generation.variants.rules.RULES"""
    for name, holds, valid in _valid_rules(V):
        value = _plain_lists(rules[name])
        require(name, rules[name], value is None or holds(value), valid)
        rules[name] = value
    ends = rules["forced_eos_token_id"]
    one = num_beams == 1 or not isinstance(ends, list) or len(set(ends)) < 2
    require("forced_eos_token_id", ends, one, "one token id with num_beams > 1, which cannot choose between several")


def _valid_rules(V):
    """(name, whether a value other than None makes sense, which do) of each rule."""

    def is_token(value):
        return is_count(value, 0, V - 1)

    def are_tokens(value):
        return isinstance(value, list) and all(map(is_token, value))

    def are_words(value):
        return isinstance(value, list) and all(are_tokens(word) and word for word in value)

    def are_biases(value):
        pairs = isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)
        return pairs and are_words([word for word, _ in value]) and all(is_bias(bias) for _, bias in value)

    def is_bias(value):
        return is_number(value, BIAS) or plain(value) == -float("inf")

    def is_size(value):
        return is_count(value, 0)

    def is_factor(value):
        return is_number(value, FACTOR)

    def are_some(value):
        return are_tokens(value) and len(set(value)) < V

    token, several = f"a token id in [0, {V})", f"a list of token ids in [0, {V}), and not of all"
    factor, size = "greater than 0, from 1e-10 to 1e10", "an integer of at least 0"
    return (
        ("repetition_penalty", is_factor, factor),
        ("encoder_repetition_penalty", is_factor, factor),
        ("no_repeat_ngram_size", is_size, size),
        ("encoder_no_repeat_ngram_size", is_size, size),
        ("min_length", is_size, size),
        ("min_new_tokens", is_size, size),
        ("bad_words_ids", are_words, f"a list of lists of token ids in [0, {V}), such as [[20], [30, 31]]"),
        ("sequence_bias", are_biases, f"a list of pairs [ids in [0, {V}), bias], such as [[[20, 21], 9.0]]"),
        ("forced_bos_token_id", is_token, token),
        ("forced_eos_token_id", lambda v: is_token(v) or are_tokens(v), token),
        ("suppress_tokens", are_some, several),
        ("begin_suppress_tokens", are_some, several),
        ("renormalize_logits", lambda v: isinstance(v, bool), "True or False"),
    )


def _plain_lists(value):
    """Tuples and arrays as lists, numbers as Python's, all the way down."""
    value = plain(value)
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    return [_plain_lists(part) for part in value] if isinstance(value, list | tuple) else value


def check_prompts(model: Any, mask: Any) -> None:
    """Raise unless it is a model, whose prompts have a real token each. mask: (B, T) booleans, or None"""
    if mask is not None and model.reads_prompts:
        empty = numpy.flatnonzero(~numpy.asarray(mask.get() if hasattr(mask, "get") else mask).any(axis=1))
        if len(empty):
            raise ValueError(f"attention_mask hides all of prompt {empty[0]}: each needs a real token to go on from")


def check_model_writes(model: Any) -> None:
    """Raise TypeError unless generate can call it."""
    if not all(hasattr(model, name) for name in ("start", "step", "generation", "config")):
        raise TypeError(f"generate needs a DecoderOnly or an EncoderDecoder, got {shown(model)}")


def check_head(writes: bool, head: str, needed: str) -> None:
    """Raise ConfigError unless a model writes: its head says which token comes next. head, needed: names of heads"""
    if not writes:
        raise ConfigError(f"a model with head {head!r} writes nothing: its head must be {needed}")


def check_room(settings: Any, prompt_length: int, config: Any) -> int:
    """How many tokens may be written after so many. Raises ValueError where the model's positions end too early."""
    ends, longest = config.positions != "none", config.max_position_embeddings
    require("input_ids", prompt_length, not ends or prompt_length <= longest, f"at most {longest} tokens long")
    room = longest - prompt_length + 1 if ends else 1 << 30  # what is written last need not be read
    new, total = settings["max_new_tokens"], settings["max_length"]
    if new is not None:
        valid = f"from 1 to {room}, where the model's positions end"
        require("max_new_tokens", new, is_count(new, 1, room), valid)
        return new
    if total is not None:
        valid = f"more than the {prompt_length} tokens of input_ids"
        require("max_length", total, is_count(total, prompt_length + 1), valid)
        if total - prompt_length > room:
            warnings.warn(f"max_length = {total} is more than the {longest} positions: it ends there", stacklevel=6)
        return min(total - prompt_length, room)
    return min(USUAL, max(longest - prompt_length, 1)) if ends else USUAL
