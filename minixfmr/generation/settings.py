"""What decides how a sequence is written: the arguments of generate, else the model's own settings, else defaults."""

from dataclasses import dataclass
from typing import Any

from ..backend import to_numpy
from ..checks.values import require
from ..checks.writing import check_given, check_room, check_rules, check_search
from ..models import Config, Model
from .variants.published import USUAL, beam_padding, first_token
from .variants.rules import RULES

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
TOKENS = ("eos_token_id", "pad_token_id", "decoder_start_token_id")  # those that a Config has as well


@dataclass
class Settings:
    """The settings of one call of generate."""

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
    reread: int = 0  # the length beyond which all is read anew, once

    @property
    def use_cache(self) -> bool:
        """Whether keys and values of earlier positions are kept."""
        return self.search["use_cache"]

    def begin(self, prompt_length: int, config: Config) -> None:
        """Go on after prompt_length ids. Raises ValueError if the model's positions end too early."""
        room = check_room(self.search, prompt_length, config)
        self.prompt_length, self.max_length = prompt_length, prompt_length + room
        self.reread = (config.rope_scaling or {}).get("reread", 0)


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
    usual = USUAL if model.published else {name: getattr(model.config, name) for name in TOKENS}
    merged = defaults | usual | own | given
    search, rules = ({name: merged[name] for name in names} for names in (SEARCH, RULES))
    config, V = model.config, model.config.target_vocab_size
    check_given(given, V)
    check_search(search)
    check_rules(rules, V, search["num_beams"])
    eos, pad = search["eos_token_id"] or [], search["pad_token_id"]
    if pad is None:
        pad = eos[0] if eos else config.pad_token_id
    several = len(input_ids) > 1 or max(search["num_beams"], search["num_return_sequences"]) > 1
    is_read = several and any(end < V for end in eos)  # after the end of one, while others go on
    require("pad_token_id", pad, pad < V or not is_read, f"a token id in [0, {V}) to fill up what has ended")
    start = first_token(model, search) if model.published else search["decoder_start_token_id"]
    return Settings(search, rules, eos, pad, beam_padding(model, pad, eos), to_numpy(input_ids), start)
