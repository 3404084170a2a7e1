"""The Transformer once more, written from the papers, one vector at a time: slow, and nothing of the package in it."""

import math

import numpy


def activation(name, x):
    if name == "relu":
        return numpy.where(x > 0, x, 0.0)
    if name == "gelu":
        return numpy.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    if name == "silu":
        return x / (1 + numpy.exp(-x))
    if name == "gelu_tanh":
        return 0.5 * x * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return numpy.tanh(x)


def softmax(scores, allowed):
    """Weights of the allowed scores; all 0 where none is."""
    if not any(allowed):
        return numpy.zeros(len(scores))
    top = max(s for s, a in zip(scores, allowed, strict=True) if a)
    e = numpy.array([math.exp(s - top) if a else 0.0 for s, a in zip(scores, allowed, strict=True)])
    return e / e.sum()


def sinusoid(t, d):
    row = numpy.empty(d)
    for i in range(d):
        angle = t / 10000 ** (2 * (i // 2) / d)
        row[i] = math.sin(angle) if i % 2 == 0 else math.cos(angle)
    return row


class Reference:
    """c: a Config of plain layers; W: {name: array} as state_dict gives."""

    def __init__(self, c, W):
        self.c, self.W = c, W

    def norm(self, name, x):
        if self.c.norm == "rms":
            return x / math.sqrt((x * x).mean() + self.c.layer_norm_eps) * self.W[name + ".weight"]
        centred = x - x.mean()
        scaled = centred / math.sqrt((centred * centred).mean() + self.c.layer_norm_eps)
        return scaled * self.W[name + ".weight"] + self.W[name + ".bias"]

    def linear(self, name, x):
        y = x @ self.W[name + ".weight"]
        return y + self.W[name + ".bias"] if name + ".bias" in self.W else y

    def embed(self, name, token, position, kind, tokens=None):
        c, W = self.c, self.W
        x = W[f"{tokens or name}.tokens.weight"][token] * (math.sqrt(c.d_model) if c.scale_embeddings else 1)
        if c.positions == "learned":
            x = x + W[f"{name}.positions.weight"][position + c.position_offset]
        elif c.positions == "sinusoidal":
            x = x + sinusoid(position + c.position_offset, c.d_model)
        if c.type_vocab_size:
            x = x + W[f"{name}.types.weight"][kind]
        return self.norm(f"{name}.norm", x) if c.embedding_norm else x

    def attention(self, name, xs, memory, allowed):
        """xs: vectors of the queries; allowed(head, query, key)"""
        H, Hk = self.c.num_heads, self.c.num_key_value_heads or self.c.num_heads
        q = [self.linear(f"{name}.query", x) for x in xs]
        k = [self.linear(f"{name}.key", m) for m in memory]
        v = [self.linear(f"{name}.value", m) for m in memory]
        dh = len(q[0]) // H
        out = []
        for i in range(len(xs)):
            heads = []
            for h in range(H):
                g = h * Hk // H
                own, shared = slice(h * dh, h * dh + dh), slice(g * dh, g * dh + dh)
                scores = [q[i][own] @ key[shared] / math.sqrt(dh) for key in k]
                w = softmax(scores, [allowed(h, i, j) for j in range(len(k))])
                heads.append(sum(w[j] * v[j][shared] for j in range(len(v))))
            out.append(self.linear(f"{name}.output", numpy.concatenate(heads)))
        return out

    def feed_forward(self, name, xs):
        out = []
        for x in xs:
            h = self.linear(f"{name}.hidden", x)
            if self.c.gated_feed_forward:
                h = activation(self.c.activation, self.linear(f"{name}.gate", x)) * h
            else:
                h = activation(self.c.activation, h)
            out.append(self.linear(f"{name}.output", h))
        return out

    def branch(self, name, xs, f):
        if self.c.norm_order == "pre":
            ys = f([self.norm(f"{name}.norm", x) for x in xs])
            return [x + y for x, y in zip(xs, ys, strict=True)]
        return [self.norm(f"{name}.norm", x + y) for x, y in zip(xs, f(xs), strict=True)]

    def stack(self, name, blocks, xs, allowed, memory=None, memory_allowed=None):
        for i in range(blocks):
            own = f"{name}.blocks.{i}"
            at = f"{own}.self_attention"
            xs = self.branch(at, xs, lambda ys, at=at: self.attention(f"{at}.layer", ys, ys, allowed))
            if memory is not None:
                at = f"{own}.cross_attention"
                xs = self.branch(at, xs, lambda ys, at=at: self.attention(f"{at}.layer", ys, memory, memory_allowed))
            at = f"{own}.feed_forward"
            xs = self.branch(at, xs, lambda ys, at=at: self.feed_forward(f"{at}.layer", ys))
        return [self.norm(f"{name}.norm", x) for x in xs] if self.c.has_final_norm else xs

    # --- the architectures; real, types, positions: (B, T) arrays

    def encoder_only(self, ids, real, types):
        out = []
        for b in range(len(ids)):
            xs = [self.embed("embedding", token, t, types[b][t]) for t, token in enumerate(ids[b])]
            xs = self.stack("encoder", self.c.num_encoder_layers, xs, lambda h, i, j, b=b: real[b][j])
            logits = []
            for x in xs:
                n = self.norm("head.norm", activation(self.c.head_activation, self.linear("head.dense", x)))
                table = self.W.get("head.output.weight", self.W["embedding.tokens.weight"])
                logits.append(table @ n + self.W["head.bias"])
            out.append(logits)
        return numpy.array(out)

    def decoder_only(self, ids, real, positions, sees):
        """sees(b, h, query, key): what stands in place of the look-ahead mask."""
        out = []
        for b in range(len(ids)):
            xs = [self.embed("embedding", token, positions[b][t], 0) for t, token in enumerate(ids[b])]
            allowed = lambda h, i, j, b=b: bool(real[b][j] and sees(b, h, i, j))  # noqa: E731
            xs = self.stack("decoder", self.c.num_decoder_layers, xs, allowed)
            out.append([self.table() @ x for x in xs])
        return numpy.array(out)

    def encoder_decoder(self, source, target, real, target_real):
        out = []
        for b in range(len(source)):
            xs = [self.embed("source", token, t, 0) for t, token in enumerate(source[b])]
            visible = lambda h, i, j, b=b: real[b][j]  # noqa: E731
            memory = self.stack("encoder", self.c.num_encoder_layers, xs, visible)
            shared = "source" if self.c.share_encoder_decoder_embeddings else "target"
            ys = [self.embed("target", token, t, 0, shared) for t, token in enumerate(target[b])]
            ahead = lambda h, i, j, b=b: j <= i and target_real[b][j]  # noqa: E731
            ys = self.stack("decoder", self.c.num_decoder_layers, ys, ahead, memory, visible)
            out.append([self.table() @ y for y in ys])
        return numpy.array(out)

    def table(self):
        for name in ("head.output.weight", "target.tokens.weight", "source.tokens.weight", "embedding.tokens.weight"):
            if name in self.W:
                return self.W[name]
        raise KeyError("no table")


def cross_entropy(logits, labels, ignored, smoothing, count):
    """One row at a time, as torch.nn.CrossEntropyLoss."""
    total = 0.0
    for z, label in zip(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), strict=True):
        if label != ignored:
            log_p = z - z.max() - math.log(numpy.exp(z - z.max()).sum())
            total += -(1 - smoothing) * log_p[label] - smoothing * log_p.mean()
    return total / max(count, 1)


def adamw(p, grads, lr, betas, eps, decay):
    """p after a step for each of the grads."""
    m, v, p = numpy.zeros_like(p), numpy.zeros_like(p), p.copy()
    for t, g in enumerate(grads, start=1):
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        step = m / (1 - betas[0] ** t) / (numpy.sqrt(v / (1 - betas[1] ** t)) + eps)
        p = p - lr * decay * p - lr * step
    return p
