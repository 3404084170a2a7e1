"""Who may write into which array: a module may save or hand on what it was given, so nobody else writes into it."""

import pytest
from conftest import Draws, assert_ok, np, small_batch, small_config

import minixfmr
from minixfmr import Module, gradcheck
from minixfmr.backend import to_numpy, xp
from minixfmr.layers import DisentangledBias, Dropout, LayerNorm, Linear
from minixfmr.models import DecoderBlock, EncoderBlock, PostNorm, PreNorm
from minixfmr.models.variants.parts import RelativeTable, make_attention


class SavesItsOutput(Module):
    """tanh, whose backward needs the very array that forward returned; as a sublayer, a norm or an activation."""

    def forward(self, x, *inputs, rng=None, **options):
        y = xp.tanh(x)
        return y, y

    def backward(self, dy, y):
        return dy * (1 - y * y)


class HandsOn(Module):
    """The identity: forward returns its input, backward its argument."""

    def forward(self, x, *inputs, rng=None, **options):
        return x, None

    def backward(self, dy, saved):
        return dy


class KeepsItsInput(Module):
    """x²: saves the array that it was given, and returns an array that it keeps as well."""

    def forward(self, x, *inputs, rng=None, **options):
        y = x * x
        return y, (x, y)

    def backward(self, dy, saved):
        x, y = saved
        np.testing.assert_array_equal(y, x * x)
        return 2 * x * dy


SUBLAYERS = [SavesItsOutput, HandsOn, KeepsItsInput]


@pytest.mark.parametrize("order", [PreNorm, PostNorm])
@pytest.mark.parametrize("layer", SUBLAYERS)
@pytest.mark.parametrize("norm", [HandsOn, SavesItsOutput, KeepsItsInput, None])
def test_residual(rng, order, layer, norm):
    block = order(layer(), norm() if norm else LayerNorm(4, dtype="float64"), dropout=0.0)
    assert_ok(gradcheck(block, rng.standard_normal((2, 3, 4))))
    x, dy = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    before, dbefore = x.copy(), dy.copy()
    _, saved = block.forward(x)
    block.backward(dy, saved)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(dy, dbefore)


def test_a_residual_branch_that_is_the_identity_leaves_its_input_alone(rng):
    x = rng.standard_normal((2, 3))
    before = x.copy()
    PostNorm(Dropout(0.0), LayerNorm(3, dtype="float64"), 0.0).forward(x)
    np.testing.assert_array_equal(x, before)


def parts(module):
    """(owner, attribute) of every Linear, norm or activation inside a module."""
    for name, child in list(vars(module).items()):
        if isinstance(child, Module):
            if not any(isinstance(v, Module) for v in vars(child).values()):
                yield module, name
            yield from parts(child)
        elif isinstance(child, list):
            for item in child:
                if isinstance(item, Module):
                    yield from parts(item)


class Watched(Module):
    """A part of a model whose arguments and results must never change after it was called."""

    def __init__(self, inner, seen):
        self.inner, self.seen = inner, seen

    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)

    def note(self, *arrays):
        for array in arrays:
            if getattr(getattr(array, "dtype", None), "kind", "") == "f":
                self.seen.append((array, to_numpy(array).copy()))

    def forward(self, *inputs, **options):
        y, saved = self.inner.forward(*inputs, **options)
        self.note(*inputs, y)
        return y, saved

    def backward(self, dy, saved):
        dx = self.inner.backward(dy, saved)
        self.note(dy, *(dx if isinstance(dx, tuple) else (dx,)))
        return dx


def watch(module):
    seen = []
    for owner, name in list(parts(module)):
        setattr(owner, name, Watched(getattr(owner, name), seen))
    return seen


def assert_untouched(seen):
    assert seen
    for array, copy in seen:
        np.testing.assert_array_equal(array, copy)


MODELS = [
    (minixfmr.EncoderDecoder, {}),
    (minixfmr.EncoderDecoder, {"norm_order": "pre", "activation": "gelu"}),
    (minixfmr.EncoderOnly, {"embedding_norm": True, "type_vocab_size": 2}),
    (minixfmr.EncoderOnly, {"head": "sequence_classification"}),
    (minixfmr.EncoderOnly, {"head": "token_classification", "embedding_padding": False}),
    (minixfmr.DecoderOnly, {"gated_feed_forward": True, "norm": "rms", "norm_order": "pre"}),
    (minixfmr.DecoderOnly, {"head": "sequence_classification", "scale_output": True}),
    (minixfmr.DecoderOnly, {"relative_positions": "rotary", "num_key_value_heads": 1}),
    (minixfmr.EncoderOnly, {"convolution": 3, "head": "none"}),
]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(("kind", "changes"), MODELS)
def test_no_model_writes_into_the_arrays_of_its_parts(kind, changes, dropout):
    config = small_config(**changes, dropout=dropout, attention_dropout=dropout)
    model, batch = kind(config), small_batch(config)
    batch.pop("labels")
    if kind is not minixfmr.EncoderDecoder:
        batch.pop("decoder_input_ids")
    seen = watch(model)
    logits, saved = model.forward(**batch, rng=Draws(0).generator)
    before = to_numpy(logits).copy()
    model.backward(logits * 0 + 1, saved)
    np.testing.assert_array_equal(logits, before)
    assert_untouched(seen)


@pytest.mark.parametrize("kind", [EncoderBlock, DecoderBlock])
def test_blocks_of_sublayers_that_keep_their_arrays(rng, kind):
    block = kind(small_config())
    for owner, name in list(parts(block)):
        if isinstance(getattr(owner, name), Linear):
            continue
        setattr(owner, name, SavesItsOutput())
    x, memory = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8))
    assert_ok(gradcheck(block, *((x, memory) if kind is DecoderBlock else (x,))))


def test_the_same_array_as_query_and_key(rng):
    config = small_config(
        relative_positions="disentangled", attention_scale=0.5, relative_buckets=0, relative_max_distance=4
    )
    table = RelativeTable(config, Draws(0).generator)
    bias = make_attention(config, Draws(0).generator, table).score_bias
    assert isinstance(bias, DisentangledBias)
    q = rng.standard_normal((2, 2, 3, 4))
    np.testing.assert_array_equal(bias.forward(q, q)[0], bias.forward(q, q.copy())[0])
