"""The outbox: in order, again after a failure, and nothing is waited for without end."""

import threading
from functools import partial
from threading import Event, Thread, current_thread

import pytest

from syndet_ray.tracking.outbox import Outbox


@pytest.fixture
def told():
    """Failures that the outbox reported, each with the thread that reported it."""
    return []


@pytest.fixture
def outbox(told):
    outbox = Outbox(
        "test", lambda error: told.append((str(error), current_thread())), first_pause_s=0.01
    )
    yield outbox
    outbox.close()


def gate(outbox):
    """Has the outbox wait at its first delivery until the event is set."""
    begun, opened = Event(), Event()

    def wait():
        begun.set()
        assert opened.wait(30)

    outbox.put("gate", wait)
    assert begun.wait(30)
    return opened


def test_deliveries_are_made_in_order_and_the_newest_of_a_name_alone(outbox):
    opened, made = gate(outbox), []
    for name, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        outbox.put(name, partial(made.append, (name, value)))
    opened.set()
    assert outbox.wait(30) == {}
    assert made == [("a", 3), ("b", 2), ("c", 4)]


def test_what_comes_while_an_older_one_is_on_its_way_is_delivered_after_it(outbox):
    opened, made = gate(outbox), []
    outbox.put("gate", partial(made.append, "newer"))
    opened.set()
    assert outbox.wait(30) == {}
    assert made == ["newer"]


def test_a_failure_is_reported_once_tried_again_and_delays_nothing_else(outbox, told):
    made, failures = [], [OSError("first"), OSError("second"), OSError("third")]

    def fail_at_first():
        if failures:
            raise failures.pop(0)
        made.append("a")

    outbox.put("a", fail_at_first)
    outbox.put("b", partial(made.append, "b"))
    assert outbox.wait(30) == {}
    assert made == ["b", "a"]
    assert told == [("first", current_thread())], "the driver's display is the driver's own"


def test_what_cannot_be_delivered_is_named_with_its_reason_and_the_rest_arrives(outbox):
    made = []
    outbox.put("a", partial(int, "not a number"))
    outbox.put("b", partial(made.append, "b"))
    missing = outbox.wait(0)
    assert missing.keys() == {"a"}
    assert "not a number" in str(missing["a"])
    assert made == ["b"]


def threads_of(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


def join_threads(name):
    for thread in threads_of(name):
        thread.join(30)
    return threads_of(name)


def test_nothing_is_tried_again_once_it_is_closed():
    outbox, made = Outbox("closed", lambda error: None, first_pause_s=30), []
    assert threads_of("closed") == []
    outbox.put("a", partial(int, "not a number"))
    assert outbox.wait(0).keys() == {"a"}
    assert len(threads_of("closed")) == 1, "it tries again in 30 s"
    outbox.close()
    assert join_threads("closed") == []
    assert outbox.wait(30) == {}
    outbox.put("b", partial(made.append, "b"))
    assert outbox.wait(30) == {}
    assert made == ["b"]
    outbox.close()
    outbox.close()
    assert join_threads("closed") == []


def test_an_attempt_that_is_on_its_way_at_the_close_has_no_part_in_what_comes_later(outbox):
    opened, made = gate(outbox), []
    outbox.put("b", partial(made.append, "dropped"))
    outbox.close()
    outbox.put("gate", partial(made.append, "new"))
    opened.set()
    assert outbox.wait(30) == {}
    assert made == ["new"]
    outbox.close()
    assert join_threads("test") == []


def test_what_takes_long_without_failing_is_waited_for(outbox):
    opened, found = gate(outbox), []
    waiting = Thread(target=lambda: found.append(outbox.wait(0)))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    opened.set()
    waiting.join(30)
    assert found == [{}]


def test_what_hangs_is_waited_for_within_a_limit_and_then_named(outbox):
    opened = gate(outbox)
    outbox.put("a", partial(int, "not a number"))
    assert outbox.wait(30, limit_s=0.02) == {"gate": None, "a": None}
    opened.set()
    assert outbox.wait(0, limit_s=30).keys() == {"a"}, (
        "a failure is not waited for, whatever the limit"
    )


def test_a_service_that_fails_time_and_again_is_not_asked_for_all_the_rest():
    """Each attempt may take as long as a time-out: a hundred trials are not tried one by one."""
    outbox, attempts, opened = Outbox("test", lambda error: None, first_pause_s=30), [], Event()
    outbox.put("gate", partial(opened.wait, 30))

    def fail(k):
        attempts.append(k)
        if k >= 3:
            Event().wait(0.3)
        raise OSError(k)

    for k in range(9):
        outbox.put(f"trial {k}", partial(fail, k))
    opened.set()
    assert len(outbox.wait(0)) == 9
    assert len(attempts) < 9
