"""Models: built from a recipe's detector, and saved as safetensors and JSON, never as pickle."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.architectures import assemble
from syndet_ray.detection.program_training import is_saved_program
from syndet_ray.detection.weights import WeightsReport, load_weights, normalisation_of
from syndet_ray.errors import DataError, SyndetError
from syndet_ray.files import reading

SAVED_MODEL = "model.safetensors"  # the file with the tensors in the folder of a model

_LARGEST_FACTS = 10 * 2**20  # bytes of model.json; a thousand classes take 20 000
_LONGEST_CAUSE = 500  # characters, of an error that may quote the file


@dataclass(frozen=True, kw_only=True, eq=False)
class SavedModel:
    """A model that is ready to predict, the names of its classes, and its settings."""

    model: nn.Module
    classes: tuple[str, ...]
    detector: Detector


def build(
    detector: Detector, classes: tuple[str, ...], seed: int
) -> tuple[nn.Module, WeightsReport]:
    """Builds a model that detects `classes`, with starting weights and frozen stages.

    Labels are 1-based inside the model (0 is background). Weights that are not loaded depend on the
    seed alone. Raises SyndetError for a detector that cannot be built, or weights that are not
    available.
    """
    assert "auto" not in detector.model_dump().values(), (
        f"settle the detector before it is built: {detector}"
    )
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed every GPU, which fork_rng does not restore here
        torch.default_generator.manual_seed(seed)
        model = assemble(detector, len(classes), normalisation_of(detector))
        return model, load_weights(model, detector, classes)


def without_weights(detector: Detector, classes: tuple[str, ...]) -> nn.Module:
    """The model of `build` without its starting weights: its whole state is loaded later.

    Its weights are random; torch's generator is left in its state. Raises SyndetError for a
    detector that cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        return assemble(detector, len(classes), normalisation_of(detector))


def save_model(
    folder: Path, model: nn.Module, detector: Detector, classes: tuple[str, ...], **about: Any
) -> None:
    """Writes model.safetensors and model.json, from which `load_model` restores the model."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    facts = {"detector": detector.model_dump(), "classes": classes}
    metadata = {name: json.dumps(value) for name, value in facts.items()}
    save_file(tensors, folder / SAVED_MODEL, metadata)
    (folder / "model.json").write_text(json.dumps(facts | about, indent=1), encoding="utf-8")


def load_model(folder: Path, known_as: str = "") -> SavedModel:
    """The model saved in `folder`. Raises DataError if there is none that can be used, and
    MachineError if the system refuses to read it.

    known_as  name of the model in errors, where the folder is a copy; "" for that of the folder
    """
    place = known_as or folder
    if is_saved_program(folder):
        rule = "is the model of a training program, which this command does not start: a model"
        rule += " from elsewhere must not run programs"
        do = 'Start the program on images with the task "predict", see docs/own_program.md.'
        raise DataError(place, rule, do=do)
    # First, because below an OSError means that the folder holds no saved model.
    with reading(folder), suppress(FileNotFoundError):
        for name in ("model.json", SAVED_MODEL):
            (folder / name).open("rb").close()
    try:
        facts = _facts(folder / "model.json")
        detector = Detector.model_validate(facts["detector"])
        classes = _classes(facts["classes"])
        model = without_weights(detector, classes)
        model.load_state_dict(load_file(folder / SAVED_MODEL))
    except RuntimeError as error:  # torch names every tensor that is too many, or too few
        rule = "holds weights of another detector than it describes, as earlier versions saved them"
        do = "Train it again, or use it with the version that saved it."
        raise DataError(place, rule, do=do) from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, SyndetError) as error:
        cause = f"{type(error).__name__}: {error}"[:_LONGEST_CAUSE]
        raise DataError(place, f"is not a saved model ({cause})") from None
    return SavedModel(model=model.eval(), classes=classes, detector=detector)


def _facts(file: Path) -> dict[str, Any]:
    """The content of a model.json. Raises OSError, and ValueError for one that we did not write."""
    size = file.stat().st_size
    if size > _LARGEST_FACTS:
        raise ValueError(f"model.json has {size} bytes, ours have some kilobytes")
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("model.json is nested too deep") from None
    if not isinstance(facts, dict):
        raise ValueError(f"model.json must hold an object, not a {type(facts).__name__}")
    return facts


def _classes(names: Any) -> tuple[str, ...]:
    """The class names of a model.json. Raises ValueError unless they are different texts."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its classes must be a list of texts")
    if not names or len(set(names)) < len(names):
        raise ValueError("its classes must be different, and one at least")
    return tuple(names)
