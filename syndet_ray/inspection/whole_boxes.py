"""Whole boxes: boxes of photos that no border cuts, whose sizes and shapes tell those of things."""

from dataclasses import dataclass

import numpy as np

from syndet_ray.data.record import Source


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeBoxes:
    """n boxes of photos that no border cuts, crowds left out.

    classes  names that labels index
    photos   (n,) index of each box's photo
    labels   (n,)
    sides    (n, 2) width and height, pixels
    """

    classes: tuple[str, ...]
    photos: np.ndarray
    labels: np.ndarray
    sides: np.ndarray

    @staticmethod
    def of(source: Source) -> "WholeBoxes":
        """The whole boxes of labelled photos."""
        photos, labels, sides = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros((0, 2))]
        for i, record in enumerate(source.records):
            boxes = record.boxes
            inside = (boxes.xyxy[:, :2] > 1) & (boxes.xyxy[:, 2:] < np.array(record.size_wh) - 1)
            is_whole = inside.all(axis=1) & ~boxes.crowd
            photos.append(np.full(np.count_nonzero(is_whole), i))
            labels.append(boxes.labels[is_whole])
            sides.append(boxes.xyxy[is_whole, 2:] - boxes.xyxy[is_whole, :2])
        return WholeBoxes(
            classes=source.classes,
            photos=np.concatenate(photos),
            labels=np.concatenate(labels),
            sides=np.concatenate(sides),
        )

    @property
    def shapes(self) -> np.ndarray:
        """(n,) logarithms of height / width."""
        return np.log(self.sides[:, 1] / self.sides[:, 0])

    def shapes_by_class(self) -> dict[str, np.ndarray]:
        """The shapes of the boxes of each class that has any."""
        shapes, labels = self.shapes, np.unique(self.labels)
        return {self.classes[label]: shapes[self.labels == label] for label in labels.tolist()}
