"""The command line's own words: whatever people have named, and whatever went wrong, is printed as
it is.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import TRIALS, made_run, variant_run
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from syndet_ray import Int, SearchSpace, cli
from syndet_ray.cli import last_words, sweeps
from syndet_ray.cli import runs as verbs
from syndet_ray.cli.check import check
from syndet_ray.cli.listing import place_lines
from syndet_ray.cli.options import FLAGS, with_flags
from syndet_ray.cli.sweep_request import with_points
from syndet_ray.cli.terminal import console
from syndet_ray.data.convert import WRITERS
from syndet_ray.data.remote.catalogue import CATALOGUE
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.tuning.options import Options, Outcome
from syndet_ray.wording import command_line

REASON = "cannot read images [/data/x.jpg]"


@pytest.fixture
def said(capsys, monkeypatch):
    """Runs the command line; returns its exit status and what it printed, in one line."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["syndet_ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.run()
        return done.value.code or 0, " ".join(capsys.readouterr().out.split())

    return run


@pytest.mark.parametrize("status", ["failed", "interrupted", "spent"])
def test_the_last_words_of_a_run_are_what_they_are(tmp_path, capsys, status):
    failed = [(*trial[:4], (), "FAILED", REASON) for trial in TRIALS]
    folder = made_run(trials=failed).write(tmp_path / "[red]" / "[/run]")
    with pytest.raises(SystemExit) as done:
        last_words.finish(Outcome(folder=folder, status=status, why="of [/hours]"), console())
    text = capsys.readouterr().out.replace("\n", "")
    assert done.value.code == {"failed": 1, "interrupted": 130, "spent": 3}[status]
    assert "[red]/[/run]" in text
    assert ("[/data/x.jpg]" in text) == (status == "failed")
    so_far = f"report so far: {command_line('report', folder.path)}"
    assert (so_far in text) == (status != "failed")
    assert text.endswith(f"trials   {command_line('ui', folder.path, '--open')}")


@pytest.mark.parametrize("status", ["finished", "interrupted", "spent"])
def test_what_mlflow_lacks_is_said_at_the_end_with_how_it_comes_there(tmp_path, capsys, status):
    lacking = MachineError("MLflow's store http://host", "lacks trial 3", do="resume")
    outcome = Outcome(
        folder=made_run().write(tmp_path / "run"),
        status=status,
        trials_url="http://host/#/x",
        unwritten=lacking,
    )
    with pytest.raises(SystemExit) as done:
        last_words.finish(outcome, console())
    assert done.value.code == {"finished": 1, "interrupted": 130, "spent": 3}[status]
    assert capsys.readouterr().out.endswith(
        "MLflow's store http://host: lacks trial 3. resume\ntrials   http://host/#/x\n"
    )


def test_runs_and_recipes_are_compared_by_their_names(tmp_path, said):
    variants = {"mix [old]": ({}, (0.30, 0.32)), "[/new]": ({"scene.blur": 0.0}, (0.20, 0.18))}
    for name in ("[a]", "[b]"):
        variant_run(variants).write(tmp_path / name)
    status, text = said("compare", tmp_path / "[a]", tmp_path / "[b]")
    assert status == 0
    for name in ("A [a]", "B [b]", "mix [old]", "no paired interval, because A and B"):
        assert name in text


def test_sources_are_inspected_by_their_names(tmp_path, said, dice, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("[a]", "[b]"):
        shutil.copytree(dice, name)
    status, text = said("data", "inspect", "[a]", "[b]", "--split", "val")
    assert status == 0
    assert "[b] against [a], the reference" in text
    before, table = text.split("[b] against [a]", 1)
    for column, meaning in (
        ("distance", "by how much the values"),
        ("by chance", "the distance that chance alone can give"),
        ("KS", "Kolmogorov"),
    ):
        assert f"{column} {meaning}" in before and column in table
    assert '"less" if chance does not explain the difference, "as far" if it can.' in before


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"local": True}, ["ray      none: trials run in this process, one at a time"]),
        ({}, ["ray      a new cluster on this machine, for this run alone"]),
        (
            {"address": "head:6379", "storage": "s3://me:secret@bucket/runs"},
            [
                "storage  s3://me:***@bucket/runs: can be written and read",
                "ray      the cluster at head:6379",
            ],
        ),
    ],
)
def test_a_check_lists_all_places_that_it_looked_at(tmp_path, monkeypatch, options, lines):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
    shown = list(place_lines(Options(runs=tmp_path, **options), "has 2 runs"))
    assert [line for line in shown if line.startswith(("storage", "ray"))] == lines
    assert f"mlflow   {tmp_path}/mlflow.db: has 2 runs" in shown
    assert "         MLFLOW_REGISTRY_URI is set, but" in "\n".join(shown)


@pytest.mark.parametrize("verb", [check, sweeps.sweep])
def test_near_copies_in_two_splits_are_refused_until_they_are_allowed(home, dice, tmp_path, verb):
    """One photo of test also trains, saved again as JPEG; another as it is, which nothing lets
    pass.
    """
    home()
    photos = tmp_path / "photos"
    shutil.copytree(dice, photos)
    file = photos / "test" / "_annotations.coco.json"
    file.write_text(file.read_text().replace("2.png", "near.jpg").replace("3.png", "exact.bmp"))
    Image.open(photos / "train" / "1.png").save(photos / "test" / "near.jpg", quality=92)
    Image.open(photos / "train" / "2.png").save(photos / "test" / "exact.bmp")
    near = "image 'test/near.jpg' is also 'train/1.png' of train, saved again or at another size"
    exact = "image 'test/exact.bmp' is also 'train/2.png' of train, by its pixels"
    with pytest.raises(DataError) as refused:
        verb("tiny", real=photos, local=True)
    assert near in str(refused.value) and exact in str(refused.value)
    assert "`allow_near_copies`" in str(refused.value)
    with pytest.raises(DataError) as refused:
        verb("tiny", real=photos, local=True, allow_near_copies=True)
    assert near not in str(refused.value) and exact in str(refused.value)


def test_points_of_an_earlier_run_are_no_more_than_there_are_trials(tmp_path):
    folder = made_run().write(tmp_path / "run")
    counts = [
        len(with_points(folder.sweep.replace({"trials": trials}), folder.path, print).points)
        for trials in (1, 8)
    ]
    assert counts[0] == 1
    assert counts[1] > 1


def test_points_that_cannot_be_proposed_are_reported_with_their_trial_and_the_reason(tmp_path):
    run = made_run().write(tmp_path / "run").path
    sweep = RunFolder.open(run).sweep.replace(
        {"space": (SearchSpace({"scene.objects": Int(low=60, high=90)}),)}
    )
    reason = "the best, trial 2: scene.objects: must be from 60 to 90, got 40"
    with pytest.raises(
        DefinitionError, match=rf"can propose no recipe of .*run \(3 recipes looked at\); {reason}"
    ):
        with_points(sweep, run, print)
    narrower = sweep.replace({"space": (SearchSpace({"scene.objects": Int(low=30, high=90)}),)})
    notes = []
    assert with_points(narrower, run, notes.append).points == ({"scene.objects": 40},)
    (note,) = notes
    assert note == "--points: trial 5 is left out: scene.objects: must be from 30 to 90, got 10"


def test_a_run_without_a_finished_recipe_has_no_points(tmp_path):
    folder = made_run(trials=TRIALS[:2]).write(tmp_path / "run")
    with pytest.raises(
        DefinitionError, match=r"run has no finished search trial whose recipe could be proposed"
    ):
        with_points(folder.sweep, folder.path, print)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sweep", "smoke", "--hours", "0"), "--hours': 0 is not more than 0."),
        (("check", "smoke", "--hours", "-1"), "--hours': -1 is not more than 0."),
        (("check", "smoke", "--gpu-hour-price", "-1"), "price': -1 is not a finite number of at"),
        (("report", "x", "--core-hour-price", "inf"), "price': inf is not a finite number of at"),
        (("resume", "nowhere", "--hours", "nan"), "--hours': nan is not more than 0."),
        (("sweep", "smoke", "--gpus-per-trial", "-1"), "Invalid value for '--gpus-per-trial'"),
        (("predict", "model", "photos", "--score", "50"), "Invalid value for '--score'"),
    ],
)
def test_a_number_that_cannot_be_is_refused_before_anything_is_loaded(arguments, said):
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.parametrize(
    "arguments", [("sweep", "smoke"), ("check", "smoke"), ("resume", "runs/tiny")]
)
def test_an_address_at_which_no_cluster_can_be_is_refused_before_anything_is_loaded(
    arguments, syndet_here, monkeypatch
):
    for loaded in ("make_request", "_folder"):
        monkeypatch.setattr(sweeps, loaded, None)
    monkeypatch.setattr("syndet_ray.cli.check.make_request", None)
    done = syndet_here(*arguments, "--address", "foo")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "syndet_ray: --address: must be auto or HOST:PORT, got 'foo'. On the head node it is auto,"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("check", "nothing", "--real", "stand-in"), 1, "sweeps/nothing.py: does not exist."),
        (("resume", "nowhere", "--real", "stand-in"), 2, "that it began with. Leave it out."),
        (("data", "label-style", "stand-in"), 1, "its boxes are computed, not made by people"),
        (
            ("data", "cutouts", "stand-in", "cut", "--per-class", "1"),
            0,
            "one: 1, two: 1,.*Use them with --assets cut,",
        ),
    ],
)
def test_the_word_stand_in_is_accepted_for_photos_or_refused_with_the_reason(
    arguments, status, words, tmp_path, monkeypatch, syndet_here
):
    monkeypatch.chdir(tmp_path)
    done = syndet_here(*arguments)
    assert done.returncode == status
    assert re.search(words, done.stdout + done.stderr, re.DOTALL)


def test_a_misspelt_folder_of_runs_is_not_made(tmp_path):
    with pytest.raises(
        DataError,
        match=r"nothere: does not exist, so there are no trials to show\. Name the folder",
    ):
        verbs.ui(runs=tmp_path / "nothere")
    assert not (tmp_path / "nothere").exists()


@pytest.mark.parametrize(("output", "status"), [("/dev/null", 0), ("/dev/full", 1)])
def test_what_cannot_be_printed_is_no_success(output, status):
    with Path(output).open("w") as stream:
        command = [sys.executable, "-m", "syndet_ray", "--help"]
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
    assert done.returncode == status


def test_the_options_that_messages_name_are_options_of_the_command_line():
    verbs = list(get_command(cli.app).commands.values())
    verbs += get_command(cli.data_app).commands.values()
    flags = {flag for verb in verbs for option in verb.params for flag in option.opts}
    assert set(FLAGS.values()) <= flags


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ("data", "fetch", "D6dice"),
            "NAME: must be the name of a public dataset, got 'D6dice'. Did you mean 'd6-dice'? "
            "Valid: chess, d6-dice, groceries-real.",
        ),
        (
            ("data", "fetch", "x"),
            "NAME: must be the name of a public dataset, got 'x'. Valid: chess, d6-dice, "
            "groceries-real.",
        ),
        (
            ("data", "convert", "nowhere", "out", "--to", "voe"),
            "--to: must be a format that can be written, got 'voe'. Did you mean 'voc'? Valid: "
            "coco, kitti, parquet, voc, yolo.",
        ),
        (
            ("data", "inspect", ".", "--format", "cocoo"),
            "--format: must be a known format, got 'cocoo'. Did you mean 'COCO'? Valid: BOP, COCO",
        ),
    ],
)
def test_a_misspelt_choice_is_an_error_with_the_nearest_and_all_choices(
    arguments, error, tmp_path, monkeypatch, syndet_here
):
    monkeypatch.chdir(tmp_path)
    done = syndet_here(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"syndet_ray: {error}")


@pytest.mark.parametrize("group", [(), ("data",)])
def test_the_summary_of_each_verb_is_a_sentence_that_fits_a_terminal(group):
    """Click cuts longer ones, and ends them with three dots."""
    output = CliRunner().invoke(cli.app, [*group, "--help"], terminal_width=80).output
    _, listed = output.split("Commands:\n")
    summaries = dict(line.split(maxsplit=1) for line in listed.splitlines())
    verbs = get_command(cli.app)
    for name in group:
        verbs = verbs.commands[name]
    assert summaries.keys() == verbs.commands.keys()
    for line in listed.splitlines():
        assert len(line) <= 80
        assert line.endswith(".") and not line.endswith("...")


def test_help_lists_the_choices_of_names():
    for verb, choices in (("fetch", CATALOGUE), ("convert", WRITERS)):
        words = CliRunner().invoke(cli.app, ["data", verb, "--help"]).output
        assert all(choice in words for choice in choices)


def test_an_error_of_the_library_is_printed_with_the_flag_of_its_option():
    error = DataError("photos", "has no split 'x'", do="Choose with `split`: train.")
    assert with_flags(str(error)) == "photos: has no split 'x'. Choose with --split: train."
    assert with_flags("`allow_near_copies`, not `ray status` or `mine`") == (
        "--allow-near-copies, not `ray status` or `mine`"
    )


def test_library_messages_name_options_and_not_flags():
    """A whole command, such as one that resumes a run, may have flags."""
    package = Path(cli.__file__).parents[1]
    flag = re.compile(rf"(?:{'|'.join(FLAGS.values())})\b(?![-=])")
    lines = [
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        if package / "cli" not in path.parents
        for line in path.read_text().splitlines()
        if flag.search(line) and not re.search(r"resume\b|command|data convert|\"--port\":", line)
    ]
    assert lines == []
