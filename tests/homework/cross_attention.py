"""Cross-attention: queries from x, keys and values from memory. Written out in full."""

import numpy as np


def split_heads(x, num_heads):
    B, T, d = x.shape
    return x.reshape(B, T, num_heads, d // num_heads).transpose(0, 2, 1, 3)  # (B, H, T, dh)


def merge_heads(x):
    B, H, T, d_head = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * d_head)


def cross_attention_forward(x, memory, w_q, w_k, w_v, w_o, num_heads, memory_mask):
    q = split_heads(x @ w_q, num_heads)  # (B, H, T, dh)
    k = split_heads(memory @ w_k, num_heads)  # (B, H, S, dh)
    v = split_heads(memory @ w_v, num_heads)

    scale = 1 / np.sqrt(q.shape[-1])
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * scale
    if memory_mask is not None:
        scores = np.where(memory_mask[:, None, None, :], scores, -1e30)
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    weights = e / np.sum(e, axis=-1, keepdims=True)

    heads = np.einsum("bhts,bhsd->bhtd", weights, v)
    merged = merge_heads(heads)  # (B, T, d)
    y = merged @ w_o
    cache = (x, memory, w_q, w_k, w_v, w_o, num_heads, q, k, v, scale, weights, merged)
    return y, cache


def cross_attention_backward(dout, cache):
    x, memory, w_q, w_k, w_v, w_o, num_heads, q, k, v, scale, weights, merged = cache

    dw_o = np.einsum("bti,btj->ij", merged, dout)
    dheads = split_heads(dout @ w_o.T, num_heads)

    dv = np.einsum("bhts,bhtd->bhsd", weights, dheads)
    dweights = np.einsum("bhtd,bhsd->bhts", dheads, v)
    dscores = weights * (dweights - np.sum(dweights * weights, axis=-1, keepdims=True))
    dq = np.einsum("bhts,bhsd->bhtd", dscores, k) * scale
    dk = np.einsum("bhts,bhtd->bhsd", dscores, q) * scale

    dq = merge_heads(dq)  # (B, T, d)
    dk = merge_heads(dk)  # (B, S, d)
    dv = merge_heads(dv)

    dw_q = np.einsum("bti,btj->ij", x, dq)
    dw_k = np.einsum("bsi,bsj->ij", memory, dk)
    dw_v = np.einsum("bsi,bsj->ij", memory, dv)
    dx = dq @ w_q.T
    dmemory = dk @ w_k.T + dv @ w_v.T
    return dx, dmemory, dw_q, dw_k, dw_v, dw_o
