"""Lease: an object on S3 that names the process that writes under an address.

It is put on the condition that no other process has put it meanwhile. Its holder renews it; without
renewal it expires. The store's clock counts, as far as its answers give the time, because the
clocks of two machines may differ. A process that finds another's unexpired lease does not start; a
process that finds its own lease taken stops.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import BotoCoreError, ClientError

from syndet_ray.data.storage import inside, read_error, s3, write_error
from syndet_ray.errors import MachineError
from syndet_ray.timer import timer

# A driver that cannot reach the store for so long loses the run to any process that asks for it.
LASTS_S = 120.0
_RENEWALS = 4  # in that time: three may fail
_TRIES = 5  # to take a lease while other processes put theirs at the same moment
_NAME = "lease.json"
# S3's answers if the condition of a put does not hold, or may not hold: the last one if two puts
# happen at the same time.
_CONDITION_FAILED = (
    "PreconditionFailed",
    "412",
    "NoSuchKey",
    "404",
    "ConditionalRequestConflict",
    "409",
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The holder of a lease, as the store has it.

    who      for a person: "4711 on host"
    place    equal for two claims only if the later process knows that the earlier one has ended,
             for example by a lock on one machine
    token    identifies this lease
    lasts_s  seconds that it lasts from when it was put; 0 once it is given back
    """

    who: str
    place: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    lasts_s: float = LASTS_S


class Lease:
    """One address held by this process; `tenure` takes and renews it."""

    def __init__(self, address: str, claim: Claim) -> None:
        self.address, self.claim = address, claim
        self._client, self._object = s3(inside(address, _NAME))
        self._etag, self._renewed = "", float("-inf")
        self._is_conditional = True  # until the store answers that it knows no conditions
        self.taken_by: str | None = None  # the process that has it instead

    @property
    def is_held(self) -> bool:
        """True if no other process can have it, because it was renewed in time."""
        return self.taken_by is None and _clock_s() - self._renewed < self.claim.lasts_s

    def take(self) -> None:
        """Takes the lease if it is free.

        Raises MachineError where another process holds it, or the store does not answer.
        """
        with _as_machine_error(self.address):
            for _ in range(_TRIES):
                stored = self._read_lease()
                if stored is not None and not stored.is_free_for(self.claim):
                    raise stored.refusal(self.address)
                condition = {"IfNoneMatch": "*"} if stored is None else {"IfMatch": stored.etag}
                if self._put(condition):
                    return
        rule = "is being taken by another process"
        raise MachineError(self.address, rule, do="Try again in a minute.")

    def renew(self) -> None:
        """Renews the lease, or sets `taken_by` if another process has taken it.

        Raises MachineError where the store does not answer.
        """
        with _as_machine_error(self.address):
            if self._put({"IfMatch": self._etag}):
                return
            stored = self._read_lease()
            if stored is None:
                self.taken_by = "no process: it was deleted"
            elif stored.claim.token != self.claim.token:
                self.taken_by = stored.claim.who
            else:  # the answer to an earlier put was lost
                self._etag = stored.etag
                self._put({"IfMatch": self._etag})

    def release(self) -> None:
        """Gives it back, so that other processes need not wait. If that fails, it expires."""
        self.claim = replace(self.claim, lasts_s=0.0)
        with suppress(MachineError):
            self.renew()

    def check(self) -> None:
        """Raises MachineError where another process has taken it."""
        if self.taken_by is not None:
            rule = (
                f"was taken over by another process ({self.taken_by}), "
                "because this one could not reach the store"
            )
            do = "Let that process go on: everything that this one has not copied there is lost."
            raise MachineError(self.address, rule, do=do)

    def _put(self, condition: Mapping[str, str]) -> bool:
        """Puts the claim; False if the condition does not hold."""
        body = json.dumps(vars(self.claim)).encode()
        began = _clock_s()  # it lasts from when the store has it, which is no earlier
        if not self._is_conditional and not self._holds(condition):
            return False
        conditions = condition if self._is_conditional else {}
        try:
            answer = self._client.put_object(**self._object, Body=body, **conditions)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _CONDITION_FAILED:
                return False
            if code == "NotImplemented" and self._is_conditional:
                self._is_conditional = False
                return self._put(condition)
            raise
        self._etag, self._renewed = answer["ETag"], began
        return True

    def _holds(self, condition: Mapping[str, str]) -> bool:
        """True if a condition holds, for older stores that know no conditions.

        Two drivers at the same moment may both get True.
        """
        stored = self._read_lease()
        if "IfNoneMatch" in condition:
            return stored is None
        return stored is not None and stored.etag == condition["IfMatch"]

    def _read_lease(self) -> "_StoredLease | None":
        """The lease in the store; None if there is none."""
        try:
            answer = self._client.get_object(**self._object)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        age_s = (now - answer["LastModified"]).total_seconds()
        claim = _claim(answer["Body"].read())
        return _StoredLease(claim=claim, etag=answer["ETag"], age_s=age_s)


@dataclass(frozen=True, kw_only=True)
class _StoredLease:
    """A lease in the store.

    etag   changes with each put
    age_s  seconds since the last put
    """

    claim: Claim
    etag: str
    age_s: float

    def is_free_for(self, claim: Claim) -> bool:
        return self.age_s >= self.claim.lasts_s or self.claim.place == claim.place

    def refusal(self, address: str) -> MachineError:
        left_s = self.claim.lasts_s - self.age_s
        process = f"{self.claim.who}, last seen {self.age_s:.0f} s ago"
        rule = f"is being carried out by another process ({process})"
        do = f"Wait for it, or stop it; if it was killed, the run is free in {left_s:.0f} s."
        return MachineError(address, rule, do=do)


def _claim(body: bytes) -> Claim:
    """The claim in a lease file. Raises ValueError, KeyError or TypeError where it holds none."""
    facts = json.loads(body)
    return Claim(
        who=facts["who"],
        place=facts["place"],
        token=facts["token"],
        lasts_s=float(facts["lasts_s"]),
    )


@contextmanager
def tenure(lease: Lease, lost: Callable[[], None]) -> Iterator[Lease]:
    """Takes a lease, renews it until the block ends, and gives it back.

    `lost` is called, in a thread, if another process takes it. Raises as `Lease.take` does, and at
    the end as `Lease.check` does.
    """

    def renew() -> None:
        if lease.taken_by is not None:
            return  # `lost` has been called already
        with suppress(MachineError):  # the store may answer the next time
            lease.renew()
        if lease.taken_by is not None:
            lost()

    lease.take()
    try:
        with timer("lease", lease.claim.lasts_s / _RENEWALS, renew):
            yield lease
    finally:
        if lease.taken_by is None:
            lease.release()
        lease.check()


def check_free(address: str, place: str) -> None:
    """Raises MachineError where another process holds the lease of an s3:// address."""
    lease = Lease(address, Claim(who="", place=place))
    with _as_machine_error(address, read_error):
        stored = lease._read_lease()
    if stored is not None and not stored.is_free_for(lease.claim):
        raise stored.refusal(address)


def _clock_s() -> float:
    """Seconds of a clock that goes on while the machine sleeps.

    A process that wakes up may have lost the lease long ago.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@contextmanager
def _as_machine_error(
    address: str, named: Callable[[str, Exception], MachineError] = write_error
) -> Iterator[None]:
    """Raises boto3's errors, and those of a file that is no lease, as MachineError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise named(address, error) from None
    except (ValueError, KeyError, TypeError) as error:
        rule = f"holds a {_NAME} that is no lease ({type(error).__name__}: {error})"
        do = f"Delete {inside(address, _NAME)} if no process carries out the run."
        raise MachineError(address, rule, do=do) from None
