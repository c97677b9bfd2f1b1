"""The report of a run: its answer, its figures and its page, from a run folder that real code wrote."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from syndet_ray.recipe import Recipe, Training
from syndet_ray.report import page, tables
from syndet_ray.report.figures import draw_all, spread
from syndet_ray.results import Picture, RunFolder, TestRow, TestScores
from syndet_ray.space import Choice, Float, SearchSpace
from syndet_ray.sweep import Sweep

CLASSES = ("one", "<b>two</b>", "$3")
SWEEP = Sweep(
    question="How crowded should <synthetic> scenes be?",
    recipe=Recipe(training=Training(images=400)),
    space=(
        SearchSpace(
            {
                "scene.objects": Choice(values=(10, 40, 70)),
                "training.learning_rate": Float(low=3e-4, high=5e-3, log=True),
                "mix.synthetic": Float(low=0, high=1),
            }
        ),
    ),
    trials=5,
)
ABOUT = {
    "name": "obstruction",
    "started": 1_760_000_000.0,
    "finished": 1_760_000_725.0,
    "seed": 7,
    "real": {"path": "dice/", "hashes": {"test": "0123456789abcdef"}, "counts": {"train": 160, "val": 40, "test": 50}},
    "versions": {"torch": "2.9.0"},
    "machine": {"cores": 2},
    "stand_in": False,
    "classes": CLASSES,
}
# kind, objects, synthetic share, learning rate, validation mAP by rung, state, reason
TRIALS = (
    ("real_only", None, None, None, (0.10, 0.20, 0.26, 0.28), "COMPLETE", "all 400 images seen"),
    ("synthetic_only", None, None, None, (0.02, 0.03, 0.05, 0.05), "COMPLETE", "all 400 images seen"),
    ("search", 40, 0.4, 0.002, (0.12, 0.22, 0.28, 0.31), "COMPLETE", "all 400 images seen"),
    ("search", 40, 0.7, 0.001, (0.10, 0.19, 0.24, 0.27), "COMPLETE", "all 400 images seen"),
    ("search", 70, 0.9, 0.004, (0.04, 0.06), "PRUNED", "median pruner after 200 images"),
    ("search", 10, 0.002, 0.0005, (0.09, 0.18, 0.25, 0.26), "COMPLETE", "all 400 images seen"),
    ("search", 10, 0.5, 0.005, (), "FAILED", "training loss became nan at image 24 <script>alert(1)</script>"),
)


@pytest.fixture
def make_run(tmp_path):
    """Makes a run: of TRIALS unless others are given, tested where `scores` gives (value, low, high) of mAP by role."""

    def make(trials=TRIALS, scores=None, stand_in=False, pictures=False, about=ABOUT):
        folder = RunFolder.create(tmp_path / "run", SWEEP, about | {"stand_in": stand_in})
        for number, trial in enumerate(trials):
            append(folder, number, *trial)
        if scores:
            folder.write_test(made_scores(scores, stand_in, best=2))
        if pictures:
            folder.write_pictures("real", [picture(seed) for seed in range(3)])
            folder.write_pictures("synthetic", [picture(seed, 64) for seed in range(5)])
            folder.write_pictures("predictions", [picture(seed, predicted=True) for seed in range(3)])
        return folder

    return make


def append(folder, number, kind, objects, share, rate, values, state, reason):
    varied = {"scene.objects": objects, "training.learning_rate": rate, "mix.synthetic": share}
    params = varied if kind == "search" else {}
    recipe = SWEEP.recipe.replace(params) if params else SWEEP.fixed[kind]
    folder.append("asked", number, kind=kind, params=params, recipe=recipe.flat())
    for rung, value in enumerate(values, 1):
        metrics = {"val/mAP": value, "val/AP50": 1.5 * value, "train/loss": 1 / rung}
        folder.append("report", number, images=100 * rung, metrics=metrics, effective={})
    if state != "RUNNING":
        folder.append("ended", number, state=state, reason=reason)


def made_scores(scores, stand_in, best):
    trial_of = {"best": best, "real_only": 0, "synthetic_only": 1}
    rows = []
    for role, (value, low, high) in scores.items():
        metrics = {name: k * value for name, k in (("mAP", 1), ("AP50", 1.6), ("AP75", 0.7), ("mAR", 1.2))}
        intervals = {name: (k * low, k * high) for name, k in (("mAP", 1), ("AP50", 1.6), ("AP75", 0.7))}
        per_class = {f"AP/{name}": value + 0.01 * k for k, name in enumerate(CLASSES)}
        rows.append(TestRow(role, trial_of[role], metrics | per_class, intervals))
    return TestScores("test", stand_in, "0123456789abcdef", 50, 1_760_000_700.0, tuple(rows))


def picture(seed, side=96, predicted=False):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, side - 22, (3, 2))
    boxes = np.concatenate([corners, corners + 20], axis=1)
    image = rng.integers(0, 255, (side, side, 3), np.uint8)
    if not predicted:
        return Picture(image, boxes, CLASSES)
    return Picture(image, boxes + 1.0, (*CLASSES[:2], "one"), (0.9, 0.8, 0.7), boxes, CLASSES)


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
    return Text(page.write(folder).read_text())


TIED = {"best": (0.31, 0.27, 0.35), "real_only": (0.29, 0.25, 0.33), "synthetic_only": (0.05, 0.03, 0.07)}


def test_the_answer_names_the_recipe_and_does_not_claim_what_overlaps(make_run):
    assert tables.answer(make_run(scores=TIED)) == (
        "On 50 real test photos the best recipe — 40 % synthetic at 40 objects per scene, learning rate 0.002 — "
        "reaches 0.31 mAP [0.27, 0.35]; real only 0.29 [0.25, 0.33]; synthetic only 0.05 [0.03, 0.07]. "
        "The intervals overlap: this run cannot tell the best recipe from real only."
    )


def test_a_clear_win_is_called_one(make_run):
    answer = tables.answer(make_run(scores={"best": (0.41, 0.37, 0.45), "real_only": (0.29, 0.25, 0.33)}))
    assert answer.endswith("real only 0.29 [0.25, 0.33]. Their intervals do not overlap.")


@pytest.mark.parametrize(
    ("real", "ends"),
    [
        ((0.52, 0.48, 0.56), "Their intervals do not overlap."),
        ((0.33, 0.29, 0.37), "cannot tell the best recipe from real only, and real only is the simpler recipe."),
        ((0.31, 0.27, 0.35), "cannot tell the best recipe from real only, and real only is the simpler recipe."),
    ],
)
def test_real_only_ahead_on_the_test_set_means_use_real_data_only(make_run, real, ends):
    answer = tables.answer(make_run(scores={"best": (0.31, 0.27, 0.35), "real_only": real}))
    score = f"{real[0]} mAP [{real[1]}, {real[2]}]"
    assert answer.startswith(f"Use real data only: on 50 real test photos it reaches {score};")
    assert "the best recipe — 40 % synthetic" in answer
    assert answer.endswith(ends)


def test_real_only_best_on_validation_says_how_far_the_search_stayed_behind(make_run):
    trials = (("real_only", None, None, None, (0.40,), "COMPLETE", ""), *TRIALS[1:])
    folder = make_run(trials)
    folder.write_test(made_scores({"best": (0.39, 0.35, 0.43), "real_only": (0.39, 0.35, 0.43)}, False, best=0))
    assert tables.answer(folder) == (
        "Use real data only: on 50 real test photos it reaches 0.39 mAP [0.35, 0.43]. "
        "No searched recipe did better on validation: the best of 5 had 0.310 against 0.400 mAP."
    )
    assert [line.name for line in tables.test_lines(folder.test(), folder.trials())] == ["real only"]


def test_without_a_control_the_answer_says_so(make_run):
    answer = tables.answer(make_run(scores={"best": (0.31, 0.27, 0.35)}))
    assert answer.endswith("No real-only control was tested: whether synthetic images helped cannot be told.")


def test_a_small_score_keeps_the_decimals_that_say_something(make_run):
    assert "reaches 0.013 mAP [0.008, 0.019]" in tables.answer(make_run(scores={"best": (0.013, 0.008, 0.019)}))


def test_no_answer_before_the_test(make_run):
    assert tables.answer(make_run()) == (
        "No answer yet: the test set has not been opened. Best on validation so far: "
        "40 % synthetic at 40 objects per scene, learning rate 0.002, 0.310 mAP."
    )


@pytest.mark.parametrize(
    ("trials", "answer"),
    [
        ((), "No answer: no trial was started."),
        ((TRIALS[4],), "No answer: of 1 trials none has finished (1 pruned)."),
        (
            (TRIALS[6], ("search", 10, 0.5, 0.001, (0.1,), "RUNNING", "")),
            "No answer yet: of 2 trials none has finished (1 failed, 1 running). "
            "The first to fail, trial 0, said: training loss became nan at image 24 <script>alert(1)</script>",
        ),
    ],
)
def test_a_run_without_a_finished_trial_still_has_its_page(make_run, trials, answer):
    folder = make_run(trials)
    shown = read(folder)
    assert tables.answer(folder) == answer
    assert answer in shown.words
    assert "The test set has not been opened" in shown.words
    assert ("What failed" in shown.words) == any(trial[5] == "FAILED" for trial in trials)


def test_the_page_needs_nothing_else_and_tells_all(make_run):
    folder = make_run(scores=TIED, pictures=True)
    shown = read(folder)
    images = [attributes["src"] for tag, attributes in shown.tags if tag == "img"]
    assert len(images) == 5
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert not re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://", folder.report.read_text())
    for told in (
        "How crowded should <synthetic> scenes be?",
        tables.answer(folder),
        "0.310 [0.270, 0.350]",
        "40 % synthetic at 40 objects per scene, learning rate 0.002",
        "real only",
        "median pruner after 200 images",
        "training loss became nan at image 24 <script>alert(1)</script>",
        "seed 7",
        "12 min 5 s",
        "test 0123456789ab",
        "mix.synthetic: 0.0 to 1.0",
        "training.learning_rate: 0.0003 to 0.005 (log)",
        "torch 2.9.0",
    ):
        assert told in shown.words, told
    assert "stand-in" not in shown.words.lower()


def test_the_page_keeps_its_order(make_run):
    folder = make_run(scores=TIED, pictures=True)
    html = page.write(folder).read_text()
    assert html.index("<h1>") < html.index('<p class="answer">') < html.index("<h2>")
    assert re.findall("<h2>(.*?)</h2>", html) == [
        "Test: best recipe beside the controls",
        "Accuracy against objects per scene",
        "Learning curves",
        "Trials",
        "Training images",
        "Predictions",
        "AP per class",
        "How this run was made",
    ]


def test_what_users_name_is_text_and_never_markup(make_run):
    folder = make_run(scores=TIED, pictures=True)
    html, shown = page.write(folder).read_text(), read(folder)
    assert "<b>two</b>" in shown.words
    assert "<b>two" not in html
    assert "<script>alert" not in html
    assert "<synthetic>" not in html


def test_every_number_of_a_stand_in_run_is_marked(make_run):
    folder = make_run(scores=TIED, stand_in=True, pictures=True)
    answer, shown = tables.answer(folder), read(folder)
    assert answer.startswith("On 50 stand-in test images the best recipe")
    assert answer.endswith("Stand-in images took the place of photos: this says nothing about real photos.")
    assert "Stand-in data. No photos were given." in shown.words
    heads = re.findall(r"<h2>(.*?)</h2>", folder.report.read_text())
    unmarked = [head for head in heads if "stand-in" not in head]
    assert unmarked == ["How this run was made"]
    assert len(re.findall("<figcaption>.*?stand-in.*?</figcaption>", folder.report.read_text(), re.DOTALL)) == 5
    assert "real test photo" not in shown.words


def test_a_bare_run_json_is_enough(make_run):
    folder = make_run(scores=TIED, about={})
    words = read(folder).words
    assert "syndet_ray · sweep run" in words
    assert "seed 0" in words
    assert "versions" not in words


def test_figures_lie_beside_their_numbers(make_run):
    folder = make_run(scores=TIED, pictures=True)
    paths = draw_all(folder)
    names = ["accuracy_vs_objects", "learning_curves", "test_scores", "sheet_training", "predictions"]
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert sorted(path.name for path in folder.figures.iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("png", "csv")
    )
    for path in paths:
        with Image.open(path) as image:
            assert image.width >= 1200
            assert np.ptp(np.asarray(image)) > 100, "an empty picture"
    first = rows(folder, "accuracy_vs_objects")[0]
    assert list(first.values()) == ["search", "2", "40", "0.4", "0.31", "400", "COMPLETE"]
    assert len(rows(folder, "learning_curves")) == sum(len(trial[4]) for trial in TRIALS)
    assert list(rows(folder, "test_scores")[0].values()) == ["best", "2", "mAP", "0.31", "0.27", "0.35"]
    whats = [row["what"] for row in rows(folder, "predictions") if row["picture"] == "0"]
    assert whats == ["found", "found", "missed", "hit", "hit", "false alarm"]
    assert {row["source"] for row in rows(folder, "sheet_training")} == {"real", "synthetic"}


def rows(folder, name):
    return list(csv.DictReader(io.StringIO((folder.figures / f"{name}.csv").read_text())))


@pytest.mark.parametrize(
    ("trials", "drawn"),
    [
        ((), []),
        ((TRIALS[6],), []),
        ((TRIALS[0],), ["learning_curves"]),
        ((TRIALS[4],), ["accuracy_vs_objects", "learning_curves"]),
        ((("search", 10, 0.5, 0.001, (0.0,), "COMPLETE", ""),), ["accuracy_vs_objects", "learning_curves"]),
    ],
    ids=["no trial", "all failed", "a control alone", "one, pruned", "one that scored 0"],
)
def test_figures_without_numbers_are_left_out_with_a_sentence(make_run, trials, drawn):
    folder = make_run(trials)
    assert [path.stem for path in draw_all(folder)] == drawn
    assert "Predictions of the best model on test images: nothing to show in this run." in read(folder).words


def test_pictures_without_a_box_are_drawn(make_run):
    folder = make_run(TRIALS[:1])
    bare = np.zeros((0, 4), np.float32)
    image = np.full((40, 60, 3), 90, np.uint8)
    folder.write_pictures("real", [Picture(image, bare, ())])
    folder.write_pictures("predictions", [Picture(image, bare, (), (), bare, ())])
    assert [path.stem for path in draw_all(folder)] == ["learning_curves", "sheet_training", "predictions"]


def test_labels_are_moved_apart_only_where_they_meet():
    assert spread([0.3, 0.1, 0.2], 0.05) == pytest.approx([0.3, 0.1, 0.2])
    assert spread([0.31, 0.1, 0.29], 0.05) == pytest.approx([0.325, 0.1, 0.275])
    assert spread([0.2, 0.2, 0.2], 0.05) == pytest.approx([0.15, 0.2, 0.25])
    assert spread([], 0.05) == []


VARIANTS = {"full": {}, "no blur": {"scene.blur": 0.0}, "no light colour": {"scene.light_color": 0.0}}


@pytest.fixture
def ablation(tmp_path):
    """A tested run of three variants, each trained twice."""
    sweep = Sweep(question="What does it take?", trials=0, controls=(), variants=VARIANTS, repeats=2)
    folder = RunFolder.create(tmp_path / "ablation", sweep, ABOUT)
    scores = (0.30, 0.20, 0.29, 0.32, 0.18, 0.31)
    for number, (kind, recipe) in enumerate(sweep.fixed.items()):
        folder.append("asked", number, kind=kind, params={}, recipe=recipe.flat())
        metrics = {"val/mAP": scores[number], "val/AP50": 0.5}
        folder.append("report", number, images=100, metrics=metrics, effective={})
        folder.append("ended", number, state="COMPLETE", reason="all 100 images seen")
    rows = [
        TestRow(
            kind, number, {"mAP": value, "AP50": 0.5, "AP75": 0.2, "mAR": 0.4}, {"mAP": (value - 0.03, value + 0.03)}
        )
        for number, (kind, value) in enumerate(zip(sweep.fixed, scores, strict=True))
    ]
    best = TestRow("best", 3, rows[3].metrics, rows[3].intervals)
    folder.write_test(TestScores("real", False, "hash", 50, 0.0, (best, *rows)))
    return folder


def test_variants_are_compared_with_the_first_and_said_to_differ_only_beyond_their_intervals(ablation):
    lines = tables.variant_lines(ablation)
    assert [(line.name, round(line.mean, 3), len(line.scores)) for line in lines] == [
        ("full", 0.31, 2), ("no blur", 0.19, 2), ("no light colour", 0.3, 2),
    ]  # fmt: skip
    said = tables.answer(ablation)
    assert "full reaches 0.31 mAP; against it no blur -0.12, no light colour -0.01" in said
    assert "Beyond the intervals over images: no blur." in said
    assert "blur 0" in lines[1].changes


def test_the_page_of_variants_has_their_figure_and_table(ablation):
    html = page.write(ablation).read_text()
    assert "Variants compared" in html
    assert (ablation.figures / "variants.png").exists()
    rows = (ablation.figures / "variants.csv").read_text().splitlines()
    assert rows[0] == "variant,repeat,test_mAP,low_95,high_95"
    assert len(rows) == 7
