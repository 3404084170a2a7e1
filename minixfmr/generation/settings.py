"""What decides how a sequence is written: the arguments of generate, else the model's own settings, else none."""

from dataclasses import dataclass
from typing import Any

import numpy

from ..models import Config, Model
from .rules import RULES


@dataclass
class Settings:
    """Of one call of generate."""

    max_new_tokens: int
    eos: list[int]  # the tokens that end a sequence
    pad: int  # what follows them
    beam_pad: int  # and what follows them in beam search
    rules: dict[str, Any]  # as RULES
    use_cache: bool
    prompt_length: int = 0  # ids before the first new one

    @property
    def max_length(self) -> int:
        """Of the ids, prompt included."""
        return self.prompt_length + self.max_new_tokens

    def begin(self, prompt_length: int, config: Config) -> None:
        """Go on from so many ids. Raises ValueError if the model's positions end before max_new_tokens do."""
        room = config.max_position_embeddings - prompt_length + 1 if config.positions != "none" else 1 << 30
        in_range = is_count(self.max_new_tokens) and self.max_new_tokens <= room
        require("max_new_tokens", self.max_new_tokens, in_range, f"from 1 to {room}, where the model's positions end")
        self.prompt_length = prompt_length


def settings_for(model: Model, max_new_tokens: Any, use_cache: bool, eos_token_id: Any, rules: dict) -> Settings:
    """The Settings of a call; where an argument is not given, the model's generation_config.json holds.

    Raises ValueError or TypeError for arguments that make no sense.
    """
    unknown = sorted(set(rules) - set(RULES))
    if unknown:
        raise TypeError(f"generate has no argument {', '.join(unknown)}; its rules are {', '.join(RULES)}")
    own, config = model.generation, model.config
    given = {name: value for name, value in (own | rules).items() if value is not None}
    rules = {name: given.get(name, none) for name, none in RULES.items()}
    penalty = rules["repetition_penalty"]
    require("repetition_penalty", penalty, penalty > 0, "greater than 0")
    asked = (eos_token_id, own.get("eos_token_id"), config.eos_token_id)
    eos: Any = next((e for e in asked if e is not None), [])
    eos = list(eos) if isinstance(eos, list | tuple) else [eos]
    pad = own.get("pad_token_id") if model.published else config.pad_token_id
    pad = pad if pad is not None else eos[0] if eos else config.pad_token_id
    beam_pad = eos[0] if model.published and not pad and eos else pad  # Hugging Face takes a padding id of 0 for none
    return Settings(max_new_tokens, eos, pad, beam_pad, rules, use_cache)


def prompt_mask(model: Model, input_ids: Any, attention_mask: Any, eos: list[int]) -> Any:
    """The attention mask of the prompts: as given, else, for a published model, as Hugging Face infers it."""
    pad = model.generation.get("pad_token_id") if model.published else None
    if attention_mask is not None or not model.reads_prompts or pad is None or pad in eos:
        return attention_mask
    real = numpy.asarray(input_ids) != pad
    return None if real.all() else real.astype(int)


def is_count(value: Any) -> bool:
    """Whether it is an integer of at least 1."""
    return isinstance(value, int) and value >= 1


def require(name: str, value: Any, holds: bool, valid: str) -> None:
    """Raise ValueError unless it holds."""
    if not holds:
        raise ValueError(f"{name} must be {valid}, got {value!r}")
