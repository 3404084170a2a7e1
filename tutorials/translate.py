"""Train a small Transformer to translate, see what it learned, and translate with it.

    python tutorials/translate.py                                             # numbers in words, English to German
    python tutorials/translate.py --name mine --pairs deu.txt                 # your own pairs
    python tutorials/translate.py --model runs/numbers --translate "forty-two"

Everything about a run lies in runs/<name>/: the model, its vocabulary, pictures, metrics.json, and, while it trains,
the checkpoint from which `--resume` goes on after Ctrl-C, a crash or a kill as if nothing had happened.
"""

import argparse
import json
import math
import multiprocessing
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
from corpus import END, PAD, START, UNKNOWN, DataError, number_corpus, read_pairs, read_parallel, split, train_tokenizer
from tokenizers import Tokenizer
from tqdm import tqdm

import minixfmr
from minixfmr.checkpoint import write_file
from minixfmr.training import cosine, pad, token_batches

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
DEFAULTS = {
    "name": ("numbers", "the run's folder, runs/NAME"),
    "pairs": (None, "file with source TAB target on each line"),
    "source": (None, "file with one source sentence a line, plain or .gz"),
    "target": (None, "file with their translations"),
    "valid_source": (None, "validation files; without them, pairs are held out of the training files"),
    "valid_target": (None, ""),
    "test_source": (None, "test files; likewise"),
    "test_target": (None, ""),
    "source_lang": ("en", "language of the numbers, as num2words names it"),
    "target_lang": ("de", ""),
    "numbers": (20000, "random numbers to train on, beside those below 1,000"),
    "vocab_size": (None, "subwords, both sides together (default: 130 for numbers, 6000 for own data)"),
    "d_model": (128, "width"),
    "num_heads": (4, "attention heads"),
    "d_ff": (512, "width of the feed-forward layers"),
    "layers": (2, "encoder blocks, and as many decoder blocks"),
    "dropout": (0.1, "share of the units that rest in each step"),
    "label_smoothing": (0.1, "share of the target probability that is spread over the whole vocabulary"),
    "norm_order": ("pre", "pre or post"),
    "max_length": (256, "longest sentence, in subwords"),
    "batch_tokens": (2500, "subwords in a batch"),
    "accumulate": (1, "batches to one optimizer step"),
    "epochs": (7, "passes over the training pairs"),
    "lr": (3e-3, "peak learning rate"),
    "warmup": (400, "steps to reach it"),
    "seed": (0, "of everything random"),
    "threads": (min(4, CORES), "worker threads (more than a few only queue for Python's lock)"),
    "save_every": (200, "steps between two checkpoints; each epoch ends with one too"),
}
PATHS = ("pairs", "source", "target", "valid_source", "valid_target", "test_source", "test_target")


class UsageError(ValueError):
    """What was asked for does not go together; the message says what would."""


def main(arguments=None):
    """Run the command line; return the exit status."""
    given = parse(arguments)
    try:
        if "backend" in given:
            minixfmr.use_backend(given.pop("backend"))
        if "translate" in given or "model" in given:
            return translate_command(given)
        return train_command(given)
    except (
        UsageError,
        DataError,
        minixfmr.ConfigError,
        minixfmr.CheckpointError,
        minixfmr.BackendError,
        OSError,
    ) as error:
        print(f"translate.py: error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:  # while the model is built
        print(f"translate.py: error: out of memory ({error}): lower --d-model, --d-ff or --layers", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # outside training, which saves first
        print("\nstopped", file=sys.stderr)
        return 130
    except minixfmr.TrainingDiverged as error:
        print(f"translate.py: error: {error}.", file=sys.stderr)
        return 1


def parse(arguments):
    """The options that were given, as a dictionary; an option left out is not in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, argument_default=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    training = parser.add_argument_group("training")
    for name, (value, text) in DEFAULTS.items():
        shown = f" (default: {value})" if value is not None else ""
        kind = int if name == "vocab_size" else str if value is None else type(value)
        training.add_argument("--" + name.replace("_", "-"), type=kind, metavar=kind.__name__, help=text + shown)
    training.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    training.add_argument("--overwrite", action="store_true", help="start anew where a run is already")
    using = parser.add_argument_group("translating")
    using.add_argument("--model", metavar="FOLDER", help="a finished run, such as runs/numbers")
    using.add_argument(
        "--translate",
        nargs="?",
        const="-",
        metavar="TEXT",
        help="translate this; without TEXT, standard input by lines",
    )
    using.add_argument("--num-beams", type=int, help="beam search of this width (default: 1, greedy)")
    using.add_argument("-v", "--verbose", action="store_true", help="show each token's probability and alternatives")
    parser.add_argument("--backend", help='"numpy" or "cupy" (default: $MINIXFMR_BACKEND, else numpy)')
    return vars(parser.parse_args(arguments))


# --- training


def train_command(given):
    for option in ("num_beams", "verbose"):
        if option in given:
            raise UsageError(f"--{option.replace('_', '-')} goes with --translate")
    resume, overwrite = given.pop("resume", False), given.pop("overwrite", False)
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other")
    given |= {name: str(Path(given[name]).resolve()) for name in PATHS if name in given}
    name = given.get("name", DEFAULTS["name"][0])
    if name in (".", "..", "") or Path(name).name != name:
        raise UsageError(f"--name must be a plain folder name, got {name!r}: the run goes to runs/NAME")
    run = Path("runs") / name
    settings = choose_settings(run, given, resume, overwrite)
    corpus = read_corpus(settings)
    if resume:
        if json.loads((run / "run.json").read_text())["data"] != corpus.fingerprint():
            raise UsageError(f"the data files are not those that {run} began with; restore them, or use --overwrite")
        tokenizer = load_tokenizer(run)
    else:
        tokenizer = train_tokenizer(corpus.train, settings["vocab_size"])
    # everything that can be wrong is found before the first file of the run is written
    trainer, valid = prepare(settings, corpus, tokenizer)
    state = {"steps": [], "valid": [], "seconds": 0.0, "tokens": 0}
    if resume and (run / "checkpoint.safetensors").exists():
        state = minixfmr.load_training(trainer, run / "checkpoint.safetensors")
    elif not resume:
        start_run(run, settings, corpus, tokenizer)
    print(
        f"{len(corpus.train):,} pairs to train on, {len(corpus.valid):,} to validate, {len(corpus.test):,} to test; "
        f"{tokenizer.get_vocab_size():,} subwords; {trainer.model.num_parameters():,} parameters; "
        f"{settings['threads']} threads"
    )
    if not train(run, settings, trainer, valid, corpus, tokenizer, state):
        print(f"\nstopped; everything is saved. To go on: {sys.argv[0]} --name {settings['name']} --resume")
        return 130
    finish(run, trainer.model, corpus, tokenizer, state)
    return 0


def choose_settings(run, given, resume, overwrite):
    """The settings of a new run, or those of the run to resume, which nothing that was given may contradict."""
    if resume:
        if not (run / "run.json").exists():
            raise UsageError(f"there is no run to resume in {run}")
        if (run / "metrics.json").exists():
            raise UsageError(f"{run} is finished: nothing to resume; choose another --name, or --overwrite it")
        settings = json.loads((run / "run.json").read_text())["settings"]
        for name, value in given.items():
            if settings[name] != value:
                raise UsageError(
                    f"{run} was started with --{name.replace('_', '-')} {settings[name]}, not {value}: resume without "
                    "the option, or choose another --name"
                )
        return settings
    if run.exists() and any(run.iterdir()) and not overwrite:
        state = "a finished run" if (run / "metrics.json").exists() else "an unfinished run (--resume goes on with it)"
        raise UsageError(f"{run} holds {state}: choose another --name, or start anew with --overwrite")
    settings = {name: value for name, (value, _) in DEFAULTS.items()} | given
    if "threads" not in given and minixfmr.backend_name() != "numpy":
        settings["threads"] = 1  # threads share out the cores of a CPU
    own_data = settings["pairs"] or settings["source"]
    settings["vocab_size"] = settings["vocab_size"] or (6000 if own_data else 130)
    lowest = {"vocab_size": 10, "seed": 0} | dict.fromkeys(
        ("epochs", "save_every", "warmup", "numbers", "batch_tokens", "accumulate", "threads", "max_length"), 1
    )
    for name, least in lowest.items():
        if settings[name] < least:
            raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, got {settings[name]}")
    if not 0 < settings["lr"] < math.inf:
        raise UsageError(f"--lr must be greater than 0, such as 1e-3, got {settings['lr']}")
    if not 0 <= settings["label_smoothing"] < 1:
        raise UsageError(f"--label-smoothing must be in [0, 1), got {settings['label_smoothing']}")
    return settings


def read_corpus(settings):
    """The training, validation and test pairs that the settings name."""
    for kind in ("", "valid_", "test_"):
        if bool(settings[kind + "source"]) != bool(settings[kind + "target"]):
            option = f"--{kind}source and --{kind}target".replace("_", "-")
            raise UsageError(f"{option} go together: give both or neither")
    if settings["pairs"] and settings["source"]:
        raise UsageError("give --pairs, or --source and --target, not both")
    if not settings["pairs"] and not settings["source"]:
        if settings["valid_source"] or settings["test_source"]:
            raise UsageError("validation and test files need training files: --source and --target, or --pairs")
        return number_corpus(
            settings["source_lang"], settings["target_lang"], settings["numbers"], seed=settings["seed"]
        )
    pairs = read_pairs(settings["pairs"]) if settings["pairs"] else None
    corpus_files = {
        kind: read_parallel(settings[f"{kind}_source"], settings[f"{kind}_target"])
        for kind in ("valid", "test")
        if settings[f"{kind}_source"]
    }
    pairs = pairs or read_parallel(settings["source"], settings["target"])
    corpus = split(pairs, settings["seed"])
    if len(corpus_files) == 2:
        corpus.train = pairs
    elif "valid" in corpus_files:
        corpus.train += corpus.valid
    elif "test" in corpus_files:
        corpus.train += corpus.test
    corpus.valid, corpus.test = corpus_files.get("valid", corpus.valid), corpus_files.get("test", corpus.test)
    return corpus


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
    optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.98), eps=1e-9, weight_decay=1e-4)
    train_data = as_data(corpus.train, tokenizer, config, settings["batch_tokens"], settings["seed"])
    valid_data = as_data(corpus.valid, tokenizer, config, settings["batch_tokens"])
    steps = -(-len(train_data.order(0)) // settings["accumulate"]) * settings["epochs"]
    trainer = minixfmr.Trainer(
        model,
        optimizer,
        cosine(settings["lr"], min(settings["warmup"], steps // 2), steps),
        train_data,
        criterion=minixfmr.CrossEntropy(label_smoothing=settings["label_smoothing"]),
        accumulate=settings["accumulate"],
        workers=settings["threads"],
        seed=settings["seed"],
    )
    trainer.total_steps = steps
    return trainer, valid_data


def as_data(pairs, tokenizer, config, batch_tokens, seed=None):
    """The pairs as token ids in batches; pairs that are longer than the model's positions are left out, and counted."""
    sides = [[e.ids for e in tokenizer.encode_batch(list(side))] for side in zip(*pairs, strict=True)]
    limit = config.max_position_embeddings - 1  # the end token needs a position too
    short = [(s, t) for s, t in zip(*sides, strict=True) if max(len(s), len(t)) <= limit]
    if len(short) < len(pairs):
        print(f"left out {len(pairs) - len(short)} pairs longer than {limit} subwords (--max-length)")
    if not short:
        raise DataError(f"every pair is longer than {limit} subwords: raise --max-length")
    return minixfmr.TranslationData(*map(list, zip(*short, strict=True)), config, batch_tokens, seed)


def start_run(run, settings, corpus, tokenizer):
    """Clear the folder of an earlier run's files and write what resuming needs."""
    run.mkdir(parents=True, exist_ok=True)
    for old in ("run.json", "metrics.json", "checkpoint.safetensors", "model.safetensors", "config.json"):
        (run / old).unlink(missing_ok=True)
    write_file(run / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    description = {"settings": settings, "data": corpus.fingerprint()}
    write_file(run / "run.json", (json.dumps(description, indent=2) + "\n").encode())


def train(run, settings, trainer, valid, corpus, tokenizer, state):
    """Train to the end, or until Ctrl-C; return whether the end was reached. Keeps the loss curves in state."""
    interrupted = []
    previous = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))  # finish the step, then stop
    began, seconds = time.perf_counter(), state["seconds"]
    bar = tqdm(total=trainer.total_steps, initial=trainer.progress.step, unit="step", dynamic_ncols=True)

    def save():
        state["seconds"] = seconds + time.perf_counter() - began
        minixfmr.save_training(trainer, run / "checkpoint.safetensors", state)

    try:
        for result in trainer.run(settings["epochs"]):
            state["steps"].append((result.step, round(result.loss, 4)))
            state["tokens"] += result.tokens
            elapsed = seconds + time.perf_counter() - began
            bar.update()
            bar.set_postfix(loss=f"{result.loss:.3f}", tok_s=f"{state['tokens'] / elapsed:,.0f}", refresh=False)
            epoch_ended = trainer.progress.position == 0
            if epoch_ended:
                loss = minixfmr.evaluate(trainer.model, valid)
                state["valid"].append((result.step, round(loss, 4)))
                source, target = corpus.valid[trainer.progress.epoch % len(corpus.valid)]
                (output,) = translate(trainer.model, tokenizer, [source])
                verdict = "" if output == target else f"   (reference: {target})"
                bar.write(f"epoch {trainer.progress.epoch}: validation loss {loss:.3f}   {source} → {output}{verdict}")
            if epoch_ended or result.step % settings["save_every"] == 0 or interrupted:
                save()
            if interrupted:
                return trainer.progress.epoch >= settings["epochs"]
        save()
        return True
    finally:
        bar.close()
        signal.signal(signal.SIGINT, previous)


def finish(run, model, corpus, tokenizer, state):
    """Test the model, and write it, the pictures and the metrics into the run's folder."""
    import plots  # matplotlib is slow to import, and only needed here
    import sacrebleu

    minixfmr.save(model, run)
    sources, references = map(list, zip(*corpus.test, strict=True))
    began = time.perf_counter()
    outputs = translate(model, tokenizer, sources, progress=True)
    test_seconds = time.perf_counter() - began
    bleu = sacrebleu.BLEU(effective_order=True)  # numbers are one word each: there are no n-grams beyond 1 to count
    metrics = {
        "exact_match": round(sum(o == r for o, r in zip(outputs, references, strict=True)) / len(outputs), 5),
        "bleu": round(bleu.corpus_score(outputs, [references]).score, 2),
        "bleu_signature": str(bleu.get_signature()),
        "chrf": round(sacrebleu.corpus_chrf(outputs, [references]).score, 2),
        "test_pairs": len(outputs),
        "train_seconds": round(state["seconds"], 1),
        "tokens_per_second": round(state["tokens"] / state["seconds"]),
        "test_seconds": round(test_seconds, 1),
        "valid_loss": state["valid"][-1][1],
        "parameters": model.num_parameters(),
        "peak_memory_mb": peak_memory_mb(),
    }
    for source, output, reference in list(zip(sources, outputs, references, strict=True))[:10]:
        print(f"  {source} → {output}" + (f"   (reference: {reference})" if output != reference else ""))
    examples = sorted(range(len(sources)), key=lambda i: abs(len(sources[i]) - 45))[:3]
    maps = plots.attention_maps([cross_attention(model, tokenizer, sources[i], outputs[i]) for i in examples])
    maps.savefig(run / "attention.png")
    curves = {"training (dropout, smoothed labels)": state["steps"], "validation (neither)": state["valid"]}
    plots.losses({label: points for label, points in curves.items() if points}).savefig(run / "loss.png")
    write_file(run / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    (run / "checkpoint.safetensors").unlink(missing_ok=True)
    print(json.dumps(metrics, indent=2))
    print(f"model, attention.png, loss.png and metrics.json are in {run}")
    print(f'try it: {sys.argv[0]} --model {run} --translate "{sources[0]}"')


def peak_memory_mb():
    """The most memory this process and its workers ever held, in MB; None where the system does not tell.

    What they share (the weights, the libraries) counts once for each of them.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    workers = [Path(f"/proc/{child.pid}/status").read_text() for child in multiprocessing.active_children()]
    kilobytes = sum(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) for status in workers)  # forked on Linux alone
    unit = 1 if sys.platform == "darwin" else 1024  # bytes or KiB
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + kilobytes * 1024) / 1e6, 1)


# --- translating


def translate_command(given):
    if "model" not in given or "translate" not in given:
        raise UsageError('translating takes both: --model runs/NAME --translate "TEXT"')
    model_folder, text = Path(given.pop("model")), given.pop("translate")
    num_beams, verbose = given.pop("num_beams", 1), given.pop("verbose", False)
    if given:
        raise UsageError(f"--{next(iter(given)).replace('_', '-')} goes with training, not with --translate")
    if not 1 <= num_beams <= 64:
        raise UsageError(f"--num-beams must be from 1 to 64, got {num_beams}")
    if not (model_folder / "model.safetensors").exists() or not (model_folder / "tokenizer.json").exists():
        hint = ": it is not finished, --resume goes on with it" if (model_folder / "run.json").exists() else ""
        raise UsageError(f"there is no trained model in {model_folder}{hint}")
    model, tokenizer = minixfmr.load(model_folder), load_tokenizer(model_folder)
    for sentence in standard_input() if text == "-" else [text]:
        sentence = sentence.strip()
        if any("\ud800" <= character <= "\udfff" for character in sentence):
            raise UsageError("the text to translate is not UTF-8: convert it, for example with iconv -t UTF-8")
        if UNKNOWN in tokenizer.encode(sentence).ids:
            print("note: this has characters that were not in the training data", file=sys.stderr)
        (output,) = translate(model, tokenizer, [sentence], num_beams) if sentence else [""]
        print(output, flush=True)
        if verbose and sentence:
            print_steps(model, tokenizer, sentence, output)
    return 0


def standard_input():
    """Its lines as UTF-8, whatever the locale; bytes that are not become surrogates, as on the command line."""
    return open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", closefd=False)


def load_tokenizer(folder):
    """The vocabulary that lies beside a model."""
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing more specific
        raise UsageError(f"cannot read the vocabulary {folder / 'tokenizer.json'}: {error}") from error


def translate(model, tokenizer, sentences, num_beams=1, progress=False):
    """The translations of the sentences, in their order; those of similar length share a batch."""
    limit = model.config.max_position_embeddings
    sources = [[*encoding.ids[: limit - 1], END] for encoding in tokenizer.encode_batch(sentences)]
    outputs = [""] * len(sentences)
    batches = token_batches([len(s) for s in sources], 2000)
    for batch in tqdm(batches, desc="translating", unit="batch", disable=not progress, leave=False):
        longest = max(len(sources[i]) for i in batch)
        ids = minixfmr.generate(
            model,
            pad([sources[i] for i in batch], PAD),
            attention_mask=pad([[1] * len(sources[i]) for i in batch], 0),
            max_new_tokens=min(limit, 2 * longest + 20),
            num_beams=num_beams,
        )
        for i, text in zip(batch, tokenizer.decode_batch(ids.tolist()), strict=True):  # leaves special tokens out
            outputs[i] = text
    return outputs


def _teacher_forced(model, tokenizer, source, output):
    """Read a translation back through the model: (source ids, target ids, logits (1, T, V), saved)."""
    source_ids = [*tokenizer.encode(source).ids, END]
    target_ids = [*tokenizer.encode(output).ids, END]
    logits, saved = model.forward(np.array([source_ids]), np.array([[START, *target_ids[:-1]]]))
    return source_ids, target_ids, logits, saved


def cross_attention(model, tokenizer, source, output):
    """(source tokens, target tokens, weights (target, source)): the last block's cross-attention, mean over heads."""
    source_ids, target_ids, _, saved = _teacher_forced(model, tokenizer, source, output)
    weights = minixfmr.to_numpy(model.attention_weights(saved)["cross"][-1])[0].mean(0)
    return [tokenizer.id_to_token(i) for i in source_ids], [tokenizer.id_to_token(i) for i in target_ids], weights


def print_steps(model, tokenizer, source, output):
    """For each token of a translation its probability, and the likeliest alternatives with theirs."""
    _, target_ids, logits, _ = _teacher_forced(model, tokenizer, source, output)
    z = minixfmr.to_numpy(logits)[0]
    p = np.exp(z - z.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    for token, row in zip(target_ids, p, strict=True):
        others = [i for i in np.argsort(-row)[:5] if i != token][:4]
        alternatives = "  ".join(f"{tokenizer.id_to_token(int(i))} {row[i]:.1%}" for i in others)
        print(f"  {tokenizer.id_to_token(token):16} {row[token]:6.1%}   instead: {alternatives}")


if __name__ == "__main__":
    sys.exit(main())
