"""Masks say which keys a query may attend to: boolean, True = may attend, broadcastable to (B, H, Tq, Tk).

Combine them with &. Keys are masked, never queries: what a padded query computes reaches no loss.
"""

from ..backend import to_device, xp
from ..checks.arrays import check_lengths, check_padding


def causal_mask(Tq, Tk=None):
    """The look-ahead mask: a position attends to itself and to what came before, never to what comes after.

    → (1, 1, Tq, Tk). With Tk > Tq the queries are the last Tq of the Tk positions, as in generation with a cache.
    """
    Tq, Tk = check_lengths(Tq, Tk)
    return xp.tri(Tq, Tk, Tk - Tq, dtype=bool)[None, None]


def padding_mask(attention_mask):
    """Hide padding from every query:  (B, Tk), 1 or True where there is a real token → (B, 1, 1, Tk)."""
    return to_device(check_padding(attention_mask))[:, None, None, :]


def hide_padding(attention_mask, mask=None):
    """The mask, or none, with padding hidden as well where an attention_mask (B, Tk) says that there is any."""
    if attention_mask is None:
        return mask
    padding = padding_mask(attention_mask)
    return padding if mask is None else mask & padding
