"""Outbox: deliveries to a service that may be away for hours, by a thread of its own; each is tried
until it succeeds.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

# Between two attempts at one delivery: doubled after each failure, up to the longest. A service
# that restarts is back in seconds; one that is away for a night is asked once a minute.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
# failures of different deliveries, after which it is the service that fails, and not one of them
_IN_A_ROW = 3


@dataclass(kw_only=True)
class _Delivery:
    """One thing to be delivered. send: its answer does not matter; due: not before this moment, s
    of the monotonic clock.
    """

    send: Callable[[], object]
    due: float = 0.0
    failures: int = 0
    failure: Exception | None = None


class Outbox:
    """Deliveries by name. A newer one takes the place of an older one of its name that has not been
    made yet.

    A delivery that fails is tried again later, and others are made meanwhile. A `send` may so be
    called several times: an attempt that failed may have done a part of its work.

    on_failure: told of the first failure of all, by a thread that calls `put` or `wait`.
    """

    def __init__(
        self,
        name: str,
        on_failure: Callable[[Exception], None],
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._on_failure: Callable[[Exception], None] | None = on_failure
        self._first_pause_s = first_pause_s
        self._deliveries: dict[str, _Delivery] = {}
        self._first_failure: Exception | None = None
        self._failures_in_a_row = 0
        self._changed = Condition()
        # A thread that hangs in a request must not keep the process from ending.
        Thread(target=self._deliver, name=name, daemon=True).start()

    def put(self, name: str, send: Callable[[], object]) -> None:
        """Has something delivered, soon."""
        with self._changed:
            earlier = self._deliveries.get(name)
            if earlier is None:
                self._deliveries[name] = _Delivery(send=send)
            else:
                earlier.send = send
            self._changed.notify_all()
        self._tell()

    def wait(self, patience_s: float, limit_s: float = math.inf) -> dict[str, Exception | None]:
        """Waits until all is delivered; returns what is not, and why not, once patience is lost.

        Patience is lost with failures alone: a delivery that takes long is waited for, as long as
        `limit_s` allows.
        """
        began = time.monotonic()
        deadline, limit = began + patience_s, began + limit_s
        with self._changed:
            self._try_now()
            while self._deliveries and not self._is_hopeless(deadline) and time.monotonic() < limit:
                self._changed.wait(_next_pause_s(deadline, limit))
            missing = {name: delivery.failure for name, delivery in self._deliveries.items()}
        self._tell()
        return missing

    def _try_now(self) -> None:
        for delivery in self._deliveries.values():
            delivery.due, delivery.failures, delivery.failure = 0.0, 0, None
        self._failures_in_a_row = 0
        self._changed.notify_all()

    def _is_hopeless(self, deadline: float) -> bool:
        if time.monotonic() < deadline:
            return False
        have_failed = all(delivery.failure is not None for delivery in self._deliveries.values())
        return have_failed or self._failures_in_a_row >= _IN_A_ROW

    def _tell(self) -> None:
        if self._first_failure is not None and self._on_failure is not None:
            tell, self._on_failure = self._on_failure, None
            tell(self._first_failure)

    def _deliver(self) -> None:
        while True:
            with self._changed:
                name = self._next()
                delivery = self._deliveries[name]
                send = delivery.send
            failure = _failure_of(send)
            with self._changed:
                self._settle(name, send, failure)
                self._changed.notify_all()

    def _next(self) -> str:
        """The first delivery that is due; waits for one."""
        while True:
            now = time.monotonic()
            for name, delivery in self._deliveries.items():
                if delivery.due <= now:
                    return name
            dues = [delivery.due for delivery in self._deliveries.values()]
            self._changed.wait(min(dues) - now if dues else None)

    def _settle(self, name: str, send: Callable[[], object], failure: Exception | None) -> None:
        delivery = self._deliveries[name]
        delivery.failure = failure
        self._failures_in_a_row = 0 if failure is None else self._failures_in_a_row + 1
        if failure is not None:
            pause_s = min(_LONGEST_PAUSE_S, self._first_pause_s * 2**delivery.failures)
            delivery.failures += 1
            delivery.due = time.monotonic() + pause_s
            self._first_failure = self._first_failure or failure
        elif delivery.send is send:
            del self._deliveries[name]
        else:  # a newer one came meanwhile
            delivery.due, delivery.failures = 0.0, 0


def _next_pause_s(*moments: float) -> float | None:
    """Seconds until the first of some moments of the monotonic clock that is still to come; None
    where none is.
    """
    now = time.monotonic()
    ahead = [moment - now for moment in moments if now < moment < math.inf]
    return min(ahead, default=None)


def _failure_of(send: Callable[[], object]) -> Exception | None:
    try:
        send()
    # whatever it is: the thread must live on, and the end says what is missing and why
    except Exception as error:
        return error
    return None
