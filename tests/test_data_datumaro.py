"""Formats that Datumaro reads, by name: the referee of our own readers."""

import importlib.util
import json
from pathlib import Path

import pytest
from format_samples import SAMPLES
from PIL import Image
from test_data_formats import records_of

from syndet_ray.data.convert import convert
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError, MachineError

needs_datumaro = pytest.mark.skipif(
    importlib.util.find_spec("datumaro") is None, reason="Datumaro is not installed"
)
# (our sample, Datumaro's name of its format)
SAME = [("YOLO of Ultralytics", "yolo"), ("VoTT", "vott_json"), ("CVAT", "cvat")]
# (format that we write, Datumaro's name)
WRITTEN = [("coco", "coco"), ("voc", "voc_detection"), ("yolo", "yolo")]
# (real sample of formats, Datumaro's name)
REAL = [
    ("coco/datumaro_coco_instances", "coco"),
    ("voc/datumaro_voc_dataset1", "voc_detection"),
    ("yolo/darknet_strict", "yolo"),
    ("yolo/labels_layout", "yolo"),
    ("kitti/datumaro_kitti_detection", "kitti"),
]


def by_datumaro(folder, name, **options):
    return read(folder, LabelOptions(format=f"datumaro:{name}", **options))


def objects_of(dataset):
    """Classes and boxes by split and name of the image; images without objects left out."""
    found = {}
    for split, source in dataset.splits.items():
        for record in source.records:
            boxes = record.boxes
            names = [dataset.classes[label] for label in boxes.labels]
            corners = boxes.xyxy.round(1).tolist()
            if names:
                rows = zip(names, corners, boxes.crowd.tolist(), strict=True)
                found[split, Path(record.image_id).stem] = sorted(rows, key=str)
    return found


@pytest.mark.skipif(
    importlib.util.find_spec("datumaro") is not None, reason="Datumaro is installed"
)
def test_without_datumaro_the_message_says_how_to_get_it(tmp_path, syndet_here):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(
        MachineError, match=r"Datumaro is not installed .* 'syndet_ray\[datumaro\]'"
    ):
        by_datumaro(tmp_path, "voc")
    done = syndet_here("data", "inspect", tmp_path, "--format", "datumaro:voc")
    assert done.returncode == 1
    assert "--format datumaro:voc: Datumaro is not installed" in done.stderr
    assert "without constraints.txt" in done.stderr


def test_other_messages_mention_datumaro(tmp_path):
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="Other formats: `format` datumaro:NAME"):
        read(tmp_path)
    with pytest.raises(DataError, match="Other formats: `format` datumaro:NAME"):
        read(tmp_path, LabelOptions(format="openlabel"))


@needs_datumaro
@pytest.mark.parametrize(("sample", "name"), SAME)
def test_datumaro_reads_the_same_from_our_samples(tmp_path, sample, name):
    SAMPLES[sample].write(tmp_path)
    for image in (tmp_path / "images" / "default").glob("*"):  # Datumaro looks in images/ alone
        image.rename(tmp_path / "images" / image.name)
    assert objects_of(by_datumaro(tmp_path, name)) == objects_of(read(tmp_path))


@needs_datumaro
@pytest.mark.parametrize(("to", "name"), WRITTEN)
def test_datumaro_reads_the_same_from_what_we_write(tmp_path, to, name):
    SAMPLES["CVAT"].write(tmp_path / "cvat")
    convert(read(tmp_path / "cvat"), tmp_path / to, to)
    if to == "voc":  # else Datumaro knows the classes of Pascal VOC alone
        labels = "king:::\nwhite pawn:::\n"
        (tmp_path / "voc" / "labelmap.txt").write_text(labels, encoding="utf-8")
    assert objects_of(by_datumaro(tmp_path / to, name)) == objects_of(read(tmp_path / to))


@needs_datumaro
@pytest.mark.parametrize(("path", "name"), REAL)
def test_datumaro_reads_the_same_from_real_samples(shared, path, name):
    folder = shared(f"data/formats/{path}")
    assert objects_of(by_datumaro(folder, name)) == objects_of(read(folder))


@needs_datumaro
def test_an_unknown_name_lists_those_that_are_known(tmp_path):
    with pytest.raises(DataError, match="must be a format that Datumaro reads") as error:
        by_datumaro(tmp_path, "nonsense")
    assert " voc_detection," in str(error.value)
    assert "cifar" not in str(error.value)  # its files are pickles


@needs_datumaro
def test_a_folder_that_datumaro_cannot_read_is_named(tmp_path):
    with pytest.raises(DataError, match="Datumaro cannot read it as voc"):
        by_datumaro(tmp_path, "voc")


@needs_datumaro
def test_a_mask_and_its_box_are_one_object_and_other_names_of_subsets_an_error(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    corners = [2, 3, 12, 3, 12, 9, 2, 9]
    item = {
        "id": "a",
        "image": {"path": "a.png"},
        "annotations": [
            {"type": "bbox", "id": 1, "group": 1, "label_id": 0, "bbox": [2, 3, 10, 6]},
            {"type": "polygon", "id": 1, "group": 1, "label_id": 0, "points": corners},
            {"type": "polygon", "id": 2, "group": 2, "label_id": 1, "points": corners},
            {"type": "polygon", "id": 2, "group": 2, "label_id": 1, "points": [20, 3, 30, 3, 30, 9]},
            {"type": "bbox", "id": 3, "label_id": 0, "bbox": [1, 1, 5, 5],
             "attributes": {"is_crowd": True}},
        ],
    }  # fmt: skip
    for annotation in item["annotations"]:
        annotation.setdefault("attributes", {})
        annotation.setdefault("group", 0)
        annotation["z_order"] = 0
    labels = [{"name": "cat", "parent": ""}, {"name": "dog", "parent": ""}]
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": [item]}
    file = tmp_path / "annotations" / "valid.json"
    file.parent.mkdir()
    (tmp_path / "images" / "valid").mkdir(parents=True)
    (tmp_path / "a.png").rename(tmp_path / "images" / "valid" / "a.png")
    file.write_text(json.dumps(content), encoding="utf-8")
    dataset = by_datumaro(tmp_path, "datumaro")
    rows = [
        ("cat", [1, 1, 6, 6], True),
        ("cat", [2, 3, 12, 9], False),
        ("dog", [2, 3, 30, 9], False),
    ]
    assert objects_of(dataset) == {("val", "a"): rows}
    file.rename(file.with_name("monday.json"))
    (tmp_path / "images" / "valid").rename(tmp_path / "images" / "monday")
    assert list(by_datumaro(tmp_path, "datumaro").splits) == ["train"]


@needs_datumaro
def test_images_outside_the_folder_are_not_read(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "secret.png")
    photos = tmp_path / "photos"
    SAMPLES["YOLO of Ultralytics"].write(photos)
    (photos / "images/train/a.png").unlink()
    (photos / "images/train/a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match="must lie in the dataset's folder"):
        by_datumaro(photos, "yolo")


def test_it_is_never_recognized(tmp_path):
    SAMPLES["VOC"].write(tmp_path)
    assert read(tmp_path).format == "VOC"
    assert records_of(read(tmp_path))
