"""Background: work that a thread does in the order it was given, while the driver goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """One thread. What goes wrong in it is raised by the next call."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._failure: Exception | None = None

    def soon(self, work: Callable[..., None], *arguments: Any) -> Future[None]:
        """Has something done, after all that was given before."""
        self._check()
        return self._thread.submit(self._guarded, work, *arguments)

    def flush(self) -> None:
        """Waits until all is done."""
        self.soon(lambda: None).result()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:
            self._failure = self._failure or error
