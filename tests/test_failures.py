"""An error that nobody expected ends a command with one line; its traceback is kept in a file."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from syndet_ray.cli.error_line import error_line
from syndet_ray.errors import DataError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.search import Search
from syndet_ray.tuning.failure import note_run


class Unexpected(Exception):
    """An error of no library: no code handles it."""


def fail(*arguments, **named):
    raise Unexpected("no such thing\nin this world")


BEFORE_THE_RUN = (
    "syndet_ray.definitions.loader._find",
    "syndet_ray.tuning.run.check_store",
    "syndet_ray.tuning.photo_check.real_data",
    "syndet_ray.tuning.run.settled_sweep",
    "syndet_ray.tuning.run.description",
    "syndet_ray.runs.folder.RunFolder.create",
)
IN_THE_RUN = (
    "syndet_ray.tuning.publish.local_store",
    "syndet_ray.search.search.Search.propose",
    "syndet_ray.tuning.attempt.Attempt._conclude",
    "syndet_ray.tuning.attempt.record_end",
)


@pytest.fixture
def sweep(home, dice, empty_store, syndet_here, monkeypatch, tmp_path):
    """Starts the tiny sweep, whose search is over at once."""
    home()
    (tmp_path / "runs").mkdir()
    shutil.copy(empty_store, tmp_path / "runs")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def begin():
        return syndet_here("sweep", "tiny", "--local", "--real", dice, "--force")

    return begin


@pytest.mark.parametrize("place", [*BEFORE_THE_RUN, *IN_THE_RUN])
def test_wherever_it_happens_there_is_one_line_with_the_place_and_the_log(
    sweep, place, monkeypatch
):
    if place != "syndet_ray.search.search.Search.propose":
        monkeypatch.setattr(Search, "propose", lambda search: None)
        monkeypatch.setattr(Search, "is_over", True)
    monkeypatch.setattr(place, fail)
    done = sweep()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    expected = r"syndet_ray: unexpected Unexpected in (syndet_ray/[\w/]+\.py):\d+: no such thing; traceback: ([^;]+)"
    file, log = re.match(expected, line).groups()
    assert Path(__file__).parents[1].joinpath(file).is_file()
    text = Path(log).read_text()
    assert "Traceback (most recent call last)" in text
    assert "in this world" in text
    runs = [path.parent for path in Path("runs").glob("*/sweep.json")]
    if place in IN_THE_RUN:
        (run,) = runs
        assert Path(log) == run / "error.log"
        assert line.endswith(f"; continue with: python -m syndet_ray resume {run}")
    else:
        assert runs == []
        assert "resume" not in line


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("syndet_ray.inspection.inspect.inspect", ("data", "inspect", "DATA")),
        ("syndet_ray.data.cutouts.cut_out", ("data", "cutouts", "DATA", "out")),
        ("syndet_ray.analysis.compare.compare", ("compare", "a", "b")),
        ("syndet_ray.workers.render.write_set", ("render", "out")),
    ],
)
def test_commands_without_a_run_end_with_one_line_too(
    place, arguments, syndet_here, dice, monkeypatch, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(RunFolder, "open", lambda path: RunFolder(path))
    monkeypatch.setattr(RunFolder, "read", lambda folder: folder)
    monkeypatch.setattr(place, fail)
    done = syndet_here(*(str(dice) if word == "DATA" else word for word in arguments))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    (log,) = tmp_path.glob("syndet_ray-*.log")
    assert done.stderr.endswith(f"no such thing; traceback: {log}\n")
    assert "Traceback" in log.read_text()


def test_where_no_log_can_be_written_the_traceback_is_shown(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    try:
        fail()
    except Unexpected as error:
        note_run(error, RunFolder(tmp_path / "gone"))
        line = error_line(error)
    assert "traceback: \nTraceback (most recent call last)" in line
    assert line.endswith(f"; continue with: python -m syndet_ray resume {tmp_path / 'gone'}")


def test_an_expected_error_that_ends_a_run_says_how_to_resume_it_once(tmp_path):
    folder = RunFolder(tmp_path)
    hint = f"python -m syndet_ray resume {tmp_path}"
    error = DataError("photos/a.jpg", "does not exist", do="Put it there.")
    note_run(error, folder)
    assert error_line(error) == (
        f"photos/a.jpg: does not exist. Put it there. Continue with: {hint}"
    )
    with_hint = DataError("store", "lacks the results", do=f"Run: {hint}")
    note_run(with_hint, folder)
    assert error_line(with_hint) == str(with_hint)
    assert not folder.error_log.exists()
    note_run(with_hint, None)
