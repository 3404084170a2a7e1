"""generate: let a model write, one token after the other."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy

from ..backend import fits_in_memory, keep_freed_memory, one_blas_thread, to_numpy
from ..layers import softmax
from .beam_search import beam_search, best
from .greedy import likeliest, write
from .sampling import sampler, sampling_probabilities
from .settings import is_count, prompt_mask, require, settings_for

SMALL = 1 << 25  # multiplications a step that are not worth a second core

_fits = fits_in_memory("generate for fewer sequences at a time, or search with fewer beams")


@_fits
def generate(
    model: Any,
    input_ids: Any,
    *,
    max_new_tokens: int,
    attention_mask: Any = None,
    do_sample: bool = False,
    num_beams: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    num_return_sequences: int = 1,
    use_cache: bool = True,
    seed: int | None = None,
    eos_token_id: int | list[int] | None = None,
    **rules: Any,
) -> numpy.ndarray:
    """Write a sequence for each input; the argument names and their meaning are those of Hugging Face.

    input_ids: (B, S) integers; for a DecoderOnly the prompts, padded on the left if they differ in length
    attention_mask: (B, S), 1 where there is a real token
    → ids (B · num_return_sequences, T), a numpy.ndarray: the start token or the prompt, what was written, the end token
      included, then padding
    The default is greedy: the likeliest token each time. num_beams > 1: beam search, see beam_search.
    do_sample: draw tokens, see sampling_probabilities; seed: of the draws.
    use_cache: keep the keys and values of earlier positions; without, the result is the same, only slower.
    rules: min_length, min_new_tokens, repetition_penalty, no_repeat_ngram_size, bad_words_ids, forced_bos_token_id,
    forced_eos_token_id, suppress_tokens; where one is not given, the one of the model's generation_config.json holds.
    Raises ValueError for arguments that make no sense.
    """
    require("num_beams", num_beams, is_count(num_beams), "an integer of at least 1")
    most = num_beams if not do_sample else 1 << 30
    valid = f"from 1 to num_beams = {num_beams}" if not do_sample else "at least 1"
    count = num_return_sequences
    require("num_return_sequences", count, is_count(count) and count <= most, valid)
    if do_sample and num_beams > 1:
        raise ValueError("do_sample=True draws one sequence and num_beams > 1 searches for the best: choose one")
    draw = sampler(temperature, top_k, top_p, seed)
    start, state, settings = begin(model, input_ids, attention_mask, max_new_tokens, use_cache, eos_token_id, rules)
    small = model.num_parameters() * len(start) * num_beams < SMALL
    with one_blas_thread() if small else nullcontext():
        if num_beams > 1:
            return beam_search(model, start, state, settings, num_beams, length_penalty, early_stopping, count)
        if count > 1:
            rows = numpy.repeat(numpy.arange(len(start)), count)
            start = start[rows]
            state.reorder(rows)
        ids = start
        for ids, _ in write(model, start, state, settings, draw if do_sample else likeliest):  # noqa: B007
            pass  # generate_steps is for those who want to look on
        return ids


def begin(model, input_ids, attention_mask, max_new_tokens, use_cache, eos_token_id, rules):
    """(the ids to go on from, the model's state, the Settings)"""
    keep_freed_memory()
    settings = settings_for(model, max_new_tokens, use_cache, eos_token_id, rules)
    ids, state = model.start(input_ids, prompt_mask(model, input_ids, attention_mask, settings.eos))
    ids = to_numpy(ids)
    settings.begin(ids.shape[1], model.config)
    return ids, state, settings


@dataclass
class Step:
    """One step of generation, for each sequence of the batch."""

    ids: Any  # (B,) the tokens chosen
    probabilities: Any  # (B,) of these tokens
    alternatives: list  # for each sequence a list of (token, probability), likeliest first


def generate_steps(
    model: Any,
    input_ids: Any,
    *,
    max_new_tokens: int,
    attention_mask: Any = None,
    do_sample: bool = False,
    top: int = 5,
    seed: int | None = None,
    eos_token_id: int | list[int] | None = None,
    **rules: Any,
) -> Iterator[Step]:
    """Look over the model's shoulder: yield a Step for each token, with its probability and the `top` likeliest
    alternatives. The other arguments are those of generate, without beams."""
    require("top", top, is_count(top), "an integer of at least 1")
    shape = {name: rules.pop(name) for name in ("temperature", "top_k", "top_p") if name in rules}
    choose = sampler(**shape, seed=seed) if do_sample else likeliest
    start, state, settings = begin(model, input_ids, attention_mask, max_new_tokens, True, eos_token_id, rules)
    for ids, scores in write(model, start, state, settings, choose):
        p = sampling_probabilities(scores, **shape) if do_sample else softmax(scores)  # (B, V)
        chosen = to_numpy(p)[numpy.arange(len(ids)), ids[:, -1]]
        yield Step(ids[:, -1], chosen, best(p, min(top, p.shape[-1])))
