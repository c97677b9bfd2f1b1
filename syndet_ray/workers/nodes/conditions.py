"""Conditions: whether the machine of a node can train: its software, one training step, its disks,
its shared memory and its clock.
"""

import hashlib
import os
import platform
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np

import syndet_ray
from syndet_ray.boxes import Boxes
from syndet_ray.data.memory import memory_words
from syndet_ray.data.pool import Pool
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.errors import MachineError, NonFiniteLoss, SyndetError, first_line, message
from syndet_ray.files import temporary_folder
from syndet_ray.metrics import BATCH_PARTS

# Packages whose versions decide if the processes of a run understand one another, and what a
# trained model is.
_PACKAGES = ("ray", "torch", "torchvision")
_CODE = "code of syndet_ray"
_MISSING = "missing"
_PHOTOS = 2  # made up for a training step
_CPU_BATCH = 2  # images of a step on a CPU, where a whole batch takes long and its memory is there
# A checkpoint lies in the temporary folder while the next one is written.
_CHECKPOINTS = 2
_PROCESSOR = {"cpu": "CPU", "cuda": "GPU"}  # names of devices in sentences
# For logs of Ray and what it moves from memory to disk.
_RAY_BYTES = 10**9
_RAY_FULL = 0.95  # of a disk: Ray moves nothing from memory to one that is fuller
_SHARED_MEMORY = Path("/dev/shm")
# Leases of S3 and the order of log lines suffer from seconds; S3 refuses requests with a time that
# is 15 minutes off.
_NOTED_SKEW_S, _MOST_SKEW_S = 5.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Demands:
    """The demands of the trials of a run on a machine.

    software     versions on the driver, see `software`
    recipe       the settled recipe of the sweep; one step of it is trained
    classes      that its detector is built for
    seed         of the sweep
    photo_bytes  memory of the decoded photos, which lie in Ray's object store
    scene_bytes  disk of the rendered scenes of one trial
    cache        the folder of rendered scenes
    """

    software: Mapping[str, str]
    recipe: Recipe
    classes: tuple[str, ...]
    seed: int
    photo_bytes: int
    scene_bytes: int
    cache: Path


@dataclass(frozen=True, kw_only=True)
class Host:
    """This machine, as a node of Ray.

    trials       the number of trials that fit on it at once; 0 if it only renders scenes
    threads      cores of a trial
    device       "cuda" or "cpu", for trials
    store_bytes  size of Ray's object store
    session      the folder of files of Ray
    skew_s       its clock minus the driver's; None on the driver's own machine
    """

    trials: int
    threads: int
    device: str
    store_bytes: int
    session: Path
    skew_s: float | None = None


@dataclass(frozen=True)
class Findings:
    """Sentences on a machine.

    problems  because of which trials would fail
    notes     that a user should know
    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Findings") -> "Findings":
        return Findings(self.problems + other.problems, self.notes + other.notes)


def findings_here(demands: Demands, host: Host) -> Findings:
    """Returns what this machine lacks, all of it."""
    findings = software_findings(demands.software, software())
    if host.skew_s is not None:
        findings += clock_findings(host.skew_s)
    if host.trials:
        findings += memory_findings(demands.photo_bytes, host, _size_of(_SHARED_MEMORY))
        step, checkpoint_bytes = step_findings(demands, host)
        findings += step
        try:
            findings += disk_findings(demands, host, checkpoint_bytes)
        except (OSError, MachineError) as error:
            findings += Findings(problems=(message(error),))
    return findings


def software() -> dict[str, str]:
    """Returns the versions of Python and of packages here, and the hash of our own code.

    A hash, because two checkouts with one version number may differ.
    """
    versions = {package: _version(package) for package in _PACKAGES}
    return {_CODE: code_hash(), "Python": platform.python_version(), **versions}


@cache
def code_hash() -> str:
    """Returns a hash of all Python files of this package."""
    folder = Path(syndet_ray.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _MISSING


def software_findings(driver: Mapping[str, str], here: Mapping[str, str]) -> Findings:
    """Compares software with the driver's.

    Other code, and another minor version of a package, are problems; less is a note. The part after
    "+" only says for which GPUs a package was built.
    """
    problems, notes = [], []
    for name, version in driver.items():
        there = here.get(name, _MISSING)
        if name == _CODE:
            if there != version:
                problems.append("syndet_ray has other code than on the driver. Install the same.")
        elif _minor(there) != _minor(version):
            rule = f"{name} is {there}, and {version} on the driver"
            problems.append(f"{rule}. Install the driver's version, see constraints.txt.")
        elif _public(there) != _public(version):
            notes.append(f"{name} is {there}, and {version} on the driver")
    return Findings(tuple(problems), tuple(notes))


def _public(version: str) -> str:
    return version.partition("+")[0]


def _minor(version: str) -> list[str]:
    return _public(version).split(".")[:2]


def clock_findings(skew_s: float) -> Findings:
    """Compares clocks. skew_s: the one here minus the driver's."""
    if abs(skew_s) <= _NOTED_SKEW_S:
        return Findings()
    direction = "ahead of" if skew_s > 0 else "behind"
    sentence = f"the clock is {abs(skew_s):.0f} s {direction} the driver's"
    if abs(skew_s) > _MOST_SKEW_S:
        return Findings(problems=(f"{sentence}. Start a time service there, such as chrony.",))
    return Findings(notes=(sentence,))


def memory_findings(photo_bytes: int, host: Host, shared_bytes: int) -> Findings:
    """Notes if photos do not lie in shared memory: trials then read them from a disk.

    shared_bytes  size of /dev/shm, 64 MB in many containers
    """
    notes = []
    store = memory_words(host.store_bytes)
    if shared_bytes < host.store_bytes:
        notes.append(
            f"{_SHARED_MEMORY} has {memory_words(shared_bytes)}, so that the object store of Ray, "
            f"{store}, lies on a disk: give the container more shared memory"
        )
    if photo_bytes > host.store_bytes:
        notes.append(
            f"the object store of Ray has {store}, and the decoded photos take "
            f"{memory_words(photo_bytes)}: the rest lies on the disk of {host.session}"
        )
    return Findings(notes=tuple(notes))


def step_findings(demands: Demands, host: Host) -> tuple[Findings, int]:
    """Trains one step of the recipe, as a trial does, and returns the bytes of its checkpoint.

    They are 0 if the step fails, and for a training program, which is tried apart. On a GPU the
    step has a whole batch, so that too little memory shows.
    """
    if demands.recipe.detector.program:
        return Findings(), 0
    batch = demands.recipe.training.batch_size
    if host.device == "cpu":
        batch = min(batch, _CPU_BATCH)
    try:
        checkpoint_bytes, parts = _train_step(demands, host, batch)
    except NonFiniteLoss:  # of made-up photos: says nothing about the machine
        return Findings(), 0
    except Exception as error:
        return Findings(problems=(_step_words(host, error),)), 0
    notes = []
    if parts > 1:
        notes.append(
            f"a batch of {batch} images does not fit the memory of its GPU: trials there train it "
            f"in {parts} parts, which takes more time"
        )
    return Findings(notes=tuple(notes)), checkpoint_bytes


def _step_words(host: Host, error: Exception) -> str:
    if isinstance(error, SyndetError):  # of files that the step needs, which are checked too
        return str(error)
    reason = f"{type(error).__name__}: {first_line(error)}"
    return f"a training step fails on its {_PROCESSOR[host.device]} ({reason})."


def _train_step(demands: Demands, host: Host, batch: int) -> tuple[int, int]:
    """Trains on made-up photos, as large as training crops.

    Returns the bytes of a checkpoint, and the number of parts in which the batch was computed.
    """
    import torch

    from syndet_ray.detection.threads import limit_threads
    from syndet_ray.detection.train import Trainer

    limit_threads(host.threads)
    photos = _noise_photos(demands)
    recipe = demands.recipe.replace(
        {"mix.schedule": "real_only", "mix.real_images": "all", "training.batch_size": batch}
    )
    device = torch.device(host.device)
    try:
        trainer = Trainer(recipe, {"real": photos}, device=device, seed=demands.seed)
        trainer.train_until(min(batch, recipe.training.images))
        with temporary_folder() as folder:
            trainer.save(folder)
            checkpoint_bytes = sum(file.stat().st_size for file in folder.iterdir())
        return checkpoint_bytes, trainer.effective[BATCH_PARTS]
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _noise_photos(demands: Demands) -> Pool:
    """Returns noise in place of photos, with an object in the middle of each."""
    side = demands.recipe.training.crop_px
    assert side != "auto", "the recipe is settled"
    rng = np.random.default_rng(demands.seed)
    images = [rng.integers(0, 255, (side, side, 3), np.uint8) for _ in range(_PHOTOS)]
    box = [side / 4, side / 4, 3 * side / 4, 3 * side / 4]
    boxes = [Boxes.of([box], [0])] * _PHOTOS
    return Pool.of("real", demands.classes, images, boxes, [str(i) for i in range(_PHOTOS)])


def disk_findings(demands: Demands, host: Host, checkpoint_bytes: int) -> Findings:
    """Compares the free space of the folders that trials write to with what they need there.

    Folders on one disk are taken together. Scenes may be there already, so that they are no
    problem.
    """
    with temporary_folder() as temporary:
        parent = temporary.parent
    checkpoints = host.trials * _CHECKPOINTS * checkpoint_bytes
    needed = {parent: checkpoints, host.session: _RAY_BYTES}
    problems = [f"{words}." for words in _lacking(needed)]
    with_scenes = needed | {demands.cache: demands.scene_bytes + needed.get(demands.cache, 0)}
    notes = (
        [] if problems else [f"{words}, with rendered scenes" for words in _lacking(with_scenes)]
    )
    full = _full_words(host.session)
    return Findings(tuple(problems), (*notes, *([full] if full else [])))


def _lacking(needed: Mapping[Path, int]) -> Iterator[str]:
    """Yields words for each disk that has less room than its folders need, in bytes."""
    folders: dict[int, list[Path]] = defaultdict(list)
    for folder in needed:
        folders[os.stat(_existing(folder)).st_dev].append(folder)
    for group in folders.values():
        bytes_needed = sum(needed[folder] for folder in group)
        free = shutil.disk_usage(_existing(group[0])).free
        if free < bytes_needed:
            names = ", ".join(str(folder) for folder in group)
            room = f"{memory_words(free)} are free, and trials need {memory_words(bytes_needed)}"
            yield f"the disk of {names} is too full: {room}"


def _full_words(session: Path) -> str:
    usage = shutil.disk_usage(_existing(session))
    share = 1 - usage.free / usage.total
    if share <= _RAY_FULL:
        return ""
    return f"the disk of {session} is {share:.0%} full: Ray does not use it when memory is full"


def _existing(folder: Path) -> Path:
    """Returns a folder, or the nearest folder above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _size_of(folder: Path) -> int:
    return shutil.disk_usage(folder).total if folder.is_dir() else 0
