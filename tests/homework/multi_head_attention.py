"""Multi-head self-attention, with the attention of attention.py inside each head."""

from attention import attention_backward, attention_forward


def split_heads(x, num_heads):
    B, T, d = x.shape
    return x.reshape(B, T, num_heads, d // num_heads).transpose(0, 2, 1, 3)  # (B, H, T, dh)


def merge_heads(x):
    B, H, T, d_head = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * d_head)


def rows(x):
    return x.reshape(-1, x.shape[-1])  # (B·T, d)


def multi_head_attention_forward(x, w_q, w_k, w_v, w_o, num_heads, mask):
    q = split_heads(x @ w_q, num_heads)
    k = split_heads(x @ w_k, num_heads)
    v = split_heads(x @ w_v, num_heads)
    heads, attention_cache = attention_forward(q, k, v, mask)
    merged = merge_heads(heads)  # (B, T, d)
    y = merged @ w_o
    cache = (x, w_q, w_k, w_v, w_o, num_heads, merged, attention_cache)
    return y, cache


def multi_head_attention_backward(dout, cache):
    x, w_q, w_k, w_v, w_o, num_heads, merged, attention_cache = cache

    dw_o = rows(merged).T @ rows(dout)
    dmerged = dout @ w_o.T
    dheads = split_heads(dmerged, num_heads)  # (B, H, T, dh)
    dq, dk, dv = attention_backward(dheads, attention_cache)

    dq = merge_heads(dq)  # (B, T, d)
    dk = merge_heads(dk)
    dv = merge_heads(dv)

    dw_q = rows(x).T @ rows(dq)
    dw_k = rows(x).T @ rows(dk)
    dw_v = rows(x).T @ rows(dv)
    dx = dq @ w_q.T
    dx = dx + dk @ w_k.T
    dx = dx + dv @ w_v.T
    return dx, dw_q, dw_k, dw_v, dw_o
