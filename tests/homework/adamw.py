"""One step of AdamW."""

import numpy as np


def adamw_step(parameter, grad, m, v, step, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    beta1, beta2 = betas
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    decayed = parameter - lr * weight_decay * parameter
    parameter = decayed - lr * m_hat / (np.sqrt(v_hat) + eps)
    return parameter, m, v
