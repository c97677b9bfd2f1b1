"""Label Studio's JSON: one annotation of each task, every shape as the box around it."""

import json

import numpy as np
import pytest
from PIL import Image

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

SIDES = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def region(value, kind="rectanglelabels", labels=("cat",), **changes):
    return {"type": kind, "value": {**value, kind: list(labels)}, **SIDES, **changes}


def box(x=10, y=20, width=30, height=40, rotation=0, **changes):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return region(value, **changes)


def annotation(*regions, **changes):
    return {"id": 1, "was_cancelled": False, "result": list(regions), **changes}


def task(*annotations, image="/data/upload/1/0a1b2c3d-a.png", key=1):
    return {"id": key, "data": {"image": image, "meta": "x"}, "annotations": list(annotations)}


def export(folder, *tasks, images=("a.png",), name="project.json"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(tasks))
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), (len(image), 3, 7)).save(folder / image)
    return folder


def boxes_of(dataset, split="train"):
    records = dataset.splits[split].records
    return {record.image_id: record.boxes.xyxy.round(2).tolist() for record in records}


def packed(mask):
    """A mask (h, w) in runs as Label Studio's brush packs them: alternately repeated and not."""
    values = np.zeros((*mask.shape, 4), np.uint8)
    values[mask] = (10, 20, 30, 255)
    flat = values.reshape(-1).tolist()
    bits = f"{len(flat):032b}{7:05b}{2:04b}{7:04b}{11:04b}{15:04b}"
    at = 0
    while at < len(flat):
        end = at
        while end < len(flat) and flat[end] == flat[at] and end - at < 60_000:
            end += 1
        if end - at > 4:
            bits += f"1{3:02b}{end - at - 1:016b}{flat[at]:08b}"
        else:
            end = min(at + 4, len(flat))
            literal = "".join(f"{value:08b}" for value in flat[at:end])
            bits += f"0{0:02b}{end - at - 1:03b}{literal}"
        at = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


MASK = np.zeros((100, 200), bool)
MASK[20:61, 30:90] = True


@pytest.mark.parametrize(
    ("shape", "edges"),
    [
        (box(), [20, 20, 80, 60]),
        (box(rotation=180, x=40, y=60), [20, 20, 80, 60]),
        # 60 x 40 pixels about the corner (100, 20), clockwise: it hangs down to the left
        (box(rotation=90, x=50, y=20), [60, 20, 100, 80]),
        (region({"points": [[10, 20], [40, 30], [20, 90]]}, "polygonlabels"), [20, 20, 80, 90]),
        (
            region({"x": 50, "y": 50, "radiusX": 10, "radiusY": 20}, "ellipselabels"),
            [80, 30, 120, 70],
        ),
        (region({"format": "rle", "rle": packed(MASK)}, "brushlabels"), [30, 20, 90, 61]),
        (region(box()["value"] | {"rectanglelabels": []}, "labels"), [20, 20, 80, 60]),
    ],
)
def test_a_shape_becomes_the_box_around_it(tmp_path, shape, edges):
    found = read(export(tmp_path, task(annotation(shape))))
    assert (found.format, found.classes) == ("LabelStudio", ("cat",))
    assert boxes_of(found) == {"a.png": [edges]}


def test_choices_points_and_geometry_without_labels_are_no_objects(tmp_path):
    bare = {key: value for key, value in box()["value"].items() if key != "rectanglelabels"}
    regions = [
        {"type": "choices", "value": {"choices": ["day"]}},
        {"type": "rectangle", "value": bare, **SIDES},
        region({"x": 1, "y": 2, "width": 0.4}, "keypointlabels"),
        region({"points": [[1, 2], [3, 4]], "closed": False}, "polygonlabels"),
        box(labels=("cat", "dog")),
    ]
    found = read(export(tmp_path, task(annotation(*regions))))
    assert [len(boxes) for boxes in boxes_of(found).values()] == [1]
    notes = "; ".join(found.notes)
    assert "regions without an area (key points, lines), left out: 2" in notes
    assert "regions with several labels, of which the first is read: 1" in notes


def test_a_shape_without_a_label_is_a_region_to_ignore(tmp_path):
    without = box(x=50, labels=())
    text = {"type": "textarea", "value": {**without["value"], "text": ["?"]}, **SIDES}
    found = read(export(tmp_path, task(annotation(box(), without, text))))
    (record,) = found.splits["train"].records
    assert record.boxes.xyxy[record.boxes.crowd].round(2).tolist() == [[100, 20, 160, 60]]
    assert "shapes without a label, read as regions to ignore: 1" in "; ".join(found.notes)


def test_of_several_annotators_the_ground_truth_counts_then_the_first(tmp_path):
    cancelled = annotation(box(x=1), was_cancelled=True)
    tasks = [
        task(cancelled, annotation(box(x=20)), annotation(box(x=30)), key=1, image="a.png"),
        task(annotation(box(x=20)), annotation(box(x=30), ground_truth=True), image="b.png"),
        task(cancelled, image="c.png"),
        task(image="d.png"),
        task(annotation(), image="e.png"),
    ]
    names = ("a.png", "b.png", "c.png", "d.png", "e.png")
    found = read(export(tmp_path, *tasks, images=names))
    assert boxes_of(found) == {
        "a.png": [[40, 20, 100, 60]],
        "b.png": [[60, 20, 120, 60]],
        "e.png": [],
    }
    notes = "; ".join(found.notes)
    assert "tasks with several annotations, of which one is read: 2" in notes
    assert "tasks that were skipped, left out: 1" in notes
    assert "tasks without an annotation, left out: 1" in notes


def test_the_minimal_export_repeats_a_task_for_each_annotator(tmp_path):
    value = {**box()["value"], **SIDES}
    row = {"image": "/data/upload/1/0a1b2c3d-a.png", "id": 7, "annotator": 1, "lead_time": 2.0}
    other = {**row, "annotator": 2, "label": [{**value, "x": 50}], "choice": "day"}
    found = read(export(tmp_path, {**row, "label": [value]}, other))
    assert boxes_of(found) == {"a.png": [[20, 20, 80, 60]]}
    assert "of which one is read: 1" in "; ".join(found.notes)


def of_pair(*regions, key=1, **more):
    pair = {"left": "l.png", "right": "r.png"}
    return {"id": key, "data": pair, "annotations": [annotation(*regions)], **more}


def test_the_image_that_a_label_names_is_the_labelled_one_of_a_pair(tmp_path):
    tasks = [of_pair(box(to_name="left")), of_pair(box(to_name="right", x=50), key=2)]
    found = read(export(tmp_path, *tasks, images=("l.png", "r.png")))
    assert boxes_of(found) == {"l.png": [[20, 20, 80, 60]], "r.png": [[100, 20, 160, 60]]}


@pytest.mark.parametrize("is_minimal", [False, True])
def test_labels_of_an_unnamed_image_of_a_pair_are_refused(tmp_path, is_minimal):
    tasks = [of_pair(box(to_name="a")), of_pair(box(to_name="b"), key=2)]
    if is_minimal:
        value = {**box()["value"], **SIDES}
        pair = {"left": "l.png", "right": "r.png", "annotator": 1}
        tasks = [{**pair, "id": 1, "a": [value]}, {**pair, "id": 2, "b": [value]}]
    folder = export(tmp_path, *tasks, images=("l.png", "r.png"))
    with pytest.raises(DataError, match="which of them is labelled, got 'left, right'"):
        read(folder)


def coco_of_label_studio(folder, **size):
    """Two annotators of a photo that lies on its side; its size is that of the stored pixels."""
    image = Image.new("RGB", (100, 200))
    exif = image.getexif()
    exif[0x0112] = 6
    (folder / "images").mkdir()
    image.save(folder / "images/0a1b2c3d-a.jpg", exif=exif)
    size = {"width": 100, "height": 200, **size}
    name = "../data/media/upload/1/0a1b2c3d-a.jpg"
    images = [{"id": i, "file_name": name, **size} for i in (0, 1)]
    label = {"category_id": 0, "segmentation": [], "ignore": 0, "iscrowd": 0}
    boxes = [[150, 20, 30, 40], [10, 10, 9, 9]]
    annotations = [{"id": i, "image_id": i, "bbox": boxes[i], **label} for i in (0, 1)]
    content = {
        "images": images,
        "annotations": annotations,
        "info": {"contributor": "Label Studio"},
    }
    content["categories"] = [{"id": 0, "name": "cat"}]
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_boxes_of_its_coco_are_those_of_the_photo_as_it_is_shown(tmp_path):
    found = read(coco_of_label_studio(tmp_path))
    assert boxes_of(found) == {"images/0a1b2c3d-a.jpg": [[150, 20, 180, 60]]}
    assert "several annotations, of which the first is read: 1" in "; ".join(found.notes)


def test_the_size_in_its_coco_must_still_be_that_of_the_photo(tmp_path):
    with pytest.raises(DataError, match="width and height must be those of the image file"):
        read(coco_of_label_studio(tmp_path, width=50))


@pytest.mark.parametrize(
    "image", ["/data/local-files/?d=photos/50%2520off.png", "../x/photos/50%20off.png"]
)
def test_a_file_may_have_a_percent_sign_in_its_name(tmp_path, image):
    folder = export(tmp_path, task(annotation(box()), image=image), images=("in/50%20off.png",))
    assert list(boxes_of(read(folder))) == ["in/50%20off.png"]


def test_uploads_of_one_base_name_are_listed(tmp_path):
    tasks = [task(annotation(box()), image="/data/upload/1/0a1b2c3d-IMG_1.png")]
    folder = export(tmp_path, *tasks, images=("left/IMG 1.png", "right/IMG 1.png"))
    with pytest.raises(DataError, match=r"2 others have its base name: left/IMG 1.png, right/IMG"):
        read(folder)


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/0a1b2c3d-a.png",
        "/data/local-files/?d=my%20photos/a.png",
        "s3://bucket/folder/a.png",
        "https://example.org/x/a.png?token=1",
        "images\\a.png",
        "my photos/a.png",
    ],
)
def test_an_image_is_found_wherever_label_studio_kept_it(tmp_path, image):
    folder = export(tmp_path, task(annotation(box()), image=image), images=("my photos/a.png",))
    assert list(boxes_of(read(folder))) == ["my photos/a.png"]


def test_one_export_for_each_split(tmp_path):
    for split in ("train", "test"):
        export(tmp_path / split, task(annotation(box())), images=("images/a.png",))
    found = read(tmp_path)
    assert list(boxes_of(found, "test")) == ["test/images/a.png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (task(annotation(box(x="left"))), "task 1 .*region 0: a box must have four finite edges"),
        (task(annotation(box(width=10**400))), "four finite edges"),
        (task(annotation(box(rotation=5, original_width=0))), "four finite edges"),
        (task(annotation(region({"points": [[1]]}, "polygonlabels"))), "four finite edges"),
        (task(annotation(region({"rle": [1, 2, 3]}, "brushlabels"))), "four finite edges"),
        (task(annotation(region({"rle": [256]}, "brushlabels"))), "four finite edges"),
        (task(annotation(box(image_rotation=90))), "was labelled while turned in the tool"),
        (task(annotation(box()), image="../../../outside.png"), "its image file"),
        (task(annotation(box()), image="http://[x.png"), "its image file does not exist"),
        (task(annotation(box()), image=""), "a task must have an image in its data"),
    ],
)
def test_a_bad_task_is_named(tmp_path, content, said):
    Image.new("RGB", (200, 100)).save(tmp_path / "outside.png")
    folder = export(tmp_path / "data", content)
    with pytest.raises(DataError, match=said) as error:
        read(folder)
    assert "project.json, task 1" in str(error.value)
    assert list(read(folder, LabelOptions(skip_bad=True)).splits) == ["train"]


def test_a_list_with_something_else_in_it_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a list of tasks of Label Studio"):
        read(export(tmp_path, task(annotation(box())), 7))


def test_an_export_without_images_says_where_to_put_them(tmp_path):
    with pytest.raises(DataError, match=r"no image file. Its JSON export has none: copy them"):
        read(export(tmp_path, task(annotation(box())), images=()))
