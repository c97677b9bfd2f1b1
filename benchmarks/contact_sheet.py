"""Renders the contact sheets of docs/: trays and layers at several densities, and the same scenes
by both renderers.

    python benchmarks/contact_sheet.py docs

The renderers' sheet needs bpy (see `scenes.blender`) and is left out without it.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.errors import MachineError
from syndet_ray.scenes import blender
from syndet_ray.scenes.generate import draw_scene, finish, library_of, render

COLUMNS, SEED = 4, 1


def main(out: Path) -> None:
    save(
        [row(SceneParameters(objects=objects)) for objects in (10, 40, 70, 100)], out / "scenes.png"
    )
    layers = [
        SceneParameters(arrangement="layers", objects=n, occluders=0.4, lamps=3)
        for n in (5, 10, 20)
    ]
    save([row(parameters) for parameters in layers], out / "layers.jpg")
    try:
        save(
            both(SceneParameters(objects=25, distractors=5, blur=0.0, noise=0.0)),
            out / "renderers.jpg",
        )
    except MachineError as error:
        print(error)


def row(parameters: SceneParameters) -> np.ndarray:
    library = library_of(parameters)
    scenes = [draw_scene(parameters, SEED, index) for index in range(COLUMNS)]
    return np.concatenate([render(scene, library)[0] for scene in scenes], axis=1)


def both(parameters: SceneParameters) -> list[np.ndarray]:
    """The same scenes cast by rays, above, and path-traced, below."""
    library = library_of(parameters)
    scenes = [draw_scene(parameters, SEED, index) for index in range(COLUMNS)]
    traced = [
        finish(scene, drawing, library)[0]
        for scene, drawing in zip(scenes, blender.render(scenes, library, samples=64), strict=True)
    ]
    return [row(parameters), np.concatenate(traced, axis=1)]


def save(rows: list[np.ndarray], path: Path) -> None:
    sheet = Image.fromarray(np.concatenate(rows))
    # a palette keeps the picture small in the repository and is not seen at this size
    if path.suffix == ".png":
        sheet = sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=200)
    sheet.save(path, optimize=True, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
