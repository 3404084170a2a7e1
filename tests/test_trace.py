"""The trace: complete, true to what it observed, without a mark on the model, and a page that a browser shows."""

import html
import html.parser
import importlib
import linecache
import pkgutil
import re
import shutil
import subprocess
import sys
import tracemalloc

import pytest

import minixfmr
from minixfmr import layers
from minixfmr.backend import random_generator, xp
from minixfmr.layers import LayerNorm, Linear, MultiHeadAttention
from minixfmr.trace import steps

SMALL = {"vocab_size": 20, "d_model": 8, "num_heads": 2, "d_ff": 12, "max_position_embeddings": 16}


def numbers(*shape):
    return minixfmr.to_device(random_generator(1).standard_normal(shape), "float32")


def ids(*shape):
    return random_generator(2).integers(3, 20, shape)


def an_encoder_decoder(**fields):
    config = minixfmr.Config(**SMALL, num_encoder_layers=1, num_decoder_layers=2, **fields)
    return minixfmr.trace(minixfmr.EncoderDecoder(config), ids(2, 7), ids(2, 5), labels=ids(2, 5))


def traces():
    yield an_encoder_decoder()
    yield an_encoder_decoder(positions="none", relative_positions="buckets", norm="rms", gated_feed_forward=True)
    config = minixfmr.Config(**SMALL, num_encoder_layers=1, num_decoder_layers=1, norm_order="pre", positions="learned")
    yield minixfmr.trace(minixfmr.EncoderOnly(config), ids(2, 6))
    rotary = minixfmr.Config(**SMALL, num_decoder_layers=1, positions="none", relative_positions="rotary")
    yield minixfmr.trace(minixfmr.DecoderOnly(rotary), ids(1, 3), labels=ids(1, 3))
    yield minixfmr.trace(MultiHeadAttention(8, 2), numbers(1, 3, 8), numbers(1, 4, 8))


# --- what it tells


def test_every_step_has_its_backward_and_shapes_come_back():
    for trace in traces():
        last = max(step.forward.number for step in trace.steps)
        for step in trace.steps:
            forward, backward = step.forward, step.backward
            if forward.name == "add_positions":  # a sum: its backward is so simple that nobody calls it
                continue
            assert backward is not None, forward.name
            assert backward.number > last, "the backward begins when the forward is done"
            assert backward.name == forward.name and backward.owner is forward.owner
            if forward.name not in ("CrossEntropy", "cross_entropy"):
                y, dy = forward.shapes_out[0], backward.shapes_in[0]  # the gradient of what came out goes in
                assert all(m in (1, n) for m, n in zip(y, dy, strict=True)), forward.name  # 1: a bias of all sequences
            if forward.is_method and backward.shapes_out and () not in backward.shapes_out:  # no plain 0
                arrays = len(backward.shapes_out)
                assert forward.shapes_in[:arrays] == backward.shapes_out, forward.name


def test_the_steps_are_the_modules_of_the_model_in_the_order_of_the_forward():
    config = minixfmr.Config(**SMALL, num_encoder_layers=1, num_decoder_layers=1)
    model = minixfmr.EncoderDecoder(config)
    told = [
        (step.forward.path, step.forward.name, step.parameters)
        for step in minixfmr.trace(model, ids(1, 4), ids(1, 3)).steps
        if step.forward.is_method
    ]
    names = [path for path, _, _ in told]
    assert names[0] == "" and names.index("encoder") < names.index("target") < names.index("decoder")
    assert ("decoder.blocks.0.cross_attention.layer.key", "Linear", {"weight": (8, 8), "bias": (8,)}) in told
    owners = {id(step.forward.owner) for step in minixfmr.trace(model, ids(1, 4), ids(1, 3)).steps}
    assert owners >= {id(module) for module in leaves(model)}


def leaves(module):
    children = [child for _, child in module.named_children()]
    return [module] if not children else [leaf for child in children for leaf in leaves(child)]


def test_values_shapes_and_the_loss_are_those_of_the_model():
    config = minixfmr.Config(**SMALL, num_decoder_layers=1)
    model, given, labels = minixfmr.DecoderOnly(config), ids(2, 6), ids(2, 6)
    trace = minixfmr.trace(model, given, labels=labels)
    logits = minixfmr.to_numpy(model(given))
    first = trace.steps[0].forward
    assert (first.low, first.high) == (pytest.approx(logits.min()), pytest.approx(logits.max()))
    assert first.shapes_in == [(2, 6)] and first.shapes_out == [(2, 6, 20)]
    loss, _ = minixfmr.CrossEntropy().forward(model(given), labels)
    assert trace.loss == pytest.approx(float(loss))
    assert "loss" in trace.title
    assert [step.forward.name for step in trace.steps if step.forward.path == "loss"] == [
        "CrossEntropy",
        "cross_entropy",
    ]


def test_times_add_up():
    trace = an_encoder_decoder()
    calls = [call for step in trace.steps for call in (step.forward, step.backward) if call]
    assert all(0 <= call.own_seconds <= call.seconds for call in calls)
    inner = {}
    for call in calls:
        inner[id(call.inside)] = inner.get(id(call.inside), 0) + call.seconds
    root = trace.steps[0].forward
    assert 0 < inner[id(root)] <= 1.5 * root.seconds  # the fastest of several passes each


@pytest.mark.on_numpy("tracemalloc knows the memory of NumPy only")
def test_memory_is_what_numpy_took():
    x = numbers(512, 512)
    step = minixfmr.trace(Linear(512, 256), x).steps[0]
    y = 512 * 256 * 4
    assert y <= step.forward.kept < y + 20_000  # nothing but y: x and the weight were there before
    assert step.forward.peak < y + 60_000  # NumPy's own buffers
    assert step.backward.peak == pytest.approx(512 * 512 * 4 + 512 * 256 * 4, abs=60_000)  # dx and dweight
    step = minixfmr.trace(LayerNorm(512), x).steps[0]
    assert step.forward.kept == pytest.approx(2 * x.nbytes, abs=20_000)  # y, and n for the backward


def test_memory_is_not_told_where_nobody_knows_it(monkeypatch):
    monkeypatch.setattr(sys.modules["minixfmr.trace.tell"], "backend_name", lambda: "other")
    trace = minixfmr.trace(Linear(3, 2), numbers(4, 3))
    assert trace.steps[0].forward.kept is None
    assert "KiB at most" not in trace._repr_html_() and "linear" in str(trace)


def test_every_pair_of_the_layers_is_found_and_has_a_formula():
    found = set()
    for info in pkgutil.walk_packages(layers.__path__, "minixfmr.layers."):
        for described, forward, backward in steps.pairs_of(importlib.import_module(info.name)):
            found.add(described.__name__)
            assert len({function.__code__.co_filename for function in (forward, backward)}) == 1
            if forward.__name__ not in ("forward", "attend"):  # which only chooses
                formula = steps.formula(described)
                assert re.search(r"\S = \S", formula), (described, formula)
                assert "..., d)" not in formula, f"{described}: that is a shape"
    assert {"linear", "softmax", "layer_norm", "Linear", "LayerNorm", "attention", "long_attention"} <= found
    assert not [name for name in found if name.endswith("_backward")]


# --- what it leaves behind


def test_the_model_is_as_before():
    model = minixfmr.DecoderOnly(minixfmr.Config(**SMALL, num_decoder_layers=1))
    for i, parameter in enumerate(model.parameters()):
        parameter.grad += i
    before = model.state_dict()
    minixfmr.trace(model, ids(2, 4))
    for i, parameter in enumerate(model.parameters()):
        assert (parameter.grad == i).all()
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_python_is_as_before_even_after_an_error():
    seen = []

    def profiler(frame, event, argument):
        seen.append(event)

    model = minixfmr.DecoderOnly(minixfmr.Config(**SMALL, num_decoder_layers=1))
    sys.setprofile(profiler)
    try:
        with pytest.raises(ValueError, match="input_ids"):
            minixfmr.trace(model, ids(4))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert seen


# --- of anybody's module


class Scale(minixfmr.Module):
    """y = x · gain"""

    def __init__(self, n):
        self.gain = minixfmr.Parameter(xp.ones(n, "float32"))

    def forward(self, x):
        return scale(x, self.gain.data)

    def backward(self, dy, kept):
        dx, dgain = scale_backward(dy, kept)
        self.gain.grad += dgain
        return dx


def scale(x, gain):
    return x * gain, (x, gain)


def scale_backward(dy, kept):
    x, gain = kept
    return dy * gain, (dy * x).sum(axis=0)


def test_a_students_own_module():
    trace = minixfmr.trace(Scale(3), numbers(4, 3))
    outer, inner = trace.steps
    assert outer.forward.name == "Scale" and outer.forward.formula == "y = x · gain"
    assert inner.forward.name == "scale" and inner.forward.formula == ""
    assert inner.backward.shapes_in == [(4, 3)] and inner.backward.shapes_out == [(4, 3), (3,)]
    assert outer.parameters == {"gain": (3,)}
    assert "test_trace.py" in str(trace) and "return scale(x, self.gain.data)" in trace._repr_html_()


def test_a_layer_that_is_used_twice():
    class Twice(minixfmr.Module):
        def __init__(self):
            self.layer = Linear(3, 3)

        def forward(self, x):
            h, first = self.layer.forward(x)
            y, second = self.layer.forward(h)
            return y, (first, second)

        def backward(self, dy, saved):
            first, second = saved
            return self.layer.backward(self.layer.backward(dy, second), first)

    _, first, _, second, _ = minixfmr.trace(Twice(), numbers(2, 3)).steps
    assert first.forward.number < second.forward.number
    assert first.backward.number > second.backward.number  # the one that ran last is answered first


def test_a_module_that_is_in_no_file():
    names = {"Module": minixfmr.Module}
    exec("class Same(Module):\n def forward(self, x): return x, None\n def backward(self, dy, saved): return dy", names)
    trace = minixfmr.trace(names["Same"](), numbers(2, 3))
    assert "Same" in str(trace) and "source not available" in trace.page()


@pytest.mark.on_numpy("tracemalloc knows the memory of NumPy only")
def test_a_running_tracemalloc_goes_on():
    tracemalloc.start()
    try:
        minixfmr.trace(Linear(3, 2), numbers(4, 3))
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_nobody_times_nothing():
    with pytest.raises(ValueError, match="repeats must be an integer of at least 1, got 0"):
        minixfmr.trace(Linear(3, 2), numbers(4, 3), repeats=0)


@pytest.mark.parametrize("model", [3, lambda x: (x, None), Linear])
def test_only_modules(model):
    with pytest.raises(TypeError, match="trace takes a Module"):
        minixfmr.trace(model, numbers(2, 2))


def test_a_forward_without_its_saved():
    class Forgetful(minixfmr.Module):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match="the forward of Forgetful must return"):
        minixfmr.trace(Forgetful(), numbers(2, 2))


# --- the page


class Tags(html.parser.HTMLParser):
    """Counts what a page has, and checks that each tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.pairs = [], set(), set(), 0
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert not {"src", "srcset"} & given.keys() and tag not in ("script", "link", "img")
        self.pairs += given.get("class") == "pair"
        self.ids |= {given["id"]} if "id" in given else set()
        self.links |= {given["href"]} if "href" in given else set()
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_sound_and_needs_nothing_else(tmp_path):
    for trace in traces():
        trace.save(tmp_path / "trace.html")
        text = (tmp_path / "trace.html").read_text(encoding="utf-8")
        tags = Tags(text)
        assert tags.links == {f"#{name}" for name in tags.ids}, "each source is linked, and each link leads somewhere"
        assert tags.pairs == len(trace.steps) + len(tags.ids)
        assert "http" not in text and "url(" not in text
        Tags(trace._repr_html_())


def test_the_page_shows_which_lines_answer_each_other():
    text = re.sub(r"<[^>]+>", "", an_encoder_decoder().page())
    forward = re.search(r"(\d+) +\d+ +a, saved_self = self.self_attention.forward\(x, mask=mask", text)
    backward = re.search(r"(\d+) +\d+ +return self.self_attention.backward\(da, saved_self\)", text)
    assert forward[1] == backward[1]


def test_a_step_has_one_number_on_both_sides_and_in_the_source():
    trace = an_encoder_decoder()
    text = trace.page()
    numbers = [int(number) for number in re.findall(r'<span class="number">(\d+)</span>', text)]
    expected = [n for n, step in enumerate(trace.steps, 1) for half in (step.forward, step.backward) if half]
    assert numbers == expected
    _, _, *rows = str(trace).splitlines()
    assert [int(row.split()[0]) for row in rows] == list(range(1, len(trace.steps) + 1)), "the table has them, too"
    source = re.sub(r"<[^>]+>", "", text[text.index("<h2>") :])
    for number, step in enumerate(trace.steps, 1):
        line = step.forward.called[1]
        code = re.escape(html.escape(linecache.getline(*step.forward.called).strip(), quote=False))
        if step.forward.inside and step.backward:
            first = re.search(rf"(\d+)…? +{line} +{code}", source)
            assert first and int(first[1]) <= number, "a line called several times carries the first of its numbers"


def test_what_works_like_a_step_further_up_is_folded():
    text = an_encoder_decoder()._repr_html_()
    folds = re.findall(r'<details( open)?><summary class="pair".*?<span class="number">(\d+)</span>', text)
    is_open = {int(number): bool(opened) for opened, number in folds}
    trace = an_encoder_decoder()
    named = {n: step.forward for n, step in enumerate(trace.steps, 1)}
    blocks = [n for n, call in named.items() if call.name == "DecoderBlock"]
    assert [is_open[n] for n in blocks] == [True, False], "the second block is like the first"
    keys = [n for n, call in named.items() if call.is_method and call.path.endswith("layer.key")]
    assert is_open[1] and not any(is_open[n] for n in keys), "a second Linear"
    functions = {n for n, call in named.items() if not any(later.inside is call for later in named.values())}
    assert not functions & is_open.keys(), "what holds nothing cannot be folded"


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here: apt-get install chromium")
def test_a_browser_shows_the_page(tmp_path):
    trace = an_encoder_decoder()
    trace.save(tmp_path / "trace.html")
    chromium = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "trace.html").as_uri()
    dom = subprocess.run([*chromium, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
    assert dom.stdout.count('class="pair"') == len(trace.steps) + dom.stdout.count('id="source-')
    shot = tmp_path / "trace.png"
    options = ["--hide-scrollbars", "--window-size=1200,1000", f"--screenshot={shot}", address]
    subprocess.run([*chromium, *options], capture_output=True, timeout=120, check=True)
    image = pytest.importorskip("PIL.Image").open(shot).convert("RGB")
    assert image.size == (1200, 1000)
    shares = {colour: count / 1.2e6 for count, colour in image.getcolors(1 << 24)}
    assert 0.5 < shares[255, 255, 255] < 0.97  # white paper with text on it
    assert shares[0xE6, 0x9F, 0] > 1e-4  # and the bars of the times


def test_a_function_computed_in_blocks_is_one_step_with_its_whole_arrays():
    """layer_norm is decorated by by_rows, which calls it for a few rows at a time."""
    norm, x = minixfmr.layers.LayerNorm(64), numbers(80, 60, 64)
    (outer, step) = minixfmr.trace(norm, x).steps
    assert (outer.forward.name, step.forward.name) == ("LayerNorm", "layer_norm")
    assert step.forward.shapes_in == [(80, 60, 64), (64,), (64,)] and step.forward.shapes_out == [(80, 60, 64)]
    assert step.backward.shapes_in == [(80, 60, 64)] and "dn" in step.backward.formula
    assert step.forward.inside is outer.forward and step.backward.inside is outer.backward
