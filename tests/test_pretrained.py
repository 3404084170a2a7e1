"""Every published family against transformers: logits, attention, loss, every gradient, and generated ids."""

import collections
import json
import re
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; make test-parity installs it")
pytest.importorskip("transformers", reason="transformers is not installed; make test-parity installs it")

import hugging_face as hugging
import safetensors.torch
import transformers as hf
from hugging_face import CASES, as_torch, float64_everywhere

import minixfmr
from minixfmr.checkpoint import Tensor
from minixfmr.generation import sampling_probabilities
from minixfmr.pretrained import FAMILIES, build, places
from minixfmr.pretrained.layouts import take, transposed
from minixfmr.training import shift_right

pytestmark = pytest.mark.parity
GENERATING = [name for name, case in CASES.items() if "MaskedLM" not in case[0].__name__]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """name → folder with a random checkpoint, made when first asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("checkpoint") / name.replace(" ", "_")
            hugging.make(name, made[name])
        return made[name]

    return folder


def published_gradients(model):
    """{their name: our gradients of it, put together}"""
    family, where = FAMILIES[model.published["model_type"]], places(model)
    flip = transposed(model, family.as_they_are)
    for name, p in model.named_parameters():
        theirs, part = where[name]
        yield (
            family.written(theirs, model),
            lambda g, part=part, name=name: (
                take(g, part, model.config.num_heads).T if name in flip else take(g, part, model.config.num_heads)
            ),
            p.grad,
        )


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", CASES)
def test_logits_attention_loss_and_every_gradient(folders, name, side):
    model = minixfmr.load_pretrained(folders(name), dtype="float64")
    peer = hugging.reference(name, folders(name))
    with float64_everywhere():
        lengths = (16, 5, 3) if "longrope" in name or "dynamic" in name else (9, 5, 3)
        batch, labels = hugging.inputs(peer, side=side, lengths=lengths)
        if isinstance(model, minixfmr.DecoderOnly):  # what is predicted from padding is nothing to compare
            labels[:, 1:][batch["attention_mask"][:, :-1] == 0] = -100
        out = peer(**as_torch(batch), labels=torch.tensor(labels), output_attentions=True)
        out.loss.backward()
    logits, saved = model.forward(**batch)
    if isinstance(model, minixfmr.DecoderOnly):
        labels = np.concatenate([labels[:, 1:], np.full((len(labels), 1), -100)], axis=1)
    criterion = minixfmr.CrossEntropy()
    loss, saved_loss = criterion.forward(logits, labels)
    model.backward(criterion.backward(saved_loss), saved)

    theirs = out.logits.detach().numpy()
    is_pair = isinstance(model, minixfmr.EncoderDecoder)
    real = np.ones(theirs.shape[:2], bool) if is_pair else batch["attention_mask"] == 1
    assert np.abs(logits - theirs)[real].max() <= 1e-9 * np.abs(theirs).max()
    assert loss == pytest.approx(out.loss.item(), rel=1e-11)

    weights = model.attention_weights(saved)
    if is_pair:
        compared = [(weights["encoder"], out.encoder_attentions, batch["attention_mask"] == 1)]
        compared += [(weights["decoder"], out.decoder_attentions, real), (weights["cross"], out.cross_attentions, real)]
    else:
        compared = [(weights, out.attentions, real)]
    for ours, others, rows in compared:
        for a, b in zip(ours, others, strict=True):
            difference = np.abs(a - b.detach().numpy()).max(axis=(1, 3))
            assert difference[rows].max() < 1e-9

    gradients = {n: p.grad for n, p in peer.named_parameters(remove_duplicate=False)}
    gradients["embed_out.weight"] = gradients.get("lm_head.weight")  # GPT-NeoX's, in the file
    largest = max(g.abs().max().item() for g in gradients.values() if g is not None)
    for theirs_name, select, ours in published_gradients(model):
        g = select(gradients[theirs_name].numpy())
        floor = 1e-7 * largest  # a gradient that is zero, as that of a key's bias, has no relative error
        assert np.abs(ours - g).max() <= 1e-8 * max(np.abs(g).max(), floor), theirs_name


@pytest.mark.parametrize("name", GENERATING)
def test_generated_ids(folders, name):
    """Greedy and beam search on prompts of different lengths."""
    model = minixfmr.load_pretrained(folders(name), dtype="float64")
    decoder_only = isinstance(model, minixfmr.DecoderOnly)
    peer = hugging.reference(name, folders(name))
    with float64_everywhere():
        changing = any(kind in name for kind in ("dynamic", "longrope"))  # with the length, in which padding counts
        lengths = [7] * 6 if changing else [3 + n % 6 for n in range(12)]
        batch, _ = hugging.inputs(peer, seed=1, side="left" if decoder_only else "right", lengths=lengths)
        prompts = {key: batch[key] for key in ("input_ids", "attention_mask")}
        if name in ("gpt2", "llama", "t5", "pegasus", "bart cnn"):  # a token that is really written ends the sequence
            free = peer.generate(
                **as_torch(prompts), max_new_tokens=9, do_sample=False, eos_token_id=[], pad_token_id=0
            )
            tokens, counts = np.unique(free.numpy()[:, -4:], return_counts=True)
            eos = int(tokens[counts.argmax()])
        else:
            eos = None
        searches = [dict(num_beams=1)]
        searches += [
            dict(num_beams=3, length_penalty=p, early_stopping=s) for p in (0.6, 1.0, 2.0) for s in (True, False)
        ]
        searches += [dict(num_beams=4, early_stopping="never", num_return_sequences=2)]
        extra = {} if eos is None else {"eos_token_id": eos}
        expected = [
            peer.generate(**as_torch(prompts), max_new_tokens=9, do_sample=False, **search, **extra).numpy()
            for search in searches
        ]
    for search, theirs in zip(searches, expected, strict=True):
        ours = minixfmr.generate(model, **prompts, max_new_tokens=9, **search, **extra)
        np.testing.assert_array_equal(ours, theirs, err_msg=str(search))
    if name not in ("llama dynamic", "llama longrope"):  # there a key keeps the angles of its time
        without = minixfmr.generate(model, **prompts, max_new_tokens=9, use_cache=False, **extra)
        np.testing.assert_array_equal(without, expected[0])


@pytest.mark.parametrize(
    "rules",
    [
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 6},
        {"min_length": 8},
        {"suppress_tokens": [5, 6, 7, 8, 9, 10, 11, 12]},
        {"bad_words_ids": [[20], [30, 31], [40]]},
        {"eos_token_id": [2, 30, 31, 32, 33, 34, 35]},
    ],
    ids=lambda rules: next(iter(rules)),
)
@pytest.mark.parametrize("name", ["llama", "bart"])
def test_rules_for_tokens(folders, name, rules):
    model = minixfmr.load_pretrained(folders(name), dtype="float64")
    peer = hugging.reference(name, folders(name))
    with float64_everywhere():
        prompts, _ = hugging.inputs(peer, seed=2, lengths=[6] * 8)
        prompts.pop("decoder_input_ids", None)
        for search in ({}, {"num_beams": 3}):
            theirs = peer.generate(**as_torch(prompts), max_new_tokens=8, do_sample=False, **search, **rules).numpy()
            ours = minixfmr.generate(model, **prompts, max_new_tokens=8, **search, **rules)
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}])
def test_samples_are_drawn_from_the_same_distribution(options):
    from transformers.generation import logits_process as lp

    logits = 2 * torch.randn(50, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    warper = {"temperature": lp.TemperatureLogitsWarper, "top_k": lp.TopKLogitsWarper, "top_p": lp.TopPLogitsWarper}
    (name, value), *_ = options.items()
    theirs = warper[name](value)(None, logits).softmax(-1).numpy()
    np.testing.assert_allclose(sampling_probabilities(logits.numpy(), **options), theirs, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_saved_again_it_is_the_same_model_in_transformers(folders, name, tmp_path):
    model = minixfmr.load_pretrained(folders(name))
    minixfmr.save_pretrained(model, tmp_path)
    kind = CASES[name][0]
    one, two = (kind.from_pretrained(f, attn_implementation="eager").eval() for f in (folders(name), tmp_path))
    batch, _ = hugging.inputs(one)
    with torch.no_grad():
        a, b = (m(**as_torch(batch)).logits for m in (one, two))
    assert torch.equal(a, b)
    assert (tmp_path / "generation_config.json").exists() == one.can_generate()
    if one.can_generate():
        assert one.generation_config.to_diff_dict() == two.generation_config.to_diff_dict()


HEADS = {
    "bert": (hf.BertForSequenceClassification, hf.BertForTokenClassification, hf.BertModel),
    "roberta": (hf.RobertaForSequenceClassification, hf.RobertaForTokenClassification, hf.RobertaModel),
    "distilbert": (hf.DistilBertForSequenceClassification, hf.DistilBertForTokenClassification, hf.DistilBertModel),
    "deberta": (hf.DebertaForSequenceClassification, hf.DebertaForTokenClassification, hf.DebertaModel),
    "deberta-v2": (hf.DebertaV2ForSequenceClassification, hf.DebertaV2ForTokenClassification, hf.DebertaV2Model),
    "electra": (hf.ElectraForPreTraining, hf.ElectraForSequenceClassification, hf.ElectraModel),
    "albert": (hf.AlbertForSequenceClassification, hf.AlbertModel),
    "mpnet": (hf.MPNetForSequenceClassification, hf.MPNetForTokenClassification),
    "gpt-neox": (hf.GPTNeoXForSequenceClassification, hf.GPTNeoXModel),
    "gpt2": (hf.GPT2ForSequenceClassification, hf.GPT2ForTokenClassification, hf.GPT2Model),
    "llama": (hf.LlamaForSequenceClassification, hf.LlamaForTokenClassification, hf.LlamaModel),
    "mistral": (hf.MistralForSequenceClassification, hf.MistralForTokenClassification, hf.MistralModel),
    "t5": (hf.T5ForSequenceClassification, hf.T5ForTokenClassification, hf.T5Model, hf.T5EncoderModel),
    "mt5": (hf.MT5ForSequenceClassification, hf.MT5ForTokenClassification, hf.MT5Model, hf.MT5EncoderModel),
    "bart": (hf.BartForSequenceClassification, hf.BartModel),
    "pegasus": (hf.PegasusModel,),
    "m2m100": (hf.M2M100Model,),
    "marian": (hf.MarianModel,),
    "xlm-roberta": (hf.XLMRobertaForTokenClassification, hf.XLMRobertaModel),
    "camembert": (hf.CamembertForSequenceClassification,),
    "qwen2": (hf.Qwen2ForSequenceClassification, hf.Qwen2Model),
    "qwen3": (hf.Qwen3ForTokenClassification,),
    "gemma": (hf.GemmaForSequenceClassification, hf.GemmaModel),
    "phi3": (hf.Phi3ForTokenClassification,),
    "opt": (hf.OPTForSequenceClassification, hf.OPTModel),
    "gpt-neo": (hf.GPTNeoForSequenceClassification, hf.GPTNeoForTokenClassification, hf.GPTNeoModel),
    "mbart": (hf.MBartForSequenceClassification, hf.MBartModel),
    "umt5": (hf.UMT5ForTokenClassification, hf.UMT5EncoderModel),
}


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, kinds in HEADS.items() for k in kinds])
def test_classifiers_and_bare_models(name, kind, tmp_path):
    _, config, arguments, _ = CASES[name]
    torch.manual_seed(0)
    arguments = arguments | {"pad_token_id": arguments.get("pad_token_id", 0), "num_labels": 5}
    peer = kind._from_config(config(**arguments), attn_implementation="eager").eval()
    with torch.no_grad():
        for p in peer.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn(p.shape))
    peer.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*pooler", UserWarning)
        model = minixfmr.load_pretrained(tmp_path, dtype="float64")
    with float64_everywhere():
        peer = peer.double()
        hugging.rebuild_tables(peer)
        batch, _ = hugging.inputs(peer)
        if kind.__name__.endswith("SequenceClassification") and peer.config.is_encoder_decoder:
            batch["input_ids"][np.arange(3), batch["attention_mask"].sum(1) - 1] = peer.config.eos_token_id
            c = peer.config
            batch["decoder_input_ids"] = shift_right(batch["input_ids"], c.decoder_start_token_id, c.pad_token_id)
        elif not isinstance(model, minixfmr.EncoderDecoder):
            batch.pop("decoder_input_ids", None)
        out = peer(**as_torch(batch))
    theirs = (out.logits if "logits" in out else out.last_hidden_state).detach().numpy()
    ours = model(**batch)
    pairs = isinstance(model, minixfmr.EncoderDecoder)
    real = batch["attention_mask"] == 1 if theirs.shape[:2] == batch["input_ids"].shape and not pairs else slice(None)
    assert ours.shape == theirs.shape
    tolerance = 1e-6 if name == "marian" else 1e-9  # its table of positions lies in the file, in float32
    assert np.abs(ours - theirs)[real].max() <= tolerance * np.abs(theirs).max()


def test_a_hundred_steps_follow_transformers(folders):
    """BERT's masked LM, GPT-2 and T5 from equal weights, data and order."""
    for name in ("bert", "gpt2", "t5"):
        model = minixfmr.load_pretrained(folders(name), dtype="float64")
        optimizer = minixfmr.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
        criterion = minixfmr.CrossEntropy()
        peer = hugging.reference(name, folders(name))
        with float64_everywhere():
            theirs = torch.optim.AdamW(peer.parameters(), lr=1e-3, weight_decay=0.01)
            for step in range(100):
                batch, labels = hugging.inputs(peer, seed=step % 5)
                theirs.zero_grad()
                expected = peer(**as_torch(batch), labels=torch.tensor(labels)).loss
                expected.backward()
                theirs.step()
                if isinstance(model, minixfmr.DecoderOnly):
                    labels = np.concatenate([labels[:, 1:], np.full((len(labels), 1), -100)], axis=1)
                model.zero_grad()
                logits, saved = model.forward(**batch)
                loss, saved_loss = criterion.forward(logits, labels)
                model.backward(criterion.backward(saved_loss), saved)
                optimizer.step()
                assert abs(loss - expected.item()) < 1e-6, (name, step)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bart", "t5"])
def test_an_output_matrix_of_its_own_wins_over_a_tied_one(folders, name, tmp_path):
    shutil.copytree(folders(name), tmp_path / "copy")
    tensors = safetensors.torch.load_file(tmp_path / "copy" / "model.safetensors")
    tables = {"gpt2": "transformer.wte.weight", "llama": "model.embed_tokens.weight"}
    table = tensors[tables.get(name, "model.shared.weight" if name == "bart" else "shared.weight")]
    for head, tied in ((table.clone(), True), (table + 1, False)):
        tensors["lm_head.weight"] = head
        safetensors.torch.save_file(tensors, tmp_path / "copy" / "model.safetensors")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if tied else "error")
            model = minixfmr.load_pretrained(tmp_path / "copy")
        assert model.config.tie_word_embeddings == tied
        np.testing.assert_array_equal(model.head.output.weight.data, head.numpy())


OLD = {
    "bert": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    ),
    "gpt2": lambda name: name.removeprefix("transformer."),
    "bart": lambda name: name.removeprefix("model."),
}


@pytest.mark.parametrize("name", OLD)
def test_files_as_they_were_written_long_ago(folders, name, tmp_path):
    """Other names for norms, no prefix, mask buffers, and no bias of the logits."""
    shutil.copytree(folders(name), tmp_path / "copy")
    tensors = safetensors.torch.load_file(tmp_path / "copy" / "model.safetensors")
    bias = tensors.pop("final_logits_bias", None)
    old = {OLD[name](key): tensor for key, tensor in tensors.items()}
    assert old.keys() != tensors.keys()
    if name == "gpt2":
        old["h.0.attn.bias"] = torch.ones(1, 1, 40, 40)
        old["lm_head.weight"] = old["wte.weight"].clone()
    old["embeddings.position_ids"] = torch.arange(40)[None]
    safetensors.torch.save_file(old, tmp_path / "copy" / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = minixfmr.load_pretrained(tmp_path / "copy")
    expected = minixfmr.load_pretrained(folders(name)).state_dict()
    if bias is not None:
        expected["head.bias"][:] = 0
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


def test_an_older_folder_keeps_its_rules_in_its_config(folders, tmp_path):
    """And a rule that is null asks for nothing."""
    shutil.copytree(folders("bart cnn"), tmp_path / "copy")
    config = json.loads((tmp_path / "copy" / "config.json").read_text())
    rules = json.loads((tmp_path / "copy" / "generation_config.json").read_text())
    (tmp_path / "copy" / "generation_config.json").unlink()
    moved = {key: rules[key] for key in ("forced_bos_token_id", "min_length", "no_repeat_ngram_size")}
    (tmp_path / "copy" / "config.json").write_text(json.dumps(config | moved | {"repetition_penalty": None}))
    ids = np.arange(10, 16)[None]
    one, two = (
        minixfmr.generate(minixfmr.load_pretrained(folder), ids, max_new_tokens=9)
        for folder in (folders("bart cnn"), tmp_path / "copy")
    )
    np.testing.assert_array_equal(one, two)
    model = minixfmr.load_pretrained(folders("bart cnn"))
    model.generation |= {"repetition_penalty": None, "min_new_tokens": None}
    np.testing.assert_array_equal(minixfmr.generate(model, ids, max_new_tokens=9), one)


def test_shards_and_sixteen_bits(folders, tmp_path):
    peer = hf.LlamaForCausalLM.from_pretrained(folders("llama"))
    peer.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    whole = minixfmr.load_pretrained(folders("llama"))
    for (name, a), (_, b) in zip(
        whole.named_parameters(), minixfmr.load_pretrained(tmp_path / "shards").named_parameters(), strict=True
    ):
        np.testing.assert_array_equal(a.data, b.data, err_msg=name)
    for dtype in (torch.float16, torch.bfloat16):
        peer.to(dtype).save_pretrained(tmp_path / str(dtype))
        loaded = minixfmr.load_pretrained(tmp_path / str(dtype), dtype="float64")
        np.testing.assert_array_equal(
            loaded.embedding.tokens.weight.data, peer.model.embed_tokens.weight.detach().double().numpy()
        )
        peer = peer.float()


def test_a_large_model_is_in_memory_once(tmp_path):
    sizes = dict(n_embd=128, n_layer=4, n_head=2, n_positions=16, vocab_size=2000, bos_token_id=0, eos_token_id=0)
    hf.GPT2LMHeadModel(hf.GPT2Config(**sizes)).save_pretrained(tmp_path)
    tracemalloc.start()
    try:
        model = minixfmr.load_pretrained(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # beside the weights, the gradients, which take no memory yet but are counted, and one array at a time
    assert peak < 2.5 * 4 * model.num_parameters()


def test_each_array_is_read_twice_once_to_be_checked(tmp_path, monkeypatch):
    sizes = dict(n_embd=8, n_layer=1, n_head=2, n_positions=4, vocab_size=9, bos_token_id=0, eos_token_id=0)
    hf.GPT2LMHeadModel(hf.GPT2Config(**sizes)).save_pretrained(tmp_path)
    reads, read = collections.Counter(), Tensor.read

    def counting(tensor):
        reads[tensor.name] += 1
        return read(tensor)

    monkeypatch.setattr(Tensor, "read", counting)
    monkeypatch.setattr("minixfmr.checkpoint.tensors.checksum", lambda *_: pytest.fail("the file has no checksums"))
    minixfmr.load_pretrained(tmp_path)
    assert set(reads.values()) == {2, 6}  # 6: query, key and value are parts of one


class TestBadFolders:
    @pytest.fixture
    def folder(self, folders, tmp_path):
        shutil.copytree(folders("bert"), tmp_path / "copy")
        return tmp_path / "copy"

    def edit(self, folder, **changes):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    def test_names(self, folder):
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        tensors["bert.surprise.weight"] = tensors.pop("cls.predictions.bias")
        safetensors.torch.save_file(tensors, folder / "model.safetensors")
        with pytest.raises(minixfmr.CheckpointError) as info:
            minixfmr.load_pretrained(folder)
        assert re.search("expected: [0-9]+ arrays, such as bert.embeddings.LayerNorm.bias", str(info.value))
        assert "missing: cls.predictions.bias" in str(info.value)
        assert "unexpected: bert.surprise.weight" in str(info.value)

    def test_shapes(self, folder):
        self.edit(folder, intermediate_size=29)
        with pytest.raises(
            minixfmr.CheckpointError, match=r"intermediate.dense.weight: shape \(24, 28\), the model has \(24, 29\)"
        ):
            minixfmr.load_pretrained(folder)

    def test_families(self, folder):
        self.edit(folder, model_type="mamba")
        with pytest.raises(
            minixfmr.CheckpointError, match="model_type 'mamba' is not known; known are albert, bart, bert, cam"
        ):
            minixfmr.load_pretrained(folder)

    def test_architectures(self, folder):
        self.edit(folder, architectures=["BertForNextSentencePrediction"])
        with pytest.raises(minixfmr.CheckpointError, match="is not known; known are BertForMaskedLM, BertForSequence"):
            minixfmr.load_pretrained(folder)

    def test_what_a_model_has_no_use_for_is_named(self, folder):
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        tensors["cls.seq_relationship.bias"] = torch.zeros(2)
        safetensors.torch.save_file(tensors, folder / "model.safetensors")
        with pytest.warns(UserWarning, match="left out, as this model has no use for them: cls.seq_relationship.bias"):
            minixfmr.load_pretrained(folder)

    def test_files(self, folder, tmp_path):
        with pytest.raises(minixfmr.CheckpointError, match="cannot read .*config.json"):
            minixfmr.load_pretrained(tmp_path / "absent")
        (folder / "model.safetensors").write_bytes(b"no")
        with pytest.raises(minixfmr.CheckpointError, match="not a whole safetensors file"):
            minixfmr.load_pretrained(folder)
        (folder / "model.safetensors").unlink()
        with pytest.raises(minixfmr.CheckpointError, match="the weights must be stored as safetensors"):
            minixfmr.load_pretrained(folder)

    def test_a_model_of_no_family_cannot_be_saved_as_one(self, tmp_path):
        config = minixfmr.Config(vocab_size=9, d_model=4, num_heads=2, d_ff=4)
        with pytest.raises(minixfmr.CheckpointError, match="minixfmr.save writes any model"):
            minixfmr.save_pretrained(minixfmr.DecoderOnly(config), tmp_path)


def test_a_new_model_of_a_published_kind_opens_in_transformers(tmp_path):
    config = hf.GPT2Config(**hugging.GPT2, bos_token_id=3, eos_token_id=3, architectures=["GPT2LMHeadModel"]).to_dict()
    model = build(config, seed=4)
    minixfmr.save_pretrained(model, tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text()) == {
        "bos_token_id": 3,
        "eos_token_id": 3,
        "use_cache": True,
    }
    peer = hf.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    ids = np.arange(10)[None]
    with torch.no_grad():
        theirs = peer(torch.tensor(ids)).logits.numpy()
    np.testing.assert_allclose(model(ids), theirs, atol=1e-5)
