"""Generators from outside: their datasets are read, and their errors are named."""

import json
import os
import select
import sys
from pathlib import Path

import numpy as np
import pytest

from syndet_ray import SceneParameters
from syndet_ray.data.decode import decode
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.scenes.command import program_of, render_by_command, run_command
from syndet_ray.scenes.generate import scene_hash

EXAMPLE = Path(__file__).parents[1] / "benchmarks" / "command_generator.py"
PARAMETERS = {"objects": 3, "image_px": 64, "size_px": [10, 16]}
# A correct dataset of one image, which tests break in one place: argument 2 is --request's value.
WRITES = """
import json, pathlib, sys
from PIL import Image
request = json.loads(pathlib.Path(sys.argv[2]).read_text())
out = pathlib.Path(request["out"])
Image.new("RGB", (40, 20)).save(out / "0.png")
box = {"id": 5, "image_id": 0, "category_id": 1, "bbox": BOX}
content = {"images": [{"id": 0, "file_name": "0.png"}], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
(out / "instances.json").write_text(json.dumps(content))
print("my camera is at 1 2 3")
"""


def run(code, out, count=1, limit_s=60):
    """Runs Python code as a generator."""
    return run_command([sys.executable, "-c", code], PARAMETERS, count, 7, out, limit_s=limit_s)


def ended(out):
    return json.loads((out / "result.json").read_text())["exit"]


def test_the_example_program_follows_the_protocol(tmp_path):
    program = [sys.executable, str(EXAMPLE)]
    first = run_command(program, PARAMETERS, 3, 7, tmp_path / "a", limit_s=60)
    assert (first.name, first.synthetic, len(first)) == ("synthetic", True, 3)
    assert first.classes == ("one", "two", "three", "four", "five", "six")
    assert [record.image_id for record in first.records] == [
        "000000.png",
        "000001.png",
        "000002.png",
    ]
    assert all(len(record.boxes) == 3 for record in first.records)
    visibility = np.concatenate([record.boxes.visibility for record in first.records])
    assert visibility.min() >= 0
    assert visibility.max() == 1
    assert json.loads((tmp_path / "a/request.json").read_text()) == {
        "parameters": PARAMETERS,
        "count": 3,
        "seed": 7,
        "out": str(tmp_path / "a/data"),
    }
    assert (tmp_path / "a/log.txt").read_text() == "3 images written\n"
    assert ended(tmp_path / "a") == 0
    again = run_command(program, PARAMETERS, 3, 7, tmp_path / "b", limit_s=60)
    assert decode(again).hash == decode(first).hash
    other = run_command(program, PARAMETERS, 3, 8, tmp_path / "b", limit_s=60)
    assert decode(other).hash != decode(first).hash


def test_a_set_is_rendered_from_scene_parameters(tmp_path):
    generator = f"command:{sys.executable} '{EXAMPLE}'"
    parameters = SceneParameters(generator=generator, objects=4, image_px=64, size_px=(10, 16))
    pool = render_by_command(parameters, 2, 0, tmp_path / "out")
    assert (len(pool), pool.synthetic, pool.box_counts.tolist()) == (2, True, [4, 4])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "log.txt",
        "request.json",
        "result.json",
    ]


def test_a_program_is_split_as_a_shell_would_but_never_run_by_one():
    assert program_of("command:blender -b 'my scene.py'") == ["blender", "-b", "my scene.py"]
    assert program_of("command:echo $HOME; rm x") == ["echo", "$HOME;", "rm", "x"]
    for generator, message in (
        ("command: ", "must name a program"),
        ("command:a 'b", "cannot be split"),
    ):
        with pytest.raises(DefinitionError, match=message):
            program_of(generator)


@pytest.mark.parametrize(
    ("name", "words"),
    [("scene.yaml", "true --config={file} --depth=3"), ("gen/model.py", "python {folder}/gen")],
    ids=["the file of an option", "a module of a folder that Python runs"],
)
def test_scenes_are_made_again_if_a_file_of_their_program_has_changed(tmp_path, name, words):
    (tmp_path / "gen").mkdir()
    (tmp_path / "gen" / "__main__.py").write_text("")
    file = tmp_path / name
    generator = f"command:{words.format(file=file, folder=tmp_path)}"
    scene = SceneParameters(generator=generator)
    hashes = []
    for text in ("a", "b", "a"):
        file.write_text(text)
        hashes.append(scene_hash(scene, 1, 0))
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(
        MachineError, match=r"generator no-such-program -x: cannot be started \(No such file"
    ):
        run_command(["no-such-program", "-x"], PARAMETERS, 1, 0, tmp_path, limit_s=60)
    (tmp_path / "text").write_text("no program")
    with pytest.raises(MachineError, match="Permission denied"):
        run_command([str(tmp_path / "text")], PARAMETERS, 1, 0, tmp_path, limit_s=60)


def test_a_program_that_fails_is_quoted(tmp_path):
    with pytest.raises(
        MachineError, match=r"must end with exit code 0, got 3. It printed: line 5 \| .* \| line 9 "
    ):
        run("[print('line', i) for i in range(10)]; raise SystemExit(3)", tmp_path)
    assert ended(tmp_path) == 3
    assert (tmp_path / "log.txt").read_text().startswith("line 0\n")


def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    # The grandchild holds the pipe open: it ends for us when the last of them is gone.
    hang = f"exec 3>{tmp_path}/pipe; echo started; sleep 1000 & wait"
    with pytest.raises(
        MachineError, match=r"must end within 0.5 s and was stopped. It printed: started"
    ):
        run_command(["sh", "-c", hang], PARAMETERS, 1, 0, tmp_path / "out", limit_s=0.5)
    assert ended(tmp_path / "out") is None
    readable, _, _ = select.select([reading], [], [], 10)
    assert readable
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_nothing_is_read_from_the_terminal(tmp_path):
    with pytest.raises(MachineError, match="EOFError"):
        run("input()", tmp_path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('done')", r"must write a dataset into .*/data and wrote nothing. It printed: done"),
        ("pass", "It printed nothing"),
        (
            WRITES.replace("BOX", "[50, 2, 5, 5]"),
            r"annotation 5: a box must reach into its image.*my camera",
        ),
        (
            WRITES.replace("BOX", "[30, 2, 15, 5]"),
            r"must write boxes that lie within their images, got 'train: 1 box",
        ),
        (WRITES.replace("BOX", "[3, 2, 0, 5]"), "annotation 5: a box must have an area"),
        (
            WRITES.replace("BOX", "[1, 2, float('nan'), 4]"),
            "annotation 5: bbox must be four numbers.*my camera",
        ),
        (
            WRITES.replace("BOX", "[1, 2, float('inf'), 4]"),
            "annotation 5: bbox must be four numbers.*my camera",
        ),
        (WRITES.replace("BOX", "'x'"), "annotation 5: bbox must be four numbers"),
        (
            WRITES.replace("BOX", "[1, 2, 3, 4]"),
            "must write 2 images, got 1.*my camera is at 1 2 3",
        ),
    ],
)
def test_what_a_program_writes_wrong_is_named(code, message, tmp_path):
    with pytest.raises((DataError, MachineError), match=message):
        run(code, tmp_path, count=2)
    assert (tmp_path / "log.txt").exists()


def test_a_second_attempt_sees_nothing_of_the_first(tmp_path):
    good = WRITES.replace("BOX", "[1, 2, 3, 4]")
    with pytest.raises(MachineError):
        run(f"{good}\n(out / 'broken.json').write_text('[')\nraise SystemExit(1)", tmp_path)
    assert (tmp_path / "data/broken.json").exists()
    source = run(good, tmp_path)
    assert source.records[0].boxes.xyxy.tolist() == [[1, 2, 4, 6]]
    assert not (tmp_path / "data/broken.json").exists()


def test_images_beyond_those_asked_for_are_left_out(tmp_path):
    code = WRITES.replace("BOX", "[1, 2, 3, 4]").replace(
        '[{"id": 0, "file_name": "0.png"}]', "images"
    )
    more = "images = [{'id': i, 'file_name': f'{i}.png'} for i in (1, 0)]\nImage.new('RGB', (9, 9)).save(out / '1.png')"
    source = run(code.replace("box =", f"{more}\nbox ="), tmp_path, count=1)
    assert [record.image_id for record in source.records] == ["0.png"]
