"""What people bring to the tutorial script as data: read as what it is, or refused in one sentence."""

import bz2
import csv
import gzip
import io
import lzma
import re
import unicodedata
import zipfile
from pathlib import Path

import corpus
import pytest
from translating import SMALL, fails, run
from translation import DataError, UsageError, report, settings
from translation.files import normalise
from translation.options import DEFAULTS
from translation.pairs import Layout, read_pairs, read_parallel

PAIRS = [(f"sentence {i}", f"Satz {i}") for i in range(30)]
TEXT = "".join(f"{source}\t{target}\n" for source, target in PAIRS).encode()


def written(content, name="pairs.tsv"):
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def zipped(**files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def named(value):
    """The id of a case: an archive holds the time at which it was made, and processes that collect must agree."""
    return "bytes" if isinstance(value, bytes) else None


@pytest.mark.parametrize(
    "packed",
    [
        TEXT,
        gzip.compress(TEXT),
        bz2.compress(TEXT),
        lzma.compress(TEXT),
        zipped(deu=TEXT, _about="remarks"),
        b"\xef\xbb\xbf" + TEXT,
        TEXT.decode().encode("utf-16"),
        TEXT.decode().encode("utf-32"),
        TEXT.replace(b"\n", b"\r\n"),
        TEXT + b"\n\n",
    ],
    ids=named,
)
def test_the_first_bytes_tell_what_a_file_is(here, packed):
    assert read_pairs(written(packed, "any.name")) == PAIRS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pairs.tsv is empty"),
        (b"\n \n", "pairs.tsv is empty"),
        (b"a\tb\nonly one column\n", "line 2: expected source TAB target, got 'only one column'"),
        (b"a\t\n", "line 1: expected source TAB target"),
        (b"a,b\nc,d,e\n", "between commas"),
        (b"a\tb\n" * 9 + "grün\tgreen\n".encode("latin-1"), r"not UTF-8 \(line 10, byte 38: .*iconv"),
        (b"\xef\xbb\xbfa\tb\n\xff\tb\n", r"line 2, byte 7"),
        (TEXT.decode().encode("utf-16-le"), "NUL character"),
        (b"a\tb\rc\td\re\tf\r", "carriage returns alone"),
        (gzip.compress(TEXT)[:-9], "the gzip archive is damaged"),
        (bz2.compress(TEXT)[:-9], "the bzip2 archive is damaged"),
        (zipped(a=TEXT, b=TEXT), "must hold one text, it holds a, b"),
        (zipped(), "zip archive with nothing in it"),
        (zipped(a=zipped(b=TEXT)), "holds a zip archive: unpack it"),
        (gzip.compress(bz2.compress(TEXT)), "holds a bzip2 archive: unpack it"),
        (gzip.compress(b"%PDF-1.7 more"), "holds a PDF: export its text"),
        (zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": ""}), "is a document of Excel.*export its text"),
        (b"\xd0\xcf\x11\xe0 more", "is a document of Excel or Word: export"),
        ("grün\tgreen\n".encode("utf-16-be") * 200, "NUL character.*iconv"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: fetch the file"),
        ("".join(f"0.{i:03d}\ta {i}\tb\n" for i in range(9)), "column 1 holds numbers alone.*--columns 2,3"),
        ("one    eins\ntwo    zwei\n", "between spaces"),
        (b"\x28\xb5\x2f\xfd more", "Zstandard archive: unpack it"),
        (b"".join(b"%d\ta %d\tb\n" % (i, i) for i in range(9)), "column 1 holds numbers alone.*--columns 2,3"),
    ],
    ids=named,
)
def test_what_cannot_be_read_is_named(here, content, message):
    with pytest.raises(DataError, match=message):
        read_pairs(written(content))


def test_a_run_is_not_begun_with_bad_data(here, capsys):
    for content, message in [(b"a\tb\nc\td\n", "2 different source sentences are too few"), (b"", "is empty")]:
        assert message in fails(capsys, "--pairs", written(content), "--name", "new")
        assert not Path("runs").exists()
    assert "there is no file" in fails(capsys, "--pairs", ".", "--name", "new")


def test_columns_headers_and_directions(here, capsys):
    lines = "".join(f"{i}\t{s}\t{90 + i}\t{t}\n" for i, (s, t) in enumerate(PAIRS))
    assert read_pairs(written(lines)) == PAIRS  # an export of Tatoeba
    assert "columns 2 and 4" in capsys.readouterr().out
    turned = [(target, source) for source, target in PAIRS]
    assert read_pairs("pairs.tsv", Layout(columns=(4, 2))) == turned
    assert read_pairs(written(b"x\ty\n" + TEXT), Layout(header=True, reverse=True)) == turned
    assert read_pairs(written(b"Source\tTarget\n" + TEXT)) == PAIRS
    assert "line 1 names the columns (Source, Target)" in capsys.readouterr().out
    assert read_pairs(written(b"english\teins\n" + TEXT))[0] == ("english", "eins")


def test_bad_lines_are_skipped_with_their_number(here, capsys):
    written(TEXT + b"one column\n\xff\tb\n\t\n" + TEXT)
    assert read_pairs("pairs.tsv", Layout(skip_bad_lines=True)) == PAIRS * 2
    told = capsys.readouterr().out
    assert "left out 2 bad lines of pairs.tsv (the first is line 31)" in told
    assert "left out 1 empty line of pairs.tsv" in told


def test_parallel_files(here, capsys):
    written("one\n\ntw\ro\nthree\n", "a.txt")
    written("eins\nleer\nzwei\n\n", "b.txt")
    assert read_parallel("a.txt", "b.txt") == [("one", "eins"), ("tw o", "zwei")]
    assert "left out 2 pairs of a.txt, which have an empty side" in capsys.readouterr().out
    written("one\n", "short.txt")
    for arguments, message in [
        (["--source", "short.txt", "--target", "b.txt"], "short.txt has 1 lines, .*b.txt has 4"),
        (["--source", "a.txt"], "--source and --target go together"),
        (["--source", "a.txt", "--target", "absent"], "there is no file .*absent"),
        (["--source", "a.txt", "--target", "b.txt", "--pairs", "pairs.tsv"], "not both"),
        (["--valid-source", "a.txt", "--valid-target", "b.txt"], "need training files"),
        (["--reverse"], "goes with data of your own"),
        (["--pairs", "-", "--test-pairs", "-"], "can be read once only"),
    ]:
        assert re.search(message, fails(capsys, *arguments))


def test_data_that_came_through_a_pipe_is_kept_for_resuming(here):
    first = run("--pairs", "-", *SMALL, "--epochs", "1", input=TEXT.decode())
    assert first.returncode == 0, first.stderr
    Path("runs/numbers/metrics.json").unlink()
    assert run("--resume").returncode == 0


def test_a_sentence_is_written_in_one_way():
    assert normalise(unicodedata.normalize("NFD", " ça\u202f déjà\u00a0\u2028!\t")) == "ça déjà !"


def test_held_out_sentences_were_not_seen():
    pairs = [(f"sentence {i % 70}", f"Satz {i}") for i in range(200)]
    whole = corpus.split(pairs)
    parts = [{s for s, _ in part} for part in (whole.train, whole.valid, whole.test)]
    assert sum(map(len, parts)) == 70
    assert len(whole.train) + len(whole.valid) + len(whole.test) == 200
    own = corpus.split(pairs, test=[("other", "anderer")])
    assert own.valid == whole.valid
    assert sorted(own.train + own.valid) == sorted(pairs)
    assert corpus.split(pairs[:3], valid=pairs[3:4], test=pairs[4:5]).train == pairs[:3]


def test_special_tokens_and_the_mark_of_spaces_are_characters_like_others():
    texts = ["<s> a </s>", "der <unk> <pad>", "▁ a▁b", "5 $"]
    tokenizer = corpus.train_tokenizer([(text, text) for text in texts], 100)
    for text in texts:
        ids = tokenizer.encode(text).ids
        assert not set(ids) & {corpus.PAD, corpus.START, corpus.END, corpus.UNKNOWN}
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("ein Satz 5", "13a"),
        ("我们今天去学校吧", "zh"),
        ("今日は学校へ行きます", "char"),
        ("오늘 학교에 갑니다", "char"),
        ("วันนี้ฉันไปโรงเรียน", "char"),
        ("сегодня", "13a"),
        ("42", "13a"),
    ],
)
def test_bleu_cuts_words_as_the_language_does(text, tokenizer):
    assert report.bleu_tokenizer([text]) == tokenizer


def test_every_reference_of_a_source_counts():
    figures = report.scores(["a b c d", "e f g h"], [["x", "a b c d"], ["e f g h"]])
    assert (figures["exact_match"], figures["bleu"]) == (1, 100)
    assert "nrefs:var" in figures["bleu_signature"]


def test_num2words_that_fails_is_one_sentence(capsys):
    assert "num2words cannot write" in fails(capsys, "--target-lang", "am", "--numbers", "20")
    assert "there are only" in fails(capsys, "--numbers", "1000000")


def spreadsheet(separator, **options):
    """PAIRS with cells that need quotes, as a spreadsheet exports them, and the pairs they stand for."""
    pairs = [('say "hi"', f"sag{separator} hallo"), ("two\nlines", "zwei\nZeilen"), *PAIRS]
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\r\n", **options).writerows(pairs)
    return file.getvalue(), [tuple(map(normalise, pair)) for pair in pairs]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_a_spreadsheet_exports_is_recognised(here, capsys, separator, encoding):
    text, pairs = spreadsheet(separator)
    Path("pairs.csv").write_bytes(text.encode(encoding))
    assert read_pairs("pairs.csv") == pairs
    assert f"between {'commas' if separator == ',' else 'semicolons'}" in capsys.readouterr().out
    Path("pairs.csv").write_bytes(f"sep={separator}\r\n{text}".encode(encoding))
    assert read_pairs("pairs.csv") == pairs


def test_cells_in_quotes_between_tabs_are_named_and_read_on_request(here, capsys):
    text, pairs = spreadsheet("\t", quoting=csv.QUOTE_ALL)
    single = text.replace("two\nlines", "two lines").replace("zwei\nZeilen", "zwei Zeilen")
    assert read_pairs(written(single))[0][0] == '"say ""hi"""'
    assert "63 cells in quotes" in capsys.readouterr().err
    assert read_pairs(written(text), Layout(quoting="csv")) == pairs
    with pytest.raises(DataError, match="line 2: .*--quoting csv reads such cells"):
        read_pairs("pairs.tsv")


def test_columns_between_other_signs(here):
    bars = "".join(f"{source} ||| {target}\n" for source, target in PAIRS)
    assert read_pairs(written(bars)) == read_pairs("pairs.tsv", Layout(separator="|||")) == PAIRS
    assert read_pairs(written('a "b|c\n' * 2), Layout(separator="|")) == [('a "b', "c")] * 2
    raw = Layout(separator=",", quoting="none")
    assert read_pairs(written('"Go!" he said,los\n' * 2), raw) == [('"Go!" he said', "los")] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n"c,d\ne,f\n', "line 2: the double quotes do not pair up .*--quoting none"),
        ("a,b;c,d\n" * 3, "commas or semicolons: say it, with --separator"),
        ("one, two\nthree\n", "line 1: .*Say --separator ,"),
        ("A sentence, with a comma.\nAnother one, like it.\n", "line 1: .*Say --separator ,"),
        ('{"en": "a", "de": "b"}\n' * 3, "looks like JSON"),
        ("<tu><tuv>a</tuv></tu>\n" * 3, "it looks like XML"),
    ],
)
def test_what_stands_between_columns_is_asked_for_where_it_is_unclear(here, content, message):
    layout = Layout(separator=",") if content.startswith("a,b\n") else None
    with pytest.raises(DataError, match=message):
        read_pairs(written(content), layout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("columns", v) for v in ([1], [0, 2], "1,2", [1, "x"], {"a": 1}, [[1], 2])),
        *(("separator", v) for v in ("", "x", 3, ["|"])),
        *(("lr", v) for v in (None, "1", True, -1, [])),
        *(("header", 1), ("d_model", 1.5), ("vocab_size", None), ("source", "only.txt"), ("keep", "all"), ("x", 1)),
    ],
)
def test_settings_of_a_run_that_no_option_can_have_given(name, value):
    stored = DEFAULTS | {"lr": 1e-3, "vocab_size": 60, "pairs": "pairs.tsv", "columns": [2, 1], "separator": "|||"}
    settings.resumed(stored, {}, "runs/x")
    with pytest.raises(UsageError, match=r"^runs/x/run.json"):
        settings.resumed(stored | {name: value}, {}, "runs/x")
