"""Needs: what trials need on a node, and which of it this machine lacks.

They need files, weights, photos and a store, and a machine that can train, see `conditions`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from uuid import uuid4

from syndet_ray.data.outage import outlast
from syndet_ray.data.real import RealData
from syndet_ray.data.remote.local import NodeCopy
from syndet_ray.data.storage import check_bucket, inside
from syndet_ray.data.streamed import check_files, fetch_missing
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.reach import detectors_of
from syndet_ray.definitions.recipe import Detector
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.errors import DataError, MachineError, message
from syndet_ray.runs.ingredients import hash_or_nothing, program_hashes, weights_hashes
from syndet_ray.scenes import command
from syndet_ray.scenes.cache import set_bytes
from syndet_ray.scenes.generate import check_generator
from syndet_ray.scenes.needs import PasteInputs, SceneInputs, paste_inputs, scene_inputs
from syndet_ray.scenes.stock import is_stock
from syndet_ray.workers.nodes.conditions import Demands, software

_IN_PACKAGE = {"raycast", *BUILT_IN}  # every node has these
_MOST_PHOTOS = 1000  # files of streamed photos that are checked on each node
_STORE_S = 30.0  # that a store may be away while a node checks itself: all of it takes a minute
DO_STORE = (
    "Give `storage` s3://BUCKET/PREFIX, "
    "or a folder of `runs` that every node sees under the same path."
)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Everything that trials need on a node and that may be on the driver's machine only.

    libraries  hash of each library of scenes, by its generator, assets, surroundings, backgrounds
    stocks     hash of what pasted images are made of, by photos and cut-outs
    files      SHA-256 of each file that generators and training programs are started with, and of
               each file of initial weights, by its path
    detectors  detectors that trials build for the classes, with initial weights that a node fetches
               if it lacks them
    photos     path and bytes of files that trials read, if photos are streamed
    node_copy  copies them to a node that lacks them; None if they are only where they are
    runs       the folder that checkpoints are written to; None if they go to a store
    storage    the address of that store, which nodes reach with rights and settings of their own
    demands    what trials ask of the machine; None to check files only
    """

    libraries: Mapping[SceneInputs, str]
    files: Mapping[str, str]
    detectors: tuple[Detector, ...]
    classes: tuple[str, ...]
    stocks: Mapping[PasteInputs, str] = field(default_factory=dict)
    photos: Sequence[tuple[str, int]] = ()
    node_copy: NodeCopy | None = None
    runs: Path | None = None
    storage: str | None = None
    demands: Demands | None = None

    def without_files(self) -> "Needs":
        """Returns the needs of the driver's own machine, whose files were checked."""
        return machine_needs(self.classes, self.demands)

    @property
    def has_files(self) -> bool:
        needed = (self.libraries, self.stocks, self.files, self.detectors, self.photos)
        return any(map(bool, needed))


def machine_needs(classes: tuple[str, ...], demands: Demands | None) -> Needs:
    """Returns the needs of trials on a machine that has all files."""
    return Needs(libraries={}, files={}, detectors=(), classes=classes, demands=demands)


def needs_of(
    sweep: LoadedSweep, classes: tuple[str, ...], runs: Path, storage: str | None
) -> Needs:
    """Returns the needs of the trials of a settled sweep.

    Raises DataError for assets that cannot be used on this machine.
    """
    inputs = sorted(scene for scene in scene_inputs(sweep) if not set(scene) <= _IN_PACKAGE)
    programs = chain.from_iterable(command.files_of(scene.generator) for scene in inputs)
    return Needs(
        libraries={scene: scene.library().hash for scene in inputs},
        stocks={pasted: pasted.stock().hash for pasted in sorted(paste_inputs(sweep))},
        files={
            **{path: hash_or_nothing(path) for path in programs},
            **program_hashes(sweep),
            **weights_hashes(sweep),
        },
        detectors=tuple(filter(_must_be_fetched, detectors_of(sweep))),
        classes=classes,
        runs=runs if storage is None else None,
        storage=storage,
    )


def demands_of(sweep: LoadedSweep, data: RealData, cache: Path) -> Demands:
    """Returns what the trials of a settled sweep ask of a machine. cache: of rendered scenes."""
    pools = [data.pools["train"], data.pools["val"], *data.others.values()]
    recipes = [sweep.recipe, *sweep.fixed.values()]
    scenes = [sum(starmap(set_bytes, recipe.scenes().values())) for recipe in recipes]
    return Demands(
        software=software(),
        recipe=sweep.recipe,
        classes=data.pools["train"].classes,
        seed=sweep.seed,
        photo_bytes=sum(pool.image_bytes for pool in pools if not pool.is_streamed),
        scene_bytes=max(scenes),
        cache=cache,
    )


def spread_out(files: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """At most a thousand of the files, from first to last: on a shared disk each costs a wait."""
    step = math.ceil(len(files) / _MOST_PHOTOS)
    return files[:: max(1, step)]


def problems_here(needs: Needs, mark: Path | None, *, trains: bool) -> list[str]:
    """Returns a sentence for each need that this machine lacks or has in another version.

    mark    a file that the driver has just written where checkpoints go; None if they go to a store
    trains  whether trials run here, or scenes are only rendered
    """
    checks: list[Callable[[], None]] = []
    checks += [partial(_check_library, *library) for library in needs.libraries.items()]
    checks += [partial(_check_stock, *stock) for stock in needs.stocks.items()]
    checks += [partial(_check_file, *file) for file in needs.files.items()]
    if trains:
        for detector in needs.detectors:
            checks.append(partial(_check_detector, detector, needs.classes))
        checks.append(partial(_check_photos, needs.photos, needs.node_copy))
        if mark is not None:
            checks.append(partial(_check_mark, mark))
        if needs.storage is not None:
            checks.append(partial(_check_store, needs.storage))
    problems = map(_problem, checks)
    return list(dict.fromkeys(filter(None, problems)))


def _problem(check: Callable[[], None]) -> str:
    """Returns the message of a failed check; "" if it passes."""
    try:
        check()
    except Exception as error:
        return message(error)
    return ""


def _check_library(scene: SceneInputs, hash_on_driver: str) -> None:
    check_generator(scene.generator)
    if scene.library().hash != hash_on_driver:
        folders = (scene.assets, scene.surroundings, scene.backgrounds)
        raise DataError(", ".join(filter(None, folders)), "has other files than on the driver")


def _check_stock(pasted: PasteInputs, hash_on_driver: str) -> None:
    if not is_stock(Path(pasted.photos)):
        rule = "is not seen from here, but photos to paste on are written there"
        raise DataError(pasted.photos, rule)
    if pasted.stock().hash != hash_on_driver:
        raise DataError(", ".join(filter(None, pasted)), "has other files than on the driver")


def _check_file(path: str, hash_on_driver: str) -> None:
    if not Path(path).is_file():
        raise DataError(path, "does not exist")
    if hash_or_nothing(path) != hash_on_driver:
        raise DataError(path, "is another file than on the driver")


def _check_photos(photos: Sequence[tuple[str, int]], node_copy: NodeCopy | None) -> None:
    for file, _ in photos:
        fetch_missing(file, node_copy)
    check_files(photos)


def _check_detector(detector: Detector, classes: tuple[str, ...]) -> None:
    from syndet_ray.detection.models import build

    build(detector, classes, seed=0)


def _check_mark(mark: Path) -> None:
    if not mark.is_file():
        rule = "is not seen from here, but checkpoints would go there"
        raise MachineError(mark.parent, rule, do=DO_STORE)


def _check_store(storage: str) -> None:
    """Writes an object with a name of its own: nodes try it at the same time.

    A store that is away for a moment does not make a node unfit: it would be idle, and paid for.
    """
    probe = inside(storage, f".node-{uuid4().hex}")
    try:
        outlast(partial(check_bucket, probe), _STORE_S)
    except MachineError as error:
        raise MachineError(storage, error.rule, got=error.got, do=error.do) from None


def _must_be_fetched(detector: Detector) -> bool:
    """True if the initial weights of a detector come from a server, unless they are in a cache."""
    from syndet_ray.detection.weights import LITE0

    in_a_package = detector.weights == "imagenet" and detector.backbone == LITE0
    return detector.weights in ("imagenet", "coco") and not in_a_package
