"""Copies of a photo are known again however they were saved; other photos of the same things are
not taken for them.
"""

import io

import numpy as np
import pytest
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images import picture
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import working_scale
from syndet_ray.data.splits.copies import Copy, copies
from syndet_ray.data.splits.split import refuse_copies
from syndet_ray.data.stand_in import stand_in
from syndet_ray.errors import DataError

SAVED = {
    "JPEG of quality 92": lambda photo: encoded(photo, "JPEG", quality=92),
    "PNG": lambda photo: encoded(photo, "PNG"),
    "PNG of half the size": lambda photo: encoded(
        photo.resize((photo.width // 2, photo.height // 2)), "PNG"
    ),
    "JPEG of a third": lambda photo: encoded(
        photo.resize((photo.width // 3, photo.height // 3)), "JPEG", quality=85
    ),
    "JPEG stretched to a square": lambda photo: encoded(
        photo.resize((416, 416)), "JPEG", quality=90
    ),
    "WebP, a tenth brighter": lambda photo: encoded(
        photo.point(lambda level: min(level * 1.1, 255)), "WEBP", quality=90
    ),
}


def encoded(photo, form, **options):
    file = io.BytesIO()
    photo.save(file, form, **options)
    return file.getvalue()


def source(*images, name="real"):
    records = (
        Record(
            image_id=f"{name} {i}",
            image=data,
            size_wh=picture.header(data, "x").shown_wh,
            boxes=Boxes.none(),
            place="x",
        )
        for i, data in enumerate(images)
    )
    return Source(name=name, classes=("a",), records=tuple(records))


def photos(count, size_wh=(480, 360), seed=0):
    """Pictures with detail of every size: noise at five scales, one over the other."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        levels = np.zeros((size_wh[1], size_wh[0], 3))
        for cells in (4, 9, 20, 45, 100):
            noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8)).resize(
                size_wh, Image.Resampling.BICUBIC
            )
            levels += np.asarray(noise) / 5
        made.append(Image.fromarray(levels.astype(np.uint8)))
    return made


def pool_of(*arrays):
    return Pool.of(
        "real", ("a",), arrays, [Boxes.none()] * len(arrays), [str(i) for i in range(len(arrays))]
    )


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
@pytest.mark.parametrize("working_px", [240, 480, 640])
def test_a_photo_is_known_again_however_it_was_saved(save, working_px):
    originals = photos(6)
    kept = decode(source(*[encoded(photo, "JPEG", quality=95) for photo in originals]), working_px)
    other = decode(source(encoded(photos(1, seed=1)[0], "PNG"), save(originals[4])), working_px)
    (found,) = copies(other, [kept.select([0, 1]), kept.select([2, 3, 4, 5])])
    assert (found.image, found.part, found.original) == (1, 1, 2)


@pytest.mark.parametrize("how", list(SAVED)[:3])
@pytest.mark.parametrize("name", ["d6_dice", "chess", "stand-in"])
def test_real_photos_are_known_again_and_their_neighbours_are_not_taken_for_them(shared, name, how):
    """Both sets hold photos that were taken from one place, of dice thrown again and of a board
    with a piece moved.
    """
    dataset = stand_in() if name == "stand-in" else read(shared(f"data/{name}"))
    train = dataset.splits["train"]
    working_px = working_scale(train.records, "auto", "auto", name).longest_px
    chosen = list(range(0, len(train), 25))
    shown = [Image.fromarray(picture.pixels(train.records[i].image, "x")) for i in chosen]
    saved = decode(source(*[SAVED[how](photo) for photo in shown]), working_px)
    found = copies(saved, [decode(train, working_px)])
    assert [(copy.image, copy.original) for copy in found] == list(enumerate(chosen))


@pytest.mark.parametrize("name", ["d6_dice", "chess", "stand-in"])
def test_no_real_photo_of_one_split_is_taken_for_one_of_another(shared, name):
    dataset = stand_in() if name == "stand-in" else read(shared(f"data/{name}"))
    working_px = working_scale(dataset.splits["train"].records, "auto", "auto", name).longest_px
    pools = {split: decode(source, working_px) for split, source in dataset.splits.items()}
    assert copies(pools.pop("train"), list(pools.values())) == []


def test_an_object_that_has_moved_makes_another_photo():
    (ground,) = photos(1)
    here, there = np.array(ground), np.array(ground)
    here[100:140, 100:140] = 255
    there[100:140, 150:190] = 255
    again = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(here), "JPEG", quality=92))))
    assert copies(pool_of(there, again), [pool_of(here)]) == [
        Copy(image=1, part=0, original=0, exact=False)
    ]


def test_a_fainter_object_in_the_same_place_makes_another_photo():
    (ground,) = photos(1)
    bright, faint = np.array(ground), np.array(ground)
    bright[100:140, 100:140], faint[100:140, 100:140] = 255, 170
    assert copies(pool_of(faint), [pool_of(bright)]) == []


def test_of_blank_pictures_only_exact_copies_are_known_again():
    black, grey = (np.full((60, 80, 3), level, np.uint8) for level in (0, 90))
    other = pool_of(np.full((60, 80, 3), 91, np.uint8), grey)
    assert copies(other, [pool_of(black), pool_of(black, grey)]) == [
        Copy(image=1, part=1, original=1, exact=True)
    ]


def test_empty_pools_have_no_copies():
    (photo,) = (np.asarray(photo) for photo in photos(1))
    assert (
        copies(pool_of(), [pool_of(photo)]) == copies(pool_of(photo), [pool_of(), pool_of()]) == []
    )
    assert copies(pool_of(photo), []) == []


@pytest.fixture
def scored():
    """Photos that are to be scored, two of val and two of test, as they are and as pools; and two
    photos of others.
    """
    ours, theirs = photos(4), photos(2, seed=1)
    pools = {
        "val": decode(
            source(*[encoded(photo, "JPEG", quality=95) for photo in ours[:2]], name="val"), 320
        ),
        "test": decode(source(*[encoded(photo, "PNG") for photo in ours[2:]], name="test"), 320),
    }
    return ours, theirs, pools


def refused(pools, *saved, name="their", allowed=False):
    return refuse_copies(decode(source(*saved, name=name), 320), pools, "theirs", allowed=allowed)


def test_a_copy_of_a_photo_that_is_to_be_scored_is_named_with_its_original(scored):
    ours, theirs, pools = scored
    assert refused(pools, *[encoded(photo, "PNG") for photo in theirs]) == []
    half = ours[1].resize((240, 180))
    said = "theirs: image 'their 1' is also 'val 1' of val, saved again or at another size. Keep each .* `allow_near_copies`"
    with pytest.raises(DataError, match=said):
        refused(pools, encoded(theirs[0], "PNG"), encoded(half, "PNG"))
    more = [
        encoded(photo, "JPEG", quality=92)
        for photo in (ours[2], ours[0], ours[1], ours[3], ours[3])
    ]
    with pytest.raises(
        DataError, match=r"'their 2' is also 'val 1' of val, .* size; and so are 2 more"
    ):
        refused(pools, *more)


def test_near_copies_may_be_allowed_and_are_then_returned(scored):
    ours, theirs, pools = scored
    near, exact = encoded(ours[1], "JPEG", quality=92), encoded(ours[3], "PNG")
    (photo,) = refused(pools, near, encoded(theirs[0], "PNG"), allowed=True)
    assert str(photo) == "image 'their 0' is also 'val 1' of val, saved again or at another size"
    assert refused(pools, encoded(theirs[0], "PNG"), allowed=True) == []
    with pytest.raises(
        DataError, match=r"theirs: image 'their 1' is also 'test 1' of test, by its pixels. Keep"
    ) as error:
        refused(pools, near, exact, allowed=True)
    assert "`allow_near_copies`" not in str(error.value), "nothing lets these pass"


def test_what_roboflow_made_of_one_photo_is_known_by_its_name():
    """Turned, an image looks like no other."""
    first, second = (np.asarray(photo) for photo in photos(2))
    boxes = [Boxes.none()]
    test = Pool.of("real", ("a",), [first], boxes, ["test/IMG_1_jpg.rf.0a1b.jpg"])
    train = Pool.of(
        "real",
        ("a",),
        [np.rot90(first), second],
        boxes * 2,
        ["IMG_1_jpg.rf.2c3d.jpg", "IMG_2_jpg.rf.4e.jpg"],
    )
    with pytest.raises(
        DataError,
        match=r"'IMG_1_jpg.rf.2c3d.jpg' is also 'test/IMG_1_jpg.rf.0a1b.jpg' of test, made of",
    ):
        refuse_copies(train, {"test": test}, "theirs")
    (photo,) = refuse_copies(train, {"test": test}, "theirs", allowed=True)
    assert str(photo).endswith("made of the same photo by its name")
    assert refuse_copies(train.select([1]), {"test": test}, "theirs") == []
    assert refuse_copies(train, {"test": test}, "theirs", of_one_dataset=False) == [], (
        "two projects have an IMG_1 each"
    )


def test_progress_is_reported_to_its_end(scored):
    _, theirs, pools = scored
    told = []
    pool = decode(source(*[encoded(photo, "PNG") for photo in theirs]), 320)
    copies(pool, list(pools.values()), lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
