"""One process at a time writes under an address of S3: the first that asks, for as long as it is
heard of.
"""

import json
import subprocess
import sys
import threading
from datetime import datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from syndet_ray.data import lease as leasing
from syndet_ray.data.lease import Claim, Lease, check_free, tenure
from syndet_ray.errors import MachineError

HOME = "s3://photos/sweeps/dice-1"


def lease(who, place=None, lasts_s=120.0):
    return Lease(HOME, Claim(who=who, place=place or who, lasts_s=lasts_s))


def test_the_first_has_it_and_others_get_an_error_that_names_it(s3):
    first, second = lease("1 on a"), lease("2 on b")
    first.take()
    assert first.is_held
    with pytest.raises(MachineError) as error:
        second.take()
    words = r"is being carried out by another process \(1 on a, last seen \d s ago\)\. Wait for it, or stop it; if"
    assert error.match(rf"^{HOME}: {words} it was killed, the run is free in 1[12]\d s\.$")
    assert not second.is_held
    with pytest.raises(MachineError, match="1 on a"):
        check_free(HOME, "b")
    check_free(HOME, "1 on a")
    check_free(f"{HOME}-other", "b")


def test_one_that_was_given_back_or_has_expired_is_free(s3):
    first, second, third = lease("1 on a"), lease("2 on b", lasts_s=0.0), lease("3 on c")
    first.take()
    first.release()
    assert not first.is_held
    second.take()
    third.take()
    assert third.is_held


@pytest.mark.parametrize("hours", [-3, 3])
def test_the_clock_is_the_stores_own(s3, monkeypatch, hours):
    """This machine's clock is hours ahead or behind: the age of a lease is what the store says."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    lease("1 on a", lasts_s=7200.0).take()
    monkeypatch.setattr(leasing, "datetime", Wrong)
    with pytest.raises(MachineError, match=r"free in 7[012]\d\d s"):
        lease("2 on b").take()


def test_a_driver_that_knows_that_the_holder_has_ended_need_not_wait(s3):
    killed, again = lease("1 on a", place="folder on a"), lease("2 on a", place="folder on a")
    killed.take()
    again.take()
    assert again.is_held
    killed.renew()
    assert (killed.taken_by, killed.is_held) == ("2 on a", False)
    with pytest.raises(MachineError, match=r"was taken over by another process \(2 on a\)"):
        killed.check()
    again.renew()
    assert again.is_held, "what is lost is not taken back"


def test_an_answer_that_was_lost_loses_nothing(s3):
    mine = lease("1 on a")
    mine.take()
    mine._etag = '"of an earlier put"'
    mine.renew()
    assert mine.is_held
    mine.renew()
    assert mine.taken_by is None
    s3.delete_object(Bucket="photos", Key="sweeps/dice-1/lease.json")
    mine.renew()
    assert mine.taken_by == "no process: it was deleted"


def test_a_lease_that_was_not_renewed_in_time_is_lost_although_it_is_free(s3):
    mine = lease("1 on a", lasts_s=0.0)
    mine.take()
    assert not mine.is_held
    mine.check()


def test_a_store_that_knows_no_conditions_is_asked_before_it_is_written(s3, monkeypatch):
    calls = []

    def older(client):
        put = client.put_object

        def put_object(**given):
            if {"IfMatch", "IfNoneMatch"} & given.keys():
                calls.append(given)
                raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
            return put(**given)

        client.put_object = put_object

    first, second = lease("1 on a"), lease("2 on b")
    for one in (first, second):
        older(one._client)
    first.take()
    first.renew()
    assert first.is_held
    with pytest.raises(MachineError, match="1 on a"):
        second.take()
    lease("3 on a", place="1 on a").take()
    first.renew()
    assert first.taken_by == "3 on a"
    assert len(calls) == 1, "asked once"


def test_what_is_no_lease_and_a_store_that_is_not_there_are_named(s3, monkeypatch):
    for content in (
        b"[]",
        b"{}",
        b'{"who": "a", "place": "b", "token": "c", "lasts_s": "soon"}',
        b"\xff",
    ):
        s3.put_object(Bucket="photos", Key="sweeps/dice-1/lease.json", Body=content)
        with pytest.raises(
            MachineError,
            match=rf"holds a lease\.json that is no lease .*Delete {HOME}/lease\.json if",
        ):
            lease("1 on a").take()
    with pytest.raises(MachineError, match=r"s3://lost/x: cannot be written \(NoSuchBucket\)"):
        Lease("s3://lost/x", Claim(who="1 on a", place="a")).take()
    rule = r"s3://lost/x: cannot be read \(NoSuchBucket\)\. Correct the address"
    with pytest.raises(MachineError, match=rule):
        check_free("s3://lost/x", place="a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(MachineError, match=r"\(EndpointConnectionError\)"):
        lease("1 on a").take()


def test_it_is_renewed_until_the_end_and_then_given_back(s3):
    mine, renewals = lease("1 on a", lasts_s=0.04), threading.Semaphore(0)
    renew = mine.renew

    def counted():
        renew()
        renewals.release()

    mine.renew = counted
    with tenure(mine, lambda: pytest.fail("nobody has taken it")):
        assert all(renewals.acquire(timeout=30) for _ in range(3))
    stored = json.loads(
        s3.get_object(Bucket="photos", Key="sweeps/dice-1/lease.json")["Body"].read()
    )
    assert (stored["who"], stored["lasts_s"]) == ("1 on a", 0.0)


def test_a_store_that_does_not_answer_for_a_moment_loses_nothing(s3):
    mine, outcomes, renewed = (
        lease("1 on a", lasts_s=0.04),
        [MachineError("s3", "does not answer")],
        threading.Event(),
    )
    renew = mine.renew

    def unsure():
        if outcomes:
            raise outcomes.pop()
        renew()
        renewed.set()

    mine.renew = unsure
    with tenure(mine, lambda: pytest.fail("nobody has taken it")):
        assert renewed.wait(30)


HOLD = """
import sys
from syndet_ray.data.lease import Claim, Lease, tenure
lease = Lease(sys.argv[1], Claim(who=sys.argv[2], place=sys.argv[2], lasts_s=float(sys.argv[3])))
sys.stdin.readline()
try:
    with tenure(lease, lambda: print("lost to", lease.taken_by, flush=True)):
        print("held", flush=True)
        sys.stdin.readline()
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""


def processes(*holders):
    """Processes that ask for the lease at one signal."""
    command = [sys.executable, "-c", HOLD, HOME]
    return [
        subprocess.Popen([*command, *map(str, holder)], stdin=-1, stdout=-1, text=True)
        for holder in holders
    ]


def say(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def test_of_two_processes_that_ask_at_once_one_has_it_and_one_that_was_killed_is_followed(s3):
    both = processes(("1 on a", 120), ("2 on b", 120))
    for process in both:
        say(process)
    said = [process.stdout.readline() for process in both]
    assert sorted(line.split()[0] for line in said) == ["MachineError", "held"]
    holder, other = both if said[0].startswith("held") else both[::-1]
    other.communicate()
    holder.kill()
    holder.communicate()
    with pytest.raises(
        MachineError, match=r"carried out by another process \([12] on [ab], last seen"
    ):
        lease("3 on c").take()
    stored = json.loads(
        s3.get_object(Bucket="photos", Key="sweeps/dice-1/lease.json")["Body"].read()
    )
    lease("3 on c", place=stored["place"]).take()


def test_a_process_that_was_away_for_too_long_hears_that_another_has_taken_over(s3):
    (first,) = processes(("1 on a", 0.2))
    say(first)
    assert first.stdout.readline() == "held\n"
    # as if the first had not been heard of for long enough
    second = lease("2 on b", place="1 on a")
    second.take()
    assert first.stdout.readline() == "lost to 2 on b\n"
    output, _ = first.communicate("end\n")
    assert "MachineError" in output
    assert "was taken over by another process (2 on b)" in output
    assert second._read_lease().claim == second.claim, "the first has not written since"
