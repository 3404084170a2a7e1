"""One step of AdamW: a step of about the same length for every parameter, whatever the scale of its gradient.

    m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²              running means of g and g²
    m̂ = m / (1 - β₁ᵗ),   v̂ = v / (1 - β₂ᵗ)                        both started at 0: undo that
    p ← p - lr · weight_decay · p - lr · m̂ / (√v̂ + eps)          (Loshchilov & Hutter 2019, algorithm 2)

    parameter p, grad g, m, v: arrays of one shape    step t: 1, 2, 3, ...

The decay is decoupled: it acts on p itself and never enters g, m or v. (With plain Adam it would be divided by √v̂ like
the rest.) The paper scales it by a schedule, here it is scaled by lr, as in PyTorch. A wrong constant here goes
unnoticed for long: the loss still falls, only more slowly. Give back new arrays and leave those you got unchanged.
"""

import numpy as np


def adamw_step(parameter, grad, m, v, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """One update; betas is (β₁, β₂), step is t and counts from 1 → the new parameter, m, v"""
    raise NotImplementedError
