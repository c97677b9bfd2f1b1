"""Asset part: the files and meshes of one part of a library, and the notes on them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from syndet_ray.errors import DataError
from syndet_ray.scenes import meshes, units
from syndet_ray.scenes.asset_settings import AssetSettings


@dataclass(kw_only=True)
class AssetPart:
    """Files and meshes of one part of a library.

    files     by the name under which their content is hashed
    models    by the name of an asset, of meshes
    settings  of its assets.json
    units     guessed, by class
    lengths   of the meshes of these classes, in the numbers of their files
    has_equal_sizes  True if any assets are made to look equally large
    size_error       for sizes that no tray shows side by side
    """

    files: dict[str, Path] = field(default_factory=dict)
    models: dict[str, meshes.Model] = field(default_factory=dict)
    settings: AssetSettings = field(default_factory=AssetSettings)
    units: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, list[float]] = field(default_factory=dict)
    has_equal_sizes: bool = False
    size_error: DataError | None = None

    @property
    def guesses(self) -> dict[str, str]:
        """The guesses on which scenes depend beside files, by a name, for the hash."""
        guesses = {f"unit of {name}": unit for name, unit in self.units.items()}
        return guesses | ({"sizes": "alike"} if self.has_equal_sizes else {})

    def notes(self) -> Iterator[str]:
        """The units that were guessed, and counts of what is surprising about the meshes."""
        if self.units:
            yield (
                "no unit is given for meshes: they are taken as "
                f"{units.guess_words(self.units, self.lengths)}; "
                f'{{"unit": ...}} in {self.settings.file} gives another one, and "normalised" '
                "makes all equally large"
            )
        open_names = [name for name, model in self.models.items() if model.open_edges]
        if open_names and not self.settings.open:
            edges = self.models[open_names[0]].open_edges
            yield (
                f"{len(open_names)} of {len(self.models)} meshes have holes, the first is "
                f"{open_names[0]} ({edges} edges with a face on one side only): their inside is "
                f'rendered like their outside; {{"open": true}} in {self.settings.file} says that '
                "this is intended"
            )
        blended = [name for name, model in self.models.items() if model.is_blended]
        if blended:
            yield (
                f"{len(blended)} of {len(self.models)} meshes have parts that light shines "
                f"through, the first is {blended[0]}: what is more than half transparent is cut "
                "away, the rest is rendered opaque"
            )
