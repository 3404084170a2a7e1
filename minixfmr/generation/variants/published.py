"""What a published model takes where neither its folder nor the caller says it: the same as in Hugging Face."""

import warnings
from typing import Any

from ...backend import to_numpy
from ...models import Model

USUAL = {"top_k": 50}  # and no end, padding or start token out of its config


def first_token(model: Model, search: dict[str, Any]) -> int | None:
    """What the decoder of an encoder-decoder reads first. Raises ValueError where there is no such token."""
    start, V = search["decoder_start_token_id"], model.config.target_vocab_size
    start = search["bos_token_id"] if start is None else start
    if not model.reads_prompts and (start is None or start >= V):
        raise ValueError(f"decoder_start_token_id must be a token id in [0, {V}), got {start}")
    return start


def beam_padding(model: Model, pad: int, eos: list[int]) -> int:
    """What follows the end of a sequence in beam search, where Hugging Face takes a padding id of 0 for none."""
    return eos[0] if model.published and not pad and eos else pad


def prompt_mask(model: Model, attention_mask: Any, settings: Any) -> Any:
    """The attention mask of the prompts: as given, else, for a published model, inferred from the padding."""
    pad = settings.search["pad_token_id"] if model.published else None
    if attention_mask is None and model.reads_prompts and pad is not None and pad not in settings.eos:
        real = settings.source != pad
        attention_mask = None if real.all() else real
    if attention_mask is not None and model.reads_prompts:
        real = to_numpy(attention_mask)
        settings.left_padding = real.argmax(axis=1)
        if not real[:, -1].all():
            text = "the prompts are padded on the right, so that what is written follows padding: pad on the left"
            warnings.warn(text, stacklevel=5)
        changing = {"growth", "long_frequencies"} & set(model.config.rope_scaling or {})
        if changing and settings.left_padding.any():
            text = "this model's rotary positions change with the length and count padding: give prompts of one length"
            warnings.warn(
                f"{text} at a time, where texts grow long, for the ids that each would get alone", stacklevel=5
            )
    return attention_mask
