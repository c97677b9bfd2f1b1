"""Notice: learns that this machine will be taken away, such as a spot machine or a pod.

A thread asks every few seconds: Ray, which is told to drain a node before it goes, and the metadata
service of AWS or Google Cloud where one answers. Nothing waits for it.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

# both providers answer there, and only to the machine itself
_ADDRESS = "http://169.254.169.254"
_ADDRESS_VARIABLE = "SYNDET_METADATA_URL"  # for tests, and for services in front of it
# by which users of AWS's own programs forbid to ask
_DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
_ASK_EVERY_S = 5.0  # AWS gives two minutes, Google Cloud half a minute
_TIMEOUT_S = 1.0  # the service is on the same host, and answers in milliseconds
_LONGEST_ANSWER = 1 << 16  # bytes
_TOKEN_S = "60"  # a token serves for one look
# Seconds between two checkpoints on a machine that is about to go: at most so much work is lost.
_SAVE_EVERY_S = 30.0

# of a service that does not answer, and of something else that does
_FAILURES = (OSError, HTTPException, ValueError)

# returns what the provider announces, None while that is nothing; may raise one of _FAILURES
Ask = Callable[[], str | None]


class Notices:
    """Looks for a notice that this machine goes in a thread, until there is one.

    The thread ends at once where nothing can be asked.

    address    that of its provider's metadata service; None if that must not be asked
    others     whom else to ask
    announced  what is announced, in words; None while that is nothing
    """

    def __init__(
        self,
        address: str | None,
        ask_every_s: float = _ASK_EVERY_S,
        others: Sequence[Ask] = (),
    ) -> None:
        self.announced: str | None = None
        self._address, self._ask_every_s, self._others = address, ask_every_s, others
        threading.Thread(target=self._look, name="notice", daemon=True).start()

    def _look(self) -> None:
        service = None if self._address is None else _service(self._address)
        asks = [*self._others, *([] if service is None else [service])]
        while asks and self.announced is None:
            for ask in asks:
                with suppress(*_FAILURES):  # it may answer the next time
                    self.announced = self.announced or ask()
            time.sleep(self._ask_every_s)


class EarlySaves:
    """Says when a trial saves a checkpoint between two rungs: at a notice, then every half minute.

    The machine may stay for minutes after a notice, or go at any moment.
    """

    def __init__(self, notices: Notices | None, every_s: float = _SAVE_EVERY_S) -> None:
        self._notices, self._every_s = notices, every_s
        self._saved_at: float | None = None  # seconds of the monotonic clock

    @property
    def due(self) -> str | None:
        """The notice for which a checkpoint is due now, in words; None if none is."""
        announced = None if self._notices is None else self._notices.announced
        is_saved = self._saved_at is not None and time.monotonic() - self._saved_at < self._every_s
        return None if is_saved else announced

    def note_saved(self) -> None:
        """Begins the time to the next one."""
        self._saved_at = time.monotonic()


@cache
def notices() -> Notices:
    """Returns the notices of this machine, one object for a process of Ray."""
    return Notices(_address(), others=(drain_notice,))


def _address() -> str | None:
    """Returns the address of the metadata service; None if it must not be asked."""
    address = os.environ.get(_ADDRESS_VARIABLE)
    if not address and os.environ.get(_DISABLED_VARIABLE, "").lower() == "true":
        return None
    return (address or _ADDRESS).rstrip("/")


def drain_notice() -> str | None:
    """Returns that Ray drains this node, in words; None if it does not.

    A node that ends in order is drained before: by Ray itself at a SIGTERM, which pods get, by
    its autoscaler, and by `ray drain-node`. Raises OSError if Ray does not answer.
    """
    import ray
    from ray._private.state import state

    try:
        deadlines_ms = state.get_draining_nodes()  # of all nodes that are drained; 0 for none
        node = ray.get_runtime_context().get_node_id()
    except ray.exceptions.RayError as error:
        raise OSError(str(error)) from error
    if node not in deadlines_ms:
        return None
    return f"Ray drains it{_until(deadlines_ms[node] / 1000)}"


def _until(deadline_s: float) -> str:
    """Returns a deadline in words; "" for none, which may also be the largest number there is."""
    try:
        return f" until {datetime.fromtimestamp(deadline_s, UTC):%FT%TZ}" if deadline_s else ""
    except (ValueError, OverflowError):
        return ""


def _service(address: str) -> Ask | None:
    """Returns the function that asks the provider of this machine; None if no provider answers."""
    opener = build_opener(ProxyHandler({}))  # a proxy has another machine's service
    for ask in (_aws_notice, _google_notice):
        try:
            ask(opener, address)
        except _FAILURES:
            continue
        return partial(ask, opener, address)
    return None


def _aws_notice(opener: OpenerDirector, address: str) -> str | None:
    """Returns what AWS announces to a spot machine, in words.

    Its advice to rebalance does not count: most machines that get it stay.
    """
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_S}
    token = _answer(opener, Request(f"{address}/latest/api/token", headers=headers, method="PUT"))
    place = f"{address}/latest/meta-data/spot/instance-action"
    try:
        answer = _answer(opener, Request(place, headers={"X-aws-ec2-metadata-token": token}))
    except HTTPError as error:
        if error.code == 404:  # there is no notice
            return None
        raise
    action = json.loads(answer)
    if not isinstance(action, Mapping) or "action" not in action:
        raise ValueError(answer)
    return f"AWS will {action['action']} it at {action.get('time', 'once')}"


def _google_notice(opener: OpenerDirector, address: str) -> str | None:
    """Returns what Google Cloud announces to a spot machine, in words."""
    place = f"{address}/computeMetadata/v1/instance/preempted"
    answer = _answer(opener, Request(place, headers={"Metadata-Flavor": "Google"})).strip()
    if answer not in ("TRUE", "FALSE"):
        raise ValueError(answer)
    return "Google Cloud preempts it" if answer == "TRUE" else None


def _answer(opener: OpenerDirector, request: Request) -> str:
    """Returns the text that the service answers. Raises one of _FAILURES."""
    with opener.open(request, timeout=_TIMEOUT_S) as response:
        content: bytes = response.read(_LONGEST_ANSWER)
    return content.decode("ascii")
