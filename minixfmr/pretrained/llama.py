"""LLaMA and its descendants: Mistral, Qwen2, Qwen3, Gemma and Phi-3."""

from .family import BODY, Family, activation
from .gpt2 import DECODER, OUTPUTS, decoder_fields, heads
from .keys import must, read, to, tokens
from .rope import ROPE_KEYS, rope_fields

KEYS = {
    **DECODER,
    **tokens(None, 1, 2),
    **ROPE_KEYS,
    "vocab_size": to("vocab_size", 32000),
    "hidden_size": to("d_model", 4096),
    "intermediate_size": to("d_ff", 11008),
    "num_hidden_layers": to("num_decoder_layers", 32),
    "num_attention_heads": to("num_heads", 32),
    "num_key_value_heads": to("num_key_value_heads", None),
    "head_dim": to("head_dim", None),
    "hidden_act": read("silu"),
    "max_position_embeddings": to("max_position_embeddings", 2048),
    "rms_norm_eps": to("layer_norm_eps", 1e-6),
    "attention_bias": to("attention_bias", False),
    "mlp_bias": to("feed_forward_bias", False),
    "attention_dropout": to("attention_dropout", 0.0),
    "tie_word_embeddings": read(False),
}
QWEN = (
    KEYS
    | tokens(None, None, None)
    | {
        "vocab_size": to("vocab_size", 151936),
        "intermediate_size": to("d_ff", 22016),
        "max_position_embeddings": to("max_position_embeddings", 32768),
        "mlp_bias": must(False),
        "use_sliding_window": read(False),
        "sliding_window": read(None),
        "max_window_layers": read(28),
        "layer_types": read(None),
    }
)
GEMMA = (
    KEYS
    | tokens(0, 2, 1)
    | {
        "vocab_size": to("vocab_size", 256000),
        "hidden_size": to("d_model", 3072),
        "intermediate_size": to("d_ff", 24576),
        "num_hidden_layers": to("num_decoder_layers", 28),
        "num_attention_heads": to("num_heads", 16),
        "num_key_value_heads": to("num_key_value_heads", 16),
        "head_dim": to("head_dim", 256),
        "hidden_act": read("gelu_pytorch_tanh"),
        "max_position_embeddings": to("max_position_embeddings", 8192),
        "tie_word_embeddings": read(True),
        "mlp_bias": must(False),
        "use_bidirectional_attention": must(None, False),
    }
)
MISTRAL = KEYS | {
    "intermediate_size": to("d_ff", 14336),
    "num_key_value_heads": to("num_key_value_heads", 8),
    "max_position_embeddings": to("max_position_embeddings", 131072),
    "sliding_window": read(4096, null=True),
    "attention_bias": must(False),
    "mlp_bias": must(False),
}
PHI3 = (
    KEYS
    | tokens(32000, 1, 32000)
    | {
        "vocab_size": to("vocab_size", 32064),
        "hidden_size": to("d_model", 3072),
        "intermediate_size": to("d_ff", 8192),
        "max_position_embeddings": to("max_position_embeddings", 4096),
        "original_max_position_embeddings": read(4096),
        "rms_norm_eps": to("layer_norm_eps", 1e-5),
        "resid_pdrop": to("dropout", 0.0),
        "sliding_window": read(None),
        "attention_bias": must(False),
        "mlp_bias": must(False),
    }
)


def ties(c):
    """The output matrix."""
    return [("lm_head.weight", f"{BODY}embed_tokens.weight")]


def fields(c, head):
    """The fields of Config that are not one key each."""
    dh = c.head_dim or c.hidden_size // max(c.num_attention_heads, 1)
    kinds = {"su": "longrope", "yarn": "longrope"} if c.kind == "phi3" else {}
    return (
        decoder_fields(c, padded=True)
        | rope_fields(c, dh, kinds=kinds)
        | {
            "positions": "none",
            "relative_positions": "rotary",
            "norm": "rms",
            "gated_feed_forward": True,
            "activation": activation(c, "hidden_act"),
            "attention_bias": bool(c.attention_bias),
            "feed_forward_bias": bool(c.mlp_bias),
            "dropout": c.resid_pdrop if c.kind == "phi3" else 0.0,
            "sliding_window": c.sliding_window,
        }
    )


def qwen_fields(c, head):
    """Qwen2 and Qwen3: windows in the last blocks alone, and biases or norms on queries and keys."""
    window = c.sliding_window if c.use_sliding_window else None
    sliding = [window is not None and i >= c.max_window_layers for i in range(c.num_hidden_layers)]
    kinds = ["sliding_attention" if s else "full_attention" for s in sliding]
    if c.layer_types not in (None, kinds):
        raise c.refuse("layer_types", f"cannot be obeyed here, only what the other keys say, {kinds}")
    return fields(c, head) | {
        "sliding_window": window,
        "window_from": max(c.max_window_layers, 0) if window else 0,
        "attention_bias": c.kind == "qwen2" or c.attention_bias,
        "output_bias": False if c.kind == "qwen2" else None,
        "query_key_norm": c.kind == "qwen3",
    }


def gemma_fields(c, head):
    """Gemma: gains stored less 1, and embeddings times √d."""
    return fields(c, head) | {"norm": "rms_offset", "scale_embeddings": True}


def names(c, config):
    """{our name: their name}"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}layers.{{i}}."
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
    feed_forward = {"gate": "gate_proj", "hidden": "up_proj", "output": "down_proj"}
    return {
        "embedding.tokens": f"{BODY}embed_tokens",
        "decoder.norm": f"{BODY}norm",
        "head.output": "score" if config.head == "token_classification" else OUTPUTS.get(config.head, "lm_head"),
        f"{ours}self_attention.norm": f"{layer}input_layernorm",
        f"{ours}feed_forward.norm": f"{layer}post_attention_layernorm",
        **{f"{ours}self_attention.layer.{a}": f"{layer}self_attn.{b}" for a, b in attention.items()},
        **{f"{ours}feed_forward.layer.{a}": f"{layer}mlp.{b}" for a, b in feed_forward.items()},
    }


def qwen_names(c, config):
    """{our name: their name}, with the norms of queries and keys"""
    ours, layer = "decoder.blocks.{i}.self_attention.layer.", f"{BODY}layers.{{i}}.self_attn."
    return names(c, config) | {f"{ours}query_norm": f"{layer}q_norm", f"{ours}key_norm": f"{layer}k_norm"}


def phi_names(c, config):
    """{our name: their name}: query, key and value in one matrix, one below the other; so gate and hidden"""
    ours, layer = "decoder.blocks.{i}.", f"{BODY}layers.{{i}}."
    dh = config.head_dim or config.d_model // config.num_heads
    shared = (config.num_key_value_heads or config.num_heads) * dh
    widths, halves = (config.num_heads * dh, shared, shared), (config.d_ff, config.d_ff)
    rules: dict = names(c, config)
    for k, part in enumerate(("query", "key", "value")):
        rules[f"{ours}self_attention.layer.{part}"] = (f"{layer}self_attn.qkv_proj", ("rows", k, widths))
    for k, part in enumerate(("gate", "hidden")):
        rules[f"{ours}feed_forward.layer.{part}"] = (f"{layer}mlp.gate_up_proj", ("rows", k, halves))
    return rules


OUTSIDE = r"(lm_head|score|qa_outputs)\."


def family(kind, name, keys, fields=fields, names=names, **aliases):
    """A system that differs from LLaMA as told."""
    usual = {f"{name}LMHeadModel": f"{name}ForCausalLM"}
    return Family(
        kind, heads(name), keys, fields, names, "model.", ties, OUTSIDE, OUTSIDE + ".*", aliases=usual | aliases
    )


FAMILIES = [
    family("llama", "Llama", KEYS, LLaMAForCausalLM="LlamaForCausalLM"),
    family("mistral", "Mistral", MISTRAL),
    family("qwen2", "Qwen2", QWEN | {"attention_bias": must(None)}, qwen_fields),
    family("qwen3", "Qwen3", QWEN | {"head_dim": to("head_dim", 128)}, qwen_fields, qwen_names),
    family("gemma", "Gemma", GEMMA, gemma_fields),
    family("phi3", "Phi3", PHI3, names=phi_names),
]
