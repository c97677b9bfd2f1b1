"""Sets rendered by Ray: the same on any number of workers, also if workers are lost."""

import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
import ray
import trimesh
from conftest import ray_cluster

from syndet_ray import SceneParameters
from syndet_ray.boxes import Boxes
from syndet_ray.data.convert import convert
from syndet_ray.data.parts import copy_here
from syndet_ray.data.pool import Pool
from syndet_ray.data.read import read
from syndet_ray.data.record import Record
from syndet_ray.data.shards import write_into
from syndet_ray.data.writers.image_copies import ImageCopy, copy_images
from syndet_ray.data.writers.losses import Losses
from syndet_ray.definitions.loader import load
from syndet_ray.errors import DataError, DefinitionError, MachineError
from syndet_ray.progress import quiet
from syndet_ray.scenes import shards
from syndet_ray.scenes.generate import generate, render_part, scene_hash
from syndet_ray.workers import render as rendering
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.copying import copy_on_cluster
from syndet_ray.workers.raylet import started_raylet
from syndet_ray.workers.render import render_set, scene_parameters, write_set

EXAMPLE = Path(__file__).parents[1] / "benchmarks" / "command_generator.py"
PARAMETERS = SceneParameters(objects=3, image_px=64, size_px=(16, 20))


@pytest.fixture(scope="module", autouse=True)
def without_token():
    """Ray settles once in a process whether its clusters ask for a token; those of `Cluster` do
    not.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def connected():
    """A Ray cluster on this machine."""
    with connection(None):
        yield


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SCENES", 2)


def plain(value):
    """A value of a pool, to be compared to the byte."""
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def differences(a, b):
    """The fields in which two pools are not equal to the byte."""
    names = [field.name for field in fields(Pool)]
    return [name for name in names if plain(getattr(a, name)) != plain(getattr(b, name))]


def test_shards_have_a_fixed_size_and_cover_a_set_once():
    assert shards.shards_of(0) == []
    assert shards.shards_of(1) == [range(1)]
    assert shards.shards_of(100) == [range(50), range(50, 100)]
    assert shards.shards_of(101)[-1] == range(100, 101)


class Told:
    """A display that keeps what it is given."""

    def __init__(self):
        self.last, self.notes = {}, []

    def note(self, text):
        self.notes.append(text)

    def progress(self, what, done, total):
        self.last[what] = (done, total)


def test_the_verb_writes_a_dataset(tmp_path):
    """Stands before the tests that share a cluster: it starts one of its own."""
    display = Told()
    write_set(
        PARAMETERS, 3, 5, tmp_path / "out", cache=tmp_path / "cache", display=display, workers=2
    )
    assert display.last == {"rendering": (3, 3), "writing": (3, 3)}
    assert not ray.is_initialized()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"images", "annotations.json", "annotations.parquet", "contact_sheet.png"}
    source = read(tmp_path / "out").splits["train"]
    pool = generate(PARAMETERS, 3, 5, tmp_path / "cache")
    assert [len(record.boxes) for record in source.records] == pool.box_counts.tolist()
    with pytest.raises(DataError, match="must be a new or an empty folder"):
        write_set(PARAMETERS, 3, 5, tmp_path / "out", cache=tmp_path / "cache", display=display)


def test_guessed_units_are_reported_before_anything_is_rendered(tmp_path, monkeypatch):
    for name, side in (("bolt", 1.0), ("nut", 2.0)):
        (tmp_path / "assets" / name).mkdir(parents=True)
        trimesh.creation.box((side, side, side)).export(tmp_path / "assets" / name / "a.stl")
    parameters = SceneParameters(assets=str(tmp_path / "assets"))
    display = Told()

    def interrupted(address):
        raise KeyboardInterrupt

    monkeypatch.setattr(rendering, "connection", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_set(parameters, 3, 5, tmp_path / "out", cache=tmp_path / "cache", display=display)
    (note,) = display.notes
    assert "they are taken as metres (bolt 1 m to nut 2 m)" in note


@pytest.fixture
def nodes():
    """A cluster with a head that runs nothing."""
    with ray_cluster(cores=0) as started:
        yield started


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
def test_nodes_without_gpus_are_used_and_their_loss_is_borne(
    tmp_path, small_shards, monkeypatch, nodes
):
    with_gpu, without = nodes.add_node(num_cpus=1, num_gpus=1), nodes.add_node(num_cpus=1)
    original, used = rendering.render_part, tmp_path / "used"
    used.mkdir()

    def noted(*key):
        (used / ray.get_runtime_context().get_node_id()).touch()
        return original(*key)

    monkeypatch.setattr(rendering, "render_part", noted)
    with connection(nodes.address):
        first = render_set(PARAMETERS, 6, 3, tmp_path / "a")
        # A GPU node may help out while no other has a core free; it is never the only one.
        assert (used / without.node_id).exists()
        nodes.remove_node(without, allow_graceful=False)
        assert differences(render_set(PARAMETERS, 6, 3, tmp_path / "b"), first) == []
    assert (used / with_gpu.node_id).exists()


def test_pools_that_differ_are_distinguished(tmp_path):
    pool, other = generate(PARAMETERS, 1, 7, tmp_path), generate(PARAMETERS, 1, 8, tmp_path)
    assert {"pixels", "xyxy", "image_ids"} <= set(differences(pool, other))


def test_joined_shards_are_the_set_in_whatever_order_they_come(tmp_path, small_shards):
    folder, paths = shards.shards_folder(tmp_path / "set"), []
    for part in reversed(shards.shards_of(5)):
        paths.append(shards.shard_path(folder, part))
        render_part(PARAMETERS, 5, 7, part).save(paths[-1])
    assert differences(shards.join_shards(paths), generate(PARAMETERS, 5, 7, tmp_path)) == []


def test_the_curriculum_goes_on_across_shards(tmp_path, small_shards):
    parameters = PARAMETERS.model_copy(update={"arrangement": "layers", "poses": "curriculum"})
    whole = generate(parameters, 3, 7, tmp_path)
    assert np.array_equal(render_part(parameters, 3, 7, range(2, 3)).image(0), whole.image(2))


@pytest.mark.parametrize("workers", [1, 4, None])
def test_a_set_does_not_depend_on_the_number_of_workers(workers, connected, small_shards, tmp_path):
    told = []
    pool = render_set(
        PARAMETERS, 7, 3, tmp_path / "a", workers=workers, progress=lambda *done: told.append(done)
    )
    assert differences(pool, generate(PARAMETERS, 7, 3, tmp_path / "b")) == []
    assert told == sorted(told)
    assert told[-1] == (7, 7)


def test_a_worker_renders_in_one_thread_and_does_not_end_with_the_terminal(connected):
    def of_worker():
        return cv2.getNumThreads(), Path("/proc/self/status").read_text()

    threads, worker = ray.get(rendering._call.remote(of_worker))
    raylet = Path(f"/proc/{started_raylet().pid}/status").read_text()
    assert threads == 1
    assert signal.SIGHUP in blocked_signals(worker)
    assert signal.SIGHUP in blocked_signals(raylet)


def blocked_signals(status):
    """The signals that a process of Linux has blocked, from its /proc/PID/status."""
    (line,) = [line for line in status.splitlines() if line.startswith("SigBlk:")]
    mask = int(line.split()[1], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


def test_a_finished_shard_is_not_rendered_again_and_half_a_shard_does_not_count(
    connected, small_shards, tmp_path, monkeypatch
):
    key = scene_hash(PARAMETERS, 5, 3)
    folder, asked = shards.shards_folder(tmp_path / "a" / key), tmp_path / "asked"
    render_part(PARAMETERS, 5, 3, range(2)).save(shards.shard_path(folder, range(2)))
    # as a killed process leaves it
    half = folder / f".{shards.shard_path(folder, range(2, 4)).name}-torn"
    half.mkdir()
    (half / "pixels.npy").write_bytes(b"half")
    asked.mkdir()
    original = rendering.render_part

    def noted(*key):
        (asked / str(key[3].start)).touch()
        return original(*key)

    monkeypatch.setattr(rendering, "render_part", noted)
    assert (
        differences(
            render_set(PARAMETERS, 5, 3, tmp_path / "a"), generate(PARAMETERS, 5, 3, tmp_path / "b")
        )
        == []
    )
    assert sorted(path.name for path in asked.iterdir()) == ["2", "4"]
    assert [path.name for path in (tmp_path / "a").iterdir() if path.is_dir()] == [key]


def test_a_killed_task_is_done_again(connected, small_shards, tmp_path, monkeypatch):
    original, marker = rendering.render_part, tmp_path / "killed"

    def killed_once(parameters, count, seed, part):
        if part.start == 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(parameters, count, seed, part)

    monkeypatch.setattr(rendering, "render_part", killed_once)
    pool = render_set(PARAMETERS, 5, 3, tmp_path / "a")
    assert marker.exists()
    assert differences(pool, generate(PARAMETERS, 5, 3, tmp_path / "b")) == []


def test_a_task_that_always_dies_is_named_and_what_was_done_is_kept(
    connected, small_shards, tmp_path, monkeypatch
):
    original = rendering.render_part

    def killed(parameters, count, seed, part):
        if part.start == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(parameters, count, seed, part)

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "RETRIES", 1)
        patch.setattr(rendering, "render_part", killed)
        with pytest.raises(MachineError, match="rendering: lost its worker twice"):
            render_set(PARAMETERS, 3, 3, tmp_path, workers=1)
    kept = shards.shard_path(
        shards.shards_folder(tmp_path / scene_hash(PARAMETERS, 3, 3)), range(2)
    )
    assert len(Pool.load(kept)) == 2
    assert len(render_set(PARAMETERS, 3, 3, tmp_path)) == 3


def test_a_program_from_outside_renders_as_a_task(connected, tmp_path):
    command = f"command:{sys.executable} {EXAMPLE}"
    parameters = SceneParameters(generator=command, objects=2, image_px=64, size_px=(16, 20))
    pool = render_set(parameters, 3, 3, tmp_path)
    assert (len(pool), pool.synthetic) == (3, True)
    key = scene_hash(parameters, 3, 3)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        key,
        f"{key}-command",
    ]
    assert differences(render_set(parameters, 3, 3, tmp_path), pool) == []


def test_what_is_wrong_with_a_program_is_said_as_it_was_raised(connected, tmp_path):
    parameters = PARAMETERS.model_copy(update={"generator": f"command:{sys.executable} -c pass"})
    with pytest.raises(DataError, match="wrote nothing") as caught:
        render_set(parameters, 3, 3, tmp_path)
    assert not isinstance(caught.value, ray.exceptions.RayError)
    assert (tmp_path / f"{scene_hash(parameters, 3, 3)}-command" / "log.txt").exists()


def contents(folder):
    """The bytes of every file in a folder, by its path in there."""
    files = filter(Path.is_file, folder.rglob("*"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


@pytest.mark.parametrize("to", ["yolo", "parquet"])
def test_a_converted_set_is_written_by_tasks(connected, dice, tmp_path, to):
    dataset = read(dice)
    done = []
    for name, copying in (("here", copy_here), ("cluster", copy_on_cluster)):
        convert(dataset, tmp_path / name, to, lambda *step: done.append(step), copying)
    here, cluster = contents(tmp_path / "here"), contents(tmp_path / "cluster")
    assert here == cluster and len(here) >= 3
    images = sum(map(len, dataset.splits.values()))
    assert done[-1] == (images, images)


def killed_once(parts, marker):
    """Parts of which the first leaves half a file and loses its worker, when it is written first."""

    class Killed:  # in a function, so that Ray's workers need not import this module
        files = parts[0].files

        def write(self):
            if not marker.exists():
                marker.touch()
                self.files[0].write_bytes(b"PAR1 and no more")
                os.kill(os.getpid(), signal.SIGKILL)
            return parts[0].write()

    return [Killed(), *parts[1:]]


def test_a_shard_whose_worker_is_lost_is_written_again(connected, dice, tmp_path):
    splits = read(dice).splits
    marker = tmp_path / "killed"

    def losing_a_worker(parts, progress):
        assert len(parts) > len(splits)
        return copy_on_cluster(killed_once(parts, marker), progress)

    for name, copying in (("here", copy_here), ("cluster", losing_a_worker)):
        (tmp_path / name).mkdir()
        write_into(tmp_path / name, splits, copying=copying, shard_bytes=30_000)
    assert marker.exists()
    assert contents(tmp_path / "here") == contents(tmp_path / "cluster")


def test_what_a_node_does_not_have_is_named_and_nothing_is_left(connected, tmp_path):
    image = tmp_path / "gone.png"
    record = Record(
        image_id="gone.png", image=image, size_wh=(8, 8), boxes=Boxes.none(), place="image 7"
    )
    copies = [ImageCopy.of(record, tmp_path / "out" / "a.png")]
    with pytest.raises(MachineError, match=r"out: is not on each node\. Write into a folder that"):
        copy_images(copies, Losses(), quiet, copy_on_cluster)
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"image 7: the image cannot be read .* nodes of a cluster"):
        copy_images(copies, Losses(), quiet, copy_on_cluster)
    assert contents(tmp_path) == {}


def test_settings_of_the_verb_are_those_of_a_recipe():
    changed = scene_parameters(
        ["scene.objects=7", "scene.size_px=[20, 30]", "scene.generator=command:x y"]
    )
    assert (changed.objects, changed.size_px, changed.generator) == (7, (20, 30), "command:x y")
    assert scene_parameters([]) == SceneParameters()
    assert scene_parameters(["scene.hue=0"]) == SceneParameters(), "as it is anyway"
    scene = load("randomization").recipe.scene
    assert scene != SceneParameters() and scene.blur != 0.1
    of_sweep = scene_parameters(["scene.blur=0.1"], {}, "randomization")
    assert of_sweep == scene.model_copy(update={"blur": 0.1})
    assert scene_parameters(["scene.hue=0.5", "scene.distractors=3"]).hue == 0.5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("blur=0.2", "Did you mean 'scene.blur'"),
        ("scene.blur", "must read like"),
        ("mix.synthetic=0.5", "must read like"),
        ("scene.blurr=1", "Did you mean 'scene.blur'"),
        ("scene.blur=2", "scene.blur"),
        ("scene.blur=much", "scene.blur"),
        (
            "scene.occluders=0.5",
            "scene.occluders: changes nothing: nothing acts on it where scene.arrangement is tray. Leave it out",
        ),
        (
            r"scene.scale_range=[0.1, 2]",
            "scene.scale_range: changes nothing: nothing acts on it where scene.arrangement is tray",
        ),
        (
            "scene.hue=0.5",
            "scene.hue: changes nothing: nothing acts on it where scene.arrangement is tray and scene.distractors is 0",
        ),
    ],
)
def test_a_wrong_setting_is_named(setting, message):
    with pytest.raises(DefinitionError, match=message):
        scene_parameters([setting])


def test_a_setting_that_does_not_act_on_pasted_images_is_named():
    pasted = scene_parameters(["scene.arrangement=paste", "scene.scale_range=[0.1, 2]"])
    assert pasted.pastes and pasted.scale_range == (0.1, 2)
    with pytest.raises(
        DefinitionError,
        match=r"scene.blur: changes nothing: nothing acts on it where scene.arrangement is paste",
    ):
        scene_parameters(["scene.arrangement=paste", "scene.blur=0.1"])
    drawn = scene_parameters(["scene.arrangement=paste", "scene.generator=command:x"])
    assert not drawn.pastes, "a program makes what it likes"
