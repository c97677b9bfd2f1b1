"""Scene fill: scene settings without given values, measured on the training photos of a sweep."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from syndet_ray.data.real import RealData
from syndet_ray.definitions.around import with_ranges
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.mix import Scenes
from syndet_ray.definitions.parameter import Around
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import MEASURABLE, SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.files import make_folder, write_whole
from syndet_ray.inspection.measures import OF_TRAY, Measured, scenes_with, settings_for
from syndet_ray.inspection.scene_match import measured_scene
from syndet_ray.scenes.generate import RENDERER_VERSION, library_of
from syndet_ray.search.search import Display
from syndet_ray.tuning.notes import notes_on_colors
from syndet_ray.tuning.photo_subset import PhotoSubset, photos_to_measure
from syndet_ray.tuning.settle import largest_scene_px
from syndet_ray.wording import counted

_VERSION = 5  # part of the cache's key: raise it when the same photos are measured otherwise
_SOURCES = "mix.sources"
_MATCH = "scene.match"
_TILTS = ("least_tilt_deg", "camera_tilt_deg")
# settings without which scenes of another arrangement break a rule
_OF_ARRANGEMENT = {"arrangement", "surroundings", "poses"}


@dataclass(frozen=True, kw_only=True)
class FilledSweep:
    """A sweep in which no setting of scenes waits for a measure, and no range for its value.

    measured  for run.json: the settings that were measured, for each folder of objects
    """

    sweep: LoadedSweep
    measured: Mapping[str, Sequence[Measured]] = field(default_factory=dict)

    def record(self) -> dict[str, list[dict[str, Any]]]:
        """Plain values of what was measured."""
        return {assets: list(map(asdict, items)) for assets, items in self.measured.items()}


def fill_scenes(sweep: LoadedSweep, data: RealData, cache: Path, display: Display) -> FilledSweep:
    """Measures what scenes of `match` "photos" leave open, and settles ranges around values.

    Settings that were given, in the sweep's file, by its user, or by the changes of a variant or of
    a source, stay. What a search varies has its measured value in the controls. Variants and
    sources with the objects of the recipe share its measures, so that they differ in nothing else.

    cache  keeps what was measured, for the next sweep of the same photos and objects

    Raises SyndetError for photos and objects that cannot be measured, and for a range around a
    value that has none.
    """
    filler = _Filler(sweep=sweep, data=data, cache=cache, display=display)
    recipe = filler.recipe(sweep.recipe)
    variants = {}
    for name, changes in sweep.variants.items():
        variant = filler.recipe(sweep.recipe.replace(changes))
        variants[name] = _changes(recipe, variant, changes)
    if filler.measured:
        sweep = sweep.replace({"recipe": recipe, "variants": variants})
    return FilledSweep(sweep=with_ranges(sweep, display.note), measured=filler.measured)


def _changes(recipe: Recipe, variant: Recipe, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that turn the filled recipe into a filled variant."""
    common = recipe.flat()
    changes = {path: value for path, value in asked.items() if path not in (_MATCH, _SOURCES)}
    for path, value in variant.flat().items():
        is_of_scenes = path.startswith("scene.") or path == _SOURCES
        if is_of_scenes and value != common[path]:
            changes[path] = value
    return changes


@dataclass(frozen=True, kw_only=True)
class _Filler:
    """Fills recipes of a sweep.

    measured  by folder of objects; grows with every folder that is met
    """

    sweep: LoadedSweep
    data: RealData
    cache: Path
    display: Display
    measured: dict[str, list[Measured]] = field(default_factory=dict)

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with all its scenes filled."""
        is_rendered = any(isinstance(source, Scenes) for source in recipe.mix.sources.values())
        scene = self._fill(recipe.scene) if is_rendered else recipe.scene
        searched = set(self.sweep.parameters.settings())
        sources: dict[str, Any] = {}
        for name, source in recipe.mix.sources.items():
            sources[name] = source
            if isinstance(source, Scenes):
                of_source = self._fill(recipe.scene_of(source))
                changes = _source_changes(scene, of_source, source, searched)
                sources[name] = source.model_copy(update={"changes": changes})
        fields = {f"scene.{name}": value for name, value in scene.model_dump().items()}
        return recipe.replace({_SOURCES: sources, **fields})

    def _fill(self, scene: SceneParameters) -> SceneParameters:
        if scene.match == "none":
            return scene
        if scene.pastes:  # photos bring their own sizes, light and boxes
            return scene.model_copy(update={"match": "none"})
        measured = self._measured_for(self._base(scene))
        return scenes_with(scene, settings_for(measured, scene))

    def _base(self, scene: SceneParameters) -> SceneParameters:
        """The scenes that are measured for these: the recipe's, with the same objects.

        What else is given for these is measured, too: others share the measures, and may need it.
        """
        common = self.sweep.recipe.scene
        given = common.model_dump(exclude_unset=True)
        of_scene = {"assets": scene.assets, "generator": scene.generator, "match": "photos"}
        if scene.arrangement != common.arrangement:
            of_scene |= scene.model_dump(include=scene.model_fields_set & _OF_ARRANGEMENT)
        return SceneParameters(**given | of_scene)

    def _left_to_the_search(self) -> set[str]:
        """Settings whose measured value would break a rule with what the search proposes."""
        left_out = set[str]()
        parameters = dict(self.sweep.parameters.items())
        tilts = [parameters.get(f"scene.{name}") for name in _TILTS]
        if any(tilt is not None and not isinstance(tilt, Around) for tilt in tilts):
            left_out.update(_TILTS)
        if "layers" in self.sweep.parameters.samples("scene.arrangement"):
            left_out.add("poses")
        return left_out

    def _measured_for(self, base: SceneParameters) -> Sequence[Measured]:
        name = f"{base.assets}, {base.arrangement}"
        if name not in self.measured:
            left_out = self._left_to_the_search()
            measured = [item for item in self._measure(base) if item.name not in left_out]
            self.measured[name] = measured
            self._note(base, self.measured[name])
        return self.measured[name]

    def _measure(self, base: SceneParameters) -> list[Measured]:
        """Measures scenes, unless the same were measured on the same photos before."""
        sweep, longest_px = self.sweep, self.data.scale.longest_px
        file = self.cache / "measured" / f"{self._key(base)}.json"
        if (saved := _read(file)) is not None:
            return saved
        with self.display.step("measuring scenes on the training photos"):
            measured = measured_scene(
                self._photos.source,
                base,
                longest_px,
                sweep.seed,
                self.display.progress,
                seen_px=self._seen_px(),
                classes=sweep.classes,
            )
        with suppress(OSError, MachineError):  # a cache that cannot be written costs time alone
            make_folder(file.parent)
            write_whole(file, json.dumps(list(map(asdict, measured))).encode())
        return measured

    @cached_property
    def _photos(self) -> PhotoSubset:
        return photos_to_measure(self.sweep, self.data)

    def _seen_px(self) -> int:
        """The side of a square, pixels, that fits the largest crop and jitter of the sweep."""
        recipes = [self.sweep.recipe, *self.sweep.fixed.values()]
        return largest_scene_px(recipes, self.sweep, self.data.scale.auto_crop_px)

    def _key(self, base: SceneParameters) -> str:
        facts = {
            "version": [_VERSION, RENDERER_VERSION],
            "photos": self._photos.hash,
            "longest_px": self.data.scale.longest_px,
            "seen_px": self._seen_px(),
            "scenes": base.model_dump(mode="json"),
            "given": sorted(base.model_fields_set),
            "objects": library_of(base).hash,
            "classes": self.sweep.classes,
            "seed": self.sweep.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]

    def _note(self, base: SceneParameters, measured: Sequence[Measured]) -> None:
        """Says what was measured, and what was not and why."""
        note = self.display.note
        settings = counted(len(measured), "setting")
        objects = f"scenes of {base.assets}, {base.arrangement}"
        note(f"{_MATCH}: {objects}: {settings} measured on {self._photos.words}")
        for item in measured:
            is_searched = item.path in self.sweep.parameters.settings()
            ending = "; the search proposes its own" if is_searched else ""
            note(f"scene.{item.line}{ending}")
        names = {item.name for item in measured}
        for name in MEASURABLE:
            if name not in names:
                note(f"scene.{name}: {getattr(base, name)} ({self._reason(name, base)})")
        for sentence in notes_on_colors(library_of(base), Path(base.assets)):
            note(sentence)

    def _reason(self, name: str, base: SceneParameters) -> str:
        """The reason why a setting was not measured."""
        if name in base.model_fields_set:
            return "given, so that no measure takes its place"
        if name in self._left_to_the_search():
            return "as it was: what the search proposes leaves no room for a measure"
        if base.arrangement != "tray" and name in OF_TRAY:
            return f"as it was: nothing acts on it in {base.arrangement}"
        return "as it was: these photos do not tell it"


def _source_changes(
    common: SceneParameters, filled: SceneParameters, source: Scenes, searched: Collection[str]
) -> dict[str, Any]:
    """The changes that turn the filled scenes of a recipe into those of a source.

    Only the recipe's size may be "auto".

    searched  settings that a search proposes: no measure may take the place of a proposal
    """
    changes = {path: value for path, value in source.changes.items() if path != _MATCH}
    of_recipe = common.model_dump()
    for name, value in filled.model_dump().items():
        path, is_open_size = f"scene.{name}", name == "image_px" and value == "auto"
        if value != of_recipe[name] and not is_open_size and path not in searched:
            changes[path] = value
    return changes


def _read(file: Path) -> list[Measured] | None:
    """The settings of a file of the cache; None if it is not there, or damaged."""
    measured = []
    try:
        for fields in json.loads(file.read_text(encoding="utf-8")):
            value = fields["value"]
            plain = tuple(value) if isinstance(value, list) else value
            measured.append(Measured(path=fields["path"], value=plain, words=fields["words"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return measured
