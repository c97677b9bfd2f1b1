"""Hidden objects and kinds of errors in the report: what is drawn and said is what the test set
showed, and no more.
"""

import json
import re
from dataclasses import replace

import pytest
from made_runs import ABOUT, CLASSES, KINDS, TIED, VISIBILITY, confirmed_run, examine, made_run

from syndet_ray.analysis import obstruction
from syndet_ray.data.visibility import Bin
from syndet_ray.report import page, words
from syndet_ray.report.figures import mistakes
from syndet_ray.report.figures import obstruction as figures
from syndet_ray.report.figures.catalogue import plot_all
from syndet_ray.report.figures.plot import specification
from syndet_ray.report.findings import obstruction_sentences

HIDDEN = (
    "accuracy_vs_obstruction",
    "recall_vs_obstruction",
    "error_kinds",
    "confusion",
    "class_obstruction",
)


@pytest.fixture
def run():
    return examine(confirmed_run())


def test_a_bin_with_too_few_objects_is_refused_and_named(run):
    found = obstruction.bin_scores(run.read(), "AP_visible")
    assert {place.bin.name for place in found} == {"0.25-0.50", "0.50-0.75", "0.75-1.00"}
    assert (
        "Too few objects for a score (at least 20 are needed) with visibility 0.00-0.25: 7 objects."
        in (obstruction_sentences(run.read()))
    )


def test_a_place_is_a_score_with_its_interval_at_the_mean_obstruction_of_its_bin(run):
    best = [
        place
        for place in obstruction.bin_scores(run.read(), "recall_visible")
        if place.recipe == "best recipe"
    ]
    assert [place.obstruction for place in best] == pytest.approx([0.625, 0.375, 0.125])
    assert [place.accuracy.value for place in best] == pytest.approx(
        [0.5 * 0.31, 0.75 * 0.31, 0.31]
    )
    assert all(place.accuracy.low < place.accuracy.value < place.accuracy.high for place in best)


def test_an_estimate_is_never_told_as_a_measurement(run):
    estimated = examine(confirmed_run(), replace(VISIBILITY, kind="estimated"))
    assert obstruction_sentences(run.read())[0].startswith("Visibility was measured")
    assert obstruction_sentences(estimated.read())[0].startswith("Visibility is an estimate")
    titles = [
        str(specification(figures.accuracy_vs_obstruction(kept.read()).figure)["title"])
        for kept in (run, estimated)
    ]
    assert ["estimated" in title for title in titles] == [False, True]


def test_slopes_are_told_with_their_intervals_and_their_signs(run):
    (told,) = [
        sentence
        for sentence in obstruction_sentences(run.read())
        if sentence.startswith("Change of AP for every 10 %")
    ]
    assert told.startswith(
        "Change of AP for every 10 % more of an object that is hidden, within classes: "
    )
    assert "best recipe -0.031 [-0.041, -0.021]" in told
    assert any(
        sentence.startswith("Change of recall for every 10 %")
        for sentence in obstruction_sentences(run.read())
    )


def test_slopes_that_were_not_taken_within_classes_are_not_said_to_be():
    old = examine(confirmed_run(), replace(VISIBILITY, class_objects={}))
    assert "within classes" not in " ".join(obstruction_sentences(old.read()))


def test_objects_that_are_all_alike_tell_nothing_of_obstruction():
    visibility = replace(
        VISIBILITY,
        bins=tuple(
            Bin(low=k / 4, high=(k + 1) / 4, objects=0 if k < 3 else 9, mean=None if k < 3 else 1.0)
            for k in range(4)
        ),
    )
    run = examine(confirmed_run(), visibility)
    test = run.test()
    rows = [
        replace(row, metrics={k: v for k, v in row.metrics.items() if not k.startswith("slope")})
        for row in test.rows
    ]
    run.write_test(replace(test, rows=tuple(rows)))
    assert figures.accuracy_vs_obstruction(run.read()) is None
    assert obstruction_sentences(run.read())[-1].startswith("No class has objects in two bins")


def test_error_kinds_of_every_recipe_are_those_of_the_test(run):
    drawn = mistakes.error_kinds(run.read())
    best = {row[2]: row[4] for row in drawn.rows if row[0] == "best recipe"}
    assert best == pytest.approx({kind: 0.02 * k for k, kind in enumerate(KINDS)})
    assert {row[0] for row in drawn.rows} == {
        "best recipe",
        "real only",
        "synthetic only",
        "recipe of trial 2",
    }


def test_confusion_counts_the_background_only_where_it_means_something(run):
    cells = {
        (true, seen): (count, share)
        for true, seen, count, share in mistakes.confusion(run.read()).rows
    }
    assert cells[CLASSES[0], CLASSES[1]] == (1, pytest.approx(1 / 8))
    assert cells[mistakes.BACKGROUND, CLASSES[0]] == (2, pytest.approx(2 / 3))
    assert (mistakes.BACKGROUND, mistakes.MISSED) not in cells
    assert len(cells) == (len(CLASSES) + 1) ** 2 - 1


def test_classes_called_as_the_background_stay_apart_from_it():
    classes = ("(background)", "background", "(missed)")
    run = examine(made_run(scores=TIED, about=ABOUT | {"classes": classes}))
    cells = {(true, seen): count for true, seen, count, _ in mistakes.confusion(run.read()).rows}
    assert len(cells) == (len(CLASSES) + 1) ** 2 - 1, "none was lost"
    assert cells["(background)", "((missed))"] == 2
    assert cells["((background))", "(background)"] == 2


def test_a_class_in_a_bin_has_its_number_of_objects_and_is_refused_where_that_is_small(run):
    drawn = mistakes.class_obstruction(run.read())
    found = {(name, held): count for name, held, _, count in drawn.rows}
    assert found[CLASSES[1], "0.75-1.00"] == 100
    assert (CLASSES[0], "0.75-1.00") not in found, "4 objects"
    assert len(found) == 3 * len(CLASSES) - 1
    assert '"field": "objects"' in json.dumps(specification(drawn.figure))
    old = mistakes.class_obstruction(
        examine(confirmed_run(), replace(VISIBILITY, class_objects={})).read()
    )
    assert {row[3] for row in old.rows} == {None}
    assert '"field": "objects"' not in json.dumps(specification(old.figure))


def limited(run, **metrics):
    test = run.test()
    (best, *others) = test.rows
    return words.limits(
        replace(test, rows=(replace(best, metrics=best.metrics | metrics), *others))
    )


def test_limits_on_predictions_are_told_with_what_they_change(run):
    told = limited(run, **{"mAP@300": 0.35, "capped@100": 0.04})
    assert told.startswith("In 4 % of the test images a class has more than 100 predictions")
    assert told.endswith("with up to 300, mAP is 0.350 instead of 0.310.")
    full = "In 2 % of the images the model made as many predictions as it can, 300: it may have left some out."
    assert limited(run, **{"capped@300": 0.02}) == full
    assert (
        limited(run, **{"mAP@300": 0.35, "capped@100": 0.04, "capped@300": 0.02})
        == f"{told} {full}"
    )
    assert limited(run).startswith("No limit on predictions had an effect")


def test_bins_and_quantiles_of_the_best_recipe_have_a_table(run):
    found = {group.name: group for group in obstruction.groups(run.read())}
    assert list(found) == ["bin 1", "bin 2", "bin 3", "bin 4", "quantile 1", "quantile 2"]
    assert found["bin 1"].refused and found["bin 1"].ap is None
    assert found["quantile 2"].ap.text() == "0.310 [0.270, 0.350]"
    assert found["quantile 1"].recall.text() == "0.155"
    shown = re.sub("<[^>]*>", " ", page.html(run.read(), {}))
    assert "bin 1 0.00 to 0.25 7 88 % too few objects" in " ".join(shown.split())
    assert "quantile 2 0.80 to 1.00 207 10 % 0.310 [0.270, 0.350] 0.310" in " ".join(shown.split())


def test_a_run_of_before_shows_nothing_of_this_and_still_has_its_page(tmp_path, run):
    old = made_run(scores=TIED).write(tmp_path / "old")
    assert not set(HIDDEN) & set(plot_all(old.read(), old.figures))
    assert obstruction_sentences(old.read()) == []
    assert words.limits(old.test()) == ""
    html = page.write(old.read(), old).read_text()
    assert "was opened by an earlier version, which did not measure visibility" in html
    assert "the test set has not been opened" not in html
    assert set(HIDDEN) <= set(plot_all(run.read(), tmp_path / "figures"))
