"""Greedy decoding: let a model write, each time the token it finds likeliest.

    ids = [start]
    repeat:   next = argmaxᵥ logits(ids)[v],   append it to ids
    until     next is the end token, or max_new_tokens tokens were written

next_logits stands for the model: given the ids so far, an integer array (T,), it returns the logits (V,) of the token
that follows. Among equal logits the lowest id wins.

The end token stays in the result. Some systems use the same id for start and end (BART does): the start must not stop
the loop. And max_new_tokens counts what was written, so the start is not among them; it may be 0.
"""

import numpy as np


def greedy_decode(next_logits, start_id, eos_id, max_new_tokens):
    """→ the ids as a list of ints, the start included"""
    raise NotImplementedError
