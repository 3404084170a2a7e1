"""Sentence pairs to translate, and their subword vocabulary."""

import hashlib
import random
import re
from dataclasses import dataclass

from num2words import num2words
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from translation import DataError
from translation.files import normalise
from translation.folder import read_vocabulary
from translation.pairs import read_pairs, read_parallel

__all__ = ["END", "PAD", "SPECIAL", "START", "UNKNOWN", "Corpus", "DataError", "in_words", "load_tokenizer"]
__all__ += ["number_corpus", "read_pairs", "read_parallel", "split", "train_tokenizer"]

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
ENDLESS = re.compile(r"\S{1000}")  # learning takes time by the square of the longest word: such are cut
NUMBERS = range(1000, 1_000_000)  # beside those below, which are all trained on


@dataclass
class Corpus:
    """Lists of (source sentence, target sentence)."""

    train: list
    valid: list
    test: list

    def fingerprint(self):
        """A hash of every sentence: whether a resumed run still has the data that it began with."""
        return hashlib.sha256(repr((self.train, self.valid, self.test)).encode()).hexdigest()[:16]


def number_corpus(source_lang, target_lang, train_size, valid_size=500, test_size=2000, seed=0):
    """Numbers in words. Training has every number below 1,000 and `train_size` random ones from 1,000 to 999,999;
    validation and test are other random ones of that range, so no test number was ever seen."""
    most = len(NUMBERS) - valid_size - test_size
    if train_size > most:
        raise DataError(f"there are only {most:,} numbers to train on (--numbers), got {train_size:,}")
    drawn = random.Random(seed).sample(NUMBERS, train_size + valid_size + test_size)
    train = [*range(1000), *drawn[:train_size]]
    valid = drawn[train_size : train_size + valid_size]
    test = drawn[train_size + valid_size :]

    def pair(n):
        # odd numbers are read as in Britain, so that the model knows both ways; it writes only one
        return in_words(n, source_lang, british=n % 2 == 1), in_words(n, target_lang)

    return Corpus(*([pair(n) for n in part] for part in (train, valid, test)))


def in_words(number, lang, british=False):
    """342 → "three hundred forty-two": English as in America, or as in Britain with its "and" and commas."""
    try:
        words = num2words(number, lang=lang)
    except NotImplementedError:
        raise DataError(f"num2words knows no language {lang!r}: try en, de, fr, es, it, ru ...") from None
    except Exception as error:  # it lists languages whose numbers it cannot write
        raise DataError(f"num2words cannot write {number} in {lang!r} ({error!r}): try en, de, fr, es ...") from error
    return normalise(words if british or lang != "en" else words.replace(" and ", " ").replace(",", ""))


def split(pairs, seed=0, valid=None, test=None):
    """A Corpus of the pairs, of which a twentieth, at most 1,000, is held out for validation and as many for test,
    unless other pairs are given for them. Pairs with the same source stay together, so that no test sentence was seen
    in training."""
    if valid and test:
        return Corpus(pairs, valid, test)
    groups: dict[str, list] = {}
    for pair in pairs:
        groups.setdefault(pair[0], []).append(pair)
    held_out = min(1000, len(groups) // 20)
    if held_out < 1:
        raise DataError(
            f"{len(groups)} different source sentences are too few to hold some out: give at least 20, or files of "
            "their own to validate and to test (--valid-pairs, --test-pairs)"
        )
    keys = sorted(groups)
    random.Random(seed).shuffle(keys)
    for_valid, for_test, rest = keys[:held_out], keys[held_out : 2 * held_out], keys[2 * held_out :]
    train = rest + (for_valid if valid else []) + (for_test if test else [])
    drawn = [[pair for key in part for pair in groups[key]] for part in (train, for_valid, for_test)]
    return Corpus(drawn[0], valid or drawn[1], test or drawn[2])


def train_tokenizer(pairs, vocab_size):
    """Subwords of both sides in one vocabulary, byte-pair encoding (Sennrich et al. 2016), learned from these pairs."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    written = {character for pair in pairs for sentence in pair for character in sentence}
    # marks the start of a word, so that decoding puts every space back; the text must not have it
    space = next(mark for mark in ["▁", *map(chr, range(0xE000, 0xF900))] if mark not in written)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(space), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(space)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, show_progress=False)
    sentences = (ENDLESS.sub(r"\g<0> ", sentence) for pair in pairs for sentence in pair)
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.encode_special_tokens = True  # "<s>" in a text is three characters like any other
    return tokenizer


def load_tokenizer(path):
    """The vocabulary of a run. Raises DataError or CheckpointError."""
    data = read_vocabulary(path)
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing more specific
        raise DataError(f"cannot read the vocabulary {path}: {error}") from error
    tokenizer.encode_special_tokens = True
    return tokenizer
