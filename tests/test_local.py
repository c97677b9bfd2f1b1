"""Whole runs in this process, with real training: budgets, extension, what goes wrong on the way."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import write_tiny_sweep
from mlflow import MlflowClient
from test_disk import no_file_may_grow
from test_search import Silent
from test_tune import RUNGS, searching, settings

from syndet_ray import Confirmation
from syndet_ray.analysis.selection import winner
from syndet_ray.analysis.usage import usage
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DataError, DefinitionError, MachineError, NonFiniteLoss
from syndet_ray.metrics import CLOCKS, OBJECTIVE
from syndet_ray.report import page
from syndet_ray.report.answer import answer
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.search import Search
from syndet_ray.search.task import RETRIES, Resources, retry
from syndet_ray.tracking.trial_runs import TrialRuns
from syndet_ray.tuning.checkpoints import needed_trials
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.resume import _check_models, resume
from syndet_ray.tuning.run import start
from syndet_ray.tuning.scoring import to_be_scored
from syndet_ray.workers import local

WRITE_IT = "The run's folder has all of it. Once the store can be written, run: python -m syndet_ray resume"
IMAGES = 8  # of a trial, in two rungs
WHOLE = {"trials": 1, "seeds": 2}


@pytest.fixture
def begin(home, dice, empty_store):
    """Starts the tiny sweep in this process; returns how it ended."""

    def make(display=None, *, images=None, **written):
        return run_tiny(
            home(images=IMAGES, **written), dice, empty_store, display or Silent(), images=images
        )

    return make


def run_tiny(file, dice, empty_store, display, images=None):
    """Runs the tiny sweep in `file`; its runs lie next to the folder of that file."""
    runs = file.parents[1] / "runs"
    if not runs.exists():
        runs.mkdir()
        shutil.copy(empty_store, runs)
    options = Options(runs=runs, real=dice, images=images, local=True)
    return start(Origin(name="tiny", file=file), load(str(file)), options, display, force=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, dice, empty_store):
    """The tiny sweep with one trial and two confirmations of each recipe, undisturbed: for all
    tests that look at it.
    """
    file = write_tiny_sweep(tmp_path_factory.mktemp("whole"), images=IMAGES, **WHOLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write", empty_report)
        return run_tiny(file, dice, empty_store, Silent())


def empty_report(run, folder, progress):
    """Stands for the report, whose figures take seconds, where a test does not look at it."""
    folder.report.write_text("")


def table(folder):
    """What a run found, without clocks."""
    rungs = {
        t.number: [
            (r.images, {k: v for k, v in r.metrics.items() if k not in CLOCKS}) for r in t.rungs
        ]
        for t in folder.trials()
    }
    return [
        (t.number, t.kind, t.of, t.params, t.state, t.reason, rungs[t.number])
        for t in folder.trials()
    ]


def mlflow_states(folder):
    client = MlflowClient(folder.about["mlflow_uri"])
    parent = client.get_run(folder.about["mlflow_run"])
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    return parent.info.status, sorted(run.info.status for run in children)


def test_the_ledger_has_what_the_machine_had_and_what_trained_on_it(whole):
    used = usage(whole.folder.read())
    assert used.by_trial.keys() == {trial.number for trial in whole.folder.trials()}
    assert 0 < used.trained.cores <= used.for_trials.cores <= used.total.cores
    assert used.idle_at_start.cores > 0 and used.waited_s >= 0


def test_a_run_confirms_its_winner_and_says_how_sure_it_is(whole):
    assert whole.status == "finished"
    folder = whole.folder
    confirmed = [trial for trial in folder.trials() if trial.kind == "confirm"]
    assert len(confirmed) == 2 * (
        2 + sum(t.kind == "search" and t.state == "COMPLETE" for t in folder.trials())
    )
    test = folder.test()
    assert {"best", "real_only", "synthetic_only"} <= {row.key for row in test.rows}
    models = {trial.number for trial in confirmed}
    for row in test.rows:
        assert set(row.models) <= models, "the search's own trainings do not meet the test set"
        assert len(row.models) == len(row.seeds) == 2
        assert row.metrics["mAP"] == pytest.approx(sum(row.seeds) / 2)
        assert (row.intervals, row.differences, row.p_best) == ({}, {}, None), (
            "four photos are too few"
        )
    assert answer(folder.read()).startswith(
        "No answer: the test set has too few photos to compare recipes; at least 10 are needed."
    )
    parent, children = mlflow_states(folder)
    assert (parent, set(children)) == ("FINISHED", {"FINISHED"})


def test_a_spent_budget_is_resumed_to_the_same_table_even_where_a_checkpoint_is_gone(
    whole, begin, monkeypatch
):
    stopped = begin(**WHOLE, images=20)
    assert stopped.status == "spent"
    assert stopped.why == "its budget of 20 images is spent"
    assert stopped.folder.test() is None, "the test set stays shut"
    assert mlflow_states(stopped.folder)[0] == "KILLED"
    assert "RUNNING" not in mlflow_states(stopped.folder)[1]
    assert not stopped.folder.report.exists(), (
        "of a run that is to go on, whoever wants a report asks for one"
    )
    assert "No answer yet" in page.write(stopped.folder.read(), stopped.folder).read_text()
    left = stopped.folder.trials()[-1]
    assert (left.state, left.images) == ("RUNNING", 4)
    shutil.rmtree(left.checkpoint)
    monkeypatch.setattr(page, "write", empty_report)
    display = Silent()
    ended = resume(stopped.folder, {"images": 10_000}, display)
    assert ended.status == "finished"
    assert f"are gone, so they start again: {left.number}" in " ".join(display.notes)
    assert sum(trial.retries for trial in ended.folder.trials()) == 0
    assert table(ended.folder) == table(whole.folder)
    assert [row.metrics for row in ended.folder.test().rows] == [
        row.metrics for row in whole.folder.test().rows
    ]


def test_models_that_are_gone_are_reported_before_anything_trains_or_the_test_set_is_opened(
    whole, tmp_path
):
    folder = RunFolder(
        shutil.copytree(whole.folder.path, tmp_path / "runs" / whole.folder.path.name)
    )
    lost = [trial for trial in folder.trials() if trial.kind == "confirm"][:2]
    for trial in lost:
        shutil.rmtree(trial.checkpoint)
    known = folder.trials()
    assert _check_models(folder, {}) is None, "the test set has met them all"
    message = rf"test set, {lost[0].number}, {lost[1].number}: {lost[0].checkpoint} is gone\. Put the checkpoints back"
    with pytest.raises(DataError, match=message):
        resume(folder, {"trials": 2}, Silent())
    assert folder.sweep.trials == 1, "it is not extended"
    openings = folder.note_opening()
    (folder.path / "test.json").unlink()
    with pytest.raises(DataError, match=message):
        resume(folder, {}, Silent())
    assert folder.trials() == known
    assert folder.note_opening() == openings + 1, "the test set stayed shut"


def test_only_models_that_will_be_scored_must_be_there(whole, tmp_path):
    folder = RunFolder(shutil.copytree(whole.folder.path, tmp_path / "run"))
    confirmations = [trial for trial in folder.trials() if trial.kind == "confirm"]
    own = [trial for trial in folder.trials() if trial.kind != "confirm"]
    assert to_be_scored(folder.trials(), folder.sweep, None) == confirmations
    assert to_be_scored(own, folder.sweep, None) == [], "all are trained anew"
    unconfirmed = folder.sweep.replace({"confirm": Confirmation(seeds=0)})
    numbers = {trial.number for trial in to_be_scored(own, unconfirmed, None)}
    assert numbers == {0, 1, winner(own).trial.number}, "the controls and the best"


def test_where_the_machine_failed_a_call_is_made_again():
    failures = [MachineError("store", "is away")] * (RETRIES + 1)

    def fetch():
        if failures:
            raise failures.pop()
        return "there"

    with pytest.raises(MachineError):
        retry(fetch)
    assert failures == []
    failures.extend([MachineError("store", "is away")] * RETRIES)
    assert retry(fetch) == "there"


def test_a_finished_run_can_be_extended_and_brings_mlflow_up(begin, monkeypatch):

    def away(trial_runs, trial):
        raise OSError("MLflow is away")

    monkeypatch.setattr(page, "write", empty_report)
    threads = set(threading.enumerate())
    with monkeypatch.context() as first_attempt:
        first_attempt.setattr(TrialRuns, "_write_new", away)
        first_attempt.setattr("syndet_ray.tuning.attempt._PATIENCE_S", 0.0)
        finished = begin(trials=1, seeds=1)
    for thread in set(threading.enumerate()) - threads:
        if thread.name in ("tracking", "mirror", "checkpoints"):
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} would disturb the next attempt"
    folder = finished.folder
    assert finished.status == "finished"
    store = f"MLflow's store sqlite:///{folder.path.parent.resolve() / 'mlflow.db'}: "
    assert str(finished.unwritten).startswith(f"{store}lacks trial 0, trial 1, trial 2, trial 3, ")
    assert str(finished.unwritten).endswith(f"(MLflow is away). {WRITE_IT} {folder.path}")
    before, first = table(folder), folder.test()
    display = Silent()
    steps = []
    monkeypatch.setattr(display, "step", lambda what: steps.append(what) or nullcontext())
    folder.describe(folder.about | {"cluster": "/c.yaml"})
    again = resume(folder, {}, display)
    assert folder.about["cluster"] is None, "it goes on here now"
    assert "continuing the run in MLflow" in steps
    done = "is finished, and there is nothing to train; `trials` N extends it"
    assert f"{folder.path} {done}" in display.notes
    assert again.unwritten is None
    assert mlflow_states(folder) == ("FINISHED", ["FINISHED"] * len(folder.trials()))
    assert (again.status, folder.test()) == ("finished", first), (
        "nothing new: the test set is not opened again"
    )
    outcome = resume(folder, {"trials": 3}, Silent())
    assert outcome.status == "finished"
    assert table(folder)[: len(before)] == before
    assert sum(trial.kind == "search" for trial in folder.trials()) == 3
    assert folder.sweep.trials == 3
    left = [path.parent.name for path in folder.checkpoints.glob("trial-*/images-*")]
    assert sorted(left) == [
        f"trial-{number:03d}" for number in sorted(needed_trials(folder.trials(), folder.sweep))
    ]
    models = {m for row in folder.test().rows for m in row.models}
    assert folder.test().openings == (
        1 if models == {m for row in first.rows for m in row.models} else 2
    )
    with pytest.raises(
        DefinitionError, match="`trials`: must be at least the number of the run, 3, got 2"
    ):
        resume(folder, {"trials": 2}, Silent())


def test_what_dies_before_its_first_report_is_not_tried_again(begin, monkeypatch):
    calls = []

    def broken(task, *args, **kwargs):
        calls.append(task.trial.number)
        raise RuntimeError("no such kernel\nin this build")

    monkeypatch.setattr(local, "run_trial", broken)
    outcome = begin(trials=1)
    assert outcome.status == "failed"
    assert calls == [0, 1, 2], "each once"
    (reason,) = {t.reason for t in outcome.folder.trials()}
    assert re.fullmatch(r"RuntimeError in syndet_ray/workers/local\.py:\d+: no such kernel", reason)
    assert "no such kernel" in outcome.folder.report.read_text()
    log = outcome.folder.error_log.read_text()
    assert re.findall(r", trial (\d)\nTraceback", log) == ["0", "1", "2"]
    assert log.count("in broken\n") == log.count("no such kernel\nin this build\n") == 3


def test_what_fails_later_is_tried_again_from_its_checkpoint(whole, begin, monkeypatch):
    real, failures = local.run_trial, []

    def shaky(task, *args, report, **kwargs):
        def then_fail(images, *rest):
            report(images, *rest)
            if task.trial.number == 2 and images == 4 and len(failures) < 2:
                failures.append(kwargs["restore"])
                raise OSError("the disk was gone for a moment")

        real(task, *args, report=then_fail, **kwargs)

    monkeypatch.setattr(local, "run_trial", shaky)
    monkeypatch.setattr(page, "write", empty_report)
    folder = begin(trials=1).folder
    assert table(folder) == table(whole.folder)[:3]
    assert folder.trials()[2].retries == len(failures) >= 1


def test_what_makes_no_progress_is_given_up(tmp_path, monkeypatch):
    """The first trial fails after each of its reports and gets to its end; the second after its
    second one, always.
    """

    def shaky(task, *_, restore, report, **__):
        before = 0 if restore is None else int((restore / "images").read_text())
        if task.trial.number == 1 and before == RUNGS[1]:
            raise OSError("gone")
        images = next(images for images in RUNGS if images > before)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "images").write_text(str(images))
            report(images, {OBJECTIVE: 0.5}, {}, Path(folder))
        if images < RUNGS[-1]:
            raise OSError("gone for a moment")

    monkeypatch.setattr(local, "run_trial", shaky)
    monkeypatch.setattr(local, "RETRIES", 2)
    search, folder = searching(tmp_path)
    nothing = SimpleNamespace(pools={"train": None, "val": None}, others={})
    local.Local(Resources(cpus=1, gpus=0, parallel=1), Silent()).search(
        search, settings(tmp_path), nothing, str(tmp_path)
    )
    first, second = folder.trials()
    assert (first.state, first.images, first.retries) == ("COMPLETE", 100, 3)
    assert (second.state, second.images, second.retries) == ("FAILED", 50, 1 + 2)
    assert re.fullmatch(r"OSError in syndet_ray/workers/local\.py:\d+: gone", second.reason)
    log = folder.error_log.read_text()
    of = re.findall(r", trial (\d)\nTraceback", log)
    assert of == ["0"] * 3 + ["1"] * 4, "retries too"


def test_an_expected_error_of_a_trial_is_its_reason_and_needs_no_traceback(tmp_path, monkeypatch):
    def refused(task, *_, **__):
        raise DataError("photos/a.jpg", "does not exist", do="Put it there.")

    monkeypatch.setattr(local, "run_trial", refused)
    search, folder = searching(tmp_path)
    nothing = SimpleNamespace(pools={"train": None, "val": None}, others={})
    local.Local(Resources(cpus=1, gpus=0, parallel=1), Silent()).search(
        search, settings(tmp_path), nothing, str(tmp_path)
    )
    assert {trial.reason for trial in folder.trials()} == {
        "photos/a.jpg: does not exist. Put it there."
    }
    assert not folder.error_log.exists()


def test_a_disk_that_fills_up_halts_the_search_and_fails_no_trial(tmp_path, monkeypatch):
    """It is full when the first report is to be written: for the training that is an error
    like any other.
    """
    disk = ExitStack()

    def trained(task, *_, restore, report, **__):
        before = 0 if restore is None else int((restore / "images").read_text())
        for images in RUNGS:
            if images > before:
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "images").write_text(str(images))
                    if images == RUNGS[1] and not full:
                        full.append(disk.enter_context(no_file_may_grow()))
                    report(images, {OBJECTIVE: 0.5}, {}, Path(folder))

    full = []
    monkeypatch.setattr(local, "run_trial", trained)
    search, folder = searching(tmp_path)
    nothing = SimpleNamespace(pools={"train": None, "val": None}, others={})
    runner = local.Local(Resources(cpus=1, gpus=0, parallel=1), Silent())
    with disk, pytest.raises(KeyboardInterrupt):
        runner.search(search, settings(tmp_path), nothing, str(tmp_path))
    (left,) = folder.trials()
    assert (left.state, left.images, left.retries) == ("RUNNING", RUNGS[0], 0)
    where = f"{tmp_path} cannot be written (File too large)"
    go_on = "trials keep their last checkpoint, and resume continues once that is repaired"
    assert search._display.notes == [f"stopping: {where}; {go_on}"]
    assert {path.name for path in (tmp_path / "checkpoints" / "trial-000").iterdir()} == {
        "images-000000025"
    }
    assert search.propose() is None

    again = Search(folder, folder.sweep, Silent())
    runner.search(again, settings(tmp_path), nothing, str(tmp_path))
    assert [(trial.state, trial.images, trial.retries) for trial in folder.trials()] == [
        ("COMPLETE", 100, 0)
    ] * 2


def test_repeated_trainings_that_diverge_count_and_those_that_are_lost_are_made_up_for(
    begin, monkeypatch
):
    """Of real images alone the first repeated training diverges, and the second is lost four times."""
    real, lost = local.run_trial, set()

    def unlucky(task, *args, report, **kwargs):
        def then_diverge(images, *rest):
            report(images, *rest)
            if (task.trial.recipe.mix.synthetic, task.trial.seed_number) == (0.0, 1):
                raise NonFiniteLoss("training", "the loss must be finite")

        if (task.trial.recipe.mix.synthetic, task.trial.seed_number) == (0.0, 2) and lost <= {
            task.trial.number
        }:
            lost.add(task.trial.number)
            raise MachineError("s3://bucket", "does not answer")
        real(task, *args, report=then_diverge, **kwargs)

    monkeypatch.setattr(local, "run_trial", unlucky)
    outcome = begin(trials=1, seeds=2)
    assert outcome.status == "finished"
    trials = outcome.folder.trials()
    anew = [(trial.seed_number, trial.state, trial.cause) for trial in trials if trial.of == 0]
    assert anew == [(1, "FAILED", "diverged"), (2, "FAILED", "lost"), (2, "COMPLETE", None)]
    row = outcome.folder.test().row("real_only")
    assert len(row.models) == 2
    assert row.seeds[0] == 0
    assert row.metrics["mAP"] == pytest.approx(row.seeds[1] / 2)
    assert (
        "Trainings that diverged count as 0 mAP: 1 of 2 of real only."
        in outcome.folder.report.read_text()
    )


def test_a_run_whose_sweep_data_or_packages_changed_is_refused(begin, monkeypatch):
    folder = begin(trials=1, images=5).folder
    path = Path("sweeps/tiny.py")
    path.write_text(
        path.read_text().replace("batch_size=4", "batch_size=2").replace("high=1.0", "high=0.5")
    )
    about = folder.about
    hashes = about["real"]["hashes"] | {"val": "another"}
    old = {
        "real": about["real"] | {"hashes": hashes},
        "versions": about["versions"] | {"optuna": "4.0.0"},
    }
    folder.describe(about | old)
    with pytest.raises(DefinitionError) as caught:
        resume(folder, {"images": 10_000}, Silent())
    for words in (
        "tiny.py: recipe.training.batch_size was 4 and is 2",
        "space.mix.synthetic was",
        "the images or labels of val",
        "optuna was 4.0.0 and is",
        "`force`",
    ):
        assert words in str(caught.value)
    monkeypatch.setattr(page, "write", empty_report)
    assert resume(folder, {"images": 10_000}, Silent(), force=True).status == "finished"


def test_a_run_is_carried_out_by_one_process_at_a_time(begin):
    folder = begin(trials=1, images=5).folder
    hold = "import sys, pathlib; from syndet_ray.runs.folder import RunFolder\n"
    hold += "with RunFolder.open(pathlib.Path(sys.argv[1])).lock():\n    print('held', flush=True); sys.stdin.read()"
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(
            MachineError, match=rf"is being carried out by another process \({other.pid} on "
        ):
            resume(folder, {}, Silent())
    finally:
        other.kill()
        other.communicate()
    with folder.lock():
        pass  # the lock went with its process


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not the folder of a run"):
        RunFolder.open(tmp_path)
    with pytest.raises(DataError, match=r"nope: does not exist\. Runs lie under runs/\."):
        RunFolder.open(tmp_path / "nope")
    with pytest.raises(DataError, match=r"^s3://photos/runs/1: is not a folder on .* `resume`"):
        RunFolder.open(Path("s3://photos/runs/1"))


def test_the_name_of_a_run_alone_is_answered_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "sweep.json").touch()
    with pytest.raises(DataError, match=r"tiny: does not exist\. Write runs/tiny\."):
        RunFolder.open(Path("tiny"))


def test_a_sweep_that_cannot_fit_is_refused_before_it_starts(home, dice):
    home(trials=2, seeds=1)
    options = Options(runs=Path("runs"), real=dice, images=50, local=True)
    with pytest.raises(
        DefinitionError,
        match=r"`images`: must be at least the \d+ that the sweep sees .*got 50.*`force`",
    ):
        start(Origin(name="tiny"), load("tiny"), options, Silent())
    assert not list(Path().glob("runs/*/sweep.json"))


@pytest.mark.parametrize(
    ("others", "words", "advice"),
    [
        ({"storage": "s3://b/x"}, "`storage` s3://b/x", "`storage`"),
        ({"parallel": 2}, "`parallel` 2", "`parallel`"),
        (
            {"address": "auto", "parallel": 3},
            "`address` auto and `parallel` 3",
            "`address` and `parallel`",
        ),
    ],
)
def test_local_keeps_to_this_machine(home, others, words, advice):
    home()
    with pytest.raises(DefinitionError) as error:
        start(
            Origin(name="tiny"),
            load("tiny"),
            Options(runs=Path("runs"), local=True, **others),
            Silent(),
        )
    assert str(error.value) == (
        "`local`: trains one trial at a time in this process, so it cannot be combined with "
        f"{words}. Leave out {advice}, or start a run without `local`."
    )


def test_gpus_that_a_trial_cannot_use_are_refused(home, monkeypatch):
    home()
    with pytest.raises(DefinitionError, match=r"^`gpus_per_trial`: must be a share .*, got 1\.5"):
        start(
            Origin(name="tiny"),
            load("tiny"),
            Options(runs=Path("runs"), local=True, gpus_per_trial=1.5),
            Silent(),
        )
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MachineError, match=r"^`gpus_per_trial`: this machine has no GPU"):
        local.local_resources(0.5)
    with pytest.raises(MachineError, match=r"^`gpus_per_trial`: must be at most 1 without Ray"):
        local.local_resources(2)
    assert (local.local_resources(None).gpus, local.local_resources(0).gpus) == (0, 0)


def test_the_ledger_has_the_effective_settings(whole):
    for trial in whole.folder.trials():
        drawn = {key: value for key, value in trial.effective.items() if key.startswith("drawn/")}
        assert sum(drawn.values()) == trial.images
        assert drawn.keys() == {
            f"drawn/{key.split('/')[1]}" for key in trial.effective if key.startswith("planned/")
        }
        assert (
            trial.effective["optimizer/weights/initial_lr"] == trial.recipe.training.learning_rate
        )
        assert trial.effective["device"] == "cpu"


EVERYTHING = """
from syndet_ray import *

SWEEP = Sweep(
    question="Does all of it run together?",
    recipe=Recipe(
        mix=Mix(
            synthetic_images=3,
            sources={
                "sparse": Scenes(changes={"scene.objects": 3}),
                "crowded": Scenes(changes={"scene.objects": 8}, images=2),
                "theirs": Photos(folder="theirs"),
            },
        ),
        scene=SceneParameters(objects=5, image_px=128, size_px=(26, 34)),
        detector=Detector(backbone="test_efficientnet", weights="none"),
        training=Training(images=12, batch_size=4, crop_px=128),
    ),
    space=(
        SearchSpace(
            {
                "mix.shares": Simplex(sources=("real", "sparse", "crowded", "theirs")),
                "mix.schedule": Choice(values=("mixed", "staged", "annealed")),
                "training.rate_after_switch": Float(low=0.1, high=1.0, when={"mix.schedule": "staged"}),
                "mix.real_images": Choice(values=(2, 4, "all")),
            }
        ),
    ),
    objective=("val/mAP", "real_images"),
    points=({"mix.synthetic": 0.75, "mix.schedule": "staged", "mix.real_images": 2},),
    trials=3,
    rungs=2,
    confirm=Confirmation(top=1, seeds=1),
)
"""


def test_sources_schedules_subsets_and_goals_work_together(
    tmp_path, monkeypatch, dice, empty_store
):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    shutil.copy(empty_store, "runs")
    (tmp_path / "theirs" / "train").mkdir(parents=True)
    for file in (dice / "train").iterdir():
        shutil.copy(file, tmp_path / "theirs" / "train")
    (tmp_path / "everything.py").write_text(EVERYTHING)
    sweep = load("everything.py")
    outcome = start(
        Origin(name="everything"),
        sweep,
        Options(runs=Path("runs"), real=dice, local=True),
        Silent(),
    )
    assert outcome.status == "finished"
    trials = outcome.folder.trials()
    assert {trial.state for trial in trials} == {"COMPLETE"}
    first = trials[2]
    assert first.recipe.mix.synthetic == 0.75
    assert first.effective["real_images"] == 2
    assert [
        first.effective[f"drawn/{name}"] for name in ("real", "sparse", "crowded", "theirs")
    ] == [3, 3, 3, 3]
    staged = [
        t for t in trials if t.recipe.mix.schedule == "staged" and 0 < t.recipe.mix.synthetic < 1
    ]
    assert staged
    synthetic_only = trials[1]
    assert synthetic_only.goals(sweep.objective)[1] == 0, "a recipe without real images needs none"
    assert "real images" in outcome.folder.report.read_text()


def test_a_setting_without_any_effect_is_found_out(begin):
    """Trials of a search share their seed: what differs in nothing but a dead setting trains alike
    to the last digit.
    """
    display = Silent()
    # Of so short a training, both are no image to warm up over.
    dead = 'SearchSpace({"training.warmup": Choice(values=(0.0, 0.001, 0.002))})'
    folder = begin(display, trials=2, space=dead).folder
    first, second = [trial for trial in folder.trials() if trial.kind == "search"]
    if first.recipe != second.recipe:
        assert any("have different recipes and identical results" in note for note in display.notes)
    assert "identical results" in folder.report.read_text()


def test_a_search_for_a_setting_that_nothing_acts_on_is_refused(begin):
    # of sgd; this trains by adamw
    space = 'SearchSpace({"training.momentum": Choice(values=(0.1, 0.5, 0.9))})'
    with pytest.raises(
        DefinitionError, match=r"momentum: is searched, .* where training\.optimizer is adamw"
    ):
        begin(trials=2, space=space)
    assert not list(Path("runs").glob("tiny-*"))


def test_confirmations_train_from_other_seeds(whole):
    trials = whole.folder.trials()
    again = [trial for trial in trials if trial.of == 0]
    assert [trial.replica for trial in (trials[0], *again)] == [0, 1, 2]
    assert len({trial.effective["seed"] for trial in (trials[0], *again)}) == 3
    assert trials[1].effective["seed"] == trials[0].effective["seed"]


def test_a_run_goes_on_in_another_place_with_an_empty_store(whole, begin, tmp_path, monkeypatch):
    """Of what was trained before, one trial goes on, and one is scored on the test set."""
    folder = begin(trials=1, images=10).folder
    assert [(trial.state, trial.images) for trial in folder.trials()] == [
        ("COMPLETE", 8),
        ("RUNNING", 4),
    ]
    there = tmp_path / "elsewhere" / folder.path.name
    there.parent.mkdir()
    shutil.move(folder.path, there)
    monkeypatch.setattr(page, "write", empty_report)
    ended = resume(RunFolder.open(there), {"images": 10_000}, Silent())
    assert ended.status == "finished"
    assert table(ended.folder) == table(whole.folder)[:3]
    assert ended.folder.test().row("real_only").models == (0,)
    parent, children = mlflow_states(ended.folder)
    assert (parent, len(children)) == ("FINISHED", len(ended.folder.trials()))
    assert (there.parent / "mlflow.db").exists()
