"""From a Config to the layers that it asks for."""

from ...backend import to_device
from ...layers import (
    DisentangledBias,
    FeedForward,
    GatedFeedForward,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    RelativeBias,
    RMSNorm,
    Rotary,
    VariantAttention,
)
from ...module import Module, Parameter
from ..residual import PostNorm, PreNorm


def make_norm(config):
    """LayerNorm, or RMSNorm."""
    kind = RMSNorm if config.norm == "rms" else LayerNorm
    return kind(config.d_model, eps=config.layer_norm_eps, dtype=config.dtype)


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


def make_attention(config, rng, positions=None):
    """The paper's attention where nothing more is asked for. positions: a Rotary, RelativeBias or RelativeTable that
    all layers of a stack share; None for cross-attention, and where there is none."""
    d, H, options = config.d_model, config.num_heads, {"dropout": config.attention_dropout, "dtype": config.dtype}
    shape = {"head_dim": config.head_dim, "num_key_value_heads": config.num_key_value_heads}
    plain = positions is None and config.attention_scale is None and config.attention_bias and config.key_bias
    if plain and not any(shape.values()):
        return MultiHeadAttention(d, H, rng=rng, **options)
    biases = {"bias": config.attention_bias, "key_bias": config.key_bias}
    layer = VariantAttention(d, H, scale=config.attention_scale, rng=rng, **shape, **biases, **options)
    if isinstance(positions, Rotary):
        layer.rotary = positions
    elif isinstance(positions, RelativeTable):
        layer.score_bias = positions.bias_for(layer, config, rng)
    else:
        layer.score_bias = positions
    return layer


def make_relative_positions(config, rng, bidirectional):
    """What the self-attention layers of a stack share, or None."""
    if config.relative_positions == "rotary":
        dh = config.head_dim or config.d_model // config.num_heads
        return Rotary(dh, config.rope_theta, config.rope_scaling, config.max_position_embeddings)
    if config.relative_positions == "buckets":
        return RelativeBias(
            config.num_heads,
            buckets=config.relative_buckets,
            max_distance=config.relative_max_distance,
            bidirectional=bidirectional,
            rng=rng,
            dtype=config.dtype,
        )
    return RelativeTable(config, rng) if config.relative_positions == "disentangled" else None


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

        return DisentangledBias(
            self.weight,
            config.num_heads,
            attention.scale,
            norm=self.norm,
            to_key=projection("c2p", attention.key, config.key_bias),
            to_query=projection("p2c", attention.query, True),
            buckets=config.relative_buckets,
            max_distance=config.relative_max_distance,
        )
