"""The table of SynthDet: each row is the recipe that it asks for, beside real images alone,
whatever that is called.
"""

import pytest
from made_runs import confirmed_run, gap, made_run, variant_run
from test_report_exchange import BUDGET, budget_run

from syndet_ray.analysis.five_rows import five_rows
from syndet_ray.definitions.mix import Photos, Scenes

ALONE = {"mix.schedule": "synthetic_only"}


def test_the_five_rows_of_synthdet():
    found = {row.name: row for row in five_rows(budget_run().read())}
    named = {name: row.line.name if row.line else row.note for name, row in found.items()}
    assert named == {
        "real only, all real images": "real only",
        "synthetic only": "synthetic only",
        "synthetic + 10 % of real": "mixed, 8 images",
        "synthetic + 50 % of real": "not in this sweep: it needs a recipe with mix.real_images 0.5",
        "synthetic + all real images": "mixed, all",
    }
    assert {row.difference for row in found.values()} == {None}, "each was trained once"


def test_a_mix_with_photos_of_others_is_in_no_row():
    sources = {"web": Photos(folder="web"), "synthetic": Scenes()}
    others = {
        "all and web": ({"mix.sources": sources}, 0.9),
        "web only": ({"mix.sources": sources, **ALONE}, 0.9),
    }
    left_out = {"mix.sources": sources, "mix.parts": {"web": 0.0, "synthetic": 1.0}, **ALONE}
    with_photos = BUDGET | others | {"synthetic alone": (left_out, 0.2)}
    del with_photos["synthetic only"]
    rows = {
        row.name: row.line.name
        for row in five_rows(budget_run(recipes=with_photos).read())
        if row.line
    }
    assert rows["synthetic only"] == "synthetic alone"
    assert rows["synthetic + all real images"] == "mixed, all"


def test_a_row_that_was_tried_but_not_tested_says_so():
    run = budget_run()
    recipe = run.sweep.recipe.replace({"mix.real_images": 0.5}).flat()
    run.ledger.append("asked", 99, kind="search", params={"mix.real_images": 0.5}, recipe=recipe)
    assert five_rows(run.read())[3].note == "tried, but not scored on the test set"


def test_differences_are_shown_where_real_only_won():
    means = {"best": 0.31, "synthetic_only": 0.06, "finalist 2": 0.29, "real_only": 0.31}
    run = confirmed_run(means, {"synthetic_only": gap(-0.25), "finalist 2": gap(-0.02)}, best=0)
    real, synthetic, *_ = five_rows(run.read())
    assert (real.line.key, real.difference) == ("best", None)
    assert synthetic.difference.mean == pytest.approx(-0.25)


def test_before_the_test_set_is_opened_there_is_no_row():
    assert five_rows(made_run().read()) == ()


def test_a_run_without_synthetic_images_has_no_row():
    photos = {"mix.schedule": "real_only"}
    variants = {"slow": (photos, (0.3,)), "fast": (photos | {"training.momentum": 0.8}, (0.2,))}
    assert five_rows(variant_run(variants).read()) == ()


def test_a_row_that_the_sweep_has_but_did_not_reach_sends_nobody_to_the_sweep_again():
    run = budget_run()
    half = {"mixed, half": {"mix.real_images": 0.5}}
    run.define(run.sweep.model_copy(update={"variants": dict(run.sweep.variants) | half}))
    assert five_rows(run.read())[3].note == "in this sweep, but its training never started"
