"""CVAT's XML: every shape becomes the box around it, tracks become frames, and subsets splits."""

import math

import pytest
from PIL import Image

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.errors import DataError


def export(folder, content, images=("a.png",), encoding="utf-8"):
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotations>{content}</annotations>'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.xml").write_bytes(text.encode(encoding))
    for image in images:
        path = folder / "images" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80), (len(image), 3, 7)).save(path)
    return folder


def image(shapes, name="a.png", more=""):
    return f'<image id="0" name="{name}" width="100" height="80" {more}>{shapes}</image>'


def box(more="", xyxy=(10, 20, 50, 40), label="cat"):
    x1, y1, x2, y2 = xyxy
    return f'<box label="{label}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" {more}/>'


def boxes_of(dataset, split="train"):
    records = dataset.splits[split].records
    return {record.image_id: record.boxes.xyxy.round(2).tolist() for record in records}


@pytest.mark.parametrize(
    ("shape", "edges"),
    [
        (box(), [10, 20, 50, 40]),
        (box('rotation="90"'), [20, 10, 40, 50]),
        (box('rotation="180.0"'), [10, 20, 50, 40]),
        ('<polygon label="cat" points="1.5,2.0;30.0,4.0;7.0,60.25"/>', [1.5, 2, 30, 60.25]),
        ('<ellipse label="cat" cx="50" cy="40" rx="20" ry="10"/>', [30, 30, 70, 50]),
        (
            '<ellipse label="cat" cx="50" cy="40" rx="20" ry="10" rotation="90"/>',
            [40, 20, 60, 60],
        ),
        (
            '<mask label="cat" rle="1, 2, 3" left="5" top="6" width="3" height="2"/>',
            [5, 6, 8, 8],
        ),
        (
            '<cuboid label="cat" xtl1="1" ytl1="5" xbl1="1" ybl1="9" xtr1="7" ytr1="5" xbr1="7" ybr1="9"'
            ' xtl2="3" ytl2="2" xbl2="3" ybl2="6" xtr2="9" ytr2="2" xbr2="9" ybr2="6"/>',
            [1, 2, 9, 9],
        ),
    ],
)
def test_a_shape_becomes_the_box_around_it(tmp_path, shape, edges):
    found = read(export(tmp_path, image(shape)))
    assert (found.format, found.classes) == ("CVAT", ("cat",))
    assert boxes_of(found) == {"images/a.png": [edges]}


def test_a_box_rotated_by_45_degrees_is_as_wide_as_its_diagonal(tmp_path):
    (edges,) = boxes_of(read(export(tmp_path, image(box('rotation="45"')))))["images/a.png"]
    half = (40 + 20) / 2 * math.sqrt(0.5)
    assert edges == pytest.approx([30 - half, 30 - half, 30 + half, 30 + half], abs=0.01)


def test_what_is_no_object_is_counted_and_rotation_and_occlusion_are_told(tmp_path):
    shapes = [
        '<tag label="sunny"/>',
        '<points label="cat" points="1,2"/>',
        '<polyline label="cat" points="1,2;3,4"/>',
        box('occluded="1"'),
        box('rotation="5"'),
    ]
    found = read(export(tmp_path, image("".join(shapes))))
    assert len(boxes_of(found)["images/a.png"]) == 2
    notes = "; ".join(found.notes)
    assert "lines, points and skeletons left out: 2" in notes
    assert "rotated boxes read as the upright boxes around them: 1" in notes
    assert "boxes marked occluded (CVAT does not say how much" in notes


def test_subsets_are_splits_and_folders_of_images(tmp_path):
    content = (
        "<meta><project><labels><label><name>dog</name></label><label><name>cat</name></label>"
        "<label><name>nose</name><parent>dog</parent></label></labels></project></meta>"
        + image(box(), "a.png", 'subset="Train"')
        + image(box(), "a.png", 'subset="Validation"')
        + image("", "a.png", 'subset="Test"')
    )
    files = ("Train/a.png", "Validation/a.png", "Test/a.png")
    found = read(export(tmp_path, content, files))
    assert list(found.splits) == ["train", "val", "test"]
    assert found.classes == ("dog", "cat")
    assert list(boxes_of(found, "val")) == ["images/Validation/a.png"]
    assert boxes_of(found, "test") == {"images/Test/a.png": []}


def test_one_export_for_each_split(tmp_path):
    for split in ("train", "test"):
        export(tmp_path / split, image(box(), more='subset="default"'), ("default/a.png",))
    found = read(tmp_path)
    assert list(boxes_of(found, "train")) == ["train/images/default/a.png"]
    assert list(boxes_of(found, "test")) == ["test/images/default/a.png"]


def track(*shapes, label="cat"):
    return f'<track id="0" label="{label}">{"".join(shapes)}</track>'


def test_a_video_is_its_frames_and_gaps_between_keyframes_are_filled(tmp_path):
    content = track(
        box('frame="0" keyframe="1" outside="0"', (0, 0, 10, 10)),
        box('frame="4" keyframe="1" outside="0"', (40, 8, 50, 18)),
        box('frame="5" keyframe="1" outside="1"', (40, 8, 50, 18)),
        box('frame="99" keyframe="1" outside="0"', (40, 8, 50, 18)),
    )
    names = [f"frame_{i:06d}.PNG" for i in range(7)]
    found = read(export(tmp_path, content, names))
    boxes = boxes_of(found)
    assert boxes["images/frame_000001.PNG"] == [[10, 2, 20, 12]]
    assert boxes["images/frame_000004.PNG"] == [[40, 8, 50, 18]]
    assert [len(boxes[f"images/{name}"]) for name in names] == [1, 1, 1, 1, 1, 0, 0]
    notes = "; ".join(found.notes)
    assert "stretches between keyframes interpolated: 1" in notes
    assert "frames with labels but without an image file, left out: 1" in notes


def test_between_keyframes_of_polygons_is_a_region_to_ignore(tmp_path):
    def polygon(frame, points):
        return f'<polygon frame="{frame}" outside="0" points="{points}"/>'

    found = track(polygon(0, "1,2;9,4;5,8"), polygon(2, "21,2;29,4;25,18"))
    lost = track('<points frame="0" points="1,2"/>', '<points frame="2" points="1,2"/>')
    data = read(export(tmp_path, found + lost, [f"{i}.png" for i in range(4)]))
    records = data.splits["train"].records
    assert [record.boxes.crowd.tolist() for record in records] == [[False], [True], [False], []]
    assert records[1].boxes.xyxy.tolist() == [[1, 2, 29, 18]]
    assert "stretches between keyframes of a polygon or mask, their places" in "".join(data.notes)


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ("0 1 x 3 4 5", [2]),
        ("0 x x 3 4 5", [1, 2]),
        ("x x 2 3", [0, 1]),
        ("2 x", [3]),
        ("3 x x x x x", [4, 5, 6]),
        ("0 x 1", []),
        ("x", []),
        (" 1", [0]),
    ],
)
def test_a_frame_that_may_have_a_shape_without_a_number_is_no_background(tmp_path, given, left_out):
    shapes = []
    for number in given.split(" "):
        frame = f'frame="{number}"' if number else ""
        shapes.append(box(f'{frame} outside="0"'))
    folder = export(tmp_path, track(*shapes), [f"{i}.png" for i in range(7)])
    with pytest.raises(DataError, match=r"track 0: a shape must have a frame number"):
        read(folder)
    boxes = boxes_of(read(folder, LabelOptions(skip_bad=True)))
    kept = [i for i in range(7) if i not in left_out]
    assert list(boxes) == [f"images/{i}.png" for i in kept]


def test_an_export_without_images_says_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"holds labels of CVAT, but no image file. Export again"):
        read(export(tmp_path, image(box()), images=()))
    content = track(box('frame="0" outside="0"'))
    folder = export(tmp_path, content, images=("../elsewhere/a.png",))
    with pytest.raises(DataError, match=r"whose frames must be images in images/.*ffmpeg"):
        read(folder)


@pytest.mark.parametrize("names", [("frame_1.png", "frame_2.png"), ("IMG_7.png", "IMG_9.png")])
def test_frames_that_do_not_count_from_0_are_taken_in_their_order(tmp_path, names):
    content = "<meta><task><size>2</size></task></meta>" + track(box('frame="0" outside="0"'))
    found = read(export(tmp_path, content, names))
    assert [len(boxes) for boxes in boxes_of(found).values()] == [1, 0]
    content = content.replace("<size>2", "<size>3")
    if names[0].startswith("IMG"):
        with pytest.raises(
            DataError, match=r"named by number .* all 3 .*got '2 images, the first IMG_7"
        ):
            read(export(tmp_path, content, names))


def test_frames_whose_numbers_repeat_are_counted_in_their_order(tmp_path):
    content = "<meta><task><size>2</size></task></meta>" + track(box('frame="1" outside="0"'))
    found = read(export(tmp_path, content, ("left_1.png", "right_1.png")))
    assert {name: len(boxes) for name, boxes in boxes_of(found).items()} == {
        "images/left_1.png": 0,
        "images/right_1.png": 1,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "utf-16"])
def test_the_declared_encoding_counts(tmp_path, encoding):
    found = read(export(tmp_path, image(box(label="Würfel")), encoding=encoding))
    assert found.classes == ("Würfel",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<image>" * 100_000, "is not valid XML"),
        ("<image>" * 100_000 + "</image>" * 100_000, "is nested too deep for a label file"),
        (image(box(label="")), "image 0 .*box 0: a shape must have a label"),
        (image(box(xyxy=(1, 2, "x", 4))), "box 0: a box must have four finite edges"),
        (image(box(xyxy=("9" * 400, 2, 3, 4))), "box 0: a box must have four finite edges"),
        (image('<polygon label="cat" points="1,2;nan,3;5"/>'), "four finite edges"),
        (image(box(), name=""), "image 0: an image must have a name"),
        (image(box(), name="../../outside.png"), "its image file"),
        (image(box(), name="/etc/passwd"), "its image file"),
        (image(box(), name="b.png"), "its image file does not exist"),
        (image(box(), name="n" * 300 + ".png"), "its image file"),
        (image(box()) + image(box()), "an image must occur once in a split"),
    ],
)
def test_a_bad_export_is_named(tmp_path, content, said):
    Image.new("RGB", (100, 80)).save(tmp_path / "outside.png")
    with pytest.raises(DataError, match=said) as error:
        read(export(tmp_path / "data", content))
    assert "annotations.xml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]><annotations>&z;</annotations>',
            "must not declare a document type or entities. Delete",
        ),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>',
            "must not declare a document type or entities",
        ),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "Save it as UTF-8"),
        ('<?xml version="1.0" encoding="gbk"?><annotations/>', "Save it as UTF-8"),
    ],
)
def test_xml_that_could_do_harm_is_refused(tmp_path, text, said):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


def test_a_folder_or_a_link_out_in_place_of_the_file_is_no_dataset(tmp_path):
    outside = export(tmp_path / "outside", image(box()))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/annotations.xml").symlink_to(outside / "annotations.xml")
    (tmp_path / "data/train").mkdir()
    (tmp_path / "data/train/annotations.xml").mkdir()
    with pytest.raises(DataError, match="holds no dataset of a known layout"):
        read(tmp_path / "data")


def test_fiftyone_calls_the_file_of_each_split_labels(tmp_path):
    for split in ("train", "test"):
        folder = export(tmp_path / split, image(box()))
        (folder / "annotations.xml").rename(folder / "labels.xml")
        (folder / "images").rename(folder / "data")
    found = read(tmp_path)
    assert found.notes == ()
    assert boxes_of(found, "test") == {"test/data/a.png": [[10, 20, 50, 40]]}
