"""The compression of photos is read from their headers, and counts at the size of training."""

import io
from dataclasses import replace

import numpy as np
import pytest
from made_photos import write_photos
from PIL import Image

from syndet_ray.data.images import picture
from syndet_ray.data.read import read
from syndet_ray.inspection.jpeg_match import match_jpeg, quality_of

PIXELS = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)


def encoded(image_format, **options):
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, image_format, **options)
    return content.getvalue()


@pytest.fixture
def photos(tmp_path):
    return read(write_photos(tmp_path, train=[1, 2, 3, 4])).splits["train"]


def stored_as(photos, image_format, **options):
    """The same photos, stored in another way."""
    content = encoded(image_format, **options)
    return replace(photos, records=tuple(replace(r, image=content) for r in photos.records))


@pytest.mark.parametrize("quality", [20, 30, 49, 50, 75, 80, 95, 98, 100])
def test_the_quality_of_a_jpeg_file_is_read_from_its_steps(quality):
    steps = picture.quantization(encoded("JPEG", quality=quality), "photo")
    assert quality_of(steps) == quality


def test_steps_of_a_camera_have_the_nearest_quality():
    assert quality_of([4] * 64) == 97


def test_photos_of_their_own_size_are_compressed_as_they_are(photos):
    match = match_jpeg(stored_as(photos, "JPEG", quality=64), np.ones(4), 0)
    assert (match.jpegs, match.quality, match.at_size) == (4, 64, 64)
    # scenes have from quality 98 down to 98 - 68 * strength: 64 on average
    assert match.strength == 1.0


def test_less_is_left_of_it_in_smaller_photos_and_not_more_in_larger_ones(photos):
    jpegs = stored_as(photos, "JPEG", quality=80)
    assert match_jpeg(jpegs, np.full(4, 0.5), 0).at_size == pytest.approx(97.5)
    assert match_jpeg(jpegs, np.full(4, 0.3), 0).strength == 0
    assert match_jpeg(jpegs, np.full(4, 2.0), 0).at_size == 80


def test_other_formats_were_never_compressed(photos):
    match = match_jpeg(stored_as(photos, "PNG"), np.ones(4), 0)
    assert (match.jpegs, match.quality, match.strength) == (0, None, 0)
