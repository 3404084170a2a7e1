"""The tutorial script at the edges: data that only seems to be text, options given twice, files that are gone."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import corpus
import pytest
import translate
from translating import SCRIPT, fails, run, train, write_pairs
from translation import DataError, UsageError, console, options, plan, report, settings, training, using
from translation import data as run_data
from translation.files import normalise, read_lines
from translation.pairs import Layout, read_pairs, read_parallel
from translation.translator import Translator

import minixfmr

PAIRS = [(f"sentence {i}", f"Satz {i}") for i in range(30)]
TEXT = "".join(f"{source}\t{target}\n" for source, target in PAIRS)


def written(content, name="pairs.tsv"):
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("utf-16")[:-1], "UTF-16 does, but byte .*cut short"),
        ('<srcset setid="n">\n<seg id="1">a</seg>\n', "looks like XML or SGML"),
        ("<!DOCTYPE html>\n<p>\ta</p>\n", "looks like HTML"),
        ('{"text": "a"}\n{"text": "b"}\n', "looks like JSON"),
        ('[\n{"en": "a"}\n]\n', "looks like JSON"),
    ],
)
def test_a_document_is_not_taken_for_lines_of_text(here, content, message):
    with pytest.raises(DataError, match=message):
        read_lines(written(content))


def test_texts_that_begin_like_documents_are_texts(here):
    for text in ("<s> a", "[sic] a", "{a} b", "< 3", "html"):
        assert read_lines(written(text + "\nb\n")) == [text, "b"]


def test_marks_of_joined_files_and_stray_carriage_returns_are_no_text(here):
    assert normalise("\ufeffa\ufeff b") == "a b"
    assert read_pairs(written("a\rb,c\nd,e\n")) == [("a b", "c"), ("d", "e")]


@pytest.mark.parametrize(
    ("row", "column"), [(("s", "en", "t", "de"), "2 holds en"), (("eng", "s", "deu", "t"), "1 holds eng")]
)
def test_a_column_of_languages_is_not_taken_for_sentences(here, row, column):
    written("".join("\t".join(cell + str(i) if len(cell) == 1 else cell for cell in row) + "\n" for i in range(30)))
    with pytest.raises(DataError, match=f"column {column} on every line.*--columns"):
        read_pairs("pairs.tsv")
    assert len(read_pairs("pairs.tsv", Layout(columns=(1, 2)))) == 30


def test_a_header_is_known_by_the_columns_that_are_read(here, capsys):
    written("id,english,german,source_url\n" + "".join(f"{i},{s},{t},x\n" for i, (s, t) in enumerate(PAIRS)))
    assert read_pairs("pairs.tsv", Layout(columns=(2, 3))) == PAIRS
    assert "line 1 names the columns (english, german)" in capsys.readouterr().out


def test_lines_are_counted_with_their_header(here, capsys):
    written(b"source\n\xff\na\n", "a"), written("target\nx\ny\n", "b")
    assert read_parallel("a", "b", Layout(header=True, skip_bad_lines=True)) == [("a", "y")]
    assert "the first is line 2" in capsys.readouterr().out


def test_a_device_that_never_ends_is_refused():
    with pytest.raises(DataError, match="/dev/zero: it is a device"):
        read_lines("/dev/zero")


def test_standard_input_that_is_closed_is_said(here):
    for arguments in (["--pairs", "-"], ["--model", "runs/numbers", "--translate"]):
        if "--model" in arguments:
            assert train("--epochs", "1") == 0
        command = shlex.join([sys.executable, str(SCRIPT), *arguments])
        done = subprocess.run(["bash", "-c", f"{command} <&-"], capture_output=True, text=True)
        assert (done.returncode, "closed" in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_pipe_is_not_read_twice(here, capsys):
    os.mkfifo("fifo")
    assert "can be read once only" in fails(capsys, "--pairs", "fifo", "--test-pairs", "fifo")
    with pytest.raises(UsageError, match="can be read once only"):
        settings.read_once(["-", "/dev/stdin"])


def test_a_file_that_became_a_pipe_is_not_waited_for(here):
    Path("pairs.tsv").unlink()
    os.mkfifo("pairs.tsv")
    stored = options.DEFAULTS | {"lr": 1e-3, "vocab_size": 60, "pairs": os.path.abspath("pairs.tsv")}
    with pytest.raises(UsageError, match="is a pipe or a device now: put the file back"):
        settings.resumed(stored, {}, "runs/x")
    written(TEXT, "others.tsv")
    assert settings.resumed(stored, {"pairs": "others.tsv"}, "runs/x")[0]["pairs"] == os.path.abspath("others.tsv")


def test_what_a_run_keeps_follows_its_folder(here):
    Path("runs/x").mkdir(parents=True)
    written(TEXT, "runs/x/train_pairs.tsv")
    stored = options.DEFAULTS | {"lr": 1e-3, "vocab_size": 60, "pairs": "/elsewhere/runs/x/train_pairs.tsv"}
    assert settings.resumed(stored, {}, "runs/x")[0]["pairs"] == os.path.abspath("runs/x/train_pairs.tsv")


def test_data_of_a_pipe_survives_starting_anew_and_going_on_from_another_pipe(here):
    pairs = [("english", "german"), *PAIRS]
    whole = corpus.Corpus(pairs, PAIRS[:2], PAIRS[2:4])
    folder = Path("runs/x")
    folder.mkdir(parents=True)
    chosen, files = run_data.kept(options.DEFAULTS | {"seed": 0, "pairs": "-"}, whole, folder)
    for name, content in files:
        (folder / name).write_bytes(content)
    assert run_data.read_corpus(chosen) == whole  # its first pair is none of column names
    again, files = run_data.kept(chosen, whole, folder)
    assert again == chosen
    assert len(files) == 3  # written anew when the folder is cleared
    assert run_data.kept(options.DEFAULTS | {"pairs": os.path.abspath("pairs.tsv")}, whole, folder)[1] == []


@pytest.mark.parametrize("name", ["-x", "my  run", "a'b $c"])
def test_a_hint_is_a_command_that_gives_the_same_options(capsys, name):
    wanted = options.DEFAULTS | {"name": name, "separator": "\t", "columns": [2, 1], "header": True, "lr": 0.1}
    given = {n: v for n, v in wanted.items() if v != options.DEFAULTS[n]}
    command = console.command(**{n: options.as_written(n, v) for n, v in given.items()})
    console.error(f"no\n use: {command}")
    words = shlex.split(capsys.readouterr().err.split("use: ")[1])
    assert options.parse(words[2:], "") == given
    assert options.parse(shlex.split(console.command(separator="->"))[2:], "") == {"separator": "->"}


def test_options_given_twice(capsys):
    assert options.parse(["--lr", "1", "--lr", "2"], "") == {"lr": 2.0}
    assert "--lr is given twice: 2.0 counts, not 1.0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        options.parse(["--pairs", "a", "--pairs", "b"], "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "9" * 40], "--seed must be at most"),
        (["--pairs", "gr\udcfcn"], "--pairs: the name .* is not UTF-8"),
        (["--pairs", "pairs.tsv", "--name", "gr\udcfcn"], "is not UTF-8"),
    ],
)
def test_what_could_not_be_written_down_is_refused(here, capsys, arguments, message):
    import re

    assert re.search(message, fails(capsys, *arguments))


def test_a_million_epochs_are_counted_at_once(here):
    tokenizer = corpus.train_tokenizer(PAIRS, 60)
    config = minixfmr.Config(vocab_size=60, d_model=8, num_heads=2, d_ff=8, max_position_embeddings=60)
    data = plan.as_data(PAIRS, tokenizer, config, 150, seed=0)
    for accumulate in (1, 2, 50):
        steps = minixfmr.training.count_steps(data, 3, accumulate)
        assert plan.total_steps(data, {"epochs": 3, "accumulate": accumulate}) == steps
    assert plan.total_steps(data, {"epochs": 10**9, "accumulate": 1}) == len(data.order(0)) * 10**9


def test_outputs_of_a_test_are_checked_before_it(here):
    written(TEXT)
    Path("folder").mkdir()
    for output, message in [("pairs.tsv", "would replace the data"), ("folder", "no regular file")]:
        with pytest.raises(UsageError, match=message):
            using.check_outputs((Path(output), Path("other.json")), ["pairs.tsv"])
    with pytest.raises(UsageError, match="cannot write in"):
        using.check_outputs((Path("pairs.tsv/inside"), Path("other.json")), ["-"])


def test_figures_without_sacrebleu(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    figures = report.scores(["a"], [["a"]])
    assert (figures["exact_match"], figures["bleu"], figures["chrf_signature"]) == (1, None, None)
    assert "bleu is missing" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named():
    code = f"import runpy, sys; sys.modules['tokenizers'] = None; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert 'tokenizers is missing: pip install "minixfmr[tutorials]"' in done.stderr


def test_marks_of_spaces_and_small_vocabularies(here, capsys):
    text = "▁ ␣ ⎵ \ue000 x"
    tokenizer = corpus.train_tokenizer([(text, text)], 10)
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    write_pairs()
    assert train("--epochs", "1", "--vocab-size", "12") == 0
    told = capsys.readouterr()
    assert "note: --vocab-size 12 is too few: " in told.out


def test_no_subword_is_longer_than_what_is_learned_at_once():
    tokenizer = corpus.train_tokenizer([("a" * 5000, "b")], 40)  # whole, it would be learned as one subword
    assert max(map(len, tokenizer.get_vocab())) <= 1001
    assert tokenizer.decode(tokenizer.encode("a" * 5000).ids) == "a" * 5000


def test_models_that_this_script_did_not_train(here, capsys):
    write_pairs()
    assert train("--name", "first", "--epochs", "1") == 0
    model = minixfmr.load("runs/first")
    config = model.config.to_dict() | {"activation": "gelu"}
    other = minixfmr.EncoderDecoder(minixfmr.Config.from_dict(config))
    other.load_state_dict(model.state_dict())
    minixfmr.save(other, "runs/first")
    message = fails(capsys, "--pairs", "pairs.tsv", "--name", "second", "--finetune", "runs/first")
    assert "has activation = 'gelu', and this script trains" in message
    minixfmr.save(minixfmr.DecoderOnly(model.config), "runs/first")
    with pytest.raises(UsageError, match="holds a DecoderOnly: only an EncoderDecoder translates"):
        Translator.load("runs/first")


def test_a_best_model_that_is_gone_costs_no_more_than_itself(here, capsys):
    write_pairs()
    assert train("--epochs", "1") == 0
    folder = translate.RunFolder("numbers")
    described = json.loads((folder / "run.json").read_text())["settings"]
    pairs = corpus.split(read_pairs("pairs.tsv"))
    tokenizer = corpus.load_tokenizer(folder / "tokenizer.json")
    trainer, _ = plan.prepare(described, pairs, tokenizer)
    state = {"best": {"step": 1, "epoch": 1, "loss": 2.0}}
    run = training.Run(folder, described, trainer, tokenizer, state)
    for content in (None, b"garbage"):
        if content:
            folder.best(1).write_bytes(content)
        assert run.choose() == 0
        assert "the best epoch, 1, cannot be had" in capsys.readouterr().err
    assert "no checkpoint yet" not in capsys.readouterr().err
    training.resume(run, ())
    assert "no checkpoint yet" in capsys.readouterr().err
    run.settings = described | {"finetune": "runs/other"}
    with pytest.raises(UsageError, match="is gone: start anew"):
        training.resume(run, ())


def test_unknown_characters_of_a_test_are_counted(here, capsys):
    write_pairs()
    assert train("--epochs", "1") == 0
    written("red ж\trot\nж\tblau\nblue\tblau\n", "other.tsv")
    assert run("--help").returncode == 0
    capsys.readouterr()
    assert translate.main(["--model", "runs/numbers", "--evaluate", "other.tsv"]) == 0
    assert "2 of 3 sources have characters that were not in the training data" in capsys.readouterr().err
