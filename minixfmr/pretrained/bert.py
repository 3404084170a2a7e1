"""BERT, RoBERTa and DistilBERT: one network, three sets of names."""

from ..models import EncoderOnly

KINDS = ("bert", "roberta", "distilbert")
AS_THEY_ARE = ()
IGNORED = (  # beside the model proper: the pooler of a bare encoder, next-sentence prediction, tied copies
    r"(\w+\.)?pooler\.dense\.\w+",
    r"cls\.seq_relationship\.\w+",
    r"cls\.predictions\.decoder\.\w+",
    r"lm_head\.decoder\.\w+",
    r"vocab_projector\.weight",
)


def architectures(kind):
    """{architecture: (class, head)}"""
    name = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}[kind]
    return {
        f"{name}ForMaskedLM": (EncoderOnly, "masked_lm"),
        f"{name}ForSequenceClassification": (EncoderOnly, "sequence_classification"),
        f"{name}ForTokenClassification": (EncoderOnly, "token_classification"),
        f"{name}Model": (EncoderOnly, "none"),
    }


ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "swish": "silu"}


def num_labels(hf):
    """The labels of a classification head."""
    return len(hf["id2label"]) if hf.get("id2label") else hf.get("num_labels", 2)


def fields(hf, head, stored=None):
    """The Config of a Hugging Face config."""
    kind = hf["model_type"]
    distil, roberta = kind == "distilbert", kind == "roberta"
    activation = hf.get("activation" if distil else "hidden_act", "gelu")
    activation = ACTIVATIONS.get(activation, activation)
    if head == "sequence_classification":
        head_activation = "relu" if distil else "tanh"
    else:
        head_activation = "gelu" if roberta else activation  # RoBERTa's head never follows the config
    return {
        "head": head,
        "vocab_size": hf["vocab_size"],
        "d_model": hf["dim" if distil else "hidden_size"],
        "num_heads": hf["n_heads" if distil else "num_attention_heads"],
        "d_ff": hf["hidden_dim" if distil else "intermediate_size"],
        "num_encoder_layers": hf["n_layers" if distil else "num_hidden_layers"],
        "max_position_embeddings": hf["max_position_embeddings"],
        "positions": "learned",
        "positions_from_ids": roberta,
        "type_vocab_size": 0 if distil else hf.get("type_vocab_size", 2),
        "embedding_norm": True,
        "scale_embeddings": False,
        "padding_gradient": False,
        "activation": activation,
        "head_activation": head_activation,
        "num_labels": num_labels(hf),
        "layer_norm_eps": 1e-12 if distil else hf.get("layer_norm_eps", 1e-12),
        "dropout": hf.get("dropout" if distil else "hidden_dropout_prob", 0.1),
        "attention_dropout": hf.get("attention_dropout" if distil else "attention_probs_dropout_prob", 0.1),
        "pad_token_id": hf.get("pad_token_id") or 0,
        "decoder_start_token_id": 0,
        "eos_token_id": None,
    }


def names(hf, config):
    """{our name: their name}"""
    kind = hf["model_type"]
    root = "" if config.head == "none" else f"{kind}."
    if kind == "distilbert":
        layer = f"{root}transformer.layer.{{i}}."
        attention, feed_forward = layer + "attention.", layer + "ffn."
        stack = (
            {
                "query": attention + "q_lin",
                "key": attention + "k_lin",
                "value": attention + "v_lin",
                "output": attention + "out_lin",
            },
            (layer + "sa_layer_norm", feed_forward + "lin1", feed_forward + "lin2", layer + "output_layer_norm"),
        )
        heads = {
            "head.dense": "vocab_transform" if config.head == "masked_lm" else "pre_classifier",
            "head.norm": "vocab_layer_norm",
            "head.bias": "vocab_projector.bias",
            "head.output": "classifier",
        }
    else:
        stack = bert_block(f"{root}encoder.layer.{{i}}.")
        if kind == "bert":
            heads = bert_heads(config.head, "bert.pooler.dense")
        else:
            classifier = "classifier.out_proj" if config.head == "sequence_classification" else "classifier"
            heads = {
                "head.dense": "lm_head.dense" if config.head == "masked_lm" else "classifier.dense",
                "head.norm": "lm_head.layer_norm",
                "head.bias": "lm_head.bias",
                "head.output": classifier,
            }
    return embedding_names(root) | block_names(*stack) | heads


def embedding_names(root):
    """The names of the embeddings."""
    return {
        "embedding.tokens": f"{root}embeddings.word_embeddings",
        "embedding.positions": f"{root}embeddings.position_embeddings",
        "embedding.types": f"{root}embeddings.token_type_embeddings",
        "embedding.norm": f"{root}embeddings.LayerNorm",
    }


def bert_block(layer):
    """The names of a BERT block: its four projections, and (attention norm, hidden, output, feed-forward norm)."""
    attention = layer + "attention."
    projections = {part: f"{attention}self.{part}" for part in ("query", "key", "value")}
    rest = ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
    return projections | {"output": attention + "output.dense"}, tuple(layer + name for name in rest)


def block_names(projections, rest):
    """The rules for the names of a block."""
    ours = ("self_attention.norm", "feed_forward.layer.hidden", "feed_forward.layer.output", "feed_forward.norm")
    rules = {f"encoder.blocks.{{i}}.{name}": theirs for name, theirs in zip(ours, rest, strict=True)}
    return rules | {f"encoder.blocks.{{i}}.self_attention.layer.{part}": theirs for part, theirs in projections.items()}


def bert_heads(head, pooler):
    """The names of BERT's heads."""
    return {
        "head.dense": "cls.predictions.transform.dense" if head == "masked_lm" else pooler,
        "head.norm": "cls.predictions.transform.LayerNorm",
        "head.bias": "cls.predictions.bias",
        "head.output": "classifier",
    }
