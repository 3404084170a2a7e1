"""The same three architectures in PyTorch, from the same weights: what a good hand writes there.

Query, key and value in one product, scaled_dot_product_attention, fused AdamW.
"""

import torch
import torch.nn.functional as F
from torch import nn


def linear(weights, *names):
    """One nn.Linear for one or several of our Linears side by side. PyTorch keeps the transposed matrix."""
    layer = nn.Linear(1, 1)
    layer.weight = nn.Parameter(torch.cat([torch.tensor(weights[f"{n}.weight"].T) for n in names]).contiguous())
    layer.bias = nn.Parameter(torch.cat([torch.tensor(weights[f"{n}.bias"]) for n in names]))
    return layer


def norm(weights, name):
    layer = nn.LayerNorm(len(weights[f"{name}.weight"]))
    layer.weight = nn.Parameter(torch.tensor(weights[f"{name}.weight"]))
    layer.bias = nn.Parameter(torch.tensor(weights[f"{name}.bias"]))
    return layer


class Attention(nn.Module):
    def __init__(self, weights, name, config, cross=False):
        super().__init__()
        self.heads, self.cross = config["num_heads"], cross
        if cross:
            self.query = linear(weights, f"{name}.query")
            self.key_value = linear(weights, f"{name}.key", f"{name}.value")
        else:
            self.query_key_value = linear(weights, f"{name}.query", f"{name}.key", f"{name}.value")
        self.output = linear(weights, f"{name}.output")

    def forward(self, x, memory=None, causal=False):
        if self.cross:
            q = self.query(x)
            k, v = self.key_value(memory).chunk(2, -1)
        else:
            q, k, v = self.query_key_value(x).chunk(3, -1)
        q, k, v = (a.view(*a.shape[:2], self.heads, -1).transpose(1, 2) for a in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.output(y.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, weights, name, config):
        super().__init__()
        self.hidden, self.output = linear(weights, f"{name}.hidden"), linear(weights, f"{name}.output")
        self.activation = {"relu": F.relu, "gelu": F.gelu}[config["activation"]]

    def forward(self, x):
        return self.output(self.activation(self.hidden(x)))


class Residual(nn.Module):
    def __init__(self, layer, weights, name, config):
        super().__init__()
        self.layer, self.norm = layer, norm(weights, f"{name}.norm")
        self.pre, self.p = config["norm_order"] == "pre", config["dropout"]

    def forward(self, x, *inputs, **options):
        f = self.layer(self.norm(x) if self.pre else x, *inputs, **options)
        x = x + F.dropout(f, self.p, self.training)
        return x if self.pre else self.norm(x)


class Block(nn.Module):
    def __init__(self, weights, name, config):
        super().__init__()

        def residual(kind, part, **options):
            layer = kind(weights, f"{name}.{part}.layer", config, **options)
            return Residual(layer, weights, f"{name}.{part}", config)

        self.self_attention = residual(Attention, "self_attention")
        cross = f"{name}.cross_attention.norm.weight" in weights
        self.cross_attention = residual(Attention, "cross_attention", cross=True) if cross else None
        self.feed_forward = residual(FeedForward, "feed_forward")

    def forward(self, x, memory=None, causal=False):
        x = self.self_attention(x, causal=causal)
        if self.cross_attention is not None:
            x = self.cross_attention(x, memory)
        return self.feed_forward(x)


class Twin(nn.Module):
    """config: the fields of our Config; weights: our state_dict, and "positions" where those are not learned."""

    def __init__(self, config, weights):
        super().__init__()
        self.config = config
        prefix = "source" if "source.tokens.weight" in weights else "embedding"
        self.tokens = nn.Parameter(torch.tensor(weights[f"{prefix}.tokens.weight"]))
        if "positions" in weights:
            self.register_buffer("positions", torch.tensor(weights["positions"]))
        else:
            self.positions = nn.Parameter(torch.tensor(weights[f"{prefix}.positions.weight"]))
        self.scale = config["d_model"] ** 0.5 if config["scale_embeddings"] else 1.0
        self.embedding_norm = norm(weights, f"{prefix}.norm") if config["embedding_norm"] else None
        count = {side: config[f"num_{side}_layers"] for side in ("encoder", "decoder")}
        self.encoder, self.decoder = (
            nn.ModuleList(
                Block(weights, f"{side}.blocks.{i}", config)
                for i in range(n)
                if f"{side}.blocks.{i}.feed_forward.norm.weight" in weights
            )
            for side, n in count.items()
        )
        self.final = norm(weights, "decoder.norm") if "decoder.norm.weight" in weights else None
        self.head = None
        if "head.dense.weight" in weights:
            self.head = nn.Sequential(linear(weights, "head.dense"), nn.GELU(), norm(weights, "head.norm"))
            self.head_bias = nn.Parameter(torch.tensor(weights["head.bias"]))

    def embed(self, ids):
        x = self.tokens[ids] * self.scale + self.positions[: ids.shape[1]]
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        return F.dropout(x, self.config["dropout"], self.training)

    def forward(self, input_ids, decoder_input_ids=None):
        x = self.embed(input_ids)
        for block in self.encoder:
            x = block(x)
        if len(self.decoder):
            memory, x = (x, self.embed(decoder_input_ids)) if decoder_input_ids is not None else (None, x)
            for block in self.decoder:
                x = block(x, memory, causal=True)
        x = x if self.final is None else self.final(x)
        if self.head is not None:
            return F.linear(self.head(x), self.tokens, self.head_bias)
        return F.linear(x, self.tokens)
