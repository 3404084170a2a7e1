import inspect
import math

import pytest
from conftest import assert_ok, np, small_batch, small_config
from hypothesis import given, settings
from hypothesis import strategies as st

import minixfmr
from minixfmr import gradcheck
from minixfmr.backend import random_generator
from minixfmr.models import DecoderStack, EncoderBlock, InputEmbedding, Stack, causal_mask, padding_mask


def run(model, batch, **changes):
    inputs = {k: v for k, v in (batch | changes).items() if k != "labels"}
    return model(**inputs)


variants = pytest.mark.parametrize("norm_order", ["pre", "post"])


@pytest.mark.long
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    norm_order=st.sampled_from(["pre", "post"]),
    positions=st.sampled_from(["sinusoidal", "learned"]),
    activation=st.sampled_from(["relu", "gelu", "gelu_tanh"]),
    tied=st.booleans(),
    shared=st.booleans(),
    scaled=st.booleans(),
    depth=st.tuples(st.integers(0, 2), st.integers(1, 2)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    dropout=st.sampled_from([0.0, 0.3]),
)
def test_gradients_of_the_encoder_decoder(
    seed, norm_order, positions, activation, tied, shared, scaled, depth, shape, dropout
):
    config = small_config(
        norm_order=norm_order,
        positions=positions,
        activation=activation,
        tie_word_embeddings=tied,
        share_encoder_decoder_embeddings=shared,
        decoder_vocab_size=None if shared else 11,
        scale_embeddings=scaled,
        num_encoder_layers=depth[0],
        num_decoder_layers=depth[1],
        layer_norm_eps=1e-3,
        dropout=dropout,
        attention_dropout=dropout,
        activation_dropout=dropout,
    )
    model = minixfmr.EncoderDecoder(config, seed=seed)
    batch = small_batch(config, seed, *shape)
    labels = batch.pop("labels")
    ids, target_ids, mask = batch.values()
    options = {"attention_mask": mask, "decoder_attention_mask": labels != -100, "rng": random_generator(seed)}
    report = gradcheck(model, ids, target_ids, max_entries=2, seed=seed, **options)
    assert_ok(report)


@variants
def test_gradients_of_blocks_and_stacks(rng, norm_order):
    config = small_config(norm_order=norm_order)
    x, memory = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8))
    mask, memory_mask = causal_mask(3), padding_mask(np.array([[1, 1, 1, 1], [1, 1, 0, 0]]))
    for module, inputs, options in [
        (EncoderBlock(config), (x,), {"mask": mask}),
        (Stack(config, config.num_encoder_layers), (x,), {"mask": mask}),
        (DecoderStack(config), (x, memory), {"mask": mask, "memory_mask": memory_mask}),
        (InputEmbedding(config, 13), (rng.integers(0, 13, (2, 3)),), {}),
    ]:
        report = gradcheck(module, *inputs, max_entries=10, **options)
        assert_ok(report)
        assert len(report.rows) == len(module.parameters()) + sum(a.dtype.kind == "f" for a in inputs)


def test_masks():
    np.testing.assert_array_equal(causal_mask(3)[0, 0], [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(causal_mask(2, 4)[0, 0], [[1, 1, 1, 0], [1, 1, 1, 1]])
    padding = padding_mask(np.array([[1, 1, 0], [1, 0, 0]]))
    assert padding.shape == (2, 1, 1, 3)
    both = causal_mask(3) & padding
    np.testing.assert_array_equal(both[1, 0], [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert both.dtype == bool


@variants
def test_the_decoder_does_not_look_ahead(norm_order):
    config = small_config(norm_order=norm_order)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, T=5)
    logits = run(model, batch)
    for t in range(5):
        changed = batch["decoder_input_ids"].copy()
        changed[:, t] = (changed[:, t] + 1) % config.vocab_size
        after = run(model, batch, decoder_input_ids=changed)
        np.testing.assert_array_equal(after[:, :t], logits[:, :t])
        assert (after[:, t] != logits[:, t]).any()


@variants
def test_every_output_sees_the_whole_source(norm_order):
    config = small_config(norm_order=norm_order)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config)
    batch["attention_mask"] = None
    logits = run(model, batch)
    for s in range(5):
        changed = batch["input_ids"].copy()
        changed[:, s] = (changed[:, s] + 1) % config.vocab_size
        assert (np.abs(run(model, batch, input_ids=changed) - logits) > 1e-9).any(axis=-1).all()


@variants
def test_padding_changes_nothing(norm_order):
    config = small_config(norm_order=norm_order)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config)
    logits = run(model, batch)
    for b in range(3):
        real = int(batch["attention_mask"][b].sum())
        alone = model(batch["input_ids"][b : b + 1, :real], batch["decoder_input_ids"][b : b + 1])
        np.testing.assert_allclose(alone[0], logits[b], atol=1e-12)
    garbage = np.where(batch["attention_mask"], batch["input_ids"], 7)
    np.testing.assert_allclose(run(model, batch, input_ids=garbage), logits, atol=1e-12)


@variants
def test_padded_targets_change_neither_loss_nor_gradients(norm_order):
    """Labels of -100 silence padded positions, and the look-ahead mask keeps them from the real ones."""
    config = small_config(norm_order=norm_order)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config)
    criterion = minixfmr.CrossEntropy()

    def gradients(padding):
        model.zero_grad()
        ids = np.where(batch["labels"] == -100, padding, batch["decoder_input_ids"])
        inputs = {k: v for k, v in batch.items() if k != "labels"} | {"decoder_input_ids": ids}
        logits, saved = model.forward(**inputs)
        loss, saved_loss = criterion.forward(logits, batch["labels"])
        model.backward(criterion.backward(saved_loss), saved)
        return [np.array(loss)] + [p.grad.copy() for p in model.parameters()]

    first_pads = np.argmax(batch["labels"] == -100, axis=1)
    assert first_pads.any()
    for a, b in zip(gradients(0), gradients(9), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@variants
def test_dropout_acts_only_with_a_generator(norm_order):
    dropped = small_config(norm_order=norm_order, dropout=0.5, attention_dropout=0.5, activation_dropout=0.5)
    plain = small_config(norm_order=norm_order)
    batch = small_batch(dropped)
    model = minixfmr.EncoderDecoder(dropped)
    logits = run(model, batch)
    np.testing.assert_array_equal(logits, run(minixfmr.EncoderDecoder(plain), batch))
    training = run(model, batch, rng=random_generator(0))
    assert (training != logits).any()
    np.testing.assert_array_equal(training, run(model, batch, rng=random_generator(0)))


@pytest.mark.parametrize("V", [50, 1000])
@variants
def test_the_initial_loss_is_near_that_of_guessing(V, norm_order):
    config = small_config(vocab_size=V, d_model=64, num_heads=4, d_ff=128, norm_order=norm_order)
    batch = small_batch(config, B=16, S=8, T=8)
    loss, _ = minixfmr.CrossEntropy().forward(run(minixfmr.EncoderDecoder(config), batch), batch["labels"])
    assert abs(loss - math.log(V)) < 1


@variants
def test_one_batch_can_be_learned_by_heart(norm_order):
    config = small_config(norm_order=norm_order, d_model=32, d_ff=64, dtype="float32")
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=4)
    labels = batch.pop("labels")
    optimizer, criterion = minixfmr.AdamW(model.parameters(), lr=3e-3), minixfmr.CrossEntropy()
    for _ in range(150):
        model.zero_grad()
        logits, saved = model.forward(**batch)
        loss, saved_loss = criterion.forward(logits, labels)
        model.backward(criterion.backward(saved_loss), saved)
        optimizer.step()
    assert loss < 0.02


@variants
def test_attention_weights_of_a_model(norm_order):
    config = small_config(norm_order=norm_order)
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config)
    batch.pop("labels")
    _, saved = model.forward(**batch)
    weights = model.attention_weights(saved)
    assert [len(w) for w in weights.values()] == [2, 2, 2]
    assert {k: w[0].shape for k, w in weights.items()} == {
        "encoder": (3, 2, 5, 5),
        "decoder": (3, 2, 4, 4),
        "cross": (3, 2, 4, 5),
    }
    for w in sum(weights.values(), []):
        np.testing.assert_allclose(w.sum(-1), 1)
    assert not np.triu(weights["decoder"][1], 1).any()
    assert not weights["cross"][0][np.broadcast_to(~padding_mask(batch["attention_mask"]), (3, 2, 4, 5))].any()


@variants
def test_steps_with_a_cache_equal_one_pass(norm_order):
    config = small_config(norm_order=norm_order, positions="learned")
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, T=6)
    logits = run(model, batch)
    ids = batch["decoder_input_ids"]
    for chunks in ([1] * 6, [3, 1, 2], [6]):
        (_, state), start = model.start(batch["input_ids"], batch["attention_mask"]), 0
        for n in chunks:
            step = model.step(ids[:, start : start + n], state)
            start += n
            np.testing.assert_allclose(step, logits[:, start - 1], atol=1e-12)


class TestConfig:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"d_model": 10, "num_heads": 4}, "d_model = 10 and num_heads = 4: try num_heads = 5"),
            ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
            ({"vocab_size": 3.5}, r"vocab_size must be of type int, got 3.5 \(float\)"),
            ({"num_heads": True}, "num_heads must be of type int, got True"),
            ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
            ({"norm_order": "both"}, "norm_order must be one of 'post', 'pre', got 'both'"),
            ({"positions": "rotary"}, "positions must be one of"),
            ({"activation": "swish"}, "activation must be one of"),
            ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64'"),
            ({"layer_norm_eps": 0}, "layer_norm_eps must be greater than 0"),
            ({"num_encoder_layers": -1}, "num_encoder_layers must be 0 or more"),
            ({"decoder_vocab_size": 20}, "set share_encoder_decoder_embeddings = False"),
            ({"eos_token_id": 13}, r"eos_token_id must be a token id in \[0, 13\), got 13"),
        ],
    )
    def test_each_bad_field_is_named(self, changes, message):
        with pytest.raises(minixfmr.ConfigError, match=message):
            small_config(**changes)

    def test_round_trip_and_unknown_names(self):
        config = small_config(norm_order="pre")
        assert minixfmr.Config.from_dict(config.to_dict()) == config
        with pytest.raises(minixfmr.ConfigError, match="unknown config field d_modle: the fields are vocab_size"):
            minixfmr.Config.from_dict({"vocab_size": 3, "d_modle": 4})
        with pytest.raises(minixfmr.ConfigError, match="lacks vocab_size"):
            minixfmr.Config.from_dict({})


class TestBadInput:
    ids = np.ones((2, 3), int)

    @pytest.fixture(autouse=True)
    def a_model(self):
        self.model = minixfmr.EncoderDecoder(small_config())

    def test_ids_and_shapes(self):
        for args, error, message in [
            ((self.ids,), TypeError, "decoder_input_ids is missing: give what is read: the target shifted right"),
            ((self.ids * 99, self.ids), ValueError, r"\[0, 13\), got values from 99 to 99"),
            ((self.ids, self.ids * 1.0), TypeError, "integers .*float64"),
            ((self.ids[0], self.ids), ValueError, r"input_ids must be an array of shape \(B, T\).*got \(3,\)"),
            ((self.ids, self.ids[:, :0]), ValueError, r"decoder_input_ids must be .*got \(2, 0\)"),
            (([[1, 2], [3]], self.ids), ValueError, "input_ids must be an array: its rows differ in length: pad them"),
            ((self.ids[:1], self.ids), ValueError, "input_ids has 1 sequences, decoder_input_ids 2"),
            ((np.ones((2, 13), int), self.ids), ValueError, "length 13 is longer than max_position_embeddings = 12"),
        ]:
            with pytest.raises(error, match=message):
                self.model(*args)

    def test_masks(self):
        with pytest.raises(ValueError, match=r"^attention_mask has shape \(2, 4\), input_ids \(2, 3\)"):
            self.model(self.ids, self.ids, attention_mask=np.ones((2, 4)))
        with pytest.raises(ValueError, match=r"decoder_attention_mask has shape \(3,\)"):
            self.model(self.ids, self.ids, decoder_attention_mask=np.ones(3))


def test_help_shows_the_remark_of_every_field():
    lines = minixfmr.Config.__doc__.splitlines()
    for name in inspect.signature(minixfmr.Config).parameters:
        remarks = [line for line in lines if line.startswith(f"    {name}: ")]
        assert len(remarks) == 1 and len(remarks[0]) > len(name) + 10, name
