"""Every format, written by hand as its tools write it, is recognised and gives the same records."""

import contextlib
import math
import random
from dataclasses import replace
from pathlib import Path

import format_samples
import numpy as np
import pytest
from format_samples import PICTURES, SAMPLES

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import FORMATS, read
from syndet_ray.errors import SyndetError


def records_of(dataset):
    """Boxes by size of the image, which differs between all pictures."""
    records = [record for source in dataset.splits.values() for record in source.records]
    found = {}
    for record in records:
        boxes = record.boxes
        names = [dataset.classes[label] for label in boxes.labels]
        visibility = [None if math.isnan(v) else round(float(v), 4) for v in boxes.visibility]
        rows = zip(names, boxes.xyxy.round(3).tolist(), visibility, strict=True)
        found[tuple(int(side) for side in record.size_wh)] = sorted(rows, key=str)
    assert len(found) == len(records)
    return found


def expected_of(sample):
    expected = {}
    for picture in PICTURES:
        rows = []
        for name, x1, y1, x2, y2, visibility in picture.boxes:
            seen = visibility if sample.visibility else None
            rows.append((sample.names.get(name, name), [x1, y1, x2, y2], seen))
        expected[picture.wh] = sorted(rows, key=str)
    return expected


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_gives_the_same_records(tmp_path, name):
    sample = SAMPLES[name]
    sample.write(tmp_path)
    dataset = read(tmp_path)
    assert dataset.format == sample.format
    assert records_of(dataset) == expected_of(sample)
    assert list(dataset.splits) == ["train"]
    assert records_of(read(tmp_path, LabelOptions(format=sample.format))) == records_of(dataset)


def write_with_blank_class(name, folder, blank, monkeypatch):
    """The sample of a format, its king without a name that can be seen."""
    pictures = []
    for picture in PICTURES:
        boxes = [(blank if box[0] == "king" else box[0], *box[1:]) for box in picture.boxes]
        pictures.append(replace(picture, boxes=tuple(boxes)))
    monkeypatch.setattr(format_samples, "PICTURES", tuple(pictures))
    monkeypatch.setattr(format_samples, "CLASSES", (blank, "white pawn"))
    SAMPLES[name].write(folder)


@pytest.mark.parametrize("blank", ["\u200b", "  "])
@pytest.mark.parametrize(
    "name", [name for name, sample in SAMPLES.items() if sample.format not in ("YOLO", "BOP")]
)
def test_a_class_that_cannot_be_seen_is_a_bad_label(tmp_path, name, blank, monkeypatch):
    if name.startswith("KITTI") and blank == "  ":
        pytest.skip("without a first word it is a file of another format")
    write_with_blank_class(name, tmp_path, blank, monkeypatch)
    with pytest.raises(SyndetError, match=r"has 2 labels or images that cannot be used"):
        read(tmp_path)
    dataset = read(tmp_path, LabelOptions(skip_bad=True))
    assert dataset.box_counts == {"white pawn": 1}
    records = dataset.splits["train"].records
    assert sorted(record.boxes.crowd.tolist() for record in records) == [[], [True], [True, False]]


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        *(("Label Studio", name) for name in ("label studio", "label-studio", "labelstudio")),
        *(("VOC", name) for name in ("pascal voc", "PASCAL-VOC", "voc")),
        ("YOLO of Ultralytics", "ultralytics"),
    ],
)
def test_a_format_is_known_by_any_spelling_of_its_name(tmp_path, sample, name):
    SAMPLES[sample].write(tmp_path)
    assert read(tmp_path, LabelOptions(format=name)).format == SAMPLES[sample].format


def test_underscores_in_the_name_of_a_format_do_not_matter(tmp_path):
    with pytest.raises(SyndetError, match="holds no dataset of format GroceriesReal"):
        read(tmp_path, LabelOptions(format="groceries_real"))


@pytest.mark.parametrize("name", ["label", "cocoa", "anything", ""])
def test_an_unknown_format_lists_all_names(tmp_path, name):
    with pytest.raises(SyndetError, match="must be a known format") as raised:
        read(tmp_path, LabelOptions(format=name))
    assert all(kind in str(raised.value) for kind in FORMATS)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_other_reader_takes_the_folder(tmp_path, name):
    sample = SAMPLES[name]
    sample.write(tmp_path)
    takers = [kind for kind, reader in FORMATS.items() if reader.files(tmp_path)]
    assert takers == [sample.format]


NASTY = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"9" * 400,
    b"-1e999",
    b"NaN",
    b'"' + b"x" * 5000 + b'"',
    b"[" * 100_000,
    b"<a>" * 100_000,
    b"null",
    b"{}",
    b"[]",
    b'"../../x.jpg"',
    b"/etc/passwd",
    b"true",
]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a part cut, replaced, repeated, or one number or word made nasty."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice([0, 1, 2, 8, 40, 10_000]))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:start] + data[end:]
    if kind == 1:
        return data[:start] + data[start:end] * 2 + data[end:]
    if kind == 2:
        return data[:start] + rng.randbytes(end - start) + data[end:]
    words = data.replace(b",", b" , ").replace(b":", b" : ").replace(b"=", b"= ").split(b" ")
    words[rng.randrange(len(words))] = rng.choice(NASTY)
    return b" ".join(words)


def label_files(folder: Path, sample) -> list[Path]:
    return [path for path in sorted(folder.rglob(sample.labels)) if path.is_file()]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("seed", range(6))
def test_damaged_labels_are_read_or_refused(tmp_path, name, seed):
    sample, rng = SAMPLES[name], random.Random(f"{name} {seed}")
    sample.write(tmp_path)
    path = rng.choice(label_files(tmp_path, sample))
    path.write_bytes(damaged(path.read_bytes(), rng))
    messages = []
    for skip_bad in (False, True):
        try:
            read(tmp_path, LabelOptions(format=sample.format, skip_bad=skip_bad))
        except SyndetError as error:
            messages.append(str(error))
    assert all(len(message) < 10_000 for message in messages)
    with contextlib.suppress(SyndetError):
        read(tmp_path)


REAL = Path(__file__).parents[2] / "shared/data/formats"


def real(folder):
    path = REAL / folder
    if not path.is_dir():
        pytest.skip(f"{path} is absent")
    return path


def test_a_real_solo_has_the_boxes_of_its_masks():
    dataset = read(real("solo/pysolotools_solo"))
    assert (dataset.format, len(dataset.splits["train"].records)) == ("SOLO", 2)
    assert dataset.classes[:2] == ("Crate", "Cube")
    record = dataset.splits["train"].records[0]
    assert record.image_id == "sequence.0/step0.camera.png"
    assert [dataset.classes[label] for label in record.boxes.labels] == [
        "Crate",
        "Character",
        "Crate",
    ]
    assert record.boxes.xyxy[0].tolist() == [167, 308, 395, 500]
    assert np.isnan(record.boxes.visibility).all()


def test_a_real_perception_set_has_boxes_where_the_labeler_was_on():
    dataset = read(real("unity_perception/datasetinsights_simrun"))
    (record,) = dataset.splits["train"].records
    assert (dataset.format, dataset.classes) == ("Perception", ("car", "bicycle", "person"))
    assert record.boxes.xyxy.tolist() == [
        [30, 50, 130, 150],
        [120, 231, 170, 240],
        [132, 83, 142, 103],
    ]
    assert "captures without a labeler of 2D boxes, left out: 1" in "; ".join(dataset.notes)


def test_a_run_of_rendered_ai_reads_its_classes_from_metadata():
    dataset = read(real("rendered_ana/output_6e396ea6"))
    (record,) = dataset.splits["train"].records
    assert (dataset.format, len(record.boxes)) == ("ana", 22)
    assert dataset.classes == ("BubbleBottle", "Cube", "PlayDough", "Skateboard", "YoYo")
    assert record.boxes.xyxy[0].tolist() == [153, 360, 218, 397]
    small = read(real("rendered_ana/handmade_minimal")).splits["train"].records[0]
    assert small.boxes.visibility[:2].tolist() == pytest.approx([1.0, 0.58])
    assert np.isnan(small.boxes.visibility[2])


def test_a_bop_scene_leaves_out_what_is_not_visible():
    dataset = read(real("bop/handmade_minimal"))
    (record,) = dataset.splits["train"].records
    assert dataset.classes == ("obj_000001",)
    assert record.boxes.xyxy.tolist() == [[10, 8, 23, 24]]
    assert record.boxes.visibility.tolist() == pytest.approx([0.65])


def test_unknown_occlusion_of_replicator_is_no_visibility():
    dataset = read(real("replicator/handmade_minimal"))
    (record,) = dataset.splits["train"].records
    assert dataset.classes == ("skateboard", "yoyo")
    assert record.boxes.xyxy.tolist()[:2] == [[10, 8, 30, 24], [0, 20, 15, 30]]
    assert record.boxes.visibility[:2].tolist() == pytest.approx([1.0, 0.58])
    assert np.isnan(record.boxes.visibility[2:]).all()
