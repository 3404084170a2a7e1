"""The key/value cache, with which generating a token costs one position, not all."""

from typing import Any

from ..backend import Array, to_device, xp


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

    def reorder(self, rows: Any) -> None:
        """Keep these batch rows in this order (a row may come several times): beam search moves hypotheses, and those
        that stay where they are are not copied."""
        if not self.length:
            return
        if len(rows) != len(self._keys):
            rows = to_device(rows)
            self._keys, self._values = self._keys[rows], self._values[rows]
            return
        moved = [i for i, row in enumerate(rows) if row != i]
        if moved:
            here, there, T = to_device(moved), to_device([rows[i] for i in moved]), self.length
            for buffer in (self._keys, self._values):
                buffer[here, :, :T] = buffer[there, :, :T]

    def clear(self) -> None:
        """Forget everything."""
        self.length, self._keys, self._values = 0, None, None
