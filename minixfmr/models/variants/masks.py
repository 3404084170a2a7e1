"""Masks of the descendants: windows (Mistral, Gemma), and prefixes read both ways (T5's language model)."""

from ...backend import to_device, xp
from ...checks.arrays import check_lengths, lengths
from ...checks.values import count
from ..masks import causal_mask


def sliding_window_mask(Tq, Tk, window):
    """Hide what lies `window` positions back or more:  → (1, 1, Tq, Tk). Combine it with causal_mask.

    With Tk > Tq the queries are the last Tq of the Tk positions, as in generation with a cache.
    """
    (Tq, Tk), window = check_lengths(Tq, Tk), count("window", window)
    return ~xp.tri(Tq, Tk, Tk - Tq - window, dtype=bool)[None, None]


def prefix_mask(Tq, prefix_lengths):
    """A look-ahead mask, except for a prefix that is read as a whole, both ways (Raffel et al. 2020, section 3.2.1).

    prefix_lengths: (B,)    →    (B, 1, Tq, Tq)
    """
    (Tq, _), prefix_lengths = check_lengths(Tq), to_device(lengths("prefix_lengths", prefix_lengths))
    prefix = xp.arange(Tq)[None, :] < prefix_lengths[:, None]  # (B, Tq)
    return causal_mask(Tq) | prefix[:, None, None, :]


def block_windows(config, num_blocks):
    """The window of each block, or None where it has none."""
    first, every = config.window_from, config.window_every
    banded = [i >= first and (i + 1) % every == 0 for i in range(num_blocks)]
    return [config.sliding_window if b else None for b in banded]


def window_masks(windows, mask, Tq, Tk):
    """The mask of each block: the one given, narrowed to the block's window."""
    if not any(windows):
        return [mask] * len(windows)
    bands = {w: sliding_window_mask(Tq, Tk, w) for w in windows if w is not None and w < Tk}
    narrowed: dict = {w: band if mask is None else mask & band for w, band in bands.items()}
    return [narrowed.get(w, mask) for w in windows]
