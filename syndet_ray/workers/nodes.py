"""Nodes: what trials need on every node of a cluster, checked there before the first of them:
files, weights, a store.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray

from syndet_ray.data.storage import check_bucket, inside
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.reach import detectors_of
from syndet_ray.definitions.recipe import Detector
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.errors import DataError, MachineError, message
from syndet_ray.progress import Note, silent
from syndet_ray.runs.ingredients import hash_or_nothing, weights_hashes
from syndet_ray.scenes import command
from syndet_ray.scenes.generate import check_generator
from syndet_ray.scenes.needs import SceneInputs, scene_inputs
from syndet_ray.search.task import Resources
from syndet_ray.workers.ahead import at_node, this_node
from syndet_ray.workers.autoscaler import Growth, trials_on
from syndet_ray.workers.cluster import alive_nodes, node_of

_IN_PACKAGE = {"raycast", *BUILT_IN}  # every node has these
_ANY_NODE = "the first node that joins"
_STORE = "Give `storage` s3://BUCKET/PREFIX, or a folder of `runs` that every node sees under the same path."


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What trials need on a node, and the driver may be the only one to have.

    libraries  hash of each library of scenes, by what these are made with: generator, assets,
               surroundings, backgrounds
    files      SHA-256 of each file that generators are started with, and of each file of starting
               weights, by its path
    detectors  what trials build for the classes, with starting weights that have to be fetched
               where they are missing
    runs       the folder that checkpoints are written to; None where they go to a store
    storage    the address of that store, which nodes reach with rights and settings of their own
    """

    libraries: Mapping[SceneInputs, str]
    files: Mapping[str, str]
    detectors: tuple[Detector, ...]
    classes: tuple[str, ...]
    runs: Path | None = None
    storage: str | None = None

    @property
    def has_files(self) -> bool:
        return bool(self.libraries or self.files or self.detectors)


def needs_of(
    sweep: LoadedSweep, classes: tuple[str, ...], runs: Path, storage: str | None
) -> Needs:
    """What the trials of a settled sweep need.

    Raises DataError for assets that cannot be used on this machine.
    """
    made = sorted(what for what in scene_inputs(sweep) if not set(what) <= _IN_PACKAGE)
    programs = [path for what in made for path in command.files_of(what.generator)]
    return Needs(
        libraries={what: what.library().hash for what in made},
        files={path: hash_or_nothing(path) for path in programs} | weights_hashes(sweep),
        detectors=tuple(detector for detector in detectors_of(sweep) if _must_be_fetched(detector)),
        classes=classes,
        runs=runs if storage is None else None,
        storage=storage,
    )


def check_nodes(needs: Needs, use: Resources, growth: Growth, note: Note = silent) -> None:
    """Raises MachineError, with all that is missing on any node, where trials would fail there.

    Nodes that only render need no starting weights and no store. Where no trial fits on the nodes
    that are up, it waits for the first that joins.
    """
    with _mark(needs.runs) as mark:
        tasks = _tasks(needs, mark, use)
        if (
            needs.runs is not None
            and growth.nodes
            and not any(trains for trains, _ in tasks.values())
        ):
            rule = "is needed where nodes may join: they could not write checkpoints to a folder of this machine"
            raise MachineError("`storage`", rule, do=_STORE)
        fits = trials_on(alive_nodes(), use.cpus, use.gpus)
        if needs.has_files and not fits and growth.is_possible:
            note("waiting for the first node, to see whether it has the files that trials need")
            anywhere = _problems.options(num_cpus=use.cpus, num_gpus=use.gpus)
            tasks[_ANY_NODE] = True, anywhere.remote(needs, mark, True)
        problems = {name: _answer(task) for name, (_, task) in tasks.items()}
    _refuse(problems)


def _tasks(needs: Needs, mark: Path | None, use: Resources) -> dict[str, tuple[bool, Any]]:
    """Checks on all other nodes that are up, by the name of the node: whether it trains, and what
    its answer will be.
    """
    tasks = {}
    for described in ray.nodes():
        node, number = node_of(described), described["NodeID"]
        works = described["Alive"] and (node.cpus >= 1 or node.gpus > 0)
        if works and number != this_node():
            trains = node.fits(use.cpus, use.gpus) > 0
            task = _problems.options(scheduling_strategy=at_node(number)).remote(
                needs, mark, trains
            )
            tasks[f"node {described['NodeManagerAddress']} ({number[:6]})"] = trains, task
    return tasks


def _answer(task: Any) -> list[str]:
    try:
        return ray.get(task)
    except ray.exceptions.RayError:  # the node has gone, and what it has does not matter
        return []


def _refuse(problems: Mapping[str, Sequence[str]]) -> None:
    """Raises MachineError with each problem once, and the nodes that have it."""
    nodes_of: dict[str, list[str]] = {}
    for name, found in problems.items():
        for problem in found:
            nodes_of.setdefault(problem, []).append(name)
    if nodes_of:
        lines = [f"{', '.join(names)}: {problem}" for problem, names in nodes_of.items()]
        do = "Put the files under the same path on every node, such as by file_mounts in cluster.yaml."
        rule = f"some nodes lack what trials need. {' '.join(lines)}".rstrip(".")
        raise MachineError("cluster", rule, do=do)


@ray.remote(num_cpus=0)
def _problems(needs: Needs, mark: Path | None, trains: bool) -> list[str]:
    return problems_here(needs, mark, trains=trains)


def problems_here(needs: Needs, mark: Path | None, *, trains: bool) -> list[str]:
    """Everything that trials need and this machine does not have, or has otherwise, in sentences.

    mark    a file that the driver has just written where checkpoints go; None where that is no
            folder
    trains  whether trials run here, or scenes are only rendered
    """
    checks: list[Callable[[], None]] = []
    checks += [partial(_check_library, what, known) for what, known in needs.libraries.items()]
    checks += [partial(_check_file, path, known) for path, known in needs.files.items()]
    if trains:
        checks += [
            partial(_check_detector, detector, needs.classes) for detector in needs.detectors
        ]
        checks += [partial(_check_mark, mark)] if mark is not None else []
        checks += [partial(_check_store, needs.storage)] if needs.storage is not None else []
    problems = [_problem(check) for check in checks]
    return list(dict.fromkeys(problem for problem in problems if problem))


def _problem(check: Callable[[], None]) -> str:
    """What is wrong, in words; "" for nothing."""
    try:
        check()
    except Exception as error:
        return message(error)
    return ""


def _check_library(what: SceneInputs, known: str) -> None:
    check_generator(what.generator)
    if what.library().hash != known:
        folders = (what.assets, what.surroundings, what.backgrounds)
        raise DataError(", ".join(filter(None, folders)), "has other files than on the driver")


def _check_file(path: str, known: str) -> None:
    if not Path(path).is_file():
        raise DataError(path, "does not exist")
    if hash_or_nothing(path) != known:
        raise DataError(path, "is another file than on the driver")


def _check_detector(detector: Detector, classes: tuple[str, ...]) -> None:
    from syndet_ray.detection.models import build

    build(detector, classes, seed=0)


def _check_mark(mark: Path) -> None:
    if not mark.is_file():
        raise MachineError(
            mark.parent, "is not seen from here, and checkpoints would go there", do=_STORE
        )


def _check_store(storage: str) -> None:
    """Nodes try it at the same time, each with an object of its own."""
    try:
        check_bucket(inside(storage, f".node-{uuid4().hex}"))
    except MachineError as error:
        raise MachineError(storage, error.rule, got=error.got, do=error.do) from None


def _must_be_fetched(detector: Detector) -> bool:
    """Whether the starting weights of a detector come from a server unless they lie in a cache."""
    from syndet_ray.detection.weights import LITE0

    in_a_package = detector.weights == "imagenet" and detector.backbone == LITE0
    return detector.weights in ("imagenet", "coco") and not in_a_package


@contextmanager
def _mark(runs: Path | None) -> Iterator[Path | None]:
    """A file in a folder for as long as nodes are asked whether they see it."""
    if runs is None:
        yield None
    else:
        with tempfile.NamedTemporaryFile(prefix=".seen-by-every-node-", dir=runs) as file:
            yield Path(file.name)
