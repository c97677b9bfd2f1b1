"""JSON files too large for the memory of this machine are refused before they are read."""

import json
import tracemalloc

import pytest

from syndet_ray.data.readers import json_file
from syndet_ray.data.readers.json_file import json_or_none, load_json, memory_of_json
from syndet_ray.errors import DataError

ANNOTATION = {"id": 7, "image_id": 3, "bbox": [10.25, 20.5, 30.75, 40.5], "segmentation": []}
FILES = {
    "annotations": [ANNOTATION | {"id": i} for i in range(2000)],
    "outlines": [ANNOTATION | {"segmentation": [[i + 0.1 for i in range(40)]]}] * 400,
    "lists": [[1]] * 20_000,
    "objects": [{"a": 1}] * 10_000,
    "numbers": [0.5] * 30_000,
    "names": [f"img_{i}.jpg" for i in range(20_000)],
    "far away": [f"{i} \U0001f3b2" for i in range(10_000)],
}


@pytest.mark.parametrize("name", FILES)
def test_the_memory_of_a_file_is_known_before_it_is_read(tmp_path, name):
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(FILES[name], ensure_ascii=False), encoding="utf-8")
    tracemalloc.start()
    content = load_json(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content == FILES[name]
    assert 0.9 * peak < memory_of_json(file) < 2.2 * peak


@pytest.mark.parametrize("reading", [load_json, json_or_none])
def test_a_file_that_memory_does_not_hold_is_refused(tmp_path, monkeypatch, reading):
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(FILES["annotations"]), encoding="utf-8")
    monkeypatch.setattr(json_file, "_SMALL_BYTES", 1000)
    monkeypatch.setattr(json_file, "available_bytes", lambda: 1_000_000)
    with pytest.raises(
        DataError,
        match=r"labels\.json: needs 1 MB of memory to be read, more than 60% of the 1 MB available, "
        r"got 'a file of 169 kB'\. Export it in several parts; or convert it to Parquet where",
    ):
        reading(file)
    monkeypatch.setattr(json_file, "available_bytes", lambda: 1 << 30)
    assert reading(file) == FILES["annotations"]
