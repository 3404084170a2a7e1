"""The tutorial that trains a character model."""

import random

import pytest
import shakespeare

pytestmark = pytest.mark.long


@pytest.fixture
def text(tmp_path):
    words = random.Random(0).choices(["to", "be", "or", "not", "that\n"], k=2000)
    (tmp_path / "input.txt").write_text(" ".join(words), encoding="utf-8")
    return tmp_path


def test_it_learns_and_writes(text, capsys):
    assert shakespeare.main(["--data", str(text), "--steps", "200", "--write", "100", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    loss = float(out.split("validation loss ")[1].split()[0])
    assert loss < 1.2  # the words once known, the rest is chance
    assert len(out.rpartition("evaluation\n")[2].rstrip("\n")) <= 100
    again = shakespeare.main(["--data", str(text / "input.txt"), "--steps", "1", "--write", "0"])
    assert again == 0


def test_missing_short_or_binary_files_are_named(tmp_path, capsys):
    (tmp_path / "short.txt").write_text("to be")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 5000)
    for name, reason in {
        "none.txt": "the text is at https://",
        "short.txt": "too few",
        "binary": "cannot read",
    }.items():
        assert shakespeare.main(["--data", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert name in error
        assert reason in error


@pytest.mark.parametrize("rate", ["0", "-0.1", "nan", "1"])
def test_a_learning_rate_that_makes_no_sense_is_refused(text, capsys, rate):
    with pytest.raises(SystemExit):
        shakespeare.main(["--data", str(text), "--learning-rate", rate])
    assert "--learning-rate must be greater than 0 and less than 1" in capsys.readouterr().err
