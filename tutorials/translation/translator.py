"""A trained model and its vocabulary, as one thing that translates.

Translator.load("runs/numbers").translate(["forty-two"])
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from corpus import END, PAD, START, UNKNOWN, load_tokenizer
from tqdm import tqdm

import minixfmr
from minixfmr.training import pad, token_batches

from . import UsageError
from .files import normalise


class Translation(NamedTuple):
    text: str
    source_ids: list  # that were read, the end token included
    ids: list  # that were written, the end token included unless it is unfinished
    cut: int  # subwords of the source that were too many
    unfinished: bool  # it reached the longest length

    @property
    def unknown(self):
        return UNKNOWN in self.source_ids


class Translator:
    """model: an EncoderDecoder. tokenizer: its vocabulary.

    A source is read, and a translation written, as far as the model has positions: the same limit for every sentence,
    so that one alone and one in a batch come out alike.
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.limit = model.config.max_position_embeddings

    @classmethod
    def load(cls, folder):
        """Raises UsageError, DataError or CheckpointError unless the folder holds a trained model."""
        folder = Path(folder)
        if not (folder / "model.safetensors").exists() or not (folder / "tokenizer.json").exists():
            hint = ": it is not finished, --resume goes on with it" if (folder / "run.json").exists() else ""
            raise UsageError(f"there is no trained model in {folder}{hint}")
        model, tokenizer = minixfmr.load(folder), load_tokenizer(folder / "tokenizer.json")
        if not isinstance(model, minixfmr.EncoderDecoder):
            raise UsageError(f"{folder} holds a {type(model).__name__}: only an EncoderDecoder translates")
        if tokenizer.get_vocab_size() != model.config.vocab_size:
            sizes = f"{tokenizer.get_vocab_size()} subwords, the model {model.config.vocab_size}"
            raise UsageError(f"{folder}/tokenizer.json is of another model: it has {sizes}")
        return cls(model, tokenizer)

    def translate(self, sentences, num_beams=1):
        """The translations of the sentences, as a list of texts in their order."""
        return [translation.text for translation in self.translations(sentences, num_beams)]

    def translations(self, sentences, num_beams=1, progress=False):
        """A list of Translations; sentences of similar length share a batch."""
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch([normalise(s) for s in sentences])]
        sources = [[*ids[: self.limit - 1], END] for ids in encoded]
        written: list = [[] for _ in sources]
        filled = [i for i, ids in enumerate(encoded) if ids]  # nothing is translated into nothing
        batches = token_batches([len(sources[i]) for i in filled], 2000)
        for batch in tqdm(batches, desc="translating", unit="batch", disable=not progress, leave=False):
            for i, ids in zip(batch, self._write([sources[filled[j]] for j in batch], num_beams), strict=True):
                written[filled[i]] = ids
        texts = self.tokenizer.decode_batch(written)  # leaves special tokens out
        return [
            Translation(
                normalise(text), source, ids, max(0, len(all_ids) - self.limit + 1), bool(ids) and ids[-1] != END
            )
            for text, source, ids, all_ids in zip(texts, sources, written, encoded, strict=True)
        ]

    def _write(self, sources, num_beams):
        rows = minixfmr.generate(
            self.model,
            pad(sources, PAD),
            attention_mask=pad([[1] * len(source) for source in sources], 0),
            max_new_tokens=self.limit,
            num_beams=num_beams,
        )
        for row in rows.tolist():
            yield row[1 : row.index(END) + 1 if END in row else None]

    def cross_attention(self, translation):
        """(source tokens, target tokens, weights (target, source)): the last block's, mean over heads."""
        _, saved = self._read_back(translation)
        weights = minixfmr.to_numpy(self.model.attention_weights(saved)["cross"][-1])[0].mean(0)
        return self.tokens(translation.source_ids), self.tokens(translation.ids), weights

    def steps(self, translation, alternatives=4):
        """For each token of a translation (token, its probability, [(other token, probability), ...])."""
        logits, _ = self._read_back(translation)
        z = minixfmr.to_numpy(logits)[0]
        p = np.exp(z - z.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        for token, row in zip(translation.ids, p, strict=True):
            others = [int(i) for i in np.argsort(-row)[: alternatives + 1] if i != token][:alternatives]
            yield self.tokens([token])[0], row[token], [(self.tokens([i])[0], row[i]) for i in others]

    def tokens(self, ids):
        return [self.tokenizer.id_to_token(i) for i in ids]

    def _read_back(self, translation):
        """(logits (1, T, V), saved): the translation once more, all its positions at once."""
        read = [[START, *translation.ids[:-1]]]
        return self.model.forward(np.array([translation.source_ids]), np.array(read))


def translate(model, tokenizer, sentences, num_beams=1):
    """The translations of the sentences."""
    return Translator(model, tokenizer).translate(sentences, num_beams)


def cross_attention(model, tokenizer, source, output):
    """(source tokens, target tokens, weights (target, source)) of a given translation, see Translator."""
    limit = model.config.max_position_embeddings
    source_ids, ids = ([*tokenizer.encode(text).ids[: limit - 1], END] for text in (source, output))
    return Translator(model, tokenizer).cross_attention(Translation(output, source_ids, ids, 0, False))
