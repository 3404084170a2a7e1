"""The paper's attention, or for long sequences the same by blocks: what the heads of every layer call."""

from ...checks.arrays import check_mask
from ..attention import attention, attention_backward
from .long_attention import long_attention, long_attention_backward, long_attention_weights

LONG = 512  # number of keys above which block-wise attention is faster


def attend(query, key, value, mask=None, p=0.0, rng=None, bias=None, scale=None):
    """attention, or for long sequences long_attention, where there is neither dropout nor bias."""
    mask = check_mask(mask, (*query.shape[:3], key.shape[2]))
    is_long = key.shape[2] >= LONG and query.shape[2] > 1 and bias is None and (rng is None or p == 0)
    if is_long:
        y, saved = long_attention(query, key, value, mask, scale)
    else:
        y, saved = attention(query, key, value, mask, p, rng, bias, scale)
    return y, (is_long, saved)


def attend_backward(dy, saved):
    """dL/dquery, dL/dkey, dL/dvalue, dL/dbias (None where there was none) for attend.
    Derived in tutorials/11_every_gradient_derived, chapter 10."""
    is_long, saved = saved
    return (*long_attention_backward(dy, saved), None) if is_long else attention_backward(dy, saved)


def attend_weights(saved):
    """The softmax weights (B, H, Tq, Tk), before dropout."""
    is_long, saved = saved
    if is_long:
        return long_attention_weights(saved)
    _, _, _, W, *_ = saved
    return W
