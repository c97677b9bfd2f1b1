"""What generators write: Unity, Rendered.ai, BOP, Replicator, and GroceriesReal: splits, and what is wrong."""

import json
import struct

import numpy as np
import pytest
from format_samples import (
    REPLICATOR,
    write_ana,
    write_bop,
    write_groceries,
    write_perception,
    write_replicator,
    write_solo,
)

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError

WRITERS = (write_solo, write_perception, write_ana, write_replicator)


def edit(path, change):
    """Changes the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("write", WRITERS)
def test_folders_named_as_splits_are_splits(tmp_path, write):
    for split in ("train", "valid", "test_set"):
        write(tmp_path / split)
    found = read(tmp_path)
    assert {split: len(source) for split, source in found.splits.items()} == {
        "train": 3,
        "val": 3,
        "test": 3,
    }


def test_several_sets_in_folders_of_any_name_are_train(tmp_path):
    for name in ("solo", "solo_1"):
        write_solo(tmp_path / name)
    assert {split: len(source) for split, source in read(tmp_path).splits.items()} == {"train": 6}


def test_splits_of_bop_are_its_folders(tmp_path):
    write_bop(tmp_path)
    for split in ("val", "test"):
        (tmp_path / split).mkdir()
        write_bop(tmp_path / "other")
        (tmp_path / "other/train_pbr/000000").rename(tmp_path / split / "000000")
    (tmp_path / "other/train_pbr").rmdir()
    (tmp_path / "other").rmdir()
    found = read(tmp_path)
    assert {split: len(source) for split, source in found.splits.items()} == {
        "train": 3,
        "val": 3,
        "test": 3,
    }
    assert list(read(tmp_path / "val/000000").splits) == ["train"]
    assert "objects of which no pixel is visible, left out: 9" in "; ".join(found.notes)


def test_lists_of_positions_are_the_splits_of_groceries(tmp_path):
    write_groceries(tmp_path)
    (tmp_path / "groceries_real_train.txt").write_text("2")
    (tmp_path / "groceries_real_test.txt").write_text("0 1\n")
    (tmp_path / "groceries_real_test_high_ratio.txt").write_text("0")
    found = read(tmp_path)
    ids = {split: [r.image_id for r in source.records] for split, source in found.splits.items()}
    assert ids == {"train": ["images/c.png"], "test": ["images/a.png", "images/b.png"]}
    (tmp_path / "groceries_real_test.txt").write_text("0 3")
    with pytest.raises(DataError, match=r"real_test.txt: must hold positions of the 3 images.*'3'"):
        read(tmp_path)
    for path in tmp_path.glob("*.txt"):
        path.unlink()
    assert len(read(tmp_path).splits["train"]) == 3


def test_a_camera_without_a_labeler_is_left_out_and_an_empty_one_is_negative(tmp_path):
    write_solo(tmp_path)

    def drop(content):
        content["captures"][0]["annotations"] = []
        content["captures"].append({"@type": "type.unity.com/unity.solo.Lidar", "id": "l"})

    edit(tmp_path / "sequence.0/step0.frame_data.json", drop)
    found = read(tmp_path)
    counts = {record.image_id: len(record.boxes) for record in found.splits["train"].records}
    assert counts == {"sequence.1/step0.camera.png": 0, "sequence.2/step0.camera.png": 1}
    assert "captures without a labeler of 2D boxes, left out: 1" in "; ".join(found.notes)


def test_boxes_of_perception_are_found_without_definitions_by_their_values(tmp_path):
    write_perception(tmp_path)
    (tmp_path / "Dataset1/annotation_definitions.json").unlink()
    found = read(tmp_path)
    assert sum(len(record.boxes) for record in found.splits["train"].records) == 3
    assert found.classes == ("king", "white pawn")


def test_an_obstruction_that_was_not_computed_is_unknown(tmp_path):
    write_ana(tmp_path)
    path = tmp_path / "annotations/0000000000-0-RGBCamera-ana.json"
    edit(path, lambda content: content["annotations"][0].update(obstruction=None))
    visibility = read(tmp_path).splits["train"].records[0].boxes.visibility
    assert np.isnan(visibility[0])
    assert visibility[1] == pytest.approx(0.58)


def test_cameras_of_replicator_lie_in_folders_or_in_names(tmp_path):
    write_replicator(tmp_path / "flat")
    for path in (tmp_path / "flat").iterdir():
        kind, number = path.stem.rsplit("_", 1)
        new = f"{kind}_0_{number}{path.suffix}"
        path.rename(path.with_name(new))
    assert len(read(tmp_path / "flat").splits["train"]) == 3
    write_replicator(tmp_path / "nested/Camera/written")
    for path in (tmp_path / "nested/Camera/written").iterdir():
        folder = "rgb" if path.name.startswith("rgb") else "bounding_box_2d_tight"
        target = tmp_path / "nested/Camera" / folder / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    assert len(read(tmp_path / "nested").splits["train"]) == 3


def test_loose_boxes_are_read_where_there_are_no_tight_ones(tmp_path):
    write_replicator(tmp_path)
    for path in tmp_path.glob("bounding_box*"):
        path.rename(path.with_name(path.name.replace("tight", "loose")))
    found = read(tmp_path)
    assert sum(len(record.boxes) for record in found.splits["train"].records) == 3
    assert any("loose ones: around whole objects" in note for note in found.notes)


def npy(header, data=b""):
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


ROWS = "[('semanticId','<u4'),('x_min','<i4'),('y_min','<i4'),('x_max','<i4'),('y_max','<i4')]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an array of numpy"),
        (b"PK\x03\x04", "is not an array of numpy"),
        (
            npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem"),
            "must be one row",
        ),
        (
            npy(f"{{'descr': {ROWS}, 'fortran_order': False, 'shape': (2**40,)}}"),
            "is not an array of numpy",
        ),
        (
            npy(
                f"{{'descr': {ROWS}, 'fortran_order': False, 'shape': (1099511627776,)}}", b"x" * 20
            ),
            "must be as long as its header says, 1099511627776 boxes",
        ),
        (
            npy(f"{{'descr': {ROWS}, 'fortran_order': False, 'shape': (2,)}}", b"x" * 39),
            "as long as",
        ),
        (
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
            "must be one row",
        ),
        (npy("(" * 9000), "is not an array of numpy"),
        (npy(f"{{'descr': {ROWS}, 'fortran_order': False, 'shape': (-1,)}}"), "as long as"),
    ],
)
def test_an_array_that_is_none_is_refused_before_it_is_read(tmp_path, content, said):
    write_replicator(tmp_path)
    (tmp_path / "bounding_box_2d_tight_0000.npy").write_bytes(content)
    with pytest.raises(DataError, match=f"tight_0000.npy: .*{said}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("write", "name", "change", "said"),
    [
        (
            write_solo,
            "sequence.0/step0.frame_data.json",
            lambda c: c["captures"][0].update(filename="../../x.png"),
            "capture camera: its image file",
        ),
        (
            write_solo,
            "sequence.0/step0.frame_data.json",
            lambda c: c["captures"][0]["annotations"][0]["values"][0].update(origin=[1]),
            "box 0: a box must have four finite edges",
        ),
        (
            write_solo,
            "sequence.0/step0.frame_data.json",
            lambda c: c["captures"][0]["annotations"][0]["values"][0].update(labelName=7),
            "box 0: labelName must be a text",
        ),
        (
            write_solo,
            "sequence.0/step0.frame_data.json",
            lambda c: c.update(captures={}),
            "must be a frame of SOLO",
        ),
        (
            write_perception,
            "Dataset1/captures_000.json",
            lambda c: c["captures"][0].update(filename=None),
            "capture c0: filename must be a text",
        ),
        (
            write_perception,
            "Dataset1/captures_000.json",
            lambda c: c["captures"][0]["annotations"][0]["values"][0].update(width="wide"),
            "box 0: a box must have four finite edges",
        ),
        (
            write_perception,
            "Dataset1/captures_000.json",
            lambda c: c.pop("captures"),
            "must be captures of Unity Perception",
        ),
        (
            write_ana,
            "metadata/0000000000-0-RGBCamera-metadata.json",
            lambda c: c["objects"].pop(),
            "object 1: its id must be that of an object with a type",
        ),
        (
            write_ana,
            "annotations/0000000000-0-RGBCamera-ana.json",
            lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
            "object 0: a box must have four finite edges",
        ),
        (
            write_bop,
            "train_pbr/000000/scene_gt_info.json",
            lambda c: c["0"].pop(),
            "image 0: must be lists of one length",
        ),
        (
            write_bop,
            "train_pbr/000000/scene_gt.json",
            lambda c: c["0"][1].update(obj_id=[]),
            "object 1: an object must have an obj_id",
        ),
        (
            write_bop,
            "train_pbr/000000/scene_gt.json",
            lambda c: c.update({"../7": [], "9" * 30: []}),
            "must be lists of one length",
        ),
        (
            write_replicator,
            "bounding_box_2d_tight_labels_0000.json",
            lambda c: c.pop("1"),
            "box 1: its semanticId must have a class",
        ),
        (
            write_groceries,
            "annotation_definitions.json",
            lambda c: c["annotation_definitions"][0]["spec"].pop(),
            "annotation 1: label_id must be one of annotation_definitions.json, got 2",
        ),
        (
            write_groceries,
            "annotations.json",
            lambda c: c[0].update(file_name="/etc/passwd"),
            "image 0: its image file",
        ),
    ],
)
def test_a_bad_label_is_named(tmp_path, write, name, change, said):
    write(tmp_path)
    edit(tmp_path / name, change)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_what_is_missing_beside_a_file_is_named(tmp_path):
    write_bop(tmp_path / "bop")
    (tmp_path / "bop/train_pbr/000000/scene_gt_info.json").unlink()
    with pytest.raises(DataError, match=r"needs scene_gt_info.json beside it.*calc_gt_info.py"):
        read(tmp_path / "bop")
    write_replicator(tmp_path / "replicator")
    (tmp_path / "replicator/rgb_0000.png").unlink()
    with pytest.raises(DataError, match=r"its image must lie beside it or in rgb/, got 'rgb_0000'"):
        read(tmp_path / "replicator")
    (tmp_path / "replicator/bounding_box_2d_tight_labels_0002.json").unlink()
    with pytest.raises(DataError, match=r"labels_0002.json: must tell the classes of the boxes"):
        read(tmp_path / "replicator", LabelOptions(skip_bad=True))
    write_ana(tmp_path / "ana")
    (tmp_path / "ana/metadata/0000000000-0-RGBCamera-metadata.json").unlink()
    with pytest.raises(
        DataError, match=r"its metadata, which tell the classes, must lie in metadata/"
    ):
        read(tmp_path / "ana")


def test_the_dtype_of_fast_annotators_has_no_visibility(tmp_path):
    write_replicator(tmp_path)
    rows = np.load(tmp_path / "bounding_box_2d_tight_0000.npy")
    names = [name for name in REPLICATOR.names if name != "occlusionRatio"]
    plain = np.zeros(len(rows), np.dtype([(name, REPLICATOR[name]) for name in names]))
    for name in names:
        plain[name] = rows[name]
    np.save(tmp_path / "bounding_box_2d_tight_0000.npy", plain)
    record = read(tmp_path).splits["train"].records[0]
    assert np.isnan(record.boxes.visibility).all()
