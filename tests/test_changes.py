"""What changed since a run began is named; what the run itself settled, and pairs as JSON has them, did not change."""

import hashlib
from types import SimpleNamespace

import pytest

from syndet_ray import Choice, Detector, Mix, Recipe, Scenes, SearchSpace, Sweep
from syndet_ray.errors import DefinitionError
from syndet_ray.run_folder import RunFolder
from syndet_ray.tuning.changes import _differences, refuse, weights_hashes
from syndet_ray.tuning.run import Options, Origin, _about

PAIR = (40.0, 60.0)
WITH_PAIRS = Sweep(
    question="?",
    recipe=Recipe(mix=Mix(sources={"small": Scenes(changes={"scene.size_px": (20, 30)}), "other": Scenes()})),
    space=(SearchSpace({"scene.size_px": Choice(values=(PAIR, (50.0, 70.0)))}),),
    variants={"larger": {"scene.size_px": PAIR}},
    points=({"scene.size_px": PAIR},),
)


@pytest.fixture
def kept(tmp_path):
    """What a run that began with a sweep holds of it."""

    def make(sweep):
        return RunFolder.create(tmp_path / "run", sweep, {}).sweep

    return make


def test_pairs_are_what_they_were(kept):
    assert _differences(kept(WITH_PAIRS), WITH_PAIRS) == []


def test_another_pair_is_named(kept):
    now = WITH_PAIRS.replace({"variants": {"larger": {"scene.size_px": (40.0, 61.0)}}})
    (said,) = _differences(kept(WITH_PAIRS), now)
    assert said.startswith("variants was {'larger': {'scene.size_px': [40.0, 60.0]}} and is")


def changed(**settings):
    return WITH_PAIRS.model_copy(update={"recipe": WITH_PAIRS.recipe.replace(settings)})


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ("auto", 640, "was 'auto' and is 640"),
        (640, "auto", "was 640 and is 'auto'"),
        (640, 800, "was 640 and is 800"),
    ],
)
def test_a_setting_that_is_no_longer_left_to_the_run_has_changed_and_so_has_one_that_now_is(kept, then, now, said):
    path = "detector.working_px"
    began = kept(changed(**{path: then}))
    assert _differences(began, changed(**{path: then})) == []
    assert _differences(began, changed(**{path: now})) == [f"recipe.{path} {said}"]


def test_numbers_are_equal_however_they_are_written(kept):
    began = kept(changed(**{"detector.anchor_px": (24.0, 33.94)}))
    assert _differences(began, changed(**{"detector.anchor_px": (24, 33.94)})) == []
    (said,) = _differences(began, changed(**{"detector.anchor_px": (24, 34)}))
    assert said == "recipe.detector.anchor_px was [24.0, 33.94] and is [24.0, 34.0]"


@pytest.fixture
def files(tmp_path):
    """Weights of the recipe, of a variant, of a point and of a search, by whose they are."""
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("recipe", "variant", "point", "search")}
    for name, path in paths.items():
        path.write_bytes(name.encode())
    return paths


def starting_from(files):
    path = "detector.weights"
    return Sweep(
        question="?",
        recipe=Recipe(detector=Detector(weights=str(files["recipe"]))),
        space=(SearchSpace({path: Choice(values=("imagenet", str(files["search"])))}),),
        variants={"other": {path: str(files["variant"])}, "coco": {path: "coco"}, "plain": {}},
        points=({path: str(files["point"])},),
    )


DATA = SimpleNamespace(
    describe=lambda: {"hashes": {"train": "1"}}, stand_in=False, pools={"train": SimpleNamespace(classes=("a",))}
)


@pytest.fixture
def run(tmp_path, files):
    """A run that began with these files."""
    sweep = starting_from(files)
    return RunFolder.create(tmp_path / "run", sweep, _about(Origin("run"), sweep, Options(runs=tmp_path), DATA))


def test_a_run_records_the_files_that_its_trials_may_start_from(run, files):
    expected = {str(path): hashlib.sha256(name.encode()).hexdigest() for name, path in files.items()}
    assert run.about["weights"] == expected
    refuse(run, DATA)


def test_named_weights_are_no_files(tmp_path):
    names = Choice(values=("imagenet", "coco", "none"))
    assert weights_hashes(Sweep(question="?", space=(SearchSpace({"detector.weights": names}),))) == {}


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
    with pytest.raises(DefinitionError, match=r"the starting weights .*recipe\.safetensors can no longer be read"):
        refuse(run, DATA)


def test_a_run_of_an_earlier_version_says_so_and_blames_neither_its_file_nor_its_data(run):
    about = {name: value for name, value in run.about.items() if name not in ("asked", "weights")}
    run.describe(about | {"real": {"hashes": {"train": "of pixels"}}})
    with pytest.raises(DefinitionError) as error:
        refuse(run, DATA)
    words = "it began with an earlier version, which recorded its sweep file and its data in another way"
    assert error.value.rule == f"something has changed since this run began: {words}"
    assert "--force" in str(error.value)
