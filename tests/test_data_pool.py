"""Pools hold pictures as they are shown, at the working scale, and come back from disk as they
were.
"""

import hashlib
import io
import pickle
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import _scale_boxes, decode
from syndet_ray.data.images import picture
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import working_sizes
from syndet_ray.errors import DataError


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def size_of(data):
    """What a reader finds in the head; for what cannot be read, any size: decoding it is what
    fails.
    """
    try:
        return picture.header(data, "x").shown_wh
    except DataError:
        return (1, 1)


def source(*images, boxes=None):
    labels = Boxes.of([[0, 0, 1, 1]], [0], [0.5]) if boxes is None else boxes
    records = (
        Record(
            image_id=str(i),
            image=data,
            size_wh=size_of(data),
            boxes=labels,
            place=f"x.json, image {i}",
        )
        for i, data in enumerate(images)
    )
    return Source(name="real", classes=("cat",), records=tuple(records))


def pool(*counts):
    """One image for each count, with so many boxes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (4 + i, 3, 3), np.uint8) for i in range(len(counts))]
    boxes = [Boxes.of([[0, 0, 1, 2]] * n, [1] * n) for n in counts]
    return Pool.of(
        "real", ("cat", "dog"), images, boxes, [f"image {i}" for i in range(len(counts))]
    )


@pytest.mark.parametrize(
    ("image", "rgb"),
    [
        (Image.new("RGB", (3, 2), (10, 20, 30)), (10, 20, 30)),
        (Image.new("RGBA", (3, 2), (10, 20, 30, 200)), (63, 71, 79)),  # on white
        (Image.new("L", (3, 2), 77), (77, 77, 77)),
        (Image.new("LA", (3, 2), (77, 9)), (249, 249, 249)),
        (Image.new("1", (3, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 3), 0x8234, np.uint16)), (0x82, 0x82, 0x82)),
        (
            Image.new("RGB", (3, 2), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE),
            (10, 20, 30),
        ),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_every_mode_becomes_8_bit_rgb(image, rgb):
    decoded = decode(source(encoded(image))).image(0)
    assert decoded.dtype == np.uint8
    assert decoded.tolist() == [[list(rgb)] * 3] * 2


def test_cmyk_becomes_rgb():
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = decode(source(data)).image(0)[4, 4].tolist()
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_with_its_image(orientation):
    """A white block is drawn into the stored image; the box must surround it in the image that is
    shown.
    """
    stored = np.zeros((6, 10, 3), np.uint8)
    stored[1:3, 2:7] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(stored), exif=exif)
    head = picture.header(data, "x")
    shown = picture.pixels(data, "x")
    assert shown.shape[1::-1] == head.shown_wh
    if orientation >= 5:
        x1, y1, x2, y2 = head.turn_boxes(np.array([[2, 1, 7, 3]]))[0]
        assert shown[y1:y2, x1:x2].min() == 255
        assert shown.sum() == shown[y1:y2, x1:x2].sum()


def test_progress_is_reported_after_each_image():
    told = []
    images = source(*[encoded(Image.new("L", (2, 2)))] * 3)
    decode(images, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", encoded(Image.effect_noise((64, 64), 50))[:900]],
    ids=["empty", "head", "cut"],
)
def test_an_unreadable_image_is_named(data):
    with pytest.raises(
        DataError,
        match=r"x.json, image 1: the image cannot be read .*Replace the image, or remove it",
    ):
        decode(source(encoded(Image.new("L", (2, 2))), data))


def test_a_decompression_bomb_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"x.json, image 0: the image must have at most 225 mill"):
        decode(source(encoded(Image.new("L", (9, 9)))))


@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (2, 0, 1)], ids=str)
def test_a_pool_comes_back_from_disk_as_it_was(tmp_path, counts):
    before = pool(*counts)
    before.save(tmp_path / "pool")
    after = Pool.load(tmp_path / "pool")
    assert (after.hash, len(after), after.classes) == (before.hash, len(counts), before.classes)
    assert after.image_ids.tolist() == before.image_ids.tolist()
    assert [len(after.boxes(i)) for i in range(len(after))] == list(counts)
    assert all(np.array_equal(after.image(i), before.image(i)) for i in range(len(after)))


def test_a_second_save_keeps_the_first_and_leaves_nothing_behind(tmp_path):
    pool(1).save(tmp_path / "pool")
    pool(2).save(tmp_path / "pool")
    assert Pool.load(tmp_path / "pool").hash == pool(1).hash
    assert [path.name for path in tmp_path.iterdir()] == ["pool"]


def test_a_damaged_pool_is_named(tmp_path):
    pool(1).save(tmp_path / "pool")
    (tmp_path / "pool" / "xyxy.npy").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"pool: is not a readable pool .*Delete the folder; it is made again"
    ):
        Pool.load(tmp_path / "pool")


def test_the_hash_tells_images_boxes_and_visibility_apart():
    a, b = pool(1), pool(2)
    seen = Pool.of(
        "real", a.classes, [a.image(0)], [Boxes.of([[0, 0, 1, 2]], [1], [0.5])], ["image 0"]
    )
    assert len({a.hash, b.hash, seen.hash}) == 3
    assert a.hash == pool(1).hash


def test_aligned_pools_mean_the_same_names():
    before = pool(1, 2)
    after = align_labels(before, ("dog", "cat"))
    assert after.classes == ("dog", "cat")
    assert [after.classes[i] for i in after.labels] == [before.classes[i] for i in before.labels]
    assert align_labels(before, before.classes) is before
    assert align_labels(pool(), ("dog", "cat")).labels.dtype == np.int64


def gradient(width, height):
    """A picture that is brighter to the right and redder to the bottom."""
    across = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return Image.fromarray(np.stack([down, across, across], axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("form", "size"), [("PNG", (400, 300)), ("JPEG", (400, 300)), ("JPEG", (4032, 3000))]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_and_brought_to_the_size_asked(form, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(*size), form, exif=exif)
    shown_wh = picture.header(data, "x").shown_wh
    small_wh = (shown_wh[0] // 5, shown_wh[1] // 5)
    small = picture.pixels(data, "x", small_wh)
    assert small.shape == (small_wh[1], small_wh[0], 3)
    whole = picture.pixels(data, "x")
    expected = cv2.resize(whole, small_wh, interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).max() <= 6


def test_a_jpeg_is_never_decoded_smaller_than_it_is_wanted(monkeypatch):
    """One pixel more than an eighth needs a quarter, which is then shrunk further."""
    decoded = []
    resized = picture._resize
    monkeypatch.setattr(
        picture, "_resize", lambda rgb, wh: decoded.append(rgb.shape[1::-1]) or resized(rgb, wh)
    )
    data = encoded(gradient(800, 400), "JPEG")
    for width, height in ((100, 50), (101, 51), (201, 101), (401, 201), (800, 400), (1600, 800)):
        assert picture.pixels(data, "x", (width, height)).shape == (height, width, 3)
    assert decoded == [(100, 50), (200, 100), (400, 200), (800, 400), (800, 400), (800, 400)]


def test_shrinking_takes_means_and_enlarging_goes_between():
    stripes = np.zeros((4, 8, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (picture.pixels(encoded(Image.fromarray(stripes)), "x", (4, 2)) == 100).all()
    edge = np.zeros((2, 2, 3), np.uint8)
    edge[:, 1] = 200
    assert picture.pixels(encoded(Image.fromarray(edge)), "x", (4, 4))[0, :, 0].tolist() == [
        0,
        50,
        150,
        200,
    ]


def test_photos_and_their_boxes_are_decoded_at_the_working_scale():
    boxes = Boxes.of([[0, 0, 400, 300], [40, 30, 80, 90]], [0, 0])
    upright = encoded(gradient(400, 300))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = encoded(gradient(300, 400), exif=exif)
    found = decode(source(upright, wide, boxes=boxes), 100)
    assert found.sizes_wh.tolist() == [[100, 75], [100, 75]]
    assert found.photo_sizes_wh.tolist() == [[400, 300], [400, 300]]
    assert (
        found.boxes(0).xyxy.tolist()
        == found.boxes(1).xyxy.tolist()
        == [[0, 0, 100, 75], [10, 7.5, 20, 22.5]]
    )
    assert found.image(1).shape == (75, 100, 3)


@pytest.mark.parametrize("size", [(4032, 3001), (3001, 4032), (4032, 17)])
@pytest.mark.parametrize("working_px", [97, 640, 5000])
def test_boxes_come_back_in_the_photos_own_pixels(size, working_px):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.6, (20, 2)) * size
    xyxy = np.concatenate([low, low + 0.3 * np.array(size)], axis=1)
    record = Record(
        image_id="a", image=b"", size_wh=size, boxes=Boxes.of(xyxy, [0] * 20), place="x"
    )
    sizes = working_sizes(np.array([size]), working_px)
    found = replace(
        pool(20), sizes_wh=sizes, scales=sizes / [size], xyxy=_scale_boxes(record, sizes[0]).xyxy
    )
    assert max(sizes[0]) == working_px
    assert np.abs(found.to_photo(0, found.boxes(0).xyxy) - xyxy).max() < 1e-9
    assert np.abs(found.to_photo(np.zeros(20, int), found.xyxy) - xyxy).max() < 1e-9
    whole = found.labels_in_photos()
    assert (whole.sizes_wh.tolist(), whole.scales.tolist()) == ([list(size)], [[1, 1]])
    assert np.abs(whole.boxes(0).xyxy - xyxy).max() < 1e-9


def test_without_a_working_scale_nothing_is_rescaled():
    boxes = Boxes.of([[0.1, 0.2, 7.7, 5.3]], [0])
    found = decode(source(encoded(gradient(9, 7)), boxes=boxes))
    assert (found.sizes_wh.tolist(), found.scales.tolist()) == ([[9, 7]], [[1, 1]])
    assert found.boxes(0).xyxy.tolist() == boxes.xyxy.tolist()
    again = decode(source(encoded(gradient(9, 7)), boxes=boxes), 9)
    assert np.array_equal(again.image(0), found.image(0)), (
        "photos of the working size already stay as they are"
    )


def test_no_images_make_an_empty_pool():
    assert len(decode(source(), 640)) == 0
    assert decode(source(), 640).hash == decode(source()).hash


def test_decoding_large_photos_takes_little_more_memory_than_they_do_in_the_end():
    """8 photos of 12 megapixels, 36 MB each; at most one of them may be whole in memory, and a JPEG
    not even that.
    """
    images = source(*[encoded(gradient(4032, 3024), "JPEG", quality=50)] * 8)
    tracemalloc.start()
    found = decode(images, 1024)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.pixels.nbytes == 8 * 1024 * 768 * 3
    assert peak < found.pixels.nbytes + 3 * 2016 * 1512 * 3


def test_a_selection_shares_pixels_and_is_equal_data():
    whole = pool(2, 0, 1, 3)
    part = whole.select([3, 0])
    assert np.shares_memory(part.pixels, whole.pixels)
    assert part.image_ids.tolist() == ["image 3", "image 0"]
    assert [len(part.boxes(i)) for i in range(2)] == [3, 2]
    assert np.array_equal(part.image(0), whole.image(3))
    copied = Pool.of(
        "real",
        whole.classes,
        [whole.image(3), whole.image(0)],
        [whole.boxes(3), whole.boxes(0)],
        ["image 3", "image 0"],
    )
    assert part.hash == copied.hash == part.compact().hash
    assert part.select([1]).hash == whole.select([0]).hash
    assert len(whole.select([])) == 0
    assert whole.compact() is whole


def test_neighbours_are_not_copied_to_be_alone():
    whole = pool(2, 0, 1, 3)
    for indices, is_shared in (
        ([1, 2], True),
        ([2, 3], True),
        ([0, 1], True),
        ([2, 1], False),
        ([0, 2], False),
    ):
        part = whole.select(indices).compact()
        assert np.shares_memory(part.pixels, whole.pixels) == is_shared
        assert part.pixels.size == part.image_bytes
        assert all(np.array_equal(part.image(k), whole.image(i)) for k, i in enumerate(indices))


def test_a_selection_is_shipped_and_saved_without_what_it_leaves_out(tmp_path):
    whole = pool(2, 0, 1, 3)
    part = whole.select([3, 0])
    own = part.image(0).size + part.image(1).size
    shipped = pickle.loads(pickle.dumps(part))
    part.save(tmp_path / "part")
    for again in (shipped, Pool.load(tmp_path / "part")):
        assert again.pixels.size == own
        assert again.hash == part.hash
        assert np.array_equal(again.image(1), whole.image(0))


def test_scales_and_digests_survive_the_disk_where_there_are_any(tmp_path):
    before = decode(source(encoded(gradient(40, 33))), 20)
    before.save(tmp_path / "pool")
    after = Pool.load(tmp_path / "pool")
    assert after.scales.tolist() == before.scales.tolist() == [[0.5, 16 / 33]]
    assert after.digests.tolist() == before.digests.tolist()
    assert after.contents.tolist() == before.contents.tolist()
    assert after.hash == before.hash
    pool(1).save(tmp_path / "arrays")
    assert not (tmp_path / "arrays" / "digests.npy").exists()
    assert Pool.load(tmp_path / "arrays").digests is None


BOXES = Boxes.of([[1, 2, 30.3, 29.7], [5, 5, 11, 12]], [0, 1], [0.5, np.nan], [False, True])


def labelled(*sizes, boxes=BOXES, classes=("cat", "dog")):
    images = [encoded(gradient(*size)) for size in sizes]
    return replace(source(*images, boxes=boxes), classes=classes)


@pytest.mark.parametrize("working_px", [17, 40, 64, 333])
def test_photos_have_one_hash_at_every_working_scale(working_px):
    photos = labelled((64, 48), (40, 50))
    found = decode(photos, working_px)
    assert found.hash == decode(photos).hash
    assert found.labels_in_photos().hash == found.hash
    assert pickle.loads(pickle.dumps(found)).hash == found.hash


def test_photos_have_one_hash_wherever_their_files_lie(tmp_path):
    photos = labelled((64, 48))
    path = tmp_path / "photo.png"
    path.write_bytes(photos.records[0].image)
    on_disk = replace(
        photos, records=(replace(photos.records[0], image=path, image_id="other", place="y"),)
    )
    assert decode(on_disk).hash == decode(photos).hash


def test_the_hash_of_photos_does_not_depend_on_what_decodes_them(monkeypatch):
    photos = labelled((64, 48))
    expected = decode(photos, 32).hash
    pixels = picture.pixels
    monkeypatch.setattr(picture, "pixels", lambda *given: pixels(*given) ^ 1)
    assert decode(photos, 32).hash == expected


@pytest.mark.parametrize(
    "change",
    [
        {"xyxy": np.nextafter(BOXES.xyxy, 99)},
        {"labels": BOXES.labels[::-1]},
        {"visibility": np.array([0.5, 1], np.float32)},
        {"crowd": np.array([False, False])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_of_photos_tells_every_label_apart(change):
    assert (
        decode(labelled((64, 48), boxes=replace(BOXES, **change)), 32).hash
        != decode(labelled((64, 48)), 32).hash
    )


def test_the_hash_of_photos_tells_their_bytes_number_order_and_classes_apart():
    photos = labelled((64, 48), (40, 50))
    first, second = photos.records
    other_bytes = replace(first, image=encoded(gradient(64, 48), compress_level=0))
    sources = [
        photos,
        photos.select([1, 0]),
        photos.select([0]),
        photos.select([0, 0, 1]),
        replace(photos, records=(other_bytes, second)),
        replace(photos, records=(first, replace(second, boxes=BOXES.select(np.array([1, 0]))))),
        replace(photos, classes=("cat", "fox")),
        replace(photos, classes=("dog", "cat")),
        replace(photos, classes=("cat", "dog", "fox")),
    ]
    assert len({decode(found, 32).hash for found in sources}) == len(sources)


def test_selected_photos_have_the_hash_of_those_that_were_decoded_alone():
    photos = labelled((64, 48), (40, 50), (33, 33))
    whole = decode(photos, 32)
    part = whole.select([2, 0])
    assert part.hash == decode(photos.select([2, 0]), 50).hash
    assert part.select([1, 0]).hash == whole.select([0, 2]).hash != part.hash
    assert whole.select([]).hash == decode(photos.select([])).hash


def test_aligned_photos_have_the_hash_of_photos_whose_classes_stand_in_that_order():
    photos = labelled((64, 48))
    turned = labelled(
        (64, 48), boxes=replace(BOXES, labels=1 - BOXES.labels), classes=("dog", "cat")
    )
    assert align_labels(decode(turned, 32), ("cat", "dog")).hash == decode(photos).hash


def test_the_hash_of_arrays_is_that_of_their_pixels_and_boxes():
    whole = pool(2, 1)
    digest = hashlib.sha256(b"cat\ndog")
    for array in (
        whole.pixels,
        whole.sizes_wh,
        whole.box_counts,
        whole.xyxy,
        whole.labels,
        whole.visibility,
        whole.crowd,
    ):
        digest.update(array.tobytes())
    assert whole.hash == digest.hexdigest()


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_turned_photo_of_any_format_has_one_size(suffix):
    """Pillow tells the size of a turned TIFF as it is shown, that of others as it is stored."""
    stored = Image.fromarray(np.zeros((40, 100, 3), np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    stored.save(file, suffix, exif=exif)
    head = picture.header(file.getvalue(), "x")
    assert (head.stored_wh, head.shown_wh) == ((100, 40), (40, 100))
    assert picture.pixels(file.getvalue(), "x").shape == (100, 40, 3)
