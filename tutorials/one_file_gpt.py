"""A GPT in one file: NumPy alone, every gradient by hand.

It reads words letter by letter, learns which letter comes next, and invents words of its own, in about a second. Each
backward is its forward read upwards, with dy for dL/dy. T letters, d width, H heads, h = d/H, V different letters.
"""

import unicodedata

import numpy as np

D, HEADS, LONGEST, STEPS = 16, 4, 16, 1000
EMOJI = " ".join(unicodedata.name(chr(c), "") for c in range(0x1F300, 0x1FB00)).lower()  # Python has their names
WORDS = sorted({word for word in EMOJI.split() if word.isalpha() and 3 < len(word) < LONGEST})
LETTERS = "." + "".join(sorted(set("".join(WORDS))))  # a dot begins and ends each word
rng = np.random.default_rng(0)


class Parameter:  # a matrix to be learned, the gradient dL of the loss in it, and Adam's averages of it and its square
    def __init__(self, n, m):
        self.data, self.grad, self.m, self.v = rng.normal(0, 0.08, (n, m)), *np.zeros((3, n, m))


def linear(x, W):  # (T, n), (n, m) → (T, m)
    return x @ W.data, (x, W)


def linear_backward(dy, saved):
    x, W = saved
    W.grad += x.T @ dy
    return dy @ W.data.T


def rms_norm(x):  # (T, d) → (T, d): each row with mean square 1
    r = ((x * x).mean(-1, keepdims=True) + 1e-6) ** -0.5  # (T, 1)
    n = x * r
    return n, (n, r)


def rms_norm_backward(dn, saved):
    n, r = saved
    return r * (dn - n * (dn * n).mean(-1, keepdims=True))


def softmax(x):  # (..., n) → (..., n): each row positive, with sum 1
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def split(x):  # (T, d) → (H, T, h)
    return x.reshape(len(x), HEADS, -1).swapaxes(0, 1)


def merge(x):  # (H, T, h) → (T, d)
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def attention(x, w):  # (T, d) → (T, d): x, and what each letter gathers from those before it
    n, saved_n = rms_norm(x)
    q, saved_q = linear(n, w["query"])
    k, saved_k = linear(n, w["key"])
    v, saved_v = linear(n, w["value"])
    Q, K, V = split(q) / np.sqrt(D / HEADS), split(k), split(v)  # (H, T, h)
    S = Q @ K.swapaxes(1, 2)  # (H, T, T)
    W = softmax(np.where(np.tri(len(x)), S, -np.inf))  # no letter sees a later one
    y, saved_y = linear(merge(W @ V), w["output"])
    return x + y, (saved_n, saved_q, saved_k, saved_v, Q, K, V, W, saved_y)


def attention_backward(dy, saved):
    saved_n, saved_q, saved_k, saved_v, Q, K, V, W, saved_y = saved
    dheads = split(linear_backward(dy, saved_y))  # (H, T, h)
    dW, dV = dheads @ V.swapaxes(1, 2), W.swapaxes(1, 2) @ dheads
    dS = W * (dW - (dW * W).sum(-1, keepdims=True))  # 0 where a letter was hidden
    dQ, dK = dS @ K, dS.swapaxes(1, 2) @ Q
    dn = linear_backward(merge(dV), saved_v)
    dn += linear_backward(merge(dK), saved_k)
    dn += linear_backward(merge(dQ) / np.sqrt(D / HEADS), saved_q)
    return dy + rms_norm_backward(dn, saved_n)


def feed_forward(x, w):  # (T, d) → (T, d): x, and what each letter makes of it by itself
    n, saved_n = rms_norm(x)
    h, saved_h = linear(n, w["hidden"])  # (T, 4d)
    y, saved_y = linear(np.maximum(h, 0), w["result"])
    return x + y, (saved_n, h, saved_h, saved_y)


def feed_forward_backward(dy, saved):
    saved_n, h, saved_h, saved_y = saved
    dh = linear_backward(dy, saved_y) * (h > 0)
    return dy + rms_norm_backward(linear_backward(dh, saved_h), saved_n)


def gpt(ids, w):  # (T,) → (T, V): after each letter, a score for every letter that may follow
    x = w["letters"].data[ids] + w["positions"].data[: len(ids)]  # (T, d)
    x, saved_a = attention(x, w)  # a deeper one has more of these two lines, each with matrices of its own
    x, saved_f = feed_forward(x, w)
    n, saved_n = rms_norm(x)
    scores, saved_s = linear(n, w["scores"])
    return scores, (ids, w, saved_a, saved_f, saved_n, saved_s)


def gpt_backward(dscores, saved):
    ids, w, saved_a, saved_f, saved_n, saved_s = saved
    dx = rms_norm_backward(linear_backward(dscores, saved_s), saved_n)
    dx = feed_forward_backward(dx, saved_f)
    dx = attention_backward(dx, saved_a)
    w["positions"].grad[: len(ids)] += dx
    np.add.at(w["letters"].grad, ids, dx)  # a letter that stands twice collects twice


def cross_entropy(scores, labels):  # (T, V), (T,) → L, the mean of -log p[label], and dL/dscores
    p, label = softmax(scores), np.eye(scores.shape[1])[labels]  # (T, V)
    return -np.log((p * label).sum(-1)).mean(), (p - label) / len(labels)


def adam(parameters, t, lr, beta1=0.85, beta2=0.99, eps=1e-8):
    for p in parameters:
        p.m += (1 - beta1) * (p.grad - p.m)
        p.v += (1 - beta2) * (p.grad**2 - p.v)
        m_hat, v_hat = p.m / (1 - beta1**t), p.v / (1 - beta2**t)
        p.data -= lr * m_hat / (np.sqrt(v_hat) + eps)
        p.grad[...] = 0


def new_gpt():
    shapes = {"letters": (len(LETTERS), D), "positions": (LONGEST, D), "scores": (D, len(LETTERS))}
    shapes |= dict.fromkeys(["query", "key", "value", "output"], (D, D)) | {"hidden": (D, 4 * D), "result": (4 * D, D)}
    return {name: Parameter(*shape) for name, shape in shapes.items()}


def invent(w, temperature=0.5):
    word = "."
    while len(word) < LONGEST and word.count(".") < 2:
        scores, _ = gpt([LETTERS.index(letter) for letter in word], w)
        word += rng.choice(list(LETTERS), p=softmax(scores[-1] / temperature))
    return word.strip(".")


if __name__ == "__main__":
    w, losses = new_gpt(), []
    for t in range(1, STEPS + 1):
        ids = [LETTERS.index(letter) for letter in f".{rng.choice(WORDS)}."]
        scores, saved = gpt(ids[:-1], w)
        loss, dscores = cross_entropy(scores, ids[1:])
        gpt_backward(dscores, saved)
        adam(w.values(), t, lr=0.01 * (1 - t / STEPS))
        losses.append(loss)
    print(f"loss {losses[0]:.2f} at first, {np.mean(losses[-200:]):.2f} at last")
    print(*(invent(w) for _ in range(20)))
