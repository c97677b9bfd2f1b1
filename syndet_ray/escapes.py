"""Escapes: names of users with only the characters that another system accepts, and back.

A forbidden character becomes _xHH_, its code in hexadecimal, as in names of XML and spreadsheets:
"lr#2" becomes "lr_x23_2". An underscore that would read as such an escape is escaped too, so every
name can be read back.
"""

import re
import sys

_LOOKS_LIKE_AN_ESCAPE = r"_(?=x[0-9a-f])"
_ESCAPE = re.compile(r"_x([0-9a-f]+)_")


def escape(name: str, forbidden: str) -> str:
    """Returns a name without the characters that `forbidden`, a regular expression, matches."""
    return re.sub(f"{forbidden}|{_LOOKS_LIKE_AN_ESCAPE}", _codes, name)


def unescape(text: str) -> str:
    """Returns the name of which `escape` made a text; no code is left as it is."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code <= sys.maxunicode else match[0]


def _codes(match: re.Match[str]) -> str:
    return "".join(f"_x{ord(character):02x}_" for character in match[0])
