"""A sweep from its file to its report, through the command line, with a real Ray and a real MLflow."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mlflow
import psutil
import pytest
import requests
from conftest import write_generator_of_two, write_tiny_sweep
from made_photos import write_photos
from mlflow import MlflowClient
from test_cluster import Quiet

from syndet_ray.cli.error_line import error_line
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DataError, MachineError
from syndet_ray.report.answer import answer
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.names import recipe_words
from syndet_ray.runs.results import Trial
from syndet_ray.tuning.checkpoints import needed_trials
from syndet_ray.tuning.options import Options
from syndet_ray.tuning.run import check
from syndet_ray.workers.nodes import own_files

ROOT = Path(__file__).parents[1]
IMAGES, RUNGS = 32, 4  # of a trial


class Finished(NamedTuple):
    """A sweep that has ended.

    begun    what it printed until it was stopped
    stopped  its trials when it was stopped, and `killed` when it was killed
    done     the process that finished it
    """

    home: Path
    begun: str
    stopped: list[Trial]
    killed: list[Trial]
    done: subprocess.CompletedProcess[str]


def environment():
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": paths, "COLUMNS": "100"}


def syndet(*arguments, **given):
    """Runs the command line; returns the finished process."""
    command = [sys.executable, "-m", "syndet_ray", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=400,
        check=False,
        **given,
    )


def only_run(runs="runs"):
    (path,) = [path for path in Path(runs).iterdir() if (path / "sweep.json").exists()]
    return RunFolder.open(path)


def mlflow_runs(folder):
    client = MlflowClient(folder.about["mlflow_uri"])
    parent = client.get_run(folder.about["mlflow_run"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    return client, parent, children


@pytest.fixture(scope="module")
def finished(tmp_path_factory, dice):
    """One sweep on the small dice pictures, run once for all tests that look at what it left
    behind. On its way it is stopped by Ctrl-C and killed, and resumed after each.

    SIGTERM takes the way of Ctrl-C, see test_stop.
    """
    home = tmp_path_factory.mktemp("finished")
    generators = ("raycast", write_generator_of_two(home))
    space = f'SearchSpace({{"scene.generator": Choice(values={generators})}})'
    write_tiny_sweep(home, images=IMAGES, rungs=RUNGS, space=space)
    sweep = ["sweep", "tiny", "--real", dice, "--seed", "1", "--hours", "1", "--parallel", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        output, stopped = stop(signal.SIGINT, *sweep)
        folder = only_run()
        _, killed = stop(signal.SIGKILL, "resume", folder.path)
        done = syndet("resume", folder.path)
    return Finished(home=home, begun=output, stopped=stopped, killed=killed, done=done)


def test_a_sweep_ends_with_its_table_and_its_answer(finished):
    done = finished.done
    assert done.returncode == 0, done.stderr
    begun = " ".join(finished.begun.split())
    assert "measuring a few steps" in begun
    assert "test: only 4 photos: so few cannot tell recipes apart" in begun
    said = " ".join(done.stdout.split())
    assert (
        "On the test set (4 real photos, opened once; from one training of each recipe, too few images for"
        in said
    )
    for words in (
        "best",
        "real only",
        "synthetic only",
        "mAP",
        "report.html",
        f"trial 1 COMPLETE: all {IMAGES} images seen",
    ):
        assert words in done.stdout
    table = done.stdout[done.stdout.index("On the test set") :].split("\n\n")[0]
    assert "[" not in table, "no interval"
    assert (
        "No answer: the test set has too few photos to compare recipes; at least 10 are needed."
        in said
    )
    assert max(map(len, table.splitlines())) <= 100
    assert "Traceback" not in done.stderr


def test_a_trial_that_fails_keeps_its_reason_and_the_sweep_goes_on(finished):
    trials = only_run(finished.home / "runs").trials()
    assert [trial.kind for trial in trials[:2]] == ["real_only", "synthetic_only"]
    for trial in trials:
        if trial.recipe.scene.generator == "raycast":
            assert trial.state == ("COMPLETE" if trial.images == IMAGES else "PRUNED")
        else:
            assert trial.state == "FAILED"
            assert "draws_two.py: must write a dataset into" in trial.reason
    assert {trial.state for trial in trials} >= {"COMPLETE", "FAILED"}, "seed 1 proposes both"


def test_every_trial_has_the_effective_settings(finished):
    for trial in only_run(finished.home / "runs").trials():
        if trial.state == "COMPLETE":
            assert trial.effective["training.batch_size"] == 4
            assert trial.effective["device"] == "cpu"
            drawn = json.loads(json.dumps(trial.effective))
            asked = trial.recipe.mix.synthetic * trial.images
            assert (
                abs(drawn["drawn/synthetic"] - asked) < 1
                if "drawn/synthetic" in drawn
                else asked < 1
            )


def test_only_checkpoints_that_may_be_needed_are_left(finished):
    folder = only_run(finished.home / "runs")
    left = {str(path) for path in folder.checkpoints.glob("trial-*/checkpoint_*")}
    wanted = needed_trials(folder.trials(), folder.sweep)
    assert left == {trial.checkpoint for trial in folder.trials() if trial.number in wanted}
    assert len(left) < len(folder.trials())


def test_the_test_set_is_opened_once_for_best_and_controls(finished):
    folder = only_run(finished.home / "runs")
    test = folder.test()
    assert [row.key for row in test.rows] == ["best", "real_only", "synthetic_only"]
    assert test.hash == folder.about["real"]["hashes"]["test"]
    assert not test.stand_in
    assert {"mAP", "AP50", "AP75", "mAR"} <= set(test.rows[0].metrics)
    assert not any(row.intervals or row.differences for row in test.rows), (
        "four photos do not tell how sure they are"
    )
    assert test.visibility.kind == "estimated", "the pictures tell of no visibility"
    assert all(
        f"error/{kind}" in row.metrics for row in test.rows for kind in ("missed", "background")
    )
    assert all(len(folder.draws(model)["mAP"]) == 1000 for row in test.rows for model in row.models)
    assert test.opened > max(trial.ended for trial in folder.trials())


def test_mlflow_holds_the_sweep_its_trials_and_the_champion(finished):
    folder = only_run(finished.home / "runs")
    client, parent, children = mlflow_runs(folder)
    assert parent.info.status == "FINISHED"
    assert len(children) == len(folder.trials())
    states = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
    by_number = {int(run.data.tags["trial"]): run for run in children}
    for trial in folder.trials():
        assert by_number[trial.number].info.status == states[trial.state]
        assert by_number[trial.number].data.tags["reason"] == trial.reason
    best = folder.test().row("best")
    assert parent.data.metrics["test/mAP"] == pytest.approx(best.metrics["mAP"])
    assert {
        "test/mAP/real_only",
        "test/mAP/synthetic_only",
        "best/val/mAP",
    } <= parent.data.metrics.keys()
    assert (
        not {"test/mAP_low", "test/mAP_high", "test/mAP_above_real_only"}
        & parent.data.metrics.keys()
    )
    known = {
        f"test/{name.replace('@', '_')}"
        for name, value in best.metrics.items()
        if math.isfinite(value)
    }
    assert known <= parent.data.metrics.keys()
    artifacts = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "figures", "sweep.json", "test.json"} <= artifacts
    kinds = {
        Path(item.path).suffix for item in client.list_artifacts(parent.info.run_id, "figures")
    }
    assert kinds == {".png", ".csv", ".parquet"}


def test_mlflow_says_what_was_asked_and_what_came_of_it(finished):
    folder = only_run(finished.home / "runs")
    _, parent, children = mlflow_runs(folder)
    tags = parent.data.tags
    assert tags["mlflow.note.content"] == f"{folder.sweep.question}\n\n{answer(folder.read())}"
    assert tags["question"] == folder.sweep.question
    assert tags["test_set"].startswith("real photos: 4 images, ")
    best = next(
        trial for trial in folder.trials() if trial.number == folder.test().row("best").trial
    )
    assert tags["best_recipe"] == recipe_words(best)
    assert all({"kind", "state", "reason"} <= run.data.tags.keys() for run in children)


def test_the_champion_can_be_had_back_and_predicts(finished, tmp_path, squares):
    import torch

    from syndet_ray.detection.models import load_model
    from syndet_ray.detection.predict import predict

    folder = only_run(finished.home / "runs")
    mlflow.set_tracking_uri(folder.about["mlflow_uri"])
    path = mlflow.artifacts.download_artifacts(
        "models:/syndet_ray-tiny@champion", dst_path=str(tmp_path)
    )
    saved = load_model(Path(path))
    assert saved.classes == ("one", "two", "three", "four", "five", "six")
    assert len(predict(saved.model, squares(2), device=torch.device("cpu"))) == 2


def test_the_report_is_one_page_with_everything_in_it(finished):
    folder = only_run(finished.home / "runs")
    page = folder.report.read_text()
    for words in (
        "Does it run?",
        "real only",
        "synthetic only",
        "draws_two.py: must write a dataset",
        "data:image/png;base64",
        "opened once",
    ):
        assert words in page
    # The library that draws charts names addresses, and asks none.
    ours = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?://", ours)
    figures = {path.name for path in folder.figures.iterdir()}
    assert {
        "learning_curves.png",
        "test_scores.png",
        "test_scores.csv",
        "sheet_training.png",
        "best_predictions.png",
        "error_kinds.png",
        "error_kinds.parquet",
    } <= figures
    before = folder.report.read_bytes()
    folder.report.unlink()
    done = syndet("report", folder.path)
    assert (done.returncode, done.stdout) == (0, f"report   {folder.report}\n")
    assert len(folder.report.read_bytes()) == pytest.approx(len(before), rel=0.05)


def test_a_sweep_of_which_every_trial_fails_says_why(home, dice, syndet_here, empty_store):
    home(trials=1)
    Path("runs").mkdir()
    shutil.copy(empty_store, "runs")
    generator = write_generator_of_two(Path.cwd())
    text = (
        Path("sweeps/tiny.py")
        .read_text()
        .replace("size_px=(26, 34)", f'size_px=(26, 34), generator="{generator}"')
    )
    Path("sweeps/tiny.py").write_text(
        text.replace("    trials=1", '    controls=("synthetic_only",), trials=1')
    )
    done = syndet_here("sweep", "tiny", "--real", dice, "--local")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "No answer" in said
    assert "draws_two.py: must write a dataset" in said
    folder = only_run()
    assert "No answer" in folder.report.read_text()
    assert mlflow_runs(folder)[1].info.status == "FAILED"
    assert folder.test() is None, "nothing was good enough to open the test set for"


def wait_for(what, process, seconds=240):
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def checkpoints():
    """How many checkpoints the ledger of the run in this folder knows of."""
    return sum(
        path.read_text().count('"event": "checkpoint"')
        for path in Path("runs").glob("*/ledger.jsonl")
    )


def children_of(pid):
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def stop(sent, *arguments):
    """Sends a signal after the next checkpoint of a sweep; returns its output and trials once all
    that it had started is gone.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "syndet_ray", *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds_interrupts,
    )
    before = checkpoints()
    wait_for(lambda: checkpoints() > before, process)
    started = children_of(process.pid)
    asked_for = len(only_run().trials())
    process.send_signal(sent)
    output, errors = process.communicate(timeout=120)
    folder = only_run()
    if sent != signal.SIGKILL:
        assert process.returncode == 130, errors
        assert (
            f"interrupted; continue with: python -m syndet_ray resume {folder.path}"
            in output.replace("\n", "")
        )
        assert output.count("stopping: trials keep their last checkpoint") == 1
        assert "Traceback" not in errors
        assert folder.about["status"] == "interrupted"
        assert len(folder.trials()) == asked_for, "nothing begins after the signal"
        _, parent, children = mlflow_runs(folder)
        assert parent.info.status == "KILLED"
        assert "RUNNING" not in {run.info.status for run in children}
    wait_until_gone(started, sent)
    return output, folder.trials()


def wait_until_gone(started, sent):
    """Waits until the workers of a stopped sweep have ended, and ends what a killed driver could
    not: Ray's own servers.
    """
    deadline = time.monotonic() + 60
    while alive := [
        pid for pid in started if is_running(pid) and (sent != signal.SIGKILL or is_worker(pid))
    ]:
        assert time.monotonic() < deadline, f"{[title(pid) for pid in alive]} outlived the driver"
        time.sleep(0.2)
    for pid in started:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_sweep_that_is_stopped_and_killed_is_resumed_to_the_same_trials(finished):
    assert "RUNNING" in {trial.state for trial in finished.stopped}, "resume goes on with it"
    folder = only_run(finished.home / "runs")
    trials = folder.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    for trial in trials:
        images = [rung.images for rung in trial.rungs]
        assert images == sorted(set(images)), "no rung twice"
    for earlier in (*finished.stopped, *finished.killed):
        assert trials[earlier.number].rungs[: len(earlier.rungs)] == earlier.rungs
    at_stop, at_kill = (
        sum(len(trial.rungs) for trial in trials) for trials in (finished.stopped, finished.killed)
    )
    assert at_kill > at_stop, "the second process went on"
    _, _, children = mlflow_runs(folder)
    assert len(children) == len(trials), "no second run for a trial"


def title(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def is_worker(pid):
    """One of Ray's processes that run our code; its own servers and agents outlive a killed driver
    for a while.
    """
    return "ray::" in title(pid) and "Agent" not in title(pid)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_resume_refuses_other_data_and_what_is_no_run(finished, tmp_path, dice, syndet_here):
    assert "is not the folder of a run" in syndet_here("resume", dice).stderr
    shutil.copytree(only_run(finished.home / "runs").path, tmp_path / "copy")
    folder = RunFolder.open(tmp_path / "copy")
    real = folder.about["real"] | {"hashes": folder.about["real"]["hashes"] | {"val": "another"}}
    folder.describe(folder.about | {"real": real})
    done = syndet_here("resume", folder.path)
    assert done.returncode == 1
    assert "something has changed since this run began: the images or labels of val" in done.stderr


def test_check_starts_nothing_and_says_what_would_run(home, dice, syndet_here):
    home()
    done = syndet_here("check", "tiny", "--real", dice, "--local")
    assert done.returncode == 0, done.stderr
    for words in (
        "2 trials, 2 controls",
        "mix.synthetic",
        "6 train",
        "3 val",
        "4 test",
        "one, two, three",
        "disk     at most ",
        "ready",
    ):
        assert words in done.stdout
    assert not [path for path in Path("runs").iterdir() if (path / "sweep.json").exists()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tiny", "--real", "nowhere"], "nowhere: does not exist"),
        (["tny"], "Did you mean 'tiny'?"),
        (
            ["tiny", "--tracking", "http://127.0.0.1:9"],
            "tracking server http://127.0.0.1:9: does not answer",
        ),
        (
            ["tiny", "--storage", "bucket/x"],
            "--storage: must be s3://bucket or s3://bucket/prefix, got 'bucket/x'",
        ),
    ],
)
def test_bad_input_is_one_clear_message(home, arguments, said, syndet_here):
    home()
    done = syndet_here("check", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_goes_on_needs_no_tracking_server_that_answers(home, dice):
    sweep = load(str(home()))
    options = Options(runs=Path("runs"), real=dice, tracking="http://127.0.0.1:9")
    with pytest.raises(MachineError, match="does not answer"):
        check(sweep, options, Quiet())
    data = check(sweep, options, Quiet(), is_resumed=True)
    assert data.pools.keys() == {"train", "val", "test"}


def test_a_run_that_was_sent_says_from_where_a_tracking_server_is_looked_for(home, monkeypatch):
    sweep = load(str(home()))
    options = Options(runs=Path("runs"), tracking="http://127.0.0.1:9")
    with pytest.raises(MachineError, match="does not answer") as here:
        check(sweep, options, Quiet())
    assert not hasattr(here.value, "__notes__")
    monkeypatch.setenv(own_files.SENT_FOLDER, str(Path.cwd()))
    with pytest.raises(MachineError, match="does not answer") as there:
        check(sweep, options, Quiet())
    words = "It is looked for from the cluster's head; 127.0.0.1 is the head itself."
    assert error_line(there.value).endswith(words)


def test_an_address_without_a_cluster_is_told_before_photos_are_read(home):
    sweep = load(str(home()))
    options = Options(runs=Path("runs"), real=Path("photos-not-there"), address="127.0.0.1:9")
    with pytest.raises(MachineError, match=r"^Ray cluster 127\.0\.0\.1:9: cannot be reached"):
        check(sweep, options, Quiet())
    with pytest.raises(DataError, match="photos-not-there"):
        check(sweep, replace(options, address=None), Quiet())


def test_the_split_that_a_check_proposes_reads_labels_as_the_check_did(home):
    write_photos(Path("photos"), train=range(4))
    Path("names.yaml").write_text("cat: cat\n", encoding="utf-8")
    asked = SweepOptions(
        runs=Path("runs"),
        real="photos",
        format="coco",
        skip_bad=True,
        classes=Path("names.yaml"),
        local=True,
    )
    command = "split photos --test 0.2 --format coco --skip-bad --classes names.yaml"
    with pytest.raises(DataError, match=f"must have a test split.*{command}"):
        check(load(str(home())), asked.for_run(), Quiet())


def test_photos_on_s3_are_those_of_the_folder_and_are_named_by_their_address(home, dice, s3):
    for path in dice.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), "photos", f"dice/{path.relative_to(dice).as_posix()}")
    sweep = load(str(home()))
    places = {"there": "s3://photos/dice", "here": dice}
    data = {}
    for name, real in places.items():
        options = Options(runs=Path("runs"), real=real, local=True)
        data[name] = check(sweep, options, Quiet()).describe()
    assert data["there"] == data["here"] | {"path": "s3://photos/dice"}
    assert len(list(Path().glob("runs/cache/data/*/dice/train/*.png"))) == 6


def test_a_mistyped_field_is_reported_with_its_line(home, syndet_here):
    path = home()
    path.write_text(path.read_text().replace("    trials=", "    trails="))
    done = syndet_here("sweep", "tiny")
    assert done.returncode == 1
    assert "sweeps/tiny.py:4: trails: is not a field. Did you mean 'trials'?" in done.stderr


@pytest.fixture(scope="module")
def pages(finished, tmp_path_factory):
    """`ui RUN --open` while it serves: what it printed, by the name of the line, and what it opened
    in the browser.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    opened = tmp_path_factory.mktemp("opened") / "address"
    browser = opened.with_name("browser")
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    folder, pipe = only_run(finished.home / "runs"), subprocess.PIPE
    command = [
        sys.executable,
        "-m",
        "syndet_ray",
        "ui",
        str(folder.path),
        "--port",
        str(port),
        "--open",
    ]
    environ = environment() | {"BROWSER": f"{browser} %s"}
    with subprocess.Popen(
        command, env=environ, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        lines = [process.stdout.readline().split() for _ in range(2)]
        assert process.stdout.readline() == "Ctrl-C ends it\n"
        yield dict(lines), opened.read_text().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not answers(lines[0][1].partition("#")[0] + "health"), "the server ended with the verb"


def test_the_ui_serves_the_runs_on_this_machine_alone(finished, pages):
    links, opened = pages
    assert opened == links["trials"]
    address = opened.partition("/#/")[0]
    assert address.startswith("http://127.0.0.1:")
    search = f"{address}/api/2.0/mlflow/experiments/search"
    found = requests.post(search, json={"max_results": 9}, timeout=30).json()
    assert "syndet_ray/tiny" in {experiment["name"] for experiment in found["experiments"]}


def heeds_interrupts():
    """Where the tests run in the background, SIGINT is ignored, and children would inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def answers(address):
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False
