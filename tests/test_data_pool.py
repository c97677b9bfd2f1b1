"""Pools hold pictures as they are shown, and come back from disk as they were."""

import io

import numpy as np
import pytest
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.pool import Pool, aligned, decode
from syndet_ray.data.record import Record, Source
from syndet_ray.errors import DataError


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def source(*images):
    box = Boxes.of([[0, 0, 1, 1]], [0], [0.5])
    return Source(
        "real", ("cat",), tuple(Record(str(i), data, box, f"x.json, image {i}") for i, data in enumerate(images))
    )


def pool(*counts):
    """One image for each count, with so many boxes."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (4 + i, 3, 3), np.uint8) for i in range(len(counts))]
    boxes = [Boxes.of([[0, 0, 1, 2]] * n, [1] * n) for n in counts]
    return Pool.of("real", ("cat", "dog"), images, boxes, [f"image {i}" for i in range(len(counts))])


@pytest.mark.parametrize(
    ("image", "rgb"),
    [
        (Image.new("RGB", (3, 2), (10, 20, 30)), (10, 20, 30)),
        (Image.new("RGBA", (3, 2), (10, 20, 30, 200)), (10, 20, 30)),
        (Image.new("L", (3, 2), 77), (77, 77, 77)),
        (Image.new("LA", (3, 2), (77, 9)), (77, 77, 77)),
        (Image.new("1", (3, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 3), 0x1234, np.uint16)), (0x12, 0x12, 0x12)),
        (Image.new("RGB", (3, 2), (10, 20, 30)).convert("P", palette=Image.Palette.ADAPTIVE), (10, 20, 30)),
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
    """A white block is drawn into the stored image; the box must surround it in the image that is shown."""
    stored = np.zeros((6, 10, 3), np.uint8)
    stored[1:3, 2:7] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(stored), exif=exif)
    head = picture.header(data, "x")
    shown = picture.pixels(data, "x")
    assert shown.shape[1::-1] == head.shown_wh
    if orientation >= 5:
        x1, y1, x2, y2 = head.shown(np.array([[2, 1, 7, 3]]))[0]
        assert shown[y1:y2, x1:x2].min() == 255
        assert shown.sum() == shown[y1:y2, x1:x2].sum()


def test_progress_is_told_after_each_image():
    told = []
    decode(source(*[encoded(Image.new("L", (2, 2)))] * 3), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", encoded(Image.effect_noise((64, 64), 50))[:900]], ids=["empty", "head", "cut"]
)
def test_an_unreadable_image_is_named(data):
    with pytest.raises(DataError, match=r"x.json, image 1: the image cannot be read .*Replace the image, or remove it"):
        decode(source(encoded(Image.new("L", (2, 2))), data))


def test_a_decompression_bomb_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"x.json, image 0: the image cannot be read .*decompression bomb"):
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
    with pytest.raises(DataError, match=r"pool: is not a readable pool .*Delete the folder; it is made anew"):
        Pool.load(tmp_path / "pool")


def test_the_hash_tells_images_boxes_and_visibility_apart():
    a, b = pool(1), pool(2)
    seen = Pool.of("real", a.classes, [a.image(0)], [Boxes.of([[0, 0, 1, 2]], [1], [0.5])], ["image 0"])
    assert len({a.hash, b.hash, seen.hash}) == 3
    assert a.hash == pool(1).hash


def test_aligned_pools_mean_the_same_names():
    before = pool(1, 2)
    after = aligned(before, ("dog", "cat"))
    assert after.classes == ("dog", "cat")
    assert [after.classes[i] for i in after.labels] == [before.classes[i] for i in before.labels]
    assert aligned(before, before.classes) is before
    assert aligned(pool(), ("dog", "cat")).labels.dtype == np.int64
