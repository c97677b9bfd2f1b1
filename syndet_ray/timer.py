"""Timer: calls something every so often, by a thread of its own, for as long as a block of code
runs.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def timer(name: str, every_s: float, call: Callable[[], object]) -> Iterator[None]:
    """Calls `call` every `every_s` seconds until the block ends, which waits for a call that is in
    progress.

    call  must not raise: nobody would hear of it, and it would not be called again
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
