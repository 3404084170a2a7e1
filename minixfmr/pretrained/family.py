"""A family of published systems: what its file has to say."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..models import EncoderOnly
from .keys import Key, Values

BODY = "*."  # stands, in the names of tensors, for what a model with a head puts before those of its body
ARCHITECTURES = {
    "masked_lm": "ForMaskedLM",
    "causal_lm": "ForCausalLM",
    "seq2seq_lm": "ForConditionalGeneration",
    "sequence_classification": "ForSequenceClassification",
    "token_classification": "ForTokenClassification",
    "none": "Model",
}
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python": "gelu",
    "gelu_fast": "gelu_tanh",  # the same formula, otherwise factored
    "swish": "silu",
}
# what old libraries stored beside the weights, and what no model has a use for
LEFTOVERS = (r".*position_ids", r".*\brotary_emb\.inv_freq", r".*\bversion", r".*\bembed_positions\.weights")
OLD_NAMES = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))


@dataclass(frozen=True)
class Family:
    """One model_type.

    heads: {architecture: (class of model, head)}, the first is the usual one; the one with head "none" is the bare body
    keys: what becomes of each key of config.json
    fields: (Values, head) → the fields of Config that are not one key each
    names: {our name: their name}, see layouts.find
    prefix: what BODY stands for in the file of a model with a head
    """

    kind: str
    heads: dict[str, tuple[Any, str]]
    keys: dict[str, Key]
    fields: Callable[[Values, str], dict]
    names: dict[str, Any]
    prefix: str
    ties: Callable[[Values], list] | None = None  # see tied; None: the output matrix to the token table
    others: str = ""  # first words of tensors of heads that are not among names: kept for saving, but not used
    unused: str = r"(?!)"  # the body's names that are kept likewise
    more_names: Callable[[Any], dict] = lambda config: {}  # those that depend on Config
    leftovers: tuple = ()  # beside LEFTOVERS
    old_names: tuple = ()  # beside OLD_NAMES: (pattern, what to put in its place)
    as_they_are: tuple = ()  # starts of our names whose matrices are (in, out) there too
    always_tied: bool = False  # tie_word_embeddings is not asked
    aliases: dict = field(default_factory=dict)  # {other name of an architecture: its name}
    spelling: Callable[[dict], tuple] = lambda published: ()  # what old_names undid, for a file of this config.json
    prefixed: tuple | None = None  # the heads whose files have the prefix; None: all but "none"

    @cached_property
    def outside(self) -> re.Pattern:
        """The start of names that are not the body's, but those of heads."""
        known = [theirs[0] if isinstance(theirs, tuple) else theirs for theirs in self.names.values()]
        words = {name.split(".")[0] for name in known if not name.startswith(BODY)}
        return re.compile(rf"({'|'.join(sorted(words | {'qa_outputs', *self.others.split()}))})(\.|$)")

    def tied(self, c: Values) -> list[tuple[str, str]]:
        """[(name of a tensor, name of the one it is tied to where tie_word_embeddings holds)]; the first is the output
        matrix."""
        if self.ties is not None:
            return self.ties(c)
        usual_head = next(head for _, head in self.heads.values())
        return [(f"{self.names[f'{usual_head}.output']}.weight", f"{self.names['embedding.tokens']}.weight")]

    def is_unused(self, name: str, model: Any) -> bool:
        """Whether a canonical name is one that other heads have a use for, or the decoder beside this encoder."""
        decoder = isinstance(model, EncoderOnly) and name.startswith(f"{BODY}decoder.")
        return decoder or bool(self.outside.match(name) or re.fullmatch(self.unused, name))

    def canonical(self, stored: str) -> str:
        """The name in the file, whatever library wrote it, as names and ties say it."""
        for pattern, new in (*OLD_NAMES, *self.old_names):
            stored = re.sub(pattern, new, stored)
        if self.prefix and stored.startswith(self.prefix):
            return BODY + stored.removeprefix(self.prefix)
        return stored if self.outside.match(stored) else BODY + stored

    def written(self, name: str, model: Any) -> str:
        """The name that the file of this model has for a canonical one."""
        for pattern, new in self.spelling(model.published):
            name = re.sub(pattern, new, name)
        head = model.config.head
        has_prefix = head != "none" if self.prefixed is None else head in self.prefixed
        return (self.prefix if has_prefix else "") + name.removeprefix(BODY) if name.startswith(BODY) else name


def heads(model_class: Any, name: str, *kinds: str) -> dict[str, tuple[Any, str]]:
    """{architecture: (class of model, head)} for these heads and the body, under the names that transformers gives."""
    return {name + ARCHITECTURES[kind]: (model_class, kind) for kind in (*kinds, "none")}


def act(default: str, to: str = "activation") -> Key:
    """A key that is the name of an activation."""
    return Key(default, to, by=activation)


def activation(c: Values, name: str) -> str:
    """Our name of an activation."""
    value = getattr(c, name)
    ours = ACTIVATIONS.get(value, value)
    if ours not in ("relu", "gelu", "gelu_tanh", "silu", "tanh"):
        known = "relu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, silu, swish, tanh"
        raise c.refuse(name, f"is none of the activations that are known: {known}")
    return ours


def num_labels(c: Values) -> int:
    """The labels of a classification head."""
    return len(c.id2label) if c.id2label else c.num_labels or 2


def token_fields(c: Values, padded: bool = True, counted: bool = False) -> dict[str, Any]:
    """The special tokens as Config wants them: within the vocabulary.

    padded: whether the padding id is a row that learns nothing, as PyTorch's padding_idx makes it; a negative one then
    counts from the end. counted: whether positions count from the padding id
    """
    V, pad, eos, start = c.vocab_size, c.pad_token_id, c.eos_token_id, c.decoder_start_token_id
    for name in ("pad_token_id", "bos_token_id", "decoder_start_token_id"):
        value = getattr(c, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise c.refuse(name, "must be one token id")
    if padded and pad is not None and not -V <= pad < V:
        raise c.refuse("pad_token_id", f"is no token of a vocabulary of {V}: correct it, or remove the key")
    if counted and (pad is None or not 0 <= pad < c.max_position_embeddings):
        raise c.refuse("pad_token_id", f"is what positions count from: it must be in [0, {c.max_position_embeddings})")
    pad = V + pad if padded and pad is not None and pad < 0 else pad
    ends = eos if isinstance(eos, list) else [eos]
    if not all(e is None or (isinstance(e, int) and not isinstance(e, bool)) for e in ends):
        raise c.refuse("eos_token_id", "must be a token id, or a list of them")
    eos = next((e for e in ends if e is not None and 0 <= e < V), None)
    return {
        "pad_token_id": pad if pad is not None and 0 <= pad < V else 0,
        "decoder_start_token_id": start if start is not None and 0 <= start < V else 0,
        "eos_token_id": eos,
        "padding_gradient": not padded or pad is None,
        "positions_from_ids": counted,
    }
