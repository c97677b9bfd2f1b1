"""Outbox: a thread that makes deliveries to a service, and repeats those that fail.

The service may be unavailable for hours.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

# Between two attempts at one delivery: doubled after each failure, up to the longest. A service
# that restarts is back in seconds; one that is down for a night is tried once a minute.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
# consecutive failures after which the service is taken as unavailable; fewer may be the fault of
# single deliveries
_IN_A_ROW = 3


@dataclass(kw_only=True)
class _Delivery:
    """One delivery.

    send  makes it; its return value does not matter
    due   earliest time of the next attempt, in seconds of the monotonic clock
    """

    send: Callable[[], object]
    due: float = 0.0
    failures: int = 0
    failure: Exception | None = None


class Outbox:
    """Deliveries by name. A new one replaces a waiting one of the same name.

    A delivery that fails is tried again later, and others are made meanwhile. So `send` may be
    called several times: an attempt that failed may have done a part of its work. The thread lives
    from the first delivery until `close`.

    on_failure: called once, with the first failure of all, in a thread that calls `put` or `wait`.
    """

    def __init__(
        self,
        name: str,
        on_failure: Callable[[Exception], None],
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._name = name
        self._on_failure: Callable[[Exception], None] | None = on_failure
        self._first_pause_s = first_pause_s
        self._deliveries: dict[str, _Delivery] = {}
        self._first_failure: Exception | None = None
        self._failures_in_a_row = 0
        self._changed = Condition()
        self._has_thread = False
        self._is_open = True

    def put(self, name: str, send: Callable[[], object]) -> None:
        """Adds a delivery; the thread makes it soon."""
        with self._changed:
            self._is_open = True
            earlier = self._deliveries.get(name)
            if earlier is None:
                self._deliveries[name] = _Delivery(send=send)
            else:
                earlier.send = send
            if not self._has_thread:
                self._has_thread = True
                # a thread that hangs in a request must not keep the process from ending
                Thread(target=self._deliver, name=self._name, daemon=True).start()
            self._changed.notify_all()
        self._report_failure()

    def close(self) -> None:
        """Drops all deliveries, and ends the thread, after an attempt that it is making.

        A later `put` begins again.
        """
        with self._changed:
            self._is_open = False
            self._deliveries.clear()
            self._changed.notify_all()

    @property
    def is_failing(self) -> bool:
        """True if a delivery has failed and is not made yet."""
        with self._changed:
            return any(delivery.failure is not None for delivery in self._deliveries.values())

    def wait(self, patience_s: float, limit_s: float = math.inf) -> dict[str, Exception | None]:
        """Waits for all deliveries; returns those that are missing, with their last failures.

        patience_s  seconds after which failures end the wait; a slow delivery does not end it
        limit_s     seconds after which the wait ends in any case
        """
        start = time.monotonic()
        deadline = start + patience_s
        limit = start + limit_s
        with self._changed:
            self._try_now()
            while self._deliveries and not self._is_hopeless(deadline) and time.monotonic() < limit:
                self._changed.wait(_next_pause_s(deadline, limit))
            missing = {name: delivery.failure for name, delivery in self._deliveries.items()}
        self._report_failure()
        return missing

    def _try_now(self) -> None:
        for delivery in self._deliveries.values():
            delivery.due = 0.0
            delivery.failures = 0
            delivery.failure = None
        self._failures_in_a_row = 0
        self._changed.notify_all()

    def _is_hopeless(self, deadline: float) -> bool:
        if time.monotonic() < deadline:
            return False
        have_failed = all(delivery.failure is not None for delivery in self._deliveries.values())
        return have_failed or self._failures_in_a_row >= _IN_A_ROW

    def _report_failure(self) -> None:
        if self._first_failure is not None and self._on_failure is not None:
            on_failure = self._on_failure
            self._on_failure = None
            on_failure(self._first_failure)

    def _deliver(self) -> None:
        while True:
            with self._changed:
                name = self._next()
                if name is None:
                    self._has_thread = False
                    return
                delivery = self._deliveries[name]
                send = delivery.send
            failure = _failure_of(send)
            with self._changed:
                if self._deliveries.get(name) is delivery:  # else it was dropped meanwhile
                    self._settle(name, send, failure)
                self._changed.notify_all()

    def _next(self) -> str | None:
        """Returns the name of the first delivery that is due; waits for one.

        None once the outbox is closed.
        """
        while self._is_open:
            now = time.monotonic()
            for name, delivery in self._deliveries.items():
                if delivery.due <= now:
                    return name
            dues = [delivery.due for delivery in self._deliveries.values()]
            self._changed.wait(min(dues) - now if dues else None)
        return None

    def _settle(self, name: str, send: Callable[[], object], failure: Exception | None) -> None:
        """Records the result of one attempt; `failure` is None if it was successful."""
        delivery = self._deliveries[name]
        delivery.failure = failure
        if failure is not None:
            pause_s = min(_LONGEST_PAUSE_S, self._first_pause_s * 2**delivery.failures)
            delivery.failures += 1
            delivery.due = time.monotonic() + pause_s
            self._failures_in_a_row += 1
            self._first_failure = self._first_failure or failure
            return
        self._failures_in_a_row = 0
        if delivery.send is send:
            del self._deliveries[name]
        else:  # a new one replaced it meanwhile
            delivery.due = 0.0
            delivery.failures = 0


def _next_pause_s(*moments: float) -> float | None:
    """Returns the seconds until the first moment in the future; None if there is none.

    moments: seconds of the monotonic clock.
    """
    now = time.monotonic()
    pauses_s = [moment - now for moment in moments if now < moment < math.inf]
    return min(pauses_s, default=None)


def _failure_of(send: Callable[[], object]) -> Exception | None:
    try:
        send()
    except Exception as error:  # of any kind: the thread must live on, and `wait` returns it
        return error
    return None
