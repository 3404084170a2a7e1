"""What becomes of each key of a config.json: a family declares it in one table, for reading and for writing.

Defaults are those of transformers' configuration classes. The table of a family holds every key to which its class
gives a meaning; any other key cannot change what is computed, and is named in a warning.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..checkpoint import CheckpointError

SIZES = "num_labels n_inner intermediate_size word_embed_proj_dim num_key_value_heads head_dim sliding_window"
SIZES += " decoder_vocab_size num_decoder_layers pooler_hidden_size embedding_size attention_head_size"
SIZES += " original_max_position_embeddings"
KINDS: dict[str, Any] = dict.fromkeys(SIZES.split(), int) | {  # of settings without a default, which else tells it
    "partial_rotary_factor": float,
    "is_gated_act": bool,
    "scale_decoder_outputs": bool,
    "dense_act_fn": str,
    "id2label": dict,
    "layer_types": list,
    "attention_layers": list,
}
USUAL = {  # what most configurations call alike, and the field of Config
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "num_attention_heads": "num_heads",
    "intermediate_size": "d_ff",
    "max_position_embeddings": "max_position_embeddings",
    "attention_dropout": "attention_dropout",
    "layer_norm_eps": "layer_norm_eps",
    "rms_norm_eps": "layer_norm_eps",
}
LARGEST = 1 << 27  # of whole numbers: a digit too many would take all memory before anything is compared


@dataclass(frozen=True)
class Key:
    """One row of a table."""

    default: Any = None
    to: str = ""  # the field of Config that has this value
    only: tuple = ()  # the values that can be obeyed; empty: all
    also: tuple = ()  # other names of the key
    null: bool = False  # whether null is a value
    free: bool = False  # it does not change what is computed
    token: bool = False  # a token id, checked in family.token_fields
    decides: str = ""  # the field of Config that errors about this key name, where there is no `to`
    like: str = ""  # the key whose value it must have, if any
    by: Callable[["Values", str], Any] | None = None  # what makes the field of Values and this name; None: as it is


def to(name: str, default: Any, *also: str) -> Key:
    """A key that is a field of Config under another name."""
    return Key(default, name, also=also, null=default is None)


def usual(**defaults: Any) -> dict[str, Key]:
    """Keys that nearly all configurations call alike."""
    return {name: to(USUAL[name], default) for name, default in defaults.items()}


def like(other: str) -> Key:
    """A key that may only repeat another."""
    return Key(like=other, null=True)


def read(default: Any, *also: str, null: bool = False, decides: str = "") -> Key:
    """A key that the family's fields look at."""
    return Key(default, also=also, null=null or default is None, decides=decides)


def must(*values: Any) -> Key:
    """A key with which nothing but these values can be obeyed; the first is the default."""
    return Key(values[0], only=values, null=True)


def free(names: str) -> dict[str, Key]:
    """Keys that do not change what is computed."""
    return {name: Key(free=True) for name in names.split()}


def must_all(value: Any, names: str) -> dict[str, Key]:
    """Several keys that must have the same value."""
    return dict.fromkeys(names.split(), must(value))


def with_defaults(table: dict[str, Key], **values: Any) -> dict[str, Key]:
    """The same table where only these defaults differ."""
    rows = {name: (table[name], value) for name, value in values.items()}
    nulls = {name: value is None or (row.null and row.default is not None) for name, (row, value) in rows.items()}
    return table | {name: replace(row, default=value, null=nulls[name]) for name, (row, value) in rows.items()}


COMMON = {
    **free("architectures model_type transformers_version adapter_transformers_version dtype torch_dtype"),
    **free("_name_or_path name_or_path _commit_hash _attn_implementation attn_implementation tokenizer_class prefix"),
    **free("_attn_implementation_autoset return_dict use_return_dict output_hidden_states output_attentions"),
    **free("output_past problem_type finetuning_task task_specific_params torchscript use_cache use_bfloat16"),
    **free("_num_labels label2id chunk_size_feed_forward gradient_checkpointing xla_device tf_legacy_loss"),
    **free("keys_to_ignore_at_inference initializer_range init_std initializer_factor sep_token_id cls_token_id"),
    **free("mask_token_id language summary_type summary_use_proj summary_activation summary_last_dropout"),
    **free("summary_proj_to_labels summary_first_dropout"),
    "num_labels": read(None),
    "id2label": read(None),
    "is_encoder_decoder": must(False),
    "pruned_heads": must({}, []),
    "quantization_config": must(None),
    "tie_encoder_decoder": must(False),
    "cross_attention_hidden_size": must(None),
    "add_cross_attention": must(False),
    "bos_token_id": read(None, null=True),
    "eos_token_id": read(None, null=True),
    "pad_token_id": read(None, null=True),
    "decoder_start_token_id": read(None, null=True),
    "tie_word_embeddings": read(True),
}


def tokens(pad: int | None, bos: int | None, eos: int | None, start: int | None = None) -> dict[str, Key]:
    """The rows of the special tokens, with their defaults."""
    values = {"pad_token_id": pad, "bos_token_id": bos, "eos_token_id": eos, "decoder_start_token_id": start}
    return {name: Key(value, null=True, token=True) for name, value in values.items()}


@dataclass
class Values:
    """What a config.json says, by the keys' own names, with defaults where it says nothing.

    c.hidden_size is the value of that key. c.kind: the model_type
    """

    kind: str
    table: dict[str, Key]
    given: dict[str, Any]
    where: str = "config.json"
    separate: set = field(default_factory=set)  # tensors that are not tied although they may be, see tensors.Ties

    def __getattr__(self, name: str) -> Any:
        try:
            return self.given.get(name, self.table[name].default)
        except KeyError:
            raise AttributeError(name) from None

    def fields(self) -> dict[str, Any]:
        """The fields of Config that are one key each."""
        rows = [(name, key) for name, key in self.table.items() if key.to]
        return {key.to: key.by(self, name) if key.by else getattr(self, name) for name, key in rows}

    def worded(self, text: str) -> str:
        """A text about fields of Config as one about the keys that they come from."""
        keys = {key.to or key.decides: name for name, key in self.table.items()}
        return re.sub(r"\w+", lambda word: keys.get(word[0], word[0]), text)

    def said(self) -> str:
        """The keys that decide what a model is, as config.json gives them."""
        told = {n: v for n, v in self.given.items() if not self.table[n].free and not self.table[n].token}
        return ", ".join(f"{name} = {value!r}" for name, value in told.items())

    def with_value(self, name: str, value: Any) -> "Values":
        """The same with another value of a key."""
        return replace(self, given=self.given | {name: value})

    def refuse(self, name: str, why: str) -> CheckpointError:
        """The error for a key that cannot be obeyed."""
        return CheckpointError(f"{self.where}: {name} = {getattr(self, name)!r} {why}")

    def published(self) -> dict[str, Any]:
        """The keys to write again, each under its own name and with its default where none was given."""
        rows = {name: key for name, key in self.table.items() if not key.free}
        said = {name: value for name, value in self.given.items() if name in self.table}
        return said | {n: getattr(self, n) for n, key in rows.items() if n in self.given or key.default is not None}


def values_of(config: dict[str, Any], kind: str, table: dict[str, Key], ignored: set, where: str) -> Values:
    """Read a config.json by the table. Raises CheckpointError for a value that cannot be obeyed.

    ignored: keys that are read elsewhere
    """
    names = {other: name for name, key in table.items() for other in (name, *key.also)}
    given: dict[str, Any] = {}
    said: dict[str, str] = {}
    for stored, value in config.items():
        name = names.get(stored)
        if name is None:
            continue
        if name in given and given[name] != value:
            raise CheckpointError(
                f"{where}: {said[name]} = {given[name]!r} and {stored} = {value!r} are one setting: keep one of the two"
            )
        _check(stored, value, table[name], where)
        given[name], said[name] = value, stored
    unknown = sorted(set(config) - set(names) - ignored)
    if unknown:
        warnings.warn(
            f"{where}: not read, as a {kind} has no such setting: {', '.join(f'{n} = {config[n]!r}' for n in unknown)}",
            stacklevel=5,
        )
    values = Values(kind, table, given, where)
    for name, key in table.items():
        if key.like and getattr(values, name) not in (None, getattr(values, key.like)):
            raise values.refuse(name, f"cannot be obeyed here, only {key.like} = {getattr(values, key.like)}")
    return values


def _check(name, value, key, where):
    """Raise CheckpointError for a value of the wrong type, or one that cannot be obeyed."""
    if key.free or key.token:
        return
    if key.only:
        allowed = any(value == v and type(value) is type(v) for v in key.only) or (value is None and not key.only[0])
        if not allowed:
            valid = " or ".join(repr(v) for v in key.only)
            raise CheckpointError(f"{where}: {name} = {value!r} cannot be obeyed here, only {valid}")
        return
    if value is None and key.null:
        return
    if isinstance(value, int) and abs(value) > LARGEST:
        raise CheckpointError(f"{where}: {name} = {value} is more than any model has, at most {LARGEST}: correct it")
    kind: Any = KINDS.get(name) if key.default is None else type(key.default)
    if kind is None:
        return
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool) or value != value:
        words = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a text"}
        wanted = words.get(kind.__name__, f"a {kind.__name__}")
        example = f", such as {key.default!r}" if key.default is not None else ""
        raise CheckpointError(f"{where}: {name} must be {wanted}{example}, got {value!r}")
