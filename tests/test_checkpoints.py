"""Of a run's checkpoints those stay that may still be needed, however it goes on; all others are
deleted as trials end.
"""

from dataclasses import replace

import pytest
from made_runs import SWEEP, TWO_GOALS, of_kind

from syndet_ray import Confirmation
from syndet_ray.analysis.selection import candidates
from syndet_ray.runs.results import Rung, Trial
from syndet_ray.tuning import scoring
from syndet_ray.tuning.checkpoints import Checkpoints, needed_trials


def trial(number, value=None, kind="search", state="COMPLETE", **facts):
    rungs = () if value is None else (Rung(400, {"val/mAP": value}),)
    return Trial(
        number=number,
        **of_kind(kind),
        params={},
        recipe=SWEEP.recipe,
        state=state,
        rungs=rungs,
        **facts,
    )


SEARCHED = (
    trial(0, 0.2, "real_only"),
    trial(1, 0.1, "synthetic_only"),
    trial(2, 0.30),
    trial(3, 0.25),
    trial(4, 0.35),
    trial(5, 0.9, state="PRUNED"),
    trial(6, 0.5, state="FAILED"),
    trial(7, 0.01, state="RUNNING"),
)


def test_unfinished_trials_the_controls_and_the_best_of_the_search_are_needed():
    assert needed_trials(SEARCHED, SWEEP) == {0, 1, 2, 4, 7}
    one = SWEEP.replace({"confirm": Confirmation(top=1)})
    assert needed_trials(SEARCHED, one) == {0, 1, 4, 7}


def test_confirmations_are_needed_and_so_are_repeats_of_variants():
    anew = (
        trial(8, 0.3, "confirm", of=2),
        trial(9, 0.2, "confirm", of=3),
        trial(10, 0.1, "confirm", "FAILED", of=4),
    )
    variants = (trial(11, 0.1, "dark"), trial(12, 0.2, "dark (2)", replica=1))
    assert needed_trials((*SEARCHED, *anew, *variants), SWEEP) == {0, 1, 2, 4, 7, 8, 9, 11, 12}


def test_the_front_of_several_goals_is_needed():
    reached = {
        0: (0.1, 5),
        1: (0.2, 20),
        2: (0.15, 40),
        3: (0.3, 80),
        4: (0.32, 160),
        5: (0.31, 200),
    }
    trials = [
        trial(n, value, effective={"real_images": photos}) for n, (value, photos) in reached.items()
    ]
    assert needed_trials(trials, TWO_GOALS) == {0, 1, 3, 4, 5}, (
        "the two best, and what others beat in neither goal"
    )


@pytest.mark.parametrize("seeds", [0, 2])
@pytest.mark.parametrize(
    "order", [(0.1, 0.2, 0.3, 0.4, 0.5), (0.5, 0.4, 0.3, 0.2, 0.1), (0.3, 0.5, 0.3, 0.1, 0.5)]
)
def test_whatever_meets_the_test_set_was_needed_ever_since_it_ended(order, seeds):
    sweep = SWEEP.replace({"confirm": Confirmation(top=2, seeds=seeds)})
    trials, dropped = [trial(0, 0.2, "real_only")], set()

    def end(another):
        trials.append(another)
        dropped.update({t.number for t in trials} - needed_trials(trials, sweep))
        models = {
            model.number
            for recipe in scoring.scored_recipes(trials).values()
            for model in recipe.trainings
        }
        assert not models & dropped

    # any moment may be the end of the search, which is then confirmed, and extended later
    for value in order:
        end(trial(len(trials), value))
        if seeds:
            best = [c.trial.number for c in candidates([t for t in trials if t.kind == "search"])][
                :2
            ]
            for of in best:
                end(trial(len(trials), None, "confirm", "FAILED", of=of))
                end(trial(len(trials), order[0], "confirm", of=of))


@pytest.fixture
def run(tmp_path):
    """The checkpoints of a run; makes some, and tells which there are."""

    class Run:
        def __init__(self):
            self.root, self.notes = tmp_path / "run" / "checkpoints", []

        def make(self, *names):
            for name in names:
                (self.root / name).mkdir(parents=True)
                (self.root / name / "model.safetensors").write_text("large")
            return str(self.root / names[-1])

        def present(self):
            return {
                str(path.relative_to(self.root)) for path in self.root.glob("*/*") if path.is_dir()
            }

        def follower(self, **given):
            sweep = SWEEP.replace({"confirm": Confirmation(top=1)})
            return Checkpoints(str(tmp_path / "run"), sweep, self.notes.append, **given)

    return Run()


def test_trials_that_end_lose_what_is_no_longer_needed(run):
    first, second = trial(2, 0.3, state="RUNNING"), trial(3, 0.4, state="RUNNING")
    path = run.make(
        "trial-002-a/checkpoint_000000",
        "trial-002-b/checkpoint_000000",
        "trial-002-b/checkpoint_000001",
    )
    other = run.make("trial-003/images-000000100", "trial-003/images-000000200")
    (run.root / "trial-002-b" / "result.json").write_text("Tune's own")
    follower = run.follower()
    follower.update(replace(first, checkpoint=path))
    follower.update(replace(second, checkpoint=other))
    follower.flush()
    assert len(run.present()) == 5, "none has ended"
    follower.update(replace(first, checkpoint=path, state="COMPLETE"))
    follower.flush()
    newest = {"trial-002-b/checkpoint_000001"}
    assert run.present() == newest | {"trial-003/images-000000100", "trial-003/images-000000200"}
    follower.update(replace(second, checkpoint=other, state="COMPLETE"))
    follower.flush()
    assert run.present() == {"trial-003/images-000000200"}, "the better one has come"
    assert (run.root / "trial-002-b" / "result.json").exists()


@pytest.mark.parametrize("name", ["what?now", "a#b", "100%25", "\u00fc n\u00ef"])
def test_whatever_the_folder_of_a_run_is_called_what_is_needed_stays(tmp_path, name):
    checkpoint = tmp_path / name / "checkpoints" / "trial-000" / "images-000000100"
    checkpoint.mkdir(parents=True)
    follower = Checkpoints(str(tmp_path / name), SWEEP, print)
    follower.update(trial(0, 0.2, "real_only", checkpoint=str(checkpoint)))
    follower.flush()
    assert checkpoint.is_dir()


def test_what_a_kill_left_and_what_comes_late_goes_too(run):
    run.make(
        "trial-002-a/checkpoint_000003",
        "trial-1002/images-1",
        "mine/checkpoint_000001",
        "trial-x/checkpoint_1",
    )
    follower = run.follower()
    pruned = trial(2, 0.1, state="PRUNED")
    for ended in (pruned, trial(3, 0.4, checkpoint=None), trial(1002, 0.1, state="RUNNING")):
        follower.update(ended)
    follower.flush()
    others = {"trial-1002/images-1", "mine/checkpoint_000001", "trial-x/checkpoint_1"}
    assert run.present() == others
    late = run.make("trial-002-a/checkpoint_000004")
    follower.update(replace(pruned, checkpoint=late))
    follower.flush()
    assert run.present() == others


def test_what_another_driver_has_taken_over_is_left_to_it(run):
    run.make("trial-002/images-1")
    ours = [False]
    follower = run.follower(secure=lambda: ours[0])
    follower.update(trial(2, 0.1, state="FAILED"))
    follower.flush()
    assert run.present() == {"trial-002/images-1"}
    ours[0] = True
    follower.flush()
    assert run.present() == set()


def test_half_of_a_copy_that_a_kill_left_goes_with_its_trial(run):
    path = run.make("trial-002/images-2")
    for half in ("trial-002/.k3x_1a", "trial-003/.k3x_1b"):
        run.make(half)
    follower = run.follower()
    follower.update(trial(3, None, state="RUNNING"))
    follower.update(trial(2, 0.1, state="FAILED", checkpoint=path))
    follower.flush()
    assert run.present() == {"trial-003/.k3x_1b"}, "the other trial may be writing it"


def test_nothing_is_deleted_before_the_copy_of_the_run_knows_that_the_trial_has_ended(run):
    path, present = run.make("trial-002/images-1"), []

    def copied():
        present.append(run.present())
        if len(present) == 1:
            raise OSError("the store is gone")
        return True

    follower = run.follower(secure=copied)
    follower.update(trial(2, 0.1, state="RUNNING", checkpoint=path))
    follower.flush()
    assert present == [], "there is nothing to delete"
    follower._trials[2] = trial(2, 0.1, state="FAILED", checkpoint=path)
    follower.flush()
    assert run.present() == {"trial-002/images-1"}
    follower.flush()
    assert (present, run.present()) == ([{"trial-002/images-1"}] * 2, set())


def test_a_run_without_checkpoints_has_none_to_delete_and_a_failure_is_noted_once(run, monkeypatch):
    follower = run.follower()
    follower.update(trial(2, 0.1, state="FAILED"))
    follower.flush()
    run.make("trial-003/images-1")
    with monkeypatch.context() as broken:

        def failing(*_):
            raise OSError("the store is gone")

        broken.setattr("syndet_ray.tuning.checkpoints._folders", failing)
        for number in (3, 4):
            follower.update(trial(number, 0.1, state="FAILED"))
            follower.flush()
    assert run.notes == ["checkpoints that are no longer needed stay: OSError: the store is gone"]
    follower.flush()
    assert run.present() == set(), "another time it went well"
