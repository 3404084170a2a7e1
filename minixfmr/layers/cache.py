"""The key/value cache: with it, one more token costs one position instead of all of them."""

from typing import Any

from ..backend import Array, moved_rows, xp


class KeyValueCache:
    """The keys and values of the positions seen so far.

    keys, values: (B, H, T, dh). The buffers behind them double when they are full.
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: Array = None
        self._values: Array = None

    @property
    def keys(self) -> Array:
        return self._keys[:, :, : self.length]

    @property
    def values(self) -> Array:
        return self._values[:, :, : self.length]

    def append(self, keys: Array, values: Array) -> tuple[Array, Array]:
        """Add (B, H, T, dh) at the end; return all keys and values."""
        end = self.length + keys.shape[2]
        if self._keys is None or end > self._keys.shape[2]:
            self._keys, self._values = self._grown(self._keys, keys, end), self._grown(self._values, values, end)
        self._keys[:, :, self.length : end], self._values[:, :, self.length : end] = keys, values
        self.length = end
        return self.keys, self.values

    def _grown(self, old, new, end):
        buffer = xp.empty((*new.shape[:2], max(end, 2 * self.length), new.shape[3]), dtype=new.dtype)
        if self.length:
            buffer[:, :, : self.length] = old[:, :, : self.length]
        return buffer

    def reorder(self, rows: Any, since: int = 0) -> None:
        """Keep these batch rows in this order (one may come several times): beam search moves its hypotheses.

        since: the first position at which a row that moves differs from the one that it replaces
        """
        if self.length:
            self._keys = moved_rows(self._keys, rows, since, self.length)
            self._values = moved_rows(self._values, rows, since, self.length)

    def clear(self) -> None:
        """Forget everything."""
        self.length, self._keys, self._values = 0, None, None
