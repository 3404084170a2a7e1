"""Runs of the tutorial script: nothing computed is lost, whoever disturbs them, and what they leave can be used."""

import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import translate
from conftest import heed
from translating import SCRIPT, SMALL, fails, run, train, weights, write_pairs
from translation import console, folder, plan
from translation.signals import Stopped, StopRequests
from translation.translator import Translator

from minixfmr.checkpoint import write_file

pytestmark = pytest.mark.long


def started(*arguments, name="x"):
    """A long run in a process of its own, after its first checkpoint."""
    command = [sys.executable, str(SCRIPT), "--name", name, "--pairs", "pairs.tsv", *SMALL, "--max-length", "24"]
    with open("out", "wb") as out, open("err", "wb") as err:
        command += ["--epochs", "300", "--save-every", "2", *arguments]
        process = subprocess.Popen(command, stdout=out, stderr=err, preexec_fn=heed)
    while not Path("runs", name, "checkpoint.safetensors").exists():
        assert process.poll() is None, Path("err").read_text()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_any_request_to_stop_saves_and_its_hint_works(here, number):
    process = started(name="my run")
    process.send_signal(number)
    assert process.wait() == 128 + number
    last = Path("out").read_text().splitlines()[-1]
    assert last.startswith("stopped; everything is saved. To go on: ")
    command = shlex.split(last.split(": ", 1)[1])
    done = subprocess.run([*command, "--epochs", "20", "--lr", "1e-4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--lr is 0.0001, which was 0.003" in done.stdout
    assert "--epochs is" in done.stdout
    described = json.loads(Path("runs/my run/run.json").read_text())
    assert described["settings"]["lr"] == described["changes"][0]["lr"] == 1e-4


def test_a_second_writer_is_refused_with_the_number_of_the_first(here, capsys):
    process = started()
    try:
        message = fails(capsys, "--name", "x", "--resume")
        assert f"another process ({process.pid})" in message
        assert "is in use" in fails(capsys, "--name", "x", "--pairs", "pairs.tsv", "--overwrite")
    finally:
        process.kill()
        process.wait()
    with folder.RunFolder("x").locked():  # a killed process holds nothing
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
@pytest.mark.parametrize(("number", "words"), [(signal.SIGKILL, "was killed"), (signal.SIGSTOP, "was stopped")])
def test_a_worker_that_cannot_answer_ends_the_run_in_a_sentence(here, number, words):
    process = started("--threads", "2", "--d-model", "64", "--d-ff", "128", "--batch-tokens", "600")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text().split():
        time.sleep(0.01)
    for child in children.read_text().split():
        os.kill(int(child), number)
    assert process.wait() == 1
    error = Path("err").read_text()
    assert "Traceback" not in error
    assert words in error.splitlines()[-1]
    assert "--name x --resume" in error.splitlines()[-1]


def test_a_signal_is_noted_at_first_and_then_ends_at_once():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever these tests were started with
    try:
        noted_then_ended()
    finally:
        signal.signal(signal.SIGHUP, before)


def noted_then_ended():
    with StopRequests() as stop:
        with stop.patience():
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM
            with pytest.raises(Stopped) as raised:
                os.kill(os.getpid(), signal.SIGINT)
        assert raised.value.status == 130
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGHUP)
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopRequests():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, previous)


@pytest.mark.parametrize("steps", range(12))
def test_a_start_that_is_cut_short_leaves_a_run_or_none(here, monkeypatch, steps):
    """Whatever of starting anew has been done, either --resume works or a plain start does."""
    assert train("--epochs", "1") == 0
    real, left = (folder.write_file, Path.unlink), iter(range(steps))

    def cut(function):
        def count(*arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return count

    monkeypatch.setattr(folder, "write_file", cut(real[0]))
    monkeypatch.setattr(Path, "unlink", cut(real[1]))
    train("--epochs", "1", "--seed", "3", "--overwrite")
    monkeypatch.undo()
    os.chdir(here)
    if not folder.RunFolder("numbers").finished():
        assert (translate.main(["--resume"]) if Path("runs/numbers/run.json").exists() else train("--epochs", "1")) == 0


def write_often(path, byte):
    for _ in range(40):
        write_file(path, byte * 5000)


def test_two_writers_of_one_file_never_show_a_reader_half_of_it(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"a" * 5000)
    writers = [multiprocessing.get_context("spawn").Process(target=write_often, args=(path, b)) for b in (b"b", b"c")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        time.sleep(1e-4)
        data = path.read_bytes()
        assert len(data) == 5000
        assert len(set(data)) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_best_epoch_is_kept_unless_the_last_is_wanted(here):
    harmful = ["--epochs", "12", "--lr", "0.2", "--dropout", "0"]
    for keep in ("best", "last"):
        assert train("--name", keep, "--keep", keep, *harmful) == 0
    losses = {}
    for keep in ("best", "last"):
        metrics = json.loads(Path(f"runs/{keep}/metrics.json").read_text())
        losses[keep] = metrics["valid_loss"]
    curve = [json.loads(line) for line in Path("runs/best/curves.jsonl").read_text().splitlines()]
    assert losses["best"] <= losses["last"] == curve[-1]["valid_loss"]
    assert weights("runs/best") != weights("runs/last") or losses["best"] == losses["last"]
    assert not list(Path("runs/best").glob("best-*"))
    assert train("--name", "patient", "--patience", "1", *harmful) == 0
    assert len(Path("runs/patient/curves.csv").read_text().splitlines()) <= len(curve) + 1


def test_a_small_file_gets_small_batches_and_steps_enough(here, capsys):
    settings = {"batch_tokens": None, "epochs": None, "max_length": 256, "accumulate": 1}
    pairs = [tuple(line.split("\t")[:2]) for line in Path("pairs.tsv").read_text().splitlines()]
    tokenizer = translate.train_tokenizer(pairs, 60)
    small, large = plan.fitted(settings, pairs, tokenizer), plan.fitted(settings, pairs * 300, tokenizer)
    assert small["batch_tokens"] < 100 < large["batch_tokens"] == plan.BATCH_TOKENS
    assert small["epochs"] > large["epochs"] == plan.EPOCHS
    assert plan.fitted(settings | {"epochs": 3}, pairs, tokenizer)["epochs"] == 3
    assert train("--epochs", "1", "--warmup", "400") == 0
    told = capsys.readouterr().out
    assert "warning: 4 steps are few" in told
    assert "warm-up is 2 steps, half of the run, not --warmup 400" in told


def test_evaluation_finetuning_and_the_translator(here, capsys):
    assert train("--name", "first", "--epochs", "2", "--max-length", "16") == 0
    write_pairs("other.tsv", 40)
    capsys.readouterr()
    assert (
        translate.main(["--model", "runs/first", "--evaluate", "other.tsv", "--num-beams", "2", "--output", "h.txt"])
        == 0
    )
    figures = json.loads(Path("h.txt.json").read_text())
    assert figures["test_pairs"] == len(Path("h.txt").read_text(encoding="utf-8").splitlines()) == 40
    assert figures["num_beams"] == 2
    assert "chrf_signature" in capsys.readouterr().out

    options = ["--pairs", "other.tsv", "--finetune", "runs/first", "--epochs", "1"]
    assert "has --d-model 16, not 32" in fails(capsys, *options, "--d-model", "32")
    assert translate.main(["--name", "second", *options, "--batch-tokens", "150"]) == 0
    assert json.loads(Path("runs/second/run.json").read_text())["settings"]["lr"] == 3e-4
    assert Path("runs/second/tokenizer.json").read_bytes() == Path("runs/first/tokenizer.json").read_bytes()
    assert weights("runs/second") != weights("runs/first")

    translator = Translator.load("runs/first")
    texts = ["red house", "", "old " * 30, "new"]
    together = translator.translations(texts)
    assert [t.text for t in together] == translator.translate(texts)
    for text, translation in zip(texts, together, strict=True):
        assert translator.translations([text]) == [translation]
    assert together[1].text == ""
    assert together[2].cut == len(translator.tokenizer.encode(texts[2]).ids) - 15
    assert len(together[2].ids) <= 16
    assert len(list(translator.steps(together[2]))) == len(together[2].ids)


class Broken:
    encoding = "ascii"

    def write(self, text):
        if "x" in text:
            raise BrokenPipeError
        self.written = text


def test_printing_never_fails():
    stream = Broken()
    out = console.Unbreakable(stream)
    print("größer", file=out)
    print("x", file=out)
    print("more", file=out)
    assert isinstance(out.broken, BrokenPipeError)


def test_training_goes_on_where_nobody_reads_what_it_prints(here):
    command = f"{shlex.join([sys.executable, str(SCRIPT)])} --pairs pairs.tsv {' '.join(SMALL)} --epochs 2"
    for shell in (f"{command} 2>&1 | true", f"{command} > /dev/full 2>&1", f"{command} >&- 2>&-"):
        subprocess.run(["bash", "-c", f"{shell}; true"], check=True)
        assert Path("runs/numbers/metrics.json").exists(), shell
        Path("runs/numbers/metrics.json").unlink()
        for path in Path("runs/numbers").iterdir():
            path.unlink()


def test_a_text_that_begins_with_a_dash_is_a_text(here):
    assert train("--epochs", "1") == 0
    assert run("--model", "runs/numbers", "--translate", "-hello").returncode == 0
    assert run("--model", "runs/numbers", "--translate", "--no such option", "-v").returncode == 0
