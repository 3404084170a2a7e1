"""Greedy decoding."""

import numpy as np


def greedy_decode(next_logits, start_id, eos_id, max_new_tokens):
    ids = [start_id]
    for _ in range(max_new_tokens):
        logits = next_logits(np.array(ids))  # (V,)
        token = int(np.argmax(logits))
        ids.append(token)
        if token == eos_id:
            break
    return ids
