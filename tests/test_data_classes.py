"""Classes by name: renamed, merged and dropped, and what is done where sources differ."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.class_map import is_blank, map_line, read_class_map
from syndet_ray.data.classes import (
    alike_names,
    check_classes,
    new_classes,
    rename_classes,
    spelling_words,
    stray_classes,
    without_classes,
)
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read, read_with_own_classes
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.record import Records
from syndet_ray.errors import DataError
from syndet_ray.files import temporary_folder


def photos(folder, counts):
    """A COCO dataset: one picture, with so many boxes of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    names = [name for name, count in counts.items() for _ in range(count)]
    numbers = {name: k for k, name in enumerate(counts)}
    boxes = [
        {"id": k, "image_id": 0, "category_id": numbers[name], "bbox": [k, 1, 5, 5]}
        for k, name in enumerate(names)
    ]
    content = {
        "images": [{"id": 0, "file_name": "a.png"}],
        "categories": [{"id": k, "name": name} for name, k in numbers.items()],
        "annotations": boxes,
    }
    (folder / "train.json").write_text(json.dumps(content))
    return folder


def pool_of(classes, labels):
    boxes = [Boxes.of([[k, 0, k + 1, 1] for k in range(len(of))], of) for of in labels]
    images = [np.zeros((8, 64, 3), np.uint8) for _ in labels]
    return Pool.of("scenes", classes, images, boxes, [str(k) for k in range(len(labels))])


def names_of(pool):
    return [[pool.classes[label] for label in pool.boxes(i).labels] for i in range(len(pool))]


def test_a_class_map_is_lines_of_old_and_new_names(tmp_path):
    file = tmp_path / "classes.yaml"
    file.write_text(
        "# new names\nknight_w: white knight\n1: one\n'soda/can': _cup\nhand:\nyes: 'no'\n"
    )
    assert read_class_map(file) == {
        "knight_w": "white knight",
        "1": "one",
        "soda/can": "_cup",
        "hand": None,
        "yes": "no",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must be a map of class names. Write a line for each class"),
        ("- a\n- b\n", "must be a map of class names"),
        ("a: b\na: c\n", "line 2: every class must occur once, got 'a'"),
        ("a: [b]\n", "line 1: must be a name, not a list or a map"),
        ("a: b\n~: c\n", "line 2: must begin with the name of a class"),
        ("a: 'b\n", "is not YAML"),
        ("[" * 100_000, "is nested too deep"),
        (b"\xff\xfe\xfa", "is not YAML"),
        ("#" * (1 << 20) + "\na: b", "is too large for a map of class names"),
        ("a: b\nc: ' '\n", "line 2: a new name must have a character to be seen, got ' '"),
    ],
)
def test_a_file_that_is_no_class_map_is_named(tmp_path, content, said):
    file = tmp_path / "classes.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said) as error:
        read_class_map(file)
    assert str(file) in str(error.value)


def test_a_class_map_that_is_missing_or_a_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_class_map(tmp_path / "classes.yaml")
    with pytest.raises(DataError, match="is a folder"):
        read_class_map(tmp_path)


def test_classes_of_photos_are_renamed_merged_and_dropped_as_they_are_read(tmp_path):
    folder = photos(tmp_path / "photos", {"cat": 2, "kitten": 1, "hand": 3, "dog": 1})
    options = LabelOptions(classes={"kitten": "cat", "dog": "soda/can", "hand": None})
    dataset = read(folder, options)
    assert dataset.classes == ("cat", "soda/can")
    assert dataset.box_counts == {"cat": 3, "soda/can": 1}
    assert any(
        "boxes of class 'hand' dropped: 3, the first: a.png" in note for note in dataset.notes
    )


def test_photos_are_read_once_with_new_classes_and_their_own(tmp_path):
    folder = photos(tmp_path / "photos", {"cat": 2, "dog": 1, "hand": 3})
    options = LabelOptions(classes={"dog": "cat", "hand": None, "owl": "cat"})
    steps = []
    renamed, own = read_with_own_classes(folder, options, lambda *step: steps.append(step))
    assert renamed.box_counts == {"cat": 3}
    assert own.box_counts == {"cat": 2, "dog": 1, "hand": 3}
    assert renamed.notes == read(folder, options).notes and len(renamed.notes) == 2
    assert steps[-1] == (1, 1)


def test_photos_with_their_own_classes_are_no_more_than_with_new_ones(tmp_path):
    folder = photos(tmp_path / "photos", {"cat": 1})
    file = folder / "train.json"
    content = json.loads(file.read_bytes())
    Image.new("RGB", (64, 64)).save(folder / "b.png")
    content["images"].append({"id": 1, "file_name": "b.png"})
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 0, "bbox": [1, 1, 0, 5]})
    file.write_text(json.dumps(content), encoding="utf-8")
    options = LabelOptions(classes={"cat": "lion"}, skip_bad=True)
    renamed, own = read_with_own_classes(folder, options)
    assert own.splits["train"].image_ids() == renamed.splits["train"].image_ids()
    with pytest.raises(DataError, match="Or leave it out with `skip_bad`"):
        read_with_own_classes(folder, replace(options, skip_bad=False))


def test_a_name_of_the_map_that_no_class_has_is_said(tmp_path):
    folder = photos(tmp_path / "photos", {"cat": 2, "kitten": 1})
    dataset = read(folder, LabelOptions(classes={"kiten": "cat", "cat": "feline"}))
    assert "no class has these names of the class map: kiten" in dataset.notes
    notes = read(folder, LabelOptions(classes={"kitten": "cat"})).notes
    assert not any("class map" in note for note in notes)


def test_one_class_is_enough(tmp_path):
    assert read(photos(tmp_path / "photos", {"_cup": 2})).classes == ("_cup",)


def test_scenes_get_new_names_too():
    pool = pool_of(("a", "b", "c"), [[0, 1, 2], [1], []])
    renamed = rename_classes(pool, {"a": "c", "b": None})
    assert renamed.classes == ("c",)
    assert names_of(renamed) == [["c", "c"], [], []]
    assert renamed.xyxy[:, 0].tolist() == [0, 2]
    assert rename_classes(pool, {"other": "name"}) is pool


@given(
    labels=st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=4),
    targets=st.lists(st.sampled_from(["p", "q", "a", None]), min_size=4, max_size=4),
)
def test_renamed_boxes_are_those_whose_names_are_renamed_one_by_one(labels, targets):
    classes = ("a", "b", "c", "d")
    names = dict(zip(classes, targets, strict=True))
    pool = pool_of(classes, labels)
    wanted = [[names[classes[label]] for label in of] for of in labels]
    renamed = rename_classes(pool, names)
    assert renamed.classes == new_classes(classes, names)
    assert names_of(renamed) == [[name for name in of if name] for of in wanted]


def test_names_that_differ_in_signs_alone_are_offered_as_lines_of_a_map():
    said = (
        "found White Knight, hand only in the real data; white-knight only in the synthetic data. "
        "Probably the same: `White Knight: white-knight`. Rename, merge or drop classes"
    )
    with pytest.raises(DataError, match=said):
        check_classes(("White Knight", "hand"), ("white-knight",), "photos")


def test_many_classes_are_counted_and_the_first_named():
    names = [f"c{number:02}" for number in range(25)]
    boxes = dict.fromkeys(names, "3 boxes, the first: a.jpg, box 1")
    said = r"found 25 classes \(c00, c01, .*, c19 and 5 more\) only in the real data; dog only in"
    with pytest.raises(DataError, match=said) as error:
        check_classes([*names, "cat"], ["dog", "cat"], "photos", boxes=boxes)
    assert "a.jpg" not in str(error.value)


def test_only_a_class_with_very_few_of_many_boxes_is_a_slip():
    counts = {"bishop": 1, "pawn": 900, "rook": 9, "queen": 10}
    assert stray_classes(counts, {"pawn"}) == ["bishop", "rook"]
    assert stray_classes(counts, {"pawn", "bishop"}) == ["rook"]
    assert stray_classes({"cat": 3, "dog": 2}, {"cat"}) == []


def test_boxes_of_a_class_that_is_left_out_become_regions_of_any_class(tmp_path):
    dataset = read(photos(tmp_path / "photos", {"cat": 1, "bishop": 2, "dog": 1}))
    source = without_classes(dataset.splits["train"], ["bishop"])
    boxes = source.records[0].boxes
    named = [
        (int(x), source.classes[label], crowd)
        for x, label, crowd in zip(boxes.xyxy[:, 0], boxes.labels, boxes.crowd, strict=True)
    ]
    assert named == [
        (0, "cat", False),
        (1, "cat", True),
        (1, "dog", True),
        (2, "cat", True),
        (2, "dog", True),
        (3, "dog", False),
    ]
    assert dataset.without_classes(["bishop"]).box_counts == {"cat": 1, "dog": 1}


def test_classes_are_left_out_of_columns_as_out_of_records(tmp_path):
    source = read(photos(tmp_path / "photos", {"cat": 1, "bishop": 2, "dog": 1})).splits["train"]
    records = source.records
    twice = replace(
        records,
        image_ids=[*records.image_ids, "b.png", "c.png"],
        images=[*records.images, None, None],
        places=[*records.places, "b", "c"],
        sizes_wh=np.tile(records.sizes_wh, (3, 1)),
        box_starts=np.array([0, 2, 2, 4]),  # the second image has no box
        order=np.array([2, 1, 0]),
    )
    columns = without_classes(replace(source, records=twice), ["bishop"])
    objects = without_classes(replace(source, records=tuple(twice)), ["bishop"])
    assert isinstance(columns.records, Records)
    assert columns.classes == objects.classes == ("cat", "dog")
    for one, other in zip(columns.records, objects.records, strict=True):
        assert one.image_id == other.image_id
        assert one.boxes.xyxy.tolist() == other.boxes.xyxy.tolist()
        assert one.boxes.labels.tolist() == other.boxes.labels.tolist()
        assert one.boxes.crowd.tolist() == other.boxes.crowd.tolist()


def test_names_that_differ_only_in_spelling_are_one_group():
    assert alike_names(["apple", "pear", "Apple", "a_pple"]) == [["Apple", "a_pple", "apple"]]
    assert alike_names(["apple", "pear"]) == []


def test_spellings_of_one_class_come_with_lines_that_merge_them_into_the_most_frequent(tmp_path):
    counts = {"White King": 2, "white-king": 20, "white: king": 1, "dog": 5, "Dog": 5}
    words = spelling_words(alike_names(counts), counts)
    groups = "Dog and dog, White King and white-king and white: king"
    assert words.startswith(f"probably one class: {groups}; to merge them, write the lines ")
    lines = re.findall(r"`(.*?)`", words.partition("; ")[2])
    assert lines.pop() == "classes"
    assert lines == ["dog: Dog", "White King: white-king", "'white: king': white-king"]
    file = tmp_path / "classes.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    names = read_class_map(file)
    assert names == {"White King": "white-king", "white: king": "white-king", "dog": "Dog"}


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_line_of_a_class_map_is_read_as_it_was_meant(old, new):
    assume(not is_blank(new))
    with temporary_folder() as folder:
        file = folder / "classes.yaml"
        file.write_text(map_line(old, new), encoding="utf-8")
        assert read_class_map(file) == {old: new}


def test_a_list_of_bad_labels_ends_before_what_to_do():
    remarks = Remarks()
    remarks.problem("a.xml, object 1", "a box must have an area", got=[1, 2, 1, 4])
    remarks.problem("b.xml, object 2", "a box must have an area", got=[3, 2, 3, 4])
    with pytest.raises(DataError) as raised:
        remarks.check("photos", skip_bad=False)
    assert str(raised.value).splitlines()[1:] == [
        "  a.xml, object 1: a box must have an area, got [1, 2, 1, 4].",
        "  b.xml, object 2: a box must have an area, got [3, 2, 3, 4].",
        "Correct or delete them, or leave them out with `skip_bad`.",
    ]
