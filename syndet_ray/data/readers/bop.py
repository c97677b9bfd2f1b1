"""BOP's scenes, as the BOP toolkit and BlenderProc's writer of BOP make them.

scene_gt.json and scene_gt_info.json are lists of equal order for each image. bbox_visib is x, y,
max - min, max - min of the visible pixels, so one pixel short (calc_2d_bbox in
bop_toolkit_lib/misc.py). visib_fract is the visible share of the whole silhouette.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from syndet_ray.data.readers.image_files import ImageFiles
from syndet_ray.data.readers.json_file import load_json
from syndet_ray.data.readers.label_files import label_files
from syndet_ray.data.readers.labels import LabelledBox, LabelledImage, Reading
from syndet_ray.data.readers.masks import edges_of_short_box
from syndet_ray.data.readers.remarks import Remarks
from syndet_ray.data.readers.splits import by_folder
from syndet_ray.data.readers.values import for_message, is_number, share
from syndet_ray.errors import DataError

LAYOUT = "<split>/<scene>/scene_gt.json and scene_gt_info.json with rgb/ (BOP)"
_NAME = "scene_gt.json"
_FOLDERS = ("rgb", "gray")
_INVISIBLE = [-1, -1, -1, -1]
_MOST_DIGITS = 9  # of an image's number


def files(folder: Path) -> list[Path]:
    """The ground truth of each scene of a dataset, of a split, or of one scene."""
    return label_files(folder, _NAME, f"*/{_NAME}", f"*/*/{_NAME}")


def read(folder: Path, files: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Reading:
    """Every image of the scenes; an object is called as its model file: obj_000001.

    Raises DataError for a scene without scene_gt_info.json, or where a file is no JSON object.
    """
    remarks.note("classes are the model files of BOP, such as obj_000001: rename them as you like")
    remarks.note("visibility is visib_fract of BOP, parts out of the frame included")
    splits = {}
    for split, paths in by_folder(folder, files).items():
        splits[split] = _images(paths, images, remarks)
    return Reading(splits=splits)


def _images(paths: Sequence[Path], images: ImageFiles, remarks: Remarks) -> Iterator[LabelledImage]:
    for path in paths:
        info_file = path.with_name("scene_gt_info.json")
        if not images.holds(info_file):
            do = "Compute it: scripts/calc_gt_info.py of bop_toolkit."
            raise DataError(path, "needs scene_gt_info.json beside it, with its boxes", do=do)
        poses, infos = _by_image(path), _by_image(info_file)
        folders = [path.parent / name for name in _FOLDERS]
        for key in sorted(poses.keys() | infos.keys(), key=str):
            place = f"{path}, image {for_message(key)}"
            objects, details = poses.get(key), infos.get(key)
            pairs = _pairs(objects, details)
            if pairs is None:
                rule = f"must be lists of one length in {_NAME} and scene_gt_info.json"
                remarks.problem(place, rule)
                continue
            file = images.with_stem(f"{int(key):06d}", folders) if _is_image_key(key) else None
            if file is None:
                remarks.problem(place, f"its image file must be in {' or '.join(_FOLDERS)}/")
                continue
            boxes = []
            for position, (pose, info) in enumerate(pairs):
                box = _box(pose, info, f"object {position}", place, remarks)
                if box is not None:
                    boxes.append(box)
            yield LabelledImage(image=file, boxes=boxes, place=place)


def _by_image(path: Path) -> dict[str, Any]:
    content = load_json(path)
    if not isinstance(content, dict):
        raise DataError(path, "must be an object with a list for each image")
    return content


def _pairs(objects: Any, details: Any) -> list[tuple[Any, Any]] | None:
    """The entries of two lists by position; None unless they are lists of one length."""
    if not isinstance(objects, list) or not isinstance(details, list):
        return None
    return list(zip(objects, details, strict=True)) if len(objects) == len(details) else None


def _is_image_key(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= _MOST_DIGITS


def _box(pose: Any, info: Any, name: str, image: str, remarks: Remarks) -> LabelledBox | None:
    """The visible box of an object; None for one of which nothing is visible."""
    place = f"{image}, {name}"
    model = pose.get("obj_id") if isinstance(pose, dict) else None
    if not is_number(model) or not isinstance(model, int) or not isinstance(info, dict):
        remarks.problem(place, "an object must have an obj_id", got=for_message(model))
        return None
    if info.get("bbox_visib") == _INVISIBLE:
        remarks.count("objects of which no pixel is visible, left out", place)
        return None
    return LabelledBox(
        xyxy=edges_of_short_box(info.get("bbox_visib")),
        name=f"obj_{model:06d}",
        place=name,
        visibility=share(info.get("visib_fract")),
    )
