"""The report of a run: its figures and its page."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from made_runs import (
    ABOUT,
    TIED,
    TRIALS,
    TWO_GOALS,
    VARIANTS,
    MadeRun,
    confirm,
    confirmed_run,
    examine,
    front_run,
    gap,
    made_run,
    made_scores,
    run_of_zeros,
    variant_run,
)
from PIL import Image
from pyarrow import parquet

from syndet_ray.analysis import tables
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Mix, Scenes
from syndet_ray.definitions.parameter import Simplex
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.report import answer, page
from syndet_ray.report.figures import agreement, learning, obstruction, responses
from syndet_ray.report.figures.catalogue import plot_all
from syndet_ray.report.figures.plot import (
    from_zero,
    label_positions,
    score_limits,
    script,
    specification,
)
from syndet_ray.runs.results import Picture, Trial


class Text(HTMLParser):
    """What a reader sees of a page, and the tags it is made of."""

    def __init__(self, html):
        super().__init__()
        self.tags, self._words = [], []
        self.feed(html)
        self.words = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self._words.append(data)


def read(folder):
    """The page of a run in its folder, with its figures."""
    return Text(page.write(folder.read(), folder).read_text())


def read_without_figures(run):
    """The page of a run in memory."""
    return Text(page.html(run.read(), {}))


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ((), "No answer: no trial was started."),
        ((TRIALS[4],), "No answer: no trial has finished (1 pruned)."),
        (
            (TRIALS[6], ("search", 10, 0.5, 0.001, (0.1,), "RUNNING", "")),
            "No answer yet: no trial has finished (1 failed, 1 running). "
            "Trial 0 failed first: training loss became nan at image 24 <script>alert(1)</script>.",
        ),
    ],
)
def test_a_run_without_a_finished_trial_still_has_its_page(tmp_path, trials, said):
    folder = made_run(trials).write(tmp_path / "run")
    shown = read(folder)
    assert answer.answer(folder.read()) == said
    assert said in shown.words
    assert "The test set has not been opened" in shown.words
    assert ("What failed" in shown.words) == any(trial[5] == "FAILED" for trial in trials)


@pytest.mark.parametrize(("status", "state"), [(None, "running"), ("interrupted", "unfinished")])
def test_the_trials_of_an_interrupted_run_do_not_run(status, state):
    run = made_run([(*TRIALS[2][:4], (0.1,), "RUNNING", "")])
    run.describe(ABOUT | {"status": status, "finished": 1000.0})
    shown = read_without_figures(run)
    assert f"0.100 0.150 {state}" in shown.words


def test_the_page_needs_nothing_else_and_tells_all(tmp_path):
    folder = made_run(scores=TIED, pictures=True).write(tmp_path / "run")
    shown = read(folder)
    images = [attributes["src"] for tag, attributes in shown.tags if tag == "img"]
    assert len(images) == len(list(folder.figures.glob("*.png")))
    assert all(
        source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
        for source in images
    )
    own = without_charts(folder.report.read_text())
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://|fetch\(|import\(", own)
    for told in (
        "How crowded should <synthetic> scenes be?",
        answer.answer(folder.read()),
        "0.310 [0.270, 0.350]",
        "40 % synthetic at 40 objects per scene, learning rate 0.002",
        "real only",
        "median pruner after 200 images",
        "training loss became nan at image 24 <script>alert(1)</script>",
        "seed 7",
        "12 min 5 s",
        "test 0123456789ab",
        "mix.synthetic: 0 to 1",
        "training.learning_rate: 0.0003 to 0.005, on a log scale",
        "scene.objects: 10, 40 or 70",
        "torch 2.9.0",
        "faster_rcnn with auto, starting weights auto, frozen stages auto",
    ):
        assert told in shown.words, told
    assert "stand-in" not in shown.words.lower()


def without_charts(html):
    """A page less the one library in it and the specifications, which name where their schema lies
    and ask nobody for it.
    """
    assert html.count(script()) == 1
    return re.sub('"\\$schema": "[^"]*"', "", html.replace(script(), ""))


def test_the_page_keeps_its_order(tmp_path):
    folder = made_run(scores=TIED, pictures=True).write(tmp_path / "run")
    html = page.write(folder.read(), folder).read_text()
    assert html.index("<h1 ") < html.index('<p class="answer">') < html.index("<h2>")
    heads = iter(re.findall("<h2>(.*?)</h2>", without_charts(html)))
    for head in (  # others may stand between them
        "Test: best recipe and controls",
        "Learning curves",
        "Validation against test",
        "Trials",
        "Training images",
        "AP per class",
        "How this run was made",
    ):
        assert head in heads, head


def test_what_users_name_is_text_and_never_markup(tmp_path):
    folder = made_run(scores=TIED, pictures=True).write(tmp_path / "run")
    html, shown = page.write(folder.read(), folder).read_text(), read(folder)
    assert "<b>two</b>" in shown.words
    assert "<b>two" not in html
    assert "<script>alert" not in html
    assert "<synthetic>" not in html
    assert (
        "<th><bdi>&lt;b&gt;two&lt;/b&gt;</bdi></th>" in html
    )  # reads from right to left if it must


def test_every_number_of_a_stand_in_run_is_marked(tmp_path):
    folder = made_run(scores=TIED, stand_in=True, pictures=True).write(tmp_path / "run")
    said, shown = answer.answer(folder.read()), read(folder)
    assert said.startswith("On 50 stand-in test images the best recipe")
    assert said.endswith(
        "Stand-in images took the place of photos: this says nothing about real photos."
    )
    assert "Stand-in data. No photos were given." in shown.words
    heads = re.findall(r"<h2>(.*?)</h2>", without_charts(folder.report.read_text()))
    unmarked = [head for head in heads if "stand-in" not in head]
    assert unmarked == ["How this run was made"]
    assert len(
        re.findall("<figcaption>.*?stand-in.*?</figcaption>", folder.report.read_text(), re.DOTALL)
    ) == len(list(folder.figures.glob("*.png")))
    assert "real test photo" not in shown.words


def test_a_bare_run_json_is_enough(tmp_path):
    folder = made_run(scores=TIED, about={}).write(tmp_path / "run")
    words = read(folder).words
    assert "syndet_ray · sweep run" in words
    assert "seed 0" in words
    assert "versions" not in words


def test_figures_lie_beside_their_numbers(tmp_path, monkeypatch):
    monkeypatch.undo()  # at their own size
    folder = made_run(scores=TIED, pictures=True).write(tmp_path / "run")
    found = plot_all(folder.read(), folder.figures)
    assert {
        "test_scores",
        "validation_vs_test",
        "learning_curves",
        "sheet_training",
    } <= found.keys()
    assert sorted(path.name for path in folder.figures.iterdir()) == sorted(
        f"{name}.{kind}" for name in found for kind in ("png", "csv", "parquet")
    )
    for name, figure in found.items():
        assert figure.png == folder.figures / f"{name}.png"
        assert parquet.read_table(figure.png.with_suffix(".parquet")).num_rows == len(
            rows(folder, name)
        )
        with Image.open(figure.png) as image:
            assert image.width >= 1000
            assert np.ptp(np.asarray(image)) > 100, "an empty picture"
    assert len(rows(folder, "learning_curves")) == sum(len(trial[4]) for trial in TRIALS)
    assert list(rows(folder, "test_scores")[0].values()) == [
        "best",
        "2",
        "1",
        "mAP",
        "0.31",
        "0.27",
        "0.35",
    ]
    assert {row["source"] for row in rows(folder, "sheet_training")} == {"real", "synthetic"}


@pytest.mark.parametrize(
    ("name", "key", "columns"),
    [
        ("learning_curves", None, ("trial", "what", "images", "val_mAP")),
        (
            "test_scores",
            ("metric", ("mAP", "AP50", "AP75", "mAR")),
            ("metric", "value", "low_95", "high_95"),
        ),
        (
            "validation_vs_test",
            None,
            ("what", "validation_mAP", "standard_error", "test_mAP", "low_95", "high_95"),
        ),
    ],
)
def test_a_chart_holds_what_its_table_holds(tmp_path, name, key, columns):
    folder = confirmed_run().write(tmp_path / "run")
    spec = plot_all(folder.read(), folder.figures)[name].spec
    told = [row for row in rows(folder, name) if key is None or row[key[0]] in key[1]]
    table = sorted(tuple(row[column] for column in columns) for row in told)
    assert table in [columns_of(data, columns) for data in spec["datasets"].values()]


def columns_of(data, columns):
    """The rows of a dataset as a CSV file would tell them; none where it lacks a column."""
    if not data or not set(columns) <= data[0].keys():
        return []
    return sorted(
        tuple("" if row[column] is None else str(row[column]) for column in columns) for row in data
    )


def test_every_chart_is_a_picture_too_and_its_specification_stays_data(tmp_path):
    folder = made_run(scores=TIED, pictures=True).write(tmp_path / "run")
    html = page.write(folder.read(), folder).read_text()
    figures = re.findall('<figure class="chart">(.*?)</figure>', html, re.DOTALL)
    assert len(figures) >= 3
    for figure in figures:
        (name,) = re.findall('<img [^>]*><div data-chart="([^"]*)"', figure)
        (text,) = re.findall(
            f'<script type="application/json" id="spec-{name}">(.*?)</script>', html, re.DOTALL
        )
        assert "<" not in text, "which could close the script"
        assert json.loads(text)["datasets"]


def test_names_that_users_gave_cannot_leave_a_specification(tmp_path):
    variants = {"</script><b>": ({}, (0.3, 0.3)), "other": ({"scene.blur": 0.0}, (0.2, 0.2))}
    folder = variant_run(variants).write(tmp_path / "run")
    html = page.write(folder.read(), folder).read_text()
    assert "</script><b>" not in html
    (text,) = re.findall(
        '<script type="application/json" id="spec-variants">(.*?)</script>', html, re.DOTALL
    )
    assert "</script><b>" in json.dumps(json.loads(text))


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")
def test_a_browser_draws_every_chart_without_an_error(tmp_path):
    folder = confirmed_run(pictures=True).write(tmp_path / "run")
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=8000"),
            *("--dump-dom", page.write(folder.read(), folder).as_uri()),
        ],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    places = re.findall('<div data-chart="([^"]*)"[^>]*>(<svg)?', done.stdout.replace(script(), ""))
    assert {"learning_curves", "test_scores", "validation_vs_test"} <= {name for name, _ in places}
    assert [name for name, drawn in places if not drawn] == []
    logged = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert [line for line in logged if '] "WARN ' not in line] == [], (
        "Vega warns of an empty field, which is no fault"
    )


def rows(folder, name):
    return list(csv.DictReader(io.StringIO((folder.figures / f"{name}.csv").read_text())))


def test_recipes_that_were_trained_again_have_their_table_and_their_seeds(tmp_path):
    folder = confirmed_run(simplest=0, pictures=True).write(tmp_path / "run")
    html, shown = page.write(folder.read(), folder).read_text(), read(folder)
    heads = re.findall("<h2>(.*?)</h2>", html)
    again = heads.index("Trained again: the best recipes and the controls")
    assert heads[again + 1] == "Test: best recipe and controls"
    for told in (
        "best recipe 0.300 ± 0.006 3 0.310 [0.270, 0.350] 0.31 +0.060 [+0.030, +0.090] P = 0.99 +0.250",
        "real only simplest within one standard error 0.280 ± 0.006 3 0.250",
        "recipe of trial 2",
        "opened once: means over seeds, in brackets 95 % intervals over test images and seeds",
        "trial 3",
        "the best 2 and the controls, 3 seeds each",
    ):
        assert told in shown.words, told
    assert "trained once" not in shown.words


def test_the_table_of_the_test_names_the_trainings_that_it_scores():
    run = made_run()
    confirm(run, {0: (0.285,), 3: (0.28,)})
    test = made_scores({"best": (0.3, 0.2, 0.4), "finalist 3": (0.3, 0.2, 0.4)}, best=0)
    best, other = test.rows
    rows = (replace(best, models=(7,)), replace(other, models=(8,)))
    run.write_test(replace(test, rows=rows))
    shown = read_without_figures(run).words
    assert "0.285 0 7 real images only" in shown
    assert "0.280 3 8 70 % synthetic" in shown
    assert "All scores in a row are of the scored trials." in shown
    assert "of the scored trials" not in read_without_figures(made_run(scores=TIED)).words


def test_confirmations_stay_out_of_what_the_search_found(tmp_path):
    folder = confirmed_run().write(tmp_path / "run")
    plot_all(folder.read(), folder.figures)
    curves = rows(folder, "learning_curves")
    assert {row["seed_of"] for row in curves if row["kind"] == "confirm"} == {"0", "1", "2", "3"}
    assert [row["seeds"] for row in rows(folder, "test_scores")] == ["3"] * 28
    sorted_table = (
        page.write(folder.read(), folder).read_text().split('id="trials"')[1].split("</table>")[0]
    )
    assert sorted_table.count("<tr") == 1 + len(TRIALS)


def test_a_test_set_that_was_opened_again_is_said_to_be(tmp_path):
    shown = read(confirmed_run(openings=2).write(tmp_path / "run")).words
    assert "opened once" not in shown
    assert "Scores on 50 real test photos, opened twice" in shown
    assert "test set opened twice" in shown


def test_a_control_that_won_keeps_its_colour_and_the_order_of_the_table():
    means = {
        "best": 0.31,
        "synthetic_only": 0.06,
        "finalist 2": 0.29,
        "real_only": 0.31,
        "finalist 3": 0.28,
    }
    run = confirmed_run(means, {"finalist 2": gap(-0.02), "finalist 3": gap(-0.03)}, best=0)
    assert [line.name for line in tables.test_lines(run.test(), run.trials())] == [
        *("real only", "synthetic only", "recipe of trial 2", "recipe of trial 3"),
    ]
    assert "real only 0.280 ± 0.006 3 0.310" in read_without_figures(run).words


OFFERS = [(5, 0.11), (20, 0.25), (20, 0.19), (80, 0.33), (160, 0.34), (40, 0.24), (20, 0.25)]


def test_several_goals_have_their_front_in_a_figure_a_table_and_numbers(tmp_path):
    folder = front_run(OFFERS).write(tmp_path / "run")
    shown = read(folder).words
    assert "What accuracy costs" in shown
    assert "20 0.250 50 % synthetic at 40 objects per scene, 20 real images" in shown
    assert "val/mAP maximized and real_images minimized" in shown
    assert "none, for there are several goals" in shown
    found = rows(folder, "pareto")
    assert list(found[0].values()) == ["0", "search", "5.0", "0.11", "True", "", ""]
    assert [row["trial"] for row in found] == ["0", "1", "6", "2", "5", "3", "4"]
    assert [row["trial"] for row in found if row["on_front"] == "True"] == ["0", "1", "6", "3", "4"]


def test_offers_that_were_trained_again_show_what_became_of_them(tmp_path):
    run = front_run(OFFERS)
    confirm(run, {3: (0.30, 0.32), 1: (0.20, 0.22)})
    folder = run.write(tmp_path / "run")
    found = {row["trial"]: row for row in drawn(folder, "pareto")}
    assert float(found["3"]["confirmed_mean"]) == pytest.approx(0.31)
    assert float(found["3"]["standard_error"]) == pytest.approx(0.01)
    assert found["4"]["confirmed_mean"] == ""
    assert "0.310 ± 0.010" in read(folder).words


@pytest.mark.parametrize(
    "offers",
    [[(0, 0.0)], [(0, 0.1), (160, 0.3)], [(5, 0.2), (5, 0.2)]],
    ids=["one", "from 0", "equal"],
)
def test_fronts_of_few_offers_are_drawn(tmp_path, offers):
    goals = ("val/mAP", "real_images", "images")
    sweep = TWO_GOALS.model_copy(update={"objective": goals})
    folder = front_run(offers, sweep=sweep).write(tmp_path / "run")
    assert {row["images"] for row in drawn(folder, "pareto")} == {"200.0"}


def drawn(folder, name):
    """The rows of a figure's CSV file, after all figures were saved."""
    plot_all(folder.read(), folder.figures)
    return rows(folder, name)


def test_a_setting_without_effect_is_told():
    run = made_run(TRIALS[:3])
    recipe = run.trials()[2].settings | {"scene.blur": 0.9}
    run.ledger.append("asked", 3, kind="search", params={"scene.blur": 0.9}, recipe=recipe)
    for rung in run.trials()[2].rungs:
        run.ledger.append("report", 3, images=rung.images, metrics=rung.metrics, effective={})
    run.ledger.append("ended", 3, state="COMPLETE", reason="")
    assert (
        "have different recipes and identical results: the settings that differ had no effect (blur)."
        in read_without_figures(run).words
    )
    assert "identical results" not in read_without_figures(made_run()).words


def test_mixes_of_several_sources_and_schedules_are_in_words():
    mix = Mix(
        sources={
            "sparse": Scenes(changes={"scene.objects": 10}),
            "crowded": Scenes(changes={"scene.objects": 70}),
        }
    )
    space = SearchSpace({"mix.shares": Simplex(sources=("real", "sparse", "crowded"))})
    sweep = LoadedSweep(question="?", recipe=Recipe(mix=mix), space=(space,))
    run = MadeRun(sweep)
    params = {
        "mix.synthetic": 0.7,
        "mix.parts": {"sparse": 5 / 7, "crowded": 2 / 7},
        "mix.schedule": "staged",
    }
    run.ledger.append(
        "asked", 0, kind="search", params=params, recipe=sweep.recipe.replace(params).flat()
    )
    run.ledger.append("report", 0, images=400, metrics={"val/mAP": 0.2}, effective={})
    run.ledger.append("ended", 0, state="COMPLETE", reason="")
    shown = read_without_figures(run).words
    for told in (
        "Best on validation so far: 30 % real, 50 % sparse, 20 % crowded, staged, 0.200 mAP",
        "71 % sparse, 29 % crowded",
        "mix.shares: any shares of real, sparse, crowded",
        "Staged: synthetic images first, then real ones.",
    ):
        assert told in shown, told


# Of every run; the other figures answer what only some sweeps ask.
ALWAYS = ("test_scores", "validation_vs_test", "learning_curves", "sheet_training")


@pytest.mark.parametrize(
    ("trials", "drawn"),
    [
        ((), []),
        ((TRIALS[6],), []),
        ((TRIALS[0],), ["learning_curves"]),
        ((TRIALS[4],), ["learning_curves"]),
        ((("search", 10, 0.5, 0.001, (0.0,), "COMPLETE", ""),), ["learning_curves"]),
    ],
    ids=["no trial", "all failed", "a control alone", "one, pruned", "one that scored 0"],
)
def test_figures_without_numbers_are_left_out_with_a_sentence(tmp_path, trials, drawn):
    folder = made_run(trials).write(tmp_path / "run")
    assert [name for name in plot_all(folder.read(), folder.figures) if name in ALWAYS] == drawn
    assert "Training images with their boxes: nothing to show in this run." in read(folder).words


def test_pictures_without_a_box_are_drawn(tmp_path):
    folder = made_run(TRIALS[:1]).write(tmp_path / "run")
    bare = np.zeros((0, 4), np.float32)
    image = np.full((40, 60, 3), 90, np.uint8)
    folder.write_pictures("real", [Picture(image=image, xyxy=bare, names=())])
    folder.write_pictures(
        "best", [Picture(image=image, xyxy=bare, names=(), scores=(), truth=bare, truth_names=())]
    )
    assert {"learning_curves", "sheet_training", "best_predictions"} <= plot_all(
        folder.read(), folder.figures
    ).keys()


def test_labels_are_moved_apart_only_where_they_meet():
    assert label_positions([0.3, 0.1, 0.2], 0.05) == pytest.approx([0.3, 0.1, 0.2])
    assert label_positions([0.31, 0.1, 0.29], 0.05) == pytest.approx([0.325, 0.1, 0.275])
    assert label_positions([0.2, 0.2, 0.2], 0.05) == pytest.approx([0.15, 0.2, 0.25])
    assert label_positions([], 0.05) == []


def test_an_axis_from_zero_has_room_above_and_never_cuts_a_mark():
    assert from_zero([0.1, 0.5]) == pytest.approx([0, 0.56])
    assert from_zero([0.0, 0.5]) == pytest.approx([-0.0168, 0.56])
    assert from_zero([0.0]) == pytest.approx([-0.03, 1])
    assert from_zero([]) == [0.0, 1.0]


def test_labels_are_not_moved_below_where_there_is_room():
    assert label_positions([0.0, 0.0, 0.0], 0.05, 0.0) == pytest.approx([0.0, 0.05, 0.1])
    assert label_positions([0.2, 0.2, 0.2], 0.05, 0.0) == pytest.approx([0.15, 0.2, 0.25])


def test_an_axis_of_scores_never_begins_below_0():
    assert score_limits([0.2, 0.4], 0.1) == pytest.approx([0.18, 0.42])
    assert score_limits([0.01, 0.4], 0.1)[0] == 0
    assert score_limits([-0.02, 0.4], 0.1)[0] == 0
    assert score_limits([0.3, 0.3], 0.1) == pytest.approx([0.25, 0.35])
    assert score_limits([0.0, 0.0], 0.1) == [0, 1]


def test_a_page_names_no_winner_where_all_scores_are_0():
    page_of_zeros = read_without_figures(run_of_zeros())
    assert "There is no winner: all scores are 0. On 50" in page_of_zeros.words
    assert "Bold: the winner" not in page_of_zeros.words
    assert "The best recipe was chosen" not in page_of_zeros.words
    classes = [attributes.get("class", "") for _, attributes in page_of_zeros.tags]
    assert not [name for name in classes if "best" in name.split()]


def test_axes_of_a_run_whose_scores_are_all_0_reach_from_0_to_1():
    run = examine(run_of_zeros()).read()
    plots = [agreement.validation_vs_test(run), obstruction.accuracy_vs_obstruction(run)]
    for drawn in [*plots, *responses.responses(run).values()]:
        (domain,) = _heights(drawn.figure.to_dict())
        assert domain[0] > -0.1 and 1 <= domain[1] < 1.1, "with a tick at every tenth"
    numbers = learning.learning_curves(run).figure.to_dict()["datasets"].values()
    heights = [row["height"] for rows in numbers for row in rows if "height" in row]
    assert len(heights) == 6 and min(heights) == 0, "the axis cuts no number"


def _heights(spec):
    """The domains of mAP in a specification and in its layers."""
    domains = []
    for part in [spec, *spec["layer"]]:
        scale = part.get("encoding", {}).get("y", {}).get("scale", {})
        domains += [scale["domain"]] if "domain" in scale else []
    return [list(domain) for domain in dict.fromkeys(map(tuple, domains))]


def rows_of(plot):
    """The numbers behind a figure in memory, by column."""
    return [dict(zip(plot.header, row, strict=True)) for row in plot.rows]


def test_validation_beside_test_tells_both_of_every_recipe():
    plot = agreement.validation_vs_test(confirmed_run().read())
    found = {row["what"]: row for row in rows_of(plot)}
    assert list(found) == ["best recipe", "real only", "synthetic only", "recipe of trial 2"]
    best = found["best recipe"]
    assert best["validation_mAP"] == pytest.approx(0.30)
    assert best["standard_error"] == pytest.approx(0.00577, abs=1e-4)
    assert [best[name] for name in ("test_mAP", "low_95", "high_95")] == [0.31, 0.27, 0.35]


def test_one_recipe_alone_is_not_compared(tmp_path):
    folder = made_run(scores={"best": (0.31, 0.27, 0.35)}).write(tmp_path / "run")
    assert "validation_vs_test" not in plot_all(folder.read(), folder.figures)
    assert "Validation against test" not in read(folder).words


def test_a_recipe_that_was_trained_once_has_no_standard_error():
    plot = agreement.validation_vs_test(made_run(scores=TIED).read())
    assert [row["standard_error"] for row in rows_of(plot)] == [None] * 3


def curves_spec(run):
    return specification(learning.learning_curves(run.read()).figure)


def test_numbers_of_trials_that_end_together_are_moved_apart():
    spec = curves_spec(made_run())
    named = next(data for data in spec["datasets"].values() if "height" in data[0])
    heights = sorted(row["height"] for row in named if row["images"] == 400)
    assert {row["trial"] for row in named} == {"0", "1", "2", "3", "4", "5"}
    assert min(np.diff(heights)) >= 0.055 * 1.12 * 0.31 - 1e-9


def test_of_many_curves_only_the_best_and_the_controls_are_numbered():
    spec = curves_spec(made_run((*TRIALS[:2], *[TRIALS[2]] * 13)))
    named = next(data for data in spec["datasets"].values() if "height" in data[0])
    assert [row["trial"] for row in named] == ["0", "1", "2"]


@pytest.fixture
def ablation():
    """A tested run of three variants, each trained twice."""
    return variant_run(VARIANTS)


def test_variants_are_compared_with_the_first_and_said_to_differ_only_beyond_their_intervals(
    ablation,
):
    lines = tables.variant_lines(ablation.read())
    assert [(line.name, round(line.score.value, 3), len(line.seeds), line.apart) for line in lines] == [
        ("full", 0.31, 2, False), ("no blur", 0.19, 2, True), ("no light colour", 0.3, 2, False),
    ]  # fmt: skip
    assert answer.answer(ablation.read()) == (
        "On 50 real test photos full reaches 0.31 mAP [0.28, 0.34] (2 seeds); compared with it: no blur -0.12, "
        "no light colour -0.01. Significant differences: no blur."
    )
    assert "blur 0" in lines[1].changes


def test_the_page_of_variants_has_their_figure_and_table(ablation, tmp_path):
    folder = ablation.write(tmp_path / "ablation")
    shown = read(folder)
    assert "Variants compared" in shown.words
    assert (
        "no blur 0.190 [0.160, 0.220] 2 0.04 -0.120 [-0.150, -0.090] P < 0.01 0.500 blur 0"
        in shown.words
    )
    assert "Trained from several seeds" in shown.words
    assert "Test: best recipe and other variants" in shown.words
    assert "Trained again" not in shown.words
    assert (folder.figures / "variants.png").exists()
    found = (folder.figures / "variants.csv").read_text().splitlines()
    assert (
        found[0]
        == "variant,seed,test_mAP,low_95,high_95,difference,difference_low_95,difference_high_95"
    )
    assert [row.split(",")[:3] for row in found[1:4]] == [
        ["full", "mean", "0.31"], ["full", "1", "0.3"], ["full", "2", "0.32"],
    ]  # fmt: skip
    assert len(found) == 10


def test_where_there_are_no_intervals_no_figure_names_any(ablation, tmp_path):
    """Nine images make none."""
    folder = ablation.write(tmp_path / "ablation")
    assert "95 %" in read(folder).words
    small = replace(folder.test(), images=9)
    bare = tuple(replace(row, intervals={}, differences={}) for row in small.rows)
    folder.write_test(replace(small, rows=bare))
    drawn = plot_all(folder.read(), folder.figures)
    shown = read(folder)
    assert "test_scores" in drawn and "variants" in drawn
    assert "95 %" not in shown.words
    assert "with 95 % interval" not in folder.report.read_text()


def test_a_report_of_single_trainings_tells_no_probability(tmp_path):
    once = {name: (changes, seeds[:1]) for name, (changes, seeds) in VARIANTS.items()}
    shown = read(variant_run(once, controls={"real_only": 0.25}).write(tmp_path / "run")).words
    assert "no blur 0.200 [0.170, 0.230] -0.100 [-0.130, -0.070] 0.500 blur 0" in shown
    assert "P(best)" not in shown
    assert "P > 0.99" not in shown
    assert (
        "95 % intervals over test images only; another seed may give another difference. "
        "The scores come from one training of each recipe." in shown
    )
    assert "mAP above real only" not in shown


def test_the_figures_of_a_report_are_counted(tmp_path):
    counts = []
    folder = made_run().write(tmp_path / "run")
    folder.report_error.write_text("of an earlier attempt")
    page.write(folder.read(), folder, lambda done, total: counts.append((done, total)))
    assert not folder.report_error.exists(), "nothing is wrong any more"
    drawn = len(list(folder.figures.glob("*.png")))
    assert counts == [(k + 1, drawn) for k in range(drawn)]


def test_the_training_programs_of_a_run_are_named():
    ours = Trial(number=0, role="search", params={}, recipe=Recipe())
    command = "command:python /a/my_train.py --deep"
    other = replace(ours, recipe=Recipe(detector=command))
    assert page.programs([ours]) == ""
    assert page.programs([ours, other, other]) == "my_train.py"
