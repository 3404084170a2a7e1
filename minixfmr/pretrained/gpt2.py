"""GPT-2."""

from ..models import DecoderOnly
from .family import BODY, Family, activation, num_labels, token_fields
from .keys import COMMON, free, must, must_all, read, to, tokens

DECODER = {  # what may be in the folder of any decoder
    **COMMON,
    **free("classifier_dropout embd_pdrop embed_dropout is_decoder pretraining_tp rope_interleaved"),
    **must_all(True, "is_causal"),
    **must_all(None, "sliding_window layer_types attention_chunk_size"),
}
KEYS = {
    **DECODER,
    **tokens(None, 50256, 50256),
    **free("n_ctx reorder_and_upcast_attn predict_special_tokens"),
    "vocab_size": to("vocab_size", 50257),
    "n_positions": to("max_position_embeddings", 1024, "max_position_embeddings"),
    "n_embd": to("d_model", 768, "hidden_size"),
    "n_layer": to("num_decoder_layers", 12, "num_hidden_layers"),
    "n_head": to("num_heads", 12, "num_attention_heads"),
    "n_inner": read(None, decides="d_ff"),
    "activation_function": read("gelu_new"),
    "resid_pdrop": to("dropout", 0.1),
    "attn_pdrop": to("attention_dropout", 0.1),
    "layer_norm_epsilon": to("layer_norm_eps", 1e-5),
    "scale_attn_weights": must(True),
    "scale_attn_by_inverse_layer_idx": must(False),
}


def heads(name):
    """{architecture: (class, head)}"""
    return {
        f"{name}ForCausalLM": (DecoderOnly, "causal_lm"),
        f"{name}ForSequenceClassification": (DecoderOnly, "sequence_classification"),
        f"{name}ForTokenClassification": (DecoderOnly, "token_classification"),
        f"{name}Model": (DecoderOnly, "none"),
    }


def ties(c):
    """The output matrix."""
    return [("lm_head.weight", f"{BODY}wte.weight")]


def decoder_fields(c, padded=False):
    """What decoders have in common. A classifier looks at the last token that is not padding by its id."""
    return token_fields(c, padded) | {
        "pooling": "last" if c.pad_token_id is None else "last_by_id",
        "num_labels": num_labels(c),
        "norm_order": "pre",
        "scale_embeddings": False,
        "tie_word_embeddings": "lm_head.weight" not in c.separate,
    }


def fields(c, head):
    """The fields of Config that are not one key each."""
    return decoder_fields(c) | {
        "d_ff": 4 * c.n_embd if c.n_inner is None else c.n_inner,
        "positions": "learned",
        "activation": activation(c, "activation_function"),
    }


OUTPUTS = {"causal_lm": "lm_head", "sequence_classification": "score", "token_classification": "classifier"}


def names(c, config):
    """{our name: their name}"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}h.{{i}}."
    fused = {}  # query, key and value lie in one matrix, side by side
    for kind in ("weight", "bias"):
        for k, part in enumerate(("query", "key", "value")):
            fused[f"{ours}self_attention.layer.{part}.{kind}"] = (f"{layer}attn.c_attn.{kind}", ("columns", k))
    return fused | {
        "embedding.tokens": f"{BODY}wte",
        "embedding.positions": f"{BODY}wpe",
        "decoder.norm": f"{BODY}ln_f",
        "head.output": OUTPUTS.get(config.head, "lm_head"),
        f"{ours}self_attention.layer.output": f"{layer}attn.c_proj",
        f"{ours}self_attention.norm": f"{layer}ln_1",
        f"{ours}feed_forward.layer.hidden": f"{layer}mlp.c_fc",
        f"{ours}feed_forward.layer.output": f"{layer}mlp.c_proj",
        f"{ours}feed_forward.norm": f"{layer}ln_2",
    }


HEADS = {"GPT2LMHeadModel": (DecoderOnly, "causal_lm")} | heads("GPT2")
del HEADS["GPT2ForCausalLM"]
OUTSIDE = r"(lm_head|score|classifier|multiple_choice_head)\."
FAMILIES = [
    Family(
        "gpt2",
        HEADS,
        KEYS,
        fields,
        names,
        "transformer.",
        ties,
        OUTSIDE,
        OUTSIDE + ".*",
        leftovers=(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias",),  # masks of old files
        as_they_are=("decoder.",),  # the matrices of its blocks are (in, out), as ours
        aliases={"GPT2DoubleHeadsModel": "GPT2LMHeadModel"},
    )
]
