"""Outage: repeats a call to a store on S3 that fails, until the store is well again."""

import time
from collections.abc import Callable
from typing import TypeVar

from syndet_ray.errors import StoreUnavailable
from syndet_ray.progress import Note, silent

Returned = TypeVar("Returned")

# Arrow itself tries again for 6 s at most. A throttled bucket recovers in a minute, and S3 has been
# away for an hour a few times in its history: then trials fail, and are tried again.
LIMIT_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0  # between two tries; doubled each time
# Arrow's words for answers of S3 that waiting does not change
_REFUSALS = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "NO_SUCH_BUCKET",
    "NO_SUCH_KEY",
    "RESOURCE_NOT_FOUND",
    "SIGNATURE_DOES_NOT_MATCH",
)


def outlast(
    call: Callable[[], Returned],
    limit_s: float = LIMIT_S,
    *,
    note: Note = silent,
    first_pause_s: float = _FIRST_PAUSE_S,
) -> Returned:
    """Returns the result of a call, which is repeated while the store has an outage.

    limit_s  how long; then the last error is raised. One that waiting does not change is raised at
             once
    note     receives the first error in words
    """
    end = time.monotonic() + limit_s
    pause_s = first_pause_s
    while True:
        try:
            return call()
        except (OSError, StoreUnavailable) as error:
            if not is_outage(error) or time.monotonic() >= end:
                raise
            if pause_s == first_pause_s:
                note(str(error))
            time.sleep(min(pause_s, max(0.0, end - time.monotonic())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def is_outage(error: Exception) -> bool:
    """True if an error comes from a store that may answer later.

    Arrow raises OSError without a number for every answer of S3; those of this machine have one.
    """
    if isinstance(error, StoreUnavailable):
        return True
    if not isinstance(error, OSError) or error.errno is not None:
        return False
    words = str(error)
    return not any(refusal in words for refusal in _REFUSALS)
