"""The way to the head of a cluster: what is wrong with it is named, with what to do."""

import contextlib
import logging
import os
import pty
import shutil
import tempfile
import termios
import tty
from dataclasses import replace
from importlib import metadata
from pathlib import Path, PurePosixPath

import boto3
import botocore.client
import pytest
from botocore.exceptions import ClientError
from ray.autoscaler._private.aws import utils

from syndet_ray.cli import on_cluster
from syndet_ray.cli.options import with_flags
from syndet_ray.cli.remote_submission import _check_versions
from syndet_ray.cli.sent_options import check_options, option_words
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.clusters import head as head_module
from syndet_ray.clusters.description import read_cluster_file
from syndet_ray.clusters.head import Head, find_head, sizes_sent
from syndet_ray.errors import DefinitionError, MachineError

SETTINGS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL")
DOCUMENTED = Path(__file__).parents[1] / "cluster.yaml"
FILE = """
cluster_name: nobody-has-started-it
provider: {type: local, head_ip: 127.0.0.1, worker_ips: []}
auth: {ssh_user: nobody}
"""
RAY = metadata.version("ray")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where Ray keeps what it has read
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE)
    yield read_cluster_file(path)
    for state in Path("/tmp/ray").glob("cluster-nobody-has-started-it.*"):
        state.unlink()


@pytest.fixture
def head(tmp_path):
    """A head to which the connection breaks at once."""
    if shutil.which("ssh") is None or shutil.which("rsync") is None:
        pytest.skip("not installed: ssh or rsync")
    words = ("ssh", "-F", "none", "-o", "ProxyCommand=false", "-o", "LogLevel=ERROR")
    return Head(file=Path("cluster.yaml"), ssh=words, target="nobody@127.0.0.1")


def test_a_cluster_that_is_not_up_is_named_with_the_command_that_starts_it(file, head, capfd):
    with pytest.raises(MachineError) as refused:
        find_head(file)
    assert str(refused.value) == (
        f"cluster nobody-has-started-it of {file.path}: is not up. Start it: ray up {file.path}"
    )
    assert "".join(capfd.readouterr()) == "", "Ray prints nothing of its own"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (None, "(NoCredentialsError). Give this machine a role, or set AWS_ACCESS_KEY_ID and"),
        ("ExpiredToken", "(ExpiredToken). Renew the credentials."),
        ("UnauthorizedOperation", "(UnauthorizedOperation). An error occurred (Unauthorized"),
    ],
)
def test_a_refusal_of_aws_is_named_with_its_own_advice(code, advice, tmp_path, monkeypatch, capfd):
    """Whether Ray logs and raises it, as without credentials, or gives up in its own way."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where Ray keeps what it has read
    monkeypatch.setattr(head_module, "program_errors", list)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(logging.getLogger("ray.autoscaler"), "handlers", [handler := Recorder()])
    with fresh_clients():
        check_refusal(code, advice, monkeypatch)
    assert "".join(capfd.readouterr()) == "", "Ray prints nothing of its own"
    assert handler.records == [], "nor does it log a traceback"


class Recorder(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@contextlib.contextmanager
def fresh_clients():
    """A block in which Ray makes its clients of AWS again, and after which it does so too."""
    for cache in (utils.client_cache, utils.resource_cache):
        cache.cache_clear()
    try:
        yield
    finally:
        for cache in (utils.client_cache, utils.resource_cache):
            cache.cache_clear()


def check_refusal(code, advice, monkeypatch):
    def refuse(client, operation, arguments):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    if code is not None:
        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
    with pytest.raises(MachineError) as refused:
        find_head(read_cluster_file(DOCUMENTED))
    start = f"cluster syndet-ray of {DOCUMENTED}: cannot be looked up {advice}"
    assert str(refused.value).startswith(start)


def test_commands_in_messages_are_those_of_a_shell(tmp_path, head):
    path = tmp_path / "my cluster.yaml"
    path.write_text(FILE)
    with pytest.raises(MachineError, match=r"ray up '.*/my cluster\.yaml'"):
        find_head(read_cluster_file(path))
    with pytest.raises(MachineError, match=r"ray exec 'my c.yaml' 'ray status'`; `ray up 'my c.ya"):
        replace(head, file=Path("my c.yaml")).answer("true")


def test_a_missing_program_is_named(file, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MachineError, match=r"this machine: has no ssh, with which Ray reaches .* Install"
    ):
        find_head(file)


def test_a_head_in_a_container_is_refused(tmp_path, head):
    path = tmp_path / "docker.yaml"
    path.write_text(f"{FILE}docker: {{image: x, container_name: y}}\n")
    with pytest.raises(MachineError, match="runs Ray in containers") as refused:
        find_head(read_cluster_file(path))
    assert "start the sweep with `ray exec` and --address auto" in with_flags(str(refused.value))


@pytest.mark.parametrize("way", ["answer", "run", "send", "send, shown", "fetch"])
def test_a_head_that_cannot_be_reached_is_named(head, way, tmp_path):
    calls = {
        "answer": lambda: head.answer("true"),
        "run": lambda: head.run("true"),
        "send": lambda: head.send(tmp_path, PurePosixPath("/nowhere")),
        "send, shown": lambda: head.send(tmp_path, PurePosixPath("/nowhere"), progress=print),
        "fetch": lambda: head.fetch("/nowhere", tmp_path, ()),
    }
    with pytest.raises(MachineError, match=r"the head of cluster.yaml: cannot be reached") as lost:
        calls[way]()
    assert "`ray up cluster.yaml` mends it" in str(lost.value)
    assert head.show("true", print, on_terminal=False) == 255


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"python": [3, 10, 4]}, "must have Python 3.11 or newer, got '3.10.4'"),
        ({"missing": ["ray", "torch"], "ray": ""}, "lacks ray, torch"),
        ({"ray": "2.9.1"}, f"must have Ray {RAY}, as this machine has, got '2.9.1'"),
    ],
)
def test_a_head_with_other_packages_is_refused(facts, rule):
    with pytest.raises(MachineError) as refused:
        _check_versions({"python": [3, 12, 1], "ray": RAY, "missing": []} | facts, "the head")
    assert str(refused.value).startswith(f"the head: {rule}. Install the packages of")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"address": "auto", "local": True},
            "`cluster`: says where to run, and so cannot be combined with `address` and",
        ),
        ({"tracking": "sqlite:///x.db"}, "`tracking`: must be the address of a server"),
        ({"tracking": "http://me:secret@x:5000/a"}, "`tracking`: must hold no password with `clu"),
    ],
)
def test_options_that_mean_another_place_are_refused(options, error):
    with pytest.raises(DefinitionError) as refused:
        check_options(SweepOptions(runs=None, **options))
    assert str(refused.value).startswith(error)


def test_the_options_go_along():
    options = SweepOptions(
        runs=None, trials=3, gpus_per_trial=0.5, storage="s3://b/x", skip_bad=False, stream=True
    )
    assert " ".join(option_words(options)) == (
        "--trials 3 --gpus-per-trial 0.5 --storage s3://b/x --stream --no-skip-bad"
    )


def test_a_lost_connection_is_told_from_an_end():
    assert on_cluster._is_lost(255) and on_cluster._is_lost(-9)
    assert not on_cluster._is_lost(0) and not on_cluster._is_lost(10)


SSH = """#!/bin/sh
shift
exec sh -c "$*"
"""


@pytest.fixture
def head_here(tmp_path):
    """A head that is this machine: its ssh runs commands here."""
    if shutil.which("rsync") is None:
        pytest.skip("not installed: rsync")
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    return Head(file=Path("cluster.yaml"), ssh=(str(ssh),), target="here")


def test_photos_are_linked_or_sent_and_their_bytes_are_told(head_here, tmp_path):
    head = head_here
    photos, there = tmp_path / "my photos", PurePosixPath(tmp_path, "first", "my_photos")
    photos.mkdir()
    for name in ("a b.jpg", "größe.jpg"):
        (photos / name).write_bytes(b"x" * 3000)
    (photos / ".git").mkdir()
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    sizes = []
    head.send(photos, there, progress=sizes.append)
    assert sizes[-1] == 6000
    (photos / "a b.jpg").write_bytes(b"changed")
    second = PurePosixPath(tmp_path, "second", "my_photos")
    head.send(photos, second, like=there, is_read_only=True, progress=sizes.append)
    assert sizes[-1] == 7, "the other file is linked"
    assert Path(there, "a b.jpg").stat().st_size == 3000, "that of the first stays"
    assert Path(there, "größe.jpg").samefile(Path(second, "größe.jpg"))
    assert not Path(there, ".git").exists()
    (photos / "gone.jpg").symlink_to("nowhere")
    with pytest.raises(MachineError, match=r"cannot take .*gone.jpg.*Look at that file, and start"):
        head.send(photos, second, progress=sizes.append)
    file = tmp_path / "names.yaml"
    file.write_text("a: b")
    head.send(file, there.parent / file.name)
    like = there.parent / file.name
    head.send(file, second.parent / file.name, like=like, is_read_only=True)
    assert Path(there.parent, file.name).samefile(Path(second.parent, file.name))


def test_a_program_that_changes_its_files_leaves_those_of_earlier_submissions(head_here, tmp_path):
    program = tmp_path / "program"
    program.mkdir()
    for name in ("train.py", "names.yaml"):
        (program / name).write_text("as sent")
    sizes = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    first, second = (PurePosixPath(tmp_path, folder, "program") for folder in ("first", "second"))
    head_here.send(program, first)
    head_here.send(program, second, like=first, progress=sizes.append)
    assert sum(sizes) == 0, "nothing is sent twice"
    Path(second, "names.yaml").write_text("changed")
    assert Path(first, "names.yaml").read_text() == "as sent"
    assert Path(second, "train.py").read_text() == "as sent"

    for folder in ("first", "second"):
        place = PurePosixPath(tmp_path, folder, "train.py")
        head_here.send(program / "train.py", place, like=PurePosixPath(tmp_path, "first/train.py"))
    Path(tmp_path, "second", "train.py").write_text("changed")
    assert Path(tmp_path, "first", "train.py").read_text() == "as sent"


def test_bytes_sent_are_those_of_finished_files_and_of_the_present_one():
    output = [b"a.jpg\n  1,000  50%  1MB/s  0:00:01\r  2,0", b"00 100%  1MB/s  0:00:00 (xfr#1, to-"]
    output += [b"chk=1/3)\nb 5% (c).jpg\n", b"  500 100% 9kB/s 0:00:00 (xfer#2, to-check=0/3)\n"]
    assert list(sizes_sent(output)) == [1000, 2000, 2500]


def test_the_terminal_is_as_before_once_ssh_has_ended(monkeypatch):
    """A killed ssh leaves it without line ends."""
    controller, terminal = pty.openpty()
    with open(terminal, closefd=False) as opened:
        monkeypatch.setattr("sys.stdin", opened)
        before = termios.tcgetattr(terminal)
        with head_module._restored_terminal():
            tty.setraw(terminal)
            assert termios.tcgetattr(terminal) != before
        assert termios.tcgetattr(terminal) == before
    for end in (controller, terminal):
        os.close(end)
