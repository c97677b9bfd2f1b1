"""First sweep: a sweep file for one's own photos and objects, its scenes measured on the photos."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from syndet_ray.data.backgrounds import cut_backgrounds
from syndet_ray.data.cutouts import cut_out
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import is_part
from syndet_ray.data.read import Dataset, read
from syndet_ray.data.scale import WorkingScale, working_scale
from syndet_ray.definitions.loader import load
from syndet_ray.definitions.new_sweep import check_free, new_path
from syndet_ray.definitions.scene_parameters import BUILT_IN
from syndet_ray.errors import DataError
from syndet_ray.files import make_folder, temporary_folder, write_whole
from syndet_ray.importing.literals import entry, literal
from syndet_ray.inspection.scene_match import Measured, measured_scene
from syndet_ray.progress import NamedProgress
from syndet_ray.scenes.assets import load as load_assets
from syndet_ray.scenes.library import Library
from syndet_ray.wording import command_line

_QUESTION = "Which share of synthetic images, and which learning rate, is best for these photos?"
_SCENES, _IMAGES = 300, 2000  # rendered, and seen in a trial: some minutes on one core
_CUT_OUTS, _BACKGROUNDS = 20, 60  # of each class, and in all
_FLOOR_TEXTURE = 0.8  # the rest varies the colours of floors that the photos show


@dataclass(frozen=True, kw_only=True)
class FirstSweep:
    """A sweep file that was written.

    assets       the folder of the objects of its scenes
    backgrounds  the folder of empty places that were cut out of the photos
    measured     settings of scenes, with what each was measured on
    notes        what its reader must know about photos and objects
    """

    path: Path
    assets: Path
    backgrounds: Path
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
    force: bool,
) -> FirstSweep:
    """Measures training photos and writes a sweep file whose scenes look like them.

    assets  a folder of classes, each of meshes or cut-outs; None cuts objects out of the training
            photos, into a folder beside the sweep file

    Raises DefinitionError for a file that is there already, unless `force`; and DataError for
    photos and objects that cannot be used, or that have no class in common.
    """
    path = new_path(out, force=force)
    check_free(path, force=force)
    dataset = read(photos, labels, partial(progress, "reading labels"))
    train = dataset.splits.get("train")
    if train is None:
        raise DataError(photos, "has no training photos to measure", got=list(dataset.splits))
    if "test" not in dataset.splits:  # its sweep would refuse parts of photos that it holds out
        command = command_line("data", "split", photos, "--test", "0.2")
        do = f"Write one first, with {command}: scenes must show nothing of test photos."
        raise DataError(photos, "must have a test split", got=list(dataset.splits), do=do)
    scale = working_scale(train.records, "auto", "auto", f"{photos}, train")
    backgrounds = path.with_name(f"{path.stem}_backgrounds")
    if force:
        remove_parts(backgrounds)
    if assets is None:
        assets = path.with_name(f"{path.stem}_cutouts")
        if force:
            remove_parts(assets)
        cutting = partial(progress, "cutting out objects")
        cut_out(photos, assets, _CUT_OUTS, seed, labels=labels, progress=cutting)
    library = load_assets(str(assets))
    _check_classes(train.classes, library, assets)
    measured = measured_scene(train, scale.longest_px, library, seed, progress)
    cutting = partial(progress, "cutting backgrounds")
    cut_backgrounds(photos, backgrounds, _BACKGROUNDS, seed, labels=labels, progress=cutting)
    # the built-in dice are no folder
    folders = assets if str(assets) in BUILT_IN else assets.absolute(), backgrounds.absolute()
    content = _text(photos, folders, measured)
    with temporary_folder() as folder:
        load(str(write_whole(folder / "first.py", content.encode())))  # as a run would
    make_folder(path.parent)
    write_whole(path, content.encode())
    return FirstSweep(
        path=path,
        assets=assets,
        backgrounds=backgrounds,
        dataset=dataset,
        scale=scale,
        measured=measured,
        notes=[*dataset.notes, *library.notes],
    )


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


def _text(photos: Path, folders: tuple[Path, Path], measured: Sequence[Measured]) -> str:
    """The sweep file: Python as `ruff format` writes it, with a comment on each measured value."""
    assets, backgrounds = folders
    lines = [
        f'"""Scenes like the photos in {photos.name}: {_QUESTION[0].lower()}{_QUESTION[1:]}"""',
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
        f"            assets={literal(str(assets))},",
        "            # places without objects, cut out of the photos, and their share in floors",
        f"            backgrounds={literal(str(backgrounds))},",
        f"            floor_texture={_FLOOR_TEXTURE},",
        *_setting_lines(measured),
        "        ),",
        *_training_lines(assets),
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


def _training_lines(assets: Path) -> Iterator[str]:
    if str(assets) in BUILT_IN:
        yield "        # photos of dice from above: a flipped one is as likely as the original"
        yield f"        training=Training(images={_IMAGES}, flip_vertical=0.5, transpose=0.5),"
    else:
        yield f"        training=Training(images={_IMAGES}),"


def _setting_lines(measured: Sequence[Measured]) -> Iterator[str]:
    for item in measured:
        yield f"            # {item.words}"
        yield from entry(f"{item.path.removeprefix('scene.')}=", item.value, indent=12)
