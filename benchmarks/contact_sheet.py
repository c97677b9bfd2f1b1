"""Draws docs/scenes.png: synthetic scenes with 10, 40, 70 and 100 objects.

python benchmarks/contact_sheet.py docs/scenes.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from syndet_ray.recipe import SceneParameters
from syndet_ray.scenes.generate import draw_scene, render

COLUMNS, SEED = 4, 1


def main() -> None:
    rows = []
    for objects in (10, 40, 70, 100):
        scenes = [draw_scene(SceneParameters(objects=objects), SEED, index) for index in range(COLUMNS)]
        rows.append(np.concatenate([render(scene)[0] for scene in scenes], axis=1))
    sheet = Image.fromarray(np.concatenate(rows))
    # A palette keeps the picture small in the repository and is not seen at this size.
    sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=200).save(Path(sys.argv[1]), optimize=True)


if __name__ == "__main__":
    main()
