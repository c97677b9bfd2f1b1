"""Study and Search: proposals, pruning, the ledger and MLflow, without Ray."""

import pytest
from mlflow import MlflowClient

from syndet_ray import Choice, Float, Pruning, Recipe, SearchSpace, Sweep, Training
from syndet_ray.errors import MachineError
from syndet_ray.results import OBJECTIVE, RunFolder
from syndet_ray.tuning.search import Search
from syndet_ray.tuning.study import Study
from syndet_ray.tuning.tracking import Tracking, check_server, local_store

RUNGS = (25, 50, 75, 100)
SWEEP = Sweep(
    question="Which share?",
    recipe=Recipe(training=Training(images=100)),
    space=(
        SearchSpace(
            {"mix.synthetic": Float(low=0, high=1), "training.learning_rate": Float(low=1e-4, high=1e-2, log=True)}
        ),
    ),
    trials=10,
    rungs=4,
    pruning=Pruning(name="median", startup_trials=2, grace_rungs=1),
    seed=3,
)


class Silent:
    """A display that keeps what it was told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def begin(self, trials, images): ...
    def trial(self, trial): ...
    def progress(self, what, done, total): ...
    def end(self): ...


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One sqlite store for all tests of this file: making one takes a second."""
    return local_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def begin(tmp_path, store, request):
    """Begins a search in a new folder, or goes on with an earlier one."""
    name = request.node.name[:40]

    def make(folder=None, parent=None, sweep=SWEEP):
        tracking = Tracking(store, tmp_path / "artifacts", name, sweep, parent)
        folder = folder or RunFolder.create(tmp_path / "run", sweep, {})
        return Search(folder, sweep, tracking, Silent()), folder, tracking

    return make


def curve(recipe, images):
    """A made-up validation mAP: best at 60 % synthetic, growing with images."""
    return (1 - abs(recipe.mix.synthetic - 0.6)) * images / 100


def run_one(search, assignment, rungs=RUNGS):
    """Runs one trial on the made-up curve, as far as it is let."""
    proposal = assignment.proposal
    for images in rungs:
        if search.report(proposal.number, images, {OBJECTIVE: curve(proposal.recipe, images)}, {"device": "cpu"}):
            break
    search.end(proposal.number)


def run_all(search):
    while (assignment := search.propose()) is not None:
        run_one(search, assignment)


def children(store, tracking):
    client = MlflowClient(store)
    experiment = client.get_run(tracking.parent).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{tracking.parent}'")
    return {int(run.data.tags["trial"]): run for run in found}


def test_controls_come_first_and_all_trials_end(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    trials = folder.trials()
    assert [trial.kind for trial in trials] == ["real_only", "synthetic_only"] + ["search"] * 10
    assert [trial.recipe["mix.synthetic"] for trial in trials[:2]] == [0.0, 1.0]
    assert {trial.state for trial in trials} == {"COMPLETE", "PRUNED"}
    assert search.remaining == 0
    assert trials == tuple(search.trials.values())


def test_a_pruned_trial_stops_early_and_tells_why(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    pruned = [trial for trial in folder.trials() if trial.state == "PRUNED"]
    assert pruned
    assert all(50 <= trial.images < 100 for trial in pruned), "one rung of grace, and never at the last"
    assert all(trial.kind == "search" for trial in pruned)
    assert f"median pruner after {pruned[0].images} images" == pruned[0].reason
    told = {trial.number: trial for trial in search._study._study.trials}
    assert told[pruned[0].number].state.name == "PRUNED"
    assert sorted(told[pruned[0].number].intermediate_values) == [rung.images for rung in pruned[0].rungs]


def test_controls_are_never_pruned():
    worse = SWEEP.model_copy(
        update={"controls": ("real_only", "synthetic_only"), "pruning": Pruning(startup_trials=0, grace_rungs=0)}
    )
    study = Study(worse)
    numbers = [study.ask().number for _ in range(4)]
    for images in RUNGS[:3]:
        for number in numbers[2:]:
            study.report(number, images, 0.9)
    for number in numbers[2:]:
        study.tell(number, "COMPLETE", 0.9)
    assert not any(study.report(number, images, 0.0) for number in numbers[:2] for images in RUNGS[:3])
    assert study.report(study.ask().number, 25, 0.0), "a proposal that does as badly is pruned"


def test_mlflow_has_one_nested_run_a_trial(begin, store):
    search, folder, tracking = begin()
    run_all(search)
    runs = children(store, tracking)
    assert sorted(runs) == [trial.number for trial in folder.trials()]
    for trial in folder.trials():
        run = runs[trial.number]
        assert run.info.status == "FINISHED"
        assert (run.data.tags["state"], run.data.tags["reason"]) == (trial.state, trial.reason)
        assert run.data.params["mix.synthetic"] == str(trial.recipe["mix.synthetic"])
        history = MlflowClient(store).get_metric_history(run.info.run_id, OBJECTIVE)
        assert [(metric.step, metric.value) for metric in history] == [
            (r.images, r.metrics[OBJECTIVE]) for r in trial.rungs
        ]


def test_a_failed_trial_keeps_its_reason_and_the_search_goes_on(begin, store):
    search, folder, tracking = begin()
    for _ in range(2):
        search.propose()
    assignment = search.propose()
    search.end(assignment.proposal.number, failure="loss is not finite, got nan")
    search.end(0)
    run_all(search)
    without_report, _, failed = folder.trials()[:3]
    assert (failed.state, failed.reason) == ("FAILED", "loss is not finite, got nan")
    assert (without_report.state, without_report.reason) == ("FAILED", "ended before its first report")
    assert children(store, tracking)[2].info.status == "FAILED"
    assert len(folder.trials()) == 12


@pytest.mark.parametrize("kill_after", [1, 5, 12, 23, 30])
def test_a_search_rebuilt_from_its_ledger_ends_as_the_undisturbed_one(begin, tmp_path, store, kill_after):
    undisturbed = RunFolder.create(tmp_path / "undisturbed", SWEEP, {})
    whole, _, _ = begin(undisturbed)
    run_all(whole)

    killed, folder, tracking = begin()
    run_all(killed)
    lines = (folder.path / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    torn = lines[kill_after][: len(lines[kill_after]) // 2]  # the kill fell into the middle of a write
    (folder.path / "ledger.jsonl").write_bytes(b"".join(lines[:kill_after]) + torn)

    resumed, _, _ = begin(folder, tracking.parent)
    run_all(resumed)

    def table(of):
        return [(t.number, t.kind, t.params, t.state, t.rungs, t.reason) for t in of.trials()]

    assert table(folder) == table(undisturbed)
    assert {run.info.status for run in children(store, tracking).values()} == {"FINISHED"}
    assert len(children(store, tracking)) == 12, "no second run for a trial"


def test_an_interrupted_search_leaves_nothing_running_in_mlflow(begin, store):
    search, folder, tracking = begin()
    first, second = search.propose(), search.propose()
    search.report(second.proposal.number, 25, {OBJECTIVE: 0.1}, {})
    search.checkpoint(second.proposal.number, "/somewhere/checkpoint_000000")
    search.interrupt()
    assert {run.info.status for run in children(store, tracking).values()} == {"KILLED"}
    again, _, _ = begin(folder, tracking.parent)
    assert again.remaining == 12
    taken = [again.propose(), again.propose()]
    assert [a.proposal for a in taken] == [first.proposal, second.proposal]
    assert [a.checkpoint for a in taken] == [None, "/somewhere/checkpoint_000000"]
    assert {run.info.status for run in children(store, tracking).values()} == {"RUNNING"}


def test_a_rung_reported_twice_counts_once(begin):
    search, folder, _ = begin()
    number = search.propose().proposal.number
    for value in (0.1, 0.9):
        search.report(number, 25, {OBJECTIVE: value}, {})
    assert [(rung.images, rung.metrics[OBJECTIVE]) for rung in folder.trials()[0].rungs] == [(25, 0.1)]


def test_a_control_outside_the_space_is_run_but_not_modelled():
    narrow = SWEEP.model_copy(update={"space": (SearchSpace({"mix.synthetic": Float(low=0.2, high=0.8)}),)})
    study = Study(narrow)
    kinds = [study.ask().kind for _ in range(3)]
    assert kinds == ["real_only", "synthetic_only", "search"]
    assert [trial.number for trial in study._study.trials] == [0], "only the proposal is in Optuna's study"
    study.tell(0, "COMPLETE", 0.3)


def test_a_tracking_server_that_does_not_answer_is_named():
    with pytest.raises(MachineError, match=r"tracking server http://127\.0\.0\.1:9: does not answer .*Start it"):
        check_server("http://127.0.0.1:9")


def test_pairs_can_be_searched_and_are_replayed(tmp_path):
    pairs = ((0.5, 1.1), (0.9, 1.5))
    space = (SearchSpace({"scene.background_scale": Choice(values=pairs)}),)
    study = Study(Sweep(question="?", space=space, trials=6, controls=()))
    proposals = [study.ask() for _ in range(6)]
    assert {proposal.recipe.scene.background_scale for proposal in proposals} == set(pairs)
    assert {proposal.params["scene.background_scale"] for proposal in proposals} == set(pairs)
    events = [
        {"event": "asked", "trial": p.number, "kind": "search", "recipe": p.recipe.flat()}
        | {"params": {path: list(value) for path, value in p.params.items()}}  # as JSON keeps them
        for p in proposals[:5]
    ]
    again = Study(Sweep(question="?", space=space, trials=6, controls=()))
    again.replay(events)
    assert again.ask() == proposals[5]
