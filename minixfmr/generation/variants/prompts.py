"""Prompts padded to one length, as published models read them."""

import warnings
from typing import Any

from ...backend import to_numpy
from ...models import Model
from ..settings import Settings


def prompt_mask(model: Model, attention_mask: Any, settings: Settings) -> Any:
    """The attention mask of the prompts: as given, else, for a published model, as Hugging Face infers it."""
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
