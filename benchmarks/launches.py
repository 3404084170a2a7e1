"""How many kernels each layer launches on a GPU, counted without one.

    python -m benchmarks.launches

A launch costs about 5 µs of the CPU's time whatever it computes, so that in small models their number decides the
speed. They are counted by the double of CuPy in tests/, which follows CuPy's source; on a GPU, nsys counts the same.
"""

import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import cupy_double

import minixfmr
from minixfmr import layers
from minixfmr.backend import random_generator, to_device, xp
from minixfmr.models import DecoderBlock, EncoderBlock

B, T, d, H, f, V = 4, 6, 16, 2, 32, 50
counts = cupy_double.counts


def counted(function):
    """(what the function returns, the launches that it took)"""
    counts.clear()
    result = function()
    return result, counts.launches


def row(name, forward, backward):
    print(f"| {name} | {forward} | {backward} | {forward + backward} |")


def layer_rows():
    rng = random_generator(0)
    x = to_device(rng.standard_normal((B, T, d)), "float32")
    ids = rng.integers(0, V, (B, T))
    mask = xp.tri(T, dtype=bool)[None, None]
    config = minixfmr.Config(vocab_size=V, d_model=d, num_heads=H, d_ff=f, num_encoder_layers=1, num_decoder_layers=1)
    cases = {
        "Embedding": (layers.Embedding(V, d), (ids,), {}),
        "SinusoidalPositions": (layers.SinusoidalPositions(T, d), (x,), {}),
        "LearnedPositions": (layers.LearnedPositions(T, d), (x,), {}),
        "Linear": (layers.Linear(d, d), (x,), {}),
        "LayerNorm": (layers.LayerNorm(d), (x,), {}),
        "RMSNorm": (layers.RMSNorm(d), (x,), {}),
        "Activation relu": (layers.Activation("relu"), (x,), {}),
        "Activation gelu": (layers.Activation("gelu"), (x,), {}),
        "Activation gelu_tanh": (layers.Activation("gelu_tanh"), (x,), {}),
        "Activation silu": (layers.Activation("silu"), (x,), {}),
        "Dropout": (layers.Dropout(0.1), (x,), {"rng": random_generator(0)}),
        "MultiHeadAttention": (layers.MultiHeadAttention(d, H), (x,), {}),
        "MultiHeadAttention, masked": (layers.MultiHeadAttention(d, H), (x,), {"mask": mask}),
        "VariantAttention, rotary": (layers.VariantAttention(d, H, rotary=layers.Rotary(d // H)), (x,), {"mask": mask}),
        "FeedForward": (layers.FeedForward(d, f), (x,), {}),
        "GatedFeedForward": (layers.GatedFeedForward(d, f), (x,), {}),
        "EncoderBlock": (EncoderBlock(config), (x,), {}),
        "DecoderBlock": (DecoderBlock(config), (x, x), {"mask": mask}),
        "OutputProjection": (layers.OutputProjection(minixfmr.Parameter(xp.ones((V, d), "float32"))), (x,), {}),
    }
    for name, (layer, inputs, options) in cases.items():
        (y, saved), forward = counted(lambda a=layer, i=inputs, o=options: a.forward(*i, **o))
        _, backward = counted(lambda a=layer, y=y, s=saved: a.backward(y, s))
        row(name, forward, backward)
    criterion = minixfmr.CrossEntropy(label_smoothing=0.1)
    logits = xp.ones((B, T, V), "float32")
    (_, saved), forward = counted(lambda: criterion.forward(logits, ids))
    row("CrossEntropy, smoothed", forward, counted(lambda: criterion.backward(saved))[1])


def whole(dropout, num_layers=2):
    """A step of training an encoder-decoder, and a token of generating with it."""
    config = minixfmr.Config(
        vocab_size=V,
        d_model=d,
        num_heads=H,
        d_ff=f,
        num_encoder_layers=num_layers,
        num_decoder_layers=num_layers,
        max_position_embeddings=64,
        norm_order="pre",
        dropout=dropout,
    )
    model = minixfmr.EncoderDecoder(config)
    sequences = numpy.random.default_rng(0).integers(3, V, (2 * B, T)).tolist()
    data = minixfmr.TranslationData(sequences, sequences, config, B * (T + 1))
    optimizer = minixfmr.AdamW(model.parameters())
    trainer = minixfmr.Trainer(model, optimizer, lambda step: 1e-3, data)
    run = trainer.run(epochs=2)
    next(run)
    report(f"training step, {num_layers}+{num_layers} blocks, dropout {dropout}", cost(lambda: next(run)))
    report("of which AdamW.step", cost(optimizer.step))
    ids = numpy.array(sequences[:B])
    shorter, longer = (
        cost(lambda n=n: minixfmr.generate(model, ids, max_new_tokens=n, eos_token_id=[])) for n in (5, 6)
    )
    report("a token of greedy generation", [b - a for a, b in zip(shorter, longer, strict=True)])


def cost(function):
    """(launches, copies to the GPU, copies back)"""
    counts.clear()
    function()
    return counts.launches, len(counts.uploads), len(counts.downloads)


def report(name, numbers):
    print(f"| {name} | " + " | ".join(map(str, numbers)) + " |")


def main():
    sys.modules["cupy"] = cupy_double
    sys.modules["cupyx.scipy.special"] = cupy_double.special
    minixfmr.use_backend("cupy")
    print("| layer | forward | backward | both |\n|---|---|---|---|")
    layer_rows()
    print("\n| what | launches | copies to the GPU | copies back |\n|---|---|---|---|")
    whole(dropout=0.1)
    whole(dropout=0.0)


if __name__ == "__main__":
    main()
