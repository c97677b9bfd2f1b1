"""Experiment: one training of another tool as settings of a recipe, and what else it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syndet_ray.definitions.recipe import Recipe, check_value
from syndet_ray.errors import DefinitionError
from syndet_ray.importing.settings import ForeignSetting, Settings, number, short_value, text, whole
from syndet_ray.wording import printable

# Assumed when a tool counts in epochs and its file does not say how many images one has.
ASSUMED_IMAGES_PER_EPOCH = 1000
MOST_SEED = 2**31 - 1  # those of the other tools have 32 bits
ASSUMED = "ASSUMED"  # marks an origin that its reader should look at
NOT_KNOWN = "is not known here"  # of a setting that no table of the tool names
# Of every imported recipe: the other tools train on one dataset, all layers at one rate, on whole
# images that are not resized at random.
_COMMON: dict[str, tuple[Any, str]] = {
    "mix.schedule": (
        "real_only",
        "the other tool trains on one dataset: here that of `real`, without synthetic images",
    ),
    "detector.backbone_rate": (1.0, "the other tool trains all layers at one rate"),
}


@dataclass(frozen=True)
class Note:
    """A setting that is not in the recipe, and why."""

    setting: ForeignSetting
    why: str


@dataclass(kw_only=True)
class Experiment:
    """The content of one training; settings are put in one by one.

    settings  of a recipe, by dotted path
    origins   where each comes from, and why it has this value; a line each
    ignored   settings that do not matter here
    missing   settings that have no counterpart
    classes   new class names by old ones; None for objects that are left out
    data      datasets that it was trained on, as the file names them
    remarks   on files that were not read
    partial   True if the file says nothing of the training: it then is that of the first experiment
    """

    name: str
    file: Path
    settings: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, list[str]] = field(default_factory=dict)
    ignored: list[Note] = field(default_factory=list)
    missing: list[Note] = field(default_factory=list)
    classes: dict[str, str | None] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seed: ForeignSetting | None = None
    partial: bool = False

    def put(self, path: str, value: Any, *sources: ForeignSetting, why: str = "") -> None:
        """Sets a setting of the recipe, from those of the file.

        Raises DefinitionError, with the place in the file, for a value that it may not have.
        """
        first = sources[0]
        try:
            check_value(path, value)
        except DefinitionError as error:
            first.refuse(f"becomes {path}, which {error.rule}")
        words = ", ".join([first.words, *(short_value(source.value) for source in sources[1:])])
        self.settings[path] = value
        self.origins[path] = [printable(f"{first.where} {words}")]
        if why:
            self.origins[path].append(printable(why))

    def assume(self, path: str, value: Any, why: str) -> None:
        """Sets a setting of the recipe that the file says nothing of."""
        self.settings[path], self.origins[path] = value, [why]

    def put_common(self) -> None:
        """Sets what is the same for all tools."""
        for path, (value, why) in _COMMON.items():
            self.assume(path, value, why)

    def put_images(
        self, epochs: ForeignSetting, images_per_epoch: int | None, size: int = 0
    ) -> None:
        """Sets the length of the training from a number of epochs.

        images_per_epoch  given by the user; None if not
        size              of the dataset, if it is one whose size is known; else 0
        """
        count = whole(epochs, least=1)
        images = images_per_epoch or size or ASSUMED_IMAGES_PER_EPOCH
        why = f"x {images} images an epoch"
        if images_per_epoch is None and not size:
            why += f", which is {ASSUMED}: say how many by `images_per_epoch`"
        self.put("training.images", count * images, epochs, why=why)

    def put_seed(self, setting: ForeignSetting | None) -> None:
        """Takes the seed of the sweep."""
        if setting is not None:
            whole(setting, least=0, most=MOST_SEED)
            self.seed = setting

    def ignore(self, setting: ForeignSetting | None, why: str) -> None:
        """Notes a setting that does not matter here; nothing for None."""
        if setting is not None:
            self.ignored.append(Note(setting, why))

    def miss(self, setting: ForeignSetting | None, why: str) -> None:
        """Notes a setting that has no counterpart; nothing for None."""
        if setting is not None:
            self.missing.append(Note(setting, why))

    def note_left(
        self, settings: Settings, ignored: Mapping[str, str], missing: Mapping[str, str]
    ) -> None:
        """Notes all settings that were not taken.

        ignored, missing  why, by the beginnings of their paths; the first that fits counts
        """
        for path, setting in settings.left:
            ignored_why = _reason(path, ignored)
            if setting.value == 0 and path.startswith("augmentation_config"):
                ignored_why = "is off"
            if ignored_why is not None:
                self.ignore(setting, ignored_why)
            else:
                self.miss(setting, _reason(path, missing) or NOT_KNOWN)

    def recipe(self, base: Recipe) -> Recipe:
        """The recipe of the experiment. Raises DefinitionError for settings that do not agree.

        base  the recipe whose settings a partial experiment keeps
        """
        try:
            return (base if self.partial else Recipe()).replace(self.settings)
        except DefinitionError as error:
            place = f"{printable(str(self.file))}: {printable(self.name)}"
            raise DefinitionError(place, str(error).rstrip(".")) from None


def put_optimizer(
    experiment: Experiment, name: str, setting: ForeignSetting, momentum: ForeignSetting | None
) -> None:
    """Sets the optimizer; of one that is not there, the nearest.

    name  as the tool calls it
    """
    kind = {"sgd": "sgd", "adam": "adamw", "adamw": "adamw"}.get(name.lower())
    if kind is None:
        why = f"{short_value(name)} is not there; adamw, which scales its steps too, is the nearest"
        experiment.miss(setting, why)
    why = "with weight decay 0 it is Adam" if kind == "adamw" else ""
    experiment.put("training.optimizer", kind or "adamw", setting, why=why)
    if momentum is not None and kind == "sgd":
        experiment.put("training.momentum", number(momentum, least=0), momentum)
    else:
        experiment.miss(momentum, "adamw has no momentum of its own")


def put_backbone(
    experiment: Experiment, setting: ForeignSetting, backbones: Mapping[str, str]
) -> None:
    """Sets the backbone; raises DefinitionError for one that the tool does not have.

    backbones  timm's name of the same or the nearest, by the tool's name
    """
    name = text(setting).strip().lower()
    if name not in backbones:
        setting.refuse("is not a backbone that can be imported", f"Known: {', '.join(backbones)}.")
    backbone = backbones[name]
    plain = name.replace(":", "").replace("_", "")
    is_same = backbone.replace("_", "").startswith(plain)
    why = "timm's name of it" if is_same else "the nearest backbone here"
    experiment.put("detector.backbone", backbone, setting, why=why)


def _reason(path: str, reasons: Mapping[str, str]) -> str | None:
    for beginning, why in reasons.items():
        if path.startswith(beginning):
            return why
    return None
