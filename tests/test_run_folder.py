"""Run folders: a ledger is read when it has changed, and what another version wrote is one line
that says what and why.
"""

import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from made_runs import (
    ABOUT,
    SWEEP,
    TIED,
    TRIALS,
    VARIANTS,
    confirmed_run,
    diverge,
    examine,
    front_run,
    made_run,
    variant_run,
)

from syndet_ray import cli
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import DataError, MachineError
from syndet_ray.report import page
from syndet_ray.runs.event_file import Tail
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.newest import newest_run


def rewritten(path, change):
    """Changes the JSON of a file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def old_run(tmp_path):
    """A run whose detectors have a name in place of an architecture, as an earlier version wrote
    them.
    """
    about = ABOUT | {"versions": {"syndet_ray": "0.0.1"}}
    folder = made_run(scores=TIED, about=about).write(tmp_path / "run")

    def rename(sweep):
        detector = sweep["recipe"]["detector"]
        detector["name"] = detector.pop("architecture")

    rewritten(folder.path / "sweep.json", rename)
    ledger = folder.path / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("detector.architecture", "detector.name"))
    return folder


def test_a_sweep_of_another_version_is_named_in_a_line_with_the_version(old_run):
    day = time.strftime("%Y-%m-%d", time.localtime(ABOUT["started"]))
    with pytest.raises(DataError) as raised:
        RunFolder.open(old_run.path)
    assert str(raised.value) == (
        f"{old_run.path}/sweep.json: is not what this version of syndet_ray writes: recipe.detector.name: is not a field. "
        f"Open the run with the version that wrote it, 0.0.1 as of {day}, or copy it here again."
    )


@pytest.mark.parametrize(
    "about",
    [
        None,
        "{",
        "{}",
        "[]",
        '{"versions": {"torch": "2.9.0"}, "started": 0}',
        '{"versions": null, "started": 0}',
        '{"versions": {"syndet_ray": null}, "started": 0}',
        '{"versions": {"syndet_ray": "1"}, "started": null}',
        '{"versions": {"syndet_ray": "1"}, "started": 1e300}',
    ],
)
def test_a_run_that_does_not_know_its_version_is_named_without_it(old_run, about):
    file = old_run.path / "run.json"
    if about is None:
        file.unlink()
    else:
        file.write_text(about)
    with pytest.raises(
        DataError,
        match=r"is not a field\. Open the run with the version that wrote it, or copy it here again\.$",
    ):
        _ = old_run.sweep


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda sweep: sweep.pop("question"), "question: is missing"),
        (lambda sweep: sweep.update(trials="many"), "trials: must be a valid integer, .*"),
        (lambda sweep: sweep.update(rungs=1000), r"rungs must be at most recipe.training.images \(400\), got 1000"),
        (lambda sweep: sweep.update(points=[{"scene.gone": 1}]), r"points\[0\]: recipe: scene.gone: is not a setting of a recipe"),
    ],
)  # fmt: skip
def test_any_rule_that_a_sweep_breaks_is_the_reason(tmp_path, change, reason):
    folder = made_run().write(tmp_path / "run")
    rewritten(folder.path / "sweep.json", change)
    with pytest.raises(
        DataError, match=rf"this version of syndet_ray writes: {reason}\. Open the run with"
    ) as raised:
        _ = folder.sweep
    assert "\n" not in str(raised.value)
    assert "Valid:" not in str(raised.value), "a hint for a person who writes a sweep"


@pytest.mark.parametrize("name", ["sweep", "test"])
@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"\xff\x00"]
)
def test_a_file_that_is_no_json_is_named(tmp_path, name, damage):
    folder = made_run(scores=TIED).write(tmp_path / "run")
    file = folder.path / f"{name}.json"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(
        DataError, match=rf"/run/{name}\.json: is not JSON \(.+\)\. Copy the run here again\.$"
    ) as raised:
        RunFolder.open(folder.path).test()
    assert len(str(raised.value)) < 300, "the file itself is not in the message"


def test_test_scores_of_another_version_are_named_in_a_line(tmp_path):
    folder = made_run(scores=TIED).write(tmp_path / "run")
    rewritten(folder.path / "test.json", lambda scores: scores.pop("images"))
    with pytest.raises(
        DataError,
        match=r"test\.json: is not what this version of syndet_ray writes: images: is missing\.",
    ):
        folder.test()


@pytest.mark.parametrize("verb", ["report", "compare", "replay", "resume"])
def test_the_command_line_says_it_in_one_line(old_run, tmp_path, capsys, monkeypatch, verb):
    runs = (
        [old_run.path]
        if verb != "compare"
        else [old_run.path, made_run(scores=TIED).write(tmp_path / "new").path]
    )
    monkeypatch.setattr(sys, "argv", ["syndet_ray", verb, *map(str, runs)])
    with pytest.raises(SystemExit) as done:
        cli.run()
    assert done.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"syndet_ray: {old_run.path}/sweep.json: is not what this version of syndet_ray writes: recipe"
    )


def test_a_run_is_read_once_for_a_report(tmp_path, monkeypatch):
    """A ledger of 4000 trials takes seconds to parse: every figure would."""
    folder, opened = made_run(scores=TIED).write(tmp_path / "run"), Counter()
    read_text, read_bytes = Path.read_text, Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, *given, **named: (
            opened.update([self.name]) or read_text(self, *given, **named)
        ),
    )
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: opened.update([self.name]) or read_bytes(self)
    )
    page.write(folder.read(), folder)
    kept = ("sweep.json", "run.json", "ledger.jsonl", "test.json")
    assert {name: opened[name] for name in kept} == dict.fromkeys(kept, 1)


def test_the_recipe_of_each_trial_is_validated_once_for_a_report(tmp_path, monkeypatch):
    """Validation takes a millisecond: of 4000 trials, four seconds each time."""
    folder, validated = confirmed_run().write(tmp_path / "run"), Counter()
    recipes = {trial.number: trial.settings for trial in folder.trials()}
    replace = Recipe.replace

    def counted(self, changes):
        validated.update(number for number, settings in recipes.items() if changes == settings)
        return replace(self, changes)

    monkeypatch.setattr(Recipe, "replace", counted)
    page.write(folder.read(), folder)
    alike = Counter({number: list(recipes.values()).count(recipes[number]) for number in recipes})
    assert validated == alike


def test_a_recipe_of_an_earlier_version_takes_defaults_for_what_it_lacks(tmp_path):
    folder = made_run().write(tmp_path / "run")
    ledger = folder.path / "ledger.jsonl"
    before = folder.trials()
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    for event in events:
        if event["event"] == "asked":
            del event["recipe"]["training.average"]
    ledger.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    trials = folder.trials()
    assert trials == before
    for earlier, trial in zip(before, trials, strict=True):
        assert (earlier.unrecorded, trial.unrecorded) == (set(), {"training.average"})
        assert earlier.settings.keys() - trial.settings.keys() == {"training.average"}


def test_a_recipe_that_breaks_a_rule_of_this_version_is_named(tmp_path):
    folder = made_run().write(tmp_path / "run")
    ledger = folder.path / "ledger.jsonl"
    ledger.write_text(
        ledger.read_text().replace('"mix.schedule": "mixed"', '"mix.schedule": "odd"')
    )
    rule = (
        r"run/ledger\.jsonl, trial 0: is not what this version of syndet_ray writes: "
        r"recipe: mix\.schedule: must be .*\. Open the run with the version that wrote it"
    )
    with pytest.raises(DataError, match=rule):
        folder.read()


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path):
    path = tmp_path / "runs" / "tiny-20261126-120000"
    together = Barrier(4)

    def begin(number):
        together.wait()
        return RunFolder.create(path, SWEEP, {"number": number})

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(begin, range(4)))
    names = {folder.path.name for folder in folders}
    assert names == {path.name, *(f"{path.name}-{number}" for number in (2, 3, 4))}
    assert [folder.about["number"] for folder in folders] == [0, 1, 2, 3]
    assert {path.name for path in path.parent.iterdir()} == names


def test_a_run_of_which_a_part_was_copied_is_named(tmp_path):
    folder = made_run(scores=TIED).write(tmp_path / "run")
    folder.read()
    (folder.path / "ledger.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"ledger\.jsonl: has no trial 2, which test\.json has scores of\. Copy"
    ):
        folder.read()


def interrupted_run():
    """A run with everything that a ledger and the other files can hold, in two attempts."""
    running = ("search", 40, 0.7, 0.001, (0.1,), "RUNNING", "")
    run = examine(made_run((*TRIALS, running), TIED, stand_in=True, pictures=True))
    pair = {"scene.background_scale": (0.5, 1.0)}  # JSON makes a list of it
    recipe = run.sweep.recipe.replace(pair).flat()
    run.ledger.append("asked", 8, kind="search", params=pair, recipe=recipe)
    run.ledger.append("attempt", None, time=100.0)
    nodes = {"nodes": [[2, 0, 1]], "trials": 2, "cores": 1, "gpus": 0.0}
    run.ledger.append("cluster", None, time=101.0, **nodes)
    run.ledger.append("retry", 7, reason="its worker was lost", time=160.0)
    run.ledger.append("attempt", None, time=1000.0)
    run.ledger.append("opened", None, times=2, time=1030.5)
    diverge(run, 6)
    run.write_draws(2, {"mAP": np.linspace(0.2, 0.4, 9), "AP50": np.zeros(9)})
    return run


@pytest.mark.parametrize(
    "make",
    [
        interrupted_run,
        lambda: confirmed_run(simplest=0, openings=2),
        lambda: variant_run(VARIANTS, {"real_only": 0.25}),
        lambda: front_run([(5, 0.11), (80, 0.33)]),
        lambda: made_run(()),
    ],
    ids=["interrupted", "confirmed", "variants", "several goals", "no trial"],
)
def test_a_run_in_memory_equals_the_run_that_is_read_from_its_folder(tmp_path, make):
    """Tests of reports use runs in memory. They must see the values and types that files give."""
    made = make()
    in_memory, on_disk = made.read(), made.write(tmp_path / "run").read()
    for name in ("sweep", "about", "trials", "test", "elapsed_s", "stand_in"):
        value = getattr(in_memory, name)
        assert value == getattr(on_disk, name), name
        assert repr(value) == repr(getattr(on_disk, name)), f"the types of {name}"
    for model in range(9):
        assert _lists(in_memory.draws(model)) == _lists(on_disk.draws(model))
    for name in ("real", "synthetic", "best", "worst"):
        pictures = [_lists(vars(picture)) for picture in in_memory.pictures(name)]
        assert pictures == [_lists(vars(picture)) for picture in on_disk.pictures(name)]


def _lists(values):
    """The values by name, with a list for each array: lists can be compared."""
    lists = {}
    for name, value in values.items():
        lists[name] = value.tolist() if isinstance(value, np.ndarray) else value
    return lists


def test_a_run_that_was_read_stays_as_it_was(tmp_path):
    folder = made_run().write(tmp_path / "run")
    before = folder.read()
    folder.ledger.append("retry", 0)
    assert (before.trials[0].retries, folder.read().trials[0].retries) == (0, 1)


@pytest.mark.parametrize("free", [0, 1, 60])
def test_a_line_that_does_not_fit_on_the_disk_leaves_the_ledger_as_it_was(tmp_path, free):
    """A limit on the size of files cuts a write short as a full disk does: the first bytes fit."""
    folder = made_run().write(tmp_path / "run")
    before = folder.trials()
    size = (folder.path / "ledger.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + free, limits[1]))
        with pytest.raises(OSError, match=r"File too large|No space left"):
            folder.ledger.append(
                "retry", 0, reason="so long that it does not fit into what is left of the disk"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert folder.trials() == before
    folder.ledger.append("retry", 0)
    assert folder.trials()[0].retries == before[0].retries + 1


def test_a_damaged_line_or_description_is_named(tmp_path):
    folder = made_run().write(tmp_path / "run")
    ledger = folder.path / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join([lines[0], lines[1][:20], *lines[2:]]) + "\n")
    with pytest.raises(
        DataError,
        match=r"run/ledger\.jsonl, line 2: is not JSON \(.+\)\. Copy the run here again\.$",
    ):
        folder.trials()
    follower = Tail(ledger)
    with pytest.raises(DataError, match=r"run/ledger\.jsonl, line 2: is not JSON"):
        follower.new_events()
    with ledger.open("a") as file:
        file.write("{\n")
    with pytest.raises(DataError, match=f"line {len(lines) + 1}: is not JSON"):
        follower.new_events()
    (folder.path / "run.json").write_text('{"name": ')
    with pytest.raises(DataError, match=r"run/run\.json: is not JSON"):
        _ = folder.about


def test_of_runs_the_newest_that_can_be_read_is_found(tmp_path):
    made_run(about=ABOUT | {"started": 1.0}).write(tmp_path / "a")
    readable = made_run(about=ABOUT | {"started": 2.0}).write(tmp_path / "b")
    damaged = made_run(about=ABOUT | {"started": 3.0}).write(tmp_path / "c")
    (damaged.path / "run.json").write_text("{")
    assert newest_run(tmp_path).path == readable.path


def test_a_run_on_a_file_system_without_locks_is_carried_out(tmp_path, no_locks):
    folder = RunFolder(tmp_path)
    with folder.lock():
        assert str(os.getpid()) in (tmp_path / "lock").read_text()


def test_a_run_that_can_only_be_read_is_read_and_not_carried_out(tmp_path, hide):
    folder = made_run().write(tmp_path / "run")
    folder.path.chmod(0o555)
    assert RunFolder.open(folder.path).read().sweep == folder.sweep
    message = rf"^{folder.path}: cannot be written \(Permission denied\)\. Copy it into a folder"
    with pytest.raises(MachineError, match=message), folder.lock():
        pass
    hide(folder.path)
    with pytest.raises(MachineError, match=r"cannot be read \(Permission denied\)\. Ask its owner"):
        RunFolder.open(folder.path)


def test_the_folder_of_all_runs_is_refused_with_the_name_of_one(tmp_path):
    for name in ("a", "b"):
        made_run().write(tmp_path / "runs" / name)
    place = tmp_path / "runs"
    told = rf"^{place}: holds runs, and is none\. Name one of them, such as {place}/b\.$"
    with pytest.raises(DataError, match=told):
        RunFolder.open(tmp_path / "runs")
