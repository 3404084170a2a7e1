"""Pictures that a page of 800 pixels has room for."""

import io

import numpy as np
import pytest

plots = pytest.importorskip("plots", reason="needs minixfmr[tutorials]")

pytestmark = pytest.mark.on_numpy("matplotlib draws NumPy arrays")


def an_example(read, written):
    return [f"▁word{i}" for i in range(read)], [f"▁wort{i}" for i in range(written)], np.eye(written, read)


def shown(drawn):
    """The axes with a map in them, without the scales of the colours."""
    return [axis for axis in drawn.findobj(plots.plt.Axes) if axis.get_visible() and axis.get_ylabel().startswith("wr")]


@pytest.mark.parametrize("lengths", [[9], [9, 11], [9, 11, 12], [5, 5, 5, 5]])
def test_maps_of_short_sentences_fit_beside_each_other_or_below(lengths):
    drawn = plots.attention_maps([an_example(n, n) for n in lengths])
    assert drawn.get_figwidth() <= plots.PAGE
    drawn.savefig(io.BytesIO())
    axes = shown(drawn)
    assert len(axes) == len(lengths)
    boxes = [axis.get_tightbbox().frozen() for axis in axes]
    page = drawn.bbox.frozen()
    for i, box in enumerate(boxes):
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i]), "no label covers another picture"
    assert all(label.get_fontsize() >= 9 for axis in axes for label in axis.get_xticklabels())


def test_a_long_sentence_is_cut_and_says_so():
    (axis,) = shown(plots.attention_maps([an_example(70, 65)]))
    assert axis.get_xlabel() == "reads (source), 60 of 70 tokens"
    assert axis.get_ylabel() == "writes (target), 60 of 65 tokens"
