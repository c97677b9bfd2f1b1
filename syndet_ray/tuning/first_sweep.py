"""First sweep: a sweep file for one's own photos and objects, its scenes measured on the photos."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

from syndet_ray.data.backgrounds import cut_backgrounds, has_squares
from syndet_ray.data.cutouts import cut_out
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import is_part
from syndet_ray.data.read import Dataset, read, read_with_own_classes
from syndet_ray.data.scale import WorkingScale, working_scale
from syndet_ray.data.splits import cut
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.new_sweep import check_free, new_path
from syndet_ray.definitions.scene_parameters import BUILT_IN, SceneParameters
from syndet_ray.errors import DataError
from syndet_ray.files import make_folder, temporary_folder, write_whole
from syndet_ray.importing.literals import entry, literal
from syndet_ray.inspection.scene_match import Measured, measured_scene
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.assets import load as load_assets
from syndet_ray.scenes.library import Library

_QUESTION = "Which share of synthetic images, and which learning rate, is best for these photos?"
_SCENES, _IMAGES = 300, 2000  # rendered, and seen in a trial: some minutes on one core
_CUT_OUTS, _BACKGROUNDS = 20, 60  # of each class, and in all
_STRETCH = 1.0  # 54 to 61 of 100 chess pieces got the right name instead of 48
_COMMENT_WIDTH = 86  # characters, after an indent of 14: 100 columns
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
              nothing of these photos

    Raises DefinitionError for a file that is there already, unless `force`; and DataError for
    photos and objects that cannot be used, or that have no class in common.
    """
    path = new_path(out, force=force)
    check_free(path, force=force)
    dataset = photos_with_test(photos, labels, hold_out, progress)
    train = dataset.splits["train"]
    scale = working_scale(train.records, "auto", "auto", f"{photos}, train")
    backgrounds = path.with_name(f"{path.stem}_backgrounds")
    cut_outs = path.with_name(f"{path.stem}_cutouts")
    if force:
        remove_parts(backgrounds)
    of_train: dict[str, Any] = {
        "seed": seed,
        "labels": labels,
        "image_ids": frozenset(train.image_ids()),
    }
    if assets is None:
        if force:
            remove_parts(cut_outs)
        cutting = partial(progress, "cutting out objects")
        cut_out(photos, cut_outs, _CUT_OUTS, **of_train, progress=cutting)
        assets = cut_outs
    library = load_assets(str(assets))
    _check_classes(train.classes, library, assets)
    floors = None
    if has_squares(train.records):
        cutting = partial(progress, "cutting backgrounds")
        cut_backgrounds(photos, backgrounds, _BACKGROUNDS, **of_train, progress=cutting)
        floors = backgrounds.absolute()
    base = _base_scene(assets, floors)
    if library.has_solid_objects and not library.dice:
        base = base.model_copy(update={"stretch": _STRETCH})
    measured = measured_scene(train, base, scale.longest_px, seed, progress)
    _write_checked(path, _text(photos, base, measured))
    return FirstSweep(
        path=path,
        assets=assets,
        backgrounds=floors,
        dataset=dataset,
        scale=scale,
        measured=measured,
        notes=[*dataset.notes, *library.notes],
    )


def photos_with_test(
    photos: Path, labels: LabelOptions, hold_out: float | None, progress: NamedProgress
) -> Dataset:
    """The photos, with the test split that a sweep will have.

    Raises DataError for photos without one, unless a share of train is held out: what is made of
    training photos must show nothing of test photos.
    """
    reading = partial(progress, "reading labels")
    if hold_out is not None:
        dataset, as_stored = read_with_own_classes(photos, labels, reading)
        return cut.hold_out(dataset, hold_out, progress, as_stored=as_stored)
    dataset = read(photos, labels, reading)
    splits = list(dataset.splits)
    if "train" not in splits:
        raise DataError(photos, "has no training photos", got=splits)
    if "test" not in splits:  # its sweep would refuse parts of photos that it holds out
        do = "Add `hold_out` 0.2, as the sweep will: scenes must show nothing of test photos."
        raise DataError(photos, "must have a test split", got=splits, do=do)
    return dataset


def _base_scene(assets: Path, backgrounds: Path | None) -> SceneParameters:
    """Scenes of these objects, on floors of these images if there are any; nothing is measured."""
    # the built-in dice are no folder
    objects = str(assets if str(assets) in BUILT_IN else assets.absolute())
    if backgrounds is None:
        return SceneParameters(assets=objects)
    return SceneParameters(
        assets=objects, backgrounds=str(backgrounds), floor_texture=_FLOOR_TEXTURE
    )


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


def _check_classes(classes: Sequence[str], library: Library, assets: Path) -> None:
    if not set(classes) & set(library.classes):
        got = ", ".join(library.classes)
        rule = f"has none of the photos' classes, {', '.join(classes)}"
        do = "Name its folders as the photos' classes, or rename these with `classes`."
        raise DataError(assets, rule, got=got, do=do)


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
        *_stretch_lines(base),
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


def _stretch_lines(base: SceneParameters) -> Iterator[str]:
    if base.stretch > 0:
        yield "            # meshes are rarely the very things on photos: others are slimmer,"
        yield "            # wider, lower and taller"
        yield f"            stretch={base.stretch},"


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
        yield from entry(f"{item.path.removeprefix('scene.')}=", item.value, indent=12)
