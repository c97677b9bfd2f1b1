"""A run whose head is lost goes on on another head, with the files of the machine that sent it."""

import json
import shutil
from contextlib import nullcontext
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest
from made_runs import made_run

from syndet_ray.cli import new_head, on_cluster
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.clusters.bundle import Item, bundle_again
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking.backup import Backup

ADDRESS = "s3://runs-bucket/there/tiny-7"
ROOT = "/home/me/syndet_projects"
FOLDER = PurePosixPath(ROOT, "dice-1a2b3c", "submitted", "tiny-20261128-1a2b")
CLUSTER = """
cluster_name: c
provider: {type: local, head_ip: 127.0.0.1, worker_ips: [127.0.0.2]}
auth: {ssh_user: me}
"""


class NewHead:
    """A head that remembers what it was sent and told."""

    place, target = "the head of c.yaml", "me@127.0.0.1"
    goes_on = False

    def __init__(self, file):
        self.file = file
        self.sent = {}
        self.origins = {}
        self.commands = []

    def run(self, command):
        self.commands.append(command)

    def send(self, source, place, *, like, **_):
        self.sent[str(place)] = str(source)
        if source.name == "origins.json":
            self.origins = json.loads(source.read_text())

    def answer(self, command):
        self.commands.append(command)
        return {"pid": 7, "goes_on": self.goes_on}


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / "my meshes"
    folder.mkdir()
    (folder / "mug.glb").write_bytes(b"mug")
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    return folder


@pytest.fixture
def origins(meshes, photos):
    """What the lost head was sent: for nodes, and for the driver alone."""
    places = {}
    for source, parent in ((meshes, FOLDER / "files" / "given"), (photos, FOLDER / "data")):
        item = Item(source=source, for_nodes=False, size=3, files=1)
        places[str(parent / item.place)] = str(source)
    return places


@pytest.fixture
def continued(tmp_path, monkeypatch):
    """Continues a run of a record on a head with facts; returns the head."""
    file = tmp_path / "c.yaml"
    file.write_text(CLUSTER)

    def resume(about, **changes):
        head = NewHead(file)
        facts = {"root": ROOT, "free": 10**9, "sent": [], "submissions": [], **changes}
        display = SimpleNamespace(step=lambda text: nullcontext(), progress=lambda *_: None)
        monkeypatch.setattr(new_head, "open_display", lambda console: nullcontext(display))
        monkeypatch.setattr(new_head, "head_and_facts", lambda _: (head, facts))
        copy = RunFolder(tmp_path / "copy")
        monkeypatch.setattr(RunFolder, "about", about)
        monkeypatch.setattr(new_head, "_fetch", lambda *_: copy)
        monkeypatch.setattr(on_cluster, "follow", lambda *_: None)
        new_head.resume_there(ADDRESS, file, SweepOptions(trials=4, runs=tmp_path), force=True)
        return head

    return resume


def record(origins):
    return {"folder": str(FOLDER / "files"), "file_origins": origins}


def test_every_file_is_sent_to_the_place_that_the_run_names(origins, continued):
    head = continued(record(origins))
    assert origins.items() <= head.sent.items()
    assert head.origins == origins, "a third head needs them too"
    assert str(FOLDER / "files" / "syndet_ray") in head.sent
    made, started = head.commands
    assert made.startswith("mkdir -p ") and f"{FOLDER}/data/" in made
    assert started.endswith(
        f"resume {ADDRESS} --address auto --trials 4 --runs {ROOT}/dice-1a2b3c/runs --force"
    )


def test_a_run_that_needs_no_file_of_another_machine_is_started_with_the_code_alone(continued):
    head = continued(record({}))
    assert {PurePosixPath(place).name for place in head.sent} == {"origins.json", "syndet_ray"}


def test_a_head_that_has_the_run_gets_the_files_again_and_continues_it(origins, continued):
    run = f"{ROOT}/dice-1a2b3c/runs/tiny-7"
    item = {"folder": str(FOLDER), "run": run, "pid": 5}
    head = continued(record(origins), submissions=[item])
    assert origins.items() <= head.sent.items(), "a wrong file may have been refused, and mended"
    asked, _, started = head.commands
    assert asked.endswith(f"on_head end {FOLDER}")
    assert f" resume {run} --address auto " in started
    head = continued(record(origins), submissions=[{**item, "run": ""}])
    assert f" resume {ADDRESS} --address auto " in head.commands[-1], "it has not been fetched"


def test_a_head_that_carries_the_run_out_is_sent_nothing(origins, continued, monkeypatch):
    sent = []
    monkeypatch.setattr(NewHead, "goes_on", True)
    monkeypatch.setattr(NewHead, "send", lambda *arguments, **_: sent.append(arguments))
    item = {"folder": str(FOLDER), "run": f"{ROOT}/dice-1a2b3c/runs/tiny-7", "pid": 5}
    with pytest.raises(MachineError, match=r"runs/tiny-7: still goes on\. Follow it: .* attach "):
        continued(record(origins), submissions=[item])
    assert not sent


def test_all_files_that_are_gone_are_named_with_what_to_do(origins, meshes, photos):
    meshes.rename(meshes.with_name("gone"))
    photos.rename(photos.with_name("gone too"))
    message = rf"{meshes}, {photos}: is needed by .* a link to where it lies now is enough"
    with pytest.raises(DataError, match=message):
        bundle_again(origins, FOLDER)
    meshes.symlink_to(meshes.with_name("gone"))
    photos.symlink_to(photos.with_name("gone too"))
    bundle = bundle_again(origins, FOLDER)
    assert [(item.for_nodes, item.size) for item in bundle.items] == [(True, 3), (False, 3)]


@pytest.mark.parametrize("about", [{"file_origins": None}, {}])
def test_a_run_that_was_not_sent_is_refused(about, continued):
    with pytest.raises(DefinitionError, match=r"tiny-7: was not sent to a cluster.*Leave out"):
        continued({"folder": "/home/me/dice", **about})


def test_a_head_with_another_home_folder_is_refused(origins, continued):
    message = r"projects in /home/you/p, and the run names files in /home/me/.* ssh_user"
    with pytest.raises(MachineError, match=message):
        continued(record(origins), root="/home/you/p")


def test_a_head_without_room_is_refused_before_anything_is_sent(origins, photos, continued):
    (photos / "2.jpg").write_bytes(bytes(3 * 10**6))
    with pytest.raises(MachineError, match=r"has 1 kB free, and 3 MB are needed"):
        continued(record(origins), free=900)


def test_other_photos_are_refused(tmp_path):
    options = SweepOptions(real="photos", runs=tmp_path)
    with pytest.raises(DefinitionError, match=r"`real`: cannot be given again with `cluster`"):
        new_head.resume_there(ADDRESS, tmp_path / "c.yaml", options, force=False)


@pytest.mark.parametrize("is_ahead", [False, True])
def test_a_run_that_was_brought_with_later_events_stays_what_it_is(is_ahead, tmp_path):
    there, store = made_run().write(tmp_path / "there" / "tiny-7"), str(tmp_path / "store")
    with Backup(there, store, pytest.fail).copying():
        pass
    here = RunFolder(shutil.copytree(there.path, tmp_path / "runs" / "tiny-7"))
    if is_ahead:
        here.ledger.append("retry", 0)
    display = SimpleNamespace(step=lambda text: nullcontext())
    copy = new_head._fetch(f"{store}/tiny-7", tmp_path / "staged", display)
    assert copy.about == there.about
    refusal = pytest.raises(DataError, match=r"runs/tiny-7: has later events than .* Move it away")
    with refusal if is_ahead else nullcontext():
        new_head._check_copy(copy, tmp_path / "runs", store)


def test_what_is_at_its_place_already_needs_no_room(origins, continued):
    assert continued(record(origins), free=0, sent=list(origins)).sent
