"""Export: labels and predictions as other programs read them: COCO instances, KITTI's result files,
and plain JSON.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from syndet_ray.data.pool import Pool
from syndet_ray.detection.score import Predictions, annotations

# KITTI's development kit, on result files: what a detector does not say of truncation, occlusion
# and observation angle, and of an object's size, place and rotation in space.
_UNSAID_BEFORE, _UNSAID_AFTER = "-1 -1 -10", "-1 -1 -1 -1000 -1000 -1000 -10"


def at_least(found: Predictions, score: float) -> Predictions:
    """The predictions that have this confidence or more."""
    return found.select(found.scores >= score)


def detections(found: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    """{"class", "score", "xyxy"} of each, in their order; pixels to two decimals, scores to four."""
    return [
        {
            "class": classes[label],
            "score": round(score, 4),
            "xyxy": [round(edge, 2) for edge in box],
        }
        for box, label, score in _rows(found)
    ]


def kitti(found: Predictions, classes: Sequence[str]) -> str:
    """A line of KITTI's sixteen fields for each; nothing where nothing was found.

    The type is the class in lower case and without spaces, as TAO and Rendered.ai's tools write it:
    a space would shift all fields, and classes that differ in no more become one.
    """
    types = ["".join(name.lower().split()) for name in classes]
    return "".join(
        f"{types[label]} {_UNSAID_BEFORE} {' '.join(f'{edge:.2f}' for edge in box)} {_UNSAID_AFTER} {score:.4f}\n"
        for box, label, score in _rows(found)
    )


def coco_truth(pool: Pool) -> dict[str, Any]:
    """The labels of the pool as COCO instances.

    Images, annotations and categories have the ids 1, 2, ... in its order.
    """
    images = [
        {"id": i, "file_name": str(name), "width": width, "height": height}
        for i, (name, (width, height)) in enumerate(
            zip(pool.image_ids, pool.sizes_wh.tolist(), strict=True), start=1
        )
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(pool.classes, start=1)]
    return {"images": images, "annotations": annotations(pool), "categories": categories}


def _rows(found: Predictions) -> Iterator[tuple[list[float], int, float]]:
    return zip(found.xyxy.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
