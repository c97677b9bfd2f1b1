"""The page of `data inspect`: it says what was found, shows it, and leaves the numbers beside it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from pyarrow import parquet
from test_inspection_statistics import coco, quiet, scenes, written

from syndet_ray.boxes import Boxes
from syndet_ray.cli import inspection_tables
from syndet_ray.errors import DataError
from syndet_ray.inspection import differences
from syndet_ray.inspection.distance import Distance
from syndet_ray.inspection.inspect import inspect
from syndet_ray.inspection.statistics import BY_NAME
from syndet_ray.report import inspection_page as glance
from syndet_ray.report.figures import distributions


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Photos, and brighter copies of others; a photo of the first stands in the second too."""
    folder = tmp_path_factory.mktemp("compared")
    images = scenes(12)
    brighter = [np.clip(image.astype(int) + 40, 0, 255).astype(np.uint8) for image in scenes(8, 1)]
    paths = [
        written(folder / "real", images),
        written(folder / "synth", [*brighter, images[3]], visibility=[0.5, 1.0]),
    ]
    return inspect(paths, None, quiet)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    return inspect([written(folder / "empty", scenes(2), boxes=[Boxes.none()] * 2)], None, quiet)


def test_the_headline_names_what_differs_most_and_what_is_there_twice(compared):
    told, twice = differences.headline(compared)
    assert told.startswith("synth differs from real most in brightness (")
    assert told.endswith(" of 22 statistics are beyond chance.")
    assert (
        twice
        == "1 image is also in another split or source: 1 exactly, 0 saved again or at another size."
    )


def test_images_that_are_only_alike_are_not_called_copies(compared):
    (twins,) = compared.duplicates
    saved, alike = (
        replace(twins, exact=False, bits=3),
        replace(twins, exact=False, copy=False, bits=4),
    )
    said = differences.headline(replace(compared, duplicates=(twins, saved, alike)))[1:]
    assert said == (
        "2 images are also in another split or source: 1 exactly, 1 saved again or at another size.",
        "1 image looks like one in another split or source, and is no copy of it.",
    )
    assert [differences.likeness(pair) for pair in (twins, saved, alike)] == [
        "the same",
        "saved again",
        "alike",
    ]
    several = differences.headline(replace(compared, duplicates=(alike, alike)))[1:]
    assert several == (
        "2 images look like one in another split or source, and are no copies of it.",
    )


def test_copies_within_a_split_and_spellings_of_one_class_are_said(compared):
    (twins,) = compared.duplicates
    within = replace(compared, duplicates=(replace(twins, second=twins.first),))
    within = replace(within, classes=("Apple", "apple", "pear"))
    assert differences.headline(within)[1:] == (
        "Probably one class in several spellings: Apple and apple.",
        "1 image is there twice in the same split: 1 exactly, 0 saved again or at another size.",
    )


def test_the_summary_counts_the_objects_of_each_class(compared):
    facts = dict(differences.summary(compared))
    counts = [facts[f"objects of {name}"] for name in compared.classes]
    by_source = np.array([[int(cell) for cell in cells] for cells in counts]).sum(axis=0)
    assert [f"{count:,}" for count in by_source] == list(facts["objects"])


def test_the_headline_names_units_without_the_span_of_values(compared):
    """ "75.6, not 44.2 L*, 0 to 100" is no sentence; a column of numbers has the span beside it."""
    told, _ = differences.headline(compared)
    assert " L*)" in told and "0 to 1" not in told
    units = {row.name: row.unit for row in differences.rows(compared, "synth")}
    assert (units["brightness"], units["hue spread"]) == ("L*, 0 to 100", "0 to 1")
    assert BY_NAME["hue_spread"].scale == "0 to 1" and BY_NAME["noise"].scale == "grey levels"


def test_a_reference_of_one_value_is_told_in_words_and_after_what_was_measured(compared):
    """Its distance in standard deviations is no number: the permutation test says that it differs,
    not how far.
    """
    wide = Distance(
        source="synth",
        statistic="brightness",
        value=2.5,
        low=2.0,
        high=3.0,
        floor=0.3,
        ks=0.9,
        means=(40.0, 60.0),
    )
    constant = Distance(
        source="synth",
        statistic="image_width",
        value=np.inf,
        low=None,
        high=None,
        floor=0.0,
        ks=1.0,
        means=(96.0, 96.0),
    )
    chance = Distance(
        source="synth",
        statistic="image_height",
        value=np.inf,
        low=None,
        high=None,
        floor=np.inf,
        ks=0.5,
        means=(96.0, 97.0),
    )
    found = replace(compared, distances=(constant, chance, wide))
    told, _ = differences.headline(found)
    assert told.startswith("synth differs from real most in brightness (")
    assert (
        "), and in image size (image width 96.0, not 96.0 px), where real has one value only; 2 of 3"
        in told
    )
    rows = {
        row.name: (row.value, row.interval, row.floor) for row in differences.rows(found, "synth")
    }
    assert rows["image width"] == ("constant", "", "less")
    assert rows["image height"] == ("constant", "", "as far")
    only, _ = differences.headline(replace(compared, distances=(constant,)))
    assert only.startswith("synth differs from real in image size (")


def test_sources_that_are_alike_are_called_so(tmp_path):
    images = scenes(6)
    found = inspect([written(tmp_path / "a", images), written(tmp_path / "b", images)], None, quiet)
    assert differences.headline(found)[0] == (
        "b differs from a no more than two samples of one source would: "
        "0 of 22 statistics are beyond chance, and about 1 would be by chance alone."
    )
    assert all(distance.value in (0, None) for distance in found.distances)


def test_a_single_source_is_counted(empty):
    assert differences.headline(empty) == (
        "empty: 2 images with 0 objects of 2 classes, 2 images without any.",
        "No image occurs twice.",
    )
    facts = dict(differences.summary(empty))
    assert facts["image size"] == ("96 x 96",)
    assert facts["visibility"] == facts["boxes tiny"] == facts["box size, px"] == ("n/a",)


def test_rows_stand_by_distance_and_classes_stand_last(compared):
    rows = differences.rows(compared, "synth")
    assert rows[0].name == "brightness" and rows[0].wide
    assert rows[-1].name == "class balance" and rows[-1].value == "0"
    assert "visibility measured" not in [row.name for row in rows]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *[
            (0.0, "0"),
            (-0.0001, "0"),
            (0.06, "0.060"),
            (4.444, "4.44"),
            (32.82, "32.8"),
            (640.0, "640"),
        ],
        *[(12345.6, "12,346"), (None, "n/a"), (np.nan, "n/a")],
    ],
)
def test_numbers_are_told_shortly(value, said):
    assert differences.plain(value) == said


def test_bins_are_shared_and_hold_as_many_whole_numbers_each():
    assert distributions.bin_edges([], BY_NAME["noise"]) is None
    assert distributions.bin_edges([np.full(5, 640.0)], BY_NAME["image_width"]) is None
    few = distributions.bin_edges([np.array([0.0, 3, 3]), np.array([2.0])], BY_NAME["overlaps"])
    assert few.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    many = distributions.bin_edges([np.arange(100.0)], BY_NAME["objects_per_image"])
    assert set(np.diff(many)) == {3} and many[0] < 0 and many[-1] > 99


def test_histograms_hold_every_value_of_every_source(compared):
    drawings = distributions.all_figures(compared)
    shares: dict[str, float] = {}
    for source, _, _, share in drawings["histogram_brightness"].rows:
        shares[source] = shares.get(source, 0) + share
    assert shares == pytest.approx({"real": 1, "synth": 1})
    assert {row[0] for row in drawings["histogram_visibility_measured"].rows} == {"synth"}
    assert "histogram_image_width" not in drawings
    assert sum(row[-1] for row in drawings["positions_1"].rows) == pytest.approx(1)


def test_what_chance_makes_infinite_is_no_mark_of_a_chart(compared):
    infinite = Distance(
        source="synth",
        statistic="box_size",
        value=2.0,
        low=1.0,
        high=3.0,
        floor=np.inf,
        ks=0.5,
        means=(1.0, 3.0),
    )
    found = replace(compared, distances=(infinite,))
    chart = distributions.distances(found, "synth").figure.to_json()
    assert "Infinity" not in chart
    (row,) = differences.rows(found, "synth")
    assert (row.value, row.floor, row.wide) == ("2.00", "as far", False)


def test_the_page_needs_nothing_else_and_its_numbers_lie_beside_it(compared, tmp_path):
    told = []
    page = glance.write(
        compared, tmp_path / "new" / "inspect.html", lambda *done: told.append(done)
    )
    text = page.read_text()
    assert "Where does synth differ from real?" in text
    assert "The same everywhere: image width 96.0 px; image height 96.0 px" in text
    assert "across splits or sources" in text and "real: images/000003.png" in text
    assert "http" not in text.split("<script>")[0]
    numbers = tmp_path / "new" / "inspect_numbers"
    assert parquet.read_table(numbers / "images.parquet").num_rows == 21
    objects = parquet.read_table(numbers / "objects.parquet").to_pydict()
    assert set(zip(objects["source"], objects["class"], strict=True)) == {
        (source, name) for source in ("real", "synth") for name in ("cat", "dog")
    }
    for name in ("distances", "duplicates", "distances_1", "histogram_noise"):
        assert (numbers / f"{name}.csv").exists(), name
    assert told[-1][0] == "plotting" and told[-1][1] == told[-1][2]


def test_an_older_page_is_replaced_with_its_figures_and_nothing_else(empty, tmp_path):
    (tmp_path / "inspect.html").write_text("an older page")
    (tmp_path / "inspect_numbers").mkdir()
    for name in ("distances_1.csv", "mine.txt"):
        (tmp_path / "inspect_numbers" / name).write_text("of an older page")
    text = glance.write(empty, tmp_path / "inspect.html", quiet).read_text()
    assert "<h1>empty</h1>" in text and "No source has an object." in text
    names = {path.name for path in (tmp_path / "inspect_numbers").iterdir()}
    assert "distances_1.csv" not in names and "mine.txt" in names


def test_a_folder_is_no_page(empty, tmp_path):
    with pytest.raises(DataError, match="is a folder, the page is a file"):
        glance.write(empty, tmp_path, quiet)


@pytest.mark.parametrize("verb", [("data", "inspect"), ("compare",)])
def test_a_page_has_the_name_of_one(tmp_path, syndet_here, verb):
    """It is refused before anything is read."""
    for name in ("photos", "photos.v2", "photos.pdf"):
        refusal = syndet_here(*verb, "nowhere", "--out", tmp_path / name).stderr
        assert f"--out: must be a file that ends in .html, got '{tmp_path / name}'" in refusal


def test_the_stand_in_set_is_called_so(compared):
    assert not glance.content(compared, "numbers")["has_stand_in"]
    found = inspect(["stand-in"], "val", quiet)
    assert found.reference.name == "stand-in" and found.stand_in


def test_the_names_in_figures_are_those_of_sources_and_classes_once(compared):
    classes = compared.reference.measurements.classes
    assert inspection_tables.inspection_names(compared) == ["real", *classes, "synth"]


def test_the_terminal_says_it_within_a_hundred_columns(compared):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    for part in inspection_tables.inspection_parts(compared):
        if not isinstance(part, str):
            console.print(part)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100 and "…" not in text
    assert "synth against real" in text and "brightness" in text


def test_the_verb_says_what_it_found_and_where_the_page_is(tmp_path, monkeypatch, syndet_here):
    monkeypatch.chdir(tmp_path)
    path = coco(tmp_path / "dice", {"train": scenes(3), "test": scenes(2, 1)})
    done = syndet_here("data", "inspect", path)
    assert done.returncode == 0, done.stderr
    assert "dice test against dice train" in done.stdout
    assert "page     inspect.html\nnumbers  inspect_numbers\n" in done.stdout
    assert (tmp_path / "inspect.html").exists()
    failed = syndet_here("data", "inspect", "nowhere")
    assert failed.returncode == 1
    assert (
        failed.stderr
        == "syndet_ray: nowhere: does not exist. Give the folder that holds the dataset.\n"
    )


@pytest.mark.parametrize(
    ("one", "other", "texts"),
    [
        (65.1, 51.0, ("65.1", "51.0")),
        (0.1234, 0.1216, ("0.123", "0.122")),
        (96.004, 96.0, ("96.004", "96.000")),
        (96.0, 96.0, ("96.0", "96.0")),
    ],
)
def test_values_that_differ_are_never_told_as_equal(one, other, texts):
    assert differences._apart(one, other) == texts


def measured(compared, brightness):
    """The reference with other values of one statistic."""
    subject = compared.reference
    values = subject.measurements.values | {"brightness": np.array(brightness)}
    return replace(subject.measurements, values=values)


@pytest.mark.parametrize(
    ("reference", "other", "value", "phrase"),
    [
        ((40.0, 60.0), (50.0, 70.0), 1.0, "60.0, not 50.0 L*"),
        ((49.9, 50.1), (50.0, 50.2), 1.0, "50.1, not 50.0 L*, at a standard deviation of 0.10"),
        ((40.0, 40.0, 60.0, 60.0), (36.0, 50.0, 50.0, 64.0), 0.7, "distributed differently: 25th percentile 46.5, not 40.0 L*"),
    ],
    ids=["means", "means of values that hardly vary", "shapes"],
)  # fmt: skip
def test_a_phrase_names_what_differs(compared, reference, other, value, phrase):
    distance = Distance(source="synth", statistic="brightness", value=value)
    told = differences._phrase(distance, measured(compared, reference), measured(compared, other))
    assert told == phrase


def test_the_terminal_says_that_aspect_ratios_are_logarithms(compared):
    tables = [
        part for part in inspection_tables.inspection_parts(compared) if not isinstance(part, str)
    ]
    names = [name for table in tables for name in table.columns[0].cells]
    assert "aspect ratio, log2" in names
