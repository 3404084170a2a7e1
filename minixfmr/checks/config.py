"""What the fields of a Config may be, one by one and together, and how large a model may get."""

from typing import Any

from ..backend import free_memory
from .fields import ConfigError
from .values import LARGEST, is_count, is_number, shown

POSITIONS = (
    "sinusoidal",  # the paper's: sine and cosine in turn
    "sinusoidal_halves",  # the same waves, all sines before all cosines (Marian, PEGASUS)
    "sinusoidal_stored",  # these, saved with the model (PEGASUS)
    "sinusoidal_t2t",  # these, with frequencies spread a little wider (M2M100)
    "learned",
    "none",
)
HEADS = ("auto", "none", "masked_lm", "causal_lm", "seq2seq_lm", "sequence_classification", "token_classification")
CHOICES = {
    "positions": POSITIONS,
    "norm_order": ("post", "pre"),
    "dtype": ("float32", "float64"),
    "norm": ("layer", "rms", "rms_offset"),
    "relative_positions": ("none", "rotary", "buckets", "disentangled"),
    "disentangled_terms": ("c2p|p2c", "p2c|c2p", "c2p", "p2c"),
    "head": (*HEADS, "replaced_tokens"),
    "pooling": ("first", "last", "last_by_id", "mean"),
}
BLOCKS = 10_000  # of a stack: each costs time and memory beside its weights
COUNTS = {  # the least that each may be, where it is not None
    "vocab_size d_model num_heads d_ff max_position_embeddings num_labels window_every": 1,
    "head_dim embedding_size num_key_value_heads sliding_window decoder_num_heads decoder_d_ff decoder_vocab_size": 1,
    "type_vocab_size position_offset relative_buckets relative_max_distance convolution window_from": 0,
}
NUMBERS = {
    "dropout attention_dropout activation_dropout": ("[0, 1)", "in [0, 1)"),
    "layer_norm_eps": ("[1e-30, 1]", "greater than 0, such as 1e-5, and at most 1"),
    "attention_scale": ("(0, 1e6]", "None or greater than 0, such as 1.0, and at most 1e6"),
    "rope_theta": ("(0, 1e30]", "greater than 0, such as 10000.0, and at most 1e30"),
}


def check_config(config: Any, activations: tuple[str, ...]) -> None:
    """Raise ConfigError, naming the field, its value, what is valid and the remedy, unless a model can be built."""
    c = config
    for names, least in COUNTS.items():
        for name in names.split():
            value = getattr(c, name)
            c.require(name, value is None or value >= least, f"at least {least}" if least else "0 or more")
            c.require(name, value is None or value <= LARGEST, f"at most 2^62 = {LARGEST}")
    for name in ("num_encoder_layers", "num_decoder_layers"):
        c.require(name, getattr(c, name) >= 0, "0 or more")
        c.require(name, getattr(c, name) <= BLOCKS, f"at most {BLOCKS}")
    for names, (interval, valid) in NUMBERS.items():
        for name in names.split():
            value = getattr(c, name)
            c.require(name, value is None or is_number(value, interval), valid)
    for name, choices in CHOICES.items():
        c.one_of(name, choices)
    for name in ("activation", "head_activation", "convolution_activation"):
        c.one_of(name, activations)
    _check_heads(c, "num_heads", c.num_heads)
    if c.decoder_num_heads is not None:
        _check_heads(c, "decoder_num_heads", c.decoder_num_heads)
    _check_vocabulary(c)
    _check_positions(c)
    odd = c.convolution == 0 or c.convolution % 2 == 1
    c.require("convolution", odd, "0 for none or an odd width, such as 3, which keeps the length")
    c.require("convolution", not c.convolution or c.num_encoder_layers, "0 where num_encoder_layers is 0")


def _check_heads(c, name, H):
    d, groups = c.d_model, c.num_key_value_heads or H
    c.require("num_key_value_heads", H % groups == 0, f"a divisor of {name} = {H}")
    if c.head_dim is None and d % H:
        near = (h for k in range(1024) for h in (H - k, H + k) if 1 <= h <= d and d % h == 0)
        raise ConfigError(
            f"d_model must be divisible by {name}, got d_model = {d} and {name} = {H}: try {name} = {next(near, 1)}"
        )


def _check_vocabulary(c):
    if c.share_encoder_decoder_embeddings and c.decoder_vocab_size not in (None, c.vocab_size):
        raise ConfigError(
            f"decoder_vocab_size = {c.decoder_vocab_size} differs from vocab_size = {c.vocab_size}, so the "
            "two sides cannot share a table: set share_encoder_decoder_embeddings = False"
        )
    V = c.target_vocab_size
    for name, size in (("pad_token_id", min(c.vocab_size, V)), ("decoder_start_token_id", V), ("eos_token_id", V)):
        value = getattr(c, name)
        c.require(name, value is None or 0 <= value < size, f"a token id in [0, {size})")


def _check_positions(c):
    """Of all kinds: what is beside the vectors, and what is inside attention."""
    widths = {c.head_dim or c.d_model // H for H in (c.num_heads, c.decoder_num_heads or c.num_heads)}
    width = c.embedding_size or c.d_model
    if c.positions == "sinusoidal_t2t" and width < 4:
        raise ConfigError(f"positions = 'sinusoidal_t2t' needs vectors of width 4 or more, got {width}")
    if c.relative_positions == "rotary":
        if any(dh % 2 for dh in widths):
            raise ConfigError(
                "relative_positions = 'rotary' turns pairs, so the width of a head must be even, got "
                f"{min(widths)}: set head_dim, or another num_heads"
            )
        _check_scaling(c, c.rope_scaling, min(widths))
    if c.relative_positions == "buckets":
        exact = c.relative_buckets // 4
        c.require("relative_buckets", exact >= 1, "at least 4 with relative_positions = 'buckets'")
        far = c.relative_max_distance > c.relative_buckets // 2
        c.require("relative_max_distance", far, f"greater than relative_buckets / 2 = {c.relative_buckets // 2}")
    if c.relative_positions == "disentangled":
        c.require("relative_buckets", c.relative_buckets != 1, "0 for none, or at least 2")
        far = c.relative_max_distance > max(c.relative_buckets // 2 + 1, 0)
        least = c.relative_buckets // 2 + 2 if c.relative_buckets else 1
        c.require("relative_max_distance", far or not c.relative_buckets, f"at least {least}")
        c.require("relative_max_distance", c.relative_max_distance, "at least 1")
        grouped = c.num_key_value_heads not in (None, c.num_heads)
        c.require("num_key_value_heads", not grouped, "None with relative_positions = 'disentangled'")


def _check_scaling(c, scaling, dh):
    """See rotary_frequencies."""
    if scaling is None:
        return
    valid = '{"frequencies": [...], "factor": f} or {"growth": s, "length": n}, see rotary_frequencies'
    grows = "growth" in scaling
    known = (
        {"growth", "length", "width"} if grows else {"frequencies", "factor", "long_frequencies", "length", "reread"}
    )
    needed = {"growth", "length"} if grows else {"frequencies", "factor"}
    needed |= {"length"} if "long_frequencies" in scaling else set()
    c.require("rope_scaling", needed <= set(scaling) <= known, valid)
    for name in {"growth", "factor"} & set(scaling):
        c.require("rope_scaling", is_number(scaling[name], "(0, 1e30]"), f"{valid}, with {name} greater than 0")
    c.require("rope_scaling", is_count(scaling.get("length", 1)), f"{valid}, with a length of at least 1")
    width = scaling.get("width", 2 * len(scaling["frequencies"]) if _numbers(scaling.get("frequencies")) else dh)
    even = is_count(width, 2, dh) and width % 2 == 0 and not (grows and width == 2)
    c.require("rope_scaling", even, f"{valid}, with an even width of at most {dh}")
    for name in {"frequencies", "long_frequencies"} & set(scaling):
        fits = _numbers(scaling[name]) and 2 * len(scaling[name]) == width
        c.require("rope_scaling", fits, f"{valid}, with {width // 2} finite numbers as {name}")


def _numbers(value):
    return isinstance(value, list | tuple) and all(is_number(x, "[0, inf)") for x in value)


# --- what only one architecture can do, and how much a machine can hold

ONLY = {  # fields that other architectures would ignore, with the value that asks for nothing
    "embedding_size": (None, "EncoderOnly"),
    "positions_from_mask": (False, "DecoderOnly"),
    "decoder_num_heads": (None, "EncoderDecoder"),
    "decoder_d_ff": (None, "EncoderDecoder"),
}


def check_model(owner: str, config: Any, names: dict[str, Any]) -> None:
    """Raise ConfigError unless an owner, such as "DecoderOnly", can be built of the config and fits into memory.

    names: its heads. Raises TypeError where config is no Config."""
    if not hasattr(config, "target_vocab_size"):
        raise TypeError(f"{owner} needs a minixfmr.Config, got {shown(config)}")
    c, head = config, next(iter(names)) if config.head == "auto" else config.head
    if head not in names:
        raise ConfigError(f"{owner} has no head {c.head!r}: choose one of {', '.join(names)}")
    for name, (nothing, kind) in ONLY.items():
        c.require(name, getattr(c, name) == nothing or owner == kind, f"{nothing} in an {owner}: only {kind} has it")
    c.require("convolution", not c.convolution or owner != "DecoderOnly", "0 in a DecoderOnly, as it looks ahead")
    by_id = c.pooling == "last_by_id" and head == "sequence_classification"
    c.require("pooling", not by_id or owner == "DecoderOnly", f"'first', 'last' or 'mean' in an {owner}")
    ends = owner != "EncoderDecoder" or head != "sequence_classification" or c.eos_token_id is not None
    c.require("eos_token_id", ends, "a token id, at which this head reads the sequence")
    numbers, largest = _sizes(c, owner)
    needed = numbers * (4 if c.dtype == "float32" else 8) + 8 * largest  # the largest array is drawn in float64
    if needed > free_memory():
        raise ConfigError(
            f"this {owner} has {numbers:.3g} weights and needs {needed / 1e9:.1f} GB, {free_memory() / 1e9:.1f} GB are "
            "free here: lower vocab_size, d_model, d_ff, max_position_embeddings or the number of layers"
        )


def _sizes(c, owner):
    """(how many weights there are, how many the largest array has), the small ones left out."""
    d, e = c.d_model, c.embedding_size or c.d_model
    tables = {"V": c.vocab_size * e, "positions": (c.max_position_embeddings + c.position_offset) * e}
    tables["positions"] *= c.positions != "none"
    tables["types"], tables["labels"], tables["convolution"] = (
        c.type_vocab_size * e,
        c.num_labels * d,
        c.convolution * d * d,
    )
    tables["untied"] = 0 if c.tie_word_embeddings else c.target_vocab_size * d
    tables["target"] = c.target_vocab_size * d if owner == "EncoderDecoder" else 0
    tables["relative"] = 2 * (c.relative_buckets or c.relative_max_distance) * d * (c.relative_positions != "none")
    total, largest = sum(tables.values()), max(tables.values())
    stacks = {"EncoderOnly": [(c.num_encoder_layers, 1)], "DecoderOnly": [(c.num_decoder_layers, 1)]}
    both = [(c.num_encoder_layers, 1), (c.num_decoder_layers, 2)]
    for blocks, attentions in stacks.get(owner, both):
        decoder = c.for_decoder() if attentions == 2 else c
        dh = decoder.head_dim or d // decoder.num_heads
        inner, shared = decoder.num_heads * dh, (decoder.num_key_value_heads or decoder.num_heads) * dh
        attention, feed_forward = 2 * d * (inner + shared), (3 if c.gated_feed_forward else 2) * d * decoder.d_ff
        total += (1 if c.shared_blocks else blocks) * (attentions * attention + feed_forward)
        largest = max(largest, d * inner, d * decoder.d_ff) if blocks else largest
    return total, largest
