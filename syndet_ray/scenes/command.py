"""Command: scenes from any program that reads a request and writes a dataset in a format we read.

The program is started as PROGRAM ARG... --request OUT/request.json. The request holds

    parameters  the scene parameters
    count       images to make
    seed        equal requests should give equal images
    out         an empty folder for the dataset, COCO with its images for instance

and the program ends with exit code 0. Boxes lie within their images. What it prints is kept in
OUT/log.txt, how it ended in OUT/result.json.
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
from pathlib import Path
from typing import Any

from syndet_ray.data.pool import Pool, decode
from syndet_ray.data.read import read
from syndet_ray.data.record import Source
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError, DefinitionError, MachineError

PREFIX = "command:"
_LAST_LINES, _LAST_BYTES = 5, 4000


def program_of(generator: str) -> list[str]:
    """The program and its arguments of "command:PROGRAM ARG...", quoted as in a shell, which is
    never started.

    Raises DefinitionError where there is none.
    """
    assert generator.startswith(PREFIX), generator
    try:
        program = shlex.split(generator.removeprefix(PREFIX))
    except ValueError as error:
        raise DefinitionError(
            "scene.generator", f"cannot be split ({error})", got=generator
        ) from None
    if not program:
        raise DefinitionError(
            "scene.generator", "must name a program: command:PROGRAM ARG...", got=generator
        )
    return program


def files_of(generator: str) -> list[str]:
    """The files that the program and the arguments of a generator name; none where it is one of our
    own renderers.
    """
    if not generator.startswith(PREFIX):
        return []
    return [word for word in program_of(generator) if Path(word).is_file()]


def rendered(parameters: SceneParameters, count: int, seed: int, out: Path) -> Pool:
    """The pool that the program of `parameters.generator` makes; `out` keeps its log. Raises as
    `run_command` does.
    """
    # Path tracers need seconds for an image, and a Unity build a minute to start.
    limit_s = 600 + 30 * count
    asked = parameters.settled().model_dump(mode="json")
    pool = decode(
        run_command(program_of(parameters.generator), asked, count, seed, out, limit_s=limit_s)
    )
    shutil.rmtree(out / "data")  # the pool holds it all; of a failed attempt it is kept
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
    """Runs a program for `count` images and reads what it wrote; whatever earlier attempts left in
    `out` is replaced.

    Image ids are paths within the dataset. Raises MachineError where the program cannot be started,
    fails or takes longer than `limit_s` seconds, and DataError where it wrote no dataset, too few
    images, or boxes outside its images.
    """
    data, request, log = (
        out.resolve() / "data",
        out.resolve() / "request.json",
        out.resolve() / "log.txt",
    )
    shutil.rmtree(data, ignore_errors=True)
    (out / "result.json").unlink(missing_ok=True)
    data.mkdir(parents=True)
    asked = {"parameters": dict(parameters), "count": count, "seed": seed, "out": str(data)}
    request.write_text(json.dumps(asked, indent=1))
    started = time.monotonic()
    code = _run([*program, "--request", str(request)], log, limit_s)
    ended = {
        "program": list(program),
        "exit": code,
        "seconds": round(time.monotonic() - started, 1),
    }
    (out / "result.json").write_text(json.dumps(ended, indent=1))
    place = _place(program)
    if code is None:
        raise MachineError(
            place, f"must end within {limit_s:g} s and was stopped", do=_last_words(log)
        )
    if code != 0:
        raise MachineError(place, "must end with exit code 0", got=code, do=_last_words(log))
    return _written(place, data, count, log)


def _run(arguments: Sequence[str], log: Path, limit_s: float) -> int | None:
    """Runs a program to its end and leaves no process of its behind; the exit code, None where time
    ran out.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own, to be ended as one
            )
        except OSError as error:
            rule = f"cannot be started ({error.strerror})"
            raise MachineError(
                _place(arguments[:-2]), rule, do="Correct scene.generator, or install it."
            ) from None
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _written(place: str, data: Path, count: int, log: Path) -> Source:
    """The first `count` images of the dataset that a program wrote, of all its splits together."""
    if not data.is_dir() or not any(data.iterdir()):
        raise DataError(
            place, f"must write a dataset into {data} and wrote nothing", do=_last_words(log)
        )
    try:
        dataset = read(data)
    except DataError as error:
        raise DataError(
            error.place, error.rule, got=error.got, do=f"{error.do} {_last_words(log)}".strip()
        ) from None
    clipped = [note for note in dataset.notes if "clipped" in note]
    # people's boxes are mended; a program that draws outside its images has a wrong idea of them
    if clipped:
        raise DataError(
            place,
            "must write boxes that lie within their images",
            got=clipped[0],
            do=_last_words(log),
        )
    records = [record for source in dataset.splits.values() for record in source.records]
    if len(records) < count:
        raise DataError(place, f"must write {count} images", got=len(records), do=_last_words(log))
    return Source(
        name="synthetic", classes=dataset.classes, records=tuple(records[:count]), synthetic=True
    )


def _place(program: Sequence[str]) -> str:
    return f"generator {shlex.join(program)}"


def _last_words(log: Path) -> str:
    """The end of what a program printed, and where the rest lies."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    last = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
    return (
        f"It printed: {' | '.join(last)} (all of it in {log})"
        if last
        else f"It printed nothing ({log})."
    )
