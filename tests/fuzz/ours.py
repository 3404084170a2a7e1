"""Our own files: models, weights, training states."""

import tempfile
from pathlib import Path

import minixfmr
from minixfmr import checkpoint
from minixfmr.training.schedules import constant

from .original import Original, arrays_of, files_of, unsealed

SIZES = dict(vocab_size=11, d_model=8, num_heads=2, d_ff=12, num_encoder_layers=1, num_decoder_layers=1, dropout=0.1)


def _read_model(folder):
    model = minixfmr.load(folder)
    return {"": [type(model).__name__, model.config.to_dict()]} | arrays_of(model)


def models():
    with tempfile.TemporaryDirectory() as name:
        for n, kind in enumerate((minixfmr.EncoderDecoder, minixfmr.DecoderOnly, minixfmr.EncoderOnly)):
            minixfmr.save(kind(minixfmr.Config(**SIZES), seed=n), name)
            files = files_of(name)
            yield Original("load", files, _read_model)
        older = {name: unsealed(data) if name.endswith("tensors") else data for name, data in files.items()}
        yield Original("load older", older, _read_model, sealed=False)


def weights():
    model = minixfmr.DecoderOnly(minixfmr.Config(**SIZES), seed=3)
    with tempfile.TemporaryDirectory() as name:
        checkpoint.save_weights(model, Path(name) / "weights")
        files = files_of(name)
    other = minixfmr.DecoderOnly(minixfmr.Config(**SIZES), seed=4)
    before = arrays_of(other)

    def read(folder):
        checkpoint.load_weights(other, folder / "weights")
        result = arrays_of(other)
        other.load_state_dict(before)
        return result

    for sealed in (True, False):
        data = files["weights"] if sealed else unsealed(files["weights"])
        door = "load_weights" if sealed else "load_weights older"
        yield Original(door, {"weights": data}, read, sealed, lambda: arrays_of(other))


def _trainer(seed):
    config = minixfmr.Config(**SIZES, max_position_embeddings=8)
    model = minixfmr.EncoderDecoder(config, seed=seed)
    data = minixfmr.TranslationData([[4, 5, 6], [7, 8]] * 4, [[6, 5], [8, 7, 4]] * 4, config, 12, seed=0)
    return minixfmr.Trainer(model, minixfmr.AdamW(model.parameters()), constant(1e-3), data, workers=1)


def _state(trainer):
    state = trainer.state_dict()
    t = state["optimizer"].pop("t")
    arrays = {f"{part}.{n}": array.copy() for part in ("model", "optimizer") for n, array in state[part].items()}
    return {"": [state["progress"], t]} | arrays


def training():
    first, other = _trainer(0), _trainer(1)
    with tempfile.TemporaryDirectory() as name:
        run = first.run(epochs=3)
        for _ in range(3):
            next(run)
        minixfmr.save_training(first, Path(name) / "training", {"steps": [[1, 2.5]], "best": None})
        files = files_of(name)
    before = other.state_dict()

    def read(folder):
        notes = minixfmr.load_training(other, folder / "training")
        state = _state(other)
        other.load_state_dict(before)
        return state | {"": [*state[""], notes]}

    for sealed in (True, False):
        data = files["training"] if sealed else unsealed(files["training"])
        door = "load_training" if sealed else "load_training older"
        yield Original(door, {"training": data}, read, sealed, lambda: _state(other))
