"""A small language pair that needs no download: numbers below 1,000 in words, English and German.

English says forty two, German two and forty; a word or part of a word is a token.
"""

import numpy

PAD, START, END = 0, 1, 2
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
ZEHNER = "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"
ONES = f"one two three four five six seven eight nine {TEENS}".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
EINS = f"ein zwei drei vier fünf sechs sieben acht neun {ZEHNER}".split()
ZIGS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()  # noqa: SIM905
WORDS = ["<pad>", "<s>", "</s>", *ONES, *TENS, "hundred", *EINS, "eins", *ZIGS, "und", "hundert"]
LENGTH = 8  # tokens of the longest sentence, with start or end


def english(n: int) -> list[str]:
    """342 → three hundred forty two"""
    hundreds, rest = divmod(n, 100)
    words = [ONES[hundreds - 1], "hundred"] if hundreds else []
    if 0 < rest < 20:
        return [*words, ONES[rest - 1]]
    tens, ones = divmod(rest, 10)
    return [*words, *([TENS[tens - 2]] if tens else []), *([ONES[ones - 1]] if ones else [])]


def german(n: int) -> list[str]:
    """342 → drei hundert zwei und vierzig"""
    hundreds, rest = divmod(n, 100)
    words = [EINS[hundreds - 1], "hundert"] if hundreds else []
    if rest == 1:
        return [*words, "eins"]
    if 0 < rest < 20:
        return [*words, EINS[rest - 1]]
    tens, ones = divmod(rest, 10)
    return [*words, *([EINS[ones - 1], "und"] if ones and tens else []), *([ZIGS[tens - 2]] if tens else [])]


def ids_of(words: list[str]) -> list[int]:
    """The tokens of the words."""
    return [WORDS.index(word) for word in words]


def batch(numbers: list[int]) -> dict[str, numpy.ndarray]:
    """What a model is given for these numbers, with labels. All of shape (B, LENGTH), padded."""
    sources = [[*ids_of(english(n)), END] for n in numbers]
    targets = [ids_of(german(n)) for n in numbers]
    source, given, labels = (numpy.zeros((len(numbers), LENGTH), int) for _ in range(3))
    for i, (s, t) in enumerate(zip(sources, targets, strict=True)):
        source[i, : len(s)], given[i, : len(t) + 1], labels[i, : len(t) + 1] = s, [START, *t], [*t, END]
    return {"input_ids": source, "decoder_input_ids": given, "labels": numpy.where(labels == PAD, -100, labels)}
