"""Datasets in another format: the same boxes for others' programs, and what is lost is said."""

import json
from dataclasses import replace

import globox
import numpy as np
import pytest
from made_photos import write_photos
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.convert import WRITERS, convert
from syndet_ray.data.read import Dataset, read
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError

CLASSES = ("white knight", "soda/can", "_cup")
BOXES = Boxes.of(
    [[1.25, 2.5, 9.75, 8], [0, 0, 40, 20], [30.5, 10, 40, 20]],
    [0, 1, 2],
    visibility=[0.3, np.nan, 1.0],
    crowd=[False, False, False],
)
CROWD = Boxes.of([[5, 5, 20, 15]], [1], crowd=[True])


def jpeg(folder, name, value):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), (value, 9, 9)).save(file)
    return file


def record(image_id, image, boxes=None):
    boxes = Boxes.none() if boxes is None else boxes
    return Record(image_id=image_id, image=image, size_wh=(40, 20), boxes=boxes, place=image_id)


RENAMED = "names of images: unique, without spaces, with a known ending: 2"


@pytest.fixture
def dataset(tmp_path):
    """Three images to train on: one of a record file, two of one name; a negative to test on."""
    folder = tmp_path / "photos"
    first = jpeg(folder, "a/x.jpg", 1)
    train = (
        record("a/x.jpg", first, BOXES),
        record("b/x.jpg", jpeg(folder, "b/x.jpg", 2), CROWD),
        record("../odd name", jpeg(folder, "odd.jpg", 3).read_bytes(), BOXES),
    )
    test = (record("n.jpg", jpeg(folder, "n.jpg", 4)),)
    splits = {"train": train, "test": test}
    return Dataset(
        path=folder,
        format="made",
        classes=CLASSES,
        splits={
            split: Source(name="real", classes=CLASSES, records=records)
            for split, records in splits.items()
        },
    )


def boxes_by_image(annotations):
    """What globox has read: for each image its boxes, in pixels, and their classes."""
    return {
        annotation.image_id: sorted(
            (box.label, *(round(edge, 3) for edge in (box.xmin, box.ymin, box.xmax, box.ymax)))
            for box in annotation.boxes
        )
        for annotation in annotations
    }


EXACT = [
    ("_cup", 30.5, 10, 40, 20),
    ("soda/can", 0, 0, 40, 20),
    ("white knight", 1.25, 2.5, 9.75, 8),
]
ROUNDED = [("_cup", 30, 10, 40, 20), ("soda/can", 0, 0, 40, 20), ("white knight", 1, 2, 10, 8)]


def test_another_program_reads_the_same_boxes_from_coco(dataset, tmp_path):
    convert(dataset, tmp_path / "out", "coco")
    file = tmp_path / "out/annotations/instances_train.json"
    boxes = boxes_by_image(globox.AnnotationSet.from_coco(file))
    assert boxes == {
        "x.jpg": EXACT,
        "x-2.jpg": [("soda/can", 5, 5, 20, 15)],
        "odd_x20_name.jpg": EXACT,
    }


def test_another_program_reads_the_same_boxes_from_yolo(dataset, tmp_path):
    convert(dataset, tmp_path / "out", "yolo")
    labels, images = (tmp_path / "out" / part / "train" for part in ("labels", "images"))
    annotations = globox.AnnotationSet.from_yolo_v5(folder=labels, image_folder=images)
    by_name = annotations.map_labels({str(i): name for i, name in enumerate(CLASSES)})
    assert boxes_by_image(by_name) == {"x.jpg": EXACT, "x-2.jpg": [], "odd_x20_name.jpg": EXACT}


def test_another_program_reads_the_same_boxes_from_voc(dataset, tmp_path):
    convert(dataset, tmp_path / "out", "voc")
    boxes = boxes_by_image(globox.AnnotationSet.from_pascal_voc(tmp_path / "out/Annotations"))
    assert boxes["x.jpg"] == ROUNDED
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text().split() == [
        "x",
        "x-2",
        "odd_x20_name",
    ]


@pytest.mark.parametrize("to", ["coco", "parquet"])
def test_what_is_written_is_read_again(dataset, tmp_path, to):
    convert(dataset, tmp_path / "out", to)
    again = read(tmp_path / "out")
    assert again.classes == CLASSES
    *full, crowded = sorted(again.splits["train"].records, key=lambda record: -len(record.boxes))
    for record in full:
        assert record.boxes.xyxy.tolist() == BOXES.xyxy.tolist()
        assert np.array_equal(record.boxes.visibility, BOXES.visibility, equal_nan=True)
    assert crowded.boxes.crowd.tolist() == [True]
    assert len(again.splits["test"].records[0].boxes) == 0


@pytest.mark.parametrize(
    ("to", "losses"),
    [
        ("coco", []),
        (
            "yolo",
            [
                "visibilities, left out: 4",
                "crowds, left out: what is in them counts as background: 1",
            ],
        ),
        (
            "kitti",
            [
                "class names changed, since KITTI takes no spaces or fractions: 1",
                "visibilities, which become three levels: 4",
                "classes of crowds, which become DontCare: 1",
            ],
        ),
        (
            "voc",
            [
                "visibilities, which become a flag: 4",
                "boxes rounded to whole pixels: 4",
                "crowds, which become difficult objects: 1",
            ],
        ),
    ],
)
def test_what_a_format_cannot_hold_is_counted(dataset, tmp_path, to, losses):
    found = convert(dataset, tmp_path / "out", to)
    assert sorted(found.lines) == sorted(losses)
    assert found.change_lines == [RENAMED]


def with_records(dataset, classes, *records):
    splits = {"train": Source(name="real", classes=classes, records=records)}
    return replace(dataset, classes=classes, splits=splits)


@pytest.mark.parametrize("to", list(WRITERS))
def test_boxes_that_are_equal_are_written_and_counted_once_when_read(dataset, tmp_path, to):
    twins = Boxes.of([[1, 2, 9, 8]] * 2, [0, 0])
    image = tmp_path / "photos/a/x.jpg"
    doubled = with_records(dataset, ("cat",), record("x.jpg", image, twins))
    assert convert(doubled, tmp_path / to, to).lines == []
    again = read(tmp_path / to)
    assert again.box_counts == {"cat": 1}
    assert any("boxes written twice" in note for note in again.notes)


@pytest.mark.parametrize("to", ["kitti", "voc"])
def test_classes_that_would_become_one_stay_apart(dataset, tmp_path, to):
    names = ("cat", " cat", "c\x01at", "nothing")
    boxes = Boxes.of([[1, 2, 9, 8], [2, 2, 9, 8], [3, 2, 9, 8]], [0, 1, 2])
    image = tmp_path / "photos/a/x.jpg"
    losses = convert(
        with_records(dataset, names, record("x.jpg", image, boxes)), tmp_path / "out", to
    ).lines
    assert "classes without an object: this format has no list of classes: 1" in losses
    assert any(loss.startswith("class names changed") for loss in losses)
    assert len(read(tmp_path / "out").classes) == 3


def test_kitti_has_levels_regions_and_negatives(dataset, tmp_path):
    convert(dataset, tmp_path / "out", "kitti")
    lines = (tmp_path / "out/train/labels/x.txt").read_text().splitlines()
    assert [line.split()[:8] for line in lines] == [
        ["white_knight", "0.00", "2", "0.00", "1.2500", "2.5000", "9.7500", "8.0000"],
        ["soda/can", "0.00", "3", "0.00", "0.0000", "0.0000", "40.0000", "20.0000"],
        ["_cup", "0.00", "0", "0.00", "30.5000", "10.0000", "40.0000", "20.0000"],
    ]
    assert all(len(line.split()) == 15 for line in lines)
    region = (tmp_path / "out/train/labels/x-2.txt").read_text().split()
    assert (region[0], len(region)) == ("DontCare", 15)
    assert (tmp_path / "out/test/labels/n.txt").read_text() == ""


@pytest.mark.parametrize("to", list(WRITERS))
def test_images_are_copied_bit_by_bit_and_stay_inside(dataset, tmp_path, to):
    convert(dataset, tmp_path / "out", to)
    given = [
        record.image_bytes() for source in dataset.splits.values() for record in source.records
    ]
    if to == "parquet":  # has images within its shards
        again = read(tmp_path / "out").splits.values()
        copied = [record.image_bytes() for source in again for record in source.records]
    else:
        copied = [path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")]
    assert sorted(copied) == sorted(given)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "out"}


def test_photos_turned_by_exif_are_counted(dataset, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 40)).save(tmp_path / "photos/a/x.jpg", exif=exif)
    found = convert(dataset, tmp_path / "out", "coco")
    assert found.lines == []
    assert found.change_lines == [
        RENAMED,
        "images turned by EXIF, copied as they are: boxes are those of the turned image: 1",
    ]


def test_a_folder_with_something_in_it_is_left_alone(dataset, tmp_path):
    with pytest.raises(DataError, match="must be a new or an empty folder"):
        convert(dataset, tmp_path / "photos", "coco")


def test_a_failure_leaves_nothing_behind(dataset, tmp_path):
    (tmp_path / "photos/b/x.jpg").unlink()
    with pytest.raises(DataError, match=r"b/x\.jpg: the image cannot be read \(No such file"):
        convert(dataset, tmp_path / "out", "coco")
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize(
    "names", [("..", "."), ("a/b", "../../x"), ("x" * 300, "可" * 300)], ids=repr
)
def test_no_name_of_a_class_leads_outside_and_all_are_read_again(tmp_path, to, names):
    photos = write_photos(tmp_path / "in" / "photos", names=names, train=range(2))
    convert(read(photos), tmp_path / "in" / "out", to)
    assert set(read(tmp_path / "in" / "out").classes) == set(names)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"photos", "out"}


def test_kitti_of_classes_that_are_fractions_is_read_again(tmp_path):
    photos = write_photos(tmp_path / "photos", names=("0.5", "1"), train=range(2))
    losses = convert(read(photos), tmp_path / "out", "kitti").lines
    assert "class names changed, since KITTI takes no spaces or fractions: 1" in losses
    assert set(read(tmp_path / "out").classes) == {"0.5_", "1"}


def test_names_of_classes_are_safe_in_every_format(dataset, tmp_path):
    names = ("a: b\n- c", "<x>&'\"", "\x01..")
    strange = Dataset(
        path=dataset.path,
        format="made",
        classes=names,
        splits={
            "train": Source(name="real", classes=names, records=dataset.splits["train"].records)
        },
    )
    for to in WRITERS:
        convert(strange, tmp_path / to, to)
    content = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(names)
    globox.AnnotationSet.from_pascal_voc(tmp_path / "voc/Annotations")
