"""What becomes of each setting of a generation_config.json: obeyed by generate, refused, or of no effect on the ids."""

import warnings
from typing import Any

from ..checkpoint import CheckpointError
from ..generation import RULES, SEARCH, check_rules, check_search

OBEYED = {**SEARCH, **RULES}
# fmt: off
FREE = {
    "transformers_version", "_from_model_config", "output_attentions", "output_hidden_states", "output_scores",
    "output_logits", "return_dict_in_generate", "cache_implementation", "cache_config", "max_cache_len",
    "return_legacy_cache", "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold",
    "max_matching_ngram_size", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind",
    "assistant_ensemble_weight", "speculation_type", "compile_config", "disable_compile",
    "continuous_batching_config", "low_memory", "is_assistant", "trust_remote_code",
    "use_model_defaults", "begin_index", "generation_kwargs",
}
# fmt: on
NEUTRAL: dict[str, tuple] = {  # settings that cannot be obeyed, with the values that ask for nothing
    "max_time": (),
    "stop_strings": ([],),
    "min_p": (0.0,),
    "top_h": (),
    "typical_p": (1.0,),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "remove_invalid_values": (False,),
    "exponential_decay_length_penalty": (),
    "forced_decoder_ids": ([],),
    "token_healing": (False,),
    "guidance_scale": (1.0,),
    "watermarking_config": (),
    "prompt_lookup_num_tokens": (),
    "use_mtp": (False,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "constraints": (),
    "force_words_ids": (),
}
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def generation_settings(stored: dict[str, Any], where: str, vocab_size: int) -> dict[str, Any]:
    """The settings of generate in a generation_config.json. Raises CheckpointError for what cannot be obeyed; warns of
    what transformers does not read either."""
    for name, value in stored.items():
        if name in NEUTRAL and value is not None and value not in NEUTRAL[name]:
            raise CheckpointError(
                f"{where}: {name} = {value!r} is a setting of generation that is not supported: remove it, if other "
                "ids than transformers writes are welcome"
            )
    unknown = sorted(set(stored) - set(OBEYED) - FREE - set(NEUTRAL))
    if unknown:
        text = ", ".join(f"{name} = {stored[name]!r}" for name in unknown)
        warnings.warn(f"{where}: not read, as generate has no such setting: {text}", stacklevel=4)
    found = {name: value for name, value in stored.items() if name in {*OBEYED, *FREE} and value is not None}
    eos = found.get("eos_token_id", [])
    if found.get("eos_token_id") is not None:  # -1 and the like end nothing
        ends = [e for e in (eos if isinstance(eos, list) else [eos]) if not (isinstance(e, int) and e < 0)]
        if isinstance(eos, list) and len(ends) < len(eos):
            warnings.warn(f"{where}: eos_token_id = {eos}: a negative one is not read", stacklevel=4)
        found["eos_token_id"] = ends[0] if len(ends) == 1 and not isinstance(eos, list) else ends
    for name in ("pad_token_id", "bos_token_id"):
        if isinstance(found.get(name), int) and found[name] < 0:
            text = f"{name} = {found.pop(name)} is no token, and is not read: padding is then the end token"
            warnings.warn(f"{where}: {text}", stacklevel=4)
    try:
        check_search(SEARCH | {name: value for name, value in found.items() if name in SEARCH})
        check_rules(RULES | {name: value for name, value in found.items() if name in RULES}, vocab_size)
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error
    return found


def settings_in_config(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of generation among the keys of a config.json, where folders had them before they had a file."""
    return {name: config[name] for name in (*OBEYED, *NEUTRAL) if config.get(name) is not None}
