"""One training step: forward, backward and AdamW, here, in PyTorch (eager and compiled) and in JAX.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --backend cupy      all sides on a GPU, in float32 and in TF32

The same architecture, float32 weights, batch, loss and optimizer on every side, all cores. Without dropout the losses
of the first steps must agree, so that nobody computes less.
"""

import itertools
import math

import numpy as np

import minixfmr
from minixfmr.backend import one_blas_thread
from minixfmr.backend.workers import new_worker

from . import common, gpu

# the encoder-decoder ladder: V, d, H, f, layers, B, T
LADDER = {
    "d 32": (64, 32, 4, 64, 1, 8, 8),
    "d 64": (100, 64, 4, 128, 2, 32, 16),
    "d 128": (1000, 128, 4, 512, 2, 32, 32),
    "d 256": (4000, 256, 8, 1024, 3, 32, 32),
    "d 512": (8000, 512, 8, 2048, 4, 16, 64),
}
GPU_LADDER = {  # a CPU would take minutes
    "d 768": (16000, 768, 12, 3072, 6, 16, 128),
    "d 1024": (16000, 1024, 16, 4096, 6, 16, 128),
}
NANO_GPT = (65, 128, 4, 512, 4, 12, 64)
BERT = (4000, 256, 8, 1024, 4, 16, 128)
SIZES = {f"encoder-decoder {name}": sizes for name, sizes in (LADDER | GPU_LADDER).items()}
SIZES |= {"nanoGPT": NANO_GPT, "encoder": BERT}
GPU_CASES = [case for case in SIZES if case != "encoder-decoder d 32"]
CASES = [case for case in SIZES if case.removeprefix("encoder-decoder ") not in GPU_LADDER]
AGREE = {None: 1e-4, "float32": 1e-4, "TF32": 2e-3}  # of the losses of the first three steps


def fields(case, dropout):
    """(the kind of model, the fields of its Config, B, T)"""
    kind = case.partition(" ")[0]
    V, d, H, f, layers, B, T = SIZES[case]
    shape = {"vocab_size": V, "d_model": d, "num_heads": H, "d_ff": f, "max_position_embeddings": T}
    shape |= {"num_encoder_layers": layers, "num_decoder_layers": layers, "dropout": dropout}
    plain = {"positions": "learned", "scale_embeddings": False, "activation": "gelu"}
    if kind == "nanoGPT":
        return minixfmr.DecoderOnly, shape | plain | {"norm_order": "pre"}, B, T
    if kind == "encoder":
        return minixfmr.EncoderOnly, shape | plain | {"embedding_norm": True}, B, T
    return minixfmr.EncoderDecoder, shape, B, T


def make(case, dropout):
    """(our model, a batch): the same on every side."""
    kind, given, B, T = fields(case, dropout)
    config = minixfmr.Config(**given)
    rng = np.random.default_rng(0)
    batch = {"input_ids": rng.integers(3, config.vocab_size, (B, T))}
    if kind is minixfmr.EncoderDecoder:
        batch["decoder_input_ids"] = rng.integers(3, config.vocab_size, (B, T))
    labels = rng.integers(3, config.vocab_size, (B, T))
    if kind is minixfmr.EncoderOnly:  # masked tokens: 15 % of the labels count
        labels = np.where(rng.random((B, T)) < 0.15, labels, -100)
    return kind(config), batch | {"labels": labels}


def weights_of(model):
    """{name: array} of our model, for the peers."""
    weights = model.state_dict()
    if model.config.positions == "sinusoidal":
        weights["positions"] = minixfmr.to_numpy(model.source.positions.table)
    return weights


def shapes(case, B):
    """The matrix products of B sequences in the forward: [(how many stacked, rows, inner, columns, and the share of the
    rows that the two products of the backward take: in masked language modelling those of labels that count)]."""
    kind = case.partition(" ")[0]
    V, d, H, f, layers, _, T = SIZES[case]
    attention = 4 * [(1, B * T, d, d, 1.0)] + [(B * H, T, d // H, T, 1.0), (B * H, T, T, d // H, 1.0)]
    feed_forward = [(1, B * T, d, f, 1.0), (1, B * T, f, d, 1.0)]
    decoder = 2 * attention + feed_forward if kind == "encoder-decoder" else []
    head = [(1, B * T, d, d, 1.0), (1, B * T, d, V, 0.15)] if kind == "encoder" else [(1, B * T, d, V, 1.0)]
    return layers * (attention + feed_forward + decoder) + head


def flops(case):
    """Of the matrix products of a step, forward and backward."""
    return sum(2 * s * n * k * m * (1 + 2 * share) for s, n, k, m, share in shapes(case, SIZES[case][5]))


# --- the sides


def multiplications(case, parts):
    """Pairs of matrices of a step's products, forward and backward, for one of so many parts of the batch."""
    pairs = []
    for stacked, rows, inner, columns, share in shapes(case, SIZES[case][5] // parts):
        x, w = np.ones((stacked, rows, inner), "f"), np.ones((stacked, inner, columns), "f")
        y = (x @ w)[:, : round(rows * share)]
        pairs += [(x, w), (y, w.swapaxes(1, 2)), (x[:, : round(rows * share)].swapaxes(1, 2), y)]
    return pairs


def products(case, dropout, precision=None):
    """The matrix products of our step and nothing else, shared out in the same way: NumPy cannot be faster."""
    every = multiplications(case, common.CORES)

    def multiply():
        for a, b in every:
            a @ b

    helpers = [new_worker(multiply) for _ in range(common.CORES - 1)]

    def run():
        for helper in helpers:
            helper.start()
        with one_blas_thread():
            multiply()
        for helper in helpers:
            helper.result()
        return 0.0

    return run


def ours(case, dropout, precision=None):
    """minixfmr: the loop as the README shows it, which has a worker for each core."""
    minixfmr.use_backend("cupy" if precision else "numpy")
    libraries = common.held_mb()
    model, batch = make(case, dropout)
    optimizer = minixfmr.AdamW(model.parameters())
    gradients = minixfmr.ParallelGradients(model, minixfmr.CrossEntropy())
    steps = iter(range(1 << 30))

    def run():
        optimizer.zero_grad()
        loss, _ = gradients([batch], [0, next(steps)] if dropout else None)
        optimizer.step()
        return loss

    run.libraries_mb = libraries
    run.meter = gpu.CuPy() if precision else common.Meter()
    return run


def torch_eager(case, dropout, precision=None, compiled=False):
    """PyTorch with fused AdamW."""
    import torch

    from .torch_twin import F, Twin

    torch.set_num_threads(common.CORES)
    device, meter = (gpu.TORCH_DEVICE, gpu.Torch(precision)) if precision else ("cpu", common.Meter())
    libraries = common.held_mb()
    model, batch = make(case, dropout)
    model = Twin(model.config.to_dict(), weights_of(model)).to(device)  # in the place of ours
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batch = {name: torch.tensor(array, device=device) for name, array in batch.items()}
    labels = batch.pop("labels").view(-1)

    def loss_of(batch):
        return F.cross_entropy(model(**batch).view(labels.numel(), -1), labels)

    loss_function = torch.compile(loss_of) if compiled else loss_of

    def run():
        optimizer.zero_grad()
        loss = loss_function(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()  # not waited for: a GPU computes in the background

    run.libraries_mb, run.meter = libraries, meter
    return run


def torch_compiled(case, dropout, precision=None):
    """The same through torch.compile."""
    return torch_eager(case, dropout, precision, compiled=True)


def jax_jit(case, dropout, precision=None):
    """JAX with optax's AdamW, the whole step under jit."""
    import jax
    import optax

    from .jax_twin import forward, parameters

    jax.config.update("jax_default_prng_impl", "unsafe_rbg")  # the fastest that JAX has
    meter = gpu.JAX(precision) if precision else common.Meter()
    libraries = common.held_mb()
    model, batch = make(case, dropout)
    config, weights = model.config.to_dict(), weights_of(model)
    optimizer = optax.adamw(1e-3, weight_decay=1e-2)
    tree = parameters(config, weights)
    moments = optimizer.init(tree)
    positions = weights.get("positions")
    del model, weights
    batch = {name: jax.numpy.asarray(array) for name, array in batch.items()}

    def loss_of(tree, batch, key):
        logits = forward(tree, batch, config, positions, key)
        keep = batch["labels"] >= 0
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"] * keep)
        return (losses * keep).sum() / keep.sum()

    @jax.jit(donate_argnums=(0, 1, 2))
    def step(tree, moments, key, batch):
        key, drawn = jax.random.split(key)
        loss, gradient = jax.value_and_grad(loss_of)(tree, batch, drawn)
        change, moments = optimizer.update(gradient, moments, tree)
        return optax.apply_updates(tree, change), moments, key, loss

    state = [tree, moments, jax.random.key(0)]

    def run():
        *state[:], loss = step(*state, batch)
        return loss  # not waited for: JAX computes in the background

    run.libraries_mb, run.meter = libraries, meter
    return run


SIDES = {"minixfmr": ours, "PyTorch": torch_eager, "PyTorch compiled": torch_compiled, "JAX": jax_jit}


def main():
    parser = common.options(__doc__)
    parser.add_argument("--dropout", type=float, nargs="*", default=[0.0, 0.1], help="(default: 0 0.1)")
    chosen = parser.parse_args()
    card = gpu.card(parser) if chosen.backend == "cupy" else None
    names = chosen.sides.split(",") if chosen.sides else list(SIDES)
    if card and not chosen.sides and not gpu.jax_sees_one():
        names.remove("JAX")
    cases = [case for case in (GPU_CASES if card else CASES) if chosen.only is None or chosen.only in case]
    results, rows = [], []
    for case, dropout, precision in itertools.product(cases, chosen.dropout, gpu.PRECISIONS if card else [None]):
        given = {"case": case, "dropout": dropout, "precision": precision}
        sides = {"sgemm": ("benchmarks.gpu:matmul", {"precision": precision}) if card else common.SGEMM}
        sides |= {} if card else {"products": ("benchmarks.training_step:products", given)}
        sides |= {name: (f"benchmarks.training_step:{SIDES[name].__name__}", given) for name in names}
        measured = common.in_turn(sides, chosen.rounds, chosen.seconds)
        results.append(given | {"sides": measured})
        rows.append(row(case, dropout, precision, measured, names))
        print(*rows[-1], sep=" | ", flush=True)
    header = ["setting", "dropout", *(["precision"] if card else []), *(f"{n}, ms" for n in names), "best peer / ours"]
    header += ["share of matmul peak"] if card else ["share of sgemm peak", "our products alone, ms"]
    header += [common.memory_header(card, names)]
    text = common.table(header, rows)
    print(text)
    if not chosen.no_save:
        common.save("training_step", text, {"results": results}, card)


def row(case, dropout, precision, measured, names):
    """One line of the table, after a check that all sides computed the same."""
    good = {name: r for name, r in measured.items() if "ms" in r}
    if dropout == 0 and "minixfmr" in good:
        for name in good.keys() & set(names):
            if not np.allclose(good[name]["first"], good["minixfmr"]["first"], rtol=AGREE[precision]):
                raise SystemExit(f"{case}: the losses of {name} are {good[name]['first']}, not ours")

    peers = [good[name]["ms"] for name in names if name != "minixfmr" and name in good]
    mine = good.get("minixfmr", {}).get("ms", math.nan)
    ratio = f"{min(peers) / mine:.2f}" if peers else "-"
    product = gpu.MATMUL_FLOPS if precision else common.SGEMM_FLOPS
    peak = product / good.get("sgemm", {}).get("ms", math.nan)  # operations a millisecond
    times = [common.milliseconds(measured[name]) for name in names]
    share = f"{flops(case) / mine / peak:.0%}"
    alone = [common.milliseconds(measured["products"])] if "products" in measured else []
    return [case, dropout, *filter(None, [precision]), *times, ratio, share, *alone, common.memory(measured, names)]


if __name__ == "__main__":
    main()
