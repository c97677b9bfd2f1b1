"""Marks: how far a display on a head has come, told within its output.

After a lost connection the next display is given the newest mark that has arrived, and no line is
shown again.
"""

import codecs
import re
from collections.abc import Callable
from typing import IO

# shows one line, which is about what happened at a time, in seconds since 1970
ShowLine = Callable[[float, Callable[[], object]], None]

# as a command to the terminal that none knows, so none would show it
_MARK = re.compile(r"\x1b\]syndet_ray;([\d.]+)\x07")
_UNFINISHED = re.compile(r"\x1b(?:\][^\x07]{0,40})?$")


def show_always(moment: float, show: Callable[[], object]) -> None:
    """Shows a line, whatever an earlier display has shown."""
    show()


class Marker:
    """Shows lines that an earlier display has not shown, each with a mark after it.

    stream  the output of the display
    since   the newest mark of the earlier display; 0 if there was none
    """

    def __init__(self, stream: IO[str], since: float) -> None:
        self._stream, self._since = stream, since

    def __call__(self, moment: float, show: Callable[[], object]) -> None:
        """Shows a line and its mark, unless it was shown before."""
        if moment > self._since:
            show()
            self._stream.write(f"\x1b]syndet_ray;{moment!r}\x07")
            self._stream.flush()


class MarkReader:
    """Takes the marks out of the output of a display, which comes in blocks.

    newest  the newest mark so far; 0 before the first
    """

    def __init__(self) -> None:
        self.newest = 0.0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def text(self, block: bytes) -> str:
        """Returns what is to be shown of the next block; the last block is empty."""
        text = self._rest + self._decoder.decode(block, final=not block)
        for mark in _MARK.finditer(text):
            self.newest = max(self.newest, float(mark[1]))
        text = _MARK.sub("", text)
        unfinished = _UNFINISHED.search(text)
        end = len(text) if unfinished is None else unfinished.start()
        # a lost connection may have cut a mark off, whose beginning would hide what comes next
        self._rest = text[end:] if block else ""
        return text[:end]
