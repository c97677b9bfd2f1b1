"""A training program of the user in a sweep: its trials, test scores, checks and costs."""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_programs import recipe_of, write_program
from PIL import Image
from safetensors.torch import save_file
from test_search import Silent
from test_settle import CPU, DATA

from syndet_ray import Choice, Detector, Float, Recipe, SearchSpace
from syndet_ray.clusters.bundle import paths_of
from syndet_ray.definitions.assignments import settings_of
from syndet_ray.definitions.effect import no_effect
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.program import program_name
from syndet_ray.detection.program import Workplace
from syndet_ray.detection.program_training import predict_by_program
from syndet_ray.errors import DataError, DefinitionError, SyndetError
from syndet_ray.runs.ingredients import program_hashes
from syndet_ray.runs.results import Trial
from syndet_ray.search.task import Resources, RunSettings, Task
from syndet_ray.tuning import changes
from syndet_ray.tuning.cost import measure
from syndet_ray.tuning.program_check import check_program_gpus, try_programs
from syndet_ray.tuning.scoring import score_checkpoint
from syndet_ray.tuning.settle import settled_sweep
from syndet_ray.workers.effective import check_settings
from syndet_ray.workers.local import Local
from syndet_ray.workers.nodes.needs import needs_of
from syndet_ray.workers.trial import run_trial

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "own_program.md").read_text()
RATE = "training.learning_rate"
LITE0 = "tf_efficientnet_lite0"


def run(squares, tmp_path, recipe, searched=(), restore=None):
    """Runs a trial; returns its reports and keeps its checkpoints under tmp_path."""
    cache = str(tmp_path / "cache")
    trial = Trial(number=0, role="search", params=dict.fromkeys(searched), recipe=recipe)
    task = Task(trial=trial, run=RunSettings(rungs=3, seed=1, cache=cache), threads=1)
    reports = []

    def report(images, metrics, effective, folder):
        shutil.copytree(folder, tmp_path / str(images), dirs_exist_ok=True)
        reports.append((images, metrics, effective))

    cpu = torch.device("cpu")
    run_trial(task, squares(8), squares(3, seed=7), device=cpu, restore=restore, report=report)
    return reports


def test_a_trial_is_scored_at_every_rung_and_goes_on_from_any(squares, tmp_path):
    command = write_program(tmp_path / "my_train.py")
    whole = run(squares, tmp_path, recipe_of(command), [RATE])
    assert [images for images, _, _ in whole] == [4, 8, 12]
    metrics, effective = whole[-1][1:]
    assert {"val/mAP", "val/AP50", "train/loss", "images_per_second"} <= metrics.keys()
    assert {"val/error/missed", "realised/synthetic"} <= metrics.keys()
    assert (effective["detector.program"], effective["detector.working_px"]) == (command, 96)
    rest = run(squares, tmp_path, recipe_of(command), [RATE], restore=tmp_path / "4")
    assert [images for images, _, _ in rest] == [8, 12]
    assert rest[-1][1]["val/mAP"] == metrics["val/mAP"]


def test_a_trial_that_is_pruned_stops_its_program(squares, tmp_path):
    end = tmp_path / "end"
    note = f"import atexit; atexit.register(lambda: pathlib.Path({str(end)!r}).write_text(str(images)))"
    recipe = recipe_of(write_program(tmp_path / "my_train.py", f"if images == 4: {note}"))
    trial = Trial(number=0, role="search", params={}, recipe=recipe)
    run_settings = RunSettings(rungs=3, seed=1, cache=str(tmp_path / "cache"))

    class Pruned(Exception):
        pass

    def report(images, metrics, effective, folder):
        raise Pruned

    with pytest.raises(Pruned):
        run_trial(
            Task(trial=trial, run=run_settings, threads=1),
            squares(8),
            squares(3, seed=7),
            device=torch.device("cpu"),
            restore=None,
            report=report,
        )
    assert end.read_text() == "4", "it has read its last line, and has ended by itself"


@pytest.mark.parametrize(
    ("broken", "searched", "message"),
    [
        (
            "pass",
            "training.weight_decay",
            r"trial: training.weight_decay: is searched, .* Let the program use it and report",
        ),
        (
            f"rung['effective']['{RATE}'] = 0.5",
            RATE,
            rf"{RATE}: was proposed as 0\.001, but my_train\.py reports another value, got 0\.5\. "
            r"Let the program use the proposed value, and report the one that it uses, read from",
        ),
    ],
)
def test_a_setting_that_a_program_does_not_carry_out_is_named(
    squares, tmp_path, broken, searched, message
):
    recipe = recipe_of(write_program(tmp_path / "my_train.py", broken))
    with pytest.raises(SyndetError, match=message):
        run(squares, tmp_path, recipe, [searched])


def test_a_program_says_what_it_chose_where_the_recipe_leaves_it_open():
    recipe = recipe_of("command:train")
    assert recipe.detector.backbone == "auto"
    check_settings(recipe, {"detector.backbone": "mine"}, searched=["detector.backbone"])
    named = recipe.replace({"detector.backbone": "resnet50"})
    with pytest.raises(SyndetError, match=r"backbone: was proposed as 'resnet50'.*got 'mine'"):
        check_settings(named, {"detector.backbone": "mine"})
    with pytest.raises(SyndetError, match=r"learning_rate: was proposed as 0\.001.*got 1000"):
        check_settings(named, {RATE: 10**400})


def test_images_in_other_shares_than_those_of_the_mix_are_named(squares, tmp_path):
    broken = "rung['effective']['drawn'] = {'real': images - 2, 'synthetic': 2}"
    command = write_program(tmp_path / "my_train.py", broken)
    recipe = recipe_of(command).replace({"mix.synthetic": 0.9})
    trial = Trial(number=0, role="search", params={}, recipe=recipe)
    run_settings = RunSettings(rungs=3, seed=1, cache=str(tmp_path / "cache"))
    with pytest.raises(SyndetError, match=r"trial: mix: real must be 0\.\d+ of 4 images.*got 2"):
        run_trial(
            Task(trial=trial, run=run_settings, threads=1),
            squares(8),
            squares(3, seed=7),
            scenes=lambda *_: squares(200, seed=2, name="synthetic"),
            device=torch.device("cpu"),
            restore=None,
            report=lambda *_: None,
        )


def test_the_example_of_the_guide_trains_and_predicts(squares, tmp_path):
    (code,) = re.findall(
        r"^## The smallest program.*?```python\n(.*?)```", GUIDE, re.DOTALL | re.MULTILINE
    )
    (tmp_path / "example.py").write_text(code)
    recipe = recipe_of(f"command:{sys.executable} {tmp_path / 'example.py'}")
    reports = run(squares, tmp_path, recipe)
    assert [images for images, _, _ in reports] == [4, 8, 12]
    workplace = Workplace(cache=tmp_path / "cache", device="cpu", threads=1)
    found = predict_by_program(tmp_path / "12", squares(2), recipe.detector.program, workplace)
    assert [len(image.scores) for image in found] == [2, 2], "a box of each class"
    shown = found_by_hand(tmp_path / "12", tmp_path)
    assert [line.split(" {")[0] for line in shown] == ["my photo.jpg", "my photo.jpg"]


def found_by_hand(model, folder):
    """What the documented script for a champion prints of a photo, without the program's answer."""
    (script,) = re.findall(
        r"^## The test set.*?```python\n(.*?)```", GUIDE, re.DOTALL | re.MULTILINE
    )
    (folder / "find.py").write_text(script)
    (folder / "photos").mkdir()
    Image.new("RGB", (60, 40)).save(folder / "photos" / "my photo.jpg")
    words = [sys.executable, str(folder / "find.py"), str(model), str(folder / "photos")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[1:]


@pytest.fixture
def ssdlite(monkeypatch):
    """The example for torchvision's SSDLite: makes its net for settings of the detector."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    example = import_module("ssdlite")

    def make(**settings):
        settings = {"working_px": 320, "anchor_px": [32]} | settings
        recipe = Recipe(detector=Detector(program="command:ssdlite", **settings)).flat()
        task = SimpleNamespace(setting=recipe.__getitem__, classes=["a"], state=None)
        torch.manual_seed(0)
        return example.SSDLite(task)

    return make


@pytest.mark.parametrize(
    ("settings", "built"),
    [
        ({}, ("mobilenet_v3_large", "none", 0)),
        ({"weights": "none", "frozen_stages": 0}, ("mobilenet_v3_large", "none", 0)),
        ({"backbone": LITE0}, (LITE0, "imagenet", 0)),
        ({"backbone": LITE0, "weights": "none"}, (LITE0, "none", 0)),
        ({"backbone": LITE0, "frozen_stages": "all"}, (LITE0, "imagenet", "all")),
    ],
)
def test_the_example_with_several_nets_reports_what_it_has_built(ssdlite, settings, built):
    detector = ssdlite(**settings)
    assert tuple(detector.effective().values()) == built
    is_lite0, (_, weights, frozen) = "lite0" in built[0], built
    trains = {weight.requires_grad for weight in detector.net.backbone.parameters()}
    assert trains == ({True, False} if frozen == "all" else {True})
    if is_lite0:
        others = ssdlite(backbone=LITE0, weights="none").net.backbone.body.state_dict()
        body = detector.net.backbone.body.state_dict()
        is_random = all(torch.equal(body[name], others[name]) for name in body)
        assert is_random == (weights == "none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "resnet50"}, "backbone must be one of auto, mobilenet_v3_large, tf_effic"),
        ({"weights": "imagenet"}, "weights must be one of auto, none, the path of a .* with mobil"),
        ({"weights": "coco"}, "weights must be one of auto, none, .*, got 'coco'"),
        ({"frozen_stages": "all"}, "frozen_stages must be one of auto, 0 with mobilenet"),
        ({"frozen_stages": 3, "backbone": LITE0}, "must be one of auto, 0, all with tf_.*got 3"),
        ({"weights": "FOLDER/other.safetensors"}, "weights: no tensor of .*other.safetensors fits"),
    ],
)
def test_the_example_with_several_nets_refuses_what_it_cannot_build(
    ssdlite, tmp_path, settings, message
):
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    if "weights" in settings:
        settings = {"weights": settings["weights"].replace("FOLDER", str(tmp_path))}
    with pytest.raises(SystemExit, match=message):
        ssdlite(**settings)


def test_a_model_of_a_program_is_scored_on_the_test_set(squares, tmp_path):
    recipe = recipe_of(write_program(tmp_path / "my_train.py"))
    run(squares, tmp_path, recipe)
    scores = score_checkpoint(
        squares(12, seed=9),
        "cpu",
        1,
        str(tmp_path / "12"),
        program=recipe.detector.program,
        cache=str(tmp_path / "cache"),
    )
    assert [len(image.scores) for image in scores.predictions] == [1, *[0] * 11]
    assert {"mAP", "AP50"} <= scores.draws.keys()


def sweep_of(recipe, **parameters):
    space = SearchSpace(parameters or {RATE: Float(low=1e-4, high=1e-2, log=True)})
    return LoadedSweep(question="?", recipe=recipe, space=(space,), trials=2)


def tried(sweep, squares):
    """Tries the programs of a sweep; returns the messages to its user."""
    data = replace(DATA, pools={"train": squares(8), "val": squares(3)})
    display = Silent()
    runner = Local(Resources(cpus=1, gpus=0, parallel=1), display)
    try_programs(sweep, data, runner, display)
    return display.notes


def test_a_program_is_tried_before_a_sweep_trains(squares, tmp_path):
    script = tmp_path / "my_train.py"
    sweep = sweep_of(recipe_of(write_program(script)))
    assert tried(sweep, squares) == []
    rates = measure({"train": squares(8), "val": squares(3)}, "cpu", 1, sweep.recipe, 0)
    assert rates.train_s == rates.score_s > 0
    assert rates.checkpoint_bytes > 0
    decay = {"training.weight_decay": Float(low=0.01, high=0.1)}
    with pytest.raises(SyndetError, match=r"weight_decay: is searched, and my_train\.py does not"):
        tried(sweep_of(recipe_of(write_program(script)), **decay), squares)
    garbage = recipe_of(write_program(script, "rung['predictions'] = predictions([7])"))
    with pytest.raises(DataError, match=r"found\.json, entry 0: must be an object with image_id"):
        tried(sweep_of(garbage), squares)


def test_what_a_program_chooses_itself_stays_open_when_a_sweep_is_settled(tmp_path):
    notes = []
    sweep = sweep_of(recipe_of(write_program(tmp_path / "my_train.py")))
    settled = settled_sweep(sweep, CPU, DATA, notes.append).recipe
    assert (settled.detector.backbone, settled.detector.weights) == ("auto", "auto")
    assert isinstance(settled.detector.working_px, int)
    assert isinstance(settled.training.crop_px, int)
    (note,) = notes
    assert note.startswith("my_train.py trains, on images whose longer side is")


def test_a_node_needs_the_files_of_the_program(tmp_path):
    script = tmp_path / "my_train.py"
    programs = Choice(values=("", write_program(script)))
    sweep = sweep_of(Recipe(), **{"detector.program": programs})
    needs = needs_of(sweep, ("a",), Path("runs"), None)
    assert needs.files[str(script)] == hashlib.sha256(script.read_bytes()).hexdigest()
    assert all(not detector.program for detector in needs.detectors)


def test_a_program_gets_one_gpu_at_most(tmp_path):
    sweep = sweep_of(recipe_of(write_program(tmp_path / "my_train.py")))
    for possible in (None, 0.5, 1):
        check_program_gpus(sweep, possible)
    check_program_gpus(sweep_of(Recipe()), 2)
    rule = r"^`gpus_per_trial`: must be at most 1: .*my_train.py trains in one process"
    with pytest.raises(DefinitionError, match=rule):
        check_program_gpus(sweep, 2)


def test_a_program_that_changed_is_named_before_a_run_goes_on(tmp_path):
    script = tmp_path / "my_train.py"
    sweep = sweep_of(recipe_of(write_program(script)))
    run_folder = SimpleNamespace(about={"programs": program_hashes(sweep)})
    assert changes._of_the_programs(run_folder) == []
    script.write_text("other")
    (change,) = changes._of_the_programs(run_folder)
    assert change.startswith(f"the SHA-256 of the training program {script} was ")


def test_all_files_that_a_program_is_started_with_count(tmp_path):
    config, folder = tmp_path / "my.yaml", tmp_path / "train"
    config.write_text("")
    modules = [folder / name for name in ("__main__.py", "model.py")]
    modules += [folder / "nets" / name for name in ("__init__.py", "deep/__init__.py", "deep/a.py")]
    others = [folder / "data" / "b.py", tmp_path / "elsewhere" / "__init__.py"]
    for file in (*modules, *others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    sweep = sweep_of(recipe_of(f"command:python {folder} --config={config} --depth=3"))
    assert set(map(Path, program_hashes(sweep))) == {config, *modules}
    as_option = sweep_of(recipe_of(f"command:python {config} --package={folder}"))
    assert program_hashes(as_option) == program_hashes(sweep)


def test_a_program_is_named_like_a_generator(tmp_path):
    (tmp_path / "my_train.py").write_text("")
    given = settings_of(["detector=command:python my_train.py --deep"], tmp_path)
    command = f"command:python {tmp_path / 'my_train.py'} --deep"
    assert given == {"detector.program": command}
    assert Recipe(detector=command) == Recipe(detector=Detector(program=command))
    assert program_name(command) == "my_train.py"
    assert program_name("command:python3 -P -m pkg.train --deep") == "pkg.train"
    run = "command:python3 -m torch.distributed.run /x/my_train.py"
    assert program_name(run) == "my_train.py"
    assert program_name("command:/x/yolo train") == "yolo"
    (tmp_path / "my train").mkdir()
    (tmp_path / "my train" / "__main__.py").touch()
    assert program_name(f"command:python3 '{tmp_path}/my train/' --deep") == "my train"
    assert program_name(f"command:nice -n 5 python3 '{tmp_path}/my train'") == "my train"
    assert program_name(f"command:/x/yolo '{tmp_path}/my train'") == "yolo"
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "__main__.py").write_text("")
    of_a_folder = settings_of(["detector=command:python train data"], tmp_path)
    assert of_a_folder == {"detector.program": f"command:python {tmp_path / 'train'} data"}
    with pytest.raises(DefinitionError, match=r"detector\.program: must be command:PROGRAM ARG"):
        Recipe().replace({"detector.program": "yolo"})
    with pytest.raises(DefinitionError, match=r"detector\.program: cannot be split"):
        Recipe().replace({"detector.program": "command:a 'b"})


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("python -m train", "./train"),
        ("python3.11 -u -W ignore -um train", "./train"),
        ("nice python -mmy_train --deep", "./my_train.py"),
        ("/usr/bin/python3 -m train.nets.deep", "./train/nets/deep.py"),
        ("nice -n 10 /usr/bin/env -u B -i A=b python -m train", "./train"),
        ("srun --exclusive -n 1 --gres gpu:1 --time=9 python -m train", "./train"),
    ],
)
def test_a_module_of_the_folder_is_refused_because_trials_start_elsewhere(tmp_path, words, file):
    for name in ("my_train.py", "train/__main__.py", "train/nets/deep.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    rule = "must not run a module of this folder with -m, because trials start in other folders"
    for setting in ("detector.program", "scene.generator"):
        with pytest.raises(DefinitionError) as error:
            settings_of([f"{setting}=command:{words}"], tmp_path)
        assert (error.value.place, error.value.rule) == (setting, rule)
        assert f"Write python3 {file}, or python3 -P -m " in str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        "python -m torch.distributed.run {folder}/my_train.py",
        "python -m accelerate.commands.launch --config cfg {folder}/my_train.py",
        "python -P -m train -m train",
        "python -Im train",
        "python -m",
        "python -c pass -m train",
        "python {folder}/my_train.py -m other",
        "./trainer -m train",
    ],
)
def test_an_installed_module_stays_as_it_is(tmp_path, words):
    for name in ("my_train.py", "train.py", "accelerate/notes.txt", "train/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    command = f"command:{words.format(folder=tmp_path)}"
    assert settings_of([f"detector={command}"], tmp_path) == {"detector.program": command}


@pytest.mark.parametrize(
    "words",
    [
        "docker run -v /p:/w -w /w torch:2 python -m train",
        "env -C /p python3 -m train",
        "env -iC /p python3 -m train",
        "/usr/bin/env --chdir=/p python3 -m train",
        "env PYTHONPATH=/p python3 -m train",
        "srun -n 1 --chdir /p python3 -m train",
        "srun -D /p python3 -m train",
        "srun --exclusive /p/run.sh python -m train",
        "uv run --directory /p python -m train",
        "conda run --cwd /p -n old python -m train",
        "/p/run.sh python -m train",
    ],
)
def test_a_module_after_a_program_that_sets_the_folder_stays_as_it_is(tmp_path, words):
    (tmp_path / "train").mkdir()
    for name in ("train.py", "train/__main__.py"):
        (tmp_path / name).write_text("")
    command = f"command:{words}"
    assert settings_of([f"detector={command}"], tmp_path) == {"detector.program": command}


def test_a_module_with_the_name_of_a_file_is_no_path(tmp_path):
    (tmp_path / "torchrun").write_text("")
    command = "command:python -m torchrun"
    assert settings_of([f"detector={command}"], tmp_path) == {"detector.program": command}


def test_a_file_of_an_option_is_found_from_any_folder(tmp_path):
    for name in ("my_train.py", "my.yaml"):
        (tmp_path / name).write_text("")
    words = "--config=my.yaml --out=none.yaml --folder=. --empty="
    given = settings_of([f"detector=command:python my_train.py {words}"], tmp_path)
    script, config = tmp_path / "my_train.py", tmp_path / "my.yaml"
    command = f"command:python {script} --config={config} --out=none.yaml --folder=. --empty="
    assert given == {"detector.program": command}
    sweep = sweep_of(recipe_of(command))
    assert set(map(Path, program_hashes(sweep))) == {script, config}
    assert {script, config} <= set(paths_of(sweep))


def test_a_folder_among_the_words_is_found_from_any_folder_and_sent(tmp_path):
    for name in ("cfg", "nets", "python", "train"):
        (tmp_path / name).mkdir()
    (tmp_path / "my_train.py").write_text("")
    given = settings_of(
        ["detector=command:python my_train.py train ./cfg --nets=nets/ --all=. --up ../"], tmp_path
    )
    words = f"{tmp_path}/my_train.py train {tmp_path}/cfg --nets={tmp_path}/nets --all=. --up ../"
    assert given == {"detector.program": f"command:python {words}"}
    sent = paths_of(sweep_of(recipe_of(given["detector.program"])))
    assert set(sent) >= {tmp_path / name for name in ("my_train.py", "cfg", "nets")}
    assert not {tmp_path / "python", tmp_path / "train"} & set(sent), "a program and a subcommand"


def test_a_program_may_use_any_setting_but_the_one_that_names_our_detector():
    by_program, ours = Recipe(detector="command:train"), Recipe()
    for path in ("training.momentum", "detector.anchor_px", "detector.backbone_rate"):
        assert no_effect(path, by_program) is None
    assert no_effect("training.momentum", ours).where == "training.optimizer is adamw"
    reason = no_effect("detector.architecture", by_program)
    assert reason.where == "detector.program is command:train"
    assert no_effect("detector.architecture", ours) is None
