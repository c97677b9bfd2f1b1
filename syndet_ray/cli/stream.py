"""Stream: output that never fails, even when its terminal, pipe or disk does."""

from contextlib import suppress
from typing import Any, TextIO, cast

# What our sentences and Rich's cut texts use beyond ASCII.
_SIMILAR = str.maketrans(
    {"·": "|", "×": "x", "±": "+/-", "–": "-", "—": "-", "…": "...", "→": "->"}
    | {"≤": "<=", "≥": ">="}
)


def lasting(stream: TextIO | None) -> "Lasting":
    """The same stream, as one to which writing never fails.

    None shows nothing: the parent process may have closed the stream.
    """
    # while a live display has taken its place
    proxied = getattr(stream, "rich_proxied_file", stream)
    return proxied if isinstance(proxied, Lasting) else Lasting(cast(TextIO | None, proxied))


class Lasting:
    """A text stream that drops text that cannot be written, so that no work ends because of it.

    Characters that the stream's encoding lacks become similar ones of ASCII, or question marks.

    failure  the reason why text is missing; None when all was written, or the reader has gone
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__.get("_stream"), name)

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                similar = text.translate(_SIMILAR)
                self.write(similar.encode(encoding, "replace").decode(encoding))
            except (OSError, ValueError) as error:
                self._note(error)
        return len(text)

    def flush(self) -> None:
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        """Keeps the reason, unless the reader is gone or, with ValueError, the stream is closed."""
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self.failure = error
