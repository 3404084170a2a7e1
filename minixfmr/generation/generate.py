"""generate: let a model write, one token after another."""

from contextlib import nullcontext
from typing import Any

import numpy

from ..backend import fits_in_memory, keep_freed_memory, one_blas_thread, random_generator, to_numpy
from ..checks.arrays import check_inputs
from ..checks.writing import check_model_writes, check_prompts
from .beam_search import beam_search
from .greedy import likeliest, write
from .sampling import sampler
from .settings import settings_for
from .variants.published import prompt_mask

SMALL = 1 << 20  # multiplications per step below which a second core does not pay

_fits = fits_in_memory("generate for fewer sequences at a time, or search with fewer beams")


@_fits
def generate(
    model: Any, input_ids: Any, *, attention_mask: Any = None, seed: int | None = None, **settings: Any
) -> numpy.ndarray:
    """Write a sequence for each input; the argument names and their meaning are those of Hugging Face.

    input_ids: (B, S) integers; for a DecoderOnly the prompts, padded on the left if they differ in length
    attention_mask: (B, S), 1 where there is a real token
    → ids (B · num_return_sequences, T), a numpy.ndarray: the start token or the prompt, what was written, the end token
      included, then padding
    Where a setting is None or not given, the model's generation_config.json decides, and else the defaults below:
    max_new_tokens (20); or max_length, prompt included
    num_beams=1, greedy: the likeliest token each time; more: beam search with length_penalty=1.0 and
    early_stopping=False, see beam_search
    do_sample=False; True: draw tokens, see sampling_probabilities, with temperature=1.0, top_k=None (a published
    model: 50), top_p=None; seed: of the draws
    num_return_sequences=1, for each input
    use_cache=True: keep the keys and values of earlier positions; without, the result is the same, only slower
    eos_token_id (a list for several), pad_token_id, decoder_start_token_id
    rules: see RULES in generation/variants/rules.py: min_length, min_new_tokens, repetition_penalty, sequence_bias,
    no_repeat_ngram_size, bad_words_ids, forced_bos_token_id, forced_eos_token_id, suppress_tokens, ...
    Raises ValueError or TypeError for arguments that make no sense.
    """
    start, state, decided = begin(model, input_ids, attention_mask, settings)
    rng = random_generator(seed)  # refused also where nothing is drawn
    search = decided.search
    num_beams, sequences = search["num_beams"], search["num_return_sequences"]
    small = model.num_parameters() * len(start) * num_beams < SMALL
    with one_blas_thread() if small else nullcontext():
        if num_beams > 1:
            how = search["length_penalty"], search["early_stopping"], sequences
            return beam_search(model, start, state, decided, num_beams, *how)
        if sequences > 1:
            rows = numpy.repeat(numpy.arange(len(start)), sequences)
            start = start[rows]
            state.reorder(rows)
        shape = {name: search[name] for name in ("temperature", "top_k", "top_p")}
        choose = sampler(**shape, seed=rng) if search["do_sample"] else likeliest
        ids = start
        for ids, _ in write(model, start, state, decided, choose):  # noqa: B007
            pass  # generate_steps is for those who want to watch
        return ids


def begin(model, input_ids, attention_mask, given):
    """(the ids to go on from, the model's state, the Settings)"""
    keep_freed_memory()
    check_model_writes(model)
    input_ids, attention_mask = check_inputs(input_ids, attention_mask)
    settings = settings_for(model, input_ids, given)
    if model.reads_prompts:  # before the model trips over its last position
        settings.begin(input_ids.shape[1], model.config)
    attention_mask = prompt_mask(model, attention_mask, settings)
    check_prompts(model, attention_mask)
    ids, state = model.start(input_ids, attention_mask)
    ids = to_numpy(ids)
    ids = ids if model.reads_prompts else numpy.full_like(ids, settings.start)
    settings.begin(ids.shape[1], model.config)
    return ids, state, settings
