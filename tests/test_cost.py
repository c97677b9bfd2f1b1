"""The cost of a sweep: its estimate, and how it is shown."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_detections import TINY
from rich.console import Console

from syndet_ray import Confirmation, Int, Mix, Pruning, Recipe, SearchSpace, Training
from syndet_ray.cli import listing, sweeps
from syndet_ray.cli.check import check
from syndet_ray.cli.facts import cost_facts
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.reach import rendered_sets
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.runs.prices import Prices
from syndet_ray.search.replay import Replay
from syndet_ray.search.search import Budget
from syndet_ray.search.task import Resources
from syndet_ray.tuning.cost import (
    Rates,
    _duration,
    _least_duration,
    check_hours,
    check_images,
    cost_at,
    measure,
)

RATES = Rates(train_s=0.01, score_s=0.1, scene_s=0.5)


def use(parallel, cpus=1, gpus=0.0):
    return Resources(cpus=cpus, gpus=gpus, parallel=parallel)


def sweep(**fields):
    recipe = Recipe(mix=Mix(synthetic_images=100), training=Training(images=1000))
    return load("smoke").model_copy(
        update={
            "recipe": recipe,
            "trials": 10,
            "rungs": 4,
            "controls": ("real_only",),
            "pruning": Pruning(),
        }
        | fields
    )


def test_every_training_counts_and_pruned_ones_count_to_where_they_are_pruned():
    cost = cost_at(sweep(confirm=Confirmation(top=2, seeds=3)), RATES, 10, use(2))
    confirmed = 3 * (2 + 1)
    assert cost.trials == 1 + 10 + confirmed
    assert cost.images == 1000 * cost.trials
    assert cost.least_images == cost.images - (10 - 2) * 500, (
        "eight of ten end at the second of four rungs"
    )
    scoring_s = 4 * 10 * 0.1  # four rungs of ten validation images, for every whole training
    training_s = 10 + scoring_s
    rendered_s = 100 * 0.5  # by the cores of the trials
    assert cost.trial_hours * 3600 == pytest.approx(cost.trials * training_s + rendered_s)
    search, confirmations = 6, 5  # of 11 and 9 trainings, two at once
    scenes_s = 100 * 0.5 / 2
    assert cost.hours * 3600 == pytest.approx((search + confirmations) * training_s + scenes_s)
    pruned_s = 5 + 0.5 * scoring_s
    least_s = (3 * training_s + 8 * pruned_s) / 2 + 9 / 2 * training_s
    assert cost.least_hours * 3600 == pytest.approx(least_s + scenes_s)


@pytest.mark.parametrize(
    ("parallel", "in_turn", "at_once"),
    [(1, 20, 1), (8, 2 + 2, 8), (10, 2 + 1, 10), (11, 2, 11), (64, 2, 11), (1000, 2, 11)],
)
def test_slots_without_a_training_shorten_nothing_and_cost_nothing(parallel, in_turn, at_once):
    """Eleven trainings of the search, and nine confirmations after them."""
    rates = Rates(train_s=3.6, score_s=0.0, scene_s=0.0, checkpoint_bytes=10)
    asked = sweep(confirm=Confirmation(top=2, seeds=3))
    cost = cost_at(asked, rates, 10, use(parallel, gpus=1.0))
    assert cost.parallel == at_once
    assert cost.hours == pytest.approx(in_turn), "a training takes an hour"
    assert cost.gpu_hours(cost.trial_hours) == pytest.approx(20)
    assert cost.disk.checkpoints == 10 * (3 * at_once + 1 + 2 + 9)


@pytest.mark.parametrize(("parallel", "hours"), [(3, 1 + 4), (4, 4)])
def test_the_longest_training_is_waited_for(parallel, hours):
    rates = Rates(train_s=3.6, score_s=0.0, scene_s=0.0)
    lengths = {name: {"training.images": 1000} for name in "abc"} | {
        "long": {"training.images": 4000}
    }
    asked = sweep(trials=0, controls=(), variants=lengths)
    assert cost_at(asked, rates, 10, use(parallel)).hours == pytest.approx(hours)


@given(
    seconds=st.lists(st.floats(0, 1e4, allow_subnormal=False), max_size=9),
    slots=st.integers(1, 12),
)
def test_no_order_takes_less_than_the_least(seconds, slots):
    for order in (seconds, sorted(seconds), sorted(seconds, reverse=True)):
        assert _duration(order, slots) >= _least_duration(seconds, slots) * (1 - 1e-9)
    assert _duration(seconds, 1) == pytest.approx(sum(seconds))


@pytest.mark.parametrize(("gpus", "least_s"), [(0.0, 100 * 0.5 / 8), (1.0, 0.0)])
def test_scenes_are_rendered_by_all_cores_and_beside_trials_on_gpus(gpus, least_s):
    asked = sweep(trials=0, controls=("real_only",), confirm=Confirmation(seeds=0))
    cost, without = (
        cost_at(asked, replace(RATES, scene_s=scene_s), 10, use(2, cpus=4, gpus=gpus))
        for scene_s in (0.5, 0.0)
    )
    assert (cost.hours - without.hours) * 3600 == pytest.approx(100 * 0.5 / 8)
    assert (cost.least_hours - without.least_hours) * 3600 == pytest.approx(least_s)
    for held in ("trial_hours", "least_trial_hours"):
        more_s = (getattr(cost, held) - getattr(without, held)) * 3600
        assert more_s == pytest.approx(2 * least_s), "trials on CPUs hold the cores that render"


def test_controls_and_variants_cost_their_own_length():
    lengths = {"short": {"training.images": 200}, "long": {"training.images": 5000}}
    asked = sweep(variants=lengths, repeats=2, trials=0, controls=("real_only",))
    cost = cost_at(asked, RATES, 10, use(1))
    assert cost.images == cost.least_images == 1000 + 2 * (200 + 5000)
    check_images(asked, Budget(images=cost.images))
    assert cost.scoring_hours * 3600 == pytest.approx(5 * 4 * 10 * 0.1), (
        "every training is scored at four rungs"
    )
    anew = sweep(variants=lengths, confirm=Confirmation(top=2, seeds=3))
    search = 1000 * (10 + 1 + 3 * (2 + 1))
    assert cost_at(anew, RATES, 10, use(1)).images == search + 3 * (200 + 5000)


def test_a_search_for_the_number_of_scenes_renders_the_greatest_for_each_proposal():
    space = SearchSpace({"mix.synthetic_images": Int(low=50, high=2000)})
    asked = sweep(space=(space,), controls=())
    assert sum(count for _, count in rendered_sets(asked)) == 100 + 10 * 2000


def test_what_never_prunes_costs_all_of_it():
    cost = cost_at(
        sweep(pruning=Pruning(name="none"), confirm=Confirmation(seeds=0)), RATES, 10, use(1)
    )
    assert cost.least_images == cost.images == 11_000


def test_scoring_is_named_where_it_takes_most_of_the_time():
    asked = sweep(pruning=Pruning(name="none"), confirm=Confirmation(seeds=0))
    few, many = (cost_at(asked, RATES, val_images, use(1)) for val_images in (10, 100))
    assert many.scoring_hours == pytest.approx(11 * 4 * 100 * 0.1 / 3600)
    assert [len(list(listing.cost_lines(cost))) for cost in (few, many)] == [1, 2]
    assert (
        list(listing.cost_lines(many))[1].strip()
        == "most of it is scoring the validation photos, 0.1 s each"
    )


def test_scoring_is_not_named_where_rendering_takes_longer():
    rates = Rates(train_s=0.001, score_s=0.1, scene_s=20.0)
    lines = list(listing.cost_lines(cost_at(sweep(), rates, 10, use(2))))
    assert not [line for line in lines if "scoring" in line]


@pytest.mark.parametrize(
    ("use", "prices", "expected"),
    [
        (use(2), Prices(), ["hours    3.0 to 5.0 core hours held: 2 trials at once, 1 core each"]),
        (
            use(1, cpus=4),
            Prices(gpu_hour_price=9.0, core_hour_price=0.5),
            [
                "hours    6.0 to 10.0 core hours held: 1 trial at once, 4 cores each",
                "money    3.00 to 5.00 at 9 a GPU hour and 0.5 a core hour",
            ],
        ),
        (
            use(4, cpus=2, gpus=0.25),
            Prices(gpu_hour_price=2.5),
            [
                "hours    1.5 to 2.5 GPU hours held: 4 trials at once, 0.25 GPU each",
                "money    3.75 to 6.25 at 2.5 a GPU hour",
            ],
        ),
        (
            use(3, cpus=2, gpus=2.0),
            Prices(gpu_hour_price=0.0, core_hour_price=0.1),
            [
                "hours    9.0 to 15.0 GPU hours held: 3 trials at once, 2 GPUs each",
                "money    0.90 to 1.50 at 0 a GPU hour and 0.1 a core hour",
            ],
        ),
    ],
)
def test_check_projects_what_trials_hold_and_what_that_costs(use, prices, expected):
    most, least = 2.5 * use.parallel, 1.5 * use.parallel
    cost = replace(cost_at(sweep(), RATES, 10, use), trial_hours=most, least_trial_hours=least)
    lines = list(listing.held_lines(cost, prices))
    assert [lines[0], *lines[2:3]] == expected
    facts = cost_facts(cost, prices)
    assert facts["gpu_hours"] == use.gpus * most
    assert facts["least_core_hours"] == use.cpus * least
    assert (facts["money"] is None) == (not prices.are_given)


def test_what_depends_on_the_speed_of_other_machines_is_left_open():
    prices = Prices(gpu_hour_price=2.5)
    cost = replace(cost_at(sweep(), RATES, 10, use(4, gpus=1.0)), speed_is_known=False)
    assert list(listing.cost_lines(cost)) == [
        f"cost     {cost.images:,} images in {cost.trials} trainings",
        "         nodes may be unlike this machine: their speed is known once one is up",
    ]
    assert list(listing.held_lines(cost, prices)) == []
    facts = cost_facts(cost, prices)
    assert (facts["hours"], facts["gpu_hours"], facts["money"]) == (None, None, None)
    assert (facts["parallel"], facts["gpus_per_trial"]) == (4, 1.0)
    check_hours(cost, Budget(hours=1e-6))
    unknown = cost_facts(cost, prices, has_nodes=False)
    assert (unknown["parallel"], unknown["gpus_per_trial"]) == (None, None)


def test_without_pruning_there_is_one_number():
    cost = replace(cost_at(sweep(), RATES, 10, use(2)), trial_hours=0.02, least_trial_hours=0.02)
    assert list(listing.held_lines(cost, Prices(core_hour_price=2.0))) == [
        "hours    0.02 core hours held: 2 trials at once, 1 core each",
        "         time and hours leave out the start of processes and the test at the end",
        "money    0.04 at 2 a core hour",
        "         for what trials hold; nodes that stand idle or only render cost more",
    ]


def test_only_what_cannot_fit_is_refused():
    asked = sweep(confirm=Confirmation(seeds=0))
    cost = cost_at(asked, RATES, 10, use(1))
    check_hours(cost, Budget(hours=cost.least_hours))
    check_images(asked, Budget(images=cost.least_images))
    with pytest.raises(
        DefinitionError, match=r"`hours`: must be at least the .* hours .*got 0\.01.*`force`"
    ):
        check_hours(cost, Budget(hours=0.01))
    with pytest.raises(DefinitionError, match=r"`images`: must be at least the 7,000 "):
        check_images(asked, Budget(images=cost.least_images - 1))


@pytest.mark.parametrize("verb", [check, sweeps.sweep])
def test_too_few_images_are_refused_before_anything_is_read_or_measured(home, tmp_path, verb):
    """Photos that are not there would be the next thing to be missed."""
    home()
    with pytest.raises(DefinitionError, match="`images`: must be at least the"):
        verb("tiny", real=tmp_path / "nowhere", images=5, local=True)
    with pytest.raises(DataError, match="nowhere"):
        verb("tiny", real=tmp_path / "nowhere", images=5, local=True, force=True)


@pytest.mark.parametrize("images", [1, 4, 1000])
def test_a_few_real_steps_are_measured_however_short_the_training(squares, images):
    training = Training(images=images, crop_px=64)
    recipe = Recipe(mix=Mix(synthetic=0.0), detector=TINY, training=training)
    rates = measure({"train": squares(4), "val": squares(2)}, "cpu", 1, recipe, 0)
    assert rates.train_s > 0
    assert rates.score_s > 0
    assert rates.scene_s == 0, "nothing is rendered"


def test_check_tells_what_is_asked_how_and_what_it_takes():
    asked = load("mix")
    lines = [
        *listing.sweep_lines("mix", asked),
        *listing.cost_lines(cost_at(asked, RATES, 10, use(2))),
    ]
    text = "\n".join(lines)
    for words in (
        "mix.shares: any shares of real, sparse, crowded",
        "search   sampler tpe, objective val/mAP\n         pruner median, from rung 2 of 4\n",
        "confirm  the best 2 and the controls, 3 seeds each",
        "at 100 images/s a trial, 2 at once",
    ):
        assert words in text
    assert max(map(len, lines)) <= 100
    scene = "\n".join(listing.sweep_lines("joint", load("joint")))
    assert "mix.switch_at: 0.1 to 0.9, where mix.schedule is staged" in scene
    assert (
        "scene.hue has no effect where scene.arrangement is tray and scene.distractors is 0"
        in scene
    )
    never = asked.model_copy(update={"rungs": 2})
    lines = list(listing.sweep_lines("mix", never))
    never_prunes = "median, but it can prune no trial: 2 rungs are too few for grace_rungs 1"
    assert f"         pruner {never_prunes}" in lines
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"trials": 1}, "1 trial, 1 control"),
        ({"controls": ()}, "10 trials, no controls"),
        ({"controls": ("real_only", "synthetic_only")}, "10 trials, 2 controls"),
        (
            {"variants": {"plain": {}, "flat": {}}, "repeats": 2},
            "10 trials, 1 control and 4 variants",
        ),
    ],
)
def test_check_counts_trials_controls_and_variants(fields, line):
    first = next(listing.sweep_lines("mine", sweep(**fields)))
    assert first == f"sweep    mine: {line}"


def test_check_says_one_seed_of_one():
    lines = listing.sweep_lines("mine", sweep(confirm=Confirmation(top=1, seeds=1)))
    assert "confirm  the best 1 and the controls, 1 seed each" in lines


def test_what_a_replay_found_fits_on_a_terminal():
    replayed = [
        (
            "median, patience 1",
            Replay(
                pruning=Pruning(),
                saved=0.31,
                best_pruned=0.015,
                top3_pruned=0.105,
                regret=0.0011,
                worst_regret=0.02,
                orders=200,
            ),
        )
    ]
    console = Console(file=io.StringIO(), width=100)
    console.print(listing.replay_table(replayed, 24, 3))
    text = console.file.getvalue()
    assert (
        "24 full learning curves in 200 orders; 3 that the run itself pruned are left out"
        in " ".join(text.split())
    )
    for words in ("31.0%", "1.5%", "10.5%", "0.0011", "0.0200"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


def test_replay_names_the_pruners_it_knows():
    from syndet_ray.search.replay import pruners_named

    assert {pruning.name for pruning in pruners_named("median").values()} == {"median"}
    assert len(pruners_named(None)) > len(pruners_named("median")) > 1
    with pytest.raises(
        DefinitionError, match=r"`pruner`: names no pruner, got 'medan'\. Did you mean 'median'\?"
    ):
        pruners_named("medan")
