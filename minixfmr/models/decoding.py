"""What a model remembers between the tokens that it writes."""

from dataclasses import dataclass, field
from typing import Any

import numpy

from ..backend import Array, Kinship, to_device


@dataclass
class DecodingState:
    """What an EncoderDecoder remembers."""

    memory: Array  # (B, S, d), the encoder's output
    memory_mask: Array | None  # (B, 1, 1, S)
    caches: list  # a pair of KeyValueCaches for each block of the decoder
    length: int = 0  # target tokens read so far
    sources: Any = None  # (B,) the source sequence that each row belongs to
    kinship: Kinship = field(default_factory=Kinship)

    def reorder(self, rows: Any) -> None:
        """Keep these batch rows in this order; a row may come several times."""
        rows = numpy.asarray(rows)
        before = numpy.arange(len(self.memory)) if self.sources is None else self.sources
        self.sources = before[rows]
        since = self.kinship.reorder(rows, self.length)
        for own, _ in self.caches:
            own.reorder(rows, since)
        if numpy.array_equal(self.sources, before):  # hypotheses of one source have one memory
            return
        for _, cross in self.caches:
            cross.reorder(rows)
        rows = to_device(rows)
        self.memory = self.memory[rows]
        self.memory_mask = None if self.memory_mask is None else self.memory_mask[rows]

    def forget(self) -> None:
        """Read the target from its beginning again: generation without a cache."""
        self.length = 0
        for pair in self.caches:
            for cache in pair:
                cache.clear()


@dataclass
class PromptState:
    """What a DecoderOnly remembers."""

    caches: list  # a KeyValueCache for each block
    attention_mask: Any  # (B, T) of the prompt, a NumPy array of booleans, or None
    length: int = 0  # tokens read so far
    kinship: Kinship = field(default_factory=Kinship)

    def padding(self, T):
        """(which of all positions are real, the position_ids of the next T tokens): padding on the left does not count,
        and what is written after the prompt is real.

        → (None, None) without padding, else ((B, length + T), (B, T))
        """
        if self.attention_mask is None:
            return None, None
        B, prompt = self.attention_mask.shape
        real = numpy.concatenate([self.attention_mask, numpy.ones((B, self.length + T - prompt), bool)], axis=1)
        return real, positions_by(self.attention_mask, self.length + T)[:, self.length :]

    def reorder(self, rows: Any) -> None:
        """Keep these batch rows in this order; a row may come several times."""
        rows = numpy.asarray(rows)
        self.attention_mask = None if self.attention_mask is None else self.attention_mask[rows]
        since = self.kinship.reorder(rows, self.length)
        for cache in self.caches:
            cache.reorder(rows, since)

    def forget(self) -> None:
        """Read the prompt from its beginning again: generation without a cache."""
        self.length = 0
        for cache in self.caches:
            cache.clear()


def positions_by(attention_mask, length):
    """For each token of a prompt the number of real ones before it; what is written counts on.  (B, T) → (B, length)"""
    prompt = (attention_mask.cumsum(axis=1) - 1) * attention_mask  # (B, T)
    written = prompt[:, -1:] + 1 + numpy.arange(length - prompt.shape[1])
    return numpy.concatenate([prompt, written], axis=1)
