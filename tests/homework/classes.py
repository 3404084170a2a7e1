"""Layers as classes that remember their last call, with dictionaries of parameters and gradients."""

import numpy as np


class Layer:
    def __init__(self):
        self.params = {}
        self.grads = {}

    def zero_grad(self):
        for name, value in self.params.items():
            self.grads[name] = np.zeros_like(value)


class Linear(Layer):
    def __init__(self, d_in, d_out, rng):
        super().__init__()
        self.params["weight"] = rng.standard_normal((d_in, d_out)) / np.sqrt(d_in)
        self.params["bias"] = np.zeros(d_out)
        self.zero_grad()

    def forward(self, x):
        self.x = x
        return x @ self.params["weight"] + self.params["bias"]

    def backward(self, dout):
        rows = self.x.reshape(-1, self.x.shape[-1])  # (N, d_in)
        drows = dout.reshape(-1, dout.shape[-1])  # (N, d_out)
        self.grads["weight"] += rows.T @ drows
        self.grads["bias"] += drows.sum(axis=0)
        return dout @ self.params["weight"].T


class LayerNorm(Layer):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.params["gamma"] = np.ones(d)
        self.params["beta"] = np.zeros(d)
        self.eps = eps
        self.zero_grad()

    def forward(self, x):
        mu = x.mean(axis=-1, keepdims=True)
        self.inv_std = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)  # (..., 1)
        self.x_hat = (x - mu) * self.inv_std
        return self.params["gamma"] * self.x_hat + self.params["beta"]

    def backward(self, dout):
        d = dout.shape[-1]
        self.grads["gamma"] += (dout * self.x_hat).reshape(-1, d).sum(axis=0)
        self.grads["beta"] += dout.reshape(-1, d).sum(axis=0)
        dx_hat = dout * self.params["gamma"]
        sum1 = dx_hat.sum(axis=-1, keepdims=True)
        sum2 = (dx_hat * self.x_hat).sum(axis=-1, keepdims=True)
        return self.inv_std / d * (d * dx_hat - sum1 - self.x_hat * sum2)


class Embedding(Layer):
    def __init__(self, vocab_size, d, rng):
        super().__init__()
        self.params["table"] = rng.standard_normal((vocab_size, d))
        self.zero_grad()

    def forward(self, ids):
        self.ids = ids
        return self.params["table"][ids]  # (B, T, d)

    def backward(self, dout):
        np.add.at(self.grads["table"], self.ids, dout)


class Dropout(Layer):
    def __init__(self, p, seed):
        super().__init__()
        self.p = p
        self.rng = np.random.default_rng(seed)
        self.training = True

    def forward(self, x):
        if not self.training:
            return x
        self.mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask if self.training else dout


class Sublayers(Layer):
    """Two linear sublayers with dropout in residual branches: x + drop(x W + b), twice."""

    def __init__(self, d, p, rng):
        super().__init__()
        self.params["w1"] = rng.standard_normal((d, d)) / np.sqrt(d)
        self.params["w2"] = rng.standard_normal((d, d)) / np.sqrt(d)
        self.drop1 = Dropout(p, 1)
        self.drop2 = Dropout(p, 2)
        self.zero_grad()

    def forward(self, x):
        self.x = x
        self.h = x + self.drop1.forward(x @ self.params["w1"])  # (B, T, d)
        return self.h + self.drop2.forward(self.h @ self.params["w2"])

    def backward(self, dout):
        d = dout.shape[-1]
        dbranch2 = self.drop2.backward(dout)
        self.grads["w2"] += self.h.reshape(-1, d).T @ dbranch2.reshape(-1, d)
        dh = dout + dbranch2 @ self.params["w2"].T
        dbranch1 = self.drop1.backward(dh)
        self.grads["w1"] += self.x.reshape(-1, d).T @ dbranch1.reshape(-1, d)
        return dh + dbranch1 @ self.params["w1"].T


class TiedHead(Layer):
    """Embedding, tanh, and logits from the same table: both uses add to one gradient."""

    def __init__(self, vocab_size, d, rng):
        super().__init__()
        self.params["table"] = rng.standard_normal((vocab_size, d))
        self.zero_grad()

    def forward(self, ids):
        self.ids = ids
        self.h = np.tanh(self.params["table"][ids])  # (B, T, d)
        return self.h @ self.params["table"].T  # (B, T, V)

    def backward(self, dout):
        V, d = self.params["table"].shape
        self.grads["table"] += dout.reshape(-1, V).T @ self.h.reshape(-1, d)
        dh = dout @ self.params["table"]
        demb = dh * (1 - self.h**2)
        np.add.at(self.grads["table"], self.ids, demb)
