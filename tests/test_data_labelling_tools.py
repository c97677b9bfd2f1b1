"""What labelling tools write in Pascal VOC, YOLO, KITTI, VoTT and CreateML, and what goes wrong there."""

import json
import math

import pytest
from format_samples import PICTURES, SAMPLES, write_kitti, write_vott, write_yolo_labels
from PIL import Image
from test_data_formats import real

from syndet_ray.data.read import read
from syndet_ray.errors import DataError

KING = PICTURES[0]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def counts(dataset):
    """(images, boxes) of each split."""
    return {
        split: (len(source.records), sum(len(record.boxes) for record in source.records))
        for split, source in dataset.splits.items()
    }


def write_xml(path, filename="", database="Unknown", flags="", box=(11, 9, 30, 24)):
    edges = "".join(
        f"<{key}>{edge}</{key}>"
        for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    text = f"<annotation><filename>{filename}</filename><source><database>{database}</database>"
    text += f"</source><object><name>king</name>{flags}<bndbox>{edges}</bndbox></object>"
    write(path, text + "</annotation>")


def test_boxes_of_voc_itself_count_from_one(tmp_path):
    KING.save(tmp_path / "JPEGImages/a.png")
    write_xml(tmp_path / "Annotations/a.xml", "a.jpg", "The VOC2007 Database")
    dataset = read(tmp_path)
    assert dataset.splits["train"].records[0].boxes.xyxy.tolist() == [[10, 8, 30, 24]]
    assert "count pixels from 1, the last included" in "; ".join(dataset.notes)
    write_xml(tmp_path / "Annotations/a.xml", "a.jpg", "Unknown")
    dataset = read(tmp_path)
    assert dataset.splits["train"].records[0].boxes.xyxy.tolist() == [[11, 9, 30, 24]]
    assert "are edges from 0, as LabelImg" in "; ".join(dataset.notes)


def test_difficult_objects_of_voc_are_neutral_and_hidden_ones_counted(tmp_path):
    KING.save(tmp_path / "a.png")
    write_xml(tmp_path / "a.xml", flags="<difficult>1</difficult><occluded>1.0</occluded>")
    dataset = read(tmp_path)
    boxes = dataset.splits["train"].records[0].boxes
    assert (boxes.crowd.tolist(), math.isnan(boxes.visibility[0])) == ([True], True)
    notes = "; ".join(dataset.notes)
    assert "difficult objects read as crowds, neutral in scores: 1" in notes
    assert "boxes marked truncated or occluded" in notes


def test_lists_of_voc_tell_the_splits_and_trainval_counts_once(tmp_path):
    lists = tmp_path / "VOC2007/ImageSets/Main"
    for stem in "abcde":
        KING.save(tmp_path / f"VOC2007/JPEGImages/{stem}.png")
        if stem != "d":
            write_xml(tmp_path / f"VOC2007/Annotations/{stem}.xml")
    write(lists / "train.txt", "a\n")
    write(lists / "val.txt", "b\n")
    write(lists / "trainval.txt", "a\nb\n")
    write(lists / "test.txt", "c\nd\n")
    write(lists / "cat_train.txt", "a -1\ne 1\n")
    write(tmp_path / "VOC2007/ImageSets/Layout/train.txt", "e 1\n")
    dataset = read(tmp_path)
    assert counts(dataset) == {"train": (1, 1), "val": (1, 1), "test": (1, 1)}
    notes = "; ".join(dataset.notes)
    assert "labels in no list of ImageSets/Main, left out: 1" in notes
    assert "images in a list without an XML file, left out: 1" in notes


def test_an_image_in_two_lists_of_voc_is_in_the_later_split_alone(tmp_path):
    lists = {"train": "abc", "val": "bc", "test": "c", "trainval": "abc"}
    for stem in "abc":
        KING.save(tmp_path / f"JPEGImages/{stem}.png")
        write_xml(tmp_path / f"Annotations/{stem}.xml")
    for name, stems in lists.items():
        write(tmp_path / f"ImageSets/Main/{name}.txt", "\n".join(stems))
    dataset = read(tmp_path)
    for split, stem in (("train", "a"), ("val", "b"), ("test", "c")):
        (record,) = dataset.splits[split].records
        assert record.image_id == f"JPEGImages/{stem}.png"
    notes = "; ".join(dataset.notes)
    assert "val: images that the list of test names too, left out of val: 1" in notes
    assert "train: images that the list of val names too, left out of train: 1" in notes


def test_an_xml_file_belongs_to_the_image_of_its_own_name(tmp_path):
    for stem in "ab":
        KING.save(tmp_path / f"train/{stem}.png")
        write_xml(tmp_path / f"train/{stem}.xml", filename="photos\\old.JPG")
    KING.save(tmp_path / "train/c.png")
    dataset = read(tmp_path)
    assert [record.image_id for record in dataset.splits["train"].records] == [
        "train/a.png",
        "train/b.png",
    ]
    notes = "; ".join(dataset.notes)
    assert "<filename> names another image than the XML file itself, whose name counts: 2" in notes
    assert "images without an XML file (not labelled), left out: 1" in notes
    write_xml(tmp_path / "train/old.xml", filename="folder/c.png")
    assert counts(read(tmp_path)) == {"train": (3, 3)}


def test_an_xml_file_that_cannot_be_read_is_one_of_the_problems(tmp_path):
    KING.save(tmp_path / "a.png")
    write_xml(tmp_path / "a.xml")
    write(tmp_path / "b.xml", "<annotation><object>")
    bomb = '<!DOCTYPE x [<!ENTITY a "aa">]><annotation>&a;</annotation>'
    write(tmp_path / "c.xml", bomb)
    with pytest.raises(DataError, match=r"b.xml: is not valid XML(.|\n)*c.xml: must not declare"):
        read(tmp_path)


YAML = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\n"


def write_roboflow(folder, val="val"):
    for split in ("train", val):
        for picture in PICTURES:
            picture.save(folder / f"{split}/images/{picture.stem}.png")
        write_yolo_labels(folder / f"{split}/labels")
    write(folder / "data.yaml", YAML + "names: ['king', 'white pawn']\n")


def test_paths_of_roboflow_are_found_where_the_images_are(tmp_path):
    write_roboflow(tmp_path)
    dataset = read(tmp_path)
    assert counts(dataset) == {"train": (3, 3), "val": (3, 3)}
    notes = "; ".join(dataset.notes)
    assert "paths that do not exist, their images found elsewhere: 2" in notes
    assert "test is left out, its images do not exist: ../test/images" in notes
    assert "images without a label file, read as images without objects: 2" in notes
    (tmp_path / "data.yaml").write_text("train: x\nnames: [a]\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"data.yaml: its images do not exist .* got \{'train': 'x'"
    ):
        read(tmp_path)


def test_images_that_two_splits_of_a_yaml_name_count_once(tmp_path):
    SAMPLES["YOLO of Ultralytics"].write(tmp_path)
    text = "train: images/train\nval: images/train\nnames: [king, white pawn]\n"
    write(tmp_path / "data.yaml", text)
    dataset = read(tmp_path)
    assert list(dataset.splits) == ["train"]
    assert "val has the same images as train, and is left out" in dataset.notes


def write_yolo(folder, *names):
    """A photo and a label of a cat for each of these names."""
    for i, name in enumerate(names):
        KING.save(folder / f"images/{name}.png")
        write(folder / f"labels/{name}.txt", f"0 .5 .5 .{i + 1} .2\n")


def ids(dataset):
    """The names of the images of each split, without folder and ending."""
    names = {}
    for split, source in dataset.splits.items():
        names[split] = " ".join(record.image_id[7:-4] for record in source.records)
    return names


@pytest.mark.parametrize(
    ("lines", "expected", "note"),
    [
        ("train: images\nval: images/val", {"train": "a b", "val": "val/c val/d"}, "val"),
        ("train: images\ntest: images/val", {"train": "a b", "test": "val/c val/d"}, "test"),
        ("train: images/val\ntest: images", {"train": "val/c val/d", "test": "a b"}, "train"),
        (
            "train: [images, images/val]\nval: one.txt",
            {"train": "b val/c val/d", "val": "a"},
            "val",
        ),
        ("train: two.txt\nval: one.txt", {"train": "b", "val": "a"}, "val"),
        ("train: two.txt\nval: two.txt\ntest: one.txt", {"train": "b", "test": "a"}, "test"),
        ("train: three.txt\nval: two.txt\ntest: one.txt", None, "test"),
        ("train: images\nval: images/val\ntest: one.txt", None, "test"),
    ],
)
def test_an_image_is_in_one_split_of_yolo_alone(tmp_path, lines, expected, note):
    write_yolo(tmp_path, "a", "b", "val/c", "val/d")
    write(tmp_path / "one.txt", "images/a.png\n")
    write(tmp_path / "two.txt", "./images/a.png\nimages/b.png\n")
    write(tmp_path / "three.txt", "images/a.png\nimages/val/../b.png\nimages/val/c.png\n")
    write(tmp_path / "data.yaml", f"{lines}\nnames: [cat]\n")
    dataset = read(tmp_path)
    images = ids(dataset)
    every = " ".join(images.values()).split()
    assert len(set(every)) == len(every), images
    assert images == (expected or images)
    assert any(f"images that {note} names too, left out of " in told for told in dataset.notes)


def test_all_images_of_train_in_other_splits_are_an_error(tmp_path):
    write_yolo(tmp_path, "a", "b")
    write(tmp_path / "one.txt", "images/a.png\n")
    write(tmp_path / "two.txt", "images/a.png\nimages/b.png\n")
    write(tmp_path / "data.yaml", "train: one.txt\nval: two.txt\nnames: [cat]\n")
    with pytest.raises(DataError, match=r"one\.txt: none of its images .* or all belong to other"):
        read(tmp_path)


def test_a_list_of_darknet_for_two_splits_is_read_for_train(tmp_path):
    write_yolo(tmp_path, "a", "b")
    write(tmp_path / "obj.names", "cat\n")
    write(tmp_path / "train.txt", "images/a.png\nimages/b.png\n")
    write(tmp_path / "obj.data", "valid = train.txt\ntrain = train.txt\nnames = obj.names\n")
    dataset = read(tmp_path)
    assert ids(dataset) == {"train": "a b"}
    assert "val has the same images as train, and is left out" in dataset.notes


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}/{kind}"])
def test_splits_of_yolo_are_folders_both_ways(tmp_path, layout):
    for split in ("train", "test"):
        KING.save(tmp_path / layout.format(kind="images", split=split) / "a.png")
        write(tmp_path / layout.format(kind="labels", split=split) / "a.txt", "0 .5 .5 .2 .2\n")
    write(tmp_path / "notes.json", json.dumps({"categories": [{"id": 0, "name": "king"}]}))
    dataset = read(tmp_path)
    assert (dataset.classes, counts(dataset)) == (("king",), {"train": (1, 1), "test": (1, 1)})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2 .2 .9", "has six numbers: a prediction with its confidence is no label"),
        (
            "2 .5 .5 .2 .2",
            "its class must be a number of the 2 names in classes.txt, from 0, got '2'",
        ),
        ("0 30 20 15 15", "must be shares of the image's sides, 0 to 1: divide pixels by them"),
        ("0 .5 .5 .2", "must hold a class and four numbers, or the corners of a polygon"),
        ("king .5 .5 .2 .2", "must hold a class and four numbers"),
    ],
)
def test_a_line_that_is_no_label_of_yolo_is_refused(tmp_path, line, message):
    SAMPLES["YOLO, plain"].write(tmp_path)
    write(tmp_path / "labels/b.txt", line)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert "b.txt, line 1: " in str(error.value)
    assert message in str(error.value)


def test_a_polygon_of_yolo_becomes_its_box_and_a_repeated_line_counts_once(tmp_path):
    SAMPLES["YOLO, plain"].write(tmp_path)
    write(tmp_path / "labels/b.txt", "0 .1 .2 .5 .2 .5 .6\n0 .1 .2 .5 .2 .5 .6\n")
    dataset = read(tmp_path)
    boxes = dataset.splits["train"].records[1].boxes
    assert boxes.xyxy.round(3).tolist() == [[4, 6, 20, 18]]
    notes = "; ".join(dataset.notes)
    assert "polygons read as the boxes around them: 2" in notes
    assert "train: boxes written twice (one class, one place), counted once: 1" in notes


def test_labels_of_yolo_without_names_say_what_to_write(tmp_path):
    KING.save(tmp_path / "a.png")
    write(tmp_path / "a.txt", "0 .5 .5 .2 .2\n")
    with pytest.raises(DataError, match=r"no names of their classes. Write them into classes.txt"):
        read(tmp_path)


def test_images_far_from_their_labels_are_no_negatives(tmp_path):
    KING.save(tmp_path / "images/a.png")
    write(tmp_path / "targets/b.txt", "0 .5 .5 .2 .2\n")
    write(tmp_path / "data.yaml", "train: images\nnames: [king]\n")
    with pytest.raises(
        DataError, match=r"images: none of its images has a label file. labels/ must"
    ):
        read(tmp_path)


def test_a_label_file_outside_the_dataset_is_refused(tmp_path):
    folder = tmp_path / "photos"
    SAMPLES["YOLO, plain"].write(folder)
    write(tmp_path / "b.txt", "0 .5 .5 .2 .2\n")
    (folder / "labels/b.txt").symlink_to(tmp_path / "b.txt")
    with pytest.raises(DataError, match=r"b.png: its label file must lie in the dataset's folder"):
        read(folder)


def test_classes_of_one_name_are_one_class(tmp_path):
    SAMPLES["YOLO, plain"].write(tmp_path)
    write(tmp_path / "classes.txt", "king\nking\n")
    dataset = read(tmp_path)
    assert dataset.classes == ("king",)
    assert "classes of the same name are one class" in dataset.notes[0]


def test_a_list_without_its_images_says_so(tmp_path):
    SAMPLES["YOLO of Darknet"].write(tmp_path)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"train.txt: none of its images exists in the dataset's"):
        read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 50_000, "a: &a [1]\nb: [" + "*a, " * 50 + "]", "names: !!int x", "a: b: c"],
)
def test_a_yaml_file_that_is_no_plain_one_is_refused(tmp_path, text):
    from syndet_ray.data.readers.yaml_file import load_yaml

    write(tmp_path / "data.yaml", text)
    with pytest.raises(DataError):
        load_yaml(tmp_path / "data.yaml")


def test_levels_of_kitti_and_its_regions(tmp_path):
    KING.save(tmp_path / "training/image_2/a.png")
    KING.save(tmp_path / "testing/image_2/b.png")
    zeros = "0 0 0 0 0 0 0"
    lines = [
        f"white pawn 2 0.50 1 -1.57 0 20 15 30 {zeros}",
        f"king 0.00 3 0 10 8 30 24 {zeros}",
        "DontCare -1 -1 -10 40 8 50 24 -1 -1 -1 -1000 -1000 -1000 -10",
    ]
    write(tmp_path / "training/label_2/a.txt", "\n".join(lines))
    dataset = read(tmp_path)
    assert dataset.classes == ("king", "white pawn 2")
    (record,) = dataset.splits["train"].records
    assert record.boxes.labels.tolist() == [1, 0, 0, 1]  # the region is one of each class
    assert record.boxes.crowd.tolist() == [False, False, True, True]
    assert record.boxes.visibility[0] == pytest.approx(0.375)
    assert all(math.isnan(visibility) for visibility in record.boxes.visibility[1:])


def test_results_of_kitti_are_no_labels(tmp_path):
    write_kitti(tmp_path)
    write(tmp_path / "training/label_2/b.txt", "king 0 0 0 1 1 9 9 0 0 0 0 0 0 0 0.93")
    with pytest.raises(DataError, match=r"b.txt, line 1: has 16 fields: a result with its score"):
        read(tmp_path)


def test_tao_has_images_beside_labels(tmp_path):
    for stem in "ab":
        KING.save(tmp_path / f"images/{stem}.png")
    write(tmp_path / "labels/a.txt", "king 0 0 0 10 8 30 24 0 0 0 0 0 0 0\n")
    dataset = read(tmp_path)
    assert (dataset.format, counts(dataset)) == ("KITTI", {"train": (1, 1)})
    notes = "; ".join(dataset.notes)
    assert "images without a label file (not labelled), left out: 1, images/b.png" in notes


def test_a_split_of_kitti_may_have_no_object_at_all(tmp_path):
    for split in ("train", "val"):
        KING.save(tmp_path / f"{split}/images/a.png")
    write(tmp_path / "train/labels/a.txt", "king 0 0 0 10 8 30 24 0 0 0 0 0 0 0\n")
    write(tmp_path / "val/labels/a.txt", "")
    assert counts(read(tmp_path)) == {"train": (1, 1), "val": (1, 0)}


def change_vott(folder, change):
    path = folder / "chess-export.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["assets"])
    path.write_text(json.dumps(content), encoding="utf-8")


def test_states_tags_and_frames_of_vott(tmp_path):
    write_vott(tmp_path)
    (tmp_path / "c.png").rename(tmp_path / "film.mp4#t=1.5.png")

    def change(assets):
        assets["i1"]["asset"]["state"] = 0
        assets["i0"]["regions"][0]["tags"] = ["king", "white pawn"]
        assets["i2"]["asset"] |= {"name": "film.mp4#t=1.5", "type": 3}
        assets["v"] = {"asset": {"name": "film.mp4", "type": 2, "state": 1}, "regions": []}

    change_vott(tmp_path, change)
    dataset = read(tmp_path)
    assert counts(dataset) == {"train": (2, 4)}
    notes = "; ".join(dataset.notes)
    assert "images never opened in VoTT (not labelled), left out: 1" in notes
    assert "regions with several tags, read as a box of each class: 1" in notes


def test_a_region_of_vott_without_a_tag_is_a_problem(tmp_path):
    write_vott(tmp_path)
    change_vott(tmp_path, lambda assets: assets["i0"]["regions"][0].update(tags=[]))
    with pytest.raises(DataError, match=r"a.png, region 1: must have a tag"):
        read(tmp_path)


def test_createml_of_apple_names_its_images_otherwise(tmp_path):
    KING.save(tmp_path / "a.png")
    center = {"x": 20, "y": 16, "width": 20, "height": 16}
    annotation = {"label": "king", "coordinates": center}
    entry = {"imagefilename": "a.png", "annotation": [annotation]}
    write(tmp_path / "labels.json", json.dumps([entry]))
    dataset = read(tmp_path)
    assert dataset.format == "CreateML"
    assert dataset.splits["train"].records[0].boxes.xyxy.tolist() == [[10, 8, 30, 24]]


def test_real_samples_of_labelling_tools():
    voc = read(real("voc/datumaro_voc_dataset1"))
    assert (voc.format, voc.classes) == ("VOC", ("cat", "person"))
    assert voc.splits["train"].records[0].boxes.xyxy.tolist() == [[1, 2, 3, 4], [4, 5, 6, 7]]
    darknet = read(real("yolo/darknet_strict"))
    folders = read(real("yolo/labels_layout"))
    assert counts(darknet) == {"train": (1, 2)}
    assert counts(folders) == {"train": (1, 2), "val": (1, 2)}
    assert darknet.classes == folders.classes == tuple(f"label_{i}" for i in range(10))
    assert darknet.splits["train"].records[0].boxes.labels.tolist() == [2, 4]
    kitti = read(real("kitti/datumaro_kitti_detection"))
    assert (kitti.format, kitti.classes) == ("KITTI", ("Truck", "Van"))
    assert [len(record.boxes) for record in kitti.splits["train"].records] == [2, 3]
    second = kitti.splits["train"].records[1].boxes
    assert second.xyxy[0].tolist() == [0, 0, 2, 2]
    assert second.visibility.tolist() == [0, 1, 0.75]


def test_uploads_of_label_studio_are_found_by_the_names_that_files_had_before(tmp_path):
    names = {"1abcdef0-Foto_9.jpg": "Foto 9.jpg", "2abcdef0-Kiwi_alt.jpg": "Kiwi (alt).jpg"}
    tasks = []
    for k, (uploaded, name) in enumerate(names.items()):
        Image.new("RGB", (40, 20), (k, 0, 0)).save(tmp_path / name)
        value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
        region = {"type": "rectanglelabels", "value": {**value, "rectanglelabels": ["kiwi"]}}
        region |= {"original_width": 40, "original_height": 20, "id": "r"}
        annotation = {"id": k, "was_cancelled": False, "result": [region]}
        image = f"/data/upload/1/{uploaded}"
        tasks.append({"id": k, "data": {"image": image}, "annotations": [annotation]})
    (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    records = read(tmp_path).splits["train"].records
    assert sorted(record.image_id for record in records) == sorted(names.values())
