"""Cut-outs of annotated photos: one PNG with transparency per object, as assets for scenes."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from syndet_ray.boxes import Boxes
from syndet_ray.data import picture
from syndet_ray.data.read import read
from syndet_ray.data.record import Record
from syndet_ray.data.write import check_empty
from syndet_ray.errors import DataError
from syndet_ray.seeds import generator

_MARGIN = 0.3  # of the box, on each side: what GrabCut learns the background from
_WORK_PX = 192  # longest side of what GrabCut sees: fewer pixels tell it too little, more take long
_ROUNDS = 6
_GUESSES = (0.75, 0.9, 1.0)  # shares of the box's width and height
# levels per pixel; below it all outlines of photographed dice looked wrong, above nearly none
_WEAKEST_EDGE = 7.0
# of the box: less is a part of the thing or of its pattern, more is no outline at all
_LEAST, _MOST = 0.2, 0.98
# of the foreground: smaller holes are dark spots on the thing, larger ones go through it
_HOLE = 0.1
_SMALLEST_PX = 12
_TRIES = 4  # objects tried per cut-out that is wanted


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """The k-th box of a photo; clear where all of it is seen and nothing labelled is near."""

    record: Record
    k: int
    clear: bool

    @property
    def box(self) -> np.ndarray:
        return self.record.boxes.xyxy[self.k]


def cut_out(
    dataset: Path,
    out: Path,
    per_class: int,
    seed: int,
    masks: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Cuts objects out of the training photos of a dataset, as OUT/<class>/<image>-<k>.png; how
    many, by class.

    Whole, lonely and large objects come first. What is foreground GrabCut finds, or a file in
    `masks` tells: MASKS/ <image>.png, with the photo's path in the dataset and its size, bright
    where objects are. Objects without a plausible outline are left out, so a class can end with
    fewer than per_class. `progress` is told (cut-outs made, cut-outs wanted in all). Raises
    DataError for a dataset that cannot be used, for a mask that is missing, and where `out` holds
    something.
    """
    check_empty(out)
    found = read(dataset)
    if "train" not in found.splits:
        raise DataError(
            dataset,
            "has no training photos",
            got=sorted(found.splits),
            do="Cut-outs come from no other.",
        )
    counts = dict.fromkeys(found.classes, 0)
    for label, name in enumerate(found.classes):
        candidates = _ranked(found.splits["train"].records, label, seed)[: _TRIES * per_class]
        for candidate, rgba in islice(_cuts(candidates, masks), per_class):
            folder = out / name.replace("/", "_")
            folder.mkdir(parents=True, exist_ok=True)
            image = _stem(candidate.record).replace("/", "_")
            Image.fromarray(rgba).save(folder / f"{image}-{candidate.k}.png")
            counts[name] += 1
            if progress is not None:
                progress(sum(counts.values()), per_class * len(counts))
    return counts


def _ranked(records: Sequence[Record], label: int, seed: int) -> list[_Candidate]:
    """The boxes of a class that are worth a try: clear ones first, large ones probably early.

    Drawn without replacement with a chance in proportion to the area, so that cut-outs come from
    many photos.
    """
    found = [
        _Candidate(record=record, k=int(k), clear=bool(whole[k]))
        for record in records
        for whole in [clear(record.boxes)]
        for k in np.flatnonzero((record.boxes.labels == label) & ~record.boxes.crowd)
        if np.ptp(record.boxes.xyxy[k].reshape(2, 2), axis=0).min() >= _SMALLEST_PX
    ]
    rng = generator(seed, "cutouts", label)
    keys = [np.log(candidate.record.boxes.areas[candidate.k]) + rng.gumbel() for candidate in found]
    order = sorted(range(len(found)), key=lambda i: (not found[i].clear, -keys[i]))
    return [found[i] for i in order]


def clear(boxes: Boxes) -> np.ndarray:
    """(n,) whether an object is not known to be hidden, and no other box reaches into its
    surroundings.
    """
    low, high = boxes.xyxy[:, :2], boxes.xyxy[:, 2:]
    reach = _MARGIN * (high - low)
    apart = (low[None] >= (high + reach)[:, None]) | (high[None] <= (low - reach)[:, None])
    near = ~apart.any(axis=2)
    np.fill_diagonal(near, False)
    return ~near.any(axis=1) & ~(boxes.visibility < 0.9)


def _cuts(
    candidates: Sequence[_Candidate], masks: Path | None
) -> Iterator[tuple[_Candidate, np.ndarray]]:
    for candidate in candidates:
        if (rgba := _cut(candidate, masks)) is not None:
            yield candidate, rgba


def _cut(candidate: _Candidate, masks: Path | None) -> np.ndarray | None:
    """The object as (h, w, 4) uint8 RGBA, or None where its foreground is no plausible outline."""
    record = candidate.record
    rgb = picture.pixels(record.image, record.place)
    edges = np.clip(np.round(candidate.box).astype(int), 0, np.tile(rgb.shape[1::-1], 2))
    reach = np.ceil(_MARGIN * (edges[2:] - edges[:2])).astype(int)
    low, high = np.maximum(edges[:2] - reach, 0), np.minimum(edges[2:] + reach, rgb.shape[1::-1])
    crop, box = np.s_[low[1] : high[1], low[0] : high[0]], edges - np.tile(low, 2)
    alpha = (
        foreground(rgb[crop], box) if masks is None else _given(masks, record, rgb.shape[:2])[crop]
    )
    alpha = _within(alpha, box)
    if np.count_nonzero(alpha >= 128) < _LEAST * np.prod(box[2:] - box[:2]):
        return None
    rows, columns = (np.flatnonzero((alpha > 0).any(axis=axis)) for axis in (1, 0))
    rgba = np.dstack([rgb[crop], alpha])
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def foreground(rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(h, w) uint8 alpha of the object in box, x1 y1 x2 y2 in whole pixels of rgb (h, w, 3) uint8,
    by GrabCut.

    What is outside the box is background. Of what several first guesses lead to, the outline along
    the strongest edges is taken. Nothing is foreground where no outline follows edges, and where
    there is no background to learn from.
    """
    scale = _WORK_PX / max(rgb.shape[:2])
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    work = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    inside, edges = np.round(box * scale).astype(int), _edges(work)
    masks = [_cleaned(_grab_cut(work, inside, share), inside) for share in _GUESSES]
    strengths = [_strength(edges, mask) if _plausible(mask, inside) else 0.0 for mask in masks]
    best = int(np.argmax(strengths))
    alpha = masks[best] if strengths[best] >= _WEAKEST_EDGE else np.zeros_like(masks[best])
    return cv2.resize(
        alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    )


def _plausible(mask: np.ndarray, box: np.ndarray) -> bool:
    share = np.count_nonzero(mask >= 128) / np.prod(box[2:] - box[:2])
    return bool(_LEAST <= share <= _MOST)


def _edges(rgb: np.ndarray) -> np.ndarray:
    """(h, w) the steepest slope of any colour within two pixels, in levels per pixel."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 1.5)
    slope = (
        np.hypot(cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)) / 32
    )
    return cv2.dilate(slope.max(axis=2), np.ones((5, 5)))


def _strength(edges: np.ndarray, mask: np.ndarray) -> float:
    """The slope that four fifths of a mask's outline exceed: through shadows and across the thing
    there is none.
    """
    rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y = np.concatenate(rings)[:, 0].T
    return float(np.percentile(edges[y, x], 20))


def _grab_cut(rgb: np.ndarray, box: np.ndarray, share: float) -> np.ndarray:
    """(h, w) uint8, 255 where GrabCut (Rother, Kolmogorov & Blake 2004) finds foreground in a box.

    Its first guess is the ellipse that fills a share of the box's width and height.
    """
    x1, y1, x2, y2 = box.tolist()
    guess = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    guess[y1:y2, x1:x2] = cv2.GC_PR_BGD
    if (guess != cv2.GC_BGD).all():
        return np.zeros_like(guess)
    cv2.ellipse(
        guess,
        (((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) * share, (y2 - y1) * share), 0.0),
        cv2.GC_PR_FGD,
        -1,
    )
    cv2.setRNGSeed(0)  # GrabCut's clusters are drawn from OpenCV's own generator
    cv2.grabCut(
        rgb, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    return np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255


def _cleaned(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The largest piece of a mask (h, w) within a box, smooth and without small holes; 0 or 255."""
    inside = _within(mask, box)
    tight = cv2.morphologyEx(
        cv2.morphologyEx(inside, cv2.MORPH_CLOSE, _disc(mask)), cv2.MORPH_OPEN, _disc(mask)
    )
    smooth = cv2.GaussianBlur(tight, (0, 0), max(mask.shape) / 64)
    rings, tree = cv2.findContours(
        (smooth >= 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    solid = np.zeros_like(mask)
    if not rings:
        return solid
    areas = [cv2.contourArea(ring) for ring in rings]
    largest = max((i for i in range(len(rings)) if tree[0][i][3] < 0), key=areas.__getitem__)
    cv2.drawContours(solid, rings, largest, 255, cv2.FILLED)
    for i, ring in enumerate(rings):
        if tree[0][i][3] == largest and areas[i] > _HOLE * areas[largest]:
            cv2.drawContours(solid, [ring], 0, 0, cv2.FILLED)
    return solid


def _within(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A mask (h, w) with nothing outside the box."""
    x1, y1, x2, y2 = box
    inside = np.zeros_like(mask)
    inside[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return inside


def _disc(mask: np.ndarray) -> np.ndarray:
    side = max(1, max(mask.shape) // 24)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _given(masks: Path, record: Record, size: tuple[int, int]) -> np.ndarray:
    path = masks / f"{_stem(record)}.png"
    if not path.is_file():
        raise DataError(
            path,
            f"no mask for {record.image_id}",
            do="Put one, or let GrabCut find the foreground.",
        )
    mask = picture.pixels(path, str(path)).max(axis=2)
    if mask.shape != size:
        rule = f"a mask must be as large as its photo, {size[1]} x {size[0]} pixels"
        raise DataError(path, rule, got=mask.shape[::-1], do="Export it anew.")
    return mask


def _stem(record: Record) -> str:
    """The image's id without the ending of an image file."""
    return re.sub(r"\.(bmp|jpe?g|png|tiff?|webp)$", "", record.image_id, flags=re.IGNORECASE)
