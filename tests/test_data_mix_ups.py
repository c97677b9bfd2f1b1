"""What is easily taken for something else: crowds, images of other splits, folders without a name
of a split, label files of other spellings.
"""

import json
import os

import pytest
from format_samples import write_solo
from PIL import Image

from syndet_ray.data.convert import convert
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.data.readers.json_file import load_json
from syndet_ray.data.readers.xml_file import load_xml
from syndet_ray.errors import DataError

KITTI = "{} 0 0 0 2 3 9 8 0 0 0 0 0 0 0\n"
DONT_CARE = "DontCare -1 -1 -10 10 10 20 18 -1 -1 -1 -1000 -1000 -1000 -10\n"


def photo(path, value=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), (value, 9, 9)).save(path)


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)


def write_coco(path, *names):
    """One box on each of these images."""
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [2, 3, 9, 8]} for i in range(len(names))
    ]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    write(path, json.dumps(content))


def image_ids(dataset):
    return {
        split: [record.image_id for record in source.records]
        for split, source in dataset.splits.items()
    }


def test_regions_to_ignore_stay_regions_on_the_way_through_coco(tmp_path):
    for i in range(3):
        photo(tmp_path / f"kitti/training/image_2/{i}.png", i)
        objects = "".join(KITTI.format(name) for name in ("cat", "dog")) if i == 0 else ""
        write(tmp_path / f"kitti/training/label_2/{i}.txt", objects + DONT_CARE)
    kitti = read(tmp_path / "kitti")
    convert(kitti, tmp_path / "coco", "coco")
    coco = read(tmp_path / "coco")
    for before, after in zip(
        kitti.splits["train"].records, coco.splits["train"].records, strict=True
    ):
        assert before.boxes.xyxy.tolist() == after.boxes.xyxy.tolist()
        assert before.boxes.crowd.tolist() == after.boxes.crowd.tolist()
    assert coco.box_counts == {"cat": 1, "dog": 1}


def test_masks_that_a_tool_marks_as_crowds_are_objects(tmp_path):
    photo(tmp_path / "0.png")
    write_coco(tmp_path / "train.json", "0.png")
    content = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    (box,) = content["annotations"]
    mask = {"size": [20, 30], "counts": [43, 5, 552]}
    crowd = {**box, "iscrowd": 1, "segmentation": mask}
    content["annotations"] = [{**crowd, "id": i, "bbox": [2 + i, 3, 9, 8]} for i in range(3)]
    write(tmp_path / "train.json", json.dumps(content))
    dataset = read(tmp_path)
    assert dataset.splits["train"].records[0].boxes.crowd.tolist() == [False] * 3
    assert "masks of single objects marked iscrowd, read as objects: 3" in dataset.notes[0]


def test_an_image_of_another_split_is_not_taken(tmp_path):
    photo(tmp_path / "images/train/1.png")
    photo(tmp_path / "images/val/2.png", 2)
    write_coco(tmp_path / "annotations/instances_train.json", "1.png")
    write_coco(tmp_path / "annotations/instances_val.json", "1.png", "2.png")
    with pytest.raises(DataError, match=r"images/train/1\.png is in the folder of another split"):
        read(tmp_path)


def test_a_missing_image_comes_with_the_images_that_it_may_have_become(tmp_path):
    """Those that are called like it come first; without a missing image there is no word of them."""
    names = ["a 1.png", "shot_7 (copy).png", "z.png"]
    for i, name in enumerate(["a 1.png", "b.png", "c.png", "d.png", "shot_7.png"]):
        photo(tmp_path / "images" / name, i)
    photo(tmp_path / "masks/e.png", 9)
    write_coco(tmp_path / "images/labels.json", *names)
    hint = (
        r"4 images that no label names may be missing ones, renamed: images/shot_7\.png, "
        r"images/b\.png, images/c\.png and 1 more\. Correct or delete them"
    )
    with pytest.raises(DataError, match=f"has 2 labels or images.*\n.*\n.*\n{hint}"):
        read(tmp_path / "images/..")
    for name in ("b.png", "c.png", "d.png"):
        (tmp_path / "images" / name).unlink()
    write_coco(tmp_path / "images/labels.json", *names[:2])
    hint = (
        r"1 image that no label names may be a missing one, renamed: shot_7\.png\. Correct or del"
    )
    with pytest.raises(DataError, match=rf"got 'shot_7 \(copy\)\.png'\. {hint}"):
        read(tmp_path / "images")
    (tmp_path / "images/shot_7.png").unlink()
    with pytest.raises(DataError, match=r"got 'shot_7 \(copy\)\.png'\. Correct or delete it"):
        read(tmp_path / "images")


def test_a_renamed_photo_of_kitti_is_told(tmp_path):
    for i in range(2):
        photo(tmp_path / f"train/image_2/{i}.png", i)
        write(tmp_path / f"train/label_2/{i}.txt", KITTI.format("cat"))
    (tmp_path / "train/image_2/1.png").rename(tmp_path / "train/image_2/new.png")
    hint = r"does not exist beside the labels' folder\. 1 image that no label names .*: train/image_2/new"
    with pytest.raises(DataError, match=hint):
        read(tmp_path)


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    photo(tmp_path / "photos/x/1.png")
    photo(tmp_path / "photos/y/1.png", 2)
    write_coco(tmp_path / "labels.json", r"C:\data\x\1.png", r"C:\data\y\1.png")
    dataset = read(tmp_path)
    assert image_ids(dataset) == {"train": ["photos/x/1.png", "photos/y/1.png"]}
    assert "images found by their base name alone: 2" in dataset.notes[0]


def test_a_folder_that_names_no_split_beside_others_is_refused(tmp_path):
    for part in ("train", "eval"):
        photo(tmp_path / part / "images/1.png")
        write(tmp_path / part / "labels/1.txt", KITTI.format("cat"))
    rule = r"eval/labels: its name must contain its split, as that of .*train/labels does"
    with pytest.raises(DataError, match=rule):
        read(tmp_path)


def write_cvat(folder, *subsets):
    images = []
    for i, subset in enumerate(subsets):
        photo(folder / f"images/{subset}/{i}.png", i)
        box = '<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"/>'
        images.append(f'<image id="{i}" name="{i}.png" subset="{subset}">{box}</image>')
    write(folder / "annotations.xml", f"<annotations>{''.join(images)}</annotations>")


def test_a_word_of_a_subset_of_cvat_names_its_split(tmp_path):
    write_cvat(tmp_path, "default", "my_test", "Validation")
    dataset = read(tmp_path)
    assert image_ids(dataset) == {
        "train": ["images/default/0.png"],
        "val": ["images/Validation/2.png"],
        "test": ["images/my_test/1.png"],
    }
    assert "images of no subset, read as train: 1" in dataset.notes[0]


def test_a_subset_of_cvat_that_names_no_split_beside_others_is_refused(tmp_path):
    write_cvat(tmp_path, "Train", "holdout")
    with pytest.raises(DataError, match=r"its subset must name its split, .*got 'holdout'"):
        read(tmp_path)
    write_cvat(tmp_path / "alone", "batch1", "batch2")
    assert list(read(tmp_path / "alone").splits) == ["train"]


def test_lists_of_voc_tell_images_of_one_name_apart(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for i, name in enumerate(("x/1", "y/1", "y/2")):
        photo(tmp_path / f"JPEGImages/{name}.png", i)
        text = f"<annotation><object><name>cat</name>{box}</object></annotation>"
        write(tmp_path / f"Annotations/{name}.xml", text)
    write(tmp_path / "ImageSets/Main/train.txt", "x/1\n")
    write(tmp_path / "ImageSets/Main/test.txt", "y/1.png\ny/2\n")
    dataset = read(tmp_path)
    assert image_ids(dataset) == {
        "train": ["JPEGImages/x/1.png"],
        "test": ["JPEGImages/y/1.png", "JPEGImages/y/2.png"],
    }
    assert not any("without an XML file" in note for note in dataset.notes)


def test_an_image_whose_labels_are_all_bad_is_no_negative(tmp_path):
    write(tmp_path / "data.yaml", "names: [cat]\ntrain: images\n")
    for i, label in enumerate(("0 15 10 6 4", "0 .5 .5 .2 .2", "")):
        photo(tmp_path / f"images/{i}.png", i)
        write(tmp_path / f"labels/{i}.txt", label)
    dataset = read(tmp_path, LabelOptions(skip_bad=True))
    assert image_ids(dataset) == {"train": ["images/1.png", "images/2.png"]}
    assert (
        "train: images left out, since a bad label does not tell its place: 1" in dataset.notes[1]
    )


def test_labels_of_yolo_are_found_in_another_spelling_and_orphans_are_counted(tmp_path):
    names = ("\u00e91", "IMG_2", "3", "4", "5 b")
    stems = ("e\u03011", "img_2", "1a2b3c4d-3", "4", "5%20b", "gone")
    write(tmp_path / "classes.txt", "cat\n")
    for i, name in enumerate(names):
        photo(tmp_path / f"images/{name}.png", i)
    for stem in stems:
        suffix = "TXT" if stem == "4" else "txt"
        write(tmp_path / f"labels/{stem}.{suffix}", "0 .5 .5 .2 .2\n")
    dataset = read(tmp_path)
    assert dataset.box_counts == {"cat": 5}
    notes = "; ".join(dataset.notes)
    assert "label files found under another spelling of their image's name: 5" in notes
    assert "label files of no image that is read, left out: 1" in notes
    assert "without objects" not in notes


def test_a_label_file_of_two_images_is_told(tmp_path):
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "labels/1.txt", "0 .5 .5 .2 .2\n")
    for i, suffix in enumerate((".jpg", ".png")):
        photo(tmp_path / f"images/1{suffix}", i)
    (note,) = read(tmp_path).notes
    assert note.startswith("label files of two images, read for both: 1")
    assert note.endswith("1.jpg and .png")


@pytest.mark.parametrize("suffix", ["txt", "TXT"])
def test_labels_of_kitti_are_found_in_another_spelling(tmp_path, suffix):
    photo(tmp_path / "images/far/down/the/road/\u00c9.png")
    write(tmp_path / f"labels/far/down/the/road/e\u0301.{suffix}", KITTI.format("cat"))
    dataset = read(tmp_path)
    assert dataset.box_counts == {"cat": 1}
    assert not any("without a label file" in note for note in dataset.notes)


def test_a_name_of_a_mac_is_found(tmp_path):
    photo(tmp_path / "train/e\u0301.png")
    write_coco(tmp_path / "train/_annotations.coco.json", "\u00e9.png")
    assert image_ids(read(tmp_path)) == {"train": ["train/e\u0301.png"]}


def test_pipes_and_folders_with_names_of_images_are_no_images(tmp_path):
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "labels/1.txt", "0 .5 .5 .2 .2\n")
    photo(tmp_path / "images/1.png")
    os.mkfifo(tmp_path / "images/2.png")
    (tmp_path / "images/3.png").mkdir()
    assert image_ids(read(tmp_path)) == {"train": ["images/1.png"]}


def test_names_of_classes_are_read_as_windows_writes_them_or_refused(tmp_path):
    photo(tmp_path / "images/1.png")
    write(tmp_path / "labels/1.txt", "1 .5 .5 .2 .2\n")
    for encoding in ("utf-8-sig", "utf-16"):
        write(tmp_path / "classes.txt", "gr\u00fcn\r\ngr\u00f6n\r\n", encoding)
        assert read(tmp_path).box_counts == {"gr\u00fcn": 0, "gr\u00f6n": 1}
    write(tmp_path / "classes.txt", "gr\u00fcn\ngr\u00f6n\n", "cp1252")
    with pytest.raises(DataError, match=r"classes\.txt: must be UTF-8"):
        read(tmp_path)


def test_a_class_is_the_same_however_its_accents_are_written(tmp_path):
    for i in range(2):
        photo(tmp_path / f"images/{i}.png", i)
    write(tmp_path / "labels/0.txt", KITTI.format("caf\u00e9"))
    write(tmp_path / "labels/1.txt", KITTI.format("cafe\u0301"))
    assert read(tmp_path).box_counts == {"caf\u00e9": 2}
    options = LabelOptions(classes={"cafe\u0301": "tea", "gone": None})
    dataset = read(tmp_path, options)
    assert dataset.box_counts == {"tea": 2}
    assert "no class has these names of the class map: gone" in dataset.notes
    write(tmp_path / "labels/1.txt", KITTI.format("caf\u00e9"), "latin-1")
    with pytest.raises(DataError, match="its class must be UTF-8"):
        read(tmp_path)


def test_half_a_character_in_the_name_of_a_class_is_refused(tmp_path):
    photo(tmp_path / "0.png")
    write_coco(tmp_path / "labels.json", "0.png")
    text = (tmp_path / "labels.json").read_text(encoding="utf-8")
    write(tmp_path / "labels.json", text.replace('"cat"', r'"cat\ud83d"'))
    with pytest.raises(DataError, match="must be text in UTF-8, got 'cat"):
        read(tmp_path)


def test_a_thumbnail_in_a_task_of_label_studio_is_not_its_image(tmp_path):
    photo(tmp_path / "thumbs/0.png")
    photo(tmp_path / "images/0.png", 2)
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["cat"]}
    task = {
        "data": {"thumb": "thumbs/0.png", "image": "images/0.png"},
        "annotations": [{"result": [{"value": value}]}],
    }
    write(tmp_path / "project.json", json.dumps([task]))
    assert image_ids(read(tmp_path)) == {"train": ["images/0.png"]}


@pytest.mark.parametrize(("suffix", "start"), [("json", '{"images": []'), ("xml", "<annotation>")])
def test_a_file_too_large_for_memory_is_refused_unread(tmp_path, suffix, start):
    photo(tmp_path / "1.png")
    path = tmp_path / f"1.{suffix}"
    write(path, start)
    os.truncate(path, 3 << 30)  # a hole, which takes no space on the disk
    load = load_json if suffix == "json" else load_xml
    with pytest.raises(DataError, match="is too large to be read as a whole"):
        load(path)


def test_boxes_of_a_class_called_dontcare_are_objects_in_kitti(tmp_path):
    photo(tmp_path / "0.png")
    write_coco(tmp_path / "labels.json", "0.png")
    content = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    content["annotations"].append({**content["annotations"][0], "id": 9, "bbox": [3, 3, 9, 8]})
    content["categories"][0]["name"] = "dontcare"
    write(tmp_path / "labels.json", json.dumps(content))
    convert(read(tmp_path), tmp_path / "kitti", "kitti")
    assert read(tmp_path / "kitti").box_counts == {"dontcare_": 2}


def test_an_image_of_another_frame_of_solo_is_not_taken(tmp_path):
    write_solo(tmp_path)
    (tmp_path / "sequence.0/step0.camera.png").unlink()
    (tmp_path / "sequence.2/step0.camera.png").unlink()
    with pytest.raises(DataError, match=r"looked in \w+/sequence\.0"):
        read(tmp_path)


def test_an_image_that_occurs_twice_can_be_left_out(tmp_path):
    for i, name in enumerate(("b/1.png", "2.png")):
        photo(tmp_path / name, i)
    write_coco(tmp_path / "labels.json", "a/1.png", "b/1.png", "2.png")
    with pytest.raises(DataError, match=r"must occur once in a split, got 'b/1\.png'"):
        read(tmp_path)
    dataset = read(tmp_path, LabelOptions(skip_bad=True))
    assert image_ids(dataset) == {"train": ["2.png"]}
    assert "1 bad label or image skipped, with 2 good boxes on images left out" in dataset.notes[0]


def test_a_box_of_no_category_makes_no_negative_but_a_region(tmp_path):
    photo(tmp_path / "0.png")
    photo(tmp_path / "1.png", 2)
    write_coco(tmp_path / "labels.json", "0.png", "1.png")
    text = (tmp_path / "labels.json").read_text(encoding="utf-8")
    write(tmp_path / "labels.json", text.replace('"category_id": 1', '"category_id": [7]', 1))
    dataset = read(tmp_path, LabelOptions(skip_bad=True))
    assert image_ids(dataset) == {"train": ["0.png", "1.png"]}
    region, box = (record.boxes for record in dataset.splits["train"].records)
    assert (region.crowd.tolist(), box.crowd.tolist()) == ([True], [False])
    assert region.xyxy.tolist() == box.xyxy.tolist()


def test_folders_and_keys_of_yolo_that_name_no_split_are_told(tmp_path):
    for i, part in enumerate(("train", "holdout")):
        photo(tmp_path / f"images/{part}/1.png", i)
        write(tmp_path / f"labels/{part}/1.txt", "0 .5 .5 .2 .2\n")
    write(tmp_path / "classes.txt", "cat\n")
    with pytest.raises(DataError, match="images/holdout: its name must contain its split"):
        read(tmp_path)
    text = "names: [cat]\ntrain: images/train\nholdout: images/holdout\n"
    write(tmp_path / "data.yaml", text)
    dataset = read(tmp_path)
    assert image_ids(dataset) == {"train": ["images/train/1.png"]}
    assert "holdout is left out, it names no split" in dataset.notes[0]


def test_a_list_of_darknet_takes_no_image_of_another_split(tmp_path):
    lists = "".join(f"{split} = data/{split}.txt\n" for split in ("train", "valid"))
    write(tmp_path / "obj.data", f"names = data/obj.names\n{lists}")
    write(tmp_path / "obj.names", "cat\n")
    photo(tmp_path / "obj_train_data/1.png")
    write(tmp_path / "obj_train_data/1.txt", "0 .5 .5 .2 .2\n")
    for split in ("train", "valid"):
        write(tmp_path / f"{split}.txt", f"data/obj_{split}_data/1.png\n")
    with pytest.raises(DataError, match=r"obj_train_data/1\.png is in the folder of another split"):
        read(tmp_path)


def test_a_list_of_no_subset_is_train_beside_others(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    for i, part in enumerate(("default", "Test")):
        photo(tmp_path / f"JPEGImages/{i}.png", i)
        text = f"<annotation><object><name>cat</name>{box}</object></annotation>"
        write(tmp_path / f"Annotations/{i}.xml", text)
        write(tmp_path / f"ImageSets/Main/{part}.txt", f"{i}\n")
    assert image_ids(read(tmp_path)) == {
        "train": ["JPEGImages/0.png"],
        "test": ["JPEGImages/1.png"],
    }


def test_a_polygon_of_yolo_at_the_edge_is_no_label_of_kitti(tmp_path):
    photo(tmp_path / "images/0.png")
    write(tmp_path / "classes.txt", "cat\n")
    corners = "0.5 0 0.9 0.1 0.9 0.3 0.8 0.5 0.5 0.6 0.3 0.5 0.2 0.3"
    write(tmp_path / "labels/0.txt", f"0 {corners}\n")
    assert read(tmp_path).format == "YOLO"


def test_a_task_of_label_studio_with_regions_of_two_images_is_refused(tmp_path):
    for i, name in enumerate("ab"):
        photo(tmp_path / f"images/{name}.png", i)
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["cat"]}
    regions = [{"to_name": name, "value": value} for name in ("left", "right")]
    task = {
        "data": {"left": "images/a.png", "right": "images/b.png"},
        "annotations": [{"result": regions}],
    }
    write(tmp_path / "project.json", json.dumps([task]))
    with pytest.raises(DataError, match="has 2 images, and the export does not say which"):
        read(tmp_path)


def test_a_picture_beside_the_names_of_classes_of_yolo_is_no_photo(tmp_path):
    for part in ("train", "val"):
        photo(tmp_path / f"images/{part}/{part}.png", len(part))
        write(tmp_path / f"labels/{part}/{part}.txt", "0 .5 .5 .2 .2\n")
    photo(tmp_path / "preview.png", 7)
    write(tmp_path / "classes.txt", "cat\n")
    write(tmp_path / "README.dataset.txt", "made by hand\n")
    dataset = read(tmp_path)
    assert image_ids(dataset) == {
        "train": ["images/train/train.png"],
        "val": ["images/val/val.png"],
    }


def test_a_line_without_its_class_gets_no_number_for_one(tmp_path):
    photo(tmp_path / "images/a.png")
    values = "0.00 0 0.00 10 10 30 30 0 0 0 0 0 0 0"
    write(tmp_path / "labels/a.txt", f"cat {values} 1.0\n{values} 1.0\n")
    with pytest.raises(DataError, match="line 2: must hold a class"):
        read(tmp_path)
