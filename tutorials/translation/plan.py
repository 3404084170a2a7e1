"""From settings and a corpus to what is to be trained: batches, the model, the schedule."""

import math

from corpus import END, PAD, START

import minixfmr
from minixfmr.training import cosine
from minixfmr.training.variants.mpi import ranks_told

from . import DataError
from .console import counted
from .options import option

BATCH_TOKENS, EPOCHS = 2500, 7  # where there is data enough
BATCHES, STEPS = 40, 450  # an epoch, and in all, where there is not
FEW_STEPS = 100


def encoded(pairs, tokenizer, limit):
    """The ids of the pairs: (sources, targets). Pairs of more subwords than the limit are left out, and counted."""
    sides = [[e.ids for e in tokenizer.encode_batch(list(side))] for side in zip(*pairs, strict=True)]
    short = [(s, t) for s, t in zip(*sides, strict=True) if max(len(s), len(t)) <= limit]
    if len(short) < len(pairs):
        left_out = counted(len(pairs) - len(short), "pair")
        print(f"left out {left_out} longer than {limit} subwords (--max-length)")
    if not short:
        raise DataError(f"every pair is longer than {limit} subwords: raise --max-length")
    return tuple(map(list, zip(*short, strict=True)))


def as_data(pairs, tokenizer, config, batch_tokens, seed=None):
    """The pairs as token ids in batches; one more position than subwords is needed, for the end token."""
    ids = encoded(pairs, tokenizer, config.max_position_embeddings - 1)
    return minixfmr.TranslationData(*ids, config, batch_tokens, seed)


def fitted(settings, train, tokenizer):
    """The settings with batches and epochs that suit the amount of data, unless they were given."""
    if settings["batch_tokens"] and settings["epochs"]:
        return settings
    sides = [[len(e.ids) for e in tokenizer.encode_batch(list(side))] for side in zip(*train, strict=True)]
    lengths = [min(max(pair) + 1, settings["max_length"]) for pair in zip(*sides, strict=True)]
    small = sum(lengths) < BATCHES * BATCH_TOKENS
    batch = settings["batch_tokens"] or (
        max(math.ceil(sum(lengths) / BATCHES), max(lengths)) if small else BATCH_TOKENS
    )
    steps = max(1, sum(lengths) // (batch * settings["accumulate"]))
    epochs = settings["epochs"] or max(EPOCHS, min(STEPS // steps, 100) if small else EPOCHS)
    return settings | {"batch_tokens": batch, "epochs": epochs}


def prepare(settings, corpus, tokenizer):
    """(Trainer, validation data) for these settings."""
    config = minixfmr.Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=settings["d_model"],
        num_heads=settings["num_heads"],
        d_ff=settings["d_ff"],
        num_encoder_layers=settings["layers"],
        num_decoder_layers=settings["layers"],
        max_position_embeddings=settings["max_length"],
        norm_order=settings["norm_order"],
        dropout=settings["dropout"],
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_id=END,
    )
    model = minixfmr.EncoderDecoder(config, seed=settings["seed"])
    data = as_data(corpus.train, tokenizer, config, settings["batch_tokens"], settings["seed"])
    valid = as_data(corpus.valid, tokenizer, config, max(settings["batch_tokens"], BATCH_TOKENS))
    steps = minixfmr.training.count_steps(data, settings["epochs"], settings["accumulate"])
    trainer = minixfmr.Trainer(
        model,
        minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-4),
        cosine(settings["lr"], warmup(settings, steps), steps),
        data,
        criterion=minixfmr.CrossEntropy(label_smoothing=settings["label_smoothing"]),
        accumulate=settings["accumulate"],
        workers="mpi" if ranks_told() > 1 else settings["threads"],
        seed=settings["seed"],
    )
    return trainer, valid


def warmup(settings, steps):
    """The steps of warm-up, which are no more than half of the run."""
    return min(settings["warmup"], steps // 2)


def tell_plan(settings, corpus, trainer, tokenizer, given):
    """Say what is going to be trained, and which given options cannot be obeyed; warn of a run that is too short to
    learn anything."""
    batches, steps = len(trainer.data.order(0)), trainer.total_steps(settings["epochs"])
    print(
        f"{len(corpus.train):,} pairs to train on, {len(corpus.valid):,} to validate, {len(corpus.test):,} to test; "
        f"{tokenizer.get_vocab_size():,} subwords; {trainer.model.num_parameters():,} parameters; "
        f"{settings['threads']} threads"
    )
    print(
        f"{batches:,} batches an epoch, of up to {settings['batch_tokens']:,} subwords (--batch-tokens); "
        f"{steps:,} steps in {settings['epochs']:,} epochs (--epochs)"
    )
    if warmup(settings, steps) < settings["warmup"]:
        print(f"warm-up is {warmup(settings, steps):,} steps, half of the run, not --warmup {settings['warmup']:,}")
    for name, (most, why) in _useful(settings, batches, tokenizer.get_vocab_size()).items():
        if name in given and given[name] > most:
            print(f"note: {option(name)} {given[name]:,} is more than has an effect: {why}")
    if steps < FEW_STEPS:
        print(
            f"warning: {steps} steps are few, and a model needs hundreds to learn to translate: give more --epochs, "
            "or smaller --batch-tokens"
        )


def _useful(settings, batches, subwords):
    """{option: (the most that has an effect on this run, why)}"""
    per_epoch = -(-batches // settings["accumulate"])
    return {
        "accumulate": (batches, f"an epoch has {counted(batches, 'batch', 'batches')}, and a step takes no more"),
        "patience": (settings["epochs"] - 1, f"the run has {counted(settings['epochs'], 'epoch')}"),
        "save_every": (per_epoch, f"each epoch ends with a checkpoint, after {counted(per_epoch, 'step')}"),
        "vocab_size": (subwords, f"the text yields {counted(subwords, 'subword')}"),
    }
