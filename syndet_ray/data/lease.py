"""Lease: an object on S3 that says who writes under an address, put on the condition that nobody
else has put it meanwhile.

It is renewed while its holder lives, and expires where it is not: by the store's clock, as far as
its answers tell it, for those of two machines may differ. Who finds another's lease that has not
expired stays away; who finds that another has taken its own stops.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from botocore.exceptions import BotoCoreError, ClientError

from syndet_ray.data.storage import inside, refused, s3
from syndet_ray.errors import MachineError
from syndet_ray.timer import timer

# A driver that does not get through to the store for so long has lost the run to whoever asks for
# it.
LASTS_S = 120.0
_RENEWALS = 4  # while it lasts: three may fail
_TRIES = 5  # where others put theirs at the same moment
_NAME = "lease.json"
# What S3 answers where the condition of a put does not hold, or might not: the last where two puts
# meet.
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
    """Who holds a lease, as the store has it.

    who     for a person: "4711 on host"
    place   equal for two claims only where the later knows that the earlier is over, as by a lock
            on one machine
    token   of this one lease
    lasts_s how long it holds from when it was put; 0 once it is given back
    """

    who: str
    place: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    lasts_s: float = LASTS_S


class Lease:
    """One address held by this process; `tenure` takes and renews it."""

    def __init__(self, address: str, claim: Claim) -> None:
        self.address, self.claim = address, claim
        self._client, self._where = s3(inside(address, _NAME))
        self._etag, self._renewed = "", float("-inf")
        self._is_conditional = True
        self.taken_by: str | None = None  # who has it instead

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have it: it was renewed in time."""
        return self.taken_by is None and _clock_s() - self._renewed < self.claim.lasts_s

    def take(self) -> None:
        """Takes the lease where it is free.

        Raises MachineError where another holds it, or the store does not answer.
        """
        with _named(self.address):
            for _ in range(_TRIES):
                found = self._found()
                if found is not None and not found.is_free_for(self.claim):
                    raise found.refusal(self.address)
                if self._put({"IfNoneMatch": "*"} if found is None else {"IfMatch": found.etag}):
                    return
        raise MachineError(
            self.address, "is being taken by another process", do="Try again in a minute."
        )

    def renew(self) -> None:
        """Makes it last anew. Raises MachineError where the store does not answer; another's lease
        is noted in `taken_by`.
        """
        with _named(self.address):
            if self._put({"IfMatch": self._etag}):
                return
            found = self._found()
            # the answer to an earlier put was lost
            if found is not None and found.claim.token == self.claim.token:
                self._etag = found.etag
                self._put({"IfMatch": self._etag})
            else:
                self.taken_by = "nobody" if found is None else found.claim.who

    def release(self) -> None:
        """Gives it back, so that others need not wait. What fails is left to expire."""
        self.claim = Claim(
            who=self.claim.who, place=self.claim.place, token=self.claim.token, lasts_s=0.0
        )
        with suppress(MachineError):
            self.renew()

    def check(self) -> None:
        """Raises MachineError where another has taken it."""
        if self.taken_by is not None:
            rule = f"was taken over by another process ({self.taken_by}), because this one did not get through to the store"
            raise MachineError(
                self.address,
                rule,
                do="Let that one go on: what this one has not copied there is lost.",
            )

    def _put(self, condition: Mapping[str, str]) -> bool:
        """Puts the claim; False where the condition does not hold."""
        body = json.dumps(vars(self.claim)).encode()
        began = _clock_s()  # it lasts from when the store has it, which is no earlier
        if not self._is_conditional and not self._holds(condition):
            return False
        try:
            answer = self._client.put_object(
                **self._where, Body=body, **(condition if self._is_conditional else {})
            )
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
        """Whether a condition holds, for older stores that know none: two drivers within one moment
        both find that it does.
        """
        found = self._found()
        if "IfNoneMatch" in condition:
            return found is None
        return found is not None and found.etag == condition["IfMatch"]

    def _found(self) -> "_Found | None":
        """The lease that is there; None where there is none."""
        try:
            answer = self._client.get_object(**self._where)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        age_s = (now - answer["LastModified"]).total_seconds()
        return _Found(claim=_claim(answer["Body"].read()), etag=answer["ETag"], age_s=age_s)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A lease as it lies in the store."""

    claim: Claim
    etag: str
    age_s: float

    def is_free_for(self, claim: Claim) -> bool:
        return self.age_s >= self.claim.lasts_s or self.claim.place == claim.place

    def refusal(self, address: str) -> MachineError:
        left_s = self.claim.lasts_s - self.age_s
        rule = f"is being carried out by another process ({self.claim.who}, last seen {self.age_s:.0f} s ago)"
        do = f"Wait for it, or stop it; where it was killed, the run is free in {left_s:.0f} s."
        return MachineError(address, rule, do=do)


def _claim(body: bytes) -> Claim:
    """Raises ValueError for what is no claim."""
    facts = json.loads(body)
    return Claim(
        **{name: facts[name] for name in ("who", "place", "token")}, lasts_s=float(facts["lasts_s"])
    )


@contextmanager
def tenure(lease: Lease, lost: Callable[[], None]) -> Iterator[Lease]:
    """Takes a lease and renews it until the end, when it is given back. `lost` is called, in a
    thread, where another takes it.

    Raises as `Lease.take` does, and at the end as `Lease.check`.
    """

    def renew() -> None:
        if lease.taken_by is not None:
            return  # it was said before
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
    with _named(address):
        found = lease._found()
    if found is not None and not found.is_free_for(lease.claim):
        raise found.refusal(address)


def _clock_s() -> float:
    """Seconds of a clock that goes on while the machine sleeps: whoever wakes up may have lost the
    lease long ago.
    """
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )


@contextmanager
def _named(address: str) -> Iterator[None]:
    """boto3's errors, and those of a lease that somebody else wrote, as ours."""
    try:
        yield
    except ClientError as error:
        raise refused(address, error.response["Error"]["Code"], str(error)) from None
    except BotoCoreError as error:
        raise refused(address, type(error).__name__, str(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        rule = f"holds a {_NAME} that is no lease ({type(error).__name__}: {error})"
        raise MachineError(
            address, rule, do=f"Delete {inside(address, _NAME)} where nobody carries the run out."
        ) from None
