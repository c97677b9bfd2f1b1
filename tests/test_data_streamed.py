"""A streamed pool is the pool that it would be in memory, without its pixels."""

import io
import os
import pickle
import tracemalloc
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_detections import TINY
from PIL import ExifTags, Image

from syndet_ray import Mix, Recipe, Training
from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images import picture
from syndet_ray.data.images.encoded import PartOfFile
from syndet_ray.data.pool import Pool, align_labels
from syndet_ray.data.record import Record, Source
from syndet_ray.data.splits.copies import copies, copies_within
from syndet_ray.data.streamed import ChangedPhoto, check_files
from syndet_ray.deploy.finder import Finder
from syndet_ray.detection.train import Trainer
from syndet_ray.errors import DataError, MachineError


def padded(content, length):
    """An image with bytes after its end, as no reader of images minds."""
    assert len(content) <= length
    return content + bytes(length - len(content))


def photo(seed, form="JPEG", orientation=1, side=64):
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((side * 4 // 3, side))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = io.BytesIO()
    image.save(file, form, exif=exif)
    return file.getvalue()


@pytest.fixture
def photos(tmp_path):
    """Photos of several formats and both frames: bytes, files, and parts of one file."""
    together = tmp_path / "together"
    records, start = [], 0
    for i in range(9):
        content = photo(i, ("JPEG", "PNG", "WEBP")[i % 3], orientation=6 if i % 2 else 1)
        if i < 3:
            image = content
        elif i < 6:
            image = tmp_path / f"{i}"
            image.write_bytes(content)
        else:
            image = PartOfFile(file=together, start=start, length=len(content))
            with together.open("ab") as file:
                start += file.write(content)
        width, height = picture.header(content, "x").shown_wh
        boxes = Boxes.of([[1, 2, width / 2, height]] * (i % 3), [1] * (i % 3), [0.5] * (i % 3))
        record = Record(
            image_id=f"{i}", image=image, size_wh=(width, height), boxes=boxes, place=f"image {i}"
        )
        records.append(record)
    return Source(name="real", classes=("cat", "dog"), records=tuple(records))


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    assert ours.hash == theirs.hash
    for i in range(len(theirs)):
        assert np.array_equal(ours.image(i), theirs.image(i))
        assert np.array_equal(ours.boxes(i).xyxy, theirs.boxes(i).xyxy)
    for column in ("sizes_wh", "scales", "image_ids", "digests", "labels"):
        assert np.array_equal(getattr(ours, column), getattr(theirs, column)), column


@pytest.mark.parametrize("working_px", [None, 40, 85, 100])
@pytest.mark.parametrize("kept_share", [0, 0.6, 1])
def test_everything_is_as_in_memory(photos, tmp_path, working_px, kept_share):
    """Sizes: as they are, at less than half, which decodes JPEGs smaller, at their own, larger."""
    theirs = decode(photos, working_px)
    kept_bytes = int(theirs.image_bytes * kept_share)
    ours = decode(photos, working_px, streamed=True, kept_bytes=kept_bytes)
    assert (ours.is_streamed, theirs.is_streamed) == (True, False)
    assert ours.image_bytes == theirs.image_bytes == theirs.pixels.nbytes
    assert_equal(ours, theirs)
    for indices in ([], [4], [8, 0, 3, 3], range(5)):
        few, same = ours.select(indices), theirs.select(indices)
        assert_equal(few, same)
        assert_equal(few.compact(), same)
        assert_equal(pickle.loads(pickle.dumps(few)), same)
    assert ours.compact() is ours
    turned = align_labels(ours, ("dog", "cat"))
    assert_equal(turned, align_labels(theirs, ("dog", "cat")))
    assert not ours.labels_in_photos().is_streamed
    assert np.array_equal(ours.labels_in_photos().xyxy, theirs.labels_in_photos().xyxy)
    ours.select([7, 1]).save(tmp_path / "pool")
    assert_equal(Pool.load(tmp_path / "pool"), theirs.select([7, 1]))


def test_the_first_photos_are_kept_decoded_as_memory_allows_and_sent_without_those_of_others(
    photos,
):
    whole = decode(photos, 40)
    sizes = whole.sizes_wh.prod(axis=1) * 3
    kept_bytes = int(sizes[:4].sum())
    ours = decode(photos, 40, streamed=True, kept_bytes=kept_bytes)
    less = decode(photos, 40, streamed=True, kept_bytes=kept_bytes - 1)
    assert [pool.pixels.decoded.size for pool in (ours, less)] == [kept_bytes, sizes[:3].sum()]
    for record in photos.records[3:]:
        Path(getattr(record.image, "file", record.image)).unlink(missing_ok=True)
    assert np.array_equal(ours.image(3), whole.image(3))  # its file is not needed
    with pytest.raises(MachineError, match="4: cannot be read here"):
        ours.image(4)
    in_order = ours.select([1, 2, 5]).compact().pixels
    assert np.shares_memory(in_order.decoded, ours.pixels.decoded)
    for indices in ([1, 2, 5], [3, 0, 6], [7, 5]):
        sent = pickle.loads(pickle.dumps(ours.select(indices)))
        kept = [i for i in indices if i < 4]
        assert sent.pixels.decoded.size == sizes[kept].sum()
        for position, i in enumerate(indices):
            if i in kept:
                assert np.array_equal(sent.image(position), whole.image(i))


def test_opencv_decodes_the_jpegs_that_it_decodes_as_pillow_does(photos, monkeypatch):
    assert decode(photos, 40, streamed=True).pixels.by_opencv.tolist() == [True, False, False] * 3
    imdecode = cv2.imdecode

    def slightly_other(content, flags):
        rgb = imdecode(content, flags)
        rgb[0, 0, 0] ^= 255
        return rgb

    monkeypatch.setattr(cv2, "imdecode", slightly_other)
    streamed, whole = (decode(photos, None, streamed=streamed) for streamed in (True, False))
    assert not streamed.pixels.by_opencv.any()
    assert_equal(streamed, whole)
    monkeypatch.undo()
    for seldom in ({"often": False}, {"kept_bytes": whole.image_bytes}):
        assert not decode(photos, None, streamed=True, **seldom).pixels.by_opencv.any()


def test_a_selection_that_is_sent_has_no_images_and_no_files_of_others(photos):
    whole = decode(photos, streamed=True)
    sent = pickle.loads(pickle.dumps(whole.select([1, 4]))).pixels
    assert [Path(file).name for file, _ in sent.files] == ["4"]
    assert sent.in_memory.tobytes() == photos.records[1].image


def test_copies_are_found_as_in_memory(photos):
    ours, theirs = (decode(photos, streamed=streamed) for streamed in (True, False))
    again = [0, 4, 7]
    found = copies(ours.select(again), [ours])
    assert found == copies(theirs.select(again), [theirs])
    assert [copy.original for copy in found] == again


def test_a_search_for_copies_decodes_a_photo_once_for_looks_and_once_to_compare(
    photos, monkeypatch
):
    pool = decode(photos, streamed=True)
    again = pool.select([0, 4, 7])
    decoded = []
    image = Pool.image

    def counting_image(self, i):
        decoded.append((id(self), i))
        return image(self, i)

    monkeypatch.setattr(Pool, "image", counting_image)
    assert len(copies(again, [pool])) == 3
    assert max(Counter(decoded).values()) <= 2
    decoded.clear()
    copies_within(pool)
    assert max(Counter(decoded).values()) <= 2


def test_iteration_takes_the_memory_of_an_image_and_not_of_the_set(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(photo(1, side=900))
    record = Record(
        image_id="a", image=path, size_wh=(1200, 900), boxes=Boxes.none(), place="large.jpg"
    )
    records = tuple(replace(record, image_id=str(i)) for i in range(20))
    whole = Source(name="real", classes=("cat",), records=records)
    tracemalloc.start()
    pool = decode(whole, 900, streamed=True)
    for i in range(len(pool)):
        pool.image(i)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pool.image_bytes / 2


def test_damaged_photos_are_named_by_their_record_before_anything_is_trained(photos):
    broken = replace(photos.records[4], image=photos.records[4].image.with_name("broken"))
    broken.image.write_bytes(photo(4)[:400])
    source = replace(photos, records=(*photos.records[:4], broken))
    with pytest.raises(DataError, match="image 4: the image cannot be read"):
        decode(source, 40, streamed=True)


def test_files_that_go_or_change_are_named(photos):
    whole = decode(photos, 40, streamed=True)
    check_files(whole.pixels.files)
    gone, other = photos.records[4].image, photos.records[6].image.file
    gone.unlink()
    with pytest.raises(MachineError, match=r"4: cannot be read here \(No such file.*every node"):
        whole.image(4)
    with pytest.raises(MachineError, match="4: cannot be read here"):
        check_files(whole.pixels.files)
    other.write_bytes(b"short")
    sent = pickle.loads(pickle.dumps(whole.select([6, 7])))  # it knows the files of before
    for pool, i in ((whole, 6), (whole, 7), (sent, 0), (sent, 1)):
        with pytest.raises(
            ChangedPhoto, match="together: has changed since the photos were checked"
        ):
            pool.image(i)
    with pytest.raises(DataError, match="together: is another file than on the driver, got '5 by"):
        check_files(whole.pixels.files[-1:])


def test_a_photo_replaced_by_one_of_equal_length_is_noticed_and_one_that_is_touched_is_not(photos):
    """The other photo is a sound one, with the time of the first; parts of a file likewise."""
    whole = decode(photos, 40, streamed=True)
    in_memory = decode(photos, 40)
    file, part = photos.records[3].image, photos.records[7].image
    for path in (file, part.file):
        os.utime(path, (1, 1))  # a copy on another node has another time
    for i in range(len(whole)):
        assert np.array_equal(whole.image(i), in_memory.image(i))
    content = file.read_bytes()
    file.write_bytes(padded(photo(30), len(content)))
    os.utime(file, (1, 1))
    together = part.file.read_bytes()
    other = padded(photo(31, "PNG", side=40), part.length)
    end = part.start + part.length
    part.file.write_bytes(together[: part.start] + other + together[end:])
    picture.pixels(file, "x"), picture.pixels(part, "x")  # neither is damaged
    sent = pickle.loads(pickle.dumps(whole.select([3, 7])))
    for pool, i, name in (
        (whole, 3, "3"),
        (sent, 0, "3"),
        (whole, 7, "together"),
        (sent, 1, "toge"),
    ):
        with pytest.raises(
            ChangedPhoto, match=f"{name}.*: has changed since the photos were checked"
        ):
            pool.image(i)
    assert np.array_equal(whole.image(8), in_memory.image(8))  # its part is as it was
    file.write_bytes(content)
    assert np.array_equal(whole.image(3), in_memory.image(3))


def test_threads_and_processes_read_at_once(photos):
    pool = decode(photos, 40, streamed=True)
    whole = decode(photos, 40)
    expected = [whole.image(i) for i in range(len(whole))]
    indices = [*range(len(whole))] * 4
    with ThreadPoolExecutor(4) as threads:
        images = list(threads.map(pool.image, indices))
    assert all(map(np.array_equal, images, expected * 4))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        images = list(processes.map(pool.image, indices))
    assert all(map(np.array_equal, images, expected * 4))


def test_a_saved_model_streams_what_does_not_fit_into_memory(photos, monkeypatch):
    finder = Finder(
        model=torch.nn.Identity(),
        classes=photos.classes,
        working_px=40,
        device=torch.device("cpu"),
    )
    assert not finder.decode(photos).is_streamed
    monkeypatch.setattr("syndet_ray.data.memory.available_bytes", lambda: 10_000)
    assert_equal(finder.decode(photos), decode(photos, 40))
    assert finder.decode(photos).is_streamed


def test_training_is_the_same_to_the_last_bit(photos):
    labelled = tuple(
        replace(record, boxes=Boxes.of([[4, 4, 40, 40]], [0])) for record in photos.records
    )
    recipe = Recipe(
        mix=Mix(schedule="real_only"),
        detector=TINY,
        training=Training(images=6, batch_size=2, crop_px=64),
    )
    labelled_photos = replace(photos, records=labelled)
    part = decode(labelled_photos, 64).image_bytes // 2
    losses = []
    for streamed, kept_bytes in ((True, part), (False, 0)):
        pool = decode(labelled_photos, 64, streamed=streamed, kept_bytes=kept_bytes)
        trainer = Trainer(recipe, {"real": pool}, device=torch.device("cpu"), seed=3)
        losses.append(trainer.train_until(6).metrics["train/loss"])
    assert losses[0] == losses[1]
