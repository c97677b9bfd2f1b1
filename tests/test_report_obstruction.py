"""Hidden objects and kinds of errors in the report: what is drawn and said is what the test set showed, and no more."""

from dataclasses import replace

import pytest
from made_runs import CLASSES, KINDS, SEEN, TIED, confirmed_run, examine, made_run

from syndet_ray.data.visibility import Bin
from syndet_ray.report import obstruction, words
from syndet_ray.report.figures import mistakes
from syndet_ray.report.figures import obstruction as figures
from syndet_ray.report.figures.catalogue import draw_all
from syndet_ray.report.figures.drawing import specification

HIDDEN = ("accuracy_vs_obstruction", "recall_vs_obstruction", "error_kinds", "confusion", "class_obstruction")


@pytest.fixture
def folder(tmp_path):
    return examine(confirmed_run(tmp_path / "run"))


def test_a_bin_with_too_few_objects_is_refused_and_named(folder):
    found = obstruction.places(folder, "AP_visible")
    assert {place.bin.name for place in found} == {"0.25-0.50", "0.50-0.75", "0.75-1.00"}
    assert "Too few objects for a score, at least 20 are needed, with visibility 0.00-0.25: 7 objects." in (
        obstruction.summary(folder)
    )


def test_a_place_is_a_score_with_its_interval_at_the_mean_obstruction_of_its_bin(folder):
    best = [place for place in obstruction.places(folder, "recall_visible") if place.recipe == "best recipe"]
    assert [place.obstruction for place in best] == pytest.approx([0.625, 0.375, 0.125])
    assert [place.accuracy.value for place in best] == pytest.approx([0.5 * 0.31, 0.75 * 0.31, 0.31])
    assert all(place.accuracy.low < place.accuracy.value < place.accuracy.high for place in best)


def test_an_estimate_is_never_told_as_a_measurement(tmp_path, folder):
    estimated = examine(confirmed_run(tmp_path / "other"), replace(SEEN, kind="estimated"))
    assert obstruction.summary(folder)[0].startswith("Visibility was measured")
    assert obstruction.summary(estimated)[0].startswith("Visibility is an estimate")
    titles = [str(specification(figures.accuracy_vs_obstruction(run).figure)["title"]) for run in (folder, estimated)]
    assert ["estimated" in title for title in titles] == [False, True]


def test_slopes_are_told_with_their_intervals_and_their_signs(folder):
    (told,) = [sentence for sentence in obstruction.summary(folder) if sentence.startswith("AP for every 10 %")]
    assert "best recipe -0.031 [-0.041, -0.021]" in told


def test_objects_that_are_all_alike_tell_nothing_of_obstruction(tmp_path):
    seen = replace(
        SEEN, bins=tuple(Bin(k / 4, (k + 1) / 4, 0 if k < 3 else 9, None if k < 3 else 1.0) for k in range(4))
    )
    folder = examine(confirmed_run(tmp_path / "run"), seen)
    test = folder.test()
    rows = [
        replace(row, metrics={k: v for k, v in row.metrics.items() if not k.startswith("slope")}) for row in test.rows
    ]
    folder.write_test(replace(test, rows=tuple(rows)))
    assert figures.accuracy_vs_obstruction(folder) is None
    assert obstruction.summary(folder)[-1].startswith("With objects in fewer than two bins")


def test_error_kinds_of_every_recipe_are_those_of_the_test(folder):
    drawn = mistakes.error_kinds(folder)
    best = {row[2]: row[4] for row in drawn.rows if row[0] == "best recipe"}
    assert best == pytest.approx({kind: 0.02 * k for k, kind in enumerate(KINDS)})
    assert {row[0] for row in drawn.rows} == {"best recipe", "real only", "synthetic only", "finalist 2"}


def test_confusion_counts_the_background_only_where_it_means_something(folder):
    cells = {(true, seen): (count, share) for true, seen, count, share in mistakes.confusion(folder).rows}
    assert cells[CLASSES[0], CLASSES[1]] == (1, pytest.approx(1 / 8))
    assert cells[mistakes.BACKGROUND, CLASSES[0]] == (2, pytest.approx(2 / 3))
    assert (mistakes.BACKGROUND, mistakes.MISSED) not in cells
    assert len(cells) == (len(CLASSES) + 1) ** 2 - 1


def test_the_limit_on_predictions_is_told_with_what_it_changes(folder):
    test = folder.test()
    (best, *others) = test.rows
    found = best.metrics | {"mAP@300": 0.35, "capped@100": 0.04}
    told = words.limits(replace(test, rows=(replace(best, metrics=found), *others)))
    assert told.startswith("4 % of the test images have 100 predictions or more")
    assert told.endswith("with up to 300, mAP is 0.350 instead of 0.310.")


def test_a_run_of_before_shows_nothing_of_this_and_still_has_its_page(tmp_path, folder):
    old = made_run(tmp_path / "old", scores=TIED)
    assert not set(HIDDEN) & set(draw_all(old))
    assert obstruction.summary(old) == []
    assert words.limits(old.test()) == ""
    assert set(HIDDEN) <= set(draw_all(folder))
