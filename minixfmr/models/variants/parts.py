"""From a Config to the layers that it asks for."""

from ...backend import to_device
from ...layers import (
    DisentangledBias,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    LearnedPositions,
    Linear,
    MultiHeadAttention,
    NoPositions,
    OffsetRMSNorm,
    RelativeBias,
    RMSNorm,
    Rotary,
    SinusoidalPositions,
    VariantAttention,
    VariantWaves,
)
from ...module import Module, Parameter
from ..residual import PostNorm, PreNorm

NORMS = {"layer": LayerNorm, "rms": RMSNorm, "rms_offset": OffsetRMSNorm}


def make_norm(config, d=None):
    """LayerNorm, or another of NORMS, of width d_model unless another is given."""
    return NORMS[config.norm](d or config.d_model, eps=config.layer_norm_eps, dtype=config.dtype)


def make_residual(layer, config):
    """The layer in a residual branch, in the order of the config."""
    order = PreNorm if config.norm_order == "pre" else PostNorm
    return order(layer, make_norm(config), config.dropout)


def make_feed_forward(config, rng):
    """The plain feed-forward layer, or the gated one."""
    kind = GatedFeedForward if config.gated_feed_forward else FeedForward
    return kind(
        config.d_model,
        config.d_ff,
        activation=config.activation,
        bias=config.feed_forward_bias,
        dropout=config.activation_dropout,
        rng=rng,
        dtype=config.dtype,
    )


def make_positions(config, rng):
    """What is added to the embeddings: the paper's waves, those of a descendant, a learned table, or nothing."""
    c, length = config, config.max_position_embeddings + config.position_offset
    if c.positions == "none":
        return NoPositions()
    if c.positions == "learned":
        padding_idx = c.pad_token_id if c.positions_from_ids and not c.padding_gradient else None
        return LearnedPositions(length, c.d_model, padding_idx=padding_idx, rng=rng, dtype=c.dtype)
    zero_row = c.pad_token_id if c.positions_from_ids else None
    if c.positions == "sinusoidal" and zero_row is None:
        return SinusoidalPositions(length, c.d_model, dtype=c.dtype)
    return VariantWaves(length, c.d_model, layout=c.positions, zero_row=zero_row, dtype=c.dtype)


def make_attention(config, rng, positions=None):
    """The paper's attention where nothing more is asked for. positions: a Rotary, RelativeBias or RelativeTable that
    all layers of a stack share; None for cross-attention, and where there is none."""
    d, H, options = config.d_model, config.num_heads, {"dropout": config.attention_dropout, "dtype": config.dtype}
    shape = {"head_dim": config.head_dim, "num_key_value_heads": config.num_key_value_heads}
    biases = {name: getattr(config, name) for name in ("attention_bias", "key_bias", "output_bias")}
    asked = positions or config.attention_scale or config.query_key_norm or any(shape.values())
    if not asked and set(biases.values()) <= {True, None}:
        return MultiHeadAttention(d, H, rng=rng, **options)
    biases["bias"] = biases.pop("attention_bias")
    layer = VariantAttention(d, H, scale=config.attention_scale, rng=rng, **shape, **biases, **options)
    if config.query_key_norm:
        dh = layer.query.weight.shape[1] // H
        layer.query_norm, layer.key_norm = make_norm(config, dh), make_norm(config, dh)
    if isinstance(positions, Rotary):
        layer.rotary = positions
    elif isinstance(positions, RelativeTable | BucketsPerBlock):
        layer.score_bias = positions.bias_for(layer, config, rng)
    else:
        layer.score_bias = positions
    return layer


def make_relative_positions(config, rng, bidirectional):
    """What the self-attention layers of a stack share, or None."""
    if config.relative_positions == "rotary":
        dh = config.head_dim or config.d_model // config.num_heads
        return Rotary(dh, config.rope_theta, config.rope_scaling)
    if config.relative_positions == "buckets":
        if config.relative_per_block:
            return BucketsPerBlock(config, bidirectional)
        return make_buckets(config, rng, bidirectional)
    return RelativeTable(config, rng) if config.relative_positions == "disentangled" else None


def make_buckets(config, rng, bidirectional):
    """T5's table of relative positions."""
    return RelativeBias(
        config.num_heads,
        buckets=config.relative_buckets,
        max_distance=config.relative_max_distance,
        bidirectional=bidirectional,
        rng=rng,
        dtype=config.dtype,
    )


class BucketsPerBlock:
    """A table of relative positions for each block (umT5)."""

    def __init__(self, config, bidirectional):
        self.config, self.bidirectional = config, bidirectional

    def bias_for(self, attention, config, rng):
        """The score term of one attention layer."""
        return make_buckets(self.config, rng, self.bidirectional)


class RelativeTable(Module):
    """DeBERTa's vectors of relative positions, one table for all layers, and its norm."""

    def __init__(self, config, rng):
        rows = 2 * (config.relative_buckets or config.relative_max_distance)
        self.weight = Parameter(to_device(rng.normal(0, 0.02, (rows, config.d_model)), config.dtype))
        self.norm = make_norm(config) if config.relative_norm else None

    def bias_for(self, attention, config, rng):
        """The score term of one attention layer, through its own matrices or through new ones."""

        def projection(term, shared, bias):
            if term not in config.disentangled_terms:
                return None
            if config.shared_position_projections:
                return shared
            return Linear(config.d_model, shared.weight.shape[1], bias=bias, rng=rng, dtype=config.dtype)

        dh = config.head_dim or config.d_model // config.num_heads
        return DisentangledBias(
            self.weight,
            config.num_heads,
            dh**-0.5 if attention.scale is None else attention.scale,
            norm=self.norm,
            to_key=projection("c2p", attention.key, config.key_bias),
            to_query=projection("p2c", attention.query, True),
            buckets=config.relative_buckets,
            max_distance=config.relative_max_distance,
        )
