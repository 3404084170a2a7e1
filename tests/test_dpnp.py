"""The core on dpnp, a device library that is neither NumPy nor CuPy, on its CPU device.

It needs pip install dpnp intel-opencl-rt.
"""

import glob
import os
import sys

import numpy as np
import pytest

os.environ.setdefault(
    "OCL_ICD_FILENAMES", ":".join(glob.glob(os.path.join(sys.prefix, "lib", "libintelocl.so")))
)  # where pip puts the driver
dpnp = pytest.importorskip("dpnp", reason="dpnp is not installed; pip install dpnp intel-opencl-rt does for this")

import minixfmr
from minixfmr import layers, training
from minixfmr.backend import random_generator

try:
    dpnp.ones(1)
except Exception as error:
    pytest.skip(f"dpnp finds no device: {error}", allow_module_level=True)


def close(a, b):
    np.testing.assert_allclose(minixfmr.to_numpy(a), minixfmr.to_numpy(b), rtol=2e-4, atol=2e-5)


def on_both(function):
    """What function gives on NumPy and on dpnp, as lists of arrays."""
    results = []
    for module in ("numpy", dpnp):
        with minixfmr.backend(module):
            results.append([minixfmr.to_numpy(array) for array in function()])
    for a, b in zip(*results, strict=True):
        close(a, b)


def numbers(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype("float32")


LAYERS = {
    "linear": lambda: layers.Linear(6, 4),
    "layer norm": lambda: layers.LayerNorm(6),
    "rms norm": lambda: layers.RMSNorm(6),
    "gelu": lambda: layers.Activation("gelu"),
    "gelu_tanh": lambda: layers.Activation("gelu_tanh"),
    "feed-forward": lambda: layers.FeedForward(6, 12),
    "attention": lambda: layers.MultiHeadAttention(6, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    def run():
        layer = LAYERS[name]()
        y, saved = layer.forward(minixfmr.to_device(numbers(2, 3, 6)))
        dx = layer.backward(minixfmr.to_device(numbers(*y.shape)), saved)
        return [y, dx, *(p.grad for p in layer.parameters())]

    on_both(run)


def test_embedding_with_repeated_tokens():
    def run():
        layer = layers.Embedding(5, 3)
        _, saved = layer.forward(np.array([[1, 2, 1], [4, 1, 0]]))
        layer.backward(minixfmr.to_device(numbers(2, 3, 3)), saved)
        return [layer.weight.grad]

    on_both(run)


def test_a_model_trains_and_writes():
    ids, labels = np.array([[3, 4, 5, 2], [6, 7, 2, 0]]), np.array([[5, 4, 2], [7, 2, -100]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])

    def run():
        sizes = {"vocab_size": 11, "d_model": 8, "num_heads": 2, "d_ff": 16}
        layers = {"num_encoder_layers": 1, "num_decoder_layers": 1}
        config = minixfmr.Config(**sizes, **layers, dropout=0.0, dtype="float64")
        model = minixfmr.EncoderDecoder(config)
        optimizer = minixfmr.AdamW(model.parameters(), lr=1e-2)
        gradients = minixfmr.ParallelGradients(model, minixfmr.CrossEntropy(label_smoothing=0.1))
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        batch["decoder_input_ids"] = training.shift_right(labels, 1, 0)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            losses.append(gradients([batch])[0])
            minixfmr.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
        written = minixfmr.generate(model, ids, attention_mask=mask, max_new_tokens=4, num_beams=2)
        return [np.array([float(loss) for loss in losses]), written, *(p.data for p in model.parameters())]

    on_both(run)


def test_dropout_draws_what_it_draws_on_numpy():
    x = numbers(4, 5)

    def run():
        rng = random_generator(3)
        y, saved = layers.dropout(minixfmr.to_device(x), 0.5, rng)
        return [y, layers.dropout_backward(minixfmr.to_device(x), saved)]

    on_both(run)
