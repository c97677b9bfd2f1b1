"""Error line: what the terminal shows of an error, whatever it is."""

import tempfile

from syndet_ray.cli.options import with_flags
from syndet_ray.errors import SyndetError, traceback_text, unexpected_line
from syndet_ray.wording import TRACEBACK


def error_line(error: Exception) -> str:
    """Returns the text that is shown of an error that ends a command.

    It has what went wrong, where, and the notes of the error: for a run, how it is resumed. The
    traceback of an error that is no SyndetError is in a file, which the line names.
    """
    notes = getattr(error, "__notes__", [])
    if isinstance(error, SyndetError):
        return " ".join([with_flags(str(error)), *map(_sentence, notes)])
    problem = f"unexpected {unexpected_line(error)}"
    if not any(note.startswith(TRACEBACK) for note in notes):
        notes = [f"{TRACEBACK}{_log(error)}", *notes]
    return "; ".join([problem, *notes])


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}"


def _log(error: Exception) -> str:
    """Writes the traceback to a new temporary file; returns its path, or the traceback itself."""
    text = traceback_text(error)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="syndet_ray-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:  # a full disk, or no folder for temporary files
        return f"\n{text}"
    return file.name
