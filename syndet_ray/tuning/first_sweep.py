"""First sweep: a sweep file for the user's photos and objects, with scenes measured on photos."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

from syndet_ray.data.backgrounds import cut_backgrounds, has_squares
from syndet_ray.data.classes import new_classes
from syndet_ray.data.cutouts import cut_out
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import is_part
from syndet_ray.data.read import Dataset
from syndet_ray.data.record import Source
from syndet_ray.data.scale import WorkingScale, scene_px, working_scale
from syndet_ray.data.splits.read_for_sweep import read_for_sweep
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.new_sweep import check_free, new_path
from syndet_ray.definitions.recipe import Training
from syndet_ray.definitions.scene_parameters import BUILT_IN, SceneParameters
from syndet_ray.errors import DataError
from syndet_ray.files import make_folder, temporary_folder, write_whole
from syndet_ray.importing.literals import entry, literal
from syndet_ray.inspection.measures import Measured
from syndet_ray.inspection.scene_match import measured_scene
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.assets import load as load_assets
from syndet_ray.scenes.library import Library
from syndet_ray.tuning.class_check import assets_name, match_classes
from syndet_ray.tuning.notes import notes_on_colors

_QUESTION = "Which share of synthetic images, and which learning rate, is best for these photos?"
_SCENES, _IMAGES = 300, 2000  # rendered, and seen in a trial: some minutes on one core
_CUT_OUTS, _BACKGROUNDS = 20, 60  # of each class, and in all
_COMMENT_WIDTH = 86  # characters, after an indent of 14: 100 columns
_DO_WITHOUT_CUT_OUTS = (
    "Cut-outs are made of train without val, and nothing of these classes could be cut out there. "
    "Add photos of them, give `assets`, a folder of meshes or cut-outs by class, or drop these "
    "classes with `classes`."
)
_FLOOR_TEXTURE = 0.8  # the rest varies the colours of floors that the photos show


@dataclass(frozen=True, kw_only=True)
class FirstSweep:
    """A sweep file that was written.

    assets       the folder of the objects of its scenes
    backgrounds  the folder of empty places that were cut out of the photos; None if they have none
    measured     settings of scenes, with what each was measured on
    notes        what its reader must know about photos and objects
    """

    path: Path
    assets: Path
    backgrounds: Path | None
    dataset: Dataset
    scale: WorkingScale
    measured: Sequence[Measured]
    notes: Sequence[str]


def write_first_sweep(
    photos: Path,
    assets: Path | None,
    out: str,
    labels: LabelOptions,
    seed: int,
    progress: NamedProgress,
    *,
    hold_out: float | None = None,
    force: bool,
) -> FirstSweep:
    """Measures training photos and writes a sweep file whose scenes look like them.

    assets    a folder of classes, each of meshes or cut-outs; None cuts objects out of the training
              photos, into a folder beside the sweep file
    hold_out  the share of train that the sweep will hold out for a missing test split: scenes show
              nothing of these photos, nor of those on which the sweep compares its recipes

    Raises DefinitionError for a file that is there already, unless `force`; and DataError for
    photos and objects that cannot be used, or whose classes differ, as the sweep itself would.
    """
    path = new_path(out, force=force)
    check_free(path, force=force)
    dataset = read_for_sweep(photos, labels, hold_out, progress)
    with ExitStack() as undo:
        parts = _Parts(
            photos=photos,
            sweep=path,
            train=dataset.splits["train"],
            labels=labels,
            seed=seed,
            progress=progress,
            force=force,
            undo=undo,
        )
        first = _write_with_parts(parts, dataset, assets)
        undo.pop_all()  # all is written: parts stay
    return first


def _write_with_parts(parts: "_Parts", dataset: Dataset, assets: Path | None) -> FirstSweep:
    """Cuts parts, measures, and writes the sweep file. See `write_first_sweep`."""
    photos, labels = parts.photos, parts.labels
    scale = working_scale(parts.train.records, "auto", "auto", f"{photos}, train")
    is_cut = assets is None
    if assets is None:
        assets = parts.cut_outs()
    library = load_assets(str(assets))
    classes = new_classes(library.classes, labels.classes)
    try:
        dataset = match_classes(dataset, {assets_name(assets): classes}, photos)
    except DataError as error:
        if not is_cut:
            raise
        raise DataError(error.place, error.rule, got=error.got, do=_DO_WITHOUT_CUT_OUTS) from None
    train = dataset.splits["train"]  # a class that the sweep leaves out is not measured
    backgrounds = parts.backgrounds()
    base = _base_scene(assets, backgrounds)
    side_px = scene_px(scale.crop_px, Training().scale_jitter)
    measured = measured_scene(
        train,
        base,
        scale.longest_px,
        parts.seed,
        parts.progress,
        seen_px=side_px,
        classes=labels.classes,
    )
    _write_checked(parts.sweep, _text(photos, base, measured))
    return FirstSweep(
        path=parts.sweep,
        assets=assets,
        backgrounds=backgrounds,
        dataset=dataset,
        scale=scale,
        measured=measured,
        notes=[
            *dataset.notes,
            *library.notes,
            *notes_on_colors(library, assets),
            *_notes_on_unmeasured(measured, library),
        ],
    )


def _notes_on_unmeasured(measured: Sequence[Measured], library: Library) -> Iterator[str]:
    """Sentences on what a person should set, as boxes do not tell it."""
    names = {item.name for item in measured}
    if "poses" not in names and library.has_solid_objects and not library.dice:
        yield (
            "boxes do not tell how objects lie and from where they are seen, as few boxes or "
            "square ones never do: scenes show them as they fall, from above; look at rendered "
            "scenes, and set poses, least_tilt_deg and camera_tilt_deg as you know them"
        )
    if "box_padding" not in names:
        yield "too few objects stand alone to tell how people place boxes: scenes have exact ones"
    if "brightness" not in names:
        yield "no class has enough boxes to compare light and colours: scenes have random ones"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Parts of training photos, in folders beside the sweep file.

    train  the training photos of `photos`; nothing is cut out of others
    force  True to replace parts that an earlier call has cut
    undo   receives how to remove what was cut: a next call would find it in its way
    """

    photos: Path
    sweep: Path
    train: Source
    labels: LabelOptions
    seed: int
    progress: NamedProgress
    force: bool
    undo: ExitStack

    def cut_outs(self) -> Path:
        """Cuts out objects of each class; returns their folder."""
        folder = self._folder("cutouts")
        cut_out(self.photos, folder, _CUT_OUTS, **self._options("cutting out objects"))
        self._remove_after_errors(folder)
        return folder

    def backgrounds(self) -> Path | None:
        """Cuts out places without objects; returns their folder, None if there are none."""
        folder = self._folder("backgrounds")
        if not has_squares(self.train.records):
            return None
        cut_backgrounds(self.photos, folder, _BACKGROUNDS, **self._options("cutting backgrounds"))
        self._remove_after_errors(folder)
        return folder.absolute()

    def _folder(self, kind: str) -> Path:
        folder = self.sweep.with_name(f"{self.sweep.stem}_{kind}")
        if self.force:
            remove_parts(folder)
        return folder

    def _remove_after_errors(self, folder: Path) -> None:
        if not self.force:  # else it took the place of parts that an earlier sweep file names
            self.undo.callback(remove_parts, folder)

    def _options(self, step: str) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "labels": self.labels,
            "image_ids": frozenset(self.train.image_ids()),
            "progress": partial(self.progress, step),
        }


def _base_scene(assets: Path, backgrounds: Path | None) -> SceneParameters:
    """Scenes of these objects, on floors of these images if there are any; nothing is measured."""
    # the built-in dice are no folder
    settings: dict[str, Any] = {
        "assets": str(assets if str(assets) in BUILT_IN else assets.absolute())
    }
    if backgrounds is not None:
        settings |= {"backgrounds": str(backgrounds), "floor_texture": _FLOOR_TEXTURE}
    return SceneParameters(**settings)


def _write_checked(path: Path, content: str) -> None:
    """Writes a sweep file that can be loaded, or none."""
    with temporary_folder() as folder:
        load(str(write_whole(folder / "first.py", content.encode())))  # as a run would
    make_folder(path.parent)
    write_whole(path, content.encode())


def remove_parts(folder: Path) -> None:
    """Removes a folder that an earlier call has made: all its files are parts of photos."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    if files and all(map(is_part, files)):
        shutil.rmtree(folder)


def _text(photos: Path, base: SceneParameters, measured: Sequence[Measured]) -> str:
    """The sweep file: Python as `ruff format` writes it, with a comment on each measured value."""
    lines = [
        f'"""Scenes like the photos in {photos.name}.',
        "",
        f"{_QUESTION}",
        '"""',
        "",
        "from syndet_ray import (",
        "    Confirmation,",
        "    Mix,",
        "    Pruning,",
        "    Recipe,",
        "    SceneParameters,",
        "    Sweep,",
        "    Training,",
        ")",
        "",
        "SWEEP = Sweep(",
        f"    question={literal(_QUESTION)},",
        "    recipe=Recipe(",
        f"        mix=Mix(synthetic=0.5, synthetic_images={_SCENES}),",
        "        # measured on the training photos: change what you know better",
        "        scene=SceneParameters(",
        f"            assets={literal(base.assets)},",
        *_floor_lines(base),
        *_setting_lines(measured),
        "        ),",
        *_training_lines(base.assets),
        "    ),",
        '    space=("mix", "optimizer"),',
        "    trials=6,",
        "    rungs=4,",
        '    pruning=Pruning(name="median", startup_trials=3, grace_rungs=1),',
        "    confirm=Confirmation(top=1, seeds=5),",
        ")",
        "",
    ]
    return "\n".join(lines)


def _floor_lines(base: SceneParameters) -> Iterator[str]:
    if base.backgrounds:
        yield "            # places without objects, cut out of photos, and their share in floors"
        yield f"            backgrounds={literal(base.backgrounds)},"
        yield f"            floor_texture={base.floor_texture},"


def _training_lines(assets: str) -> Iterator[str]:
    if assets in BUILT_IN:
        yield "        # photos of dice from above: a flipped one is as likely as the original"
        yield f"        training=Training(images={_IMAGES}, flip_vertical=0.5, transpose=0.5),"
    else:
        yield f"        training=Training(images={_IMAGES}),"


def _setting_lines(measured: Sequence[Measured]) -> Iterator[str]:
    for item in measured:
        for line in wrap(item.words, width=_COMMENT_WIDTH):
            yield f"            # {line}"
        yield from entry(f"{item.name}=", item.value, indent=12)
