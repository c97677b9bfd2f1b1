"""The end of a run: a failure there is noted, and does not keep later steps from running."""

import errno
import json
import shutil

import pytest
from made_runs import made_run
from mlflow import MlflowClient
from test_search import Silent

from syndet_ray.cli import last_words
from syndet_ray.cli.terminal import console
from syndet_ray.report import page
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tuning import attempt
from syndet_ray.tuning.attempt import Attempt
from syndet_ray.tuning.options import Options
from syndet_ray.workers.stop import Stop

SCORES = {
    "best": (0.31, 0.27, 0.35),
    "real_only": (0.29, 0.25, 0.33),
    "synthetic_only": (0.05, 0.03, 0.07),
}


@pytest.fixture
def folder(tmp_path, empty_store):
    """A run of which everything is done but its end, next to a store that has nothing of it yet."""
    folder = made_run(scores=SCORES).write(tmp_path / "runs" / "dice-1")
    shutil.copy(empty_store, tmp_path / "runs")
    return folder


@pytest.fixture
def carry_out(folder, tmp_path, monkeypatch):
    """Carries the run out to the end that is given: the words for it, or what is raised."""

    def carry(end):
        def ended(attempt):
            if isinstance(end, BaseException):
                raise end
            return end

        monkeypatch.setattr(Attempt, "carry_out", ended)
        options, display = (
            Options(runs=folder.path.parent, storage=str(tmp_path / "copies")),
            Silent(),
        )
        carry.notes = display.notes
        return attempt.carry_out(
            folder, options, None, runner=None, display=display, lease=None, stop=Stop(print)
        )

    return carry


def in_mlflow(folder):
    """The run as MLflow has it, and the names of its artifacts."""
    client = MlflowClient(folder.about["mlflow_uri"])
    parent = folder.about["mlflow_run"]
    return client.get_run(parent).info.status, {
        artifact.path for artifact in client.list_artifacts(parent)
    }


def test_a_report_that_fails_is_noted_and_all_else_of_the_end_happens(
    folder, tmp_path, carry_out, capsys
):
    folder.figures.write_text("no folder")
    outcome = carry_out("finished")
    (note,) = [note for note in carry_out.notes if "report" in note]
    assert note.startswith(
        f"the report could not be written ({folder.figures}: cannot be written (File exists)"
    )
    assert note.endswith(f"): python -m syndet_ray report {folder.path} writes it")
    assert "Traceback" in folder.report_error.read_text()
    copy = tmp_path / "copies" / "dice-1" / "run"
    assert json.loads((copy / "run.json").read_text())["status"] == "finished"
    assert (copy / "report-error.log").exists()
    assert in_mlflow(folder) == ("FINISHED", {"sweep.json", "run.json", "test.json"})
    with pytest.raises(SystemExit) as done:
        last_words.finish(outcome, console())
    assert done.value.code == 1
    assert "report   " not in capsys.readouterr().out, "what is not there is not named"


def test_a_mistake_of_ours_in_the_report_is_named_with_its_kind_and_kept_with_its_traceback(
    folder, carry_out, monkeypatch
):
    monkeypatch.setattr(page, "content", lambda folder: 1 / 0)
    assert carry_out("finished").status == "finished"
    message = "the report could not be written (ZeroDivisionError: division by zero): python -m syndet_ray report"
    assert f"{message} {folder.path} writes it" in carry_out.notes
    assert "in <lambda>" in folder.report_error.read_text()
    assert in_mlflow(folder)[0] == "FINISHED"


def test_an_end_that_the_folder_cannot_say_reaches_mlflow_as_one_to_resume(
    folder, carry_out, monkeypatch
):
    def describe(self, about):
        if "status" in about:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, about)

    write = RunFolder.describe
    monkeypatch.setattr(RunFolder, "describe", describe)
    assert carry_out("finished").status == "interrupted"
    assert any("No space left on device" in note for note in carry_out.notes)
    assert in_mlflow(folder)[0] == "KILLED"


def test_a_full_disk_interrupts_a_run_and_any_other_failure_is_what_it_is(folder, carry_out):
    assert carry_out(OSError(errno.ENOSPC, "No space left on device")).status == "interrupted"
    assert (folder.about["status"], in_mlflow(folder)[0]) == ("interrupted", "KILLED")
    folder.figures.write_text("no folder")  # or the report would take its time
    with pytest.raises(IsADirectoryError):
        carry_out(IsADirectoryError(errno.EISDIR, "Is a directory"))
    assert (folder.about["status"], in_mlflow(folder)[0]) == ("failed", "FAILED")


def test_a_failure_during_the_run_is_not_hidden_by_one_of_its_end(folder, carry_out, monkeypatch):
    def refused(folder, status):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(attempt, "record_end", refused)
    with pytest.raises(ZeroDivisionError):
        carry_out(ZeroDivisionError())


def test_a_stop_while_the_run_begins_in_mlflow_leaves_one_to_resume(
    folder, tmp_path, carry_out, monkeypatch
):
    def stopped(client, *_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as stop:
        stop.setattr(MlflowClient, "log_batch", stopped)
        with pytest.raises(KeyboardInterrupt):
            carry_out("spent")
    assert folder.about["status"] == "interrupted"
    assert "mlflow_run" not in folder.about
    assert (
        json.loads((tmp_path / "copies" / "dice-1" / "run" / "run.json").read_text())["status"]
        == "interrupted"
    )
    carry_out("spent")
    client = MlflowClient(folder.about["mlflow_uri"])
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (parent,) = client.search_runs(experiments)
    assert (parent.info.run_id, parent.info.status) == (folder.about["mlflow_run"], "KILLED")
