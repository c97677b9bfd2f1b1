"""Escapes: names of users with only the characters that another system accepts, and back.

A forbidden character becomes _xHH_, its code in hexadecimal, as in names of XML and spreadsheets:
"lr#2" becomes "lr_x23_2". An underscore that would begin such an escape is escaped too, so every
name can be read back; all other names stay as they are.
"""

import re
import sys

_CODE = "x(?:[0-9a-f]{2}|[1-9a-f][0-9a-f]{2,5})"  # as `escape` writes it: no other text is one
_ESCAPE = re.compile(f"_({_CODE})_")


def escape(name: str, forbidden: str) -> str:
    """Returns a name without the characters that `forbidden`, a regular expression, matches."""
    looks_like_an_escape = f"_(?={_CODE}(?:_|{forbidden}))"
    return re.sub(f"{forbidden}|{looks_like_an_escape}", _codes, name)


def unescape(text: str) -> str:
    """Returns the name of which `escape` made a text; no code is left as it is."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    code = int(match[1].removeprefix("x"), 16)
    return chr(code) if code <= sys.maxunicode else match[0]


def _codes(match: re.Match[str]) -> str:
    return "".join(f"_x{ord(character):02x}_" for character in match[0])
