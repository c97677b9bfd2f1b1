"""The answer of a run in words: what it claims, and what it does not."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import (
    ABOUT,
    DONE,
    SWEEP,
    TIED,
    TRIALS,
    TWO_GOALS,
    VARIANTS,
    confirm,
    confirmed_run,
    confirmed_scores,
    diverge,
    front_run,
    gap,
    made_run,
    made_scores,
    train,
    variant_run,
)

from syndet_ray import Confirmation
from syndet_ray.report import answer, words
from syndet_ray.report.page import content, html
from syndet_ray.spread import Difference

ONCE = "The scores come from one training of each recipe: the spread between seeds is unknown."
BEST = "the best recipe — 70 % synthetic at 40 objects per scene, learning rate 0.001 — reaches 0.31 mAP [0.27, 0.35] (3 seeds)"
UNSURE = "The interval includes 0: the best recipe and real only do not differ significantly."
UNSURE_AND_SIMPLER = "the two do not differ significantly, and real only is simpler."


def test_the_answer_names_the_recipe_and_does_not_claim_what_overlaps():
    assert answer.answer(made_run(scores=TIED).read()) == (
        "On 50 real test photos the best recipe — 40 % synthetic at 40 objects per scene, learning rate 0.002 — "
        "reaches 0.31 mAP [0.27, 0.35]; real only: 0.29 [0.25, 0.33]; synthetic only: 0.05 [0.03, 0.07]. "
        "Their intervals overlap: this run does not show that the best recipe differs from real only. "
        "The scores come from one training of each recipe: the spread between seeds is unknown."
    )


def test_a_clear_win_is_called_one():
    said = answer.answer(
        made_run(scores={"best": (0.41, 0.37, 0.45), "real_only": (0.29, 0.25, 0.33)}).read()
    )
    assert said.endswith(f"real only: 0.29 [0.25, 0.33]. Their intervals do not overlap. {ONCE}")


@pytest.mark.parametrize(
    ("real", "ends"),
    [
        ((0.52, 0.48, 0.56), "Their intervals do not overlap."),
        (
            (0.33, 0.29, 0.37),
            "the best recipe differs from real only, and real only is the simpler recipe.",
        ),
        (
            (0.31, 0.27, 0.35),
            "the best recipe differs from real only, and real only is the simpler recipe.",
        ),
    ],
)
def test_real_only_ahead_on_the_test_set_means_use_real_data_only(real, ends):
    said = answer.answer(made_run(scores={"best": (0.31, 0.27, 0.35), "real_only": real}).read())
    score = f"{real[0]} mAP [{real[1]}, {real[2]}]"
    assert said.startswith(f"Use real data only: on 50 real test photos it reaches {score};")
    assert "the best recipe — 40 % synthetic" in said
    assert said.endswith(f"{ends} {ONCE}")


@pytest.mark.parametrize(("images", "place"), [(1, "1 real test photo"), (9, "9 real test photos")])
def test_a_handful_of_photos_recommends_nothing(images, place):
    run = made_run(scores={"best": (0.31, 0.31, 0.31), "real_only": (0.52, 0.52, 0.52)})
    run.write_test(replace(run.test(), images=images))
    assert answer.answer(run.read()) == (
        f"No answer: the test set has too few photos to compare recipes; at least 10 are needed. "
        f"On {place} 40 % synthetic at 40 objects per scene, "
        "learning rate 0.002, the best on validation, reaches 0.31 mAP; real only: 0.52."
    )


def test_ten_photos_are_enough_for_an_answer():
    run = made_run(scores={"best": (0.31, 0.27, 0.35), "real_only": (0.52, 0.48, 0.56)})
    run.write_test(replace(run.test(), images=10))
    assert answer.answer(run.read()).startswith(
        "Use real data only: on 10 real test photos it reaches 0.52 mAP [0.48, 0.56];"
    )


def test_real_only_best_on_validation_says_how_far_the_search_stayed_behind():
    trials = (("real_only", None, None, None, (0.40,), "COMPLETE", ""), *TRIALS[1:])
    run = made_run(trials)
    run.write_test(
        made_scores({"best": (0.39, 0.35, 0.43), "real_only": (0.39, 0.35, 0.43)}, False, best=0)
    )
    assert answer.answer(run.read()) == (
        "Use real data only: on 50 real test photos it reaches 0.39 mAP [0.35, 0.43]. "
        f"No searched recipe did better on validation: the best of 5 reached 0.310 mAP, real only 0.400. {ONCE}"
    )


def test_without_a_control_the_answer_says_so():
    said = answer.answer(made_run(scores={"best": (0.31, 0.27, 0.35)}).read())
    assert said.endswith(
        f"No real-only control was tested, so this run does not show whether synthetic images help. {ONCE}"
    )


def test_a_small_score_keeps_the_decimals_that_say_something():
    assert "reaches 0.013 mAP [0.008, 0.019]" in answer.answer(
        made_run(scores={"best": (0.013, 0.008, 0.019)}).read()
    )


def test_no_answer_before_the_test():
    assert answer.answer(made_run().read()) == (
        "No answer yet: the test set has not been opened. Best on validation so far: "
        "40 % synthetic at 40 objects per scene, learning rate 0.002, 0.310 mAP."
    )


def test_a_confirmed_recipe_is_told_by_its_difference_from_the_controls():
    assert answer.answer(confirmed_run(simplest=3).read()) == (
        f"On 50 real test photos {BEST}; 0.06 [0.03, 0.09] above real only (P = 0.99), "
        "0.25 [0.22, 0.28] above synthetic only (P = 0.99)."
    )


def test_what_is_simpler_and_as_good_on_validation_is_named():
    run = confirmed_run(simplest=0)
    assert answer.answer(run.read()).endswith(
        "Within one standard error of the best on validation, and simpler: real only."
    )
    run = confirmed_run(simplest=2)
    simpler = "40 % synthetic at 40 objects per scene, learning rate 0.002 (trial 2)"
    assert answer.answer(run.read()).endswith(f"and simpler: {simpler}.")


@pytest.mark.parametrize(
    ("found", "starts", "ends"),
    [
        (gap(0.06, 0.0, 0.12, 0.97), "On 50", UNSURE),
        (gap(0.004, -0.003, 0.01, 0.9), "On 50", UNSURE),
        (gap(-0.01, -0.04, 0.02, 0.2), "Use real data only: on 50", UNSURE_AND_SIMPLER),
        (gap(0.0, -0.02, 0.02, 0.5), "Use real data only: on 50", UNSURE_AND_SIMPLER),
        (gap(-0.05, -0.09, -0.01, 0.001), "Use real data only: on 50", "0.05 [0.01, 0.09] below real only (P > 0.99)."),
    ],
    ids=["up to 0", "around 0", "below, around 0", "no difference", "wholly below"],
)  # fmt: skip
def test_nothing_is_claimed_that_the_difference_does_not_bear(found, starts, ends):
    said = answer.answer(confirmed_run(gaps={"best": found}).read())
    assert said.startswith(starts)
    assert said.endswith(ends)
    assert "70 % synthetic at 40 objects" in said


def test_a_confirmed_real_only_says_how_far_the_others_stayed_behind():
    means = {
        "best": 0.31,
        "synthetic_only": 0.06,
        "finalist 2": 0.29,
        "real_only": 0.31,
        "finalist 3": 0.28,
    }
    gaps = {"finalist 2": gap(-0.02), "finalist 3": gap(-0.05, probability=0.001)}
    assert answer.answer(confirmed_run(means, gaps, best=0).read()) == (
        "Use real data only: on 50 real test photos it reaches 0.31 mAP [0.27, 0.35] (3 seeds); "
        "0.25 [0.22, 0.28] above synthetic only (P = 0.99). "
        "When trained again with other seeds, no searched recipe did better on validation: "
        "the best of 2 confirmed reached 0.300 ± 0.006 mAP, real only 0.280 ± 0.006. "
        "On the test set the recipe of trial 3 is 0.05 [0.02, 0.08] below real only (P > 0.99)."
    )


@pytest.mark.parametrize("mean", [0.01, -0.01])
def test_a_confirmed_real_only_that_does_not_differ_from_the_next_recipe_says_so(mean):
    means = {"best": 0.31, "synthetic_only": 0.06, "real_only": 0.31, "finalist 3": 0.31 + mean}
    said = answer.answer(
        confirmed_run(means, {"finalist 3": gap(mean, probability=0.5)}, best=0).read()
    )
    assert said.startswith("Use real data only")
    side = "above" if mean > 0 else "below"
    assert f" {side} real only (P = " in said
    assert said.endswith("the two do not differ significantly, and real only is simpler.")


def test_a_search_that_found_real_images_alone_says_so():
    trials = [*TRIALS[:3], ("search", 40, 0.0, 0.001, (0.2, 0.3), "COMPLETE", DONE)]
    said = answer.answer(confirmed_run(trials=trials).read())
    assert said.startswith(
        "Use real data only: on 50 real test photos the best recipe — real images only, learning rate"
    )


def test_confirmed_without_a_control_the_answer_says_so():
    run = made_run(TRIALS[2:4])
    confirm(run, {0: (0.3, 0.31)})
    row = made_scores({"best": (0.31, 0.27, 0.35)}, best=0).rows[0]
    row = type(row)(**vars(row) | {"models": (2, 3), "seeds": (0.3, 0.32)})
    run.write_test(type(made_scores({}))(**vars(made_scores({})) | {"rows": (row,)}))
    assert answer.answer(run.read()).endswith(
        "(2 seeds). No real-only control was tested, so this run does not show whether synthetic images help."
    )


@pytest.mark.parametrize("seeds", [{}, {0: (0.3, 0.31)}])
def test_without_synthetic_images_nothing_is_said_about_them(seeds):
    photos = [("search", 40, 0.0, rate, (0.2, 0.3), "COMPLETE", DONE) for rate in (0.001, 0.002)]
    run = made_run(photos, sweep=SWEEP.model_copy(update={"controls": ()}))
    confirm(run, seeds)
    scores = made_scores({"best": (0.31, 0.27, 0.35)}, best=0)
    if seeds:
        scores = replace(scores, rows=(replace(scores.rows[0], models=(2, 3), seeds=(0.3, 0.32)),))
    run.write_test(scores)
    said = answer.answer(run.read())
    assert "On 50 real test photos the best recipe — real images only" in said
    assert "synthetic" not in said
    shown = html(run.read(), {})
    assert "Real, synthetic, and both" not in shown
    assert ("<h2>Trained again: the best recipes</h2>" in shown) == bool(seeds)


def test_an_answer_that_the_test_set_gave_twice_or_long_ago_says_so():
    run = confirmed_run(openings=2)
    assert "On 50 real test photos (opened twice) the best recipe" in answer.answer(run.read())
    test = run.test()
    run.write_test(type(test)(**vars(test) | {"opened": 0.0}))
    assert answer.answer(run.read()).endswith(
        "Not part of this answer: 19 trials that started after the test set was opened."
    )


@pytest.mark.parametrize(
    ("copies", "said"),
    [
        (
            {"test": 3, "val": 2},
            "3 of 50 test photos and 2 of 40 val photos look like photos of another split or source",
        ),
        ({"test": 1}, "1 of 50 test photos looks like photos of another"),
        ({"val": 12}, "12 of 40 val photos look like photos of another"),
    ],
)
def test_an_answer_on_photos_that_may_have_trained_says_so(copies, said):
    real = ABOUT["real"] | {"near_copies": copies}
    run = confirmed_run(about=ABOUT | {"real": real})
    told = answer.answer(run.read())
    assert said in told
    assert told.endswith(
        "which the option allow_near_copies accepted: if they are the same photo, scores are too high."
    )
    assert content(run.read())["answer"] == told
    assert "allow_near_copies" not in answer.answer(confirmed_run().read())


def test_before_the_test_the_best_single_training_leads_however_its_confirmation_begins():
    run = made_run()
    confirm(run, {0: (0.9,), 2: (0.1,)})
    run.ledger.append("asked", 9, kind="confirm", params={}, recipe=run.trials()[3].settings, of=3)
    train(run, 9, (0.1,), "RUNNING")
    assert answer.answer(run.read()) == (
        "No answer yet: the test set has not been opened. Best on validation so far: 40 % synthetic at 40 objects per "
        "scene, learning rate 0.002, 0.310 mAP. The best recipes are being trained again: 2 of 12 trainings have ended."
    )


OFFERS = [(20, 0.25), (80, 0.33), (20, 0.19), (160, 0.30)]


def test_several_goals_say_what_accuracy_costs():
    run = front_run(OFFERS)
    assert answer.answer(run.read()).endswith(
        "On validation, by one training each: with 20 real images 0.25 mAP, with 80 0.33."
    )


def test_two_costs_are_told_together_and_equal_scores_with_the_decimals_that_differ():
    goals = {"objective": ("val/mAP", "real_images", "images")}
    run = front_run([(1, 0.251), (80, 0.254)], sweep=TWO_GOALS.model_copy(update=goals))
    said = "with 1 real image and 200 images seen 0.251 mAP, with 80 and 200 0.254."
    assert answer.answer(run.read()).endswith(f"On validation, by one training each: {said}")


def test_a_long_front_is_told_by_its_ends_and_a_few_between():
    run = front_run([(10 * n, n / 20) for n in range(1, 12)])
    said = "with 10 real images 0.05 mAP, with 40 0.20, with 70 0.35, with 110 0.55 (7 more on the Pareto front)."
    assert answer.answer(run.read()).endswith(said)


@given(mean=st.floats(-0.5, 0.5), width=st.floats(0.0001, 0.3), probability=st.floats(0, 1))
def test_a_difference_in_words_keeps_its_bounds_and_the_side_of_0_they_lie_on(
    mean, width, probability
):
    said = words.gap(
        Difference(mean=mean, low=mean - width, high=mean + width, probability=probability),
        "real only",
    )
    value, low, high, side = re.fullmatch(
        r"(\S+) \[(\S+), (\S+)\] (above|below) real only \(P .*\)", said
    ).groups()
    sign = 1 if side == "above" else -1
    assert float(value) >= 0
    assert float(low) <= float(value) <= float(high)
    assert sign * float(value) == pytest.approx(mean, abs=0.006)
    assert not re.search(r"-0\.0+[,\]]", said), "nothing has no sign"


def test_variants_that_real_images_alone_beat_are_told_after_that():
    run = variant_run(VARIANTS, {"real_only": 0.35, "synthetic_only": 0.1})
    assert answer.answer(run.read()) == (
        "Use real data only: on 50 real test photos it reaches 0.35 mAP [0.32, 0.38]; 0.25 [0.22, 0.28] above synthetic "
        "only (P = 0.99), 0.04 [0.01, 0.07] above full (P = 0.99). No variant did better on validation: the best of 3 "
        "tested reached 0.310 ± 0.010 mAP, real only 0.350 ± 0.014. Of the variants, full reaches 0.31 mAP "
        "[0.28, 0.34] (2 seeds); compared with it: no blur -0.12, no light colour -0.01. "
        "Significant differences: no blur. Not all recipes have 2 "
        "finished trainings: real only has 1, synthetic only has 1 (for a single training, the spread between seeds is taken from the "
        "other recipes)."
    )


def test_recipes_that_were_trained_again_once_are_compared_by_that():
    """The best recipe of the search was lucky there: real only is compared with its second
    training.
    """
    run = made_run()
    confirm(run, {0: (0.285,), 1: (0.05,), 3: (0.28,)})
    models = {"best": (7,), "real_only": (7,), "synthetic_only": (8,), "finalist 3": (9,)}
    test = made_scores(dict.fromkeys(models, (0.3, 0.2, 0.4)), best=0)
    run.write_test(
        replace(test, rows=tuple(replace(row, models=models[row.key]) for row in test.rows))
    )
    said = answer.answer(run.read())
    assert (
        "When trained again with another seed, no searched recipe did better on validation: the only one confirmed reached 0.280 mAP, real only 0.285. "
        "On the test set the intervals of the recipe of trial 3 and real only overlap: this run does not show that the two differ, and real only is the simpler recipe."
        in said
    )
    assert said.endswith(
        "The scores come from one training of each recipe: the spread between seeds is unknown."
    )


def test_what_counts_by_one_training_is_not_said_to_be_trained_once_where_it_was_trained_twice():
    run = made_run()
    confirm(run, {0: (0.285,), 3: (0.3,)})
    models = {"best": (8,), "real_only": (7,), "synthetic_only": (1,)}
    test = made_scores(dict.fromkeys(models, (0.3, 0.2, 0.4)), best=3)
    run.write_test(
        replace(test, rows=tuple(replace(row, models=models[row.key]) for row in test.rows))
    )
    assert answer.answer(run.read()).endswith(
        "The scores come from one training of each recipe: the spread between seeds is unknown."
    )


def test_a_recipe_whose_only_training_diverged_is_not_compared():
    run = made_run(scores={"best": (0.41, 0.37, 0.45), "real_only": (0.0, 0.0, 0.0)})
    diverge(run, 0)
    said = answer.answer(run.read())
    assert "The only training of real only diverged: the two are not compared." in said
    assert "do not overlap" not in said


def test_if_all_confirmations_diverge_there_is_no_answer_and_the_report_says_so():
    run = made_run(
        trials=TRIALS[2:3],
        sweep=SWEEP.replace({"confirm": Confirmation(top=1, seeds=1)}),
    )
    confirm(run, {0: (0.28,)})
    diverge(run, 1)
    assert answer.answer(run.read()).startswith(
        "No answer: all confirmations of the best recipes diverged"
    )


def test_trainings_that_diverged_are_told():
    run = confirmed_run()
    diverge(run, 17)
    assert "Trainings that diverged count as 0 mAP: 1 of 3 of best recipe." in answer.answer(
        run.read()
    )


def test_a_finalist_whose_confirmations_all_failed_is_named():
    """It won the search."""
    run = made_run()
    confirm(run, {0: (0.28, 0.27), 1: (0.05, 0.05), 3: (0.29, 0.28)})
    for number in (13, 14):
        facts = {"params": {}, "recipe": run.trials()[2].settings, "of": 2}
        run.ledger.append("asked", number, kind="confirm", **facts)
        train(run, number, (), "FAILED", "its worker failed 4 times")
    means = {"best": 0.31, "real_only": 0.25, "synthetic_only": 0.06}
    run.write_test(confirmed_scores(run, means, {"best": gap(0.06)}))
    said = answer.answer(run.read())
    assert "Not compared, because all confirmations failed: the recipe of trial 2." in said


def test_a_variant_that_wins_is_called_by_its_name_and_compared_with_the_controls():
    said = answer.answer(variant_run(VARIANTS, {"real_only": 0.25}).read())
    assert said.startswith(
        "On 50 real test photos the best recipe — full — reaches 0.31 mAP [0.28, 0.34] (2 seeds); 0.06 [0.03, 0.09] "
        "above real only (P = 0.99). Of the variants, full reaches"
    )


def test_a_variant_other_than_the_first_that_wins_is_named():
    run = variant_run(VARIANTS | {"hue": ({"scene.hue": 1.0}, (0.32, 0.36))})
    assert answer.answer(run.read()).endswith(
        "Significant differences: no blur. Best on validation is hue, with 0.34 mAP [0.31, 0.37] (2 seeds)."
    )


def test_only_variants_that_were_trained_once_are_said_to_be():
    once = {name: (changes, values[:1]) for name, (changes, values) in VARIANTS.items()}
    said = answer.answer(variant_run(once, {"real_only": 0.5}).read())
    assert said.startswith(
        "Use real data only: on 50 real test photos it reaches 0.50 mAP [0.47, 0.53];"
    )
    assert (
        "No variant did better on validation: the best of 3 reached 0.300 mAP, real only 0.500."
        in said
    )
    assert said.endswith(f"Significant differences: no blur. {ONCE}")
    uneven = answer.answer(
        variant_run(VARIANTS | {"no blur": ({"scene.blur": 0.0}, (0.2,))}).read()
    )
    assert uneven.endswith(
        "Not all recipes have 2 finished trainings: no blur has 1 "
        "(for a single training, the spread between seeds is taken from the other recipes)."
    )


def test_where_nothing_was_learned_nothing_is_recommended():
    """A detector that finds nothing is no better for having been shown real images alone."""
    blind = [(*trial[:4], tuple(value / 100 for value in trial[4]), *trial[5:]) for trial in TRIALS]
    nothing = {"best": (0.002, 0.0, 0.011), "real_only": (0.0, 0.0, 0.001)}
    assert answer.answer(made_run(blind, scores=nothing).read()) == (
        "No answer: no recipe has learned to find anything; on 50 real test photos the highest of 2 recipes is 0.002 mAP. "
        "Train longer (training.images)."
    )
    assert "Train longer" not in answer.answer(made_run(TRIALS, scores=nothing).read()), (
        "validation has more"
    )


@pytest.mark.parametrize("searched", [TRIALS[4:5], TRIALS[6:], ()])
def test_where_no_searched_recipe_finished_nothing_is_recommended(searched):
    run = made_run([*TRIALS[:2], *searched])
    run.write_test(
        made_scores({"best": (0.3, 0.2, 0.4), "synthetic_only": (0.05, 0.03, 0.07)}, best=0)
    )
    said = answer.answer(run.read())
    assert "Use real data only" not in said
    none = "none of the 0 searched recipes finished"
    if searched:
        none = "the only searched recipe did not finish"
    assert said.startswith(f"No answer: {none}.")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, "(2 running)."),
        (
            {"status": "interrupted", "finished": 200.0},
            "(2 unfinished). The run was interrupted; continue with: python -m syndet_ray resume 'my run'.",
        ),
        (
            {"status": "spent", "finished": 200.0},
            "(2 unfinished). The budget is spent; continue with: python -m syndet_ray resume 'my run' --hours TOTAL, or --images TOTAL.",
        ),
        ({"status": "interrupted", "finished": 50.0}, "(2 running)."),
    ],
    ids=["goes on", "interrupted", "spent", "is being resumed"],
)
def test_a_run_that_was_left_unfinished_says_how_to_continue(about, said):
    run = made_run([(*TRIALS[k][:4], (), "RUNNING", "") for k in (0, 2)], name="my run")
    run.describe(ABOUT | about)
    run.ledger.append("attempt", None, time=100.0)
    assert answer.answer(run.read()) == f"No answer yet: no trial has finished {said}"


def test_an_interrupted_run_trains_nothing_again():
    run = made_run()
    confirm(run, {0: (0.28,)})
    assert "The best recipes are being trained again" in answer.answer(run.read())
    run.describe(ABOUT | {"status": "interrupted", "finished": 200.0})
    told = answer.answer(run.read())
    assert "The best recipes were being trained again" in told
    assert told.endswith("continue with: python -m syndet_ray resume run.")
