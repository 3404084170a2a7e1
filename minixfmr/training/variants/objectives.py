"""The objectives of BERT, T5, BART and PEGASUS: from plain token ids to what a model reads and must predict.

Pure functions of lists of ids and a seeded numpy.random.Generator; -100 marks labels that do not count. Drawn anew in
every epoch, the masks are dynamic, as in RoBERTa; drawn once, static, as in BERT.
"""

from collections import Counter
from itertools import pairwise

from ...checks import objectives as check
from ...models import prefix_mask
from ..objectives import IGNORED, next_token


def prefix_lm(ids, prefix_lengths):
    """Prefix language modelling (Raffel et al. 2020, section 3.2.1): the prefix is read both ways, then predict on.

    → what next_token gives, and "mask": (B, 1, T - 1, T - 1), for DecoderOnly.forward
    """
    batch = next_token(ids, prefix_lengths)
    return batch | {"mask": prefix_mask(batch["labels"].shape[1], prefix_lengths)}


def masked_lm(ids, rng, mask_token, vocab_size, special=(), rate=0.15, words=None):
    """BERT's masked language modelling (Devlin et al. 2019, section 3.1).

    Of the tokens chosen, 80 % become mask_token, 10 % a random token, 10 % stay; all of them are to be predicted.
    ids: a list    special: ids never chosen, nor put in    rate: share of the others that is chosen
    words: for whole-word masking, the number of the word that each token belongs to: words are chosen, not tokens
    → (inputs, labels), lists of the same length
    """
    ids, mask_token, vocab_size, special, rate = check.masked_lm(ids, rng, mask_token, vocab_size, special, rate, words)
    special = set(special)
    candidates: dict[int, list[int]] = {}
    for t, token in enumerate(ids):
        if token not in special:
            candidates.setdefault(t if words is None else words[t], []).append(t)
    inputs, labels = list(ids), [IGNORED] * len(ids)
    ordinary = [token for token in range(vocab_size) if token not in special and token != mask_token]
    wanted = round(rate * sum(map(len, candidates.values()))) or min(1, len(candidates))
    for word in rng.permutation(sorted(candidates)).tolist():
        if wanted <= 0:
            break
        wanted -= len(candidates[word])
        for t in candidates[word]:
            labels[t], u = ids[t], rng.random()
            if u < 0.8:
                inputs[t] = mask_token
            elif u < 0.9:
                inputs[t] = ordinary[rng.integers(len(ordinary))]
    return inputs, labels


def span_corruption(ids, rng, sentinels, rate=0.15, mean_length=3.0):
    """T5's objective (Raffel et al. 2020, section 3.1.4): spans are cut out, each leaves a sentinel behind.

    ids [a b c d e f], spans [b c] and [f] → inputs [a S₀ d e S₁], targets [S₀ b c S₁ f S₂]
    sentinels: the special tokens S₀, S₁, ...    rate: share of the tokens cut out    mean_length: of the spans
    → (inputs, targets)
    """
    ids = check.spans("ids", ids, rng, rate, mean_length, least=2)
    sentinels = check.tokens("sentinels", sentinels, least=2)
    noise = min(max(round(rate * len(ids)), 1), len(ids) - 1)
    spans = min(max(round(noise / mean_length), 1), noise, len(ids) - noise, len(sentinels) - 1)
    kept, cut = _segments(len(ids) - noise, spans, rng), _segments(noise, spans, rng)
    inputs, targets, t = [], [], 0
    for sentinel, k, c in zip(sentinels, kept, cut, strict=False):
        inputs += [*ids[t : t + k], sentinel]
        targets += [sentinel, *ids[t + k : t + k + c]]
        t += k + c
    return inputs, [*targets, sentinels[spans]]


def _segments(n, parts, rng):
    """n split at random into so many parts of at least 1."""
    cuts = [0, *sorted(rng.choice(n - 1, parts - 1, replace=False) + 1), n]
    return [int(b - a) for a, b in pairwise(cuts)]


def text_infilling(ids, rng, mask_token, rate=0.3, mean_length=3.0):
    """BART's text infilling (Lewis et al. 2020, section 2.2): spans of Poisson length become one mask each, and a span
    of length 0 puts a mask between two tokens. → inputs; the target is the original."""
    ids = check.spans("ids", ids, rng, rate, mean_length)
    mask_token = check.token("mask_token", mask_token)
    lengths, left = [], round(rate * len(ids))
    while left > 0:
        lengths.append(min(int(rng.poisson(mean_length)), left))
        left -= lengths[-1]
    slots = len(ids) - sum(lengths) + len(lengths)  # kept tokens and spans, in some order
    spans = iter(lengths)
    is_span = set(rng.choice(slots, len(lengths), replace=False).tolist())
    inputs, t = [], 0
    for slot in range(slots):
        if slot in is_span:
            inputs.append(mask_token)
            t += next(spans)
        else:
            inputs.append(ids[t])
            t += 1
    return inputs


def token_deletion(ids, rng, rate=0.3):
    """BART's token deletion: each token is left out with probability rate. → inputs; the target is the original."""
    ids = check.spans("ids", ids, rng, rate)
    return [token for token, u in zip(ids, rng.random(len(ids)), strict=True) if u >= rate]


def sentence_permutation(sentences, rng):
    """BART's sentence permutation: a list of sentences (lists of ids) in a random order, joined. → inputs; the target
    is the original."""
    check.draws(rng)
    sentences = check.sentences(sentences)
    return [token for i in rng.permutation(len(sentences)) for token in sentences[i]]


def rouge_1(candidate, reference):
    """ROUGE-1 F1 (Lin 2004) of two lists of ids: 2 · overlap / (length + length), counted with repetition."""
    overlap = sum((Counter(candidate) & Counter(reference)).values())
    return 2 * overlap / max(len(candidate) + len(reference), 1)


def gap_sentences(sentences, mask_token, rate=0.3):
    """PEGASUS' objective (Zhang et al. 2020, section 3.1, "Ind-Orig"): write the sentences that say most of the rest.

    sentences: lists of ids    rate: share of the sentences that become mask_token, those of highest ROUGE-1 to the rest
    → (inputs, targets)
    """
    sentences, mask_token = check.sentences(sentences, rate), check.token("mask_token", mask_token)
    scores = [
        rouge_1(sentence, [token for j, other in enumerate(sentences) if j != i for token in other])
        for i, sentence in enumerate(sentences)
    ]
    count = max(1, round(rate * len(sentences)))
    chosen = set(sorted(range(len(sentences)), key=lambda i: -scores[i])[:count])
    inputs = [t for i, s in enumerate(sentences) for t in ([mask_token] if i in chosen else s)]
    return inputs, [t for i, s in enumerate(sentences) if i in chosen for t in s]
