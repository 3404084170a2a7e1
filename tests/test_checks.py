"""What comes from outside is obeyed exactly, or refused in one sentence: a few members of each kind, by hand.

tests/fuzz draws thousands more.
"""

import math

import numpy
import pytest
from conftest import assert_ok, np, small_batch, small_config

import minixfmr
from minixfmr import layers, models, training
from minixfmr.backend import to_device, xp
from minixfmr.checks.config import check_model
from minixfmr.training.variants import objectives

IDS = numpy.array([[3, 4, 5], [6, 7, 8]])
REAL = numpy.array([[1, 1, 1], [1, 1, 0]])
UPSTREAM = numpy.random.default_rng(0).standard_normal((2, 3, 13))


def encoder(**changes):
    return minixfmr.EncoderOnly(small_config(num_encoder_layers=1, type_vocab_size=2, **changes))


def decoder(**changes):
    return minixfmr.DecoderOnly(small_config(num_decoder_layers=1, positions="learned", **changes))


# --- what broadcasts


@pytest.mark.parametrize("shape", [(2, 3), (1, 3), (3,)])
@pytest.mark.parametrize("name", ["position_ids", "token_type_ids"])
def test_a_row_that_serves_many_sequences_gets_the_gradient_of_them_all(name, shape):
    model, rows = (decoder(), [2, 0, 2]) if name == "position_ids" else (encoder(), [0, 1, 1])
    gradients = []
    for given in (numpy.broadcast_to(rows, (2, 3)), numpy.broadcast_to(rows, shape), rows):
        logits, saved = model.forward(IDS, **{name: given})
        model.zero_grad()
        model.backward(to_device(UPSTREAM), saved)
        gradients.append([minixfmr.to_numpy(p.grad).copy() for p in model.parameters()])
    for other in gradients[1:]:
        for a, b in zip(gradients[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (encoder, {"token_type_ids": numpy.array([0, 1, 1])}),
        (encoder, {"attention_mask": REAL, "token_type_ids": numpy.array([[0, 1, 1]])}),
        (decoder, {"position_ids": numpy.array([2, 0, 5])}),
        (decoder, {"attention_mask": REAL, "mask": numpy.tri(3, dtype=bool)[None]}),
        (decoder, {"mask": numpy.array([True, False, True])[None, None, None]}),
    ],
)
def test_gradients_over_the_optional_arguments_of_a_model(model, options):
    made = model(activation="gelu")
    assert_ok(minixfmr.gradcheck(made, IDS, max_entries=2, explain=False, **options))


@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (1, 2, 3, 3), (2, 1, 1, 3), (1, 1, 3, 3), (2, 3, 3), (3, 3), (1, 3)])
def test_the_gradient_of_an_attention_bias_has_its_shape(shape, rng):
    q, k, v, bias = (rng.standard_normal(s) for s in ((2, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4), shape))
    forward = lambda q, k, v, bias: layers.attention(q, k, v, bias=bias)  # noqa: E731
    assert_ok(minixfmr.gradcheck_function(forward, layers.attention_backward, q, k, v, bias, explain=False))


def test_positions_of_a_layer_broadcast_too(rng):
    layer = layers.LearnedPositions(5, 4, dtype="float64")
    assert_ok(minixfmr.gradcheck(layer, rng.standard_normal((2, 3, 4)), numpy.array([1, 1, 4]), explain=False))


# --- ids, positions, types


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (decoder, {"position_ids": [[0, -1, 1]] * 2}, r"position_ids must lie in \[0, 12\), got values from -1 to 1"),
        (decoder, {"position_ids": [[0, 1, 12]] * 2}, r"position_ids must lie in \[0, 12\)"),
        (decoder, {"position_ids": [[0.0, 1.0, 2.0]] * 2}, "position_ids must be integers"),
        (decoder, {"position_ids": [[0], [1]]}, r"position_ids has shape \(2, 1\): it must be that of input_ids"),
        (encoder, {"token_type_ids": [0, 1, 2]}, r"token_type_ids must lie in \[0, 2\)"),
        (encoder, {"token_type_ids": [0, 1, None]}, "token_type_ids must be integers"),
        (encoder, {"token_type_ids": 1}, "token_type_ids has shape"),
        (decoder, {"rng": 3}, "rng must be a numpy.random.Generator"),
    ],
)
def test_ids_beside_the_tokens(model, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        model()(IDS, **options)


def test_positions_and_types_that_a_model_lacks():
    with pytest.raises(ValueError, match=r'position_ids: this model takes none \(positions = "none"\)'):
        minixfmr.DecoderOnly(small_config(positions="none", relative_positions="rotary"))(IDS, position_ids=IDS * 0)
    with pytest.raises(ValueError, match=r"token_type_ids: this model has no token types"):
        minixfmr.EncoderOnly(small_config())(IDS, token_type_ids=IDS * 0)


@pytest.mark.parametrize("form", [list, tuple, numpy.uint8, numpy.int32, ">i8", numpy.uint64])
def test_ids_in_any_form(form):
    model = decoder()
    given = form(map(form, IDS.tolist())) if form in (list, tuple) else IDS.astype(form)
    np.testing.assert_array_equal(model(given), model(IDS))


@pytest.mark.parametrize(
    "ids", [[[1, 2], [3]], [[1, None]], [["a"]], [[1.0]], [[True]], "ids", None, 3, {1: 2}, [[1, -1]], [[10**30]], [[]]]
)
def test_ids_that_are_none(ids):
    for call in (decoder(), encoder(), lambda ids: minixfmr.generate(decoder(), ids)):
        with pytest.raises((TypeError, ValueError), match="ids"):
            call(ids)


def test_a_masked_array_would_lose_its_mask():
    with pytest.raises(TypeError, match="input_ids is a masked array"):
        decoder()(numpy.ma.array(IDS, mask=IDS > 7))


# --- masks


@pytest.mark.parametrize("dtype", [bool, "int8", "int64", "float32", list])
def test_attention_masks_in_any_form(dtype):
    model = encoder()
    given = REAL.tolist() if dtype is list else REAL.astype(dtype)
    np.testing.assert_array_equal(model(IDS, attention_mask=given), model(IDS, attention_mask=REAL))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (numpy.where(REAL, 0.0, -1e9), "attention_mask must hold 1 .* additive masks hold 0 .* give mask == 0"),
        (numpy.where(REAL, 0, -10000), "additive"),
        (numpy.where(REAL, 1.0, numpy.nan), "values from nan"),
        (REAL * 2, "got values from 0 to 2"),
        (REAL.astype(str), "attention_mask must hold 1"),
        ([[1, 1, None], [1, 1, 0]], "attention_mask must hold 1"),
        ("mask", "attention_mask has shape"),
        (1, "attention_mask has shape"),
        (REAL[:1], r"attention_mask has shape \(1, 3\), input_ids \(2, 3\)"),
    ],
)
def test_attention_masks_that_are_none(mask, message):
    batch = small_batch(small_config(), B=2, S=3, T=3)
    for call in (
        lambda: encoder()(IDS, attention_mask=mask),
        lambda: decoder()(IDS, attention_mask=mask),
        lambda: minixfmr.EncoderDecoder(small_config())(batch["input_ids"], IDS, attention_mask=mask),
        lambda: minixfmr.generate(decoder(), IDS, attention_mask=mask),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_masks_whose_meaning_is_ambiguous():
    heads, square = numpy.ones((2, 3, 3), bool), numpy.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    ids = numpy.vstack([IDS, IDS[:1]])
    with pytest.raises(ValueError, match=r"could be one for each of 2 sequences or of 2 heads: give mask\[:, None\]"):
        decoder()(IDS, mask=heads)
    with pytest.raises(ValueError, match=r"could be \(B, Tk\) or \(Tq, Tk\): give mask\[:, None, None\]"):
        decoder()(ids, mask=square)
    np.testing.assert_array_equal(decoder()(ids, mask=numpy.tri(3, dtype=bool)), decoder()(ids))  # plain enough
    np.testing.assert_array_equal(decoder()(ids, mask=numpy.tri(3, dtype=bool)[None, None]), decoder()(ids))


@pytest.mark.parametrize("mask", [numpy.where(numpy.tri(3), 0, -1e9), numpy.tri(3), numpy.tri(3, dtype=int), "causal"])
def test_masks_that_are_not_boolean(mask, rng):
    for call in (
        lambda: decoder()(IDS, mask=mask),
        lambda: layers.MultiHeadAttention(4, 2)(to_device(numpy.ones((2, 3, 4), "float32")), mask=mask),
    ):
        with pytest.raises(TypeError, match="mask must be boolean .* additive mask, .* mask == 0"):
            call()
    if not isinstance(mask, str):
        with pytest.raises(TypeError, match="mask must be boolean"):
            layers.softmax(xp.ones((2, 3, 3)), to_device(mask))


def test_the_makers_of_masks():
    for call, message in [
        (lambda: models.causal_mask(3, 2), "Tk must be an integer of at least 3, for the queries are the last"),
        (lambda: models.causal_mask(-1), "Tq must be an integer of at least 0"),
        (lambda: models.sliding_window_mask(3, 3, 0), "window must be an integer of at least 1"),
        (lambda: models.prefix_mask(3, [-1]), "prefix_lengths must be from 0"),
        (lambda: models.prefix_mask(3, [1.5]), "prefix_lengths must be integers"),
        (lambda: models.padding_mask([0.0, -1e9]), "attention_mask must hold 1"),
        (lambda: models.padding_mask([1, 0]), r"attention_mask must be of shape \(B, Tk\)"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            call()


# --- generation


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": "no"},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "1"},
        {"temperature": 1e-300},
        {"top_p": math.nan},
        {"top_p": True},
        {"top_k": 2.5},
        {"repetition_penalty": math.inf},
        {"length_penalty": 1e10},
        {"num_beams": 1 << 40},
        {"max_new_tokens": 2.0},
        {"max_length": "9"},
        {"eos_token_id": [None]},
        {"eos_token_id": 13},
        {"eos_token_id": [2, -1]},
        {"pad_token_id": -1},
        {"decoder_start_token_id": 99},
        {"suppress_tokens": [-1]},
        {"bad_words_ids": [[3, -1]]},
        {"sequence_bias": [[[3], math.nan]]},
        {"seed": "x"},
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_of_generation(options):
    for model in (decoder(), minixfmr.EncoderDecoder(small_config())):
        with pytest.raises(ValueError, match=next(iter(options))):
            minixfmr.generate(model, IDS, **{"max_new_tokens": 2} | options)


def test_numbers_of_numpy_are_settings():
    model, plain = decoder(), dict(max_new_tokens=2, num_beams=2, eos_token_id=[2, 5], repetition_penalty=1.5)
    odd = dict(max_new_tokens=numpy.int32(2), num_beams=numpy.array(2), eos_token_id=numpy.array([2, 5]))
    odd |= {"repetition_penalty": numpy.float64(1.5), "do_sample": numpy.bool_(False)}
    np.testing.assert_array_equal(minixfmr.generate(model, IDS, **plain), minixfmr.generate(model, IDS, **odd))


def test_tokens_of_the_caller_are_obeyed_by_any_model():
    model = minixfmr.EncoderDecoder(small_config())
    ids = minixfmr.generate(model, IDS, max_new_tokens=2, decoder_start_token_id=5, eos_token_id=list(range(13)))
    assert (ids[:, 0] == 5).all() and ids.shape == (2, 2)
    first = int(ids[0, 1])
    padded = minixfmr.generate(
        model, IDS[:1], max_new_tokens=3, decoder_start_token_id=5, eos_token_id=[first], pad_token_id=7
    )
    assert padded.tolist() == [[5, first]]
    assert minixfmr.generate(decoder(), IDS, max_new_tokens=2, eos_token_id=[]).shape == (2, 5)


def test_prompts_and_models_that_cannot_be_gone_on_from():
    with pytest.raises(ValueError, match="attention_mask hides all of prompt 1"):
        minixfmr.generate(decoder(), IDS, attention_mask=[[0, 1, 1], [0, 0, 0]])
    with pytest.raises(ValueError, match="got values from -3 to 5"):
        minixfmr.generate(decoder(), [[-3, 4, 5]])
    for thing in (None, "model", minixfmr.DecoderOnly):
        with pytest.raises(TypeError, match="generate needs a DecoderOnly or an EncoderDecoder"):
            minixfmr.generate(thing, IDS)
    with pytest.raises(TypeError, match="does not write"):
        minixfmr.generate(encoder(), IDS)


# --- training


def parameter(dtype="float64"):
    return minixfmr.Parameter(xp.ones(3, dtype=dtype))


@pytest.mark.parametrize("name", ["lr", "eps", "weight_decay", "betas"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-3, "0.1", None, True, [0.1]])
def test_rates_of_adamw(name, value):
    given = (0.9, value) if name == "betas" else value
    with pytest.raises(ValueError, match=f"AdamW needs finite lr.* {name}="):
        minixfmr.AdamW([parameter()], **{name: given})


def test_parameters_of_adamw():
    model = decoder()
    for given, message in [
        (model, "got a DecoderOnly: give its .parameters()"),
        ([xp.ones(3)], "needs a list of Parameters"),
        (list(model.named_parameters()), "needs a list of Parameters"),
        (None, "needs a list of Parameters"),
        ([parameter(), parameter("float32")], "must be of one dtype, got float32 and float64"),
    ]:
        with pytest.raises(TypeError, match=message):
            minixfmr.AdamW(given)


@pytest.mark.parametrize("lr", [math.nan, -1.0, None, "fast", math.inf])
def test_a_rate_set_later(lr):
    p = parameter()
    optimizer = minixfmr.AdamW([p])
    optimizer.lr = lr
    with pytest.raises(ValueError, match="lr must be a finite number of at least 0"):
        optimizer.step()
    assert optimizer.t == 0 and (p.data == 1).all()


@pytest.mark.parametrize(
    "values", [xp.ones(3, dtype=int), xp.ones(3) * 1j, xp.ones(3) > 0, xp.ones(3, dtype="float16")]
)
def test_weights_are_floats(values):
    with pytest.raises(TypeError, match="the data of this Parameter must be float32 or float64"):
        minixfmr.Parameter(to_device(minixfmr.to_numpy(values)))


@pytest.mark.parametrize("most", [0, -1.0, math.nan, "1", None, True])
def test_the_largest_norm(most):
    with pytest.raises(ValueError, match="max_norm must be a number greater than 0"):
        minixfmr.clip_grad_norm([parameter()], most)
    if most is not None:
        model = decoder()
        optimizer = minixfmr.AdamW(model.parameters())
        with pytest.raises(ValueError, match="clip_norm must be"):
            minixfmr.Trainer(model, optimizer, training.constant(1e-3), Batches(), clip_norm=most)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda: training.noam(512, -1), "warmup must be an integer of at least 0"),
        (lambda: training.noam(512, 0.1), "warmup must be an integer"),
        (lambda: training.noam(0, 10), "d_model must be an integer of at least 1"),
        (lambda: training.inverse_sqrt(math.nan, 10), "peak must be a finite number"),
        (lambda: training.cosine(1e-3, 20, 10), "warmup must be an integer of at least 0 and at most 10"),
        (lambda: training.cosine(1e-3, 0, 0), "total must be an integer of at least 1"),
        (lambda: training.cosine(1e-3, 0, 5, final=-1.0), "final must be a finite number of at least 0"),
        (lambda: training.constant("1e-3"), "peak must be a finite number"),
        (lambda: training.constant(1e-3)(0), "step must be an integer of at least 1: steps count from 1"),
        (lambda: training.inverse_sqrt(1e-3, 5)(0), "steps count from 1"),
    ],
)
def test_schedules(schedule, message):
    with pytest.raises(ValueError, match=message):
        schedule()


def test_counts_and_kinds_of_the_criterion():
    logits, labels = xp.zeros((2, 3)), numpy.array([1, 2])
    for call, message in [
        (lambda: minixfmr.CrossEntropy(ignore_index=1.5), "ignore_index must be an integer"),
        (lambda: minixfmr.CrossEntropy(ignore_index=None), "ignore_index must be an integer"),
        (lambda: minixfmr.CrossEntropy(label_smoothing=math.nan), "label_smoothing must lie in"),
        (lambda: minixfmr.CrossEntropy(label_smoothing="0.1"), "label_smoothing must lie in"),
        (
            lambda: minixfmr.CrossEntropy().forward(logits, labels, 1),
            "count must be an integer of at least 2, as so many",
        ),
        (lambda: minixfmr.CrossEntropy().forward(logits, labels, -5), "count must be"),
        (lambda: minixfmr.CrossEntropy().forward(logits.astype(int), labels), "logits must be floats"),
        (lambda: minixfmr.CrossEntropy().forward(logits, [1, None]), "labels must be integers"),
        (lambda: minixfmr.CrossEntropy().forward(logits, [1.0, 2.0]), "labels must be integers"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    expected, _ = minixfmr.CrossEntropy().forward(logits, labels)
    for form in ([1, 2], (1, 2), labels.astype("uint8")):
        assert float(minixfmr.CrossEntropy(numpy.int64(-100)).forward(logits, form)[0]) == float(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: training.next_token([[3]]), "T at least 2"),
        (lambda rng: training.next_token([[3, 4]], [-1]), "prompt_lengths must be from 0 to 2"),
        (lambda rng: training.next_token([[3, -4]]), "ids must hold token ids"),
        (lambda rng: training.shift_right([[3, 4]], -1, 0), "start must be an integer of at least 0"),
        (
            lambda rng: objectives.masked_lm([3, -1], rng, 5, 13),
            r"ids must hold token ids, integers in \[0, 13\), got -1",
        ),
        (lambda rng: objectives.masked_lm([3], rng, 13, 13), r"mask_token must be a token id in \[0, 13\)"),
        (lambda rng: objectives.masked_lm([3], rng, 5, 13, rate=math.nan), r"rate must be in \[0, 1\]"),
        (lambda rng: objectives.masked_lm([3], rng, 0, 3, special=[1, 2]), "none is left to put in"),
        (lambda rng: objectives.masked_lm([3], 0, 5, 13), "rng must be a numpy.random.Generator"),
        (lambda rng: objectives.span_corruption([3, 4, 5], rng, [90]), "sentinels must be at least 2 tokens"),
        (lambda rng: objectives.text_infilling([3] * 9, rng, 90, mean_length=0), "mean_length must be in"),
        (lambda rng: objectives.token_deletion([3], rng, 2.0), r"rate must be in \[0, 1\]"),
        (lambda rng: objectives.gap_sentences([], 90), "sentences must be a list of at least one"),
    ],
)
def test_objectives(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(numpy.random.default_rng(0))


@pytest.mark.parametrize(
    ("sources", "targets", "changes", "message"),
    [
        ([[3, -1]], [[3]], {}, r"sources\[0\] must hold token ids, integers in \[0, 13\), got -1 in it"),
        ([[3]], [[13]], {}, r"targets\[0\] must hold token ids"),
        ([[3]], [[3.0]], {}, r"got 3.0 in it"),
        ([[3]], [None], {}, r"targets\[0\] must be a list of token ids, got None"),
        ("abc", [[3]], {}, "sources must be a list of lists"),
        ([[3]], [[3]], {"eos_token_id": None}, "eos_token_id of the config is None"),
    ],
)
def test_pairs(sources, targets, changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        minixfmr.TranslationData(sources, targets, small_config(**changes), 100)


class Batches:
    """A user's data, which hands out the same dictionary each time."""

    def __init__(self, **changes):
        self.kept = {"input_ids": IDS[:, :-1].tolist(), "labels": IDS[:, 1:].tolist()} | changes

    def order(self, epoch):
        return [0]

    def batch(self, key):
        return self.kept


def test_a_users_batches_are_left_as_they_are_and_may_hold_lists():
    model, data = decoder(dtype="float32"), Batches()
    assert minixfmr.evaluate(model, data) == minixfmr.evaluate(model, data)
    trainer = minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), training.constant(1e-3), data, workers=1)
    assert len(list(trainer.run(epochs=2))) == 2
    assert set(data.kept) == {"input_ids", "labels"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": [[1]]}, "a batch has surprise, the model's forward takes input_ids"),
        ({"labels": [[1.5, 2], [1, 2]]}, "labels must be integers"),
        ({"attention_mask": [[0, -1e9], [0, 0]]}, "additive"),
    ],
)
def test_batches(changes, message):
    model = decoder(dtype="float32")
    optimizer, data = minixfmr.AdamW(model.parameters()), Batches(**changes)
    with pytest.raises((TypeError, ValueError), match=message):
        next(minixfmr.Trainer(model, optimizer, training.constant(1e-3), data, workers=1).run(epochs=1))
    with pytest.raises((TypeError, ValueError), match=message):
        minixfmr.evaluate(model, data)


def test_what_a_trainer_is_made_of():
    model = decoder()
    optimizer, schedule = minixfmr.AdamW(model.parameters()), training.constant(1e-3)
    for call, message in [
        (lambda: minixfmr.Trainer(decoder(), optimizer, schedule, Batches()), "parameters that this model lacks"),
        (lambda: minixfmr.Trainer(model, optimizer, 1e-3, Batches()), "schedule must be a function of the step"),
        (lambda: minixfmr.Trainer(model, optimizer, schedule, [1]), "data must be an object with order, batch"),
        (lambda: minixfmr.Trainer(model, optimizer, schedule, Batches(), seed=-1), "seed must be an integer"),
        (lambda: next(minixfmr.Trainer(model, optimizer, schedule, Batches(), workers=1).run(-1)), "epochs must be"),
        (
            lambda: next(minixfmr.Trainer(model, optimizer, lambda step: math.nan, Batches(), workers=1).run(1)),
            "lr must be .*, as the schedule gives for step 1, got nan",
        ),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            call()


def test_a_state_is_taken_whole_or_not_at_all():
    model = decoder()
    state, name = model.state_dict(), "embedding.positions.weight"
    for value, message in [
        (state[name] * numpy.nan, r"embedding.positions.weight: \d+ of its values are NaN or infinite"),
        (state[name] * 1j, "must hold real numbers, got complex128"),
        (state[name].astype(str), "must hold real numbers"),
        (None, "must hold real numbers, got object"),
        ([[1.0], [2.0, 3.0]], "no array"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.load_state_dict({n: w + 1 for n, w in state.items()} | {name: value})
    with pytest.raises(TypeError, match="must be a dictionary of arrays"):
        model.load_state_dict(list(state))
    for n, w in model.state_dict().items():
        np.testing.assert_array_equal(w, state[n])
    model.load_state_dict({n: w.tolist() for n, w in state.items()})
    model.load_state_dict(state | {name: state[name] * numpy.nan}, finite=False)


# --- the checker, the backend, layers


@pytest.mark.parametrize(
    "options",
    [
        {"max_entries": 0},
        {"max_entries": 2.5},
        {"tolerance": math.inf},
        {"tolerance": math.nan},
        {"tolerance": -1},
        {"max_seconds": math.nan},
        {"explain": "no"},
        {"seed": -1},
        {"parameters": {}},
    ],
    ids=str,
)
def test_a_check_that_would_compare_nothing(options, rng):
    with pytest.raises(ValueError, match=next(iter(options))):
        minixfmr.gradcheck(layers.Linear(3, 2, dtype="float64"), rng.standard_normal((2, 3)), **options)


@pytest.mark.parametrize(
    "x", [2.0, numpy.float64(2.0), numpy.zeros((0, 3)), numpy.ones(3) * 1j, numpy.arange(3), [1.0]], ids=str
)
def test_arguments_without_a_gradient(x):
    with pytest.raises(ValueError):
        minixfmr.gradcheck_function(lambda x: (x * 2.0, None), lambda dy, saved: dy * 2.0, x, explain=False)


def test_a_class_is_no_layer():
    with pytest.raises(ValueError, match=r"Linear is a class: make a layer of it, as Linear\(...\)"):
        minixfmr.gradcheck(layers.Linear, numpy.ones((2, 3)))


def test_a_module_that_cannot_take_numpys_place():
    for thing in (math, numpy.linalg, numpy.ones(3), None, 3):
        with pytest.raises(minixfmr.BackendError):
            minixfmr.use_backend(thing)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dropout(1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: layers.Dropout(math.nan), "dropout must be in"),
        (lambda: layers.Linear(0, 3), "d_in must be an integer of at least 1"),
        (lambda: layers.LayerNorm(4, eps=0), "eps must be in"),
        (lambda: layers.RMSNorm(-1), "d must be an integer"),
        (lambda: layers.Embedding(2.5, 3), "vocab_size must be an integer"),
        (lambda: layers.MultiHeadAttention(4, 2.0), "num_heads = 2.0"),
        (lambda: layers.VariantAttention(4, 2, num_key_value_heads=3), "num_key_value_heads must be a divisor"),
        (lambda: layers.OutputProjection(parameter_of((5, 3)), parameter_of((1,))), r"bias has shape \(1,\)"),
    ],
)
def test_layers_are_made_of_what_makes_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def parameter_of(shape):
    return minixfmr.Parameter(xp.ones(shape))


def test_vectors_of_another_width_are_not_stretched(rng):
    x = rng.standard_normal((2, 3, 1))
    for layer in (
        layers.LayerNorm(4, dtype="float64"),
        layers.RMSNorm(4, dtype="float64"),
        layers.LearnedPositions(5, 4),
    ):
        with pytest.raises(ValueError, match="its last axis must be 4"):
            layer(x)
    attention = layers.MultiHeadAttention(4, 2, dtype="float64")
    with pytest.raises(ValueError, match="memory has 1 sequences, x 2: they go in pairs"):
        attention(rng.standard_normal((2, 3, 4)), rng.standard_normal((1, 3, 4)))
    logits, saved = decoder().forward(IDS)
    with pytest.raises(ValueError, match="dlogits has shape"):
        decoder().backward(logits[:1], saved)


# --- Config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 10**9 + 1}, "d_model must be divisible by num_heads.*: try num_heads = "),
        ({"d_model": 1 << 70}, "d_model must be at most"),
        ({"num_labels": 0}, "num_labels must be at least 1"),
        ({"window_every": 0}, "window_every must be at least 1"),
        ({"attention_scale": 0.0}, "attention_scale must be None or greater than 0"),
        ({"rope_theta": math.nan}, "rope_theta must be greater than 0"),
        ({"layer_norm_eps": math.inf}, "layer_norm_eps must be greater than 0"),
        ({"num_decoder_layers": 10**9}, "num_decoder_layers must be at most 10000"),
        ({"relative_positions": "rotary", "head_dim": 3}, "the width of a head must be even, got 3"),
        ({"relative_positions": "rotary", "rope_scaling": {"factor": 2.0}}, "rope_scaling must be"),
        ({"relative_positions": "buckets", "relative_buckets": 2}, "relative_buckets must be at least 4"),
        ({"relative_positions": "buckets", "relative_max_distance": 8}, "relative_max_distance must be greater"),
        ({"relative_positions": "disentangled", "relative_max_distance": 0}, "relative_max_distance must be at least"),
        ({"disentangled_terms": "p2p"}, "disentangled_terms must be one of"),
        ({"positions": "sinusoidal_t2t", "d_model": 2}, "needs vectors of width 4 or more"),
        ({"convolution": 2}, "convolution must be 0 for none or an odd width"),
        ({"convolution": 3, "num_encoder_layers": 0}, "convolution must be 0 where num_encoder_layers is 0"),
        ({"decoder_num_heads": 3}, "divisible by decoder_num_heads, got d_model = 8 and decoder_num_heads = 3"),
        ({"vocab_size": numpy.float64(13)}, "vocab_size must be of type int"),
        ({"dropout": math.nan}, "dropout must be in"),
        ({"vocab_size": 10**5000}, "vocab_size must be at most"),
    ],
)
def test_fields_that_no_model_can_be_built_of(changes, message):
    with pytest.raises(minixfmr.ConfigError, match=message):
        small_config(**changes)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (
            minixfmr.DecoderOnly,
            {"embedding_size": 4},
            "embedding_size must be None in an DecoderOnly: only EncoderOnly",
        ),
        (minixfmr.DecoderOnly, {"convolution": 3}, "convolution must be 0 in a DecoderOnly"),
        (minixfmr.EncoderOnly, {"decoder_num_heads": 2}, "only EncoderDecoder has it"),
        (minixfmr.EncoderOnly, {"head": "causal_lm"}, "has no head 'causal_lm'"),
        (minixfmr.EncoderOnly, {"head": "sequence_classification", "pooling": "last_by_id"}, "pooling must be"),
        (minixfmr.EncoderDecoder, {"head": "sequence_classification", "eos_token_id": None}, "eos_token_id must be"),
        (minixfmr.EncoderOnly, {"vocab_size": 10**12}, r"needs [\d.]+ GB, [\d.]+ GB are free here: lower vocab_size"),
        (minixfmr.DecoderOnly, {"d_ff": 10**12}, "GB are free here"),
        (minixfmr.EncoderDecoder, {"max_position_embeddings": 10**13}, "GB are free here"),
    ],
)
def test_models_that_cannot_be_built(kind, changes, message):
    with pytest.raises(minixfmr.ConfigError, match=message):
        kind(small_config(**changes))


def test_what_is_no_config():
    for thing in (None, {"vocab_size": 3}, minixfmr.Config):
        with pytest.raises(TypeError, match="EncoderOnly needs a minixfmr.Config"):
            check_model("EncoderOnly", thing if thing is not minixfmr.Config else "Config", {})


def test_numbers_of_numpy_are_fields():
    config = small_config(
        vocab_size=numpy.int64(13), dropout=numpy.float32(0.5), d_model=numpy.array(8), layer_norm_eps=1
    )
    assert config == small_config(vocab_size=13, dropout=0.5, d_model=8, layer_norm_eps=1.0)
    assert [type(v) for v in (config.vocab_size, config.dropout, config.layer_norm_eps)] == [int, float, float]


def test_relative_vectors_have_a_scale_of_their_own():
    model = minixfmr.EncoderOnly(
        small_config(num_encoder_layers=1, relative_positions="disentangled", positions="none")
    )
    assert_ok(minixfmr.gradcheck(model, IDS, max_entries=2, explain=False))
