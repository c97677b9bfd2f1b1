"""What a sweep takes of the disk is estimated, and refused where there is no room; a disk that
fills up is found out.
"""

import errno
import pickle
import resource
import shutil
from contextlib import contextmanager

import pytest
from made_detections import TINY
from PIL import Image

from syndet_ray import (
    Choice,
    Confirmation,
    Mix,
    Recipe,
    SceneParameters,
    Scenes,
    SearchSpace,
    Training,
)
from syndet_ray.boxes import Boxes
from syndet_ray.cli import listing
from syndet_ray.data.decode import decode
from syndet_ray.data.record import Record, Source
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.errors import MachineError
from syndet_ray.search.task import Resources
from syndet_ray.tuning.cost import Rates, cost_at, measure
from syndet_ray.tuning.disk import Disk, Room, check_fits, disk_bytes, most_used, room
from syndet_ray.workers.disk import fault, places

MB = 1_000_000  # bytes
SCENE_BYTES = 3 * 256 * 256


def sweep(**fields):
    sources = {
        "few": Scenes(images=100),
        "many": Scenes(images=1000, changes={"scene.objects": 70}),
    }
    recipe = Recipe(
        mix=Mix(sources=sources),
        scene=SceneParameters(image_px=256),
        training=Training(images=1000),
    )
    space = fields.pop("space", {"mix.synthetic": Choice(values=(0.2, 0.8))})
    return LoadedSweep(
        question="?", recipe=recipe, space=(SearchSpace(space),), trials=10, **fields
    )


def test_checkpoints_are_those_of_trials_that_run_and_of_what_may_meet_the_test_set():
    asked = sweep(confirm=Confirmation(top=2, seeds=3))
    cost = cost_at(
        asked,
        Rates(train_s=0.01, score_s=0.1, scene_s=0.5, checkpoint_bytes=MB),
        val_images=10,
        use=Resources(cpus=1, gpus=0.0, parallel=4),
    )
    running, controls, best, confirmations = 4 * 3, 2, 2, 3 * (2 + 2)
    assert cost.disk.checkpoints == (running + controls + best + confirmations) * MB


def test_a_set_counts_once_and_sets_of_searched_scenes_once_a_proposal():
    assert most_used(sweep(), 0, 0, 1).scenes == 1100 * SCENE_BYTES
    varied = sweep(space={"scene.blur": Choice(values=(0.0, 0.5, 1.0))})
    assert most_used(varied, 0, 0, 1).scenes == (1 + 10) * 1100 * SCENE_BYTES


def test_a_checkpoint_is_measured_as_it_will_be_written(squares):
    from syndet_ray.detection.train import Trainer

    recipe = Recipe(mix=Mix(synthetic=0.0), detector=TINY, training=Training(images=4, crop_px=64))
    rates = measure({"train": squares(4), "val": squares(1)}, "cpu", 1, recipe, 0)
    parameters = sum(
        p.numel()
        for p in Trainer(recipe, {"real": squares(1)}, device="cpu", seed=0).model.parameters()
    )
    assert rates.checkpoint_bytes > 4 * parameters
    assert rates.checkpoint_bytes < 4 * 4 * parameters, (
        "the model, and two numbers of the optimizer for each of its own"
    )


def test_a_sweep_without_room_is_refused_and_says_what_for(tmp_path):
    disk = Disk(checkpoints=3_000 * MB, scenes=1_000 * MB)
    check_fits(disk, Room(free=4_000 * MB, cache=2_000 * MB), tmp_path, None)
    with pytest.raises(MachineError) as error:
        check_fits(disk, Room(free=3_999 * MB, cache=2_000 * MB), tmp_path, None)
    words = "lacks 1 MB for 3.0 GB of checkpoints and 1.0 GB of scenes (4.0 GB are free). Make room, give another `runs`,"
    assert (
        str(error.value)
        == f"{tmp_path}: {words} let checkpoints go to S3 with `storage`, or start it anyway with `force`."
    )
    with pytest.raises(
        MachineError, match=r"give another `runs`, or start it anyway with `force`\."
    ):
        check_fits(disk, Room(free=999 * MB, cache=2_000 * MB), tmp_path, "s3://bucket")


def test_checkpoints_that_go_elsewhere_and_scenes_beyond_the_bound_take_nothing():
    disk, small = Disk(checkpoints=3_000 * MB, scenes=1_000 * MB), Room(free=5 * MB, cache=400 * MB)
    assert disk_bytes(disk, small, "s3://bucket") == 400 * MB
    assert disk_bytes(disk, small, None) == 3_400 * MB
    lines = [
        *listing.disk_lines(disk, small, None),
        *listing.disk_lines(disk, small, "s3://bucket"),
    ]
    assert lines == [
        "disk     at most 3.0 GB of checkpoints and 400 MB of scenes (of 1.0 GB: the least recently used are deleted); 5 MB free",
        "disk     at most 400 MB of scenes (of 1.0 GB: the least recently used are deleted); 5 MB free",
    ]


def test_the_room_is_that_of_the_disk_now_and_a_bound_that_is_no_number_is_found_before_anything_starts(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SYNDET_CACHE_GB", "2")
    space = room(tmp_path, tmp_path / "cache")
    assert space.cache == 2_000 * MB
    assert space.free > 0
    monkeypatch.setenv("SYNDET_CACHE_GB", "two")
    with pytest.raises(MachineError, match=r"\$SYNDET_CACHE_GB"):
        room(tmp_path, tmp_path / "cache")


@contextmanager
def no_file_may_grow():
    """The system refuses every byte written to a file, as it does on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_cannot_be_written_is_to_blame_whatever_the_error_says(tmp_path):
    error = RuntimeError("PytorchStreamWriter failed writing file data/0")
    looked_at = (tmp_path / "of another machine", tmp_path)
    assert fault(error, looked_at) is None
    with no_file_may_grow():
        message = fault(error, looked_at)
    assert message == f"{tmp_path} cannot be written (File too large)"
    assert list(tmp_path.iterdir()) == [], "nothing is left of the look"


def test_an_error_that_names_the_disk_counts_when_there_is_room_again(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", "checkpoints/x")
    wrapped = RuntimeError("the checkpoint was not written")
    wrapped.__cause__ = full
    message = "a disk could not be written ([Errno 28] No space left on device: 'checkpoints/x')"
    assert fault(wrapped, [tmp_path]) == fault(full, [tmp_path]) == message
    assert fault(FileNotFoundError(errno.ENOENT, "No such file"), [tmp_path]) is None
    for reason, is_fault in ((str(full), True), ("[Errno 2] No such file", False)):
        of_a_folder = shutil.Error([("a", "b", reason)])  # as copytree raises it
        assert bool(fault(of_a_folder, [tmp_path])) == is_fault


def test_a_photo_that_is_lost_while_it_is_streamed_is_a_fault_of_the_machine(tmp_path):
    """Else each trial that needs it fails, and a run ends with what is left."""
    photo = tmp_path / "a.png"
    Image.new("RGB", (20, 10)).save(photo)
    record = Record(image_id="a", image=photo, size_wh=(20, 10), boxes=Boxes.none(), place="a")
    source = Source(name="real", classes=("cat",), records=(record,))
    pool = decode(source, streamed=True)
    content = photo.read_bytes()
    photo.write_bytes(content[:-9])
    with pytest.raises(MachineError) as changed:
        pool.image(0)
    photo.unlink()
    with pytest.raises(MachineError) as gone:
        pool.image(0)
    message = f"{photo} has changed since the photos were checked"
    assert fault(changed.value, [tmp_path]) == message
    message = fault(pickle.loads(pickle.dumps(gone.value)), [tmp_path])
    assert message.startswith(f"{photo} cannot be read here (No such file or directory): photos")
    photo.write_bytes(content)
    assert pool.image(0).shape == (10, 20, 3)
    assert fault(gone.value, [tmp_path]) is None, "the network disk is there again: a retry helps"


def test_the_places_of_a_run_are_its_folder_of_runs_the_cache_and_temporary_files(
    tmp_path, monkeypatch
):
    """Also if Python, which writes to it when it first looks for it, finds no folder that
    can be written.
    """
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cache = tmp_path / "runs" / "cache"
    with no_file_may_grow():
        assert places(cache) == (cache.parent, cache, tmp_path)
    assert places(cache) == (cache.parent, cache, tmp_path)
