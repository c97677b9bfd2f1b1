"""What a folder refuses is reported in one line, before any work whose result it was to hold."""

import shutil

import pytest
from made_detections import TINY
from made_runs import TIED, made_run

from syndet_ray.detection.models import build, save_model


@pytest.fixture
def words(tmp_path, dice, read_only):
    """What the words in capitals of a command line stand for."""
    run = made_run(scores=TIED).write(tmp_path / "run")
    save_model(run.champion, build(TINY, ("1", "2"), seed=0)[0], TINY, ("1", "2"))
    other = tmp_path / "other"
    shutil.copytree(run.path, other)
    for folder in (run.path, run.champion):
        folder.chmod(0o555)
    file = tmp_path / "file"
    file.touch()
    yield {
        "RUN": run.path,
        "OTHER": other,
        "DATA": dice,
        "READONLY": read_only,
        "FILE": file,
        "LONG": tmp_path / ("x" * 300),
    }
    for folder in (run.path, run.champion):
        folder.chmod(0o755)


RESULTS = [
    ("data", "inspect", "DATA", "--out", "PLACE/page.html"),
    ("data", "cutouts", "DATA", "PLACE/new"),
    ("render", "PLACE/new", "--count", "2"),
    ("evaluate", "RUN", "DATA", "--out", "PLACE/new"),
    ("predict", "RUN", "DATA", "--out", "PLACE/new"),
    ("compare", "RUN", "OTHER", "--out", "PLACE/page.html"),
    ("report", "RUN", "--out", "PLACE/new"),
]


@pytest.mark.parametrize("place", ["READONLY", "FILE", "LONG"])
@pytest.mark.parametrize("arguments", RESULTS, ids=" ".join)
def test_a_place_for_results_is_looked_at_before_any_work(
    words, arguments, place, syndet_here, monkeypatch
):
    def work(*arguments, **named):
        raise AssertionError("there is no place for the results")

    for name in (
        "syndet_ray.inspection.inspect.inspect",
        "syndet_ray.workers.render.connection",
        "syndet_ray.data.read.read",
        "syndet_ray.tracking.champions.model_folder",
        "syndet_ray.analysis.compare.compare",
        "syndet_ray.report.page.write",
    ):
        monkeypatch.setattr(name, work)
    done = syndet_here(*given(arguments, words | {"PLACE": words[place]}))
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"syndet_ray: {words[place]}")
    assert ": cannot be written (" in line
    assert done.returncode == 1


def given(arguments, words):
    """The command line with paths in place of words in capitals."""
    line = []
    for argument in arguments:
        for word, path in words.items():
            argument = argument.replace(word, str(path))
        line.append(argument)
    return line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "RUN"), "RUN/report.html: cannot be written (Permission denied). Write the"),
        (("report", "LONG"), "LONG/sweep.json: cannot be read (File name too long). Check the"),
        (("evaluate", "LONG", "DATA"), "LONG/model.safetensors: cannot be read (File name too"),
        (("ui", "--runs", "LONG"), "LONG: cannot be read (File name too long). Check the path"),
        (("check", "LONG.py"), "LONG.py: cannot be read (File name too long). Check the path"),
        (("ui", "--runs", "FILE"), "FILE: is not a folder, so there are no trials to show"),
        (("sweep", "smoke", "--runs", "FILE"), "FILE: is a file, and runs need a folder. Name"),
        (("check", "smoke", "--runs", "LONG"), "LONG: cannot be written (File name too long). Run"),
    ],
)
def test_a_run_or_a_folder_of_runs_that_refuses_is_reported(words, arguments, message, syndet_here):
    done = syndet_here(*given(arguments, words))
    (message,) = given([message], words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("loading")]
    assert len(lines) == 1
    assert lines[0].startswith(f"syndet_ray: {message}")
    assert done.returncode == 1


@pytest.mark.parametrize(
    "arguments", [("compare", "RUN", "OTHER"), ("report", "RUN", "--out", "OTHER/new")]
)
def test_a_run_that_can_only_be_read_is_shown(words, arguments, syndet_here, monkeypatch):
    monkeypatch.setattr("syndet_ray.report.page.plot_all", lambda run, folder, progress: {})
    monkeypatch.setattr("syndet_ray.report.document.html", lambda *parts, **content: "page")
    done = syndet_here(*given(arguments, words))
    assert (done.returncode, done.stderr.count("syndet_ray:")) == (0, 0)
    assert (words["OTHER"] / "new" / "report.html").exists() == (arguments[0] == "report")


@pytest.mark.parametrize(
    ("secret", "arguments"),
    [
        ("OTHER/ledger.jsonl", ("report", "OTHER")),
        ("OTHER/ledger.jsonl", ("replay", "OTHER")),
        ("OTHER/samples/best.json", ("report", "OTHER")),
        ("OTHER/champion/model.safetensors", ("evaluate", "OTHER", "DATA")),
        ("PHOTOS/annotations.json", ("data", "inspect", "PHOTOS")),
        ("PHOTOS", ("render", "OTHER/new", "--set", "scene.assets=PHOTOS")),
        ("PHOTOS", ("predict", "RUN", "PHOTOS", "--out", "OTHER/new")),
    ],
)
def test_what_the_system_does_not_let_us_read_is_reported(
    words, secret, arguments, syndet_here, tmp_path, monkeypatch, hide
):
    monkeypatch.chdir(tmp_path)
    words["PHOTOS"] = tmp_path / "photos"
    words["PHOTOS"].mkdir()
    for path in (words["PHOTOS"] / "annotations.json", words["OTHER"] / "samples" / "best.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]")
    (place,) = given([secret], words)
    hide(place)
    done = syndet_here(*given(arguments, words))
    message = (
        f"syndet_ray: {place}: cannot be read (Permission denied). Ask its owner for permission"
    )
    assert done.stderr.splitlines()[-1].startswith(message)
    assert done.returncode == 1
