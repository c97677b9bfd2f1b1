"""Timer: calls a function periodically, in a thread of its own, while a block of code runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def timer(name: str, every_s: float, call: Callable[[], object]) -> Iterator[None]:
    """Calls `call` every `every_s` seconds until the block ends.

    The end waits for a call that is in progress.

    call  must not raise: the error would be lost, and it would not be called again
    """
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(every_s):
            call()

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
