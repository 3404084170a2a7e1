"""GPT-2."""

from ..checkpoint import CheckpointError
from ..models import DecoderOnly
from .bert import ACTIVATIONS, num_labels
from .folder import is_tied

KINDS = ("gpt2",)
AS_THEY_ARE = ("decoder.",)  # the matrices of its blocks are (in, out), as ours
IGNORED = (r"lm_head\.weight", r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias")  # the tied table; masks of old files


HEADS = {"sequence_classification": "score", "token_classification": "classifier"}


def architectures(kind):
    """{architecture: (class, head)}"""
    return {
        "GPT2LMHeadModel": (DecoderOnly, "causal_lm"),
        "GPT2ForSequenceClassification": (DecoderOnly, "sequence_classification"),
        "GPT2ForTokenClassification": (DecoderOnly, "token_classification"),
        "GPT2Model": (DecoderOnly, "none"),
    }


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config. Raises CheckpointError for options that no published model uses."""
    for option, value in (("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)):
        if hf.get(option, value) != value:
            raise CheckpointError(f"GPT-2's option {option} = {hf[option]} is not supported, only {value}")
    activation = hf.get("activation_function", "gelu_new")
    return {
        "head": head,
        "pooling": "last",
        "num_labels": num_labels(hf),
        "tie_word_embeddings": is_tied(True, stored, "lm_head.weight", "transformer.wte.weight"),
        "vocab_size": hf["vocab_size"],
        "d_model": hf["n_embd"],
        "num_heads": hf["n_head"],
        "d_ff": hf.get("n_inner") or 4 * hf["n_embd"],
        "num_decoder_layers": hf["n_layer"],
        "max_position_embeddings": hf["n_positions"],
        "positions": "learned",
        "norm_order": "pre",
        "activation": ACTIVATIONS.get(activation, activation),
        "layer_norm_eps": hf.get("layer_norm_epsilon", 1e-5),
        "scale_embeddings": False,
        "dropout": hf.get("resid_pdrop", 0.1),
        "attention_dropout": hf.get("attn_pdrop", 0.1),
        "pad_token_id": hf.get("pad_token_id") or 0,
        "decoder_start_token_id": 0,
        "eos_token_id": hf.get("eos_token_id"),
    }


def names(hf, config):
    """{our name: their name}"""
    root = "" if config.head == "none" else "transformer."
    ours, layer = "decoder.blocks.{i}.", f"{root}h.{{i}}."
    fused = {}  # query, key and value lie in one matrix, side by side
    for kind in ("weight", "bias"):
        for k, part in enumerate(("query", "key", "value")):
            fused[f"{ours}self_attention.layer.{part}.{kind}"] = (f"{layer}attn.c_attn.{kind}", ("columns", k))
    return fused | {
        "embedding.tokens": f"{root}wte",
        "embedding.positions": f"{root}wpe",
        "decoder.norm": f"{root}ln_f",
        "head.output": HEADS.get(config.head, "lm_head"),
        f"{ours}self_attention.layer.output": f"{layer}attn.c_proj",
        f"{ours}self_attention.norm": f"{layer}ln_1",
        f"{ours}feed_forward.layer.hidden": f"{layer}mlp.c_fc",
        f"{ours}feed_forward.layer.output": f"{layer}mlp.c_proj",
        f"{ours}feed_forward.norm": f"{layer}ln_2",
    }
