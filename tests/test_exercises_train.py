"""The reward: the student's functions in the places of the package's train a Transformer."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minixfmr.exercises import numbers, train
from minixfmr.exercises.__main__ import main

SOLVED = Path(__file__).parent / "homework"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "STEPS", 60)
    return shutil.copytree(SOLVED, tmp_path / "student", ignore=shutil.ignore_patterns("__pycache__"))


def test_right_functions_train_as_the_package_does(folder, capsys):
    assert main([str(folder), "--train"]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^  \w+ +equal$", said, re.M)) == 15
    assert "all of your functions in a Transformer that learns:" in said
    assert "60 steps, each loss equal to the package's" in said
    losses = [float(loss) for loss in re.findall(r"step +\d+  loss (\S+)", said)]
    assert losses == sorted(losses, reverse=True) and len(losses) == 3
    assert re.search(r"where .* looks in ", said)
    assert "▒" in said


def test_a_wrong_function_is_named_by_the_step_at_which_losses_part(folder, capsys):
    path = folder / "layer_norm.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("dn - through_mean - through_var", "dn - through_var"), encoding="utf-8")
    (folder / "dropout.py").unlink()
    (folder / "gelu.py").write_text("def gelu_forward(x):\n    raise NotImplementedError\n")
    (folder / "linear.py").write_text("def linear_forward(x, w, b):\n    return x + 'a', None\n")
    (folder / "embedding.py").write_text("def embedding_forward(ids, table):\n    return table[ids] * 0, None\n")
    assert main([str(folder), "--train"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^  layer_norm +losses part at step 2: \S+, the package's is \S+$", said, re.M)
    assert re.search(r"^  embedding +losses part at step 1: |^  embedding +raises TypeError", said, re.M)
    assert re.search(r"^  gelu +not started at gelu.py:2$", said, re.M)
    assert re.search(r"^  linear +raises \w+: .* at linear.py:2$", said, re.M)
    assert (
        "the package's stand in for gelu, linear, embedding, layer_norm, dropout, encoder_block, decoder_block" in said
    )
    assert "each loss equal to the package's" in said


def test_a_file_that_loops_does_not_hold_it_up(folder, capsys, monkeypatch):
    monkeypatch.setattr(train, "SECONDS", 0.3)
    (folder / "softmax.py").write_text("while True: pass\n")
    assert main([str(folder), "--train"]) == 1
    assert "it was still running after 0.3 seconds" in capsys.readouterr().out


def test_numbers_in_words():
    assert " ".join(numbers.english(342)) == "three hundred forty two"
    assert " ".join(numbers.german(342)) == "drei hundert zwei und vierzig"
    known = {1: "eins", 11: "elf", 20: "zwanzig", 21: "ein und zwanzig", 101: "ein hundert eins", 999: "neun hundert"}
    for n, words in known.items():
        assert " ".join(numbers.german(n)).startswith(words)
    every = [tuple(numbers.german(n)) for n in range(1, 1000)]
    assert len(set(every)) == len({tuple(numbers.english(n)) for n in range(1, 1000)}) == 999
    given = numbers.batch([7, 777])
    assert {a.shape for a in given.values()} == {(2, numbers.LENGTH)}
    real = given["labels"] >= 0
    assert (np.roll(given["decoder_input_ids"], -1, 1)[:, :-1] == given["labels"][:, :-1])[real[:, 1:]].all()
