"""Training objectives: from token ids to what a model reads and what it must predict.

-100 marks labels that do not count. The objectives of BERT, T5, BART and PEGASUS are in variants/objectives.py.
"""

from ..backend import to_numpy
from ..checks.arrays import lengths
from ..checks.objectives import matrix
from ..checks.values import count

IGNORED = -100


def next_token(ids, prompt_lengths=None):
    """Causal language modelling: predict each token from those before it.

    ids: (B, T) array    prompt_lengths: (B,), tokens at the start that are only read; None: none
    → {"input_ids": (B, T - 1), "labels": (B, T - 1)}: labels[t] is the token after input_ids[t]
    """
    ids = matrix("ids", ids, 2)
    inputs, labels = ids[:, :-1], ids[:, 1:].copy()
    if prompt_lengths is not None:
        told = lengths("prompt_lengths", prompt_lengths, *ids.shape)
        read = to_numpy([[t + 1 < n for t in range(labels.shape[1])] for n in to_numpy(told).tolist()])
        labels[read] = IGNORED
    return {"input_ids": inputs, "labels": labels}


def shift_right(labels, start, pad):
    """Teacher forcing: what a decoder reads to predict the labels.  [a, b, c] → [start, a, b]; -100 becomes pad.

    labels: (B, T) array → (B, T)
    """
    start, pad = count("start", start, 0), count("pad", pad, 0)
    rows = matrix("labels", labels, ignored=IGNORED).tolist()
    return to_numpy([[start, *(pad if t == IGNORED else t for t in row[:-1])] for row in rows])
