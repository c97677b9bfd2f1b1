"""Publish: a run that another machine has carried out is in MLflow's store here, once."""

import math
import shutil
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
from made_runs import ABOUT, TIED, append, confirmed_run, made_run
from mlflow import MlflowClient
from rich.console import Console

from syndet_ray.cli import on_cluster
from syndet_ray.cli import runs as run_verbs
from syndet_ray.cli.remote_submission import RemoteSubmission
from syndet_ray.cli.sweeps import _hints_at_continuing
from syndet_ray.errors import DataError, MachineError
from syndet_ray.locks import hold_lock
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tracking.store import store_address
from syndet_ray.tracking.trial_runs import TrialRuns
from syndet_ray.tracking.ui import addresses, has_run
from syndet_ray.tuning.follow import end_of
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.publish import publish_copy
from syndet_ray.tuning.resume import _forget_cluster
from syndet_ray.tuning.shown import Recorder
from syndet_ray.workers.head import unreachable_error
from syndet_ray.workers.stop import START_RAY_AGAIN

DISPLAY = SimpleNamespace(step=nullcontext, note=pytest.fail)
# as the head has recorded it, in a store of its own
THERE = ABOUT | {"mlflow_run": "0" * 32, "status": "finished", "options": {"tracking": None}}


@pytest.fixture
def home(tmp_path, empty_store):
    """A folder of runs with an empty store of MLflow."""
    runs = tmp_path / "runs"
    runs.mkdir()
    shutil.copy(empty_store, runs)
    return runs


def children(folder):
    client = MlflowClient(store_address(folder.path.parent))
    parent = client.get_run(folder.about["mlflow_run"])
    return parent, client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )


def test_a_run_that_was_brought_here_is_in_the_store_once_however_often_it_is_brought(home):
    folder = confirmed_run(about=THERE).write(home / "there")
    folder.report.write_text("a report")
    uri = store_address(home)
    assert not has_run(uri, folder)
    for _ in range(2):
        folder.describe(THERE)  # as it comes from the head again
        publish_copy(folder, DISPLAY)
        assert has_run(uri, folder)
        parent, trials = children(folder)
        assert len(trials) == len(folder.trials())
        assert len(MlflowClient(uri).search_runs([parent.info.experiment_id])) == len(trials) + 1
        assert parent.data.metrics["test/mAP"] == pytest.approx(0.31)
        assert (parent.info.status, parent.info.start_time) == ("FINISHED", 1_760_000_000_000)
        last = max(event["time"] for event in folder.ledger.events())
        assert parent.info.end_time == round(1000 * last), "it ended there, and not now"
    artifacts = MlflowClient(uri).list_artifacts(parent.info.run_id)
    assert {"report.html", "test.json"} <= {entry.path for entry in artifacts}
    assert "trials" in addresses(uri, "http://host", folder)


def test_a_run_that_is_being_published_may_be_brought_again_at_the_same_place(home, monkeypatch):
    folder = confirmed_run(about=THERE | {"cluster": "/c.yaml"}).write(home / "there")
    places = []

    def bring_again(*_):
        places.append(on_cluster._may_hold(folder.path, folder.about["started"]))
        with pytest.raises(BlockingIOError), hold_lock(home / ".there.lock", wait=False):
            pytest.fail("another terminal would write the same trials")

    monkeypatch.setattr("syndet_ray.tuning.publish._publish_trials", bring_again)
    publish_copy(folder, DISPLAY)
    assert places == [True]


def test_a_trial_that_is_not_over_there_is_not_shown_as_running_here(home):
    folder = made_run(about=THERE | {"status": "interrupted"}).write(home / "stopped")
    append(folder, 7, "search", 40, 0.4, 0.002, (0.1,), "RUNNING", "")
    publish_copy(folder, DISPLAY)
    parent, trials = children(folder)
    status = {run.data.tags["trial"]: run.info.status for run in trials}
    assert (parent.info.status, status["7"], status["2"]) == ("KILLED", "KILLED", "FINISHED")


def test_a_run_with_a_tracking_server_and_one_without_trials_make_no_store(tmp_path):
    served = THERE | {"options": {"tracking": "http://host:5000"}}
    for name, run in (("served", made_run(about=served)), ("empty", made_run((), about=THERE))):
        publish_copy(run.write(tmp_path / name), DISPLAY)
    assert not (tmp_path / "mlflow.db").exists()


def test_ui_writes_what_the_store_has_no_room_for_at_first(home, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    folder = made_run(scores=TIED, about=THERE | {"cluster": "/c.yaml"}).write(home / "there")
    notes = []
    display = SimpleNamespace(step=nullcontext, note=notes.append)
    with monkeypatch.context() as patch:
        patch.setattr(TrialRuns, "write", refuse)
        patch.setattr(Tracking.end, "__defaults__", (0.1, math.inf))
        with pytest.raises(MachineError, match=r"has all of it: try again with `ui`"):
            publish_copy(folder, display)
    assert "No space left" in notes[0]
    assert has_run(store_address(home), folder), "but no trial of it"
    run_verbs._publish_if_missing(folder, DISPLAY)
    assert len(children(folder)[1]) == len(folder.trials())


def test_ui_writes_a_run_that_was_brought_here_if_the_store_lacks_it(home, monkeypatch):
    folder = made_run(scores=TIED, about=THERE | {"cluster": "/c.yaml"}).write(home / "there")
    run_verbs._publish_if_missing(folder, DISPLAY)
    assert has_run(store_address(home), folder)
    monkeypatch.setattr("syndet_ray.tuning.publish.publish_copy", pytest.fail)
    run_verbs._publish_if_missing(folder, DISPLAY)
    run_verbs._publish_if_missing(made_run(about=THERE).write(home / "of here"), DISPLAY)


def test_a_resume_that_is_refused_here_names_the_cluster(tmp_path):
    folder = made_run(about=THERE | {"cluster": "/c.yaml"}).write(tmp_path / "there")
    with pytest.raises(DataError) as refusal, _hints_at_continuing(folder, "there"):
        raise DataError("/there/photos", "does not exist", do="Put them back.")
    assert str(refusal.value) == (
        "/there/photos: does not exist. It was brought here from a cluster: continue it there "
        f"with `python -m syndet_ray resume {folder.path} --cluster /c.yaml`. Put them back."
    )
    other = made_run(about=THERE).write(tmp_path / "of a bucket")
    address = "s3://b/runs/of"
    with pytest.raises(DataError) as refusal, _hints_at_continuing(other, address):
        raise DataError("/there/photos", "does not exist")
    assert refusal.value.__notes__ == [
        f"the run lies in {other.path} now: resume that from here on"
    ]
    other.describe(other.about | {"file_origins": {"/there/photos": "/here/photos"}})
    with pytest.raises(DataError) as refusal, _hints_at_continuing(other, address):
        raise DataError("/there/photos", "does not exist")
    (note,) = refusal.value.__notes__
    assert note.endswith(
        f"continue it on one with: python -m syndet_ray resume {address} --cluster FILE"
    )


def test_a_run_that_goes_on_here_is_not_replaced_by_that_of_the_cluster(tmp_path):
    folder = made_run(about=THERE | {"cluster": "/c.yaml"}).write(tmp_path / "there")
    started = folder.about["started"]
    assert on_cluster._may_hold(tmp_path / "new", started)
    assert on_cluster._may_hold(folder.path, started)
    assert not on_cluster._may_hold(folder.path, started + 1), "another run"
    with folder.lock():
        assert not on_cluster._may_hold(folder.path, started)
    _forget_cluster(folder)
    assert not on_cluster._may_hold(folder.path, started)


def test_later_events_that_were_brought_are_not_replaced_by_a_run_without_them(tmp_path):
    here = made_run(about=THERE).write(tmp_path / "here")
    there = RunFolder(shutil.copytree(here.path, tmp_path / "there"))

    def state(size):
        return {"ledger": there.ledger.hash_of_beginning(int(size))}

    head = SimpleNamespace(state=state)
    assert on_cluster._goes_on_from(head, here.path)
    there.ledger.append("retry", 0)
    assert on_cluster._goes_on_from(head, here.path), "it has gone on there"
    here.ledger.append("retry", 1)
    assert not on_cluster._goes_on_from(head, here.path), "it goes on there from an older copy"
    assert on_cluster._goes_on_from(head, tmp_path / "new")


def test_a_run_of_a_head_with_earlier_code_is_brought_where_it_was(tmp_path):
    here = made_run(about=THERE | {"cluster": "/c.yaml"}).write(tmp_path / "there")
    places = []
    head = SimpleNamespace(fetch=lambda run, folder, skipped: places.append(folder))
    submission = SimpleNamespace(head=head, state=pytest.fail)  # its code takes no length
    state = {"run": "/h/runs/there", "started": here.about["started"]}
    assert on_cluster._fetch(submission, state, tmp_path) == here.path
    assert places == [here.path]


def ended_submission(origins):
    """A submission whose run has ended on its head."""
    state = {"run": "/h/runs/there", "goes_on": False, "has_begun": True, "origins": origins}
    head = SimpleNamespace(
        file=Path("c.yaml"),
        place="the head of c.yaml",
        show=lambda *_, **__: 0,
        answer=lambda _: state,
    )
    return RemoteSubmission(head=head, folder=PurePosixPath("/h/submitted/there"))


@pytest.mark.parametrize("is_away", [False, True])
def test_the_last_words_of_a_run_that_is_brought_here_are_those_of_this_machine(
    home, monkeypatch, capsys, is_away
):
    folder = made_run(about=THERE | {"status": "interrupted"}).write(home / "there")
    shown = Recorder(DISPLAY)
    shown.keep_in(folder)
    shown.outcome(Outcome(folder=folder, status="interrupted"))
    submission = ended_submission({"/h": "/here"})
    monkeypatch.setattr(on_cluster, "_fetch", lambda *_: folder.path)
    if is_away:
        monkeypatch.setattr("syndet_ray.tuning.publish.local_store", refuse)
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, home, Console(width=500))
    output = capsys.readouterr().out
    file = Path("c.yaml").absolute()
    assert f"continue with: python -m syndet_ray resume {folder.path} --cluster {file}\n" in output
    last = output.splitlines()[-1]
    if is_away:
        assert "not in MLflow's store here (store: is full); the run itself is in" in output
        assert last.startswith("trials   ray exec c.yaml --port-forward 5001 ")
    else:
        assert last == f"trials   python -m syndet_ray ui {folder.path} --open"
    shown.error(DataError("/h/meshes", "does not exist"))
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, home, Console(width=500))
    assert capsys.readouterr().err == "syndet_ray: /here/meshes: does not exist.\n"
    assert folder.about["cluster"] == str(Path("c.yaml").absolute())
    shown.error(unreachable_error("auto", "no head of Ray answers"))
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, home, Console(width=500))
    assert capsys.readouterr().err == (
        "syndet_ray: Ray cluster auto: cannot be reached (no head of Ray answers). "
        "Start Ray on the head of c.yaml again with: ray up c.yaml\n"
    )


def test_a_run_that_has_lost_the_ray_of_its_cluster_says_how_to_go_on_from_here(
    home, monkeypatch, capsys
):
    folder = made_run(about=THERE | {"status": "interrupted"}).write(home / "there")
    display = SimpleNamespace(step=nullcontext, note=lambda text: None)
    shown = Recorder(display)
    shown.keep_in(folder)
    shown.note(f"Ray has ended on this machine; {START_RAY_AGAIN}")
    assert end_of(folder).has_lost_ray
    submission = ended_submission({})
    monkeypatch.setattr(on_cluster, "_fetch", lambda *_: folder.path)
    with pytest.raises(SystemExit):
        on_cluster.follow(submission, home, Console(width=500))
    start, go_on = capsys.readouterr().out.splitlines()[-2:]
    assert start == "Start Ray on the head of c.yaml again with: ray up c.yaml"
    file = Path("c.yaml").absolute()
    assert go_on.endswith(
        f"continue with: python -m syndet_ray resume {folder.path} --cluster {file}"
    )
    Recorder(display).keep_in(folder)
    assert not end_of(folder).has_lost_ray, "a new attempt has begun"


def refuse(runs):
    raise MachineError("store", "is full")
