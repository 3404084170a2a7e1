"""Sampling: draw the next token instead of taking the likeliest."""

from ..backend import random_generator, to_numpy, xp
from ..checks.writing import check_sampling
from ..layers import softmax


def sampler(temperature=1.0, top_k=None, top_p=None, seed=None):
    """A function that draws: scores (B, V) → tokens (B,). Raises ValueError for arguments that make no sense."""
    temperature, top_k, top_p = check_sampling(temperature, top_k, top_p)
    rng = random_generator(seed)
    return lambda scores: draw(sampling_probabilities(scores, temperature, top_k, top_p), rng)


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution to draw from:  logits (B, V) → probabilities (B, V).

    temperature: divides the logits; below 1 sharper, above 1 flatter. top_k: only the k likeliest tokens (Fan et al.
    2018). top_p: then only the likeliest ones that together reach p (nucleus sampling, Holtzman et al. 2020).
    """
    logits = logits / temperature
    if top_k and top_k < logits.shape[-1]:
        smallest = xp.sort(logits, axis=-1)[:, -top_k, None]  # (B, 1)
        logits = xp.where(logits < smallest, -xp.inf, logits)
    p = softmax(logits)
    if top_p is not None and top_p < 1:
        order = xp.argsort(-p, axis=-1, kind="stable")  # (B, V)
        ordered = xp.take_along_axis(p, order, -1)
        before = xp.cumsum(ordered, axis=-1) - ordered  # what the likelier tokens sum up to
        keep = xp.take_along_axis(before < top_p, xp.argsort(order, axis=-1), -1)
        p = p * keep
        p = p / p.sum(axis=-1, keepdims=True)
    return p


def draw(p, rng):
    """One index for each row, with these probabilities:  p (B, V) → (B,)."""
    below = to_numpy(xp.cumsum(p, axis=-1)) < rng.random((len(p), 1)) * to_numpy(p.sum(axis=-1, keepdims=True))
    return below.sum(axis=-1)
