"""Command: scenes from any program that reads a request and writes a dataset in a known format.

The program is started as PROGRAM ARG... --request OUT/request.json. The request holds

    parameters  the scene parameters
    count       images to make
    seed        equal requests should give equal images
    out         an empty folder for the dataset, COCO with its images for instance

and the program ends with exit code 0. Boxes lie within their images. Its output is kept in
OUT/log.txt, its exit code and duration in OUT/result.json.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from syndet_ray.data.decode import decode
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.data.record import Source
from syndet_ray.definitions.program import files_of as named_files
from syndet_ray.definitions.program import words_of
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError, MachineError
from syndet_ray.files import last_lines

_SETTING = "scene.generator"


def program_of(generator: str) -> list[str]:
    """The program and its arguments of a generator; raises DefinitionError as `words_of` does."""
    return words_of(generator, _SETTING)


def files_of(generator: str) -> list[str]:
    """The files that a generator's program and arguments name; none for our own renderers."""
    return named_files(generator, _SETTING)


def limit_s(count: int) -> int:
    """Seconds that a program may take for `count` images.

    Path tracers need seconds for an image, and a Unity build a minute to start.
    """
    return 240 + 30 * count


def render_by_command(parameters: SceneParameters, count: int, seed: int, out: Path) -> Pool:
    """The pool that the program of `parameters.generator` makes; `out` keeps its log. Raises as
    `run_command` does, and DataError for images of another size than `scene.image_px`.
    """
    settings = parameters.settle().model_dump(mode="json")
    program = program_of(parameters.generator)
    source = run_command(program, settings, count, seed, out, limit_s=limit_s(count))
    _check_sizes(source, parameters, _place(program))
    pool = decode(source)
    shutil.rmtree(out / "data")  # the pool holds all of it; that of a failed attempt is kept
    return pool


def run_command(
    program: Sequence[str],
    parameters: Mapping[str, Any],
    count: int,
    seed: int,
    out: Path,
    *,
    limit_s: float,
) -> Source:
    """Runs a program for `count` images and reads the dataset that it wrote. The output of earlier
    attempts in `out` is replaced.

    Image ids are paths within the dataset. Raises MachineError if the program cannot be started,
    fails or takes longer than `limit_s` seconds, and DataError if it wrote no dataset, too few
    images, or boxes outside its images.
    """
    root = out.resolve()
    data, request, log = root / "data", root / "request.json", root / "log.txt"
    shutil.rmtree(data, ignore_errors=True)
    (out / "result.json").unlink(missing_ok=True)
    data.mkdir(parents=True)
    content = {"parameters": dict(parameters), "count": count, "seed": seed, "out": str(data)}
    request.write_text(json.dumps(content, indent=1), encoding="utf-8")
    started = time.monotonic()
    code = _run([*program, "--request", str(request)], log, limit_s)
    seconds = round(time.monotonic() - started, 1)
    result = {"program": list(program), "exit": code, "seconds": seconds}
    (out / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    place = _place(program)
    if code is None:
        rule = f"must end within {limit_s:g} s and was stopped"
        raise MachineError(place, rule, do=_last_lines(log))
    if code != 0:
        raise MachineError(place, "must end with exit code 0", got=code, do=_last_lines(log))
    return _dataset(place, data, count, log)


def _run(arguments: Sequence[str], log: Path, limit_s: float) -> int | None:
    """Runs a program to its end and leaves none of its processes behind. Returns the exit code,
    None after the time limit.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, which is ended as one
            )
        except OSError as error:
            rule = f"cannot be started ({error.strerror})"
            do = "Correct scene.generator, or install it."
            raise MachineError(_place(arguments[:-2]), rule, do=do) from None
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _dataset(place: str, data: Path, count: int, log: Path) -> Source:
    """The first `count` images of the dataset that a program wrote, of all its splits together."""
    if not data.is_dir() or not any(data.iterdir()):
        rule = f"must write a dataset into {data} and wrote nothing"
        raise DataError(place, rule, do=_last_lines(log))
    try:
        dataset = read(data)
    except DataError as error:
        do = f"{error.do} {_last_lines(log)}".strip()
        raise DataError(error.place, error.rule, got=error.got, do=do) from None
    clipped = [note for note in dataset.notes if "clipped" in note]
    # People's boxes are corrected; a program with boxes outside its images has an error.
    if clipped:
        rule = "must write boxes that lie within their images"
        raise DataError(place, rule, got=clipped[0], do=_last_lines(log))
    records = list(chain.from_iterable(source.records for source in dataset.splits.values()))
    if len(records) < count:
        raise DataError(place, f"must write {count} images", got=len(records), do=_last_lines(log))
    return Source(
        name="synthetic", classes=dataset.classes, records=tuple(records[:count]), synthetic=True
    )


def _check_sizes(source: Source, parameters: SceneParameters, place: str) -> None:
    """Raises DataError unless the longer side of all images is that of the scenes.

    Sizes of objects are asked for in pixels of such an image.
    """
    for record in source.records:
        width, height = record.size_wh
        if max(width, height) != parameters.side_px:
            rule = f"must write images whose longer side is scene.image_px, {parameters.side_px} px"
            do = f"Correct the generator, or ask for its size: scene.image_px={max(width, height)}."
            raise DataError(place, rule, got=f"{width} x {height} ({record.image_id})", do=do)


def _place(program: Sequence[str]) -> str:
    return f"generator {shlex.join(program)}"


def _last_lines(log: Path) -> str:
    """The end of what a program printed, and the path of the whole log."""
    printed = last_lines(log)
    if not printed:
        return f"It printed nothing ({log})."
    return f"It printed: {printed} (all of it in {log})"
