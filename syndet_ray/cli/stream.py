"""Stream: where text is shown, and writing never fails, whatever becomes of the terminal, pipe or
disk behind it.
"""

from contextlib import suppress
from typing import Any, TextIO, cast


def lasting(stream: TextIO | None) -> "Lasting":
    """The same stream, as one to which writing never fails.

    None, as where it was closed by whoever began, shows nothing.
    """
    # while a live display has taken its place
    proxied = getattr(stream, "rich_proxied_file", stream)
    return proxied if isinstance(proxied, Lasting) else Lasting(cast(TextIO | None, proxied))


class Lasting:
    """A text stream that loses what cannot be written, so that no work ends over what is shown of
    it.

    What the stream's encoding lacks is shown as question marks.

    failure  why something is missing; None where all was written, or nobody is there to read it
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
                self.write(text.encode(encoding, "replace").decode(encoding))
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
        """Keeps why something is missing: not that its reader has gone, nor ValueError, of a stream
        that somebody closed.
        """
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self.failure = error
