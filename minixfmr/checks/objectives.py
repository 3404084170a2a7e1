"""What the training objectives are given: ids, lengths, shares, and the generator that draws."""

from typing import Any

import numpy

from .arrays import integers
from .values import count, is_count, number, require, shown


def matrix(name: str, value: Any, least: int = 1) -> Any:
    """(B, T) integers with T at least so much."""
    found = integers(name, value)
    if found.ndim != 2 or found.shape[1] < least or not len(found):
        raise ValueError(
            f"{name} must be an array of shape (B, T), B at least 1, T at least {least}, got {tuple(found.shape)}"
        )
    return found


def tokens(name: str, value: Any, V: float = float("inf"), least: int = 0) -> list[int]:
    """A list of at least so many token ids in [0, V), as Python's integers. Raises TypeError or ValueError."""
    if not isinstance(value, list | tuple | range | numpy.ndarray) or numpy.ndim(value) > 1:
        raise TypeError(f"{name} must be a list of token ids, got {shown(value)}")
    ids = value.tolist() if isinstance(value, numpy.ndarray) else list(value)
    for token in ids:
        if not is_count(token, 0, V - 1):
            valid = "0 or more" if float("inf") == V else f"in [0, {V})"
            raise ValueError(f"{name} must hold token ids, integers {valid}, got {shown(token)} in it")
    if len(ids) < least:
        raise ValueError(f"{name} must be at least {least} tokens, got {len(ids)}")
    return [int(token) for token in ids]


def spans(name: str, ids: Any, rng: Any, rate: Any, mean_length: Any = 1.0, least: int = 0) -> list[int]:
    """The ids as a list, of which a share is to be drawn in spans of a mean length. Spans much shorter than a token
    would take for ever to draw."""
    draws(rng)
    number("rate", rate, "[0, 1]")
    number("mean_length", mean_length, "[0.1, 1e9]")
    return tokens(name, ids, least=least)


def masked_lm(ids: Any, rng: Any, mask_token: Any, vocab_size: Any, special: Any, rate: Any, words: Any) -> tuple:
    """(ids, rate) as Python's own. Raises TypeError or ValueError unless all fit together."""
    draws(rng)
    V = count("vocab_size", vocab_size)
    require("mask_token", mask_token, is_count(mask_token, 0, V - 1), f"a token id in [0, {V})")
    taken = {*tokens("special", sorted(special) if isinstance(special, set | frozenset) else special, V), mask_token}
    if len(taken) >= V:
        raise ValueError(f"special and mask_token are all of the {V} tokens: none is left to put in")
    ids = tokens("ids", ids, V)
    if words is not None and len(tokens("words", words)) != len(ids):
        raise ValueError(f"words must be the number of the word of each token, got {len(words)} for {len(ids)} tokens")
    return ids, number("rate", rate, "[0, 1]")


def draws(rng: Any) -> None:
    """Raise TypeError unless it is a generator of random numbers."""
    if not isinstance(rng, numpy.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, such as numpy.random.default_rng(0), got {shown(rng)}")


def sentences(value: Any, rng: Any = None, rate: Any = 1.0) -> list[list[int]]:
    """A list of at least one list of token ids."""
    if rng is not None:
        draws(rng)
    number("rate", rate, "[0, 1]")
    if not isinstance(value, list | tuple) or not len(value):
        raise TypeError(f"sentences must be a list of at least one list of token ids, got {shown(value)}")
    return [tokens(f"sentences[{i}]", sentence) for i, sentence in enumerate(value)]
