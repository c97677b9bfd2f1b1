"""Tracking: an MLflow that goes away, asks for a name and password, or was tidied up by a person
ends no sweep.
"""

import base64
import importlib
import json
import os
import posixpath
import re
import shutil
import ssl
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from made_runs import made_run, made_scores
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.server import app, handlers
from mlflow.utils.validation import _validate_metric_name, _validate_model_name
from werkzeug.serving import make_server

from syndet_ray import (
    Choice,
    Float,
    Mix,
    Recipe,
    Scenes,
    SearchSpace,
    Simplex,
    Training,
    cli,
)
from syndet_ray.analysis.selection import winner
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import DataError, MachineError
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.newest import newest_run
from syndet_ray.runs.results import Rung, Trial
from syndet_ray.tracking import ui, view
from syndet_ray.tracking.address import kept_address, mask, server_address
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tracking.outbox import Outbox
from syndet_ray.tracking.parent_run import check_artifact_place, experiment_words
from syndet_ray.tracking.server import bypass_proxy, check_server, is_away
from syndet_ray.tracking.store import sqlite_address
from syndet_ray.tracking.valid_names import registered_name, safe_name, safe_names
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.record import description, saved_options
from syndet_ray.tuning.summary import summary_metrics

SWEEP = LoadedSweep(
    question="Which share?",
    recipe=Recipe(training=Training(images=100)),
    space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),),
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Outboxes that try again soon, and are closed when the test is over."""
    outboxes = []

    def make(name, on_failure):
        outboxes.append(Outbox(name, on_failure, first_pause_s=0.01))
        return outboxes[-1]

    monkeypatch.setattr("syndet_ray.tracking.mlflow.Outbox", make)
    yield
    for outbox in outboxes:
        outbox.close()


class Served:
    """MLflow's own server, in a thread, that goes away and comes back at the same address."""

    def __init__(self):
        self._port = 0
        self.come()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._port}"

    def come(self):
        self._server = make_server("127.0.0.1", self._port, app, threaded=True)
        self._port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def go(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def served(store, tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    # The server sets both, and champions of later tests would all be registered here.
    monkeypatch.setattr("mlflow.tracking._model_registry.utils._registry_uri", None)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what MLflow's server imports at its first request
        importlib.import_module("mlflow.server.fastapi_app")
    handlers.initialize_backend_stores(store, store, str(tmp_path / "artifacts"))
    server = Served()
    yield server
    server.go()


def trial(number, *values, state="RUNNING"):
    rungs = tuple(Rung(25 * (k + 1), {OBJECTIVE: value}) for k, value in enumerate(values))
    ended = None if state == "RUNNING" else 2.0
    return Trial(
        number=number,
        role="search",
        params={},
        recipe=SWEEP.recipe,
        state=state,
        reason="because",
        rungs=rungs,
        started=1.0,
        ended=ended,
    )


def runs(client, tracking):
    """The runs of trials by number, and every rung that each has."""
    experiment = client.get_run(tracking.parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{tracking.parent}'")
    by_number = {int(run.data.tags["trial"]): run for run in children}
    assert len(by_number) == len(children), "no trial has two runs"
    return by_number


def history(client, run):
    return [
        (metric.step, metric.value)
        for metric in client.get_metric_history(run.info.run_id, OBJECTIVE)
    ]


def test_a_server_that_goes_away_and_comes_back_costs_nothing(served, store, capfd):
    notes, client = [], MlflowClient(store)
    tracking = Tracking(served.address, None, "away", SWEEP, note=notes.append)
    tracking.update(trial(0, 0.1))
    tracking.wait()
    served.go()
    for k in range(1, 4):
        for number in range(3):
            tracking.update(trial(number, *[0.1 * (1 + i) for i in range(k)]))
    tracking._outbox.wait(0)  # so that each delivery has failed
    missing = tracking.end("KILLED", patience_s=0)
    assert missing.startswith("trial 0, trial 1, trial 2, the end of the sweep (")
    place = f"MLflow's store {served.address}"
    failure = f"{place} cannot be written (ConnectionError): it is tried again"
    assert notes == [failure], "and nothing of a wait that takes no time"
    assert tracking.end("KILLED", patience_s=0.51) == missing
    assert notes == [failure, f"{place} is tried for 1 s more"]
    served.come()
    tracking.update(trial(1, 0.1, 0.2, 0.3, state="COMPLETE"))
    assert tracking.end("FINISHED") == ""
    found = runs(client, tracking)
    curve = [(25, 0.1), (50, 0.2), (75, pytest.approx(0.3))]
    assert {number: history(client, run) for number, run in found.items()} == dict.fromkeys(
        range(3), curve
    )
    assert [found[number].info.status for number in range(3)] == ["RUNNING", "FINISHED", "RUNNING"]
    assert client.get_run(tracking.parent).info.status == "FINISHED"
    assert set(notes[2:]) <= {f"{place} is tried for 60 s more"}
    printed = capfd.readouterr()
    assert printed.out == "" and "Retrying" not in printed.err


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_server_that_is_away_when_a_run_begins_gets_all_of_it_later(served, store, is_resumed):
    notes, client = [], MlflowClient(store)
    begun, parent = (f"late-{is_resumed}", 1.5), None
    if is_resumed:
        first = Tracking(served.address, None, "late", SWEEP, begun=begun)
        first.update(trial(0, 0.1))
        assert first.end("KILLED") == ""
        parent = first.parent
    served.go()
    tracking = Tracking(
        served.address,
        None,
        "late",
        SWEEP,
        parent=parent,
        begun=begun,
        note=notes.append,
        may_begin_later=True,
    )
    tracking.update(trial(0, 0.1, 0.2))
    assert (tracking.parent, tracking.link) == ("", "")
    assert tracking.end("KILLED", patience_s=0).startswith("the view of the trials, trial 0, ")
    served.come()
    tracking.update(trial(0, 0.1, 0.2, 0.3, state="COMPLETE"))
    assert tracking.end("FINISHED") == ""
    written = runs(client, tracking)
    assert list(written) == [0]
    assert history(client, written[0]) == [(25, 0.1), (50, 0.2), (75, pytest.approx(0.3))]
    assert tracking.parent == parent or not is_resumed
    assert notes[0] == (
        f"tracking server {served.address}: does not answer (ConnectionError): "
        "the run goes on, and MLflow gets all of it once it answers"
    )


def test_what_an_attempt_wrote_before_it_failed_is_not_written_twice(store, monkeypatch):
    """As where a server has done what was asked, and its answer is lost."""
    tracking, client = Tracking(store, None, "lost answers", SWEEP), MlflowClient(store)
    tracking.wait()
    lost = {"create_run", "log_batch", "set_terminated"}
    for name in list(lost):
        monkeypatch.setattr(
            tracking._client, name, forgetful(getattr(tracking._client, name), name, lost)
        )
    tracking.update(trial(0, 0.1, 0.2, state="COMPLETE"))
    assert tracking.end("FINISHED") == ""
    assert not lost
    run = runs(client, tracking)[0]
    assert history(client, run) == [(25, 0.1), (50, 0.2)]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "COMPLETE")


def forgetful(call, name, lost):
    """The call, whose first answer never arrives."""

    def made(*arguments, **named):
        answer = call(*arguments, **named)
        if name in lost:
            lost.discard(name)
            raise ConnectionError("the answer is lost")
        return answer

    return made


def test_a_champion_that_takes_several_attempts_leaves_one_model(store, tmp_path, monkeypatch):
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "model.json").write_text("{}")
    tracking, client = (
        Tracking(store, tmp_path / "artifacts", "champion", SWEEP),
        MlflowClient(store),
    )
    tracking.wait()
    lost = {
        "create_logged_model",
        "log_model_artifacts",
        "finalize_logged_model",
        "create_model_version",
    }
    for name in list(lost):
        monkeypatch.setattr(
            tracking._client, name, forgetful(getattr(tracking._client, name), name, lost)
        )
    done = trial(0, 0.1, state="COMPLETE")
    tracking.update(done)
    for score in (0.25, 0.5):
        tracking.register_champion("champion", tmp_path / "champion", done, {"mAP": score})
        tracking.wait()
    assert tracking.end("FINISHED") == ""
    assert not lost
    experiment = client.get_run(tracking.parent).info.experiment_id
    models = client.search_logged_models([experiment])
    versions = client.search_model_versions("name='champion'")
    assert [model.status for model in models] == ["READY"] * 2, (
        "one for each version, and none that is PENDING"
    )
    assert {version.source for version in versions} == {
        f"models:/{model.model_id}" for model in models
    }
    found = client.list_logged_model_artifacts(models[0].model_id)
    assert [artifact.path for artifact in found] == ["model.json"]


def test_a_write_that_always_fails_keeps_nothing_else_back(store, monkeypatch):
    tracking, client = Tracking(store, None, "one fails", SWEEP), MlflowClient(store)
    trial_runs = tracking._trial_runs
    write_new = trial_runs._write_new
    monkeypatch.setattr(
        trial_runs, "_write_new", lambda one: write_new(one) if one.number else 1 / 0
    )
    for number in range(3):
        tracking.update(trial(number, 0.1, state="COMPLETE"))
    assert tracking.end("FINISHED", patience_s=0) == "trial 0 (division by zero)"
    assert sorted(runs(client, tracking)) == [1, 2]
    again = Tracking(store, None, "one fails", SWEEP, tracking.parent)
    for number in range(3):
        again.update(trial(number, 0.1, state="COMPLETE"))
    assert again.end("FINISHED") == ""
    assert sorted(runs(client, again)) == [0, 1, 2]


def test_what_is_missing_is_reported_in_one_line(store, monkeypatch):
    tracking = Tracking(store, None, "all fail", SWEEP)
    tracking.wait()
    monkeypatch.setattr(tracking._trial_runs, "_write_new", lambda one: 1 / 0)
    monkeypatch.setattr(tracking._client, "set_terminated", lambda *_: None)
    for number in range(9):
        tracking.update(trial(number))
    message = tracking.end("FINISHED", patience_s=0)
    assert (
        message
        == "trial 0, trial 1, trial 2, trial 3, trial 4, trial 5 and 3 more (division by zero)"
    )


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("AP/a//b", "AP/a/_x2f_b"),
        ("AP/..", "AP/_x2e__x2e_"),
        ("AP/.", "AP/_x2e_"),
        ("/a", "_x2f_a"),
        ("AP/a/", "AP/a_x2f_"),
        ("AP/a/../b", "AP/a/_x2e__x2e_/b"),
        ("mAP@.5:.95 (x)", "mAP_x40_.5:.95 _x28_x_x29_"),
        ("..", "_x2e__x2e_"),
        ("AP/v1.2", "AP/v1.2"),
        ("AP/可_口", "AP/可_口"),
        ("AP/$1 <b>&'", "AP/_x24_1 _x3c_b_x3e__x26__x27_"),
        ("AP/" + "x" * 300, "AP/" + "x" * 237),
    ],
)
def test_names_of_users_become_names_that_mlflow_takes(name, safe):
    assert safe_name(name) == safe


@given(st.text(st.sampled_from("ab_x2e5f/.:%$ 可'"), min_size=1, max_size=30))
def test_mlflow_takes_every_name_that_it_is_given(name):
    _validate_metric_name(safe_name(name))
    assert posixpath.normpath(safe_name(name)) == safe_name(name)
    _validate_model_name(registered_name(f"syndet_ray-{name}"))


def test_every_class_has_its_metric_in_mlflow(store):
    tracking, client = Tracking(store, None, "classes", SWEEP), MlflowClient(store)
    metrics = {
        "AP/a//b": 0.1,
        "AP/..": 0.2,
        "AP/a/_x2f_b": 0.3,
        "AP/ö + x": 0.4,
        "AP/" + "y" * 300: 0.5,
    }
    named = replace(
        trial(0, state="COMPLETE"),
        rungs=(Rung(25, metrics | {OBJECTIVE: 0.5}),),
        effective={"a//b": 1},
    )
    tracking.update(named)
    assert tracking.end("FINISHED", patience_s=0) == ""
    run = runs(client, tracking)[0]
    written = run.data.metrics
    assert [
        written[key] for key in ("AP/a/_x2f_b", "AP/_x2e__x2e_", "AP/a/_x5f_x2f_b", "AP/ö _x2b_ x")
    ] == [
        0.1,
        0.2,
        0.3,
        0.4,
    ]
    assert sorted(written.values()) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    assert run.data.tags["effective.a/_x2f_b"] == "1"
    cut = "y" * 240
    assert safe_names({cut: 1, cut + "a": 2, cut + "b": 3}) == {
        cut: 1,
        f"{cut}_2": 2,
        f"{cut}_3": 3,
    }


def test_a_sweep_with_dots_in_its_name_can_register_its_champion():
    assert registered_name("syndet_ray-dice.v2: a/b") == "syndet_ray-dice_x2e_v2_x3a_ a_x2f_b"


def test_a_deleted_experiment_is_restored_and_said_to_be(store):
    notes, client = [], MlflowClient(store)
    first = Tracking(store, None, "deleted", SWEEP)
    first.end("FINISHED")
    experiment = client.get_run(first.parent).info.experiment_id
    client.delete_experiment(experiment)
    second = Tracking(store, None, "deleted", SWEEP, note=notes.append)
    second.update(trial(0, 0.1, state="COMPLETE"))
    assert second.end("FINISHED") == ""
    assert client.get_run(second.parent).info.experiment_id == experiment
    assert notes == [
        "MLflow's experiment syndet_ray/deleted had been deleted: it is restored, with its runs"
    ]


def test_a_check_says_what_a_store_has_of_a_sweep(store, tmp_path):
    new = sqlite_address(tmp_path / "mlflow.db")
    assert experiment_words(new, "looked-at") == "a new store, which the sweep makes"
    assert list(tmp_path.iterdir()) == []
    assert experiment_words(store, "looked-at") == "has no run of this sweep yet"
    tracking = Tracking(store, None, "looked-at", SWEEP)
    tracking.update(trial(0, 0.1, state="COMPLETE"))
    tracking.end("FINISHED")
    assert experiment_words(store, "looked-at") == "has 1 run of this sweep"
    client = MlflowClient(store)
    experiment = client.get_run(tracking.parent).info.experiment_id
    client.rename_experiment(experiment, "my dice")
    assert experiment_words(store, "looked-at") == (
        "has no run of this sweep yet; the experiment my dice has some: "
        "the sweep makes a new experiment"
    )
    client.rename_experiment(experiment, "syndet_ray/looked-at")
    client.delete_experiment(experiment)
    assert experiment_words(store, "looked-at") == (
        "the experiment syndet_ray/looked-at is deleted: the sweep restores it, with its runs"
    )


def test_a_run_whose_tags_were_edited_in_the_ui_goes_on(store):
    client, tracking = MlflowClient(store), Tracking(store, None, "edited", SWEEP)
    tracking.update(trial(0, 0.1))
    tracking.end("KILLED")
    edited = runs(client, tracking)[0].info.run_id
    client.set_tag(edited, "trial", "seven")
    again = Tracking(store, None, "edited", SWEEP, tracking.parent)
    again.update(trial(0, 0.1, 0.2, state="COMPLETE"))
    assert again.end("FINISHED") == ""
    client.set_tag(edited, "trial", "-1")  # `runs` below reads numbers
    assert history(client, runs(client, again)[0]) == [(25, 0.1), (50, 0.2)]


def test_files_of_a_copied_folder_of_runs_would_go_to_the_old_one(tmp_path, empty_store, read_only):
    """MLflow keeps the place of an experiment's files in its store, as an absolute path."""
    shutil.copy(empty_store, tmp_path)
    copy = sqlite_address(tmp_path / "mlflow.db")
    check_artifact_place(copy, "copied")
    Tracking(copy, tmp_path / "artifacts", "copied", SWEEP).end("FINISHED")
    check_artifact_place(copy, "copied")
    Tracking(copy, read_only / "artifacts", "elsewhere", SWEEP).end("FINISHED")
    rule = "cannot be written .Permission denied.. MLflow's experiment syndet_ray/elsewhere has"
    with pytest.raises(MachineError, match=rule):
        check_artifact_place(copy, "elsewhere")


def test_a_run_goes_on_whatever_was_deleted_or_renamed_of_it(store):
    client, tracking = MlflowClient(store), Tracking(store, None, "tidied", SWEEP)
    tracking.update(trial(0, 0.1))
    tracking.end("KILLED")
    experiment = client.get_run(tracking.parent).info.experiment_id
    client.rename_experiment(experiment, "mine")
    client.delete_run(tracking.parent)
    client.delete_experiment(experiment)
    again = Tracking(store, None, "tidied", SWEEP, tracking.parent)
    again.update(trial(0, 0.1, 0.2, state="COMPLETE"))
    assert again.end("FINISHED") == ""
    assert again.parent == tracking.parent
    assert history(client, runs(client, again)[0]) == [(25, 0.1), (50, 0.2)]
    names = {found.name for found in client.search_experiments(ViewType.ALL)}
    assert "mine" in names and "syndet_ray/tidied" not in names


NOTES = {
    "trial": "store ",  # could not be written: a new run is made when that is tried again
    "sweep": None,
    "experiment": "experiment syndet_ray/deleted-meanwhile-experiment had been deleted",
}


@pytest.mark.parametrize("deleted", NOTES)
def test_what_is_deleted_while_a_search_runs_is_restored_or_begun_again(store, deleted):
    notes, client = [], MlflowClient(store)
    name = f"deleted-meanwhile-{deleted}"
    tracking = Tracking(store, None, name, SWEEP, note=notes.append)
    tracking.update(trial(0, 0.1))
    tracking.wait()
    first = runs(client, tracking)[0]
    experiment = client.get_run(tracking.parent).info.experiment_id
    if deleted == "experiment":
        client.delete_experiment(experiment)
    else:
        client.delete_run(first.info.run_id if deleted == "trial" else tracking.parent)
    tracking.update(trial(0, 0.1, 0.2, state="COMPLETE"))
    assert tracking.end("FINISHED") == ""
    written = runs(client, tracking)
    assert list(written) == [0]
    assert history(client, written[0]) == [(25, 0.1), (50, 0.2)]
    parent = client.get_run(tracking.parent)
    assert (parent.info.lifecycle_stage, parent.info.status) == ("active", "FINISHED")
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    if NOTES[deleted] is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"MLflow's {NOTES[deleted]}")


@pytest.mark.parametrize("step", ["create_run", "log_batch"])
def test_a_run_that_is_stopped_while_it_begins_here_is_found_by_resume(store, monkeypatch, step):
    client, name, begun = MlflowClient(store), f"stopped in {step}", ("it's-1", 1764169107.1234567)
    other = Tracking(store, None, name, SWEEP, begun=("it's-1", 1764169107.5))
    with monkeypatch.context() as stopped:
        stopped.setattr(MlflowClient, step, interrupted(getattr(MlflowClient, step)))
        with pytest.raises(KeyboardInterrupt):
            Tracking(store, None, name, SWEEP, begun=begun)
    experiment = client.get_run(other.parent).info.experiment_id
    (left,) = [run for run in client.search_runs([experiment]) if run.info.run_id != other.parent]
    assert left.info.status == "KILLED", "nobody may ever resume it"
    again = Tracking(store, None, name, SWEEP, begun=begun)
    assert again.parent == left.info.run_id
    assert client.get_run(again.parent).info.status == "RUNNING"
    assert again.end("FINISHED") == other.end("FINISHED") == ""
    parents = client.search_runs([experiment])
    assert [run.info.status for run in parents] == ["FINISHED"] * 2
    assert parents[0].data.params == parents[1].data.params
    assert parents[0].data.params["trials"] == str(SWEEP.trials)


def interrupted(call):
    """The call, which Ctrl-C interrupts when what it asks for has been done."""

    def made(*arguments, **named):
        call(*arguments, **named)
        raise KeyboardInterrupt

    return made


def test_a_stop_while_a_run_begins_does_not_wait_for_a_server_that_hangs(store, monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr("syndet_ray.tracking.mlflow._LEAVING_S", 0.0)
    monkeypatch.setattr(MlflowClient, "log_batch", interrupted(MlflowClient.log_batch))
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_: hangs.wait())
    with pytest.raises(KeyboardInterrupt):
        Tracking(store, None, "hangs", SWEEP)
    hangs.set()


def test_an_experiment_that_another_sweep_made_meanwhile_is_shared(store, monkeypatch):
    by_name, names = MlflowClient.get_experiment_by_name, []

    def late(client, name):
        """What another sweep that begins at the same moment makes is not there yet when it is first
        looked for.
        """
        names.append(name)
        return by_name(client, name) if len(names) > 1 else None

    client = MlflowClient(store)
    experiment = client.create_experiment("syndet_ray/at once")
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", late)
    tracking = Tracking(store, None, "at once", SWEEP)
    assert tracking.end("FINISHED") == ""
    assert client.get_run(tracking.parent).info.experiment_id == experiment


def test_a_store_that_cannot_be_written_is_reported_without_its_password():
    with pytest.raises(
        MachineError,
        match=r"tracking server http://user:\*\*\*@127\.0\.0\.1:9: does not answer \(ConnectionError\)",
    ):
        Tracking("http://user:secret@127.0.0.1:9", None, "x", SWEEP)


class _Door(BaseHTTPRequestHandler):
    """A server that lets in who has the token or the name and password."""

    admissions = 0
    keys = ("Bearer a-token", "Basic " + base64.b64encode(b"user:p@ss").decode())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        is_known = self.headers.get("Authorization") in self.keys
        type(self).admissions += is_known
        body = json.dumps({"experiments": []}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header(
            "Content-Type", "application/json" if "html" not in self.path else "text/html"
        )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_): ...


@pytest.fixture(scope="module")
def door():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("settings", "login"),
    [
        ({"TOKEN": "a-token"}, ""),
        ({"USERNAME": "user", "PASSWORD": "p@ss"}, ""),
        ({}, "user:p%40ss@"),
    ],
)
def test_a_server_behind_a_log_in_is_asked_as_mlflow_asks_it(door, monkeypatch, settings, login):
    for name, value in settings.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    monkeypatch.setattr(_Door, "admissions", 0)
    check_server(f"http://{login}{door}")
    assert _Door.admissions == 1


@pytest.mark.parametrize("login", ["", "user:wrong@"])
def test_a_server_that_refuses_a_log_in_is_reported_with_what_to_set(door, login):
    with pytest.raises(MachineError) as error:
        check_server(f"http://{login}{door}")
    message = str(error.value)
    assert "rejects this login, got 'HTTP 401'. Set MLFLOW_TRACKING_TOKEN" in message
    assert "wrong" not in message.removesuffix("and password: a run does not keep them.")


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ("http://host:5000/#/experiments/0", "http://host:5000"),
        ("http://host:5000/?searchFilter=#/experiments/3/runs?o=1", "http://host:5000"),
        ("https://me:p@host/mlflow/#/models", "https://me:p@host/mlflow"),
        ("http://host:5000", "http://host:5000"),
        ("http://bob:geh#e?m@host/x/#/models", "http://bob:geh#e?m@host/x"),
        ("http://host:5000/#/experiments/0?q=a@b", "http://host:5000"),
        ("http://[::1", "http://[::1"),
        ("sqlite:////runs/a?b#c.db", "sqlite:////runs/a?b#c.db"),
    ],
)
def test_the_address_of_a_page_in_a_browser_is_that_of_its_server(page, address):
    assert server_address(page) == address


def test_a_server_on_this_machine_is_asked_past_the_proxy(door, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "intranet.example")
    monkeypatch.delenv("NO_PROXY", raising=False)
    check_server(f"http://user:p%40ss@{door}")
    assert requests.utils.get_environ_proxies(f"http://{door}") == {}
    assert requests.utils.get_environ_proxies("http://intranet.example") == {}


@pytest.mark.parametrize(
    ("lower", "upper", "merged"),
    [
        (None, "storage.corp, 10.0.0.0/8", "storage.corp,10.0.0.0/8,127.0.0.1"),
        ("a.corp", "b.corp", "a.corp,127.0.0.1"),  # programs that read both prefer the lower case
        ("127.0.0.1", None, "127.0.0.1"),
        (None, None, "127.0.0.1"),
        ("*", None, "*"),
        (None, "*", "*"),
    ],
)
def test_hosts_that_are_asked_past_the_proxy_stay_so(lower, upper, merged, monkeypatch):
    for name, value in {"no_proxy": lower, "NO_PROXY": upper}.items():
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    bypass_proxy("http://127.0.0.1:5000")
    now = [os.environ[name] for name in ("no_proxy", "NO_PROXY") if name in os.environ]
    assert set(now) == {merged}


def test_a_server_that_rejects_us_is_not_away(door):
    assert is_away("http://127.0.0.1:9")
    assert not is_away(f"http://user:p%40ss@{door}")
    assert not is_away(f"http://user:wrong@{door}")
    with pytest.raises(MachineError, match="rejects this login"):
        Tracking(f"http://user:wrong@{door}", None, "x", SWEEP, may_begin_later=True)


def test_a_proxy_in_the_way_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(MachineError) as refusal:
        check_server("http://mlflow.invalid:5000")
    assert str(refusal.value).startswith(
        "tracking server http://mlflow.invalid:5000: does not answer (ProxyError). "
        "The request goes through the proxy http://me:***@127.0.0.1:9. If the server is reached "
        "without it, add mlflow.invalid to NO_PROXY. Otherwise start the server, "
    )


def test_a_page_to_log_in_on_is_no_tracking_server(door, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    with pytest.raises(MachineError, match=r"does not answer as MLflow does, got 'text/html'"):
        check_server(f"http://{door}/html")


def own_certificate(folder):
    """A certificate for 127.0.0.1 that no authority has signed, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    day, now = timedelta(days=1), datetime.now(UTC)
    of_address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    unsigned = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - day, now + day
    ).add_extension(of_address, True)
    signed = unsigned.sign(key, hashes.SHA256())
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, *plain))
    return path


def test_a_server_with_a_certificate_of_its_own_is_asked_with_mlflows_settings(
    tmp_path, monkeypatch
):
    certificate = own_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # of a client that does not trust us
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"https://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    try:
        with pytest.raises(
            MachineError,
            match=r"does not answer \(SSLError\)\. Name the authority's file in MLFLOW_TR",
        ):
            check_server(address)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        check_server(address)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:5000/a", "http://user:***@host:5000/a"),
        ("postgresql://u:p@ss@db/mlflow", "postgresql://u:***@db/mlflow"),
        ("sweep x --tracking 'https://u:$ecret@h'", "sweep x --tracking 'https://u:***@h'"),
        ("mysql://db/x?user=me&password=secret", "mysql://db/x?user=me&password=***"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_no_password_is_shown(text, shown):
    assert mask(text) == shown


def test_a_run_goes_on_with_the_password_that_mlflow_has():
    assert kept_address("http://user:***@host:5000/a") == "http://host:5000/a"
    assert kept_address("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"
    with pytest.raises(
        MachineError,
        match=r"postgresql://u:\*\*\*@db/x: is kept without its password\. Give the whole",
    ):
        kept_address("postgresql://u:***@db/x")


def test_a_run_keeps_no_password(tmp_path):
    address = "http://user:secret@host:5000"
    command = ["syndet_ray", "sweep", "x", "--tracking", address]
    options = Options(runs=tmp_path, tracking=address)
    data = SimpleNamespace(
        describe=dict, stand_in=True, pools={"train": SimpleNamespace(classes=())}
    )
    about = json.dumps(description(Origin(name="x", command=command), SWEEP, options, data))
    assert about.count("http://user:***@host:5000") == 2, "among the options and in the command"
    assert "secret" not in about
    kept = json.loads(about)["options"]
    assert saved_options(kept).tracking == "http://host:5000", (
        "and MLflow's own settings have the password"
    )
    assert saved_options(kept | {"tracking": address}).tracking == address


def test_the_view_has_a_column_for_everything_that_varies_and_an_axis_where_all_trials_have_it():
    sources = {
        "a": Scenes(changes={"scene.objects": 10}),
        "b": Scenes(changes={"scene.objects": 70}),
    }
    space = SearchSpace(
        {
            "mix.shares": Simplex(sources=("real", "a", "b")),
            "mix.schedule": Choice(values=("mixed", "staged")),
            "mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "staged"}),
        }
    )
    recipe = Recipe(mix=Mix(sources=sources), training=Training(images=100))
    sweep = LoadedSweep(
        question="?", recipe=recipe, space=(space,), variants={"blurred": {"scene.blur": 0.1}}
    )
    axes = ["mix.synthetic", "mix.parts.a", "mix.parts.b", "mix.schedule"]
    assert view.settings(sweep) == [*axes, "mix.switch_at", "scene.blur"]
    state = json.loads(view.view(sweep, "parent"))
    assert state["selectedColumns"][:2] == ["metrics.`val/mAP`", "params.`mix.synthetic`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/mAP`", False)
    assert state["isAccordionReordered"], "else MLflow's own sections come before ours"
    coordinates, curves = state["compareRunCharts"]
    assert (coordinates["selectedParams"], coordinates["selectedMetrics"]) == (axes, [OBJECTIVE])
    assert curves["metricKey"] == OBJECTIVE


def run_of(tracked, path, **options):
    """The folder of a run that is tracked there."""
    about = {"name": "x", "started": 1.0, "options": {"tracking": None} | options}
    return RunFolder.create(
        path, SWEEP, about | ({} if tracked is None else {"mlflow_run": tracked.parent})
    )


def test_the_trials_of_a_run_have_their_address_on_a_server(served, tmp_path, monkeypatch, capsys):
    tracking = Tracking(served.address, None, "shown", SWEEP)
    assert tracking.end("FINISHED") == ""
    folder = run_of(tracking, tmp_path / "runs" / "shown", tracking=served.address)
    for choice in ([str(folder.path)], ["--runs", str(folder.path.parent)]):
        monkeypatch.setattr("sys.argv", ["syndet_ray", "ui", *choice])
        with pytest.raises(SystemExit) as done:
            cli.run()
        assert not done.value.code
        trials, charts = capsys.readouterr().out.splitlines()
        assert trials == f"trials   {tracking.link}"
        assert charts == f"charts   {tracking.link}&compareRunsMode=CHART"
    assert f"viewStateShareKey={tracking.parent}" in tracking.link


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def seen(address, last, profile):
    """What a browser shows at an address of MLflow's UI, as HTML; looked at again where the last of
    it is not there yet.
    """
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        f"--user-data-dir={profile}",
        "--window-size=1600,1200",
        "--virtual-time-budget=20000",
    ]
    # charts wait until they are in view
    command += ["--run-all-compositor-stages-before-draw", "--dump-dom", address]
    for _ in range(3):
        html = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120
        ).stdout
        if last in html:
            break
    return html


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")
def test_a_browser_sees_the_trials_of_one_sweep_best_first_and_with_what_was_varied(
    served, tmp_path
):
    other, tracking = (Tracking(served.address, None, "seen", SWEEP) for _ in range(2))
    other.update(trial(7, 0.99))
    shares = (0.125, 0.25, 0.625)
    for number, (value, share) in enumerate(zip((0.2, 0.4, 0.3), shares, strict=True)):
        recipe = SWEEP.recipe.replace({"mix.synthetic": share})
        learnt = trial(number, value / 2, value, state="COMPLETE")
        rungs = tuple(
            Rung(rung.images, rung.metrics | {"busy/share": 0.5}) for rung in learnt.rungs
        )
        tracking.update(replace(learnt, recipe=recipe, rungs=rungs))
    assert other.end("FINISHED") == tracking.end("FINISHED") == ""
    table = seen(tracking.link, "because", tmp_path / "profile")
    assert re.findall(r">(trial-\d{3})<", table) == ["trial-001", "trial-002", "trial-000"]
    for words in (
        "val/mAP",
        "mix.synthetic",
        "kind",
        "state",
        "reason",
        "0.125",
        "0.25",
        "0.625",
        "COMPLETE",
        "because",
    ):
        assert f">{words}<" in table, words
    charts = seen(
        f"{tracking.link}&compareRunsMode=CHART", "Parallel Coordinates", tmp_path / "profile"
    )
    assert charts.index(">Parallel Coordinates<") < charts.index(">busy"), (
        "first of all sections, by any name"
    )
    axes = re.findall(r"<text[^>]*>(mix.synthetic|val/mAP)</text>", charts)
    assert sorted(set(axes)) == ["mix.synthetic", "val/mAP"]


def test_a_run_without_its_view_is_still_found_and_sorted(store, tmp_path):
    tracking = Tracking(store, None, "no view", SWEEP)
    tracking.wait()
    experiment = tracking._client.get_run(tracking.parent).info.experiment_id
    tracking._client.delete_experiment_tag(experiment, view.VIEW_TAG + tracking.parent)
    links = ui.addresses(store, "http://127.0.0.1:5000", run_of(tracking, tmp_path / "runs" / "x"))
    shown = parse_qs(links["trials"].partition("?")[2])
    assert shown["searchFilter"] == [f"tags.`mlflow.parentRunId` = '{tracking.parent}'"]
    assert (shown["orderByKey"], shown["orderByAsc"]) == (["metrics.`val/mAP`"], ["false"])
    assert shown["workflowType"] == ["machine_learning"]


def test_a_run_whose_runs_are_deleted_in_mlflow_is_not_shown(store, tmp_path):
    tracking = Tracking(store, None, "removed", SWEEP)
    tracking.end("FINISHED")
    folder = run_of(tracking, tmp_path / "runs" / "removed")
    assert "trials" in ui.addresses(store, "http://host", folder)
    MlflowClient(store).delete_run(tracking.parent)
    with pytest.raises(MachineError, match=r"its runs there are deleted\. This restores them: "):
        ui.addresses(store, "http://host", folder)


def test_a_server_that_is_away_leaves_the_report_of_a_run(tmp_path):
    folder = RunFolder(tmp_path)
    rule = r"does not answer \(ConnectionError\)"
    with pytest.raises(MachineError, match=f"{rule}. Start it, correct"):
        ui.check_kept_server("http://127.0.0.1:9", folder)
    folder.report.write_text("")
    with pytest.raises(MachineError, match=f"{rule}. The run was recorded there. .*report.html"):
        ui.check_kept_server("http://127.0.0.1:9", folder)


def test_a_run_that_the_store_has_not_is_reported_with_what_to_do(store, tmp_path):
    tracking = Tracking(store, None, "elsewhere", SWEEP)
    tracking._run.id = "0" * 32
    folder = run_of(tracking, tmp_path / "runs" / "x")
    with pytest.raises(
        MachineError,
        match=rf"has nothing of {folder.path}\. Name another with `tracking`, or have it",
    ):
        ui.addresses(store, "http://127.0.0.1:5000", folder)
    with pytest.raises(DataError, match="is not in MLflow yet"):
        ui.addresses(store, "http://127.0.0.1:5000", run_of(None, tmp_path / "runs" / "y"))


def test_the_newest_run_is_shown(tmp_path):
    assert newest_run(tmp_path) is None
    for name, started in (("b", 1.0), ("a", 3.0), ("c", 2.0)):
        RunFolder.create(tmp_path / name, SWEEP, {"started": started})
    assert newest_run(tmp_path).path.name == "a"


def test_a_port_that_is_in_use_is_reported(door, store, tmp_path):
    port = int(door.partition(":")[2])
    with (
        pytest.raises(MachineError, match=rf"port {port}: is in use"),
        ui.server(store, tmp_path, port, print),
    ):
        pass


def test_the_output_of_a_server_that_ends_before_it_answers_is_reported():
    lines = []
    command = [
        sys.executable,
        "-c",
        "print('a warning'); print('no such store'); raise SystemExit(3)",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        output = ui._Output(process, lines.append)
        with pytest.raises(
            MachineError, match=r"ended before it answered; its output above says why, got 3"
        ):
            ui._wait_until_it_answers(process, "http://127.0.0.1:9", output)
    assert lines == ["a warning\n", "no such store\n"]


def test_of_what_a_server_says_only_what_comes_between_its_answer_and_its_end_is_passed_on():
    lines, ready = [], threading.Event()

    def said():
        yield b"a warning\n"
        ready.wait()
        output.pass_on()
        yield b"a request failed\n"
        output.drop()
        yield b"KeyboardInterrupt\n"

    output = ui._Output(SimpleNamespace(stdout=said()), lines.append)
    ready.set()
    output._reader.join()
    assert lines == ["a request failed\n"]


def test_a_link_shows_no_password():
    links = view.links("http://user:secret@host/mlflow/", "3", "p", has_view=True)
    assert (
        links["trials"]
        == "http://host/mlflow/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=p"
    )
    assert links["charts"] == links["trials"] + "&compareRunsMode=CHART"


@pytest.mark.parametrize("uri", ["foo", "./mlruns", "ftp://host"])
def test_an_address_that_is_neither_of_a_server_nor_of_a_database_is_refused(uri):
    with pytest.raises(
        MachineError,
        match=rf"^tracking {uri}: must be the address of a server .* Correct `tracking`",
    ):
        check_server(uri)


def test_databases_are_left_to_mlflow(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("syndet_ray.tracking.server._answer", lambda uri, _: asked.append(uri))
    check_server(f"sqlite:///{tmp_path}/mlflow.db")
    check_server("postgresql+psycopg2://user@host/runs")
    assert asked == []
    assert list(tmp_path.iterdir()) == [], "not even opened"


def test_no_recipe_that_was_trained_once_has_a_probability_to_be_the_best():
    """Runs of an earlier version have kept one all the same, and are handed to MLflow when they are
    resumed.
    """
    best = winner(made_run().trials())
    once = made_scores({"best": (0.31, 0.27, 0.35), "real_only": (0.25, 0.21, 0.29)})
    rows = tuple(replace(row, p_best=0.5) for row in once.rows)
    names = {"test/p_best", "test/p_best/real_only"}
    assert not names & summary_metrics(best, replace(once, rows=rows)).keys()
    seeds = tuple(replace(row, seeds=(0.3, 0.32)) for row in rows)
    metrics = summary_metrics(best, replace(once, rows=seeds))
    assert {name: metrics[name] for name in names} == dict.fromkeys(names, 0.5)
