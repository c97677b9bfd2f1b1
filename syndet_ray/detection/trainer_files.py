"""TrainerFiles: the files from which a trainer continues, besides those of its model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.models import SAVED_MODEL, build, without_weights
from syndet_ray.detection.weights_file import WeightsReport
from syndet_ray.errors import DataError

# The weights that are averaged, the optimizer, and all other state.
_TRAINED, _OPTIMIZER, _STATE = "trained.safetensors", "optimizer.pt", "trainer.json"


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """The state of a trainer besides tensors, as plain JSON values.

    batches  number of batches that were trained
    parts    number of parts in which each of them is computed
    mixer    its state after the last of these batches
    weights  report of the starting weights; None in checkpoints of an earlier version
    losses   of the steps since the last metrics
    """

    images_seen: int
    batches: int
    parts: int
    mixer: dict[str, Any]
    weights: WeightsReport | None
    losses: Sequence[Mapping[str, float]]


def write_training(
    folder: Path, state: TrainerState, optimizer: Optimizer, trained: nn.Module | None
) -> None:
    """Writes what a trainer needs to continue, beside its model in `folder`.

    trained  the model that trains, if the saved one has averaged weights
    """
    if trained is not None:
        tensors = {name: tensor.contiguous() for name, tensor in trained.state_dict().items()}
        save_file(tensors, folder / _TRAINED)
    torch.save(optimizer.state_dict(), folder / _OPTIMIZER)
    report = None if state.weights is None else asdict(state.weights)
    content = vars(state) | {"weights": report}
    (folder / _STATE).write_text(json.dumps(content), encoding="utf-8")


def read_state(folder: Path) -> TrainerState:
    """Returns the state of a checkpoint, also of one that an earlier version wrote."""
    state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    report = state.get("weights")
    return TrainerState(
        images_seen=state["images_seen"],
        batches=state["batches"],
        parts=state.get("parts", 1),
        mixer=state["mixer"],
        weights=None if report is None else WeightsReport.of(report),
        losses=state.get("losses", ()),  # earlier versions saved right after the metrics
    )


def starting_model(
    detector: Detector, classes: tuple[str, ...], seed: int, restore: Path | None
) -> tuple[nn.Module, WeightsReport]:
    """Builds the model of a training, and returns it with the report of its starting weights.

    A model that the checkpoint in `restore` is loaded into gets no starting weights.
    """
    report = None if restore is None else read_state(restore).weights
    # at the start, and for checkpoints of an earlier version, which have no report
    if report is None:
        return build(detector, classes, seed)
    return without_weights(detector, classes), report


def load_training(
    folder: Path, model: nn.Module, optimizer: Optimizer, trained: nn.Module | None
) -> None:
    """Loads the tensors of a checkpoint into a trainer's model and optimizer.

    Raises DataError, before anything is loaded, if they do not fit.

    model    gets the weights of the saved model
    trained  as for `write_training`
    """
    # Read into the host's memory: a GPU need not hold two copies, and AdamW wants its counts of
    # steps on the CPU.
    saved_optimizer = torch.load(folder / _OPTIMIZER, weights_only=True, map_location="cpu")
    files = [(SAVED_MODEL, model)]
    if trained is not None:
        files.append((_TRAINED, trained))
    tensors_of = [(module, load_file(folder / name)) for name, module in files]
    expected = _shapes(model.state_dict())
    for _, tensors in tensors_of:
        _check_fits(folder, _shapes(tensors), expected)
    _check_fits(folder, _group_sizes(saved_optimizer), _group_sizes(optimizer.state_dict()))
    for module, tensors in tensors_of:
        module.load_state_dict(tensors)
    optimizer.load_state_dict(saved_optimizer)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _group_sizes(optimizer: Mapping[str, Any]) -> dict[str, int]:
    """Number of parameters of each group in the state of an optimizer."""
    sizes = {}
    for group in optimizer["param_groups"]:
        name = group.get("name")
        sizes[f"the optimizer's group {name}"] = len(group["params"])
    return sizes


def _check_fits(folder: Path, saved: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises DataError for the first part of a checkpoint whose size is not the expected one."""
    for name in [*expected, *saved]:
        size = expected.get(name, "missing")
        saved_size = saved.get(name, "missing")
        if size != saved_size:
            rule = "does not fit this detector, whose parameters are others"
            rule += f" ({name} is {size} here, {saved_size} there)"
            rule += ": another version or another recipe wrote it"
            do = "Start a new sweep, or go on with the version that began it."
            raise DataError(folder, rule, do=do)
