"""Study and Search: proposals, pruning, the ledger and MLflow, without Ray."""

import json
import pickle
import re
from collections import Counter
from contextlib import nullcontext

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from syndet_ray import (
    Choice,
    Confirmation,
    Float,
    Mix,
    Pruning,
    Recipe,
    Scenes,
    SearchSpace,
    Simplex,
    Training,
)
from syndet_ray.analysis.selection import best_points, candidates, finalists, missing_seeds
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.sweep import CONTROL_CHANGES, rung_images
from syndet_ray.errors import MachineError
from syndet_ray.metrics import OBJECTIVE
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import after_event
from syndet_ray.search.search import Budget, Search
from syndet_ray.search.study import Study
from syndet_ray.search.task import RunSettings, Task
from syndet_ray.tracking.mirror import Mirror
from syndet_ray.tracking.mlflow import Tracking
from syndet_ray.tracking.server import check_server

RUNGS = (25, 50, 75, 100)
SWEEP = LoadedSweep(
    question="Which share?",
    recipe=Recipe(training=Training(images=100)),
    space=(
        SearchSpace(
            {
                "mix.synthetic": Float(low=0, high=1),
                "training.learning_rate": Float(low=1e-4, high=1e-2, log=True),
            }
        ),
    ),
    trials=10,
    rungs=4,
    pruning=Pruning(name="median", startup_trials=2, grace_rungs=1),
    confirm=Confirmation(top=2, seeds=2),
    seed=3,
)


class Silent:
    """A display that keeps its messages."""

    def __init__(self):
        self.notes = []
        self.counts = []

    def note(self, text):
        self.notes.append(text)

    def begin(self, trials, images): ...
    def trial(self, trial): ...

    def progress(self, what, done, total):
        self.counts.append((what, done, total))

    def step(self, what):
        return nullcontext()

    def end(self): ...


@pytest.fixture
def begin(tmp_path, store, request):
    """Begins a search in a new folder, or goes on with an earlier one."""
    name = request.node.name[:40]

    def make(folder=None, parent=None, sweep=SWEEP, budget=None):
        tracking = Tracking(store, tmp_path / "artifacts", name, sweep, parent)
        folder = folder or RunFolder.create(tmp_path / "run", sweep, {})
        display = Silent()
        mirror = Mirror(folder, sweep, display.note)
        search = Search(folder, sweep, display, [tracking, mirror], budget)
        return search, folder, tracking

    return make


def curve(recipe, images):
    """A made-up validation mAP: best at 60 % synthetic, growing with images."""
    return (1 - abs(recipe.mix.synthetic - 0.6)) * images / 100


def asked(number, **facts):
    """The event with which a trial of the search begins."""
    return {"event": "asked", "trial": number, "time": 0.0, "kind": "search", "params": {}, **facts}


def trials_of(events):
    """The trials that these events ask for, by number."""
    begun = [event for event in events if event["event"] == "asked"]
    return {event["trial"]: after_event(None, event) for event in begun}


def run_one(search, trial, rungs=RUNGS):
    """Runs one trial on the made-up curve, as far as it is let."""
    for images in rungs:
        metrics = {OBJECTIVE: curve(trial.recipe, images)}
        if search.report(trial.number, images, metrics, {"device": "cpu"}):
            break
    search.end(trial.number)


def run_all(search):
    while (trial := search.propose()) is not None:
        run_one(search, trial)


def children(store, tracking):
    tracking.wait()
    client = MlflowClient(store)
    experiment = client.get_run(tracking.parent).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{tracking.parent}'")
    return {int(run.data.tags["trial"]): run for run in runs}


def test_controls_come_first_and_all_trials_end(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    trials = folder.trials()
    assert [trial.kind for trial in trials] == ["real_only", "synthetic_only"] + ["search"] * 10
    assert [trial.recipe.mix.synthetic for trial in trials[:2]] == [0.0, 1.0]
    assert {trial.state for trial in trials} == {"COMPLETE", "PRUNED"}
    assert search.remaining == 0
    assert trials == tuple(search.trials.values())


def test_a_pruned_trial_stops_early_and_tells_why(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    pruned = [trial for trial in folder.trials() if trial.state == "PRUNED"]
    assert pruned
    assert all(50 <= trial.images < 100 for trial in pruned), (
        "one rung of grace, and never at the last"
    )
    assert all(trial.kind == "search" for trial in pruned)
    assert f"median pruner after {pruned[0].images} images" == pruned[0].reason
    recorded = {trial.number: trial for trial in search._study._study.trials}
    assert recorded[pruned[0].number].state.name == "PRUNED"
    assert sorted(recorded[pruned[0].number].intermediate_values) == [
        k + 1 for k in range(len(pruned[0].rungs))
    ]


def test_a_task_names_the_settings_that_the_search_has_chosen(begin):
    search, *_ = begin()
    run = RunSettings(rungs=4, seed=3, cache="cache")
    tasks = [Task(trial=search.propose(), run=run, threads=1) for _ in range(3)]
    tasks = pickle.loads(pickle.dumps(tasks))
    assert [tuple(task.trial.params) for task in tasks] == [
        (),
        (),
        ("mix.synthetic", "training.learning_rate"),
    ]
    assert [task.trial.recipe.mix.synthetic for task in tasks[:2]] == [0.0, 1.0]


def test_controls_are_never_pruned():
    worse = SWEEP.model_copy(
        update={
            "controls": ("real_only", "synthetic_only"),
            "pruning": Pruning(startup_trials=0, grace_rungs=0),
        }
    )
    study = Study(worse)
    numbers = [study.ask(number).number for number in range(4)]
    for images in RUNGS[:3]:
        for number in numbers[2:]:
            study.report(number, images, 0.9)
    for number in numbers[2:]:
        study.tell(number, "COMPLETE", [0.9])
    assert not any(
        study.report(number, images, 0.0) for number in numbers[:2] for images in RUNGS[:3]
    )
    assert study.report(study.ask(4).number, 25, 0.0), "a proposal that does as badly is pruned"


def test_mlflow_has_one_nested_run_a_trial(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    runs = children(store, tracking)
    assert sorted(runs) == [trial.number for trial in folder.trials()]
    for trial in folder.trials():
        run = runs[trial.number]
        assert run.info.status == "FINISHED"
        assert (run.data.tags["state"], run.data.tags["reason"]) == (trial.state, trial.reason)
        assert run.data.params["mix.synthetic"] == str(trial.recipe.mix.synthetic)
        history = MlflowClient(store).get_metric_history(run.info.run_id, OBJECTIVE)
        assert [(metric.step, metric.value) for metric in history] == [
            (r.images, r.metrics[OBJECTIVE]) for r in trial.rungs
        ]


def test_mlflow_has_numbers_where_it_can_draw_them(begin, store):
    """One word among the values of a setting, and its axis in the UI's parallel coordinates is one
    of words.
    """
    sources = {
        "a": Scenes(changes={"scene.objects": 10}),
        "b": Scenes(changes={"scene.objects": 70}),
    }
    recipe = Recipe(mix=Mix(sources=sources), training=Training(images=100))
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "a", "b"))})
    search, folder, tracking = begin(sweep=SWEEP.replace({"recipe": recipe, "space": (space,)}))
    for _ in range(3):
        search.propose()
    control, _, trial = folder.trials()
    params = {number: run.data.params for number, run in children(store, tracking).items()}
    assert float(params[2]["mix.parts.a"]) == trial.recipe.mix.parts["a"]
    assert float(params[2]["mix.synthetic"]) == trial.recipe.mix.synthetic
    assert not any("None" in params[number].values() for number in params)
    assert "mix.switch_at" not in params[0]


def test_a_failed_trial_keeps_its_reason_and_the_search_goes_on(begin, store):
    search, folder, tracking = begin()
    for _ in range(2):
        search.propose()
    trial = search.propose()
    search.end(trial.number, failure="scene.blur differs")
    search.end(1)
    run_all(search)
    _, without_report, failed = folder.trials()[:3]
    assert (failed.state, failed.cause, failed.reason) == (
        "FAILED",
        "mistake",
        "scene.blur differs",
    )
    assert (without_report.state, without_report.cause) == ("FAILED", "lost")
    assert without_report.reason == "ended before its first report"
    assert children(store, tracking)[2].info.status == "FAILED"
    assert sum(trial.kind == "search" for trial in folder.trials()) == 10


def test_a_control_that_was_lost_is_trained_once_more(begin):
    search, folder, tracking = begin()
    for number in (0, 1):
        search.propose()
        search.end(number, "node lost", "lost" if number == 0 else "mistake")
    run_all(search)
    again = [trial for trial in folder.trials() if trial.kind == "real_only"]
    assert [(trial.state, trial.seed_number) for trial in again] == [("FAILED", 0), ("COMPLETE", 0)]
    assert sum(trial.kind == "synthetic_only" for trial in folder.trials()) == 1, (
        "a mistake would be made again"
    )
    rebuilt, _, _ = begin(folder, tracking.parent)
    assert rebuilt.remaining == 0


@pytest.mark.parametrize(("losses", "last"), [(2, "COMPLETE"), (3, "FAILED"), (9, "FAILED")])
def test_a_control_whose_seed_is_lost_twice_gets_another_one_that_is_lost_once(begin, losses, last):
    search, folder, _ = begin()
    run_and_lose(search, folder, {("real_only", 0): losses, ("real_only", 3): losses - 2})
    trainings = [
        (trial.seed_number, trial.state) for trial in folder.trials() if trial.kind == "real_only"
    ]
    assert trainings == [(0, "FAILED"), (0, "FAILED"), (3, last)], (
        "1 and 2 are those of its confirmations"
    )
    assert search.is_over


def run_and_lose(search, folder, losses):
    """Runs all trials, and loses those of a kind and seed so many times.

    A study rebuilt in between asks for the same.
    """
    left = dict(losses)
    while True:
        rebuilt = Study(folder.sweep)
        rebuilt.replay(folder.ledger.events(), search.trials)
        expected = rebuilt.ask(len(search.trials))
        trial = search.propose()
        if trial is None:
            assert expected is None
            break
        for field in ("number", "kind", "params", "recipe", "replica", "seed_number"):
            assert getattr(trial, field) == getattr(expected, field)
        key = trial.kind, trial.seed_number
        if left.get(key, 0) > 0:
            left[key] -= 1
            search.end(trial.number, "node lost", "lost")
        else:
            run_one(search, trial)


VARIANTS = LoadedSweep(
    question="?",
    recipe=SWEEP.recipe,
    trials=0,
    controls=(),
    variants={"a": {}, "b": {"scene.blur": 0.1}},
    repeats=3,
)


@pytest.mark.parametrize(
    ("losses", "trained", "failed"),
    [
        ({("a", 0): 1}, {"a": [0, 1, 2], "b": [0, 1, 2]}, [0]),
        ({("a (2)", 1): 2}, {"a": [0, 2, 4], "b": [0, 1, 2]}, [1, 1]),
        (
            {("a", 0): 2, ("a (3)", 2): 2, ("b (2)", 1): 2},
            {"a": [1, 4, 5], "b": [0, 2, 4]},
            [0, 0, 1, 1, 2, 2],
        ),
        (
            {("a", 0): 1, ("a (2)", 1): 1, ("a (3)", 2): 1},
            {"a": [0, 1, 2], "b": [0, 1, 2]},
            [0, 1, 2],
        ),
        ({("a", 0): 2, ("a", 4): 2, ("a", 5): 9}, {"a": [1, 2], "b": [0, 1, 2]}, [0, 0, 4, 4, 5]),
    ],
    ids=["once", "twice", "two of one recipe", "all once", "time and again"],
)
def test_lost_repeats_of_variants_are_trained_again_with_their_seed_and_then_with_one_that_no_recipe_has(
    begin, losses, trained, failed
):
    """Without a search there are no confirmations that would make up for them."""
    search, folder, _ = begin(sweep=VARIANTS)
    run_and_lose(search, folder, losses)
    assert search.is_over
    seeds_of = {
        c.trial.name or c.trial.role: sorted(trial.seed_number for trial in c.trainings)
        for c in candidates(folder.trials())
    }
    assert seeds_of == trained
    assert (
        sorted(trial.seed_number for trial in folder.trials() if trial.state == "FAILED") == failed
    )


def test_lost_points_of_a_grid_are_asked_for_again_with_their_seed_and_then_with_another(begin):
    space = SearchSpace({"mix.synthetic": Choice(values=(0.25, 0.5, 0.75))})
    grid = SWEEP.replace({"space": (space,), "sampler": "grid", "trials": 3, "controls": ()})
    search, folder, _ = begin(sweep=grid)
    run_and_lose(search, folder, {("search", 0): 3})
    first, again, another = (
        [
            trial.recipe.mix.synthetic
            for trial in folder.trials()
            if (trial.state, trial.seed_number) == key
        ]
        for key in (("FAILED", 0), ("COMPLETE", 0), ("COMPLETE", 3))
    )
    assert len(first) == 3
    assert sorted(again + another) == [0.25, 0.5, 0.75], "no cell of the grid is empty"
    assert Counter(first)[another[0]] == 2


@pytest.mark.parametrize(
    "changes", [{}, {"sampler": "nsga2", "objective": ("val/mAP", "images")}], ids=["tpe", "nsga2"]
)
def test_a_lost_point_is_asked_for_again_and_what_a_sampler_has_drawn_is_not(begin, changes):
    points = ({"mix.synthetic": 0.5, "training.learning_rate": 1e-3},)
    search, folder, _ = begin(
        sweep=SWEEP.replace({"points": points, "trials": 13, "controls": (), **changes})
    )
    run_and_lose(search, folder, {("search", 0): 3})
    trials = folder.trials()
    assert [trial.params["mix.synthetic"] == 0.5 for trial in trials] == 3 * [True] + 12 * [False]
    assert [trial.seed_number for trial in trials] == [0, 0, 3] + 12 * [0]
    assert [trial.number for trial in trials if trial.cause == "lost"] == [0, 1, 3]


def test_a_trial_that_diverges_counts_as_the_worst_in_spite_of_earlier_reports(begin, store):
    search, folder, tracking = begin()
    numbers = [search.propose().number for _ in range(3)]
    for number in numbers:
        search.report(number, 25, {OBJECTIVE: 0.9}, {})
    search.end(2, "training: the loss must be finite, got nan", "diverged")
    trial = folder.trials()[2]
    assert (trial.state, trial.cause, trial.value, trial.final) == ("FAILED", "diverged", 0.9, 0.0)
    recorded = search._study._study.trials[2]
    assert (recorded.state.name, recorded.value) == ("COMPLETE", 0.0)
    rebuilt = Study(SWEEP)
    rebuilt.replay(folder.ledger.events(), search.trials)
    assert rebuilt._study.trials[2].value == 0.0
    search.close()
    run = children(store, tracking)[2]
    assert run.data.metrics[OBJECTIVE] == 0.0, "else it would stand first in MLflow"
    (mirrored,) = optuna.load_study(
        study_name="run", storage=f"sqlite:///{folder.path / 'study.db'}"
    ).trials
    assert (mirrored.state.name, mirrored.value) == ("COMPLETE", 0.0)


def test_of_several_goals_what_diverged_is_not_the_cheapest(begin):
    goals = ("val/mAP", "images", "real_images")
    sweep = SWEEP.replace({"objective": goals, "sampler": "nsga2"})
    search, folder, _ = begin(sweep=sweep)
    for number in range(4):
        search.propose()
        if number < 3:
            search.report(number, 100, {OBJECTIVE: 0.2 + number / 10}, {"real_images": 40 * number})
            search.end(number)
    search.end(3, "training: the loss must be finite, got nan", "diverged")
    ended = [event["values"] for event in folder.ledger.events() if event["event"] == "ended"]
    assert ended[3] == [0.0, 100.0, 80.0]
    assert 3 not in [trial.number for trial in search._study._study.best_trials]
    search.close()
    mirrored = optuna.load_study(study_name="run", storage=f"sqlite:///{folder.path / 'study.db'}")
    assert mirrored.trials[3].values == ended[3]
    assert 3 not in [trial.number for trial in mirrored.best_trials]


def test_the_sampler_learns_to_keep_away_from_where_training_diverges():
    """The higher the rate the better, and beyond 1e-3 training diverges."""
    space = SearchSpace({"training.learning_rate": Float(low=1e-4, high=1e-2, log=True)})
    sweep = SWEEP.replace({"space": (space,), "controls": (), "trials": 60})

    def beyond(cause):
        study, rates = Study(sweep), []
        for number in range(60):
            rates.append(study.ask(number).recipe.training.learning_rate)
            if rates[-1] > 1e-3:
                study.tell(number, "FAILED", [0.0], cause)
            else:
                study.tell(number, "COMPLETE", [rates[-1] * 300])
        return sum(rate > 1e-3 for rate in rates)

    assert beyond("diverged") < 0.6 * beyond("lost")


@pytest.mark.parametrize("kill_after", [1, 5, 12, 23, 30])
def test_a_search_rebuilt_from_its_ledger_ends_as_the_undisturbed_one(
    begin, tmp_path, store, kill_after
):
    undisturbed = RunFolder.create(tmp_path / "undisturbed", SWEEP, {})
    whole, _, _ = begin(undisturbed)
    run_all(whole)

    killed, folder, tracking = begin()
    run_all(killed)
    tracking.wait()  # or it would go on writing after its death
    lines = (folder.path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    # the kill fell into the middle of a write
    torn = lines[kill_after][: len(lines[kill_after]) // 2]
    (folder.path / "ledger.jsonl").write_bytes(b"".join(lines[:kill_after]) + torn)

    resumed, _, tracking = begin(folder, tracking.parent)
    run_all(resumed)

    def table(of):
        return [(t.number, t.kind, t.params, t.state, t.rungs, t.reason) for t in of.trials()]

    assert table(folder) == table(undisturbed)
    assert {run.info.status for run in children(store, tracking).values()} == {"FINISHED"}
    assert len(children(store, tracking)) == 12, "no second run for a trial"


def test_an_interrupted_search_leaves_nothing_running_in_mlflow(begin, store):
    search, folder, tracking = begin()
    first, second = search.propose(), search.propose()
    search.report(second.number, 25, {OBJECTIVE: 0.1}, {})
    search.checkpoint(second.number, "/somewhere/checkpoint_000000")
    search.interrupt()
    assert {run.info.status for run in children(store, tracking).values()} == {"KILLED"}
    again, _, tracking = begin(folder, tracking.parent)
    assert again.remaining == 12
    taken = [again.propose(), again.propose()]
    assert [(trial.number, trial.recipe) for trial in taken] == [
        (trial.number, trial.recipe) for trial in (first, second)
    ]
    assert [trial.checkpoint for trial in taken] == [None, "/somewhere/checkpoint_000000"]
    assert {run.info.status for run in children(store, tracking).values()} == {"RUNNING"}


def test_the_scenes_of_a_trial_are_shown_until_it_trains(begin):
    search, folder, _ = begin()
    first, second = search.propose().number, search.propose().number
    search.show_scenes(first, 3, 8)
    search.show_scenes(second, 8, 8)
    search.show_scenes(first, 6, 8)
    search.report(first, 25, {OBJECTIVE: 0.1}, {})
    search.report(first, 50, {OBJECTIVE: 0.2}, {})
    names = [f"scenes of trial {number}" for number in (first, second)]
    assert search._display.counts == [
        (names[0], 3, 8),
        (names[1], 8, 8),
        (names[0], 6, 8),
        (names[0], 8, 8),
    ]
    assert [event["event"] for event in folder.ledger.events()] == [
        "attempt",
        "asked",
        "asked",
        "report",
        "report",
    ]


def test_a_rung_reported_twice_counts_once(begin):
    search, folder, _ = begin()
    number = search.propose().number
    for value in (0.1, 0.9):
        search.report(number, 25, {OBJECTIVE: value}, {})
    assert [(rung.images, rung.metrics[OBJECTIVE]) for rung in folder.trials()[0].rungs] == [
        (25, 0.1)
    ]


def test_a_control_outside_the_space_is_run_but_not_modelled():
    narrow = SWEEP.model_copy(
        update={"space": (SearchSpace({"mix.synthetic": Float(low=0.2, high=0.8)}),)}
    )
    study = Study(narrow)
    kinds = [study.ask(number).kind for number in range(3)]
    assert kinds == ["real_only", "synthetic_only", "search"]
    assert [trial.number for trial in study._study.trials] == [0], (
        "only the proposal is in Optuna's study"
    )
    study.tell(0, "COMPLETE", [0.3])


def test_a_tracking_server_that_does_not_answer_is_named():
    with pytest.raises(
        MachineError, match=r"tracking server http://127\.0\.0\.1:9: does not answer .*Start it"
    ):
        check_server("http://127.0.0.1:9")


def test_pairs_can_be_searched_and_are_replayed(tmp_path):
    pairs = ((0.5, 1.1), (0.9, 1.5))
    space = (SearchSpace({"scene.background_scale": Choice(values=pairs)}),)
    study = Study(LoadedSweep(question="?", space=space, trials=6, controls=()))
    proposals = [study.ask(number) for number in range(6)]
    assert {proposal.recipe.scene.background_scale for proposal in proposals} == set(pairs)
    assert {proposal.params["scene.background_scale"] for proposal in proposals} == set(pairs)
    events = [
        asked(p.number, recipe=p.recipe.flat())
        | {"point": {name: list(value) for name, value in p.point.items()}}  # as JSON keeps them
        for p in proposals[:5]
    ]
    again = Study(LoadedSweep(question="?", space=space, trials=6, controls=()))
    again.replay(events, trials_of(events))
    assert again.ask(5) == proposals[5]


def search_and_confirm(search, top=2):
    """A whole search: proposals, then confirmations, each on the made-up curve."""
    run_all(search)
    search.confirm(finalists(list(search.trials.values()), top))
    run_all(search)


def table(folder):
    return [(t.number, t.kind, t.of, t.params, t.state, t.rungs, t.reason) for t in folder.trials()]


def test_the_best_and_the_controls_are_trained_again_and_never_pruned(begin, store):
    search, folder, tracking = begin()
    search_and_confirm(search)
    trials = folder.trials()
    best = sorted(
        (t for t in trials if t.kind == "search" and t.state == "COMPLETE"), key=lambda t: -t.value
    )[:2]
    confirmed = [t for t in trials if t.kind == "confirm"]
    assert [t.of for t in confirmed] == 2 * [0, 1, *(t.number for t in best)], (
        "one round of seeds after the other"
    )
    assert {t.state for t in confirmed} == {"COMPLETE"}
    assert all(t.recipe == trials[t.of].recipe for t in confirmed)
    assert search.is_over
    runs = children(store, tracking)
    assert runs[confirmed[-1].number].data.tags["of"] == str(confirmed[-1].of)
    search.confirm(finalists(trials, 2))
    assert search.remaining == 0, "what was confirmed is not confirmed again"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, store):
    """The ledger of a whole search with confirmations, line by line, and its table."""
    folder = RunFolder.create(tmp_path_factory.mktemp("undisturbed") / "run", SWEEP, {})
    search_and_confirm(Search(folder, SWEEP, Silent()))
    return (folder.path / "ledger.jsonl").read_bytes().splitlines(keepends=True), table(folder)


@settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_after_a_kill_at_any_event_the_table_is_the_same(
    undisturbed, tmp_path_factory, store, data
):
    lines, expected = undisturbed
    kept = data.draw(st.integers(0, len(lines)))
    torn = (
        lines[kept][: data.draw(st.integers(0, len(lines[kept]) - 1))] if kept < len(lines) else b""
    )
    folder = RunFolder.create(tmp_path_factory.mktemp("killed") / "run", SWEEP, {})
    (folder.path / "ledger.jsonl").write_bytes(b"".join(lines[:kept]) + torn)
    tracking = Tracking(store, None, "killed", SWEEP)
    search = Search(folder, SWEEP, Silent(), [tracking])
    search_and_confirm(search)
    assert table(folder) == expected
    assert {run.info.status for run in children(store, tracking).values()} == {"FINISHED"}


def test_a_kill_between_the_pruners_word_and_the_end_costs_no_rung(begin):
    search, folder, tracking = begin()
    run_all(search)
    lines = (folder.path / "ledger.jsonl").read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"state": "PRUNED"' in line)
    number = json.loads(lines[at])["trial"]
    (folder.path / "ledger.jsonl").write_text("".join(lines[:at]))
    again, _, _ = begin(folder, tracking.parent)
    before = folder.trials()[number]
    assert before.state == "RUNNING"
    trial = again.propose()
    assert trial is None or trial.number != number, "it is not trained on"
    assert (folder.trials()[number].state, folder.trials()[number].rungs) == (
        "PRUNED",
        before.rungs,
    )


def test_a_spent_budget_starts_nothing_and_leaves_running_trials_to_resume(begin, store):
    expected, folder, _ = begin()
    run_all(expected)
    whole = table(folder)
    sweep = SWEEP.model_copy(update={"seed": SWEEP.seed})
    other = RunFolder.create(folder.path.with_name("budget"), sweep, {})
    search, _, tracking = begin(other, budget=Budget(images=430))
    run_all(search)
    assert search.spent == "its budget of 430 images is spent"
    assert not search.is_over
    left = [trial for trial in other.trials() if trial.state == "RUNNING"]
    assert len(left) == 1, "one at a time was running"
    assert 430 <= sum(trial.images for trial in other.trials()) < 430 + 25
    search.interrupt()
    assert "RUNNING" not in {run.info.status for run in children(store, tracking).values()}
    more, _, _ = begin(other, tracking.parent, budget=Budget(images=10_000))
    run_all(more)
    assert table(other) == whole, "the same as with the whole budget at once"


def test_hours_count_from_attempt_to_attempt(begin, monkeypatch):
    search, folder, tracking = begin()
    run_one(search, search.propose())
    events = list(folder.ledger.events())
    lines = [json.dumps(event | {"time": 1000.0 + 600 * i}) for i, event in enumerate(events)]
    (folder.path / "ledger.jsonl").write_text("\n".join(lines) + "\n")
    assert folder.ledger.elapsed_s() == 600 * (len(events) - 1)
    again, _, _ = begin(
        folder, tracking.parent, budget=Budget(hours=600 * (len(events) - 1) / 3600)
    )
    assert again.propose() is None
    assert again.spent.startswith("its budget of")


def test_the_sweep_says_what_to_propose_first():
    sweep = SWEEP.model_copy(
        update={
            "points": (
                {"mix.synthetic": 0.25},
                {"mix.synthetic": 0.5, "training.learning_rate": 1e-3},
            )
        }
    )
    study = Study(sweep)
    proposals = [study.ask(number) for number in range(5)][2:]
    assert [p.params["mix.synthetic"] for p in proposals[:2]] == [0.25, 0.5]
    assert proposals[0].params["training.learning_rate"] == SWEEP.recipe.training.learning_rate


def test_the_best_of_an_earlier_run_are_what_a_sweep_can_propose(begin):
    search, folder, _ = begin()
    run_all(search)
    narrow = SWEEP.model_copy(
        update={
            "space": (
                SearchSpace(
                    {"mix.synthetic": Float(low=0.5, high=0.7), "scene.blur": Float(low=0, high=1)}
                ),
            )
        }
    )
    points = best_points(folder.trials(), narrow).points
    assert points
    assert all(
        0.5 <= point["mix.synthetic"] <= 0.7 and point["scene.blur"] == 0.5 for point in points
    )


def test_trials_that_train_alike_from_different_recipes_are_noted(begin):
    search, _, _ = begin()
    display = search._display
    for _ in range(3):
        number = search.propose().number
        for images in RUNGS:
            search.report(
                number, images, {OBJECTIVE: images / 100, "images_per_second": number}, {}
            )
        search.end(number)
    assert len(display.notes) == 2
    assert display.notes[0] == (
        "Trials 0 and 1 have different recipes and identical results: "
        "the settings that differ had no effect (synthetic share)"
    )


def test_a_trial_with_too_little_gpu_memory_is_noted_once_for_each_division(begin):
    search, _, _ = begin()
    number = search.propose().number
    for images, parts in zip(RUNGS, (1, 2, 2, 4), strict=True):
        search.report(number, images, {OBJECTIVE: 0.1}, {"batch_parts": parts})
    words = "had too little GPU memory for whole batches: it trains each in"
    assert search._display.notes == [
        f"trial 0 {words} {parts} parts, whose gradients are added, and needs more time"
        for parts in (2, 4)
    ]


CHOICES = SearchSpace(
    {
        "mix.synthetic": Choice(values=(0.0, 0.5, 1.0)),
        "scene.objects": Choice(values=(10, 40)),
    }
)


def test_a_grid_is_searched_whole_and_ends():
    sweep = LoadedSweep(question="?", space=(CHOICES,), sampler="grid", trials=50, controls=())
    assert sweep.proposals == 6
    study = Study(sweep)
    proposals = [study.ask(number) for number in range(7)]
    assert proposals[6] is None
    assert len({str(p.params) for p in proposals[:6]}) == 6


def test_several_goals_are_searched_without_pruning():
    sweep = LoadedSweep(
        question="?",
        space=(CHOICES,),
        sampler="nsga2",
        objective=("val/mAP", "images"),
        trials=30,
        controls=(),
    )
    study = Study(sweep)
    for number in range(30):
        proposal = study.ask(number)
        assert not study.report(number, 1000, 0.0)
        study.tell(number, "COMPLETE", [proposal.recipe.mix.synthetic, 4000.0])
    assert len(study._study.best_trials) >= 1


@pytest.mark.parametrize(
    ("sampler", "objective"),
    [("nsga2", ("val/mAP", "images")), ("random", "val/mAP"), ("tpe", "val/mAP")],
)
def test_a_study_rebuilt_from_events_proposes_the_same(sampler, objective):
    shares = {
        "mix.schedule": Choice(values=("mixed", "staged")),
        "mix.synthetic": Float(low=0, high=1),
    }
    space = SearchSpace(
        shares | {"mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "staged"})}
    )
    sweep = LoadedSweep(
        question="?", space=(space,), sampler=sampler, objective=objective, trials=26
    )
    study, events, proposals = Study(sweep), [], []
    for number in range(28):
        proposal = study.ask(number)
        value = 1 - abs(proposal.recipe.mix.synthetic - 0.6)
        values = [value] if objective == "val/mAP" else [value, number]
        study.tell(number, "COMPLETE", values)
        events += [
            asked(number, **proposal.facts),
            {"event": "ended", "trial": number, "state": "COMPLETE", "values": values},
        ]
        proposals.append(proposal)
    for cut in (3, 14, 27):
        again = Study(sweep)
        before = json.loads(json.dumps(events[: 2 * cut]))
        again.replay(before, trials_of(before))
        assert again.ask(cut).point == proposals[cut].point


def test_the_study_can_be_opened_by_optuna(begin):
    search, folder, _ = begin()
    search_and_confirm(search)
    search.close()
    again, _, _ = begin(folder)
    again.close()
    study = optuna.load_study(
        study_name=folder.path.name, storage=f"sqlite:///{folder.path / 'study.db'}"
    )
    states = {trial.user_attrs["trial"]: trial.state.name for trial in study.trials}
    assert states == {trial.number: trial.state for trial in folder.trials()}
    pruned = next(trial for trial in study.trials if trial.state.name == "PRUNED")
    assert pruned.params.keys() == {"mix.synthetic", "training.learning_rate"}
    assert sorted(pruned.intermediate_values) == list(RUNGS[: len(pruned.intermediate_values)])


def test_a_study_file_that_a_kill_broke_is_made_again(begin):
    search, folder, tracking = begin()
    run_all(search)
    search.close()
    path = folder.path / "study.db"
    for broken in (b"", path.read_bytes()[:5000], path.read_bytes()[: path.stat().st_size // 2]):
        path.write_bytes(broken)
        again, _, tracking = begin(folder, tracking.parent)
        again.close()
        assert len(optuna.load_study(study_name="run", storage=f"sqlite:///{path}").trials) == 12


def test_a_study_file_that_cannot_be_written_is_noted_once_and_the_search_goes_on(
    begin, monkeypatch, tmp_path
):
    monkeypatch.setattr("syndet_ray.tracking.mirror._PATIENCE_S", 0.0)
    search, folder, tracking = begin()
    (folder.path / "study.db").mkdir()
    run_all(search)
    for _ in range(2):
        search.close()
    (note,) = search._display.notes
    assert note.startswith(f"{folder.path / 'study.db'} cannot be written (")
    assert note.endswith("the search goes on, and a later resume writes it")
    mirror = search._listeners[1]
    mirror._path = tmp_path / "other.db"  # its thread tries again as long as this process lives
    (folder.path / "study.db").rmdir()
    again, _, _ = begin(folder, tracking.parent)
    again.close()
    assert (
        len(
            optuna.load_study(
                study_name="run", storage=f"sqlite:///{folder.path / 'study.db'}"
            ).trials
        )
        == 12
    )


def test_a_study_file_is_added_to_and_not_written_again(begin):
    search, folder, tracking = begin()
    run_one(search, search.propose())
    search.close()
    before = (folder.path / "study.db").stat().st_ino
    again, _, _ = begin(folder, tracking.parent)
    run_all(again)
    again.close()
    trials = optuna.load_study(
        study_name="run", storage=f"sqlite:///{folder.path / 'study.db'}"
    ).trials
    assert [trial.user_attrs["trial"] for trial in trials] == list(range(12))
    assert (folder.path / "study.db").stat().st_ino == before


def test_a_search_goes_on_without_mlflow(begin):
    search, folder, tracking = begin()
    tracking.wait()
    for part in (tracking._run, tracking._trial_runs):
        part._client = None
    run_all(search)
    assert len(folder.trials()) == 12
    assert search.is_over
    assert tracking.end("FINISHED", patience_s=0).startswith("trial 0, trial 1, ")


def test_a_champion_is_registered_once(begin, tmp_path, store):
    search, folder, tracking = begin()
    run_all(search)
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "model.json").write_text("{}")
    best = max(folder.trials(), key=lambda trial: trial.value)
    versions = []
    for value in (0.25, 0.25, 0.5):
        tracking.register_champion("syndet_ray-once", tmp_path / "champion", best, {"mAP": value})
        tracking.wait()
        champion = MlflowClient(store).get_model_version_by_alias("syndet_ray-once", "champion")
        versions.append(str(champion.version))
    assert versions == ["1", "1", "2"]


def test_runs_that_others_nest_under_a_sweep_are_left_alone(begin, store):
    search, folder, tracking = begin()
    run_one(search, search.propose())
    tracking.wait()
    client = MlflowClient(store)
    experiment = client.get_run(tracking.parent).info.experiment_id
    client.create_run(experiment, tags={"mlflow.parentRunId": tracking.parent})
    again, _, _ = begin(folder, tracking.parent)
    run_all(again)
    assert again.is_over


def test_a_store_whose_driver_is_not_installed_is_named():
    with pytest.raises(
        MachineError, match=r"^MLflow's store mysql\+nothere://host/runs: cannot be used \("
    ):
        Tracking("mysql+nothere://host/runs", None, "driver", SWEEP)


def test_a_recorded_point_that_means_another_recipe_today_is_where_the_recipe_lies():
    """An earlier version mapped the axes of a simplex in another way: the sampler would learn from
    shares that no trial had.
    """
    sources = {
        "a": Scenes(changes={"scene.objects": 10}),
        "b": Scenes(changes={"scene.objects": 70}),
    }
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "a", "b"))})
    sweep = LoadedSweep(
        question="?", recipe=Recipe(mix=Mix(sources=sources)), space=(space,), controls=()
    )
    recipe = sweep.recipe.replace({"mix.synthetic": 0.7, "mix.parts": {"a": 0.1, "b": 0.9}})
    known = space.point(recipe)
    for recorded, expected in ((dict.fromkeys(known, 0.5), known), (known, known)):
        study = Study(sweep)
        events = [asked(0, recipe=recipe.flat(), point=recorded)]
        study.replay(events, trials_of(events))
        assert study._study.trials[0].params == pytest.approx(expected)


def test_a_run_that_a_kill_left_half_begun_in_mlflow_is_completed(begin, store):
    search, folder, tracking = begin()
    run_one(search, search.propose())
    tracking.wait()
    client, trial = MlflowClient(store), folder.trials()[0]
    tags = {
        "mlflow.parentRunId": tracking.parent,
        "kind": "search",
        "trial": "1",
        "state": "RUNNING",
    }
    search.propose()
    tracking.wait()
    client.delete_run(children(store, tracking)[1].info.run_id)
    # and no parameters
    client.create_run(client.get_run(tracking.parent).info.experiment_id, tags=tags)
    again, _, tracking = begin(folder, tracking.parent)
    run_all(again)
    runs = children(store, tracking)
    assert runs[1].data.params.keys() == {
        path for path, value in trial.settings.items() if value not in (None, {})
    }
    assert (runs[1].info.status, runs[1].data.tags["state"]) == ("FINISHED", "COMPLETE")


SIZES = SearchSpace(
    {
        "scene.image_px": Choice(values=(128, 640)),
        "scene.size_px": Choice(values=((30.0, 50.0), (90.0, 300.0))),
    }
)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_point_of_which_no_recipe_can_be_made_is_drawn_again(begin, sampler):
    """Each value may be had with the sweep's own recipe, but not all of them together."""
    recipe = Recipe().replace({"scene.image_px": 640, "training.images": 100})
    sweep = SWEEP.replace({"space": (SIZES,), "recipe": recipe, "trials": 12, "sampler": sampler})
    search, folder, tracking = begin(sweep=sweep)
    run_all(search)
    whole = table(folder)
    assert {trial.state for trial in folder.trials()} <= {"COMPLETE", "PRUNED"}
    asked = [event for event in folder.ledger.events() if event["event"] == "asked"]
    discarded = [point for event in asked for point in event["discarded"]]
    assert discarded
    assert all(
        point == {"scene.image_px": 128, "scene.size_px": [90.0, 300.0]} for point in discarded
    )
    lines = (folder.path / "ledger.jsonl").read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if '"discarded": [{' in line)
    (folder.path / "ledger.jsonl").write_text("".join(lines[: at + 1]))  # asked for, and killed
    again, _, _ = begin(folder, tracking.parent, sweep=sweep)
    run_all(again)
    assert table(folder) == whole


def test_a_study_of_generations_that_draws_often_is_rebuilt_from_its_events():
    """Most points are impossible, so that many a proposal comes from chance and belongs to no
    generation.
    """
    sizes = Choice(values=((30.0, 50.0), *((float(k), 300.0) for k in range(40, 59))))
    space = SearchSpace(
        {
            "scene.image_px": Choice(values=(128, 129)),
            "scene.size_px": sizes,
            "mix.synthetic": Float(low=0, high=1),
        }
    )
    recipe = Recipe().replace({"scene.image_px": 640, "training.images": 100})
    goals = ("val/mAP", "images")
    sweep = LoadedSweep(
        question="?",
        recipe=recipe,
        space=(space,),
        sampler="nsga2",
        objective=goals,
        trials=24,
        controls=(),
    )
    study, events, proposals = Study(sweep), [], []
    for number in range(24):
        proposal = study.ask(number)
        values = [1 - abs(proposal.recipe.mix.synthetic - 0.6), float(number)]
        events.append(asked(number, **proposal.facts))
        state = "FAILED" if proposal.impossible else "COMPLETE"
        study.tell(number, state, values)
        events.append({"event": "ended", "trial": number, "state": state, "values": values})
        proposals.append(proposal)
    assert max(len(proposal.discarded) for proposal in proposals) > 10
    for cut in (12, 18, 23):
        again = Study(sweep)
        before = json.loads(json.dumps(events[: 2 * cut]))
        again.replay(before, trials_of(before))
        assert again.ask(cut).point == proposals[cut].point


def test_a_space_in_which_nothing_is_possible_ends_with_the_reason(begin):
    large = Choice(values=((90.0, 300.0), (100.0, 300.0)))
    space = SearchSpace({"scene.image_px": Choice(values=(128, 130)), "scene.size_px": large})
    recipe = Recipe().replace({"scene.image_px": 640, "training.images": 100})
    search, folder, _ = begin(
        sweep=SWEEP.replace({"space": (space,), "recipe": recipe, "trials": 2})
    )
    run_all(search)
    failed = [trial for trial in folder.trials() if trial.kind == "search"]
    assert [trial.state for trial in failed] == ["FAILED", "FAILED"]
    assert all("size_px must be at most image_px" in trial.reason for trial in failed)


def test_a_share_of_less_than_one_image_is_no_recipe_of_its_own(begin):
    """Of 100 images .4 % are none: a training would be that of real images alone."""
    shares = SearchSpace({"mix.synthetic": Float(low=0.0, high=0.03)})
    search, folder, _ = begin(sweep=SWEEP.replace({"space": (shares,), "trials": 12}))
    run_all(search)
    asked = [trial.recipe.mix.synthetic for trial in folder.trials() if trial.kind == "search"]
    assert min(asked) >= 0.01
    events = [json.loads(line) for line in (folder.path / "ledger.jsonl").read_text().splitlines()]
    discarded = [point["mix.synthetic"] for event in events for point in event.get("discarded", ())]
    assert discarded
    assert max(discarded) < 0.01


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.004, "'synthetic' .*, got '0.4 images'"), (0.997, "'real' .*, got '0.3 images'")],
)
def test_a_grid_with_a_share_of_less_than_one_image_tells_so(begin, share, said):
    shares = SearchSpace({"mix.synthetic": Choice(values=(0.5, share))})
    search, folder, _ = begin(sweep=SWEEP.replace({"space": (shares,), "sampler": "grid"}))
    run_all(search)
    (failed,) = [trial for trial in folder.trials() if trial.state == "FAILED"]
    assert re.match(rf"mix: the share of {said}\. Raise training.images\.", failed.reason)


def test_a_given_point_of_which_no_recipe_can_be_made_is_reported_and_not_replaced(begin):
    recipe = Recipe().replace({"scene.image_px": 640, "training.images": 100})
    sweep = SWEEP.replace({"space": (SIZES,), "recipe": recipe, "trials": 4, "sampler": "grid"})
    search, folder, _ = begin(sweep=sweep)
    run_all(search)
    searched = [trial for trial in folder.trials() if trial.kind == "search"]
    assert sorted(trial.state == "FAILED" for trial in searched) == [False, False, False, True]


def test_trials_of_different_lengths_are_pruned_at_equal_rungs():
    """Where the search varies how long a trial trains, numbers of images meet nowhere: nothing was
    ever pruned.
    """
    lengths = tuple(range(100, 400, 7))
    space = SearchSpace({"training.images": Choice(values=lengths)})
    sweep = SWEEP.replace({"space": (space,), "controls": (), "trials": 20, "sampler": "random"})
    study, pruned = Study(sweep), 0
    for number in range(20):
        total = study.ask(number).recipe.training.images
        is_hopeless = number >= 10
        for images in rung_images(total, 4):
            if study.report(number, images, 0.001 if is_hopeless else 0.5):
                assert is_hopeless
                assert images == rung_images(total, 4)[1], "one rung of grace"
                study.tell(number, "PRUNED", [0.001])
                pruned += 1
                break
        else:
            study.tell(number, "COMPLETE", [0.5])
    assert pruned == 10


def confirm_all(search, ends):
    """Trains finalists again until no seed is missing. ends: how each goes, by trial of the search
    and seed, in order.
    """
    chosen, trials = finalists(list(search.trials.values()), 2), search.trials
    while any(missing_seeds(trial, list(trials.values()), SWEEP) for trial in chosen):
        search.confirm(chosen)
        while (trial := search.propose()) is not None:
            fates = ends.get((trial.of, trial.seed_number), [])
            if fates and (fate := fates.pop(0)) is not None:
                search.report(trial.number, 25, {OBJECTIVE: 0.9}, {})
                search.end(trial.number, f"it was {fate}", fate)
            else:
                run_one(search, trial)


def test_a_confirmation_that_is_lost_is_trained_again_with_its_seed_and_then_with_another(begin):
    search, folder, _ = begin()
    run_all(search)
    confirm_all(search, {(0, 1): ["lost"], (1, 2): ["lost", "lost"]})
    confirmations = [(t.of, t.seed_number, t.state) for t in folder.trials() if t.of in (0, 1)]
    assert sorted(confirmations) == [
        (0, 1, "COMPLETE"),
        (0, 1, "FAILED"),
        (0, 2, "COMPLETE"),
        (1, 1, "COMPLETE"),
        (1, 2, "FAILED"),
        (1, 2, "FAILED"),
        (1, 3, "COMPLETE"),
    ]
    replicas = [t.replica for t in folder.trials() if t.of == 0]
    assert len(set(replicas)) == len(replicas)
    assert {
        len(c.trainings) for c in candidates(folder.trials()) if c.trial.name != "synthetic_only"
    } == {2}


def test_a_confirmation_that_diverges_counts_as_nothing_found(begin):
    search, folder, _ = begin()
    run_all(search)
    confirm_all(search, {(0, 1): ["diverged"], (1, 1): ["mistake"]})
    real, synthetic = (
        next(c for c in candidates(folder.trials()) if c.trial.kind == kind)
        for kind in CONTROL_CHANGES
    )
    assert [training.seed_number for training in real.trainings] == [1, 2]
    assert [training.diverged for training in real.trainings] == [True, False]
    assert real.mean == pytest.approx(real.trainings[1].value / 2)
    assert [training.seed_number for training in synthetic.trainings] == [2], (
        "a mistake is not made twice"
    )


def test_whole_numbers_may_stand_among_the_choices_of_a_real_setting():
    space = SearchSpace({"mix.synthetic": Choice(values=(0, 0.5, 1))})
    study = Study(LoadedSweep(question="?", space=(space,), trials=4))
    assert [study.ask(number).recipe.mix.synthetic for number in range(2)] == [0.0, 1.0]
    assert {study.ask(number).recipe.mix.synthetic for number in range(2, 6)} <= {0.0, 0.5, 1.0}


def test_the_repeats_of_a_variant_count_among_its_trainings_and_no_seed_is_used_twice(begin):
    variants, confirm = {"a": {}, "b": {"scene.blur": 0.1}}, Confirmation(top=1, seeds=3)
    sweep = SWEEP.replace(
        {"variants": variants, "repeats": 2, "controls": ("real_only",), "confirm": confirm}
    )
    search, folder, _ = begin(sweep=sweep)
    search_and_confirm(search, top=1)
    replicas = {}
    for trial in folder.trials():
        first = trial if trial.of is None else folder.trials()[trial.of]
        other = trial.kind if trial.of is None else trial.of
        name = first.name if first.role == "variant" else other
        replicas.setdefault(name, []).append(trial.replica)
    assert replicas["a"] == replicas["b"] == [0, 1, 2]
    assert [numbers for name, numbers in replicas.items() if isinstance(name, int)] == 2 * [
        [1, 2, 3]
    ]


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_all_trainings_that_count_have_the_same_seeds(begin, repeats):
    variants = {"a": {}, "b": {"scene.blur": 0.1}}
    confirm = Confirmation(top=1, seeds=3)
    sweep = SWEEP.replace(
        {"variants": variants, "repeats": repeats, "controls": ("real_only",), "confirm": confirm}
    )
    search, folder, _ = begin(sweep=sweep)
    search_and_confirm(search, top=1)
    trained = candidates(folder.trials())
    assert sorted(candidate.trial.name or "search" for candidate in trained) == [
        "a",
        "b",
        "real_only",
        "search",
    ]
    for candidate in trained:
        assert sorted(training.seed_number for training in candidate.trainings) == [1, 2, 3]
    assert {
        trial.seed_number for trial in folder.trials() if trial.kind in ("search", "real_only")
    } == {0}


def test_without_a_search_the_first_trainings_share_the_first_seed():
    space = SearchSpace({"scene.noise": Float(low=0, high=1)})
    variants = {"a": {}, "b": {"scene.blur": 0.1}}
    sweep = LoadedSweep(question="?", trials=0, variants=variants, repeats=2, space=(space,))
    study = Study(sweep)
    proposals = [study.ask(number) for number in range(study.remaining)]
    numbers = {proposal.kind: proposal.seed_number for proposal in proposals}
    assert numbers == {"real_only": 0, "synthetic_only": 0, "a": 0, "b": 0, "a (2)": 1, "b (2)": 1}


def test_a_staged_trial_is_judged_only_once_it_has_seen_real_images():
    schedule = Choice(values=("mixed", "staged"))
    switch = Float(low=0.3, high=0.9, when={"mix.schedule": "staged"})
    space = SearchSpace({"mix.schedule": schedule, "mix.switch_at": switch})
    points = ({"mix.schedule": "staged", "mix.switch_at": 0.6}, {"mix.schedule": "mixed"})
    sweep = SWEEP.replace(
        {"space": (space,), "controls": (), "points": (*[points[1]] * 3, *points), "trials": 5}
    )
    study = Study(sweep)
    for number in range(3):
        study.ask(number)
        for images in RUNGS:
            study.report(number, images, 0.9)
        study.tell(number, "COMPLETE", [0.9])
    staged, mixed = study.ask(3), study.ask(4)
    assert (staged.recipe.mix.schedule, mixed.recipe.mix.schedule) == ("staged", "mixed")
    assert [study.report(3, images, 0.1) for images in RUNGS] == [False, False, True, False], (
        "after 60 images, not before"
    )
    assert [study.report(4, images, 0.1) for images in RUNGS] == [False, True, True, False]
