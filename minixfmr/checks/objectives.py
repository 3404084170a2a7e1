"""What the training objectives are given: ids, lengths, shares, and the generator that draws."""

from typing import Any

import numpy

from .arrays import integers
from .values import LARGEST, count, is_count, number, plain, require, shown


def matrix(name: str, value: Any, least: int = 1, ignored: int = 0) -> Any:
    """(B, T) token ids with T at least so much; ignored: a label that is no token and may be among them."""
    found = integers(name, value)
    if found.ndim != 2 or found.shape[1] < least or not len(found):
        raise ValueError(
            f"{name} must be an array of shape (B, T), B at least 1, T at least {least}, got {tuple(found.shape)}"
        )
    if isinstance(found, numpy.ndarray) and ((found < 0) & (found != ignored)).any():
        raise ValueError(f"{name} must hold token ids, integers of at least 0, got {found.min()} in it")
    return found


def tokens(name: str, value: Any, V: int = LARGEST, least: int = 0) -> list[int]:
    """A list of at least so many token ids in [0, V), as Python's integers. Raises TypeError or ValueError."""
    if not isinstance(value, list | tuple | range | numpy.ndarray) or numpy.ndim(value) > 1:
        raise TypeError(f"{name} must be a list of token ids, got {shown(value)}")
    ids = value.tolist() if isinstance(value, numpy.ndarray) else list(value)
    for one in ids:
        if not is_count(one, 0, V - 1):
            valid = "0 or more" if V == LARGEST else f"in [0, {V})"
            raise ValueError(f"{name} must hold token ids, integers {valid}, got {shown(one)} in it")
    if len(ids) < least:
        raise ValueError(f"{name} must be at least {least} tokens, got {len(ids)}")
    return [int(plain(one)) for one in ids]


def spans(name: str, ids: Any, rng: Any, rate: Any, mean_length: Any = 1.0, least: int = 0) -> list[int]:
    """The ids as a list, of which a share is to be drawn in spans of a mean length. Spans much shorter than a token
    would take for ever to draw."""
    draws(rng)
    number("rate", rate, "[0, 1]")
    number("mean_length", mean_length, "[0.1, 1e9]")
    return tokens(name, ids, least=least)


def masked_lm(ids: Any, rng: Any, mask_token: Any, vocab_size: Any, special: Any, rate: Any, words: Any) -> tuple:
    """(ids, mask_token, vocab_size, special, rate) as Python's own. Raises TypeError or ValueError unless they fit."""
    draws(rng)
    V = count("vocab_size", vocab_size)
    mask = token("mask_token", mask_token, V)
    special = tokens("special", list(special) if isinstance(special, set | frozenset) else special, V)
    if len({*special, mask}) >= V:
        raise ValueError(f"special and mask_token are all of the {V} tokens: none is left to put in")
    ids = tokens("ids", ids, V)
    if words is not None and len(tokens("words", words)) != len(ids):
        raise ValueError(f"words must be the number of the word of each token, got {len(words)} for {len(ids)} tokens")
    return ids, mask, V, special, number("rate", rate, "[0, 1]")


def token(name: str, value: Any, V: int = LARGEST) -> int:
    """One token id. Raises ValueError for anything else."""
    require(name, value, is_count(value, 0, V - 1), "a token id" + (f" in [0, {V})" if V < LARGEST else ""))
    return int(plain(value))


def draws(rng: Any) -> None:
    """Raise TypeError unless it is a generator of random numbers."""
    if not isinstance(rng, numpy.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, such as numpy.random.default_rng(0), got {shown(rng)}")


def sentences(value: Any, rate: Any = 1.0) -> list[list[int]]:
    """A list of at least one list of token ids. rate: a share of them"""
    number("rate", rate, "[0, 1]")
    if not isinstance(value, list | tuple) or not len(value):
        raise TypeError(f"sentences must be a list of at least one list of token ids, got {shown(value)}")
    return [tokens(f"sentences[{i}]", sentence) for i, sentence in enumerate(value)]
