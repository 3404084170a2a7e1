"""Folders of published systems, small and random, and of sentence encoders."""

import json
import tempfile

import numpy
import safetensors.numpy

import minixfmr
from minixfmr.pretrained import build

from .original import Original, arrays_of, files_of, unsealed

V = 11
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


def _read_published(folder):
    model = minixfmr.load_pretrained(folder)
    ids = numpy.array([[4, 5, 6, 7], [8, 9, 10, 4]]) % model.config.vocab_size
    decoder = isinstance(model, minixfmr.EncoderDecoder)
    model(ids, **({"decoder_input_ids": ids % model.config.target_vocab_size} if decoder else {}))
    return {"": [model.config.to_dict(), model.published, model.generation]} | arrays_of(model)


def published():
    for n, (kind, config) in enumerate(PUBLISHED.items()):
        with tempfile.TemporaryDirectory() as name:
            minixfmr.save_pretrained(build({"model_type": kind} | config, seed=n), name)
            files = files_of(name)
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
    return {"": {name: v for name, v in vars(encoder).items() if isinstance(v, str | bool)}} | arrays_of(encoder)


def sentences():
    kinds = "Transformer", "Pooling", "Normalize"
    paths = "", "1_Pooling", "2_Normalize"
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    with tempfile.TemporaryDirectory() as name:
        minixfmr.save_pretrained(build({"model_type": "bert"} | BERT), name)
        files = files_of(name)
    files["modules.json"] = json.dumps(modules).encode()
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    return Original(
        "load_sentence_encoder", files | {"1_Pooling/config.json": json.dumps(pooling).encode()}, _read_sentences
    )
