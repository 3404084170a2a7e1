"""Undamaged files of every kind, and who reads them."""

import atexit
import functools
import importlib.util
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import safetensors.numpy

import minixfmr
from minixfmr import checkpoint
from minixfmr.pretrained import build
from minixfmr.training.schedules import constant

from .damage import parts, together

V = 11
SIZES = dict(vocab_size=V, d_model=8, num_heads=2, d_ff=12, num_encoder_layers=1, num_decoder_layers=1, dropout=0.1)
BERT = dict(
    vocab_size=V,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
)
GPT2 = dict(vocab_size=V, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=3, eos_token_id=3)
ENDS = dict(pad_token_id=1, bos_token_id=0, eos_token_id=2)
BART = dict(vocab_size=V, d_model=8, encoder_layers=1, decoder_layers=1, max_position_embeddings=16, **ENDS) | dict(
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=12,
    decoder_ffn_dim=12,
    decoder_start_token_id=2,
)
PUBLISHED = {
    "bert": BERT,
    "roberta": BERT | ENDS,
    "distilbert": dict(vocab_size=V, dim=8, n_layers=1, n_heads=2, hidden_dim=12, max_position_embeddings=16),
    "albert": BERT | dict(embedding_size=4),
    "deberta-v2": BERT | dict(relative_attention=True, position_buckets=4, pos_att_type="c2p|p2c"),
    "gpt2": GPT2,
    "gpt_neox": BERT | dict(bos_token_id=0, eos_token_id=1, rotary_pct=0.5),
    "llama": BERT | dict(num_key_value_heads=1, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=70.0)),
    "bart": BART,
    "t5": dict(vocab_size=V, d_model=8, d_kv=4, num_heads=2, d_ff=12, num_layers=1, num_decoder_layers=1),
}
PUBLISHED["qwen3"] = PUBLISHED["llama"] | dict(head_dim=4)
PUBLISHED["gpt_neo"] = dict(vocab_size=V, hidden_size=8, num_layers=2, num_heads=2, max_position_embeddings=16) | dict(
    attention_types=[[["global", "local"], 1]], window_size=4, bos_token_id=3, eos_token_id=3
)
PUBLISHED["llama"] |= dict(bos_token_id=1, eos_token_id=2)


@dataclass(eq=False)
class Original:
    """Files that belong together.

    read: the folder → what was loaded, as {"": JSON, name: array}
    sealed: whether damage of any byte of these files can be noticed    unchanged: what reading must leave alone if it
    fails, as the same kind of dictionary
    """

    door: str
    files: dict[str, bytes]
    read: Callable[[Path], dict]
    sealed: bool = True
    unchanged: Callable[[], dict] = dict
    expected: dict = field(init=False)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=_scratch()))
        self.restore()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.expected = self.read(self.folder)

    @functools.cache  # noqa: B019
    def places(self) -> dict[str, numpy.ndarray]:
        """{name: which numbers of the files, all in a row, an array is made of}"""
        count, numbered = 0, dict(self.files)
        for name in sorted(n for n in self.files if not n.endswith(".json")):
            header, _ = parts(self.files[name])
            tensors = safetensors.numpy.load(self.files[name])
            for key in sorted(tensors):
                size = tensors[key].size
                tensors[key] = numpy.arange(count, count + size, dtype="float32").reshape(tensors[key].shape)
                count += size
            numbered[name] = safetensors.numpy.save(tensors, header.get("__metadata__"))
        for name, data in numbered.items():
            (self.folder / name).write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self.read(self.folder)
        self.restore()
        return {key: array.astype(int) for key, array in found.items() if key}

    def restore(self, damaged: str = "") -> None:
        """Put the file back as it was; without a name, all of them."""
        if damaged:
            path = self.folder / damaged
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            (path.parent / "elsewhere").unlink(missing_ok=True)
        for name in [damaged] if damaged else self.files:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(self.files[name])


@functools.cache
def _scratch():
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="minixfmr-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, True)
    return folder


@functools.cache
def originals() -> list[Original]:
    """One of each kind."""
    return [*_models(), *_weights(), *_training(), *_published(), _sentences(), *_tutorial()]


def unsealed(data: bytes) -> bytes:
    """The file as it was written before there were checksums."""
    header, body = parts(data)
    header["__metadata__"].pop("checksums")
    header["__metadata__"] or header.pop("__metadata__")
    return together(header, body)


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def _arrays(model):
    return {name: array.copy() for name, array in model.state_dict().items()}


# --- our own


def _read_model(folder):
    model = minixfmr.load(folder)
    return {"": [type(model).__name__, model.config.to_dict()]} | _arrays(model)


def _models():
    with tempfile.TemporaryDirectory() as name:
        for n, kind in enumerate((minixfmr.EncoderDecoder, minixfmr.DecoderOnly, minixfmr.EncoderOnly)):
            minixfmr.save(kind(minixfmr.Config(**SIZES), seed=n), name)
            files = _files(name)
            yield Original("load", files, _read_model)
        older = {name: unsealed(data) if name.endswith("tensors") else data for name, data in files.items()}
        yield Original("load older", older, _read_model, sealed=False)


def _weights():
    model = minixfmr.DecoderOnly(minixfmr.Config(**SIZES), seed=3)
    with tempfile.TemporaryDirectory() as name:
        checkpoint.save_weights(model, Path(name) / "weights")
        files = _files(name)
    other = minixfmr.DecoderOnly(minixfmr.Config(**SIZES), seed=4)
    before = _arrays(other)

    def read(folder):
        checkpoint.load_weights(other, folder / "weights")
        result = _arrays(other)
        other.load_state_dict(before)
        return result

    for sealed in (True, False):
        data = files["weights"] if sealed else unsealed(files["weights"])
        door = "load_weights" if sealed else "load_weights older"
        yield Original(door, {"weights": data}, read, sealed, lambda: _arrays(other))


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


def _training():
    first, other = _trainer(0), _trainer(1)
    with tempfile.TemporaryDirectory() as name:
        run = first.run(epochs=3)
        for _ in range(3):
            next(run)
        minixfmr.save_training(first, Path(name) / "training", {"steps": [[1, 2.5]], "best": None})
        files = _files(name)
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


# --- published systems


def _read_published(folder):
    model = minixfmr.load_pretrained(folder)
    ids = numpy.array([[4, 5, 6, 7], [8, 9, 10, 4]]) % model.config.vocab_size
    decoder = isinstance(model, minixfmr.EncoderDecoder)
    model(ids, **({"decoder_input_ids": ids % model.config.target_vocab_size} if decoder else {}))
    return {"": [model.config.to_dict(), model.published, model.generation]} | _arrays(model)


def _published():
    for n, (kind, config) in enumerate(PUBLISHED.items()):
        with tempfile.TemporaryDirectory() as name:
            minixfmr.save_pretrained(build({"model_type": kind} | config, seed=n), name)
            files = _files(name)
            yield Original("load_pretrained", files, _read_published)
            if n % 3 == 0:
                older = files | {"model.safetensors": unsealed(files["model.safetensors"])}
                yield Original("load_pretrained older", older, _read_published, sealed=False)
    yield Original("load_pretrained shards", _shards(files), _read_published, sealed=False)


def _shards(files):
    tensors = safetensors.numpy.load(files["model.safetensors"])
    names = sorted(tensors)
    shards = {f"model-0000{k + 1}-of-00003.safetensors": names[k::3] for k in range(3)}
    index = {"metadata": {"total_size": 1}, "weight_map": {n: file for file, ns in shards.items() for n in ns}}
    saved = {file: safetensors.numpy.save({n: tensors[n] for n in ns}, {"format": "pt"}) for file, ns in shards.items()}
    rest = {name: data for name, data in files.items() if name != "model.safetensors"}
    return rest | saved | {"model.safetensors.index.json": json.dumps(index).encode()}


def _read_sentences(folder):
    encoder = minixfmr.load_sentence_encoder(folder)
    encoder(numpy.array([[4, 5, 6, 7]]), numpy.ones((1, 4), int))
    return {"": {name: v for name, v in vars(encoder).items() if isinstance(v, str | bool)}} | _arrays(encoder)


def _sentences():
    kinds = "Transformer", "Pooling", "Normalize"
    paths = "", "1_Pooling", "2_Normalize"
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    with tempfile.TemporaryDirectory() as name:
        minixfmr.save_pretrained(build({"model_type": "bert"} | BERT), name)
        files = _files(name)
    files["modules.json"] = json.dumps(modules).encode()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    return Original(
        "load_sentence_encoder", files | {"1_Pooling/config.json": json.dumps(pooling).encode()}, _read_sentences
    )


def _tutorial():
    if all(importlib.util.find_spec(extra) for extra in ("tokenizers", "num2words", "tqdm")):
        from . import tutorial

        yield Original("run", tutorial.files(), tutorial.read)
