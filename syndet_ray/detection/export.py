"""Export: labels and predictions as COCO instances, KITTI's result files, and plain JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from syndet_ray.data.pool import Pool
from syndet_ray.detection.score import Predictions, annotations

# Fields that a detector leaves open, with the values of KITTI's development kit for result files:
# truncation, occlusion and observation angle; then an object's size, place and rotation in space.
_OPEN_BEFORE, _OPEN_AFTER = "-1 -1 -10", "-1 -1 -1 -1000 -1000 -1000 -10"


def at_least(predictions: Predictions, score: float) -> Predictions:
    """The predictions that have this confidence or more."""
    return predictions.select(predictions.scores >= score)


def detections(predictions: Predictions, classes: Sequence[str]) -> list[dict[str, Any]]:
    """{"class", "score", "xyxy"} of each, in order; pixels to two decimals, scores to four."""
    rows = []
    for box, label, score in _rows(predictions):
        edges = [round(edge, 2) for edge in box]
        rows.append({"class": classes[label], "score": round(score, 4), "xyxy": edges})
    return rows


def kitti(predictions: Predictions, classes: Sequence[str]) -> str:
    """A line of KITTI's sixteen fields for each detection; "" if there is none.

    The type is the class in lower case and without spaces, as TAO and Rendered.ai's tools write it:
    a space would shift all fields. Classes that differ only in case and spaces become one.
    """
    types = ["".join(name.lower().split()) for name in classes]
    lines = []
    for box, label, score in _rows(predictions):
        edges = " ".join(f"{edge:.2f}" for edge in box)
        fields = (types[label], _OPEN_BEFORE, edges, _OPEN_AFTER, f"{score:.4f}")
        lines.append(" ".join(fields) + "\n")
    return "".join(lines)


def coco_truth(pool: Pool) -> dict[str, Any]:
    """The labels of the pool as COCO instances.

    Images, annotations and categories have the ids 1, 2, ... in its order.
    """
    images: list[dict[str, Any]] = []
    for name, (width, height) in zip(pool.image_ids, pool.sizes_wh.tolist(), strict=True):
        number = len(images) + 1
        images.append({"id": number, "file_name": str(name), "width": width, "height": height})
    categories = []
    for number, name in enumerate(pool.classes, start=1):
        categories.append({"id": number, "name": name})
    return {"images": images, "annotations": annotations(pool), "categories": categories}


def _rows(predictions: Predictions) -> Iterator[tuple[list[float], int, float]]:
    """Box, label and score of each detection, as plain numbers."""
    columns = (predictions.xyxy, predictions.labels, predictions.scores)
    return zip(*(column.tolist() for column in columns), strict=True)
