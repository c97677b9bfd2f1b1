"""What changed since a run began is named; what the run itself settled, and pairs as JSON has them,
did not change.
"""

import hashlib
import json
import subprocess
from types import SimpleNamespace

import pytest
import trimesh
from made_runs import ABOUT, confirmed_run, made_run
from PIL import Image

from syndet_ray import Choice, Detector, Mix, Recipe, Scenes, SearchSpace
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DefinitionError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.runs.ingredients import scenes_hashes, weights_hashes
from syndet_ray.tuning import class_check, scoring
from syndet_ray.tuning.changes import _differences, code_notes, forced_notes, refuse
from syndet_ray.tuning.options import Options, Origin
from syndet_ray.tuning.record import (
    description,
    plain_options,
    record_environment,
    saved_options,
)
from syndet_ray.tuning.resume import _check_given
from syndet_ray.tuning.summary import summary_tags

PAIR = (40.0, 60.0)
WITH_PAIRS = LoadedSweep(
    question="?",
    recipe=Recipe(
        mix=Mix(sources={"small": Scenes(changes={"scene.size_px": (20, 30)}), "other": Scenes()})
    ),
    space=(SearchSpace({"scene.size_px": Choice(values=(PAIR, (50.0, 70.0)))}),),
    variants={"larger": {"scene.size_px": PAIR}},
    points=({"scene.size_px": PAIR},),
)


@pytest.fixture
def kept(tmp_path):
    """The sweep as a run that began with it keeps it."""

    def make(sweep):
        return RunFolder.create(tmp_path / "run", sweep, {}).sweep

    return make


def test_pairs_are_what_they_were(kept):
    assert _differences(kept(WITH_PAIRS), WITH_PAIRS) == []


def test_another_wording_of_the_question_is_no_change(kept):
    """A version that words the question of a shipped sweep better must not refuse its runs."""
    now = WITH_PAIRS.replace({"question": "The same, in other words?"})
    assert _differences(kept(WITH_PAIRS), now) == []


def test_another_pair_is_named(kept):
    now = WITH_PAIRS.replace({"variants": {"larger": {"scene.size_px": (40.0, 61.0)}}})
    (message,) = _differences(kept(WITH_PAIRS), now)
    assert message.startswith("variants was {'larger': {'scene.size_px': [40.0, 60.0]}} and is")


FILE_WITH_PAIRS = """
from syndet_ray import *

PAIR = (40, 60)
SMALL = Scenes(changes={"scene.size_px": PAIR, "scene.background_scale": (1, 2)})
SWEEP = Sweep(
    question="?",
    recipe=Recipe(mix=Mix(sources={"small": SMALL, "other": Scenes()}), detector=Detector(anchor_px=(16, 32))),
    space=(SearchSpace({"scene.size_px": Choice(values=(PAIR, (50, 70)))}),),
    variants={"small alone": {"mix.sources": {"small": SMALL}, "scene.size_px": PAIR}},
    points=({"scene.size_px": PAIR},),
)
"""


@pytest.mark.parametrize("given", [{}, {"points": ({"scene.size_px": (50, 70)},), "trials": 3}])
def test_a_file_with_unchanged_pairs_is_not_refused(tmp_path, given):
    file = tmp_path / "pairs.py"
    file.write_text(FILE_WITH_PAIRS)
    folder = begun(
        tmp_path, load(str(file)).replace(given), Origin(name="pairs", file=file, given=given)
    )
    refuse(folder, DATA)
    file.write_text(FILE_WITH_PAIRS.replace("PAIR = (40, 60)", "PAIR = (40, 61)"))
    with pytest.raises(
        DefinitionError, match=r"recipe\.mix\.sources was .*\[40, 60\].* and is .*\[40, 61\]"
    ):
        refuse(folder, DATA)


def changed(**settings):
    return WITH_PAIRS.model_copy(update={"recipe": WITH_PAIRS.recipe.replace(settings)})


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ("auto", 640, "was 'auto' and is 640"),
        (640, "auto", "was 640 and is 'auto'"),
        (640, 800, "was 640 and is 800"),
    ],
)
def test_a_setting_that_is_no_longer_left_to_the_run_has_changed_and_so_has_one_that_now_is(
    kept, then, now, message
):
    path = "detector.working_px"
    began = kept(changed(**{path: then}))
    assert _differences(began, changed(**{path: then})) == []
    assert _differences(began, changed(**{path: now})) == [f"recipe.{path} {message}"]


def test_numbers_are_equal_however_they_are_written(kept):
    began = kept(changed(**{"detector.anchor_px": (24.0, 33.94)}))
    assert _differences(began, changed(**{"detector.anchor_px": (24, 33.94)})) == []
    (message,) = _differences(began, changed(**{"detector.anchor_px": (24, 34)}))
    assert message == "recipe.detector.anchor_px was [24.0, 33.94] and is [24.0, 34.0]"


@pytest.fixture
def files(tmp_path):
    """Weights of the recipe, of a variant, of a point and of a search, by whose they are."""
    paths = {
        name: tmp_path / f"{name}.safetensors" for name in ("recipe", "variant", "point", "search")
    }
    for name, path in paths.items():
        path.write_bytes(name.encode())
    return paths


def starting_from(files):
    path = "detector.weights"
    return LoadedSweep(
        question="?",
        recipe=Recipe(detector=Detector(weights=str(files["recipe"]))),
        space=(SearchSpace({path: Choice(values=("imagenet", str(files["search"])))}),),
        variants={"other": {path: str(files["variant"])}, "coco": {path: "coco"}, "plain": {}},
        points=({path: str(files["point"])},),
    )


DATA = SimpleNamespace(
    describe=lambda: {"hashes": {"train": "1"}},
    stand_in=False,
    pools={"train": SimpleNamespace(classes=("a",))},
)


def begun(tmp_path, sweep, origin=None):
    """A run of a sweep that has just begun."""
    about = description(origin or Origin(name="run"), sweep, Options(runs=tmp_path), DATA)
    return RunFolder.create(tmp_path / "run", sweep, about)


@pytest.fixture
def run(tmp_path, files):
    """A run that began with these files."""
    return begun(tmp_path, starting_from(files))


def test_a_run_records_the_files_that_its_trials_may_start_from(run, files):
    expected = {
        str(path): hashlib.sha256(name.encode()).hexdigest() for name, path in files.items()
    }
    assert run.about["weights"] == expected
    refuse(run, DATA)


def test_named_weights_are_no_files(tmp_path):
    names = Choice(values=("imagenet", "coco", "none"))
    assert (
        weights_hashes(LoadedSweep(question="?", space=(SearchSpace({"detector.weights": names}),)))
        == {}
    )


@pytest.mark.parametrize("whose", ["recipe", "variant", "point", "search"])
def test_starting_weights_that_changed_are_named(whose, run, files):
    files[whose].write_bytes(b"other")
    then, now = (hashlib.sha256(content).hexdigest()[:12] for content in (whose.encode(), b"other"))
    with pytest.raises(DefinitionError) as error:
        refuse(run, DATA)
    words = f"the SHA-256 of the starting weights {files[whose]} was {then} and is {now}"
    assert error.value.rule == f"something has changed since this run began: {words}"


def test_starting_weights_that_are_gone_are_named(run, files):
    files["recipe"].unlink()
    with pytest.raises(
        DefinitionError, match=r"the starting weights .*recipe\.safetensors can no longer be read"
    ):
        refuse(run, DATA)


def test_a_run_of_an_earlier_version_says_so_and_blames_neither_its_file_nor_its_data(run):
    about = {name: value for name, value in run.about.items() if name not in ("asked", "weights")}
    run.describe(about | {"real": {"hashes": {"train": "of pixels"}}})
    with pytest.raises(DefinitionError) as error:
        refuse(run, DATA)
    words = "it began with an earlier version, which recorded its sweep file and its data in another way"
    assert error.value.rule == f"something has changed since this run began: {words}"
    assert "`force`" in str(error.value)


@pytest.fixture
def made_of(tmp_path):
    """A run whose scenes are made of a folder of each kind, and by a program; and these, by the
    settings that name them.
    """
    parts = {name: tmp_path / name for name in ("assets", "surroundings", "backgrounds")}
    for folder in (
        parts["assets"] / "bolt",
        parts["assets"] / "nut",
        parts["surroundings"],
        parts["backgrounds"],
    ):
        folder.mkdir(parents=True)
    for folder in (parts["assets"] / "bolt", parts["assets"] / "nut", parts["surroundings"]):
        trimesh.creation.box((1, 2, 3)).export(folder / "one.ply")
    Image.new("RGB", (64, 64)).save(parts["backgrounds"] / "one.png")
    script = tmp_path / "generator.py"
    script.write_text("a generator")
    own = {f"scene.{name}": str(folder) for name, folder in parts.items()}
    sweep = LoadedSweep(
        question="?",
        recipe=Recipe().replace(own),
        trials=0,
        variants={"own": {}, "by command": {"scene.generator": f"command:python {script} --fast"}},
    )
    return begun(tmp_path, sweep), parts | {"generator": script}


def test_a_run_records_what_its_scenes_are_made_of(made_of):
    run, parts = made_of
    assert sorted(run.about["scenes"]) == sorted(
        f"scene.{name} {path}" for name, path in parts.items()
    )
    assert (
        run.about["scenes"][f"scene.generator {parts['generator']}"]
        == hashlib.sha256(b"a generator").hexdigest()
    )
    refuse(run, DATA)


@pytest.mark.parametrize(
    ("setting", "file"),
    [
        ("assets", "assets/nut/one.ply"),
        ("assets", "assets/nut/two.ply"),
        ("surroundings", "surroundings/one.ply"),
        ("backgrounds", "backgrounds/one.png"),
        ("generator", "generator.py"),
    ],
)
def test_what_scenes_are_made_of_and_is_no_longer_the_same_is_named(
    made_of, tmp_path, setting, file
):
    run, parts = made_of
    if file.endswith(".ply"):
        trimesh.creation.box((1, 2, 4)).export(tmp_path / file)
    elif file.endswith(".png"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / file)
    else:
        (tmp_path / file).write_text("another generator")
    class_check.load.cache_clear()  # as is done before every attempt
    with pytest.raises(DefinitionError) as error:
        refuse(run, DATA)
    then = run.about["scenes"][f"scene.{setting} {parts[setting]}"][:12]
    words = f"something has changed since this run began: the SHA-256 of scene.{setting} {parts[setting]} was {then} and is"
    assert error.value.rule.startswith(words)
    assert error.value.rule.count(" was ") == 1, "and nothing else"


def test_what_no_scene_is_made_of_may_change(made_of):
    run, parts = made_of
    (parts["assets"] / "README.txt").write_text("read me")
    (parts["assets"] / "nut" / ".hidden.ply").write_text("no mesh")
    class_check.load.cache_clear()
    refuse(run, DATA)
    assert scenes_hashes(run.sweep) == run.about["scenes"]


def test_a_generator_that_is_gone_is_named_and_a_run_that_recorded_none_goes_on(made_of):
    run, parts = made_of
    parts["generator"].unlink()
    with pytest.raises(
        DefinitionError,
        match=r"began: scene\.generator .*generator\.py can no longer be read\. Start",
    ):
        refuse(run, DATA)
    run.describe({name: value for name, value in run.about.items() if name != "scenes"})
    refuse(run, DATA)


def test_packages_that_changed_or_are_gone_are_named(run):
    versions = run.about["versions"]
    assert {"torch", "trimesh", "opencv-python-headless", "syndet_ray"} <= versions.keys()
    run.describe(run.about | {"versions": versions | {"trimesh": "1.0", "gone": "2.0"}})
    words = rf"began: trimesh was 1\.0 and is {versions['trimesh']}; gone was 2\.0 and is not installed\. Start"
    with pytest.raises(DefinitionError, match=words):
        refuse(run, DATA)


def test_a_run_that_goes_on_by_force_tells_what_had_changed(run):
    assert forced_notes(run, DATA) == []
    other = SimpleNamespace(describe=lambda: {"hashes": {"train": "2", "photos": "1"}})
    words = "the run was continued although something had changed: the images or labels of "
    assert forced_notes(run, other) == [f"{words}train, photos"]
    early = {name: run.about[name] for name in ("name", "real")}
    run.describe(early)
    (note,) = forced_notes(run, DATA)
    assert "it began with an earlier version" in note


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *settings, *arguments], check=True, capture_output=True)


def test_another_commit_of_a_sweeps_file_is_reported_and_recorded_and_is_no_reason_to_refuse(
    tmp_path,
):
    file = tmp_path / "own" / "pairs.py"
    file.parent.mkdir()
    file.write_text(FILE_WITH_PAIRS)
    git(file.parent, "init", "-q")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-qm", "one")
    run = begun(tmp_path, load(str(file)), Origin(name="pairs", file=file))
    record_environment(run)
    then = run.about["code"]["sweep"]
    assert (len(then["commit"]), then["dirty"]) == (40, False)
    assert (code_notes(run), "resumed" in run.about) == ([], False)
    file.write_text(f"{FILE_WITH_PAIRS}# a comment")
    refuse(run, DATA)
    assert code_notes(run) == [
        f"the code of sweep was {then['commit'][:12]} and is {then['commit'][:12]} with changes"
    ]
    record_environment(run)
    git(file.parent, "commit", "-qam", "two")
    record_environment(run)
    record_environment(run)
    states = [attempt["code"]["sweep"] for attempt in run.about["resumed"]]
    assert [state["dirty"] for state in states] == [True, False]
    assert states[0]["commit"] == then["commit"] != states[1]["commit"]


def test_options_are_had_back_as_they_were_given(tmp_path):
    """A run that let near copies pass, or streamed its photos, goes on so; one from before there
    was the choice did not.
    """
    given = Options(
        runs=tmp_path,
        real=tmp_path / "photos",
        hours=2.5,
        allow_near_copies=True,
        hold_out=0.25,
        stream=True,
        format="COCO",
        skip_bad=True,
        classes_file=tmp_path / "names.yaml",
    )
    saved = json.loads(json.dumps(plain_options(given)))
    assert saved_options(saved) == given
    for newer in ("allow_near_copies", "hold_out", "stream", "format", "skip_bad", "classes_file"):
        del saved[newer]
    assert saved_options(saved) == Options(runs=tmp_path, real=tmp_path / "photos", hours=2.5)


def test_mlflow_has_the_scores_of_a_sweep_with_what_must_be_known_of_them():
    run = confirmed_run()
    best = scoring.scored_recipes(run.trials())["best"]
    tags = summary_tags(best, run.test(), run.about)
    assert tags["test_set"].startswith("real photos: 50 images")
    assert "near_copies" not in tags
    near = {"real": ABOUT["real"] | {"near_copies": {"test": 3}}}
    assert summary_tags(best, run.test(), run.about | near)["near_copies"].startswith(
        "3 of 50 test photos look"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 4}, "`trials`: must be at least the number of the run, 5, got 4"),
        (
            {"images": 2199},
            "`images`: must be at least the 2,200 that its trials have seen, got 2199",
        ),
        (
            {"hours": 0.0},
            r"`hours`: must be more than the \S+ hours that the run has taken, got 0.0",
        ),
    ],
)
def test_a_run_is_not_given_less_than_it_has_already(tmp_path, given, message):
    run = made_run().write(tmp_path / "run")
    with pytest.raises(DefinitionError, match=message):
        _check_given(run, given)
    _check_given(run, {"trials": 5, "images": 2201, "hours": 1.0})
    _check_given(run, {})
