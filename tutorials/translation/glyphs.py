"""Fonts for any script: a picture has the characters of its text, or it is known which it lacks."""

import re
import warnings

import matplotlib.pyplot as plt
from matplotlib import font_manager, ft2font


def with_glyphs(draw):
    """(the figure that draw() makes, the characters that no installed font has). Fonts beside the usual one are used
    where they have what it lacks."""
    with plt.rc_context():
        figure = draw()
        missing = _missing(figure)
        if missing:
            plt.rcParams["font.family"] = [*plt.rcParams["font.family"], *_fonts_with(missing)]
            figure = draw()
            missing = _missing(figure)
    return figure, missing


def _missing(figure):
    """The characters that matplotlib warns of when it draws."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.canvas.draw()
    codes = [re.match(r"Glyph (\d+) .*missing", str(warning.message)) for warning in caught]
    return "".join(sorted({chr(int(code[1])) for code in codes if code}))


def _fonts_with(characters):
    """The names of as few installed fonts as have them all, or as many as can be had."""
    wanted, chosen = set(map(ord, characters)), []
    for font in font_manager.fontManager.ttflist:
        found = wanted & ft2font.FT2Font(font.fname).get_charmap().keys()
        if found:
            chosen.append(font.name)
            wanted -= found
    return chosen
