"""Hugging Face models as a true float64 reference, and small random ones of every family.

transformers keeps some values in float32 whatever a model's dtype (norms, softmax, rotary tables, sinusoids,
generation); float64_everywhere lifts that, so that a difference of 1e-12 means something.
"""

import contextlib
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
import transformers as hf

torch.set_num_threads(1)  # models as small as these only wait for the others
V = 83  # a prime, so that a transposed or reshaped matrix cannot pass unnoticed


@contextlib.contextmanager
def float64_everywhere():
    """While active, whatever asks torch for float32 gets float64."""
    names = ("float32", "float", "FloatTensor")
    kept = [getattr(torch, name) for name in names], torch.Tensor.float, torch.get_default_dtype()
    torch.float32 = torch.float = torch.float64
    torch.FloatTensor, torch.Tensor.float = torch.DoubleTensor, torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        for name, value in zip(names, kept[0], strict=True):
            setattr(torch, name, value)
        torch.Tensor.float = kept[1]
        torch.set_default_dtype(kept[2])


def bert(**changes):
    base = dict(
        vocab_size=V,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=28,
        max_position_embeddings=30,
        layer_norm_eps=3e-4,
        pad_token_id=0,
        initializer_range=0.25,
    )
    return base | changes


def deberta(**changes):
    return bert(relative_attention=True, pos_att_type="c2p|p2c", position_biased_input=False) | changes


def llama(**changes):
    base = dict(
        vocab_size=V,
        hidden_size=28,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        intermediate_size=36,
        max_position_embeddings=48,
        rms_norm_eps=2e-3,
        rope_parameters=dict(rope_type="default", rope_theta=700.0),
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        initializer_range=0.25,
    )
    return base | changes


def t5(**changes):
    base = dict(
        vocab_size=V,
        d_model=24,
        d_kv=5,
        num_heads=3,
        d_ff=30,
        num_layers=3,
        num_decoder_layers=2,
        relative_attention_num_buckets=10,
        relative_attention_max_distance=8,
        layer_norm_epsilon=2e-3,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return base | changes


def bart(**changes):
    base = dict(
        vocab_size=V,
        d_model=24,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=2,
        encoder_ffn_dim=28,
        decoder_ffn_dim=34,
        max_position_embeddings=30,
        init_std=0.06,
    )
    return base | changes


def opt(**changes):
    sizes = dict(vocab_size=V, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=30)
    return sizes | dict(ffn_dim=28, word_embed_proj_dim=24, init_std=0.2, pad_token_id=1) | changes


def scaled_rope(kind, **numbers):
    return llama(rope_parameters=dict(rope_type=kind, rope_theta=50.0, **numbers))


DISTIL = dict(vocab_size=V, dim=24, n_layers=2, n_heads=3, hidden_dim=28, max_position_embeddings=30)
ROBERTA = dict(type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
MARIAN = dict(activation_function="swish", scale_embedding=True, pad_token_id=V - 1, decoder_start_token_id=V - 1)
GPT2 = dict(vocab_size=V, n_embd=24, n_layer=2, n_head=3, n_inner=28, n_positions=40, layer_norm_epsilon=2e-3)

# name: (model class, config class, its arguments, settings of generation)
CASES = {
    "bert": (hf.BertForMaskedLM, hf.BertConfig, bert(type_vocab_size=3), {}),
    "roberta": (hf.RobertaForMaskedLM, hf.RobertaConfig, bert(hidden_act="relu", **ROBERTA), {}),
    "distilbert": (hf.DistilBertForMaskedLM, hf.DistilBertConfig, DISTIL, {}),
    "deberta": (hf.DebertaForMaskedLM, hf.DebertaConfig, deberta(), {}),
    "deberta clamped": (
        hf.DebertaForMaskedLM,
        hf.DebertaConfig,
        deberta(position_biased_input=True, type_vocab_size=2, max_relative_positions=5),
        {},
    ),
    "deberta-v2": (
        hf.DebertaV2ForMaskedLM,
        hf.DebertaV2Config,
        deberta(position_buckets=6, norm_rel_ebd="layer_norm", conv_kernel_size=3, conv_act="gelu", type_vocab_size=2),
        {},
    ),
    "deberta-v3": (
        hf.DebertaV2ForMaskedLM,
        hf.DebertaV2Config,
        deberta(position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, legacy=False),
        {},
    ),
    "gpt2": (
        hf.GPT2LMHeadModel,
        hf.GPT2Config,
        GPT2 | dict(bos_token_id=3, eos_token_id=3, initializer_range=0.25),
        {},
    ),
    "llama": (hf.LlamaForCausalLM, hf.LlamaConfig, llama(tie_word_embeddings=True), {}),
    "llama biases": (hf.LlamaForCausalLM, hf.LlamaConfig, llama(attention_bias=True, mlp_bias=True), {}),
    "llama linear": (hf.LlamaForCausalLM, hf.LlamaConfig, scaled_rope("linear", factor=3.0), {}),
    "llama dynamic": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig,
        scaled_rope("dynamic", factor=3.0) | dict(max_position_embeddings=8),
        {},
    ),
    "llama llama3": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig,
        scaled_rope(
            "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=3.0, original_max_position_embeddings=24
        ),
        {},
    ),
    "llama yarn": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig,
        scaled_rope("yarn", factor=4.0, original_max_position_embeddings=12),
        {},
    ),
    "llama longrope": (
        hf.LlamaForCausalLM,
        hf.LlamaConfig,
        scaled_rope(
            "longrope",
            factor=4.0,
            original_max_position_embeddings=12,
            short_factor=[1.0, 1.5, 2.0],
            long_factor=[2.0, 3.0, 4.0],
        ),
        {},
    ),
    "mistral": (hf.MistralForCausalLM, hf.MistralConfig, llama(sliding_window=4), {}),
    "t5": (hf.T5ForConditionalGeneration, hf.T5Config, t5(), {}),
    "t5 v1.1": (hf.T5ForConditionalGeneration, hf.T5Config, t5(feed_forward_proj="gated-gelu"), {"untied": True}),
    "mt5": (hf.MT5ForConditionalGeneration, hf.MT5Config, t5(feed_forward_proj="gated-gelu"), {"untied": True}),
    "bart": (hf.BartForConditionalGeneration, hf.BartConfig, bart(), {"forced_bos_token_id": 0}),
    "bart cnn": (
        hf.BartForConditionalGeneration,
        hf.BartConfig,
        bart(scale_embedding=True),
        {"forced_bos_token_id": 0, "min_length": 7, "no_repeat_ngram_size": 2},
    ),
    "pegasus": (
        hf.PegasusForConditionalGeneration,
        hf.PegasusConfig,
        bart(activation_function="relu", scale_embedding=True),
        {},
    ),
    "m2m100": (hf.M2M100ForConditionalGeneration, hf.M2M100Config, bart(init_std=0.2), {"forced_bos_token_id": 7}),
    "marian": (hf.MarianMTModel, hf.MarianConfig, bart(**MARIAN), {"bad_words_ids": [[V - 1]]}),
    "marian unshared": (
        hf.MarianMTModel,
        hf.MarianConfig,
        bart(**MARIAN)
        | dict(
            share_encoder_decoder_embeddings=False, decoder_vocab_size=79, pad_token_id=77, decoder_start_token_id=77
        ),
        {"bad_words_ids": [[77]]},
    ),
}

NEO = dict(vocab_size=V, hidden_size=24, num_layers=3, num_heads=3, intermediate_size=28, max_position_embeddings=40)
NEO |= dict(attention_types=[[["global", "local"], 1], [["global"], 1]], window_size=3, initializer_range=0.25)
QWEN = llama(use_sliding_window=True, sliding_window=4, max_window_layers=1)
NEOX = bert(layer_norm_eps=2e-3, bos_token_id=1, eos_token_id=2, hidden_size=32, num_attention_heads=2)
NEOX["rope_parameters"] = dict(rope_type="default", rope_theta=50.0, partial_rotary_factor=0.5)
CASES |= {
    "xlm-roberta": (hf.XLMRobertaForMaskedLM, hf.XLMRobertaConfig, bert(**ROBERTA), {}),
    "camembert": (hf.CamembertForMaskedLM, hf.CamembertConfig, bert(**ROBERTA), {}),
    "electra": (hf.ElectraForMaskedLM, hf.ElectraConfig, bert(embedding_size=16), {}),
    "mpnet": (hf.MPNetForMaskedLM, hf.MPNetConfig, bert(pad_token_id=1), {}),
    "albert": (hf.AlbertForMaskedLM, hf.AlbertConfig, bert(embedding_size=16, num_hidden_layers=3), {}),
    "qwen2": (
        hf.Qwen2ForCausalLM,
        hf.Qwen2Config,
        {k: v for k, v in QWEN.items() if k != "head_dim"} | dict(hidden_size=24),
        {},
    ),
    "qwen3": (hf.Qwen3ForCausalLM, hf.Qwen3Config, llama(), {}),
    "gemma": (hf.GemmaForCausalLM, hf.GemmaConfig, llama(), {}),
    "phi3": (
        hf.Phi3ForCausalLM,
        hf.Phi3Config,
        {k: v for k, v in llama().items() if k != "head_dim"} | dict(hidden_size=24),
        {},
    ),
    "phi3 longrope": (
        hf.Phi3ForCausalLM,
        hf.Phi3Config,
        {k: v for k, v in llama().items() if k != "head_dim"}
        | dict(
            hidden_size=24,
            original_max_position_embeddings=12,
            rope_parameters=dict(
                rope_type="longrope",
                rope_theta=50.0,
                short_factor=[1.0, 1.5, 2.0],
                long_factor=[2.0, 3.0, 4.0],
            ),
        ),
        {},
    ),
    "opt": (hf.OPTForCausalLM, hf.OPTConfig, opt(), {}),
    "opt post-norm": (hf.OPTForCausalLM, hf.OPTConfig, opt(do_layer_norm_before=False), {}),
    "gpt-neo": (hf.GPTNeoForCausalLM, hf.GPTNeoConfig, NEO, {}),
    "gpt-neox": (hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, NEOX, {}),
    "gpt-neox in turn": (hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig, NEOX | dict(use_parallel_residual=False), {}),
    "mbart": (
        hf.MBartForConditionalGeneration,
        hf.MBartConfig,
        bart(decoder_start_token_id=2),
        {"forced_bos_token_id": 9},
    ),
    "umt5": (hf.UMT5ForConditionalGeneration, hf.UMT5Config, t5(feed_forward_proj="gated-gelu"), {}),
}


def make(name, folder, seed=0):
    """Write a random model of the case into the folder; every parameter and stored buffer is moved off its start."""
    kind, config, arguments, settings = CASES[name]
    torch.manual_seed(seed)
    settings = dict(settings)
    model = kind._from_config(config(**arguments), attn_implementation="eager").eval()
    if settings.pop("untied", False):
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.all_tied_weights_keys.pop("lm_head.weight")
    stored = set(model.state_dict())
    arrays = [p for p in model.parameters() if p.requires_grad]
    arrays += [b for n, b in model.named_buffers() if n in stored]
    with torch.no_grad():
        for array in arrays:
            array.add_(0.1 * torch.randn(array.shape))
        if model.can_generate():  # with tied tables, a model would else repeat its last token for ever
            norms = [m for n, m in model.named_modules() if "norm" in type(m).__name__.lower() and "encoder." not in n]
            norms[-1].weight.mul_(torch.randint(2, norms[-1].weight.shape) * 2 - 1)
    for key, value in settings.items():
        setattr(model.generation_config, key, value)
    model.save_pretrained(folder)


def reference(name, folder):
    """The model in the folder, in float64 throughout. Run it within float64_everywhere."""
    model = CASES[name][0].from_pretrained(folder, attn_implementation="eager").eval().double()
    with float64_everywhere():
        rebuild_tables(model)
    return model


@torch.no_grad()
def rebuild_tables(model):
    """Compute anew, in float64, the tables that transformers made in float32. Run it within float64_everywhere."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            rope = getattr(module, "rope_type", "default")
            init = module.compute_default_rope_parameters
            if rope != "default":
                init = hf.modeling_rope_utils.ROPE_INIT_FUNCTIONS[rope]
            module.inv_freq, module.attention_scaling = init(module.config)
            module.original_inv_freq = module.inv_freq.clone()
        if torch.is_tensor(getattr(module, "embed_scale", None)):
            module.embed_scale = torch.tensor(module.weight.shape[1] ** 0.5)
        elif type(module).__name__ == "MarianSinusoidalPositionalEmbedding":
            module.weight.copy_(module.create_weight())
        elif type(module).__name__ == "M2M100SinusoidalPositionalEmbedding":
            rows = module.num_positions + module.offset
            module.weights.copy_(module.get_embedding(rows, module.embedding_dim, module.padding_idx))


def inputs(model, seed=0, side="right", lengths=(9, 5, 3)):
    """Random ids padded on one side, their mask, labels of which some do not count, and all else that forward takes."""
    rng, c = np.random.default_rng(seed), model.config
    special = {getattr(c, f"{n}_token_id", None) for n in ("pad", "bos", "eos", "decoder_start")}
    real = np.array([t for t in range(min(c.vocab_size, getattr(c, "decoder_vocab_size", V) or V)) if t not in special])
    pad = c.pad_token_id or 0
    mask = np.zeros((len(lengths), max(lengths)), int)
    for row, n in zip(mask, lengths, strict=True):
        row[slice(None, n) if side == "right" else slice(len(row) - n, None)] = 1
    ids = np.where(mask, rng.choice(real, mask.shape), pad)
    batch = {"input_ids": ids, "attention_mask": mask}
    if getattr(c, "type_vocab_size", 0) > 1:
        batch["token_type_ids"] = rng.integers(0, c.type_vocab_size, ids.shape)
    if c.is_encoder_decoder:
        labels = np.where(rng.random((len(lengths), 7)) < 0.2, -100, rng.choice(real, (len(lengths), 7)))
        start = np.full((len(lengths), 1), c.decoder_start_token_id)
        batch["decoder_input_ids"] = np.concatenate([start, np.where(labels == -100, pad, labels)[:, :-1]], axis=1)
    else:
        labels = np.where((mask == 0) | (rng.random(mask.shape) < 0.2), -100, rng.choice(real, mask.shape))
    return batch, labels


def as_torch(batch):
    return {key: torch.tensor(value) for key, value in batch.items()}
