"""Renders a strip of images for every scene parameter, from its minimum to its maximum:
docs/parameters-*.jpg.

    python benchmarks/strips.py docs
    python benchmarks/strips.py docs --assets ../shared/data/chess/meshes

Each row is one scene, in which only the parameter that it names changes; of a few scenes it is the
one that changes most. The row of the curriculum shows scenes of one set. With a folder of meshes
that stand, it renders what acts on meshes alone: docs/parameters-meshes.jpg.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.scene_parameters import SceneParameters
from syndet_ray.scenes.generate import draw_scene, library_of, render

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
TRAY: dict[str, Any] = {
    "objects": 14,
    "image_px": 176,
    "size_px": (22.0, 34.0),
    "distractors": 4,
    "blur": 0.0,
    "noise": 0.0,
}
LAYERS = TRAY | {"arrangement": "layers", "objects": 6, "distractors": 0}
# Parameter, its values, and the scenes it is shown on.
ROWS: dict[str, tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...]] = {
    "light": (
        ("lamps", (1, 1, 2, 3, 4, 4), TRAY | {"light_direction": 1.0}),
        ("light_color", SHARES, TRAY),
        ("light_direction", SHARES, TRAY),
        ("light_intensity", SHARES, TRAY),
        ("exposure", SHARES, TRAY),
        ("white_balance", SHARES, TRAY),
        ("brightness", (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0), TRAY),
        (
            "color_cast",
            ((0.7, 1.4), (0.85, 1.2), (1.0, 1.0), (1.2, 0.85), (1.4, 0.7), (1.0, 0.6)),
            TRAY,
        ),
        ("contrast", (0.5, 0.75, 1.0, 1.5, 2.0, 3.0), TRAY),
        ("blur", SHARES, TRAY),
        ("noise", SHARES, TRAY),
        ("jpeg", SHARES, TRAY),
    ),
    "things": (
        ("hue", SHARES, TRAY | {"distractors": 12}),
        ("floor_color", SHARES, TRAY),
        ("floor_texture", SHARES, TRAY),
        ("object_color", SHARES, TRAY | {"distractors": 0}),
        ("object_shape", SHARES, TRAY | {"distractors": 0, "object_color": 0.0}),
        ("object_scale", SHARES, TRAY | {"distractors": 0}),
        ("gloss", SHARES, TRAY),
        ("camera_tilt_deg", (0.0, 12.0, 24.0, 36.0, 48.0, 60.0), TRAY),
        ("camera_height", SHARES, TRAY | {"camera_tilt_deg": 40.0}),
        ("focal_length", SHARES, TRAY),
        (
            "size_px",
            ((4.0, 8.0), (8.0, 16.0), (16.0, 26.0), (26.0, 40.0), (40.0, 70.0), (80.0, 120.0)),
            TRAY | {"distractors": 0},
        ),
    ),
    "arrangement": (
        ("objects", (1, 5, 10, 20, 50, 100), TRAY | {"distractors": 0}),
        ("distractors", (0, 4, 8, 16, 40, 100), TRAY | {"objects": 6}),
        ("objects in layers", (1, 3, 6, 10, 15, 20), LAYERS),
        ("occluders", SHARES, LAYERS),
        ("overlap", (0.0, 0.1, 0.2, 0.3, 0.5, 1.0), LAYERS | {"objects": 14}),
        ("crop", (0.0, 0.1, 0.3, 0.45, 0.6, 0.75), LAYERS | {"objects": 10}),
        (
            "background_scale",
            ((0.3, 0.5), (0.5, 0.8), (0.7, 1.1), (0.9, 1.5), (1.5, 2.5), (4.0, 10.0)),
            LAYERS,
        ),
        ("curriculum, scene", (0, 12, 24, 36, 48, 59), LAYERS | {"poses": "curriculum"}),
    ),
    "labels": (
        ("box_padding", (0.0, 0.1, 0.2, 0.4, 0.7, 1.0), TRAY | {"distractors": 0, "objects": 5}),
        (
            "box_padding_spread",
            (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            TRAY | {"distractors": 0, "objects": 5},
        ),
        ("box_jitter", (0.0, 0.03, 0.06, 0.1, 0.2, 0.3), TRAY | {"distractors": 0, "objects": 5}),
        ("box_square", (False, True), TRAY | {"distractors": 0, "objects": 5}),
    ),
}
# Given meshes, standing and seen from the side.
STANDING: dict[str, Any] = {
    "objects": 5,
    "image_px": 176,
    "size_px": (60.0, 70.0),
    "poses": "upright",
    "least_tilt_deg": 55.0,
    "camera_tilt_deg": 65.0,
    "blur": 0.0,
    "noise": 0.0,
}
OF_MESHES: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("poses", ("rest", "upright", "face_up", "any"), {}),
    # at 0 there are no variants to choose from, and so other objects
    ("stretch", SHARES[1:], {}),
    ("profile", SHARES[1:], {}),
    ("object_color", SHARES, {}),
)
CAPTION_PX = 18  # height of one line of text
CURRICULUM_SCENES = 60  # scenes of the set from which the curriculum shows some


def main() -> None:
    given = arguments()
    sheets = ROWS
    if given.assets is not None:
        base = STANDING | {"assets": str(given.assets)}
        rows = tuple((name, values, base | more) for name, values, more in OF_MESHES)
        sheets = {"meshes": rows}
    for name, rows in sheets.items():
        strips = [strip(*row, boxes=name in ("labels", "arrangement")) for row in rows]
        widest = max(image.shape[1] for image in strips)
        padded = []
        for image in strips:
            missing = widest - image.shape[1]
            padded.append(np.pad(image, ((0, 0), (0, missing), (0, 0)), constant_values=255))
        picture = cv2.cvtColor(np.concatenate(padded), cv2.COLOR_RGB2BGR)
        file = given.out / f"parameters-{name}.jpg"
        cv2.imwrite(str(file), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--assets", type=Path, help="folder of meshes that stand, by class")
    return parser.parse_args()


def strip(
    parameter: str, values: tuple[Any, ...], base: dict[str, Any], *, boxes: bool
) -> np.ndarray:
    """(h, w, 3) the same scene at each value, under a caption."""
    if parameter.startswith("curriculum"):
        scene = with_changes(base, {})
        images = [rendered(scene, index, CURRICULUM_SCENES, boxes=boxes) for index in values]
    else:
        steps = [with_changes(base, {parameter.split(" ")[0]: value}) for value in values]
        index = most_different(steps[0], steps[-1])
        images = [rendered(step, index, 1, boxes=boxes) for step in steps]
    picture = np.concatenate(images, axis=1)
    caption = np.full((CAPTION_PX, picture.shape[1], 3), 255, np.uint8)
    for k, value in enumerate(values):
        cv2.putText(
            caption,
            f"{parameter} {value}" if k == 0 else str(value),
            org=(k * images[0].shape[1] + 3, CAPTION_PX - 5),
            fontFace=cv2.FONT_HERSHEY_SIMPLEX,
            fontScale=0.42,
            color=(20, 20, 20),
            thickness=1,
            lineType=cv2.LINE_AA,
        )
    return np.concatenate([caption, picture])


def with_changes(base: dict[str, Any], changes: dict[str, Any]) -> SceneParameters:
    settings = {f"scene.{name}": value for name, value in (base | changes).items()}
    return Recipe().replace(settings).scene


def most_different(least: SceneParameters, most: SceneParameters) -> int:
    """The one of the first scenes whose image differs most between two values of a parameter."""
    gaps = []
    for index in range(8):
        one, other = (rendered(scene, index, 1, boxes=False) for scene in (least, most))
        gaps.append(np.abs(one.astype(int) - other).mean())
    return int(np.argmax(gaps))


def rendered(parameters: SceneParameters, index: int, count: int, *, boxes: bool) -> np.ndarray:
    image, labelled = render(draw_scene(parameters, 1, index, count), library_of(parameters))
    image = np.ascontiguousarray(image)
    for x1, y1, x2, y2 in labelled.xyxy.round().astype(int).tolist() if boxes else ():
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), (0, 230, 0), 1)
    return np.pad(image, ((0, 0), (0, 2), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
