"""What decides how a sequence is written: the arguments of generate, else the model's own settings, else none."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy

from ..backend import to_numpy
from ..models import Config, Model
from .checks import check_rules, check_search, is_count, require
from .rules import RULES

# the other arguments of generate that a model's generation_config.json may give, and their values where none does
SEARCH: dict[str, Any] = {
    "max_new_tokens": None,
    "max_length": None,
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "temperature": 1.0,
    "top_k": None,
    "top_p": None,
    "length_penalty": 1.0,
    "early_stopping": False,
    "use_cache": True,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "decoder_start_token_id": None,
}
USUAL = 20  # new tokens, where nothing says how many


@dataclass
class Settings:
    """Of one call of generate."""

    search: dict[str, Any]  # as SEARCH
    rules: dict[str, Any]  # as RULES
    eos: list[int]  # the tokens that end a sequence
    pad: int  # what follows them
    beam_pad: int  # and what follows them in beam search
    source: Any  # (B, S), the input_ids
    start: int | None = None  # what the decoder of an encoder-decoder reads first
    left_padding: Any = None  # (B,) of the prompts
    prompt_length: int = 0  # ids before the first new one
    max_length: int = 0  # of the ids, prompt included

    @property
    def use_cache(self) -> bool:
        """Whether keys and values of earlier positions are kept."""
        return self.search["use_cache"]

    def begin(self, prompt_length: int, config: Config) -> None:
        """Go on from so many ids. Raises ValueError if the model's positions end too early."""
        ends = config.positions != "none"
        longest = config.max_position_embeddings
        require("input_ids", prompt_length, not ends or prompt_length <= longest, f"at most {longest} tokens long")
        room = longest - prompt_length + 1 if ends else 1 << 30  # what is written last need not be read
        count, total = self.search["max_new_tokens"], self.search["max_length"]
        if count is not None:
            valid = f"from 1 to {room}, where the model's positions end"
            require("max_new_tokens", count, is_count(count) and count <= room, valid)
        elif total is not None:
            valid = f"more than the {prompt_length} tokens of input_ids"
            require("max_length", total, is_count(total) and total > prompt_length, valid)
            count = min(total - prompt_length, room)
        else:
            count = min(USUAL, max(longest - prompt_length, 1) if ends else USUAL)
        self.prompt_length, self.max_length = prompt_length, prompt_length + count


def settings_for(model: Model, input_ids: Any, given: dict[str, Any]) -> Settings:
    """The Settings of a call; where an argument is None or not given, the model's generation_config.json holds.

    Raises ValueError or TypeError for arguments that make no sense.
    """
    defaults = SEARCH | RULES
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise TypeError(f"generate has no argument {', '.join(unknown)}; its rules are {', '.join(RULES)}")
    given = {name: value for name, value in given.items() if value is not None}
    own = {name: value for name, value in model.generation.items() if value is not None and name in defaults}
    if "max_length" in given:  # explicit arguments win over the folder's max_new_tokens, too
        own.pop("max_new_tokens", None)
    merged = defaults | ({"top_k": 50} if model.published else {}) | own | given
    search, rules = ({name: merged[name] for name in names} for names in (SEARCH, RULES))
    config = model.config
    check_search(search)
    check_rules(rules, config.target_vocab_size)
    eos: Any = search["eos_token_id"]
    eos = config.eos_token_id if eos is None and not model.published else eos
    eos = [] if eos is None else list(eos) if isinstance(eos, list | tuple) else [eos]
    pad = search["pad_token_id"] if model.published else config.pad_token_id
    pad = pad if pad is not None else eos[0] if eos else config.pad_token_id
    beam_pad = eos[0] if model.published and not pad and eos else pad  # Hugging Face takes a padding id of 0 for none
    start = config.decoder_start_token_id
    if model.published and not model.reads_prompts:
        first = search["decoder_start_token_id"]
        start = search["bos_token_id"] if first is None else first
        valid = f"a token id in [0, {config.target_vocab_size})"
        require(
            "decoder_start_token_id", start, isinstance(start, int) and 0 <= start < config.target_vocab_size, valid
        )
    return Settings(search, rules, eos, pad, beam_pad, to_numpy(input_ids), start)


def prompt_mask(model: Model, input_ids: Any, attention_mask: Any, settings: Settings) -> Any:
    """The attention mask of the prompts: as given, else, for a published model, as Hugging Face infers it."""
    pad = settings.search["pad_token_id"] if model.published else None
    if attention_mask is None and model.reads_prompts and pad is not None and pad not in settings.eos:
        real = numpy.asarray(input_ids) != pad
        attention_mask = None if real.all() else real.astype(int)
    if attention_mask is not None and model.reads_prompts:
        real = to_numpy(attention_mask) != 0
        settings.left_padding = real.argmax(axis=1)
        if not real[:, -1].all():
            text = "the prompts are padded on the right, so that what is written follows padding: pad on the left"
            warnings.warn(text, stacklevel=4)
    return attention_mask
