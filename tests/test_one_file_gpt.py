"""The GPT in one file: short, alone, right by finite differences, and equal to the package's own classes."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import one_file_gpt as one
import pytest

import minixfmr

pytestmark = pytest.mark.on_numpy("the file knows nothing but NumPy")
FILE = Path(one.__file__)
NAMES = {  # in the file → in the package
    "letters": "embedding.tokens.weight",
    "positions": "embedding.positions.weight",
    **{name: f"decoder.blocks.0.self_attention.layer.{name}.weight" for name in ("query", "key", "value", "output")},
    "hidden": "decoder.blocks.0.feed_forward.layer.hidden.weight",
    "result": "decoder.blocks.0.feed_forward.layer.output.weight",
    "scores": "head.output.weight",
}


def a_model():
    """Weights large enough that each of them matters."""
    w = one.new_gpt()
    for p in w.values():
        p.data *= 5
    return w


def ids_of(word):
    return [one.LETTERS.index(letter) for letter in f".{word}."]


def loss_and_gradients(w, ids):
    for p in w.values():
        p.grad[...] = 0
    scores, saved = one.gpt(ids[:-1], w)
    loss, dscores = one.cross_entropy(scores, ids[1:])
    one.gpt_backward(dscores, saved)
    return loss, {name: p.grad.copy() for name, p in w.items()}


def the_package(w):
    """A DecoderOnly with the same weights."""
    config = minixfmr.Config(
        vocab_size=len(one.LETTERS),
        d_model=one.D,
        num_heads=one.HEADS,
        d_ff=4 * one.D,
        num_decoder_layers=1,
        max_position_embeddings=one.LONGEST,
        positions="learned",
        norm_order="pre",
        norm="rms",
        layer_norm_eps=1e-6,
        scale_embeddings=False,
        tie_word_embeddings=False,
        attention_bias=False,
        feed_forward_bias=False,
        dropout=0.0,
        dtype="float64",
    )
    model = minixfmr.DecoderOnly(config)
    state = {NAMES[name]: p.data.T if name == "scores" else p.data for name, p in w.items()}
    assert {name for name in model.state_dict() if "norm" not in name} == state.keys()
    model.load_state_dict(model.state_dict() | state)
    return model


def test_it_is_short_and_stands_alone():
    text = FILE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    nodes = list(ast.walk(ast.parse(text)))
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"numpy", "unicodedata"}


def test_it_learns_and_invents_words():
    run = subprocess.run([sys.executable, FILE], capture_output=True, text=True, timeout=300, check=True)
    losses, words = run.stdout.splitlines()
    first, last = (float(part.split()[0]) for part in losses.removeprefix("loss ").split(", "))
    assert abs(first - np.log(len(one.LETTERS))) < 0.5, "at first it knows nothing"
    assert last < 2.7
    words = words.split()
    assert len(words) > 15 and all(set(word) <= set(one.LETTERS) for word in words)
    assert set(words) - set(one.WORDS), "words of its own"


def test_every_gradient_by_finite_differences():
    w, ids, step = a_model(), ids_of("kangaroo"), 1e-6
    _, gradients = loss_and_gradients(w, ids)
    rng = np.random.default_rng(1)
    for name, p in w.items():
        used = np.argwhere(gradients[name] != 0)
        assert len(used), name
        for i, j in map(tuple, used[rng.permutation(len(used))[:40]]):
            kept, losses = p.data[i, j], []
            for value in (kept + step, kept - step):
                p.data[i, j] = value
                scores, _ = one.gpt(ids[:-1], w)
                losses.append(one.cross_entropy(scores, ids[1:])[0])
            p.data[i, j] = kept
            assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(gradients[name][i, j], rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("word", ["a", "banana", "videocassetteso"])
def test_loss_and_gradients_are_those_of_the_package(word):
    w, ids = a_model(), ids_of(word)
    model, criterion = the_package(w), minixfmr.CrossEntropy()
    loss, gradients = loss_and_gradients(w, ids)
    logits, saved = model.forward(np.array([ids[:-1]]))
    theirs, saved_loss = criterion.forward(logits, np.array([ids[1:]]))
    model.backward(criterion.backward(saved_loss), saved)
    assert loss == pytest.approx(float(theirs), rel=1e-12)
    found = {name: minixfmr.to_numpy(p.grad) for name, p in model.named_parameters()}
    for name, grad in gradients.items():
        other = found[NAMES[name]].T if name == "scores" else found[NAMES[name]]
        np.testing.assert_allclose(grad, other, rtol=1e-9, atol=1e-12, err_msg=name)


def test_adam_is_that_of_the_package():
    w = a_model()
    model, criterion = the_package(w), minixfmr.CrossEntropy()
    learned = [p for name, p in model.named_parameters() if name in NAMES.values()]  # not the gains
    optimizer = minixfmr.AdamW(learned, lr=0.01, betas=(0.85, 0.99), weight_decay=0.0)
    for t, word in enumerate(["otter", "pretzel", "yoyo"], 1):
        ids = ids_of(word)
        loss_and_gradients(w, ids)
        one.adam(w.values(), t, lr=0.01)
        logits, saved = model.forward(np.array([ids[:-1]]))
        _, saved_loss = criterion.forward(logits, np.array([ids[1:]]))
        model.zero_grad()
        model.backward(criterion.backward(saved_loss), saved)
        optimizer.step()
    state = model.state_dict()
    for name, p in w.items():
        other = state[NAMES[name]].T if name == "scores" else state[NAMES[name]]
        np.testing.assert_allclose(p.data, other, rtol=1e-9, atol=1e-9, err_msg=name)
