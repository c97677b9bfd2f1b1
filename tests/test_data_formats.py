"""Every format, written by hand as its tools write it, is recognised and gives the same records."""

import contextlib
import math
import random
from pathlib import Path

import pytest
from format_samples import PICTURES, SAMPLES

from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.read import FORMATS, read
from syndet_ray.errors import SyndetError


def records_of(dataset):
    """Boxes by size of the image, which differs between all pictures."""
    records = [record for source in dataset.splits.values() for record in source.records]
    found = {}
    for record in records:
        boxes = record.boxes
        names = [dataset.classes[label] for label in boxes.labels]
        visibility = [None if math.isnan(v) else round(float(v), 4) for v in boxes.visibility]
        rows = zip(names, boxes.xyxy.round(3).tolist(), visibility, strict=True)
        found[tuple(int(side) for side in record.size_wh)] = sorted(rows, key=str)
    assert len(found) == len(records)
    return found


def expected_of(sample):
    expected = {}
    for picture in PICTURES:
        rows = []
        for name, x1, y1, x2, y2, visibility in picture.boxes:
            seen = visibility if sample.visibility else None
            rows.append((sample.names.get(name, name), [x1, y1, x2, y2], seen))
        expected[picture.wh] = sorted(rows, key=str)
    return expected


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_gives_the_same_records(tmp_path, name):
    sample = SAMPLES[name]
    sample.write(tmp_path)
    dataset = read(tmp_path)
    assert dataset.format == sample.format
    assert records_of(dataset) == expected_of(sample)
    assert list(dataset.splits) == ["train"]
    assert records_of(read(tmp_path, LabelOptions(format=sample.format))) == records_of(dataset)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_other_reader_takes_the_folder(tmp_path, name):
    sample = SAMPLES[name]
    sample.write(tmp_path)
    takers = [kind for kind, reader in FORMATS.items() if reader.files(tmp_path)]
    assert takers == [sample.format]


NASTY = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"9" * 400,
    b"-1e999",
    b"NaN",
    b'"' + b"x" * 5000 + b'"',
    b"[" * 100_000,
    b"<a>" * 100_000,
    b"null",
    b"{}",
    b"[]",
    b'"../../x.jpg"',
    b"/etc/passwd",
    b"true",
]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a part cut, replaced, repeated, or one number or word made nasty."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice([0, 1, 2, 8, 40, 10_000]))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:start] + data[end:]
    if kind == 1:
        return data[:start] + data[start:end] * 2 + data[end:]
    if kind == 2:
        return data[:start] + rng.randbytes(end - start) + data[end:]
    words = data.replace(b",", b" , ").replace(b":", b" : ").replace(b"=", b"= ").split(b" ")
    words[rng.randrange(len(words))] = rng.choice(NASTY)
    return b" ".join(words)


def label_files(folder: Path, sample) -> list[Path]:
    return [path for path in sorted(folder.rglob(sample.labels)) if path.is_file()]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("seed", range(40))
def test_damaged_labels_are_read_or_refused(tmp_path, name, seed):
    sample, rng = SAMPLES[name], random.Random(f"{name} {seed}")
    sample.write(tmp_path)
    path = rng.choice(label_files(tmp_path, sample))
    path.write_bytes(damaged(path.read_bytes(), rng))
    for skip_bad in (False, True):
        try:
            read(tmp_path, LabelOptions(format=sample.format, skip_bad=skip_bad))
        except SyndetError as error:
            assert len(str(error)) < 10_000
    with contextlib.suppress(SyndetError):
        read(tmp_path)
