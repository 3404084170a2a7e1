"""Sentence pairs to translate, and their subword vocabulary."""

import gzip
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

from num2words import num2words
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


class DataError(ValueError):
    """The data cannot be used; the message names the file and line, and what to do."""


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
    drawn = random.Random(seed).sample(range(1000, 1_000_000), train_size + valid_size + test_size)
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
    return words if british or lang != "en" else words.replace(" and ", " ").replace(",", "")


def read_pairs(path):
    """The pairs of a file with a source, a tab and a target on each line; further columns are ignored."""
    pairs = []
    for number, line in _lines(path):
        columns = line.split("\t")
        if len(columns) < 2 or not columns[0].strip() or not columns[1].strip():
            raise DataError(f"{path}, line {number}: expected source TAB target, got {line[:60]!r}")
        pairs.append((columns[0].strip(), columns[1].strip()))
    return pairs


def read_parallel(source, target):
    """The pairs of two files, plain or .gz, where equal line numbers belong together."""
    sources, targets = ([line.strip() for _, line in _lines(path)] for path in (source, target))
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines, {target} has {len(targets)}: line n of one must translate line n of "
            "the other"
        )
    pairs = [pair for pair in zip(sources, targets, strict=True) if all(pair)]  # an empty line has no translation
    if not pairs:
        raise DataError(f"{source} and {target} hold no pair of lines that are both filled")
    return pairs


def split(pairs, seed=0):
    """Hold out a twentieth of the pairs, at most 1,000, for validation and as many for test. Pairs with the same source
    stay together, so that no test sentence was seen in training."""
    groups: dict[str, list] = {}
    for pair in pairs:
        groups.setdefault(pair[0], []).append(pair)
    held_out = min(1000, len(groups) // 20)
    if held_out < 1:
        raise DataError(f"{len(groups)} different source sentences are too few to train on: give at least 20")
    keys = sorted(groups)
    random.Random(seed).shuffle(keys)
    parts = keys[2 * held_out :], keys[:held_out], keys[held_out : 2 * held_out]
    return Corpus(*([pair for key in part for pair in groups[key]] for part in parts))


def _lines(path):
    """(number, line) of a UTF-8 text file, plain or .gz. Raises DataError unless it can be read and is not empty."""
    if not Path(path).is_file():
        raise DataError(f"there is no file {path}")
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8-sig") as file:
            lines = [(number, line.rstrip("\n")) for number, line in enumerate(file, 1)]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 ({error.reason} near byte {error.start}): convert it, for example with iconv -t UTF-8"
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    while lines and not lines[-1][1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"{path} is empty")
    return lines


def train_tokenizer(pairs, vocab_size):
    """Subwords of both sides in one vocabulary, byte-pair encoding (Sennrich et al. 2016), learned from these pairs."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")])
    space = "▁"  # marks the start of a word, so that decoding puts every space back
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(space), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.decoder = decoders.Metaspace(space)
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator((sentence for pair in pairs for sentence in pair), trainer)
    return tokenizer
