"""The head of a Ray cluster is looked for before Ray is, which would wait for minutes."""

import contextlib
import platform
import socket

import pytest

from syndet_ray.errors import MachineError
from syndet_ray.workers import cluster, head
from syndet_ray.workers.cluster import connection


@contextlib.contextmanager
def listener():
    """The address of a program that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no.such.host.invalid:6379", "127.0.0.1:99999"])
def test_an_address_at_which_nothing_listens_is_refused_at_once(address, monkeypatch):
    monkeypatch.setattr(head.subprocess, "run", None)  # not even asked
    rule = rf"^Ray cluster {address}: cannot be reached \(.+\)\. See `ray status` on the head node"
    with pytest.raises(MachineError, match=rule), connection(address):
        pass


def test_a_program_that_is_no_head_is_given_up_soon(monkeypatch):
    longest_s = head._CONNECT_S + head._ANSWER_S
    monkeypatch.setattr(head, "_ANSWER_S", 0.5)
    with (
        listener() as address,
        pytest.raises(MachineError, match=r"no head of Ray answers within 0 s"),
    ):
        head.check_head(address)
    assert longest_s < 30, "a wrong address is known within half a minute"


@pytest.mark.parametrize("address", ["nonsense", "10.0.0.1", "http://10.0.0.1:6379", "ray://h:1"])
def test_an_address_of_another_form_is_refused_with_those_that_are_valid(address, monkeypatch):
    monkeypatch.setattr(head.importlib.util, "find_spec", lambda name: None)  # without Ray's client
    monkeypatch.setattr(head.subprocess, "run", None)  # not even asked
    rule = f"^`address`: must be auto or HOST:PORT, got '{address}'. On the head node it is auto, "
    with pytest.raises(MachineError, match=rule):
        head.check_head(address)


def test_what_starts_a_cluster_or_has_limits_of_its_own_is_left_to_ray(monkeypatch):
    monkeypatch.setattr(head.importlib.util, "find_spec", lambda name: name)
    asked = []
    monkeypatch.setattr(head, "_check_port", asked.append)
    monkeypatch.setattr(head.subprocess, "run", lambda command, **_: asked.append(command))
    head.check_head("ray://host:10001")  # of Ray's client
    head.check_head("local")  # starts a cluster
    assert asked == []


def test_a_cluster_of_this_machine_is_asked_with_the_token_that_is_here(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "RAY_AUTH_MODE" not in head._environment("auto"), "there is no token"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 2)
    assert head._environment("auto")["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_MODE" not in head._environment("10.0.0.1:6379"), "nor does ray.init()"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert head._environment("auto")["RAY_AUTH_MODE"] == "disabled"


def test_a_cluster_that_asks_for_a_token_is_named_with_what_to_do():
    reason = "RPC error: InvalidAuthToken: Authentication token is missing or incorrect"
    message = str(head.unreachable_error("10.0.0.1:6379", reason))
    assert message.endswith(
        "Set RAY_AUTH_MODE=token here, and have the head's ~/.ray/auth_token at the same place."
    )


def test_a_cluster_of_this_machine_that_is_down_is_told_how_to_start_it():
    message = str(head.unreachable_error("auto", "no head of Ray answers within 20 s"))
    assert message == (
        "Ray cluster auto: cannot be reached (no head of Ray answers within 20 s). "
        "If Ray is down on this machine (see `ray status`), start it with `ray start --head`, or "
        "with `ray up` from where the cluster was started."
    )
    assert "RAY_AUTH_MODE=token" in str(head.unreachable_error("auto", "InvalidAuthToken"))


@pytest.mark.parametrize(
    ("ray_version", "python_version", "message"),
    [
        (
            "2.59.0",
            "3.12.1",
            "has Ray 2.59.0 and Python 3.12.1, and this machine has Ray {ray} and Python {python}: "
            "they must be the same. Install ray==2.59.0 in an environment of Python 3.12.1 here.",
        ),
        (
            "{ray}",
            "{minor}.99",
            "has Ray {ray} and Python {minor}.99, and this machine has Ray {ray} and Python "
            "{python}: they must be the same. Set RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor",
        ),
    ],
)
def test_a_cluster_of_other_versions_is_named(ray_version, python_version, message, monkeypatch):
    """With the words of Ray's own check of versions."""
    import ray
    from ray._private.utils import check_version_info

    here = {"ray": ray.__version__, "python": platform.python_version()}
    here["minor"] = here["python"].rpartition(".")[0]
    there = {
        "ray_version": ray_version.format(**here),
        "python_version": python_version.format(**here),
    }
    monkeypatch.setattr(cluster, "check_head", lambda address: None)
    monkeypatch.setattr(cluster.ray, "init", lambda **options: check_version_info(there, "node h"))
    with pytest.raises(MachineError) as error, connection("h:6379"):
        pass
    assert str(error.value).startswith(f"Ray cluster h:6379: {message.format(**here)}")
