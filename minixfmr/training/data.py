"""From lists of token ids to padded batches, in an order that a seed decides."""

import hashlib
from collections.abc import Sequence
from typing import Any

from ..backend import random_generator, to_numpy
from ..checks.batches import check_indices, check_lengths, check_padding, check_pairs
from ..checks.values import count
from ..models import Config
from .objectives import shift_right


def pad(sequences, pad_id):
    """Lists of ids of different lengths → one array (B, T), filled up with pad_id on the right."""
    pad_id, length = check_padding(sequences, pad_id), max(map(len, sequences))
    return to_numpy([[*sequence, *[pad_id] * (length - len(sequence))] for sequence in sequences])


def token_batches(lengths, max_tokens, rng=None):
    """Group sequences of similar length, so that little padding is computed.

    lengths: one per sequence    max_tokens: batch size times the longest length in it stays within this (a longer
    sequence gets a batch of its own)    rng: shuffles equal lengths and the batches; None keeps all in order
    → a list of lists of indices, each sequence once
    """
    lengths, max_tokens = check_lengths(lengths, max_tokens)
    tie = range(len(lengths)) if rng is None else rng.permutation(len(lengths))
    batches: list[list[int]] = []
    batch: list[int] = []
    for _, _, i in sorted(zip(lengths, tie, range(len(lengths)), strict=True)):
        if batch and lengths[i] * (len(batch) + 1) > max_tokens:
            batches.append(batch)
            batch = []
        batch.append(i)
    batches += [batch] if batch else []
    if rng is not None:
        rng.shuffle(batches)
    return batches


class TranslationData:
    """Pairs of source and target ids, without special tokens, as batches for an EncoderDecoder.

    Teacher forcing: the decoder reads [start] + target and must predict target + [eos], all positions at once.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        config: Config,
        max_tokens: int,
        seed: int | None = None,
    ) -> None:
        """max_tokens: see token_batches. seed: of the order; None keeps the same order in every epoch."""
        check_pairs(sources, targets, config)
        self.sources, self.targets, self.config = sources, targets, config
        self.max_tokens = count("max_tokens", max_tokens)
        self.seed = None if seed is None else count("seed", seed, 0)
        self._lengths = [max(len(s), len(t)) + 1 for s, t in zip(sources, targets, strict=True)]

    def fingerprint(self) -> str:
        """A hash of everything that decides its batches: the same for data that give the same ones."""
        content = repr((self.sources, self.targets, self.max_tokens, self.seed)).encode()
        return hashlib.sha256(content).hexdigest()[:16]

    def order(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, as lists of pair numbers: a function of the seed and the epoch alone."""
        epoch = count("epoch", epoch, 0)
        rng = None if self.seed is None else random_generator([self.seed, epoch])
        return token_batches(self._lengths, self.max_tokens, rng)

    def batch(self, indices: list[int]) -> dict[str, Any]:
        """Those pairs as the keyword arguments of EncoderDecoder.forward, and "labels"; padding counts for nothing."""
        c, indices = self.config, check_indices(indices, len(self.sources))
        source = [[*self.sources[i], c.eos_token_id] for i in indices]
        labels = pad([[*self.targets[i], c.eos_token_id] for i in indices], -100)  # (B, T)
        input_ids = pad(source, c.pad_token_id)  # (B, S)
        return {
            "input_ids": input_ids,
            "attention_mask": pad([[1] * len(s) for s in source], 0),
            "decoder_input_ids": shift_right(labels, c.decoder_start_token_id, c.pad_token_id),  # (B, T)
            "labels": labels,
        }
