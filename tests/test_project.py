"""The options of a folder's syndet.toml: read, checked, used, and recorded in a run."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_photos import write_photos

from syndet_ray import Synthetic
from syndet_ray.cli import beginning, sweeps
from syndet_ray.cli.project import project_text, read_project
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.cli.sweep_request import make_request
from syndet_ray.definitions.given import with_given
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DefinitionError
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.tuning.photo_check import real_data
from syndet_ray.tuning.record import description


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with photos, meshes and a class map."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "meshes", "floors", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes.yaml").write_text("bishop: null\n", encoding="utf-8")
    return tmp_path


def project_of(folder, text):
    (folder / "syndet.toml").write_text(text, encoding="utf-8")
    return read_project(folder)


def test_a_folder_needs_no_project(folder):
    assert read_project(folder) is None
    options = SweepOptions(runs=None, real="photos")
    assert options.with_project(None) == options


def test_paths_start_from_the_file(folder, monkeypatch):
    project = project_of(
        folder,
        """
        real = "photos"
        classes = "classes.yaml"
        runs = "../runs"
        assets = "meshes"
        backgrounds = "floors"
        generator = "command:python3 classes.yaml"
        hold-out = 0.2
        skip-bad = true
        gpu-hour-price = 2
        """,
    )
    monkeypatch.chdir("/")
    assert project.options == {
        "real": str(folder / "photos"),
        "classes": folder / "classes.yaml",
        "runs": folder / "../runs",
        "hold_out": 0.2,
        "skip_bad": True,
        "gpu_hour_price": 2,
    }
    assert project.settings == {
        "scene.assets": str(folder / "meshes"),
        "scene.backgrounds": str(folder / "floors"),
        "scene.generator": f"command:python3 {folder / 'classes.yaml'}",
    }


@pytest.mark.parametrize(
    "text",
    [
        'set = {"scene.blur" = 0.2, "mix.synthetic" = 0.3}',
        "[set]\nscene.blur = 0.2\nmix.synthetic = 0.3",
        "[set.scene]\nblur = 0.2\n[set.mix]\nsynthetic = 0.3",
    ],
)
def test_settings_are_written_as_toml_allows(folder, text):
    assert project_of(folder, text).settings == {"scene.blur": 0.2, "mix.synthetic": 0.3}


def test_a_synthetic_dataset_and_photos_elsewhere(folder):
    project = project_of(folder, 'real = "s3://me:word@bucket/photos"\nsynthetic = "images"')
    assert project.options == {"real": "s3://me:word@bucket/photos"}
    images = {"kind": "synthetic", "folder": str(folder / "images")}
    assert project.settings == {"mix.sources": {"synthetic": images}}
    assert project.words(["real"], ["mix.sources"]) == (
        "syndet.toml: real s3://bucket/photos, synthetic images"
    )
    assert "word" not in json.dumps(project.facts())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("real = \n", r"syndet\.toml: is not valid TOML \(.*line 1"),
        ("real = 'a'\nreal = 'b'", "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
        ('reel = "photos"', r"syndet\.toml: reel: is no key\. Did you mean 'real'\?"),
        ("hold_out = 0.2", r"hold_out: is no key\. Did you mean 'hold-out'\?"),
        ("real = 3", r"syndet\.toml: real: must be text in quotes, got 3"),
        ('assets = ""', "assets: must be text in quotes, got ''"),
        ('skip-bad = "yes"', "skip-bad: must be true or false, got 'yes'"),
        ("gpu-hour-price = -1", "gpu-hour-price: must be a finite number of at least 0, got -1"),
        (
            "core-hour-price = inf",
            "core-hour-price: must be a finite number of at least 0, got inf",
        ),
        (
            'core-hour-price = "1"',
            "core-hour-price: must be a finite number of at least 0, got '1'",
        ),
        ("hold-out = 20", "hold-out: must be more than 0 and less than 1, got 20"),
        ('set = "scene.blur=0.2"', "set: must be a table such as"),
        ('real = "fotos"', r"real: does not exist: paths in syndet\.toml .*, got 'fotos'"),
        ('assets = "mesh"', "assets: does not exist.*got 'mesh'"),
        ('classes = "classes.yml"', r"classes: does not exist.*got 'classes\.yml'"),
        ('synthetic = "image"', "synthetic: does not exist"),
        ('set = {"scene.blurr" = 0.2}', r"syndet\.toml: recipe: scene\.blurr: .*scene\.blur"),
        ('set = {"scene.blur" = 3}', r"syndet\.toml: recipe: scene\.blur: .*got 3"),
        ('set = {"scene.blur" = 2026-11-27}', r"syndet\.toml: recipe: scene\.blur"),
        ("[set.scene.blur]\na = 1", r"syndet\.toml: recipe: scene\.blur"),
        ('generator = "blendr"', r"scene\.generator: must be raycast, .*Did you mean 'blender'"),
        ('generator = "command: "', r"scene\.generator: must be raycast"),
        ('synthetic = "images"\nassets = "meshes"', "synthetic: takes the place of .*assets"),
    ],
)
def test_what_cannot_be_used_is_named(folder, text, message):
    with pytest.raises(DefinitionError, match=message):
        project_of(folder, text)


def test_a_file_that_is_no_text_is_named(folder):
    (folder / "syndet.toml").write_bytes(b'real = "\xff"')
    with pytest.raises(DefinitionError, match=r"syndet\.toml: is not UTF-8"):
        read_project(folder)
    (folder / "syndet.toml").unlink()
    (folder / "syndet.toml").mkdir()
    with pytest.raises(DefinitionError, match=r"syndet\.toml: is not a file"):
        read_project(folder)


def test_the_command_line_wins(folder):
    project = project_of(folder, 'real = "photos"\nhold-out = 0.2\nruns = "out"')
    options = SweepOptions(runs=None, real="others", seed=3).with_project(project)
    assert (options.real, options.hold_out, options.seed) == ("others", 0.2, 3)
    assert options.taken == ("hold_out", "runs")
    assert project.words(options.taken, []) == "syndet.toml: hold-out 0.2, runs out"
    assert project.words([], []) == ""
    stand_in = SweepOptions(runs=None, real="stand-in")
    assert stand_in.with_project(project).for_run().real is None


def test_an_error_of_a_sweep_names_what_the_project_gave(folder, syndet_here):
    project_of(folder, 'synthetic = "images"')
    message = r"scene\.objects: is searched.* out\. Taken from syndet\.toml: synthetic images\."
    assert re.search(message, syndet_here("check", "obstruction").stderr)


def test_what_init_writes_can_be_read(folder):
    (folder / 'my "photos" ü').mkdir()
    text = project_text(
        'my "photos" ü',
        {"skip-bad": True, "hold-out": 0.2},
        {"assets": folder / "meshes", "backgrounds": Path("floors")},
        folder,
    )
    assert 'assets = "meshes"' in text
    project = project_of(folder, text)
    assert project.options["real"] == str(folder / 'my "photos" ü')
    assert project.options["skip_bad"] is True
    assert project.settings["scene.backgrounds"] == str(folder / "floors")


def test_the_command_line_undoes_a_project_that_skips_bad_labels(folder):
    project = project_of(folder, "skip-bad = true")
    assert SweepOptions(runs=None).with_project(project).for_run().skip_bad
    options = SweepOptions(runs=None, real="photos", skip_bad=False).with_project(project)
    assert options.for_run().skip_bad is False and options.taken == ()
    first = SimpleNamespace(path=Path("sweeps/first.py"), assets=Path("meshes"), backgrounds=None)
    (check, _) = beginning._next_lines(first, options)
    assert check.endswith("check first --real photos --no-skip-bad")


def test_folders_that_are_not_there_are_named_before_anything_is_loaded(folder, syndet_here):
    for words in (["--assets", "lost"], ["--backgrounds", "lost"], ["--synthetic", "lost"]):
        done = syndet_here("check", "learning_rate", *words)
        assert done.returncode == 1
        assert done.stderr == (
            "syndet_ray: lost: does not exist. Correct the path, or leave the option out.\n"
        )


def test_init_names_folders_that_the_project_would_replace(folder):
    project = project_of(folder, 'assets = "meshes"\nbackgrounds = "floors"')
    options = SweepOptions(runs=None, real="photos").with_project(project)
    first = SimpleNamespace(
        path=Path("sweeps/other.py"), assets=Path("others"), backgrounds=folder / "floors"
    )
    (check, _) = beginning._next_lines(first, options)
    assert check.endswith("check other --real photos --assets others")


def test_no_skip_bad_is_an_option_of_commands_that_read_a_project(folder, syndet_here):
    (folder / "syndet.toml").write_text("real = 3")  # what is refused next
    for words in (["check", "smoke"], ["sweep", "smoke"], ["init"]):
        done = syndet_here(*words, "--no-skip-bad")
        assert done.returncode == 1 and "syndet.toml: real: must be text" in done.stderr


def test_init_writes_the_options_of_the_folder_once(folder, syndet_here):
    done = syndet_here("init")
    assert done.returncode == 1 and "--real: must name photos to measure" in done.stderr
    first = SimpleNamespace(
        path=Path("sweeps/first.py"),
        assets=Path("meshes"),
        backgrounds=folder / "floors",
    )
    options = SweepOptions(runs=None, real="photos", skip_bad=True)
    assert "syndet.toml, with the options" in beginning._write_project(first, options)
    assert beginning._next_lines(first, options)[0].endswith(" check first")
    project = read_project(folder)
    assert project.options == {"real": str(folder / "photos"), "skip_bad": True}
    assert project.settings["scene.assets"] == str(folder / "meshes")
    again = SweepOptions(runs=None, real="s3://bucket/x", classes=Path("classes.yaml"))
    again = again.with_project(project)
    assert "stays as it is" in beginning._write_project(first, again)
    assert beginning._next_lines(first, again)[1].endswith(
        "first --real s3://bucket/x --classes classes.yaml"
    )


def test_verbs_on_runs_take_their_folder(folder, syndet_here):
    project_of(folder, 'runs = "out"')
    done = syndet_here("ui", "--runs", "nowhere")
    assert "nowhere: does not exist" in done.stderr + done.stdout
    done = syndet_here("data", "label-style", "stand-in")
    assert done.stderr.startswith("syndet.toml: runs out\n")
    (folder / "syndet.toml").write_text("rons = 1", encoding="utf-8")
    done = syndet_here("data", "label-style", "stand-in")
    assert done.returncode == 1 and "rons: is no key. Did you mean 'runs'?" in done.stderr


SWEEP = """
from syndet_ray import *

SWEEP = Sweep(
    question="Does it run?",
    recipe=Recipe(
        detector=Detector(backbone="test_efficientnet", weights="none"),
        training=Training(images=4, batch_size=4, crop_px=128),
    ),
    trials=0,
    controls=(),
    variants={"all": {}},
    rungs=1,
)
"""


def test_a_run_records_what_it_takes_from_a_project(folder, dice):
    """The synthetic dataset has other pictures than the photos, and their classes."""
    (folder / "mine.py").write_text(SWEEP, encoding="utf-8")
    size, box = (128, 128), (20, 20, 40, 40)
    write_photos(folder / "renders", CLASSES, size, box, train=list(range(6)))
    scenes = "[set]\nscene.blur = 0.1\nmix.synthetic = 1"
    project = project_of(folder, f'real = "{dice}"\nsynthetic = "renders"\n{scenes}')
    options = SweepOptions(runs=None).with_project(project)
    request = make_request("mine.py", options)
    words = f"syndet.toml: real {dice}, synthetic renders, mix.synthetic=1"
    assert request.project_words == words, "blur has no effect without scenes"
    data = real_data(dice, request.definition, lambda *_: None)
    origin = sweeps._origin("mine.py", request.given, project)
    record = description(origin, request.definition, options.for_run(), data)
    about = json.loads(json.dumps(record))
    assert about["project"]["content"]["synthetic"] == "renders"
    assert about["real"]["others"]["counts"] == {str(folder / "renders"): 6}
    assert about["options"]["real"] == str(dice)
    (folder / "syndet.toml").unlink()
    again = with_given(load("mine.py"), about["given"])
    assert again == LoadedSweep.model_validate(about["asked"]), "resume compares these two"
    assert again.recipe.mix.sources == {"synthetic": Synthetic(folder=str(folder / "renders"))}
