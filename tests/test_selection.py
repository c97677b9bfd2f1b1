"""Selection: the winning recipe, how sure that is, and cheaper ones."""

from dataclasses import replace
from itertools import count
from statistics import mean
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import of_kind
from pyarrow import parquet

from syndet_ray.analysis import selection as verdict
from syndet_ray.boxes import Boxes
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix, Photos, Scenes
from syndet_ray.definitions.parameter import Choice, Float, Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.detection.score import Predictions
from syndet_ray.metrics import OBJECTIVE, RSS
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.results import (
    Rung,
    TestRow,
    TestScores,
    Trial,
    kind_of,
    role_and_name,
)
from syndet_ray.spread import Difference
from syndet_ray.tuning import scoring
from syndet_ray.tuning.rows import CheckpointScores, test_rows
from syndet_ray.tuning.summary import summary_metrics

TWO_GOALS = {"objective": ("val/mAP", "real_images"), "goals": ("maximize", "minimize")}
MIXES = {
    "real_only": Mix(synthetic=0.0),
    "synthetic_only": Mix(synthetic=1.0),
    "mixed": Mix(synthetic=0.5),
    "staged": Mix(synthetic=0.5, schedule="staged"),
    "three sources": Mix(synthetic=0.5, sources={"a": Scenes(), "b": Scenes()}),
}


def trial(
    number,
    value,
    kind="search",
    of=None,
    state="COMPLETE",
    mix="mixed",
    images=100,
    real_images=0,
    **metrics,
):
    recipe = Recipe(mix=MIXES[mix])
    rungs = () if value is None else (Rung(images, {OBJECTIVE: value, **metrics}),)
    effective = {"real_images": real_images}
    return Trial(
        number=number,
        **of_kind(kind),
        params={},
        recipe=recipe,
        state=state,
        reason="",
        rungs=rungs,
        effective=effective,
        of=of,
    )


def with_settings(trial, changes):
    return replace(trial, recipe=trial.recipe.replace(changes))


def confirmed(mixes, values):
    """Trials of these mixes that all had 0.5, and their confirmations with these values."""
    found = [
        trial(n, 0.5, kind=mix if mix.endswith("only") else "search", mix=mix)
        for n, mix in enumerate(mixes)
    ]
    for of, seeds in enumerate(values):
        found += [trial(len(found) + k, value, "confirm", of=of) for k, value in enumerate(seeds)]
    return found


def test_the_winner_is_the_best_mean_and_not_the_luckiest_training():
    trials = [trial(0, 0.40), trial(1, 0.30), trial(2, 0.90)]
    assert verdict.winner(trials).trial.number == 2
    for of, values in {0: (0.30, 0.32, 0.31), 1: (0.29, 0.60, 0.10), 2: (0.20, 0.21, 0.22)}.items():
        trials += [
            trial(len(trials) + k, value, "confirm", of=of) for k, value in enumerate(values)
        ]
    won = verdict.winner(trials)
    assert (won.trial.number, won.mean) == (1, pytest.approx(0.33))
    assert [found.trial.number for found in verdict.candidates(trials)] == [1, 0, 2]
    assert [len(found.trainings) for found in verdict.candidates(trials)] == [3, 3, 3]


def test_a_recipe_that_was_not_confirmed_cannot_win_once_others_were():
    trials = [
        trial(0, 0.9),
        trial(1, 0.3),
        trial(2, 0.2, "confirm", of=1),
        trial(3, 0.9, "confirm", of=0, state="FAILED"),
    ]
    (only,) = verdict.candidates(trials)
    assert (only.trial.number, only.mean, only.error) == (1, 0.2, None)


def test_without_confirmations_the_one_training_counts_and_its_error_is_unknown():
    won = verdict.winner(
        [
            trial(0, 0.3),
            trial(1, 0.3),
            trial(2, 0.9, state="PRUNED"),
            trial(3, None, state="FAILED"),
        ]
    )
    assert (won.trial.number, won.trainings, won.error) == (0, (won.trial,), None)
    assert verdict.simplest([won]) is None
    assert verdict.winner([]) is None and verdict.simplest([]) is None


@given(
    st.lists(
        st.lists(st.integers(0, 1000), min_size=1, max_size=4), min_size=1, max_size=5
    )
)  # fmt: skip
def test_the_winner_has_the_greatest_mean_and_what_is_simplest_is_within_its_error(values):
    trials = confirmed(
        ["mixed"] * len(values), [[value / 1000 for value in seeds] for seeds in values]
    )
    found = verdict.candidates(trials)
    assert found[0].mean == pytest.approx(max(mean(seeds) for seeds in values) / 1000)
    plain = verdict.simplest(found)
    if all(len(each.trainings) == 1 for each in found):
        assert plain is None
    else:
        assert plain in found
        assert plain.mean >= found[0].mean - found[0].error


@pytest.mark.parametrize(
    ("mixes", "simplest"),
    [
        (["mixed", "synthetic_only", "real_only"], "real_only"),
        (["staged", "three sources", "mixed", "synthetic_only"], "synthetic_only"),
        (["staged", "three sources", "mixed"], "mixed"),
        (["staged", "three sources"], "three sources"),
        (["mixed", "mixed"], "mixed"),
    ],
)
def test_what_is_simpler_wins_within_one_standard_error(mixes, simplest):
    trials = confirmed(mixes, [(0.30, 0.32), *[(0.30, 0.31)] * (len(mixes) - 1)])
    found = verdict.candidates(trials)
    assert found[0].trial.number == 0
    assert verdict.simplest(found).trial.recipe == Recipe(mix=MIXES[simplest])


def test_what_is_simpler_but_further_behind_than_one_standard_error_is_not_the_choice():
    trials = confirmed(["mixed", "real_only"], [(0.30, 0.32), (0.298, 0.30)])
    assert verdict.simplest(verdict.candidates(trials)).trial.number == 0


def test_a_schedule_that_has_nothing_to_change_to_makes_nothing_less_simple():
    trials = confirmed(["synthetic_only", "synthetic_only"], [(0.3, 0.3), (0.3, 0.3)])
    staged = with_settings(trials[0], {"mix.synthetic": 1.0, "mix.schedule": "staged"})
    assert verdict.simplest(verdict.candidates([staged, *trials[1:]])).trial.number == 0


def test_a_training_that_diverged_counts_as_nothing_found():
    trials = confirmed(["mixed", "mixed"], [(0.4, 0.4), (0.3, 0.3)])
    trials.append(replace(trial(6, None, "confirm", of=0, state="FAILED"), cause="diverged"))
    best, safe = sorted(verdict.candidates(trials), key=lambda c: -c.mean)
    assert (best.trial.number, best.mean, safe.mean) == (
        1,
        pytest.approx(0.3),
        pytest.approx(0.8 / 3),
    )
    assert [len(c.trainings) for c in (best, safe)] == [2, 3]
    assert [training.number for training in safe.models] == [2, 3]


def test_what_diverged_in_the_search_is_no_candidate_and_a_control_that_did_is_the_last():
    trials = [
        replace(trial(0, 0.9, "real_only", state="FAILED"), cause="diverged"),
        replace(trial(1, 0.9, state="FAILED"), cause="diverged"),
        trial(2, 0.0),
    ]
    assert [(c.trial.number, c.mean) for c in verdict.candidates(trials)] == [(2, 0.0), (0, 0.0)]
    assert [found.number for found in verdict.finalists(trials, 5)] == [0, 2]
    assert [found.number for found in verdict.pareto_front(trials, **TWO_GOALS)] == [2]
    assert scoring.scored_recipes(trials[:2]) == {}, "nothing left a model"


def test_of_a_recipe_with_one_training_left_the_error_is_the_spread_between_seeds_of_the_others():
    """It was unknown, so that nothing else could be as good within one error."""
    trials = confirmed(["mixed", "real_only"], [(0.32,), (0.28, 0.30, 0.32)])
    best, real = verdict.candidates(trials)
    assert (best.trial.number, best.error) == (0, pytest.approx(0.02))
    assert real.error == pytest.approx(0.02 / np.sqrt(3))
    assert verdict.simplest([best, real]) is real


@pytest.mark.parametrize(
    ("trainings", "missing"),
    [
        ([], [1, 2, 3]),
        ([(1, "COMPLETE", None), (2, "RUNNING", None)], [3]),
        ([(1, "FAILED", "diverged"), (2, "FAILED", "mistake"), (3, "FAILED", None)], []),
        ([(1, "COMPLETE", None), (2, "FAILED", "lost"), (3, "COMPLETE", None)], [2]),
        (
            [
                (1, "COMPLETE", None),
                (2, "FAILED", "lost"),
                (2, "FAILED", "lost"),
                (3, "COMPLETE", None),
            ],
            [4],
        ),
        ([(2, "FAILED", "lost"), (2, "COMPLETE", None)], [1, 3]),
        ([(1, "FAILED", "lost"), (1, "FAILED", "lost"), (2, "FAILED", "lost")], [2, 3, 4]),
        ([(seed, "FAILED", "lost") for seed in (1, 2, 3, 1)], [2, 3, 4]),
        ([(seed, "FAILED", "lost") for seed in (1, 2, 3, 1, 4)], []),
    ],
)
def test_seeds_that_a_finalist_misses(trainings, missing):
    sweep = LoadedSweep(question="?", space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),))
    anew = [
        replace(trial(1 + k, None, "confirm", of=0, state=state), seed_number=seed, cause=cause)
        for k, (seed, state, cause) in enumerate(trainings)
    ]
    assert verdict.missing_seeds(trial(0, 0.5), [trial(0, 0.5), *anew], sweep) == missing


def test_a_variant_without_a_name_is_no_training_of_the_search():
    sweep = LoadedSweep(question="?", space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),))
    searched = trial(0, 0.5)
    nameless = replace(trial(1, 0.4), role="variant", name="", seed_number=1)
    assert verdict.missing_seeds(searched, [searched, nameless], sweep) == [1, 2, 3]


def test_finalists_are_all_controls_that_finished_and_the_best_of_the_search():
    trials = [
        trial(0, 0.1, "real_only", mix="real_only"),
        trial(1, None, "synthetic_only", mix="synthetic_only", state="FAILED"),
        *(trial(2 + k, value) for k, value in enumerate((0.2, 0.4, 0.4, 0.3))),
        trial(6, 0.9, state="PRUNED"),
        trial(7, 0.9, "confirm", of=2),
    ]
    assert [found.number for found in verdict.finalists(trials, 2)] == [0, 3, 4]
    assert [found.number for found in verdict.finalists(trials, 9)] == [0, 3, 4, 5, 2]


def test_best_points_are_what_a_sweep_can_propose_of_an_earlier_run():
    space = SearchSpace({"mix.synthetic": Float(low=0.2, high=0.8)})
    sweep = LoadedSweep(question="?", space=(space,))
    trials = [
        trial(0, 0.1),
        trial(1, 0.2),
        trial(2, 0.9, mix="synthetic_only"),
        trial(3, 0.8, "real_only", mix="real_only"),
    ]
    assert verdict.best_points(trials, sweep).points == ({"mix.synthetic": 0.5},)


def test_best_points_leave_out_what_a_sweep_cannot_express():
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "a", "b"))})
    sweep = LoadedSweep(question="?", recipe=Recipe(mix=MIXES["three sources"]), space=(space,))
    own = with_settings(trial(0, 0.1, mix="three sources"), {"mix.parts": {"a": 1.0, "b": 0.0}})
    sources = {"sparse": Scenes(), "crowded": Scenes()}
    parts = {"sparse": 0.5, "crowded": 0.5}
    others = with_settings(trial(1, 0.9), {"mix.sources": sources, "mix.parts": parts})
    (point,) = verdict.best_points([own, others], sweep).points
    assert point == {"mix.synthetic": 0.5, "mix.parts": {"a": 1.0, "b": 0.0}}


def test_best_points_leave_out_what_a_sweep_would_propose_without_a_part_of_it():
    decay = Float(low=0, high=1, when={"mix.synthetic": 0.5})
    space = SearchSpace(
        {"mix.synthetic": Choice(values=(0.25, 0.5)), "training.weight_decay": decay}
    )
    sweep = LoadedSweep(question="?", space=(space,))
    trials = [
        with_settings(trial(number, value), {"mix.synthetic": share, "training.weight_decay": 0.7})
        for number, (value, share) in enumerate([(0.1, 0.5), (0.9, 0.25)])
    ]
    assert verdict.best_points(trials, sweep).points == (
        {"mix.synthetic": 0.5, "training.weight_decay": 0.7},
    )


def test_best_points_have_no_setting_that_an_earlier_version_did_not_record():
    space = SearchSpace(
        {
            "mix.synthetic": Float(low=0, high=1),
            "training.average": Float(low=0, high=1),
        }
    )
    sweep = LoadedSweep(question="?", space=(space,))
    earlier = replace(trial(0, 0.1), unrecorded=frozenset({"training.average"}))
    assert verdict.best_points([earlier], sweep).points == ({"mix.synthetic": 0.5},)


def test_best_points_begin_with_the_best_confirmed_mean():
    sweep = LoadedSweep(question="?", space=(SearchSpace({"mix.synthetic": Float(low=0, high=1)}),))
    trials = [
        with_settings(trial(number, value), {"mix.synthetic": share})
        for number, (value, share) in enumerate([(0.5, 0.1), (0.4, 0.2), (0.3, 0.3)])
    ]
    trials += [
        trial(3, 0.2, "confirm", of=0),
        trial(4, 0.3, "confirm", of=1),
        trial(5, 0.9, "real_only", mix="real_only"),
    ]
    assert [point["mix.synthetic"] for point in verdict.best_points(trials, sweep).points] == [
        0.2,
        0.1,
        0.3,
    ]


def variants(of, start=0, **changed):
    """A trial for each value of each variant, in the order of a sweep; None is one that failed."""
    numbers = count(start)
    for k in range(max(map(len, of.values()))):
        for name, values in of.items():
            state = "FAILED" if values[k] is None else "COMPLETE"
            yield replace(
                trial(next(numbers), values[k], name, state=state, **changed),
                replica=k,
                seed_number=k,
            )


def test_trials_know_their_role_and_name_by_their_kind_and_it_by_them():
    sweep = LoadedSweep(question="?", trials=0, variants={"a": {}, "b (2)": {}}, repeats=3)
    for name in sweep.variants:
        for kind in sweep.variant_kinds(name):
            replica = sweep.replica(kind)
            assert role_and_name(kind, replica) == ("variant", name)
            assert kind_of("variant", name, replica) == kind
    others = {
        "search": ("search", ""),
        "confirm": ("confirmation", ""),
        "real_only": ("control", "real_only"),
        "synthetic_only": ("control", "synthetic_only"),
    }
    for kind, (role, name) in others.items():
        assert role_and_name(kind, 0) == (role, name)
        assert kind_of(role, name, 0) == kind
    assert role_and_name("confirm", 2) == ("confirmation", "")
    assert kind_of("confirmation", "", 2) == "confirm"


def test_a_variant_is_one_recipe_with_all_its_trainings():
    found = verdict.candidates(list(variants({"a": (0.30, 0.10), "b": (0.28, 0.27)})))
    assert [(c.trial.name, c.trial.number, len(c.trainings)) for c in found] == [
        ("b", 1, 2),
        ("a", 0, 2),
    ]
    assert (found[0].mean, found[0].error) == (pytest.approx(0.275), pytest.approx(0.005))
    assert verdict.simplest(found) is found[0]
    (a, b) = sorted(
        verdict.candidates(list(variants({"a": (None, 0.3), "b": (0.2, None)}))),
        key=lambda c: c.trial.name,
    )
    assert (a.trial.number, a.error, b.trial.number) == (2, None, 1)


def test_a_variant_is_confirmed_once_and_its_repeats_count():
    trials = [
        trial(0, 0.2, "real_only", mix="real_only"),
        *variants({"a": (0.3, 0.1), "b": (None, 0.2)}, start=1),
        trial(5, 0.9),
    ]
    assert [found.number for found in verdict.finalists(trials, 1)] == [0, 1, 4, 5]
    space = (SearchSpace({"mix.synthetic": Float(low=0, high=1)}),)
    sweep = LoadedSweep(question="?", variants={"a": {}}, repeats=2, space=space)
    missing = [
        verdict.missing_seeds(found, trials, sweep) for found in verdict.finalists(trials, 1)
    ]
    assert missing == [[1, 2, 3], [2], [2], [1, 2, 3]], "these variants began with seed 0"
    trials += [trial(6, 0.5, "confirm", of=1), trial(7, 0.4, "confirm", of=5)]
    means = {
        found.trial.name or found.trial.role: found.mean for found in verdict.candidates(trials)
    }
    assert means == {"a": pytest.approx(0.3), "b": 0.2, "search": 0.4}, (
        "the control was not trained anew"
    )


def test_repeats_of_a_variant_are_one_offer_of_the_front():
    trials = list(variants({"a": (0.1, 0.3), "b": (0.2, 0.2)}, real_images=5))
    assert [found.number for found in verdict.pareto_front(trials, **TWO_GOALS)] == [1]


PHOTOS = Pool.of(
    "photos",
    ("a", "b"),
    [np.zeros((8, 8, 3), np.uint8)] * 10,
    [Boxes.of([[0, 0, 4, 4]], [k % 2]) for k in range(10)],
    list("abcdefghij"),
)


def scored(value, photos=10):
    """A model that finds every object of the first of PHOTOS, and the same again as the other
    class.
    """
    draws = {"mAP": value + np.linspace(-0.01, 0.01, 50), "slope/AP": np.linspace(-0.3, -0.1, 50)}
    boxes = np.array([[0.0, 0, 4, 4]] * 2)
    seen = [
        Predictions(xyxy=boxes, labels=np.array([k % 2, 1 - k % 2]), scores=np.array([0.9, 0.3]))
        for k in range(photos)
    ]
    return CheckpointScores(
        metrics={"mAP": value, "AP50": value, "slope/AP": -0.2},
        draws=draws,
        predictions=seen,
        confusion=np.diag([2, 1, 0]),
    )


def test_a_model_that_never_was_finds_nothing_on_the_test_set():
    found = scoring.score_checkpoint(PHOTOS, "cpu", 1, None)
    assert found.metrics["mAP"] == 0
    assert not found.draws["mAP"].any()
    assert [len(image.scores) for image in found.predictions] == [0] * len(PHOTOS)


def test_a_diverged_training_has_a_score_of_0_among_its_recipes_seeds():
    trials = confirmed(["mixed", "real_only"], [(0.4, 0.4), (0.3, 0.31)])
    trials = [
        *trials,
        replace(trial(6, 0.9, "confirm", of=0, state="FAILED"), cause="diverged", seed_number=7),
    ]
    trials = [replace(t, seed_number=t.number) for t in trials]
    recipes = scoring.scored_recipes(trials)
    rows = test_rows(recipes, {t.number: scored(t.final or 0.0) for t in trials}, seed=0)
    row = next(row for row in rows if row.trial == 0)
    assert row.seeds == (0.4, 0.4, 0.0)
    assert row.metrics["mAP"] == pytest.approx(0.8 / 3)


def test_a_recipe_of_which_one_training_is_left_is_not_distinguished_by_luck():
    """Two equal recipes whose seeds differ by far more than images do: one training says little."""
    trials = [
        replace(t, seed_number=t.number)
        for t in confirmed(["mixed", "real_only"], [(0.5,), (0.2, 0.35, 0.5)])
    ]
    rows = test_rows(
        scoring.scored_recipes(trials), {t.number: scored(t.final) for t in trials}, seed=0
    )
    best = rows[0]
    assert best.trial == 0
    low, high = best.intervals["mAP"]
    assert high - low > 0.4
    assert best.differences["real_only"].low < 0


def by_role(values_of):
    """The rows of recipes by key; values_of: by key, the scores of each one's repeated trainings,
    best first.
    """
    numbers = range(len(values_of))
    kinds = ["mixed" if role == "best" else role for role in values_of]
    trials = [replace(t, seed_number=t.number) for t in confirmed(kinds, list(values_of.values()))]
    rows = test_rows(
        scoring.scored_recipes(trials), {t.number: scored(t.final) for t in trials}, seed=0
    )
    assert {row.trial for row in rows} == set(numbers)
    return {row.key: row for row in rows}


def test_what_one_recipe_is_above_another_the_other_is_below_it_to_the_last_digit():
    rows = by_role({"best": (0.5, 0.6), "real_only": (0.2, 0.45), "synthetic_only": (0.1, 0.4)})
    there, back = (
        rows["real_only"].differences["synthetic_only"],
        rows["synthetic_only"].differences["real_only"],
    )
    assert there.mean == pytest.approx(0.075)
    assert (there.mean, there.low, there.high) == (-back.mean, -back.high, -back.low)
    assert there.probability == 1 - back.probability
    assert there.low >= -1
    assert there.high <= 1


def test_how_two_recipes_differ_does_not_hang_on_what_else_is_compared():
    pair = {"best": (0.5, 0.6), "real_only": (0.2, 0.45)}
    alone, among = by_role(pair), by_role(pair | {"synthetic_only": (0.3, 0.55)})
    a, b = alone["best"].differences["real_only"], among["best"].differences["real_only"]
    assert a.mean == b.mean == pytest.approx(0.225)
    # What is known of seeds is of these two alone: each has trainings of its own.
    assert (a.low, a.high, a.probability) == (b.low, b.high, b.probability)
    assert alone["best"].p_best == a.probability


def test_on_the_test_set_a_variant_has_one_row_and_is_compared_with_the_first_and_the_controls():
    trials = [
        trial(0, 0.1, "real_only", mix="real_only"),
        *variants({"a": (None, 0.2), "b": (0.28, 0.27)}, start=1),
    ]
    recipes = scoring.scored_recipes(trials)
    assert list(recipes) == ["best", "real_only", "a", "b"], (
        "the sweep's order, though a's first training failed"
    )
    rows = test_rows(recipes, {t.number: scored(t.value or 0.0) for t in trials}, seed=0)
    assert [(row.key, row.trial, row.models) for row in rows] == [
        ("best", 2, (2, 4)), ("real_only", 0, (0,)), ("a", 3, (3,)), ("b", 2, (2, 4)),
    ]  # fmt: skip
    assert [set(row.differences) for row in rows] == [
        {"real_only", "a"},
        {"a"},
        {"real_only"},
        {"real_only", "a"},
    ]
    assert rows[3].differences["a"].mean == pytest.approx(0.075)
    assert sum(row.p_best for row in rows[1:]) == pytest.approx(1)


def test_where_each_recipe_was_trained_once_none_is_probably_the_best():
    trials = [trial(0, 0.1, "real_only", mix="real_only"), trial(1, 0.9)]
    rows = test_rows(
        scoring.scored_recipes(trials), {t.number: scored(t.value) for t in trials}, seed=0
    )
    assert {row.p_best for row in rows} == {None}
    twice = [*trials, *(replace(trial(n, 0.9, "confirm", of=1), seed_number=n) for n in (2, 3))]
    rows = test_rows(
        scoring.scored_recipes(twice), {t.number: scored(t.value) for t in twice}, seed=0
    )
    assert [row.p_best for row in rows] == [1.0], (
        "of a search, only what was trained anew is tested"
    )


def trained(tmp_path):
    """A run of two variants that were trained twice, trial 3 being the better training of the
    better one.
    """
    sweep = LoadedSweep(question="?", trials=0, controls=(), variants={"a": {}, "b": {}}, repeats=2)
    folder = RunFolder.create(tmp_path / "run", sweep, {})
    for found in variants({"a": (0.30, 0.10), "b": (0.27, 0.28)}):
        at = tmp_path / str(found.number)
        at.mkdir()
        for name in ("model.safetensors", "model.json", "photos.npy"):
            (at / name).write_text(str(found.number))
        folder.ledger.append(
            "asked",
            found.number,
            kind=found.kind,
            params={},
            recipe=found.settings,
            replica=found.replica,
        )
        folder.ledger.append(
            "report", found.number, images=100, metrics={OBJECTIVE: found.value}, effective={}
        )
        folder.ledger.append("checkpoint", found.number, path=str(at))
        folder.ledger.append("ended", found.number, state="COMPLETE", reason="")
    return folder


def opened(folder, runner=None, photos=10):
    values = {found.checkpoint: found.value for found in folder.trials()}
    works = SimpleNamespace(
        tasks=lambda function, test, every, progress: [
            scored(values[task["checkpoint"]], photos) for task in every
        ]
    )
    test = PHOTOS.select(range(photos))
    scoring.open_test_set(folder, scoring.scored_recipes(folder.trials()), test, runner or works)
    return folder.test()


def cut_short(*_):
    raise KeyboardInterrupt


def test_scores_are_kept_where_the_galleries_cannot_be_written(tmp_path):
    folder, notes = trained(tmp_path), []
    (folder.path / "samples").write_text("no folder")
    values = {found.checkpoint: found.value for found in folder.trials()}
    works = SimpleNamespace(
        tasks=lambda _, test, every, progress: [scored(values[t["checkpoint"]]) for t in every]
    )
    scoring.open_test_set(
        folder, scoring.scored_recipes(folder.trials()), PHOTOS, works, note=notes.append
    )
    assert folder.test().row("best").key == "best"
    assert [note.partition(":")[0] for note in notes] == [
        "the report does not show where the best model does best and worst"
    ]


def test_mlflow_gets_the_interval_of_the_best_and_what_it_is_above_a_control():
    best = trial(2, 0.3)
    metrics = {"mAP": 0.25, "AP50": 0.5, "AP75": 0.2, "mAR": 0.4, "AP/absent": float("nan")}
    above = {"real_only": Difference(mean=0.05, low=0.01, high=0.09, probability=0.99)}
    row = TestRow(
        key="best",
        trial=2,
        metrics=metrics,
        intervals={"mAP": (0.2, 0.3)},
        models=(2, 3),
        seeds=(0.2, 0.3),
        p_best=0.9,
        differences=above,
    )
    values = summary_metrics(
        verdict.candidate(best, [best]),
        TestScores(source="x", stand_in=False, hash="hash", images=50, opened=0.0, rows=(row,)),
    )
    assert [values[f"test/mAP{name}"] for name in ("_low", "", "_high")] == [0.2, 0.25, 0.3]
    assert [values[f"test/mAP_above_real_only{name}"] for name in ("_low", "", "_high")] == [
        0.01,
        0.05,
        0.09,
    ]
    assert values["test/p_best"] == 0.9
    assert "test/AP/absent" not in values


@pytest.mark.parametrize(("photos", "told"), [(1, False), (9, False), (10, True)])
def test_only_ten_photos_or_more_tell_how_sure_scores_are(tmp_path, photos, told):
    rows = opened(trained(tmp_path), photos=photos).rows
    assert all("mAP" in row.metrics for row in rows)
    assert [bool(row.intervals) for row in rows] == [told] * len(rows)
    assert any(row.differences for row in rows) == told
    assert any(row.p_best is not None for row in rows) == told


def test_an_opening_that_is_cut_short_counts(tmp_path):
    folder = trained(tmp_path)
    before = folder.trials()
    with pytest.raises(KeyboardInterrupt):
        opened(folder, SimpleNamespace(tasks=cut_short))
    assert folder.test() is None
    assert opened(folder).openings == 2
    assert opened(folder).openings == 3
    assert folder.trials() == before


def test_openings_of_an_older_run_stand_in_its_scores_alone(tmp_path):
    folder = trained(tmp_path)
    folder.write_test(replace(opened(folder), openings=4))
    ledger = folder.path / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if '"opened"' not in line))
    assert opened(folder).openings == 5
    with pytest.raises(KeyboardInterrupt):
        opened(folder, SimpleNamespace(tasks=cut_short))
    assert opened(folder).openings == 7


def test_a_champion_without_a_list_of_its_photos_gets_none_of_another_model(tmp_path):
    folder = trained(tmp_path)
    opened(folder)
    (tmp_path / "3/photos.npy").unlink()
    opened(folder)
    assert sorted(file.name for file in folder.champion.iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


def test_the_champion_is_the_best_training_of_the_best_recipe(tmp_path):
    folder = trained(tmp_path)
    found = opened(folder)
    assert (found.row("best").trial, found.champion) == (1, 3)
    for name in ("model.json", "photos.npy"):
        assert (folder.champion / name).read_text() == "3"
    assert set(found.row("b").differences) == {"a"}
    assert found.row("b").intervals["slope/AP"][1] < 0, (
        "a slope may be negative, and is not cut off as a score would be"
    )
    assert found.models[3]["mAP"] == found.row("b").seeds[1]
    assert (found.visibility.kind, found.visibility.bins[-1].objects) == ("estimated", 10)
    assert found.confusion == ((2, 0, 0), (0, 1, 0), (0, 0, 0))
    assert folder.draws(3)["mAP"] == pytest.approx(scored(0.28).draws["mAP"])
    assert folder.draws(99) == {}, "of a model that never met the test set"
    kept = parquet.read_table(folder.path / "test" / "predictions-3.parquet").to_pylist()
    assert [row["class"] for row in kept] == ["a", "b", "b", "a"] * 5
    truth = parquet.read_table(folder.path / "test" / "truth.parquet").to_pylist()
    assert [(row["image_id"], row["file_name"], row["class"]) for row in truth[:3]] == [
        (0, "a", "a"),
        (1, "b", "b"),
        (2, "c", "a"),
    ]
    assert len(truth) == 10
    assert all(picture.names == picture.truth_names for picture in folder.pictures("best")), (
        "what is doubted is not drawn"
    )


def test_what_was_found_is_kept_in_the_photos_own_pixels(tmp_path, monkeypatch):
    """The test set was scored at half its width and a quarter of its height."""
    pool = replace(PHOTOS, scales=np.tile([0.5, 0.25], (len(PHOTOS), 1)))
    monkeypatch.setattr("test_selection.PHOTOS", pool)
    folder = trained(tmp_path)
    opened(folder)
    truth = parquet.read_table(folder.path / "test" / "truth.parquet").to_pydict()
    found = parquet.read_table(folder.path / "test" / "predictions-3.parquet").to_pydict()
    predictions = np.concatenate([image.xyxy for image in scored(0.28).predictions])
    for column, edge in enumerate(("x1", "y1", "x2", "y2")):
        factor = (2, 4)[column % 2]
        assert truth[edge] == (pool.xyxy[:, column] * factor).tolist()
        assert found[edge] == (predictions[:, column] * factor).tolist()
    assert truth["width"] == (2 * pool.sizes_wh[:, 0]).tolist()
    assert found["image_id"] == sorted(found["image_id"])


def test_the_front_leaves_out_what_another_beats_at_no_greater_cost():
    trials = [
        trial(0, 0.30, real_images=80),
        trial(1, 0.20, real_images=20),
        trial(2, 0.20, real_images=40),  # as good, dearer
        trial(3, 0.10, real_images=20),  # as dear, worse
        trial(4, 0.35, real_images=160),
        trial(5, 0.20, real_images=20),  # the same as trial 1
        trial(6, 0.90, real_images=5, state="PRUNED"),
        trial(7, 0.90, "confirm", of=1, real_images=5),
        trial(8, 0.05, "synthetic_only", mix="synthetic_only"),
    ]
    assert [found.number for found in verdict.pareto_front(trials, **TWO_GOALS)] == [8, 1, 5, 0, 4]


def test_the_front_of_one_goal_is_the_best():
    trials = [trial(0, 0.3), trial(1, 0.4), trial(2, 0.4), trial(3, None, state="FAILED")]
    assert [
        found.number for found in verdict.pareto_front(trials, ("val/mAP",), ("maximize",))
    ] == [1, 2]
    assert verdict.pareto_front([], ("val/mAP",), ("maximize",)) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=12
    )
)
def test_whatever_is_off_the_front_is_beaten_by_something_on_it_and_nothing_on_it_is(places):
    trials = [
        trial(n, value / 10, real_images=real, images=seen)
        for n, (value, real, seen) in enumerate(places)
    ]
    goals = {
        "objective": ("val/mAP", "real_images", "images"),
        "goals": ("maximize", "minimize", "minimize"),
    }
    front = {found.number for found in verdict.pareto_front(trials, **goals)}

    def beats(a, b):
        (value_a, *costs_a), (value_b, *costs_b) = places[a], places[b]
        return (
            places[a] != places[b]
            and value_a >= value_b
            and all(x <= y for x, y in zip(costs_a, costs_b, strict=True))
        )

    for number in range(len(places)):
        assert any(beats(other, number) for other in front) == (number not in front)


def as_asked(number, **mix):
    """A trial that reported what all of these do, of a recipe with this mix."""
    return replace(trial(number, 0.3), recipe=Recipe(mix=Mix(**mix)))


WEB = {"synthetic": Scenes(), "web": Photos(folder="web")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"synthetic": 0.0}, {"schedule": "real_only"}),
        ({"synthetic": 1.0}, {"schedule": "synthetic_only"}),
        ({"synthetic": 1.0, "schedule": "staged"}, {"synthetic": 1.0}),
        (
            {"sources": WEB, "parts": {"synthetic": 1.0}},
            {"sources": WEB, "parts": {"synthetic": 1.0, "web": 0.0}},
        ),
        ({"anneal": "cosine"}, {"anneal": "linear"}),
        ({"synthetic": 0.0, "parts": {"synthetic": 1.0}}, {"synthetic": 0.0}),
    ],
)
def test_what_is_the_same_said_otherwise_is_no_twin(one, other):
    assert verdict.twins([as_asked(0, **one), as_asked(1, **other)]) == []


def test_mixes_that_are_not_the_same_differ():
    assert verdict.differ(as_asked(0), as_asked(1, schedule="staged")) == ("mix.schedule",)
    assert verdict.differ(as_asked(0), as_asked(1, synthetic=0.4)) == ("mix.synthetic",)


def test_twins_were_asked_for_different_recipes_and_trained_alike():
    alike = [trial(n, 0.3, loss=0.5, images_per_second=float(n), **{RSS: n}) for n in range(3)]
    assert verdict.twins(alike) == []
    other = [trial(3, 0.3, mix="staged", loss=0.5), trial(4, 0.3, mix="staged", loss=0.5000001)]
    silent = [trial(5, None, state="FAILED"), trial(6, None, mix="staged", state="FAILED")]
    ((first, second),) = verdict.twins([*alike, *other, *silent])
    assert (first.number, second.number) == (0, 3)


def test_a_champion_stays_until_the_next_one_is_there_whole(tmp_path):
    folder, half = RunFolder(tmp_path / "run"), tmp_path / "half"
    folder.champion.mkdir(parents=True)
    (folder.champion / "model.json").write_text("earlier")
    half.mkdir()
    (half / "model.safetensors").write_text("new")
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        scoring._keep_champion(folder, str(half))
    assert (folder.champion / "model.json").read_text() == "earlier"
    (half / "model.json").write_text("new")
    scoring._keep_champion(folder, str(half))
    assert (folder.champion / "model.json").read_text() == "new"
    assert {path.name for path in folder.path.iterdir()} == {"champion"}
