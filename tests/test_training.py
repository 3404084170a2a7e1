import math

import pytest
from conftest import Draws, assert_ok, np, small_batch, small_config
from hypothesis import given
from hypothesis import strategies as st

import minixfmr
from minixfmr import gradcheck_function, training
from minixfmr.backend import is_shared, to_device, xp
from minixfmr.training import CrossEntropy, ParallelGradients, TranslationData, token_batches
from minixfmr.training.optimizers import adamw_update


def copy_task(config, n=40, max_tokens=60, seed=0):
    rng = Draws(1)
    sequences = [rng.integers(3, config.vocab_size, rng.integers(1, 7)).tolist() for _ in range(n)]
    return TranslationData(sequences, [s[::-1] for s in sequences], config, max_tokens, seed)


def new_trainer(config=None, **options):
    config = config or small_config(dtype="float32", dropout=0.2)
    model = minixfmr.EncoderDecoder(config)
    settings = dict(schedule=training.noam(config.d_model, 20), data=copy_task(config), seed=3) | options
    return minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), **settings)


class TestCrossEntropy:
    @given(
        st.integers(0, 2**32 - 1),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        st.integers(2, 9),
        st.sampled_from([0.0, 0.1, 0.9]),
        st.sampled_from([0.3, 0.8]),
    )
    def test_gradient(self, seed, shape, V, smoothing, ignored):
        rng = Draws(seed)
        logits, labels = rng.standard_normal((*shape, V)), rng.integers(0, V, shape)
        labels[rng.random(shape) < ignored] = -100
        criterion = CrossEntropy(label_smoothing=smoothing)

        def forward(logits):
            loss, saved = criterion.forward(logits, labels)
            return xp.asarray(loss), saved

        def backward(dy, saved):
            return dy * criterion.backward(saved)

        report = gradcheck_function(forward, backward, logits)
        assert_ok(report)

    def test_logits_may_lie_in_memory_in_any_order(self, rng):
        logits, labels = rng.standard_normal((7, 6)), np.array([1, 0, 6, -100, 2, 2])
        by_columns = logits.swapaxes(0, 1)  # (6, 7)
        results = []
        for z in (by_columns, minixfmr.to_device(np.array(by_columns, order="C"))):
            loss, saved = CrossEntropy(label_smoothing=0.1).forward(z, labels)
            results.append((float(loss), np.array(CrossEntropy().backward(saved))))
        assert results[0][0] == pytest.approx(results[1][0])
        np.testing.assert_allclose(results[0][1], results[1][1])

    def test_it_is_the_mean_over_the_labels_that_count(self, rng):
        logits, labels = rng.standard_normal((2, 3, 5)), np.array([[1, 4, -100], [-100, 0, 2]])
        loss, _ = CrossEntropy().forward(logits, labels)
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        by_hand = [-math.log(p[b, t, labels[b, t]]) for b in range(2) for t in range(3) if labels[b, t] >= 0]
        assert float(loss) == pytest.approx(np.mean(by_hand))
        padded = np.where(labels < 0, 0, labels)
        other, _ = CrossEntropy(ignore_index=0).forward(logits, padded)
        assert float(other) == pytest.approx(np.mean([v for v, k in zip(by_hand, [1, 4, 0, 2], strict=True) if k]))

    def test_no_label_that_counts_gives_zero(self):
        loss, saved = CrossEntropy().forward(xp.ones((2, 3)), np.array([-100, -100]))
        assert loss == 0
        assert not CrossEntropy().backward(saved).any()

    def test_huge_logits_stay_finite(self):
        logits = to_device([[1e4, -1e4, 0.0]], "float32")
        loss, saved = CrossEntropy(label_smoothing=0.1).forward(logits, np.array([1]))
        assert math.isfinite(loss)
        assert np.isfinite(CrossEntropy().backward(saved)).all()

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            (np.array([[0, 3]]), ValueError, r"labels must lie in \[0, 3\) .*got values from 0 to 3"),
            (np.array([[0, -1]]), ValueError, "got values from -1 to 0"),
            (np.array([[0.0, 1.0]]), TypeError, "labels must be integers .*float64"),
            (np.array([[0, 1, 2]]), ValueError, r"labels have shape \(1, 3\), logits \(1, 2, 3\)"),
        ],
    )
    def test_bad_labels(self, labels, error, message):
        with pytest.raises(error, match=message):
            CrossEntropy().forward(xp.zeros((1, 2, 3)), labels)

    def test_bad_smoothing(self):
        with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\), got 1"):
            CrossEntropy(label_smoothing=1)


class TestOptimizer:
    def test_a_shared_parameter_is_updated_once(self):
        p = minixfmr.Parameter(xp.ones(3))
        p.grad[...] = 1.0
        minixfmr.AdamW([p, p], lr=0.1, weight_decay=0.0).step()
        np.testing.assert_allclose(p.data, 0.9, rtol=1e-6)

    def test_blocks_change_nothing(self, rng, monkeypatch):
        results = []
        for size in (50, 7):
            blocks = [slice(i, i + size) for i in range(0, 50, size)]
            monkeypatch.setattr(training.optimizers, "row_blocks", lambda *_, blocks=blocks: blocks)
            p = minixfmr.Parameter(to_device(np.linspace(-1, 1, 50)))
            optimizer = minixfmr.AdamW([p], lr=0.1)
            for step in range(3):
                p.grad[...] = xp.sin(xp.arange(50) + step)
                optimizer.step()
            results.append(p.data.copy())
        np.testing.assert_array_equal(*results)

    def test_forked_helpers_keep_no_copy_of_what_training_writes(self):
        optimizer = minixfmr.AdamW([minixfmr.Parameter(xp.ones((2, 3)))])
        for array in (optimizer.flat.data, optimizer.flat.grad, optimizer.m, optimizer.v):
            assert is_shared(array[:1])

    def test_all_cores_do_what_one_does(self):
        n = (1 << 21) + 7  # enough to be shared out
        p, g = (xp.sin(xp.arange(n, dtype="float32") + k) for k in range(2))
        parameter, m, v = minixfmr.Parameter(p.copy()), xp.zeros_like(p), xp.zeros_like(p)
        parameter.grad[...] = g
        optimizer = minixfmr.AdamW([parameter], lr=0.1)
        for step in (1, 2):
            optimizer.step()
            adamw_update(p, g, (m, v), step, 0.1, (0.9, 0.999), 1e-8, 1e-2)
        np.testing.assert_array_equal(parameter.data, p)

    def test_replaced_arrays_are_noticed(self):
        p = minixfmr.Parameter(xp.ones(3))
        first = minixfmr.AdamW([p])
        minixfmr.AdamW([p])
        with pytest.raises(RuntimeError, match="make one optimizer"):
            first.step()

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="empty list"):
            minixfmr.AdamW([])
        with pytest.raises(ValueError, match=r"two betas in \[0, 1\), got lr=0.1, betas=\(0.9, 1.0\)"):
            minixfmr.AdamW([minixfmr.Parameter(xp.ones(1))], lr=0.1, betas=(0.9, 1.0))

    def test_clipping(self, rng):
        parameters = [minixfmr.Parameter(xp.zeros(s)) for s in [(3, 4), (5,)]]
        for p in parameters:
            p.grad[...] = rng.standard_normal(p.shape)
        before = np.concatenate([p.grad.reshape(-1) for p in parameters])
        norm = minixfmr.clip_grad_norm(parameters, 100.0)
        assert norm == pytest.approx(np.linalg.norm(before))
        np.testing.assert_array_equal(np.concatenate([p.grad.reshape(-1) for p in parameters]), before)
        minixfmr.clip_grad_norm(parameters, 0.5)
        after = np.concatenate([p.grad.reshape(-1) for p in parameters])
        np.testing.assert_allclose(after, before * 0.5 / norm, rtol=1e-5)


class TestSchedules:
    def test_noam_is_the_formula_of_the_paper(self):
        lr = training.noam(512, 4000)
        for step in (1, 100, 4000, 4001, 100000):
            assert lr(step) == pytest.approx(512**-0.5 * min(step**-0.5, step * 4000**-1.5))

    def test_shapes(self):
        for lr in (training.inverse_sqrt(0.1, 10), training.cosine(0.1, 10, 100, final=0.01)):
            values = [lr(step) for step in range(1, 101)]
            assert values[9] == pytest.approx(0.1)
            assert max(values) == pytest.approx(0.1)
            assert np.all(np.diff(values[:10]) > 0)
            assert np.all(np.diff(values[9:]) < 0)
        assert lr(100) > 0.01  # the last step still learns
        assert lr(101) == lr(1000) == pytest.approx(0.01)
        assert (lr(55) + lr(56)) / 2 == pytest.approx(0.055)
        assert training.cosine(0.1, 0, 1)(1) > 0  # even where it is the only one
        assert training.constant(0.3)(7) == 0.3


class TestData:
    @given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 90), st.booleans())
    def test_every_sequence_comes_once_and_batches_stay_within_the_limit(self, lengths, max_tokens, shuffled):
        batches = token_batches(lengths, max_tokens, Draws(0) if shuffled else None)
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens

    def test_teacher_forcing(self):
        config = small_config()
        data = TranslationData([[5, 6], [7]], [[8], [9, 10, 11]], config, 100)
        batch = data.batch([0, 1])
        np.testing.assert_array_equal(batch["input_ids"], [[5, 6, 2], [7, 2, 0]])
        np.testing.assert_array_equal(batch["attention_mask"], [[1, 1, 1], [1, 1, 0]])
        np.testing.assert_array_equal(batch["decoder_input_ids"], [[1, 8, 2, 0], [1, 9, 10, 11]])
        np.testing.assert_array_equal(batch["labels"], [[8, 2, -100, -100], [9, 10, 11, 2]])

    def test_order_depends_on_seed_and_epoch_alone(self):
        data, again = copy_task(small_config()), copy_task(small_config())
        assert data.order(1) == data.order(1) == again.order(1)
        assert data.order(0) != data.order(1)
        assert data.order(0) != copy_task(small_config(), seed=5).order(0)

    def test_bad_pairs(self):
        config = small_config()
        for sources, targets, message in [
            ([[3]], [], "1 sources but 0 targets"),
            ([], [], "no sentence pairs"),
            ([[3] * 12], [[3]], "13 tokens .*longer than max_position_embeddings = 12"),
        ]:
            with pytest.raises(ValueError, match=message):
                TranslationData(sources, targets, config, 100)


@pytest.fixture(autouse=True)
def nothing_is_too_small_to_share(monkeypatch):
    monkeypatch.setattr(ParallelGradients, "SMALL", 0)


def gradients(model, batches, workers=1, seed=None):
    model.zero_grad()
    loss, count = ParallelGradients(model, CrossEntropy(label_smoothing=0.1), workers)(batches, seed)
    return float(loss), count, [p.grad.copy() for p in model.parameters()]


def test_accumulated_batches_equal_one_large_batch():
    """Weighted by real labels: the two halves hold different numbers of them."""
    config = small_config()
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    parts = [{k: v[rows] for k, v in batch.items()} for rows in (slice(0, 1), slice(1, 6))]
    assert len({int((p["labels"] >= 0).sum()) for p in parts}) == 2
    whole, split = gradients(model, [batch]), gradients(model, parts)
    assert whole[:2] == pytest.approx(split[:2])
    for a, b in zip(whole[2], split[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_threads_change_nothing_but_rounding(workers):
    config = small_config()
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    one, several = gradients(model, [batch]), gradients(model, [batch], workers)
    assert one[:2] == pytest.approx(several[:2])
    for a, b in zip(one[2], several[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("B", [1, 5])
def test_a_mask_of_one_row_goes_to_every_worker(B):
    config = small_config()
    model, ids = minixfmr.DecoderOnly(config), np.random.default_rng(0).integers(3, config.vocab_size, (B, 6))
    batch = {"input_ids": ids[:, :-1], "labels": ids[:, 1:], "mask": np.tri(5, 5, 1, dtype=bool)[None, None]}
    one, two = gradients(model, [batch]), gradients(model, [batch], 2)
    assert one[:2] == pytest.approx(two[:2])
    for a, b in zip(one[2], two[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (1, 2, 5, 5), (4, 1, 5, 5)])
def test_a_mask_is_shared_out_only_where_it_has_the_axis_of_the_batch(rng, shape):
    """As many heads, or positions, as rows or workers decide nothing."""
    config = small_config()
    model, ids = minixfmr.DecoderOnly(config), np.random.default_rng(0).integers(3, config.vocab_size, (4, 6))
    mask = (rng.random(shape) < 0.7) | np.eye(5, dtype=bool)
    batch = {"input_ids": ids[:, :-1], "labels": ids[:, 1:], "mask": mask}
    one = gradients(model, [batch])
    for workers in (2, 4):
        for a, b in zip(one[2], gradients(model, [batch], workers)[2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "name"), [(minixfmr.EncoderOnly, "token_type_ids"), (minixfmr.DecoderOnly, "position_ids")]
)
def test_a_row_that_serves_all_sequences_gets_the_gradient_of_all(kind, name, workers):
    config = small_config(positions="learned", type_vocab_size=2 if kind is minixfmr.EncoderOnly else 0)
    model, ids = kind(config), np.random.default_rng(0).integers(3, config.vocab_size, (4, 6))
    row = np.array([[0, 1, 1, 0, 0, 1]])
    whole = gradients(model, [{"input_ids": ids, "labels": ids, name: row.repeat(4, axis=0)}])
    shared = gradients(model, [{"input_ids": ids, "labels": ids, name: row}], workers)
    for a, b in zip(whole[2], shared[2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_an_entry_of_another_length_is_named():
    config = small_config()
    batch = small_batch(config, B=6)
    batch["attention_mask"] = batch["attention_mask"][:4]
    with pytest.raises(ValueError, match=r"attention_mask has shape \(4, \d+\): it must have 6 rows"):
        gradients(minixfmr.EncoderDecoder(config), [batch], 2)


@pytest.mark.bits
def test_a_number_of_threads_always_gives_the_same_bits():
    config = small_config(dropout=0.3, dtype="float32")
    model, batch = minixfmr.EncoderDecoder(config), small_batch(config, B=6)
    runs = [gradients(model, [batch, batch], 2, seed=[1, 2]) for _ in range(5)]
    for run in runs[1:]:
        assert run[0] == runs[0][0]
        for a, b in zip(run[2], runs[0][2], strict=True):
            np.testing.assert_array_equal(a, b)
    assert gradients(model, [batch, batch], 2, seed=[1, 3])[0] != runs[0][0]


def test_workers_must_be_positive():
    with pytest.raises(ValueError, match='workers must be "auto" or an integer of at least 1, got 0'):
        new_trainer(workers=0)
    with pytest.raises(ValueError, match="accumulate must be an integer of at least 1, got 0"):
        new_trainer(accumulate=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_training_learns(workers):
    trainer = new_trainer(small_config(dtype="float32", d_model=32, d_ff=64, norm_order="pre"), workers=workers)
    before = minixfmr.evaluate(trainer.model, trainer.data)
    results = list(trainer.run(epochs=30))
    assert [r.step for r in results] == list(range(1, len(results) + 1))
    assert minixfmr.evaluate(trainer.model, trainer.data) < 0.5 * before


def test_evaluation_weighs_every_label_alike():
    config = small_config()
    model = minixfmr.EncoderDecoder(config)
    small, large = (minixfmr.evaluate(model, copy_task(config, max_tokens=n, seed=None)) for n in (8, 10_000))
    assert small == pytest.approx(large, rel=1e-12)


@pytest.mark.bits
@pytest.mark.parametrize("options", [{}, {"accumulate": 3}, {"workers": 2, "clip_norm": None}])
@pytest.mark.parametrize("stop", [1, 7, 12])
def test_resuming_ends_with_the_same_bits(stop, options):
    straight = new_trainer(**options)
    losses = [r.loss for r in straight.run(epochs=3)]
    first = new_trainer(**options)
    for result in first.run(epochs=3):
        if result.step == stop:
            break
    second = new_trainer(**options)
    for p in second.model.parameters():
        p.data += 1  # nothing may survive of what it was
    second.load_state_dict(first.state_dict())
    rest = [r.loss for r in second.run(epochs=3)]
    assert rest == losses[stop:]
    for a, b in zip(straight.model.parameters(), second.model.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_resuming_with_other_settings_is_refused():
    state = new_trainer().state_dict()
    for other, named in [
        (new_trainer(small_config(dtype="float32", norm_order="pre")), "model config"),
        (new_trainer(seed=4), "seed is 4 but was 3"),
        (new_trainer(schedule=training.constant(1e-3)), "learning rates"),
        (new_trainer(workers=3), "workers is 3 but was"),
    ]:
        before = other.model.state_dict()
        with pytest.raises(ValueError, match=named):
            other.load_state_dict(state)
        for name, array in other.model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_what_decides_the_future_is_compared_and_a_refused_load_changes_nothing():
    state = new_trainer().state_dict()
    late = training.inverse_sqrt(0.05, 5)
    others = [
        (new_trainer(criterion=CrossEntropy(label_smoothing=0.2)), "label_smoothing"),
        (new_trainer(criterion=CrossEntropy(ignore_index=0)), "ignore_index"),
        (new_trainer(schedule=lambda step: late(step) * (1 + (step == 777))), "learning rates"),
    ]
    for other, named in others:
        with pytest.raises(ValueError, match=named):
            other.load_state_dict(state)
    data = new_trainer()
    data.data.targets[0] = data.data.targets[0][::-1] + [5]
    with pytest.raises(ValueError, match="data is"):
        data.load_state_dict(state)
    broken = new_trainer()
    before = broken.model.state_dict()
    with pytest.raises(ValueError, match="optimizer state v has"):
        broken.load_state_dict(state | {"optimizer": state["optimizer"] | {"v": state["optimizer"]["v"][1:]}})
    for name, array in broken.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    others[2][0].load_state_dict(state, accept=["learning rates"])
    older = state | {"settings": {"seed": state["settings"]["seed"]}}
    with pytest.warns(UserWarning, match="not checked: .*learning rates"):
        broken.load_state_dict(older)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", ["weight", "loss"])
def test_divergence_stops_before_the_weights_are_touched(where):
    trainer = new_trainer(schedule=training.constant(1e-3))
    run = trainer.run(epochs=3)
    next(run), next(run)
    if where == "weight":
        trainer.model.decoder.blocks[0].feed_forward.layer.hidden.weight.data[0, 0] = np.nan
    else:
        trainer.model.target.tokens.weight.data *= 1e30
    before = trainer.model.state_dict()
    with pytest.raises(minixfmr.TrainingDiverged, match=r"diverged at step 3: .*those of step 2, (some|which)") as told:
        next(run)
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert trainer.progress.step == 2
    assert ("which are finite" in str(told.value)) == (where == "loss")
