"""Fonts: which fonts of this machine have the characters of a name, in any script.

A picture has one font, DejaVu Sans, which comes with matplotlib and has most alphabets. Other
characters are taken from fonts of the system. What no font has is shown as its code point, as
squares would make all names look alike.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from matplotlib import font_manager
from matplotlib.font_manager import FontEntry, FontPath
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"
_REGULAR = 400  # CSS weight of a font that is neither light nor bold
_LAST_RESORT = "Last Resort"  # its glyphs are boxes that name a script
_EMOJI = range(0x1F000, 0x20000)  # Unicode's blocks of pictographs
_WIDE = ("W", "F")  # Unicode's East Asian widths of Chinese, Japanese and Korean
_SHOWN_NAMES = 3  # in a note, which with more would fill the terminal


@dataclass(frozen=True, kw_only=True)
class FontChoice:
    """The fonts for some characters, to be used in this order, and the characters that none has."""

    fonts: tuple[FontEntry, ...]
    missing: frozenset[str]


def readable(text: str) -> str:
    """Returns the text with code points such as "U+65E5" for characters that no font has.

    Characters that show nothing, such as the joiners of emoji, are then left out.
    """
    missing = _missing(text)
    if not missing:
        return text
    visible = [letter for letter in text if not _shows_nothing(letter)]
    parts = []
    for is_missing, group in groupby(visible, missing.__contains__):
        letters = list(group)
        codes = " ".join(f"U+{ord(letter):04X}" for letter in letters)
        parts.append(codes if is_missing else "".join(letters))
    return "".join(parts)


def families(text: str) -> list[str]:
    """Returns the font families that show the text, to be used in this order."""
    return list(dict.fromkeys([BASE, *(entry.name for entry in _entries(text))]))


def missing_notes(names: Iterable[str]) -> list[str]:
    """Returns a sentence on the names that no font of this machine can show, if there are any.

    It says what to install.
    """
    by_name = {name: readable(name) for name in names if _missing(name)}
    if not by_name:
        return []
    shown = [f"{name} is {codes}" for name, codes in list(by_name.items())[:_SHOWN_NAMES]]
    more = len(by_name) - len(shown)
    words = ", ".join(shown) + (f", and {more} more" if more else "")
    package = _package("".join(by_name))
    problem = "no font of this machine has all letters of these names, so pictures show codes"
    remedy = f"install a font that has them, such as the package {package}"
    return [f"{problem}: {words}; {remedy}"]


def lettering(text: str, height_px: int) -> tuple[np.ndarray, int]:
    """Renders a line of text: its mask, (h, w) uint8, and how many rows are below the baseline.

    height_px  size of the font
    """
    shown = readable(text)
    base = FontPath(font_manager.findfont(BASE), 0)
    others = [FontPath(entry.fname, entry.index) for entry in _entries(shown)]
    font = font_manager.get_font([base, *others])
    font.set_size(height_px, 72)  # at 72 dots per inch a point is a pixel
    font.set_text(shown)
    font.draw_glyphs_to_bitmap()
    below_px = max(0, round(font.get_descent() / 64))  # FreeType counts 64ths of a pixel
    return np.array(font.get_image()), below_px


def _shows_nothing(letter: str) -> bool:
    """True for format characters and the selectors of a glyph's variants."""
    return unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f"


def _package(text: str) -> str:
    """Returns the package of Debian and Ubuntu that has fonts for the missing characters."""
    missing = _missing(text)
    emoji = {letter for letter in missing if ord(letter) in _EMOJI}
    if any(unicodedata.east_asian_width(letter) in _WIDE for letter in missing - emoji):
        return "fonts-noto-cjk"
    # The fonts of coloured emoji have bitmaps, which matplotlib cannot scale.
    return "fonts-symbola" if missing == emoji else "fonts-noto-core"


def _missing(text: str) -> frozenset[str]:
    return _choice(_beyond_base(text)).missing


def _entries(text: str) -> tuple[FontEntry, ...]:
    return _choice(_beyond_base(text)).fonts


def _beyond_base(text: str) -> frozenset[str]:
    """Returns the characters that need another font. A line break is no character of a font."""
    if text.isascii():
        return frozenset()
    base = _font_face(font_manager.findfont(BASE), 0)
    assert base is not None, "DejaVu Sans comes with matplotlib"
    letters = set(text) - set("\n\r\t")
    return frozenset(letters - _in_font(base, letters))


@cache
def _choice(letters: frozenset[str]) -> FontChoice:
    """Chooses fonts for these characters.

    The font that has most of the rest comes next; of equal ones a regular sans serif.
    """
    fonts: list[FontEntry] = []
    rest = set(letters)
    coverage = _coverage(letters) if letters else {}
    while rest and coverage:
        best = max(coverage, key=lambda key: len(coverage[key][1] & rest))
        font, letters_of_font = coverage[best]
        if not letters_of_font & rest:
            break
        fonts.append(font)
        rest -= letters_of_font
    return FontChoice(fonts=tuple(fonts), missing=frozenset(rest))


def _coverage(letters: frozenset[str]) -> dict[tuple[str, int], tuple[FontEntry, set[str]]]:
    """Returns each font by its file and face, with the letters that it has; the best look first."""
    coverage = {}
    for entry in sorted(_all_fonts(), key=_unlikeness):
        font = _font_face(entry.fname, entry.index)
        if font is not None and not entry.name.startswith(_LAST_RESORT):
            coverage[entry.fname, entry.index] = (entry, _in_font(font, letters))
    return coverage


def _unlikeness(entry: FontEntry) -> tuple[bool, bool, int, int, str]:
    """A key that sorts fonts by how much they differ from a regular sans serif."""
    other_look = "Serif" in entry.name or "Mono" in entry.name
    weight = entry.weight if isinstance(entry.weight, int) else _REGULAR
    return other_look, entry.style != "normal", abs(weight - _REGULAR), entry.index, entry.name


@cache
def _all_fonts() -> list[FontEntry]:
    """Returns all fonts of this machine, also those that are newer than matplotlib's own list."""
    manager = font_manager.fontManager
    files = {entry.fname for entry in manager.ttflist}
    for path in set(font_manager.findSystemFonts()) - files:
        try:
            manager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):
            continue  # a font of bitmaps, or a broken file
    return manager.ttflist


def _font_face(path: str, face: int) -> FT2Font | None:
    """Returns a face of a font file; None if the file is gone or broken."""
    try:
        return FT2Font(path, face_index=face)
    except (OSError, RuntimeError):
        return None


def _in_font(font: FT2Font, letters: Iterable[str]) -> set[str]:
    return {letter for letter in letters if font.get_char_index(ord(letter))}
