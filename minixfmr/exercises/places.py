"""Where each exercise has its place in a model of the package: its functions take that of a layer's own.

Each is given the run (model, optimizer, criterion) and the student's forward and backward.
"""

from collections.abc import Callable

import numpy

from ..layers import Activation, Dropout, Embedding, FeedForward, LayerNorm, Linear, MultiHeadAttention
from ..models import DecoderBlock, EncoderBlock
from .catalogue.decoder_block import OWN
from .catalogue.encoder_block import NAMES


def _put(layer, forward, backward):
    layer.forward, layer.backward = forward, backward


def _linear(run, forward, backward):
    for layer in run.layers(Linear):
        none = numpy.zeros(layer.weight.shape[1])
        _with_gradients(layer, lambda x, w=layer.weight, b=layer.bias, none=none: forward(
            x, w.data, none if b is None else b.data), backward, (layer.weight, layer.bias))  # fmt: skip


def _with_gradients(layer, forward, backward, parameters):
    """A layer whose backward returns dx, and then the gradients of its parameters."""

    def back(dy, saved):
        dx, *gradients = backward(dy, saved)
        _add(parameters, gradients)
        return dx

    _put(layer, forward, back)


def _add(parameters, gradients):
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if parameter is not None:
            parameter.grad += gradient


def _embedding(run, forward, backward):
    for layer in run.layers(Embedding):
        _put(
            layer,
            lambda ids, w=layer.weight: forward(ids, w.data),
            lambda dy, saved, w=layer.weight: _add([w], [backward(dy, saved)]),
        )


def _layer_norm(run, forward, backward):
    for layer in run.layers(LayerNorm):
        call = lambda x, n=layer: forward(x, n.weight.data, n.bias.data, n.eps)  # noqa: E731
        _with_gradients(layer, call, backward, (layer.weight, layer.bias))


def _dropout(run, forward, backward):
    for layer in run.layers(Dropout):
        _put(layer, lambda x, rng=None, p=layer.p: forward(x, p, rng), backward)


def _gelu(run, forward, backward):
    for layer in run.layers(Activation):
        _put(layer, forward, backward)


def _softmax(run, forward, backward):
    """Attention around the student's softmax."""

    def attend(q, k, v, mask, rng, cache=None):
        k, v = (k, v) if cache is None else cache.append(k, v)
        scale = q.shape[-1] ** -0.5
        scores = q @ k.swapaxes(-1, -2) * scale
        w, saved = forward(scores if mask is None else numpy.where(mask, scores, -1e30))
        return w @ v, (q, k, v, w, scale, saved)

    def back(dy, saved):
        q, k, v, w, scale, saved_softmax = saved
        ds = backward(dy @ v.swapaxes(-1, -2), saved_softmax) * scale
        return ds @ k, ds.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ dy

    for layer in run.layers(MultiHeadAttention):
        layer.attend, layer.attend_backward = attend, back


def _attention(run, forward, backward):
    def attend(q, k, v, mask, rng, cache=None):
        k, v = (k, v) if cache is None else cache.append(k, v)
        return forward(q, k, v, mask)

    for layer in run.layers(MultiHeadAttention):
        layer.attend, layer.attend_backward = attend, backward


def _matrices(layer):
    return layer.query.weight, layer.key.weight, layer.value.weight, layer.output.weight


def _multi_head_attention(run, forward, backward):
    for kind in (EncoderBlock, DecoderBlock):
        for block in run.layers(kind):
            layer = block.self_attention.layer

            def call(x, memory=None, mask=None, rng=None, cache=None, layer=layer):
                return forward(x, *(w.data for w in _matrices(layer)), layer.num_heads, mask)

            _with_gradients(layer, call, backward, _matrices(layer))


def _cross_attention(run, forward, backward):
    for block in run.layers(DecoderBlock):
        layer = block.cross_attention.layer

        def call(x, memory, mask=None, rng=None, cache=None, layer=layer):
            real = None if mask is None else mask[:, 0, 0]  # (B, S)
            return forward(x, memory, *(w.data for w in _matrices(layer)), layer.num_heads, real)

        def back(dy, saved, layer=layer):
            dx, dmemory, *gradients = backward(dy, saved)
            _add(_matrices(layer), gradients)
            return dx, dmemory

        _put(layer, call, back)


def _feed_forward(run, forward, backward):
    for layer in run.layers(FeedForward):
        parameters = layer.hidden.weight, layer.hidden.bias, layer.output.weight, layer.output.bias
        call = lambda x, rng=None, ps=parameters: forward(x, *(p.data for p in ps))  # noqa: E731
        _with_gradients(layer, call, backward, parameters)


def _p(block, names):
    own = dict(block.named_parameters())
    return {name: own[path] for name, path in names.items()}


def _encoder_block(run, forward, backward):
    for block in run.layers(EncoderBlock):
        p, H = _p(block, NAMES), block.self_attention.layer.num_heads

        def call(x, mask=None, rng=None, cache=None, p=p, H=H):
            return forward(x, {name: a.data for name, a in p.items()}, H, mask)

        def back(dy, saved, p=p):
            dx, dp = backward(dy, saved)
            _add(p.values(), [dp[name] for name in p])
            return dx

        _put(block, call, back)


def _decoder_block(run, forward, backward):
    for block in run.layers(DecoderBlock):
        p, H = _p(block, OWN), block.self_attention.layer.num_heads

        def call(x, memory, mask=None, memory_mask=None, rng=None, cache=(None, None), p=p, H=H):
            real = None if memory_mask is None else memory_mask[:, 0, 0]  # (B, S)
            return forward(x, memory, {name: a.data for name, a in p.items()}, H, mask, real)

        def back(dy, saved, p=p):
            dx, dmemory, dp = backward(dy, saved)
            _add(p.values(), [dp[name] for name in p])
            return dx, dmemory

        _put(block, call, back)


class _Loss:
    def __init__(self, forward, backward):
        self.call, self.back = forward, backward

    def forward(self, logits, labels):
        return self.call(logits, labels, -100, 0.0)

    def backward(self, saved):
        return self.back(1.0, saved)


def _cross_entropy(run, forward, backward):
    run.criterion = _Loss(forward, backward)


def _adamw(run, step, _):
    o = run.optimizer

    def update():
        o.t += 1
        options = {"lr": o.lr, "betas": o.betas, "eps": o.eps, "weight_decay": o.weight_decay}
        o.flat.data[...], o.m[...], o.v[...] = step(o.flat.data, o.flat.grad, o.m, o.v, o.t, **options)

    o.step = update


PLACES: dict[str, Callable] = {  # in this order: what stands further down takes the place of what it is made of
    "softmax": _softmax,
    "gelu": _gelu,
    "linear": _linear,
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "dropout": _dropout,
    "attention": _attention,
    "multi_head_attention": _multi_head_attention,
    "cross_attention": _cross_attention,
    "feed_forward": _feed_forward,
    "encoder_block": _encoder_block,
    "decoder_block": _decoder_block,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
}
