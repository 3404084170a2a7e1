"""The same three architectures in JAX, from the same weights: one jitted step, arrays donated, optax's AdamW."""

import jax
import jax.numpy as jnp


def linear(weights, *names):
    """The parameters of one or several of our Linears side by side."""
    return {
        "weight": jnp.concatenate([jnp.asarray(weights[f"{n}.weight"]) for n in names], 1),
        "bias": jnp.concatenate([jnp.asarray(weights[f"{n}.bias"]) for n in names]),
    }


def pair(weights, name):
    return {part: jnp.asarray(weights[f"{name}.{part}"]) for part in ("weight", "bias")}


def parameters(config, weights):
    """The tree of parameters out of our state_dict."""
    prefix = "source" if "source.tokens.weight" in weights else "embedding"

    def attention(name, cross):
        parts = {"output": linear(weights, f"{name}.output")}
        if cross:
            query, rest = (f"{name}.query",), (f"{name}.key", f"{name}.value")
            return parts | {"query": linear(weights, *query), "key_value": linear(weights, *rest)}
        return parts | {"query_key_value": linear(weights, f"{name}.query", f"{name}.key", f"{name}.value")}

    def block(name):
        tree = {"self_attention": attention(f"{name}.self_attention.layer", cross=False)}
        if f"{name}.cross_attention.norm.weight" in weights:
            tree["cross_attention"] = attention(f"{name}.cross_attention.layer", cross=True)
        ff = f"{name}.feed_forward.layer"
        tree["feed_forward"] = {part: linear(weights, f"{ff}.{part}") for part in ("hidden", "output")}
        for part in list(tree):
            tree[part]["norm"] = pair(weights, f"{name}.{part}.norm")
        return tree

    tree = {"tokens": jnp.asarray(weights[f"{prefix}.tokens.weight"])}
    if "positions" not in weights:
        tree["positions"] = jnp.asarray(weights[f"{prefix}.positions.weight"])
    if config["embedding_norm"]:
        tree["embedding_norm"] = pair(weights, f"{prefix}.norm")
    for side in ("encoder", "decoder"):
        names = [f"{side}.blocks.{i}" for i in range(config[f"num_{side}_layers"])]
        tree[side] = [block(name) for name in names if f"{name}.feed_forward.norm.weight" in weights]
    if "decoder.norm.weight" in weights:
        tree["final"] = pair(weights, "decoder.norm")
    if "head.dense.weight" in weights:
        tree["head"] = {"dense": linear(weights, "head.dense"), "norm": pair(weights, "head.norm")}
        tree["head"]["bias"] = jnp.asarray(weights["head.bias"])
    return tree


def forward(tree, batch, config, positions, key):
    """Logits. positions: the table, where it is not learned; key: of dropout."""
    H, p = config["num_heads"], config["dropout"]
    keys = iter(jax.random.split(key, 64))

    def dropout(x):
        return x if p == 0 else jnp.where(jax.random.bernoulli(next(keys), 1 - p, x.shape), x / (1 - p), 0)

    def apply(w, x):
        return x @ w["weight"] + w["bias"]

    def norm(w, x):
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w["weight"] + w["bias"]

    def attention(w, x, memory=None, causal=False):
        if memory is None:
            q, k, v = jnp.split(apply(w["query_key_value"], x), 3, -1)
        else:
            q, (k, v) = apply(w["query"], x), jnp.split(apply(w["key_value"], memory), 2, -1)
        q, k, v = (a.reshape(*a.shape[:2], H, -1) for a in (q, k, v))
        y = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
        return apply(w["output"], y.reshape(x.shape))

    def activation(x):
        return jax.nn.relu(x) if config["activation"] == "relu" else jax.nn.gelu(x, approximate=False)

    def feed_forward(w, x):
        return apply(w["output"], activation(apply(w["hidden"], x)))

    def residual(layer, w, x, *inputs, **options):
        if config["norm_order"] == "pre":
            return x + dropout(layer(w, norm(w["norm"], x), *inputs, **options))
        return norm(w["norm"], x + dropout(layer(w, x, *inputs, **options)))

    def embed(ids):
        scale = config["d_model"] ** 0.5 if config["scale_embeddings"] else 1.0
        x = tree["tokens"][ids] * scale + tree.get("positions", positions)[: ids.shape[1]]
        return dropout(norm(tree["embedding_norm"], x) if "embedding_norm" in tree else x)

    x = embed(batch["input_ids"])
    for w in tree["encoder"]:
        x = residual(attention, w["self_attention"], x)
        x = residual(feed_forward, w["feed_forward"], x)
    memory = None
    if "decoder_input_ids" in batch:
        memory, x = x, embed(batch["decoder_input_ids"])
    for w in tree["decoder"]:
        x = residual(attention, w["self_attention"], x, causal=True)
        if memory is not None:
            x = residual(attention, w["cross_attention"], x, memory)
        x = residual(feed_forward, w["feed_forward"], x)
    if "final" in tree:
        x = norm(tree["final"], x)
    if "head" in tree:
        x = norm(tree["head"]["norm"], activation(apply(tree["head"]["dense"], x)))
        return x @ tree["tokens"].T + tree["head"]["bias"]
    return x @ tree["tokens"].T
