import pytest
from conftest import np, small_batch, small_config

import minixfmr
from minixfmr.backend import xp
from minixfmr.layers import Linear
from minixfmr.module import Module, Parameter
from minixfmr.training.flat import FlatParameter, replicate


class Twice(Module):
    """Two names for one layer, and a list."""

    def __init__(self):
        self.first = Linear(3, 3)
        self.again = self.first
        self.rest = [Linear(3, 2, bias=False), Linear(2, 3)]


def test_names_follow_attributes_and_shared_parameters_come_once():
    names = [name for name, _ in Twice().named_parameters()]
    assert names == ["first.weight", "first.bias", "rest.0.weight", "rest.1.weight", "rest.1.bias"]
    assert Twice().num_parameters() == 9 + 3 + 6 + 6 + 3


def test_tied_embeddings_are_one_parameter_and_collect_both_gradients():
    tied = minixfmr.EncoderDecoder(small_config())
    untied = minixfmr.EncoderDecoder(
        small_config(tie_word_embeddings=False, share_encoder_decoder_embeddings=False), seed=1
    )
    assert len(untied.parameters()) == len(tied.parameters()) + 2
    state = tied.state_dict()
    for name in ("target.tokens.weight", "head.output.weight"):
        state[name] = state["source.tokens.weight"]
    untied.load_state_dict(state)
    batch = small_batch(tied.config)
    labels = batch.pop("labels")
    for model in (tied, untied):
        logits, saved = model.forward(**batch)
        _, saved_loss = minixfmr.CrossEntropy().forward(logits, labels)
        model.backward(minixfmr.CrossEntropy().backward(saved_loss), saved)
    parts = [untied.source.tokens.weight, untied.target.tokens.weight, untied.head.output.weight]
    np.testing.assert_allclose(tied.head.output.weight.grad, sum(p.grad for p in parts), atol=1e-14)


def test_backward_adds_and_zero_grad_clears(rng):
    layer, x = Linear(4, 3, dtype="float64"), rng.standard_normal((2, 4))
    y, saved = layer.forward(x)
    layer.backward(y, saved)
    once = layer.weight.grad.copy()
    layer.backward(y, saved)
    np.testing.assert_allclose(layer.weight.grad, 2 * once)
    layer.zero_grad()
    assert not layer.weight.grad.any()
    assert not layer.bias.grad.any()


def test_state_dict_round_trip_copies():
    a, b = Twice(), Twice()
    for p in a.parameters():
        p.data += 1
    state = a.state_dict()
    b.load_state_dict(state)
    state["first.weight"] += 5  # a copy: neither model moves
    for (_, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_load_state_dict_names_everything_wrong_and_changes_nothing():
    model = Twice()
    before = model.state_dict()
    state = model.state_dict()
    state["first.weight"] = np.ones((3, 4))
    del state["rest.1.bias"]
    state["surplus"] = np.ones(1)
    state["first.bias"] = np.ones(3)
    with pytest.raises(ValueError, match=r"first.weight: shape \(3, 4\), the model has \(3, 3\)") as info:
        model.load_state_dict(state)
    assert "rest.1.bias: missing" in str(info.value)
    assert "surplus: not a parameter" in str(info.value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_flat_parameter_keeps_values_and_makes_views(rng):
    parameters = [Parameter(rng.standard_normal(s)) for s in [(2, 3), (4,), (1, 2, 2)]]
    before = [p.data.copy() for p in parameters]
    flat = FlatParameter(parameters)
    for p, old in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.data, old)
    flat.data += 1
    gradients = flat.grad
    gradients += 2
    for p, old in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.data, old + 1)
        np.testing.assert_array_equal(p.grad, np.full(old.shape, 2.0))


def test_cleared_gradients_are_zero_for_whoever_looks(rng):
    """Their zeros are written late: what is accumulated first takes their place, and nothing old is seen."""
    added, read, _ = parameters = [Parameter(rng.standard_normal(3)) for _ in range(3)]
    flat, ones = FlatParameter(parameters), xp.ones(3)
    for _ in range(2):
        held = flat.grad
        flat.clear_grad()
        added.accumulate(ones)
        added.accumulate(ones)
        read.grad += 5
        np.testing.assert_array_equal(flat.grad, [2, 2, 2, 5, 5, 5, 0, 0, 0])
        held += 7  # what the next turn must not see


def test_an_optimizer_does_not_move_by_the_gradient_of_the_step_before(rng):
    used, idle = parameters = [Parameter(rng.standard_normal(3)) for _ in range(2)]
    optimizer = minixfmr.AdamW(parameters, lr=0.1, betas=(0.0, 0.0), weight_decay=0.0)
    idle.accumulate(xp.ones(3))
    optimizer.step()
    before = idle.data.copy()
    optimizer.zero_grad()
    used.accumulate(xp.ones(3))
    optimizer.step()
    np.testing.assert_array_equal(idle.data, before)


def test_replicas_share_values_but_not_gradients():
    model = minixfmr.EncoderDecoder(small_config())
    replica = replicate(model)
    assert len(replica.parameters()) == len(model.parameters())  # what is tied stays tied
    for p, q in zip(model.parameters(), replica.parameters(), strict=True):
        assert p.data is q.data
        assert p.grad is not q.grad


def test_forward_leaves_nothing_on_the_module(rng):
    """One layer, used twice before either backward: each backward must answer its own forward."""
    model = minixfmr.EncoderDecoder(small_config())
    one, two = small_batch(model.config, 1), small_batch(model.config, 2)

    def gradients(order):
        model.zero_grad()
        runs = []
        for batch in (one, two):
            inputs = {k: v for k, v in batch.items() if k != "labels"}
            runs.append(model.forward(**inputs))
        for i in order:
            logits, saved = runs[i]
            model.backward(logits, saved)
        return [p.grad.copy() for p in model.parameters()]

    for a, b in zip(gradients([0, 1]), gradients([1, 0]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
