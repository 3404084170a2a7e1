"""Train a character model on Shakespeare and let it write: nanoGPT's setting for a CPU, in about a minute.

    python tutorials/shakespeare.py --data tinyshakespeare/input.txt

The text is https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt; any plain text will do. The first nine
tenths of it are read for training, the last tenth only for the validation loss.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np

import minixfmr
from minixfmr.training import cosine

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
HOME = "https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare"
T, BATCH = 64, 12  # characters in a sequence, sequences in a batch


class Crops:
    """Random pieces of a text as batches for a DecoderOnly: it reads T characters and predicts each next one."""

    def __init__(self, ids, steps, seed):
        self.ids, self.steps, self.seed = ids, steps, seed

    def order(self, epoch):
        """One epoch of `steps` batches; the key of a batch is the seed that draws it."""
        return [[self.seed, epoch, step] for step in range(self.steps)]

    def batch(self, key):
        starts = np.random.default_rng(key).integers(len(self.ids) - T, size=BATCH)
        return windows(self.ids, starts)


class Whole:
    """All of a text, piece after piece."""

    def __init__(self, ids):
        self.ids = ids

    def order(self, epoch):
        starts = np.arange(0, len(self.ids) - T, T)
        return np.array_split(starts, max(len(starts) // BATCH, 1))

    def batch(self, starts):
        return windows(self.ids, starts)


def windows(ids, starts):
    """T characters from each start on, and for each the character that follows; both (B, T)."""
    at = np.asarray(starts)[:, None] + np.arange(T)
    return {"input_ids": ids[at], "labels": ids[at + 1]}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a text file, or a folder with input.txt in it")
    parser.add_argument("--steps", type=int, default=1800, help="optimizer steps (default: 1800)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest (default: nanoGPT's, 0.001)")
    parser.add_argument("--threads", type=int, default=min(4, CORES), help="workers (default: one per core, at most 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")
    parser.add_argument("--write", type=int, default=300, help="characters to write at the end (default: 300)")
    parser.add_argument("--backend", help='"numpy" or "cupy" (default: $MINIXFMR_BACKEND, else numpy)')
    given = parser.parse_args(arguments)
    peak = given.learning_rate
    if not 0 < peak < 1:
        parser.error(f"--learning-rate must be greater than 0 and less than 1, got {peak}")
    path = Path(given.data) / "input.txt" if Path(given.data).is_dir() else Path(given.data)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        print(f"shakespeare.py: error: cannot read {path} ({error}): the text is at {HOME}", file=sys.stderr)
        return 2
    if len(text) < 20 * T:
        print(f"shakespeare.py: error: {path} has {len(text)} characters, too few to learn from", file=sys.stderr)
        return 2
    if given.backend:
        minixfmr.use_backend(given.backend)

    characters = sorted(set(text))
    number = {character: i for i, character in enumerate(characters)}
    ids = np.array([number[character] for character in text])
    train, valid = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    config = minixfmr.Config(
        vocab_size=len(characters),
        d_model=128,
        num_heads=4,
        d_ff=512,
        num_decoder_layers=4,
        max_position_embeddings=max(T, given.write + 1),
        positions="learned",
        scale_embeddings=False,
        norm_order="pre",
        activation="gelu",
        dropout=0.0,
        eos_token_id=None,
    )
    model = minixfmr.DecoderOnly(config, seed=given.seed)
    optimizer = minixfmr.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=0.1)
    schedule = cosine(peak, warmup=min(100, given.steps), total=given.steps, final=peak / 10)
    data = Crops(train, given.steps, given.seed)
    trainer = minixfmr.Trainer(model, optimizer, schedule, data, workers=given.threads, seed=given.seed)

    print(f"{len(text):,} characters, {len(characters)} different; {model.num_parameters():,} parameters")
    began = time.perf_counter()
    for result in trainer.run(epochs=1):
        if result.step % 200 == 0:
            print(f"step {result.step}: loss {result.loss:.3f}, {time.perf_counter() - began:.1f} s", flush=True)
    trained = time.perf_counter() - began
    loss = minixfmr.evaluate(model, Whole(valid))
    seconds = time.perf_counter() - began
    print(f"validation loss {loss:.4f} after {trained:.1f} s of training, {seconds:.1f} s with evaluation")
    if given.write:
        start = np.array([[number.get("\n", 0)]])
        room = T - 1  # positions beyond T were never trained: write in pieces that fit, each from the end of the last
        written = start
        while written.shape[1] <= given.write:
            prompt = written[:, -(T // 2) :]
            more = minixfmr.generate(
                model,
                prompt,
                max_new_tokens=room - prompt.shape[1] + 1,
                do_sample=True,
                top_k=40,
                seed=written.shape[1],
            )
            written = np.concatenate([written, more[:, prompt.shape[1] :]], axis=1)
        print("".join(characters[i] for i in written[0, 1 : given.write + 1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
