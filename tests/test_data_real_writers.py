"""What the labelling tools themselves write, as far as it was read wrongly or refused without need."""

import pytest
from format_samples import CLASSES, PICTURES, write_yolo_labels

from syndet_ray.data.read import read
from syndet_ray.errors import DataError

KING = PICTURES[0]


def boxes_in(folder):
    """The number of boxes of each image."""
    dataset = read(folder)
    records = [record for source in dataset.splits.values() for record in source.records]
    return {record.image_id: len(record.boxes) for record in records}


def write_names(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(CLASSES), encoding="utf-8")


def write_label(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("0 0.5 0.5 0.25 0.25\n", encoding="utf-8")


def test_labelimg_saves_beside_photos_in_a_folder_and_folders_below(tmp_path):
    for name in ("a", "left/a", "left/b"):
        KING.save(tmp_path / f"{name}.png")
        write_label(tmp_path / f"{name}.txt")
    write_names(tmp_path / "classes.txt")
    assert boxes_in(tmp_path) == {"a.png": 1, "left/a.png": 1, "left/b.png": 1}


@pytest.mark.parametrize("label", ["9a80610c-5020off", "50%20off"])
def test_labels_of_all_photos_may_lie_in_one_folder(tmp_path, label):
    """As Label Studio exports them without images, and LabelImg with a folder to save in."""
    for name in ("left/50%20off", "right/negative"):
        KING.save(tmp_path / f"photos/{name}.png")
    write_label(tmp_path / f"labels/{label}.txt")
    write_names(tmp_path / "labels/classes.txt")
    assert boxes_in(tmp_path) == {"photos/left/50%20off.png": 1, "photos/right/negative.png": 0}
    (event,) = [note for note in read(tmp_path).notes if "another folder" in note]
    assert event.endswith("of photos/left/50%20off.png")


def test_an_image_is_no_negative_where_a_label_file_may_be_its(tmp_path):
    for name in ("left/a", "right/a", "right/b"):
        KING.save(tmp_path / f"{name}.png")
    write_label(tmp_path / "labels/a.txt")
    write_label(tmp_path / "labels/b.txt")
    write_names(tmp_path / "classes.txt")
    with pytest.raises(DataError, match="has no label file, and several images") as error:
        read(tmp_path)
    assert "left/a.png" in str(error.value)
    assert "right/a.png" in str(error.value)


def test_label_files_of_another_split_or_image_are_not_taken(tmp_path):
    for name in ("train/a", "train/b", "val/a"):
        KING.save(tmp_path / f"{name.replace('/', '/images/')}.png")
    write_yolo_labels(tmp_path / "train/labels")  # of a and c
    (tmp_path / "train/labels/a.txt").unlink()
    write_label(tmp_path / "train/labels/b.txt")
    write_label(tmp_path / "val/labels/a.txt")
    write_label(tmp_path / "val/labels/d.txt")
    KING.save(tmp_path / "train/images/d.png")
    write_names(tmp_path / "classes.txt")
    assert boxes_in(tmp_path) == {
        "train/images/a.png": 0,
        "train/images/b.png": 1,
        "train/images/d.png": 0,
        "val/images/a.png": 1,
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "Annotations/a.xml",
            "<annotation><filename>a.jpg</filename><imagesize><nrows>5</nrows></imagesize>",
            "LabelMe .XML., .* got 'Annotations/a.xml'. Give `format` datumaro:label_me",
        ),
        ("annotations/train.json", '{"infos":{},"categories":{"label":{', "datumaro:datumaro"),
        ("annotations/a-bbox.csv", "ImageID,Source,LabelName,XMin", "datumaro:open_images"),
        ("project.csv", "annotation_id,annotator,lead_time", "Export JSON from Label Studio"),
        ("task-1-annotation-1-by-1-cat-0.png", "", "it holds the masks too"),
        ("via.json", '{"a.jpg1":{"regions":[{"shape_attributes":', "in COCO format"),
        ("via.json", '{"_via_settings": {', "in COCO format"),
        ("via.csv", "#filename,file_size,region_shape_attributes", "in COCO format"),
        ("train_labels.csv", "filename,width,height,class,xmin", "Export COCO or Pascal VOC"),
        ("samples.json", '{"samples": [', "COCODetectionDataset"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_what_helps(tmp_path, name, text, said):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_the_path_of_labelimg_tells_photos_of_one_name_apart(tmp_path):
    for folder in ("left", "right"):
        KING.save(tmp_path / f"photos/{folder}/a.png")
    path = "C:\\me\\photos\\right\\a.png"
    text = f"<annotation><filename>a.png</filename><path>{path}</path></annotation>"
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.xml").write_text(text, encoding="utf-8")
    assert boxes_in(tmp_path) == {"photos/right/a.png": 0}
