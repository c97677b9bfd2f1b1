"""Pasting: the training photos of a run, prepared for images that are pasted from them."""

from functools import partial
from pathlib import Path
from typing import Any

from syndet_ray.data.class_map import repeatable_names
from syndet_ray.data.decode import decode
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.pool import Pool
from syndet_ray.data.real import RealData
from syndet_ray.data.scale import scene_px, working_scale
from syndet_ray.data.splits.read_for_sweep import read_for_sweep
from syndet_ray.data.splits.subset import nested_subset
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import DataError, DefinitionError
from syndet_ray.progress import NamedProgress, Note
from syndet_ray.scenes.needs import paste_inputs
from syndet_ray.scenes.stock import Stock, is_stock, load_stock, write_stock
from syndet_ray.wording import counted

_PHOTOS = "scene.photos"
_CUTTING = "cutting out objects"


def with_training_photos(
    sweep: LoadedSweep, data: RealData, cache: Path, progress: NamedProgress, note: Note
) -> LoadedSweep:
    """The sweep with the photos that it pastes on: of each recipe the training photos that it may
    see, and nothing of val and test.

    Raises DefinitionError for a sweep that names photos itself, or searches their number; and
    DataError for photos and cut-outs that cannot be used.
    """
    if not paste_inputs(sweep):
        return sweep
    _check_settings(sweep)
    load_stock.cache_clear()  # cut-outs may have changed since this process last read them
    folders = _Folders(sweep, data, cache, progress)
    recipe = sweep.recipe
    controls = [sweep.fixed[name] for name in sweep.controls]
    if any(map(_pastes, [recipe, *controls])) or _search_pastes(sweep):
        recipe = recipe.replace({_PHOTOS: folders.of(recipe)})
    variants = {}
    for name, changes in sweep.variants.items():
        variant = recipe.replace(changes)
        photos = folders.of(variant) if _pastes(variant) else variant.scene.photos
        is_other = photos != recipe.scene.photos
        variants[name] = {**changes, _PHOTOS: photos} if is_other else changes
    settled = sweep.replace({"recipe": recipe, "variants": variants})
    for pasted in sorted(paste_inputs(settled)):
        for sentence in _notes(pasted.stock()):
            note(sentence)
    return settled


def restore_photos(
    sweep: LoadedSweep, data: RealData, cache: Path, progress: NamedProgress
) -> None:
    """Writes photos of a settled sweep again that are no longer there.

    Raises DataError if the sweep names another folder, such as that of a run that was moved.
    """
    missing = {pasted.photos for pasted in paste_inputs(sweep) if not _is_there(pasted.photos)}
    if not missing:
        return
    folders = _Folders(sweep, data, cache, progress)
    for recipe in (sweep.recipe, *sweep.fixed.values()):
        if recipe.scene.photos in missing:
            folders.of(recipe)
    for photos in sorted(missing):
        if not _is_there(photos):
            rule = "does not exist: it held the training photos that images are pasted on"
            do = f"Put it there again, or start a new sweep; those of today are in {cache}."
            raise DataError(photos, rule, do=do)


def pasted_scene(
    parameters: SceneParameters,
    photos: Path,
    cache: Path,
    progress: NamedProgress,
    note: Note,
    *,
    labels: LabelOptions,
    hold_out: float | None,
) -> SceneParameters:
    """Parameters of pasted images outside of a sweep, made of the photos that a sweep would train
    on, at the same scale.

    Raises DataError for photos and cut-outs that cannot be used.
    """
    dataset = read_for_sweep(photos, labels, hold_out, progress)
    for sentence in dataset.notes:
        note(sentence)
    source = dataset.splits["train"]
    scale = working_scale(source.records, "auto", "auto", f"{photos}, train")
    train = decode(source, scale.longest_px, partial(progress, "decoding train"))
    cutting = partial(progress, _CUTTING)
    folder = write_stock(train, cache, photos, cuts=not parameters.cutouts, progress=cutting)
    changes: dict[str, Any] = {"photos": str(folder)}
    if parameters.image_px == "auto":  # as `settle` has it for a sweep
        changes["image_px"] = scene_px(scale.auto_crop_px, Training().scale_jitter)
    load_stock.cache_clear()
    settled = parameters.model_copy(update=changes)
    for sentence in _notes(load_stock(settled.photos, settled.cutouts)):
        note(sentence)
    return settled


class _Folders:
    """The folders of the photos that recipes of a sweep may see, each written once."""

    def __init__(
        self, sweep: LoadedSweep, data: RealData, cache: Path, progress: NamedProgress
    ) -> None:
        self._train = data.pools["train"]
        self._place = f"{data.path or 'the stand-in set'}, train"
        self._seed, self._cache = sweep.seed, cache
        self._cuts = any(not pasted.cutouts for pasted in paste_inputs(sweep))
        self._progress = partial(progress, _CUTTING)
        self._by_count: dict[int, str] = {}

    def of(self, recipe: Recipe) -> str:
        count = recipe.mix.real_count(len(self._train))
        if count == 0:
            rule = "must be more than 0: images are pasted on training photos"
            raise DefinitionError("mix.real_images", rule, got=0)
        if count not in self._by_count:
            photos: Pool = nested_subset(self._train, count, self._seed)
            folder = write_stock(
                photos, self._cache, self._place, cuts=self._cuts, progress=self._progress
            )
            self._by_count[count] = str(folder)
        return self._by_count[count]


def _check_settings(sweep: LoadedSweep) -> None:
    """Raises DefinitionError for photos that a run must name itself, for a search over their
    number, and for cut-outs of which it cannot be told whether their names are old or new.
    """
    folders = {pasted.cutouts for pasted in paste_inputs(sweep)} - {""}
    if folders and repeatable_names(sweep.classes) != dict(sweep.classes):
        rule = (
            "must give no class the old name of another that is renamed, since names of cut-outs "
            "may be old or new"
        )
        do = f"Give classes other names, or leave scene.cutouts, {min(folders)}, out."
        raise DefinitionError("`classes`", rule, got=dict(sweep.classes), do=do)
    named = {pasted.photos for pasted in paste_inputs(sweep)} - {""}
    if named:
        rule = "is named by a run: it pastes on its own training photos, and val and test stay shut"
        raise DefinitionError(_PHOTOS, rule, got=sorted(named)[0], do="Leave it out.")
    if "mix.real_images" in sweep.parameters.settings() and _search_pastes(sweep):
        rule = (
            "cannot be searched where images are pasted: recipes of few photos would see the "
            "others under cut-outs"
        )
        do = "Compare a few numbers of photos as variants."
        raise DefinitionError("mix.real_images", rule, do=do)


def _pastes(recipe: Recipe) -> bool:
    """True if a recipe trains on pasted images."""
    return any(scene.pastes for scene, _ in recipe.scenes().values())


def _search_pastes(sweep: LoadedSweep) -> bool:
    """True if the search may propose a recipe that trains on pasted images."""
    if not sweep.trials:
        return False
    return bool(paste_inputs(sweep.replace({"variants": {}, "controls": ()})))


def _is_there(photos: str) -> bool:
    return bool(photos) and is_stock(Path(photos))


def _notes(stock: Stock) -> list[str]:
    """Counts of photos and cut-outs, in sentences without full stops."""
    classes = len(stock.names_by_class)
    of_classes = "1 class" if classes == 1 else f"{classes} classes"
    cutouts = f"{counted(len(stock.cutouts), 'cut-out')} of {of_classes}"
    notes = [f"pasted on {counted(len(stock.photos), 'training photo')}: {cutouts}"]
    if stock.classes_without:
        notes.append(
            f"never pasted, as there is no cut-out: {', '.join(stock.classes_without)}; "
            "`data cutouts` with masks of the photos makes more"
        )
    return notes
