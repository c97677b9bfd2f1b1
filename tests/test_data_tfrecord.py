"""TFRecords without TensorFlow: what real files hold is read, what is damaged or incomplete is
named.
"""

import gzip
import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from syndet_ray.data.decode import decode
from syndet_ray.data.images.encoded import PartOfFile
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import read
from syndet_ray.data.readers.example import crc32c, masked_crc32c, parse_example
from syndet_ray.errors import DataError

unhurried = settings(deadline=None)  # a busy machine is no bug
LABEL_MAP = "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\n"


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values, packed=True):
    if all(isinstance(value, bytes) for value in values):
        return message(1, b"".join(message(1, value) for value in values))
    if any(isinstance(value, float) for value in values):
        numbers = [struct.pack("<f", value) for value in values]
        return message(
            2, message(1, b"".join(numbers)) if packed else b"".join(b"\x0d" + n for n in numbers)
        )
    numbers = [varint(value) for value in values]
    return message(
        3, message(1, b"".join(numbers)) if packed else b"".join(b"\x08" + n for n in numbers)
    )


def example(features, packed=True):
    entries = (
        message(1, key.encode()) + message(2, feature(values, packed))
        for key, values in features.items()
    )
    return message(1, b"".join(message(1, entry) for entry in entries))


def frame(data):
    head = struct.pack("<Q", len(data))
    return (
        head
        + struct.pack("<I", masked_crc32c(head))
        + data
        + struct.pack("<I", masked_crc32c(data))
    )


def jpeg(width=40, height=20, orientation=None):
    image, file = Image.new("RGB", (width, height), "gray"), io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def features(**changes):
    """Two boxes, a cat and a dog, in an image of 40 x 20 pixels."""
    box = "image/object/bbox/"
    found = {
        "image/filename": [b"a.jpg"],
        "image/encoded": [jpeg()],
        "image/width": [40],
        "image/height": [20],
        box + "xmin": [0.25, 0.5],
        box + "xmax": [0.5, 1.0],
        box + "ymin": [0.0, 0.5],
        box + "ymax": [0.5, 1.0],
        "image/object/class/label": [1, 2],
        "image/object/class/text": [b"cat", b"dog"],
    }
    return found | {"image/" + key.replace("__", "/"): value for key, value in changes.items()}


def dataset(folder, *records, label_map=LABEL_MAP, packed=True):
    (folder / "train.record").write_bytes(
        b"".join(frame(example(record, packed)) for record in records)
    )
    if label_map:
        (folder / "labels.pbtxt").write_text(label_map)
    return folder


@pytest.mark.parametrize(
    ("data", "crc"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_crc32c_is_that_of_rfc_3720(data, crc):
    assert crc32c(data) == crc


@unhurried
@given(st.integers(0, 3100), st.integers(0, 2**32 - 1))
def test_crc32c_by_blocks_is_crc32c_by_bits(length, seed):
    data = np.random.default_rng(seed).bytes(length)
    crc = 0xFFFFFFFF
    for byte in data[:64]:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    assert crc32c(data[:64]) == crc ^ 0xFFFFFFFF
    # A crc of the data followed by itself, lowest byte first, is one and the same number for all
    # data.
    assert crc32c(data + crc32c(data).to_bytes(4, "little")) == 0x48674BC7


@unhurried
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
    st.lists(st.binary(max_size=5), min_size=1),
    st.booleans(),
)
def test_lists_are_read_packed_and_unpacked(ints, floats, texts, packed):
    assert parse_example(example({"i": ints, "f": floats, "b": texts}, packed)) == {
        "i": ints,
        "f": floats,
        "b": texts,
    }


@pytest.mark.parametrize("packed", [True, False])
def test_boxes_become_pixels_and_labels_count_from_0(tmp_path, packed):
    record = features(object__is_crowd=[0, 1])
    found = read(dataset(tmp_path, record, packed=packed))
    assert (found.format, found.classes, found.notes) == ("TFRecord", ("cat", "dog"), ())
    (image,) = found.splits["train"].records
    assert image.image_id == "a.jpg"
    assert image.boxes.xyxy.tolist() == [[10, 0, 20, 10], [20, 10, 40, 20]]
    assert image.boxes.labels.tolist() == [0, 1]
    assert image.boxes.crowd.tolist() == [False, True]
    assert np.isnan(image.boxes.visibility).all()


def test_group_of_is_a_crowd_and_a_label_alone_or_a_text_alone_suffices(tmp_path):
    record = features(object__group_of=[1, 0], object__class__text=[])
    (image,) = read(dataset(tmp_path, record)).splits["train"].records
    assert image.boxes.crowd.tolist() == [True, False]
    assert image.boxes.labels.tolist() == [0, 1]
    (tmp_path / "labels.pbtxt").unlink()
    found = read(dataset(tmp_path, features(object__class__label=[]), label_map=""))
    assert found.classes == ("cat", "dog")


def test_difficult_objects_are_neutral_as_those_of_voc(tmp_path):
    record = features(object__difficult=[1, 0], object__is_crowd=[0, 0], object__group_of=[0, 1])
    found = read(dataset(tmp_path, record))
    (image,) = found.splits["train"].records
    assert image.boxes.crowd.tolist() == [True, True]
    assert "difficult objects read as crowds, neutral in scores: 1" in found.notes[0]


def test_boxes_of_no_class_are_all_named_and_can_be_left_out(tmp_path):
    record = features(object__class__label=[0, 7], object__class__text=[])
    short = features(object__bbox__ymax=[0.5], filename=[b"b.jpg"])
    fine = features(filename=[b"c.jpg"])
    folder = dataset(tmp_path, record, short, fine)
    with pytest.raises(DataError, match="has 3 labels or images that cannot be used"):
        read(folder)
    found = read(folder, LabelOptions(skip_bad=True))
    assert found.box_counts == {"cat": 1, "dog": 1}
    assert "3 bad labels or images skipped" in found.notes[0]


def test_an_image_without_objects_is_a_negative(tmp_path):
    record = {"image/encoded": [jpeg()], "image/source_id": [b"7"]}
    (image,) = read(dataset(tmp_path, record)).splits["train"].records
    assert (image.image_id, len(image.boxes)) == ("7", 0)


def test_boxes_that_leave_the_image_are_clipped_and_counted(tmp_path):
    record = features(object__bbox__xmin=[-0.05, 0.5])
    found = read(dataset(tmp_path, record))
    assert found.splits["train"].records[0].boxes.xyxy[0].tolist() == [0, 0, 20, 10]
    assert found.notes == ("train: 1 box clipped to the image",)


@pytest.mark.parametrize(
    ("declared", "edges"), [((40, 20), [10, 10, 20, 20]), ((20, 40), [5, 0, 10, 20])]
)
def test_the_declared_size_tells_whether_boxes_are_of_the_stored_or_of_the_shown_image(
    tmp_path, declared, edges
):
    record = features(encoded=[jpeg(orientation=6)], width=[declared[0]], height=[declared[1]])
    (image,) = read(dataset(tmp_path, record)).splits["train"].records
    assert image.boxes.xyxy[0].tolist() == edges


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoded": [b""]}, "record 0 at byte 0: image/encoded is empty"),
        ({"encoded": [b"no image"]}, "record 0 at byte 0: the image cannot be read"),
        (
            {"object__class__label": [0, 2], "object__class__text": [b"", b"dog"]},
            r"box 0: has no class \(label 0, no text\)",
        ),
        (
            {"object__class__label": [1, 7], "object__class__text": []},
            r"box 1: its label must be one of \[1, 2\].*got 7",
        ),
        (
            {"object__class__text": [b"cat", b"dgo"]},
            "box 1: its class text must be in the label map, got 'dgo'.*'dog'",
        ),
        (
            {"object__class__label": [0, 1]},
            "box 1: its class text must be that of its label, 'cat', got 'dog'",
        ),
        (
            {"object__class__label": [1], "object__class__text": []},
            "class/label must hold one value for each of the 2 boxes, got 1",
        ),
        ({"object__bbox__ymax": [0.5]}, r"must be of one length, got \[2, 2, 2, 1\]"),
        (
            {"object__bbox__xmax": [0.25, 1.0]},
            r"box 0: a box must have an area .*got \[10.0, 0.0, 10.0, 10.0\]",
        ),
        (
            {"object__bbox__xmax": [10.0, 40.0]},
            "box 0: edges must be shares of the image's sides, 0 to 1: divide",
        ),
        ({"object__bbox__xmax": [float("nan"), 1.0]}, "box 0: a box must have four finite edges"),
        ({"object__bbox__xmax": [0.5, float("inf")]}, "box 1: a box must have four finite edges"),
        (
            {"object__class__label": [1.0, float("nan")]},
            "box 1: class/label must be a whole number, got nan",
        ),
        ({"object__is_crowd": [0.5, 0.0]}, "box 0: is_crowd must be a whole number, got 0.5"),
        ({"object__bbox__xmax": [b"x", b"y"]}, "xmax must hold numbers, not bytes"),
    ],
)
def test_a_bad_record_is_named(tmp_path, changes, said):
    with pytest.raises(DataError, match=said) as error:
        read(dataset(tmp_path, features(**changes)))
    assert str(tmp_path / "train.record") in str(error.value)


def test_another_kind_of_record_is_named(tmp_path):
    with pytest.raises(
        DataError, match=r"must hold image/encoded, got \['video/height', 'video/id'\]"
    ):
        read(dataset(tmp_path, {"video/id": [b"images/1"], "video/height": [20]}))


def test_a_file_cut_in_the_middle_is_named_with_record_and_byte(tmp_path):
    path = dataset(tmp_path, features(), features(filename=[b"b.jpg"])) / "train.record"
    whole = path.read_bytes()
    half = len(frame(example(features())))
    for length in (half + 5, half + 200, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            DataError,
            match=f"train.record, record 1 at byte {half}: the file ends in the middle of a record",
        ):
            read(tmp_path)


@pytest.mark.parametrize(
    ("byte", "said"),
    [
        (3, "the length has a wrong checksum"),
        (40, "the data has a wrong checksum: the file is damaged"),
    ],
)
def test_a_flipped_bit_is_found(tmp_path, byte, said):
    path = dataset(tmp_path, features()) / "train.record"
    data = bytearray(path.read_bytes())
    data[byte] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"record 0 at byte 0: {said}"):
        read(tmp_path)


@unhurried
@given(st.binary(max_size=60))
def test_whatever_a_record_holds_is_an_example_or_refused(data):
    try:
        found = parse_example(data)
    except ValueError:
        return
    assert all(isinstance(key, str) for key in found)


def test_bytes_that_are_no_example_are_named(tmp_path):
    (tmp_path / "train.record").write_bytes(frame(b"\x0a\xff"))
    with pytest.raises(
        DataError, match=r"record 0 at byte 0: is not a tf.train.Example \(an integer has no end\)"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no items"),
        ("item { id: 1 }", "every item must have an id and a name, got {'id': 1}"),
        ("item { id: 0 name: 'x' }", "ids must count from 1, got 0"),
        (
            "item { id: 1 name: 'x' } item { id: 2 name: 'x' }",
            "every id and every name must occur once",
        ),
        (
            "item { id: 1 name: 'x' display_name: 'y' } item { id: 2 name: 'y' }",
            "every id and every name must occur once",
        ),
        ("item { id: 1 name: 'x'", "its braces do not match. Expected: item"),
        ("item { id: 1 name: 'x' }}", "its braces do not match"),
        ("item { id: 1 name: 'x }", "is no label map"),
        ("item { id: 1 name: '\\374' }", "labels.pbtxt: must be UTF-8, got 'ü'. Save it as UTF-8"),
    ],
)
def test_a_bad_label_map_is_named(tmp_path, text, said):
    dataset(tmp_path, features())
    (tmp_path / "labels.pbtxt").write_text(text)
    with pytest.raises(DataError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_label_map_is_read_in_any_unicode(tmp_path, encoding):
    texts = ["Würfel".encode(), "один".encode()]
    dataset(tmp_path, features(object__class__text=texts))
    text = "item { id: 1 name: 'Würfel' }\nitem { id: 2 name: 'один' }\n"
    (tmp_path / "labels.pbtxt").write_bytes(text.encode(encoding))
    assert read(tmp_path).classes == ("Würfel", "один")


@pytest.mark.parametrize("encoding", ["windows-1252", "latin-1", "cp850"])
def test_a_label_map_of_another_code_page_is_named(tmp_path, encoding):
    dataset(tmp_path, features())
    text = "item { id: 1 name: 'Würfel' }"
    (tmp_path / "labels.pbtxt").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"labels.pbtxt: must be UTF-8, got .* Save it as UTF-8"):
        read(tmp_path)
    (tmp_path / "labels.pbtxt").write_bytes(text.encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"labels.pbtxt: is damaged UTF-16. Save it as UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize(
    "label_map",
    [
        r"item { name: '\320\276\320\264\320\270\320\275' id: 1 } item { id: 2 name: 'dog' }",
        r"item { name: '\xd0\xbe\xD0\xb4\xd0\xb8\xd0\xbd' id: 1 } item { id: 2 name: 'dog' }",
        r"item { name: '\u043e\u0434\u0438\u043d' id: 1 } item { id: 2 name: 'dog' }",
        "item: < name: 'од' \"ин\", id: 1 > # a { comment\nitem { id: 2; name: 'dog' }",
        "item { name: 'один' id: 1 keypoints { id: 7 label: 'nose' } } item { id: 2 name: 'dog' }",
        "item { id: 0 name: 'background' } item { name: 'один' id: 1 } item { id: 2 name: 'dog' }",
        "item { name: '/m/0x' id: 1 display_name: 'один' } item { id: 2 name: 'dog' }",
        "item { display_name: 'один' id: 1 } item { id: 2 name: '/m/1' display_name: 'dog' }",
    ],
)
def test_a_label_map_is_read_as_protobuf_writes_it(tmp_path, label_map):
    dataset(tmp_path, features(object__class__text=["один".encode(), b"dog"]))
    (tmp_path / "labels.pbtxt").write_text(label_map, encoding="utf-8")
    found = read(tmp_path)
    assert found.classes == ("один", "dog")
    assert found.splits["train"].records[0].boxes.labels.tolist() == [0, 1]


def test_quotes_and_braces_in_a_name_are_part_of_it(tmp_path):
    dataset(tmp_path, features(object__class__text=[b"it's {1}", b"#2"]))
    text = r"""item { id: 1 name: 'it\'s {1}' } item { id: 2 name: "#2" }"""
    (tmp_path / "labels.pbtxt").write_text(text)
    assert read(tmp_path).classes == ("it's {1}", "#2")


def test_a_class_text_is_the_name_or_the_display_name_of_its_label(tmp_path):
    label_map = 'item { name: "/m/01" id: 1 display_name: "cat" } item { id: 2 name: "dog" }'
    record = features(object__class__text=[b"/m/01", b"dog"])
    found = read(dataset(tmp_path, record, features(filename=[b"b.jpg"]), label_map=label_map))
    assert found.classes == ("cat", "dog")
    labels = [record.boxes.labels.tolist() for record in found.splits["train"].records]
    assert labels == [[0, 1], [0, 1]]


def test_what_a_mac_and_an_editor_leave_beside_the_files_is_not_read(tmp_path):
    dataset(tmp_path, features())
    for name in (
        "._train.record",
        "._labels.pbtxt",
        "__MACOSX/._train.record",
        "__MACOSX/train.record",
        ".ipynb_checkpoints/train-checkpoint.record",
        ".labels.pbtxt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + b"\xb0" * 60)
    (tmp_path / "test.record").mkdir()
    assert list(read(tmp_path).splits) == ["train"]


def test_different_images_of_one_name_are_numbered_and_equal_ones_refused(tmp_path):
    other = features(encoded=[jpeg() + b" "])
    found = read(dataset(tmp_path, features(), other, features(encoded=[jpeg() + b"  "])))
    ids = [record.image_id for record in found.splits["train"].records]
    assert ids == ["a.jpg", "a.jpg (2)", "a.jpg (3)"]
    assert "train: different images of one name, numbered: 2" in found.notes[0]
    with pytest.raises(DataError, match=r"record 2 .*: an image must occur once in a split"):
        read(dataset(tmp_path, features(), other, features()))


@pytest.mark.parametrize("length", [2**30, 2**44, 2**63, 2**64 - 1])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_length_beyond_the_file_is_refused_before_memory_is_asked_for(
    tmp_path, length, is_compressed
):
    head = struct.pack("<Q", length)
    data = head + struct.pack("<I", masked_crc32c(head)) + b"x" * 100
    (tmp_path / "train.record").write_bytes(gzip.compress(data) if is_compressed else data)
    tracemalloc.start()
    with pytest.raises(DataError, match="record 0 at byte 0: the file ends in the middle"):
        read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


def test_records_compressed_by_gzip_are_read_and_damaged_ones_named(tmp_path):
    path = dataset(tmp_path, features(), features(filename=[b"b.jpg"])) / "train.record"
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed)
    assert len(read(tmp_path).splits["train"]) == 2
    path.rename(tmp_path / "train.record.gz")
    assert len(read(tmp_path).splits["train"]) == 2
    (tmp_path / "train.record.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match=r"record 1 at byte .*: cannot be unpacked"):
        read(tmp_path)


def test_images_stay_in_their_file_unless_it_is_compressed(tmp_path):
    names = [f"{i}.jpg".encode() for i in range(3)]
    images = [features(filename=[name], encoded=[jpeg() + name]) for name in names]
    path = dataset(tmp_path, *images) / "train.record"
    source = read(tmp_path).splits["train"]
    assert all(isinstance(record.image, PartOfFile) for record in source.records)
    contents = [record.image_bytes() for record in source.records]
    assert contents == [jpeg() + name for name in names]
    streamed, whole = (decode(source, streamed=streamed) for streamed in (True, False))
    assert streamed.hash == whole.hash
    assert len(streamed.pixels.in_memory) == 0
    assert all(np.array_equal(streamed.image(i), whole.image(i)) for i in range(3))
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert [record.image for record in read(tmp_path).splits["train"].records] == contents


def test_a_pointer_of_git_lfs_says_how_to_get_the_file(tmp_path):
    path = tmp_path / "train.record"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12345\n")
    with pytest.raises(DataError, match="run `git lfs pull`"):
        read(tmp_path)


def tao(stem, **changes):
    """A record of TAO with a car, half hidden, and a region that is not labelled."""
    found = {"frame/id": [f"images/{stem}".encode()], "frame/width": [40], "frame/height": [20]}
    edges = {"x1": [4.0, 20.0], "y1": [2.0, 0.0], "x2": [14.0, 40.0], "y2": [12.0, 20.0]}
    found |= {f"target/coordinates_{edge}": values for edge, values in edges.items()}
    found |= {"target/object_class": [b"car", b"dontcare"], "target/occlusion": [1, -1]}
    found |= {"target/truncation": [0.5, -1.0]}
    return found | {key.replace("__", "/"): values for key, values in changes.items()}


def tao_dataset(folder, stems_of_fold, shards=1, **changes):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "tfrecords").mkdir(exist_ok=True)
    for fold, stems in enumerate(stems_of_fold):
        name = f"car-fold-00{fold}-of-00{len(stems_of_fold)}-shard-00000-of-0000{shards}"
        records = [frame(example(tao(stem, **changes))) for stem in stems]
        (folder / "tfrecords" / name).write_bytes(b"".join(records))
        for stem in stems:
            (folder / f"images/{stem}.png").write_bytes(jpeg())
    return folder


def test_records_of_tao_name_their_images_and_the_first_fold_is_val(tmp_path):
    found = read(tao_dataset(tmp_path, [["b.1"], ["a", "c"]]))
    assert {split: len(source) for split, source in found.splits.items()} == {"train": 2, "val": 1}
    assert found.classes == ("car",)
    (record,) = found.splits["val"].records
    assert record.image_id == "images/b.1.png"
    assert record.boxes.xyxy.tolist() == [[4, 2, 14, 12], [20, 0, 40, 20]]
    assert record.boxes.crowd.tolist() == [False, True]
    assert record.boxes.visibility[0] == 0.375
    assert np.isnan(record.boxes.visibility[1])
    assert any("fold 0 of 2 is val" in note for note in found.notes)
    assert any("visibility is of KITTI's levels" in note for note in found.notes)


def test_both_folds_of_a_test_set_of_tao_are_test(tmp_path):
    folder = tao_dataset(tmp_path, [["a"], ["b"]])
    for path in (folder / "tfrecords").iterdir():
        path.rename(path.with_name(path.name.replace("car", "test")))
    assert {split: len(source) for split, source in read(folder).splits.items()} == {"test": 2}


def test_records_of_tao_for_dali_hold_their_images_and_shares(tmp_path):
    changes = {f"target__coordinates_{edge}": [0.25, 0.5] for edge in ("x1", "y1")}
    changes |= {f"target__coordinates_{edge}": [0.5, 1.0] for edge in ("x2", "y2")}
    tao_dataset(tmp_path, [["a"]], frame__encoded=[jpeg()], **changes)
    (tmp_path / "images/a.png").unlink()
    (record,) = read(tmp_path).splits["train"].records
    assert record.image_id == "images/a"
    assert isinstance(record.image, PartOfFile)
    assert record.image_bytes() == jpeg()
    assert record.boxes.xyxy.tolist() == [[10, 5, 20, 10], [20, 10, 40, 20]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frame__id": [b"images/nothing"]}, "its image file must be in images/, got 'images/n"),
        ({"frame__id": [b"../../etc/passwd"]}, "its image file must be in images/"),
        ({"frame__id": [b"n" * 5000]}, "its image file must be in images/"),
        ({"frame__id": [b"n" * 300 + b"/nothing"]}, "its image file must be in images/"),
        ({"frame__id": [b"images/a\0"]}, "its image file must be in images/"),
        ({"frame__id": []}, "its image file must be in images/"),
        ({"target__object_class": [b"car"]}, r"must be of one length, got \[1, 2, 2, 2, 2\]"),
        ({"target__object_class": [b"", b"car"]}, "box 0: target/object_class must be a text"),
        ({"target__coordinates_x2": [b"x", b"y"]}, "four finite edges"),
        ({"frame__width": [41]}, r"must be those of the image file, \(40, 20\)"),
    ],
)
def test_a_bad_record_of_tao_is_named(tmp_path, changes, said):
    with pytest.raises(DataError, match=said):
        read(tao_dataset(tmp_path, [["a"]], **changes))


def test_a_missing_shard_of_tao_is_named(tmp_path):
    with pytest.raises(DataError, match="must be one of 2 shards, got 1"):
        read(tao_dataset(tmp_path, [["a"]], shards=2))


def test_shards_are_one_split_and_a_missing_one_is_named(tmp_path):
    for i in range(2):
        record = frame(example(features(filename=[f"{i}.jpg".encode()])))
        (tmp_path / f"train.record-0000{i}-of-00002").write_bytes(record)
    assert len(read(tmp_path).splits["train"]) == 2
    (tmp_path / "train.record-00001-of-00002").unlink()
    with pytest.raises(DataError, match="must be one of 2 shards, got 1"):
        read(tmp_path)


def test_the_dice_are_read_as_they_are(shared):
    found = read(shared("data/d6_dice"))
    assert found.classes == ("one", "two", "three", "four", "five", "six")
    assert {split: len(source) for split, source in found.splits.items()} == {
        "train": 200,
        "test": 50,
    }
    boxes = {
        split: sum(len(r.boxes) for r in source.records) for split, source in found.splits.items()
    }
    assert boxes == {"train": 1487, "test": 308}
    assert found.notes == ()
    few = decode(found.splits["test"].select([0, 1]))
    assert few.image(1).shape == (640, 640, 3)


def test_an_object_without_class_in_the_real_sample_is_named(shared):
    with pytest.raises(
        DataError,
        match=r"train.tfrecord, record 0 at byte 0, box 2: has no class \(label 0, no text\)",
    ):
        read(shared("data/formats/tfrecord/datumaro_tf_detection_api"))


def test_the_other_splits_of_the_real_sample_are_read(shared, tmp_path):
    sample = shared("data/formats/tfrecord/datumaro_tf_detection_api")
    for name in ("val.tfrecord", "test.tfrecord", "label_map.pbtxt"):
        (tmp_path / name).write_bytes((sample / name).read_bytes())
    found = read(tmp_path)
    (image,) = found.splits["val"].records
    assert [found.classes[label] for label in image.boxes.labels] == ["label_3"]
    assert image.boxes.xyxy.tolist() == [[1, 2, 5, 4]]
    assert len(found.splits["test"].records[0].boxes) == 0
