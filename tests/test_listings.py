"""Source code beside source code: every line in its place, and no quotation that is not in the source."""

import listings
import pytest

import minixfmr
from minixfmr import layers


def double(x):
    """Twice as much."""
    y = 2 * x  # a remark
    return y


def also_double(x):
    z = x + x
    return z


def test_code_is_the_source_without_its_docstring():
    assert repr(listings.Code(double, also_double)).splitlines() == [
        "def double(x):",
        "    y = 2 * x  # a remark",
        "    return y",
        "",
        "def also_double(x):",
        "    z = x + x",
        "    return z",
    ]
    assert listings.Code(double)._repr_markdown_().startswith("```python\ndef double")


def test_lines_stand_beside_those_that_answer_them():
    beside = listings.SideBySide(double, [also_double], ["z =", ("return z", "")])
    assert beside.rows[1:] == [("    y = 2 * x  # a remark", "z = x + x"), ("    return y", "return z")]
    assert beside.rows[0][1].startswith("# also_double in tests/")
    assert beside._repr_html_().count("<tr>") == 3 and "z = x + x" in repr(beside)


def test_a_decorated_function_is_found_in_its_own_file():
    beside = listings.SideBySide(double, [layers.rms_norm, minixfmr.DecoderOnly.backward], ["n =", "self.embedding"])
    assert (
        beside.rows[0][1]
        == "# rms_norm in layers/variants/rms_norm.py\n# DecoderOnly.backward in models/decoder_only.py"
    )


def test_a_line_without_an_answer_stands_alone():
    assert [right for _, right in listings.SideBySide(double, [also_double], ["", ""]).rows[1:]] == ["", ""]


@pytest.mark.parametrize(("beginnings", "message"), [(["w =", ""], "0 lines begin with 'w ='"), (["z ="], "shorter")])
def test_what_is_not_there_is_refused(beginnings, message):
    with pytest.raises(ValueError, match=message):
        listings.SideBySide(double, [also_double], beginnings)
