"""The tutorial script as its users run it: small data, every way to stop it, every kind of bad input."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import corpus
import numpy as np
import pytest
import translate
from conftest import heed
from translating import SCRIPT, SMALL, WORDS, fails, run, train, weights

import minixfmr


def test_a_whole_run_on_own_pairs(here, capsys):
    assert train("--name", "mine", "--epochs", "15", "--lr", "1e-2") == 0
    folder = here / "runs" / "mine"
    names = {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "run.json",
        "metrics.json",
        "curves.csv",
        "curves.jsonl",
        "attention.png",
        "loss.png",
    }
    assert {p.name for p in folder.iterdir()} == names
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() >= {
        "exact_match",
        "bleu",
        "chrf",
        "test_pairs",
        "train_seconds",
        "tokens_per_second",
        "parameters",
        "peak_memory_mb",
    }
    assert metrics["parameters"] == minixfmr.load(folder).num_parameters()
    for picture in ("attention.png", "loss.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert len(re.findall(r"^  .* → ", out, re.M)) == min(10, metrics["test_pairs"])

    assert translate.main(["--model", str(folder), "--translate", "red house", "-v", "--num-beams", "2"]) == 0
    first, *steps = capsys.readouterr().out.splitlines()
    assert steps[-1].split()[0] == "</s>"
    assert all(re.search(r"\d+\.\d%   instead: .* \d+\.\d%", step) for step in steps)
    piped = run("--model", str(folder), "--translate", input="red house\n\nold\n")
    assert piped.returncode == 0
    assert len(piped.stdout.splitlines()) == 3
    assert piped.stdout.splitlines()[1] == ""
    assert isinstance(first, str)
    garbled = subprocess.run(
        [sys.executable, str(SCRIPT), "--model", str(folder), "--translate"], input=b"old\n\xff\n", capture_output=True
    )
    assert garbled.returncode == 2
    assert b"not UTF-8" in garbled.stderr
    (folder / "tokenizer.json").write_text("{")
    assert "cannot read the vocabulary" in fails(capsys, "--model", str(folder), "--translate", "old")


def test_numbers_are_learned_from_nothing_but_words(here, capsys):
    """The main job, shortened; the real one is measured in the README."""
    assert translate.main(["--numbers", "300", "--epochs", "1", *SMALL]) == 0
    assert json.loads(Path("runs/numbers/metrics.json").read_text())["test_pairs"] == 2000


def test_the_model_translates_what_it_learned(here):
    """Reversed order and all: a little training gets most of the held-out phrases right."""
    phrases = [p for n in (1, 2, 3) for p in itertools.product(WORDS, repeat=n)]
    lines = [f"{' '.join(p)}\t{' '.join(WORDS[w] for w in reversed(p))}" for p in phrases]
    Path("pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert train(*"--d-model 32 --d-ff 64 --epochs 60 --lr 1e-2 --dropout 0 --warmup 50".split()) == 0
    metrics = json.loads(Path("runs/numbers/metrics.json").read_text())
    assert metrics["exact_match"] >= 0.7


def test_killed_before_the_first_checkpoint(here):
    command = [sys.executable, str(SCRIPT), "--pairs", "pairs.tsv", *SMALL, "--epochs", "500", "--save-every", "100000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not Path("runs/numbers/run.json").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    Path("runs/numbers/checkpoint.safetensors").unlink(missing_ok=True)
    settings = json.loads(Path("runs/numbers/run.json").read_text())
    settings["settings"]["epochs"] = 1
    Path("runs/numbers/run.json").write_text(json.dumps(settings))
    assert translate.main(["--resume"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as SIGINT")
def test_ctrl_c_saves_and_says_how_to_resume(here):
    options = ["--pairs", "pairs.tsv", *SMALL, "--epochs", "20"]
    assert run("--name", "straight", *options).returncode == 0
    command = [sys.executable, str(SCRIPT), "--name", "stopped", *options, "--save-every", "1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, **pipes, preexec_fn=heed)
    while not Path("runs/stopped/checkpoint.safetensors").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert "everything is saved. To go on:" in out
    assert "--name stopped --resume" in out
    assert translate.main(["--name", "stopped", "--resume"]) == 0
    assert weights("runs/stopped") == weights("runs/straight")


def test_divergence_keeps_the_last_good_checkpoint(here, capsys, monkeypatch):
    real, calls = minixfmr.Trainer._step, []

    def poisoned(self, batches):
        calls.append(1)
        if len(calls) == 12:
            self.model.encoder.blocks[0].self_attention.layer.query.weight.data[:] = np.nan
        return real(self, batches)

    monkeypatch.setattr(minixfmr.Trainer, "_step", poisoned)
    with np.errstate(all="ignore"):
        assert train("--epochs", "5", "--save-every", "5") == 1
    error = capsys.readouterr().err
    assert "diverged at step 12" in error
    monkeypatch.setattr(minixfmr.Trainer, "_step", real)
    assert translate.main(["--resume"]) == 0


def test_a_full_disk_while_saving_keeps_the_old_checkpoint(here, monkeypatch, capsys):
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if len(calls) > 5:  # tokenizer.json, run.json, the best model and two checkpoints fit
            raise OSError(28, "No space left on device")
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert train("--epochs", "5", "--save-every", "4") == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "the file that was there is unchanged" in error
    monkeypatch.setattr(os, "fsync", real)
    assert translate.main(["--resume"]) == 0


def test_a_finished_run_is_never_overwritten_unasked(here, capsys):
    assert train("--epochs", "1") == 0
    before = weights("runs/numbers")
    options = ["--pairs", "pairs.tsv", *SMALL, "--epochs", "1", "--seed", "5"]
    assert "holds a finished run: choose another --name, or start anew with --overwrite" in fails(capsys, *options)
    assert "is finished: nothing to resume" in fails(capsys, "--resume")
    assert "there is no run to resume in runs/other" in fails(capsys, "--resume", "--name", "other")
    assert weights("runs/numbers") == before
    assert translate.main([*options, "--overwrite"]) == 0
    assert weights("runs/numbers") != before


def test_resuming_with_another_config_or_other_data(here, capsys):
    assert train("--epochs", "1") == 0
    Path("runs/numbers/metrics.json").unlink()
    assert "started with --d-model 16, not 32" in fails(capsys, "--resume", "--d-model", "32")
    assert "unfinished run (--resume goes on with it)" in fails(capsys, "--pairs", "pairs.tsv")
    Path("pairs.tsv").write_text(Path("pairs.tsv").read_text(encoding="utf-8") + "one\tmore\n", encoding="utf-8")
    assert "not those that runs/numbers began with" in fails(capsys, "--resume")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--d-model", "30", "--num-heads", "4"], "d_model must be divisible by num_heads"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--dropout", "1.5"], "dropout must be in"),
        (["--lr", "nan"], "--lr must be greater than 0, such as 1e-3, got nan"),
        (["--label-smoothing", "1"], "--label-smoothing must be in [0, 1), got 1.0"),
        (["--vocab-size", "-3"], "--vocab-size must be at least 10, got -3"),
        (["--source-lang", "klingon"], "num2words knows no language 'klingon'"),
        (["--max-length", "2", "--pairs", "pairs.tsv"], "every pair is longer than 1 subwords: raise --max-length"),
        (["--num-beams", "3"], "--num-beams goes with --translate or --evaluate"),
        (["--model", "runs/numbers"], "translating takes both"),
        (["--model", "nowhere", "--translate", "one"], "there is no trained model in nowhere"),
        (["--model", "nowhere", "--translate", "one", "--epochs", "3"], "--epochs goes with training"),
        (["--model", "nowhere", "--translate", "one", "--num-beams", "0"], "--num-beams must be from 1 to 64"),
        (["--resume", "--overwrite"], "--resume and --overwrite contradict each other"),
        (["--name", "../elsewhere"], "--name must be a plain folder name"),
    ],
)
def test_bad_options(here, capsys, arguments, message):
    small = [] if "--model" in arguments or "--pairs" in arguments else ["--numbers", "10"]
    assert message in fails(capsys, *arguments, *small)
    assert not Path("runs").exists()


def test_a_bad_backend_is_one_sentence(here):
    result = run("--backend", "abacus")
    assert result.returncode == 2
    assert result.stderr.startswith("translate.py: error: unknown backend 'abacus'")


def test_numbers_are_disjoint_and_small_ones_are_learned(monkeypatch):
    monkeypatch.setattr(corpus, "in_words", lambda n, lang, british=False: n)
    c = corpus.number_corpus("en", "de", 3000)
    train, valid, test = ({n for n, _ in part} for part in (c.train, c.valid, c.test))
    assert set(range(1000)) <= train
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert (len(train), len(valid), len(test)) == (4000, 500, 2000)
    assert min(test) >= 1000
    assert max(train | valid | test) <= 999_999


def test_numbers_in_words():
    assert corpus.in_words(342, "en") == "three hundred forty-two"
    assert corpus.in_words(342, "en", british=True) == "three hundred and forty-two"
    assert corpus.in_words(342, "de") == "dreihundertzweiundvierzig"
    assert corpus.in_words(123456, "en") == "one hundred twenty-three thousand four hundred fifty-six"


def test_the_vocabulary_gives_every_sentence_back():
    pairs = [("Don't “stop”, now!", "Ein Mann (links) – äöüß."), ("a  b", "x-y z…")]
    tokenizer = corpus.train_tokenizer(pairs, 200)
    for text in ("Don't “stop”, now!", "Ein Mann (links) – äöüß.", "x-y z…", "b-a"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert [tokenizer.id_to_token(i) for i in range(4)] == corpus.SPECIAL
