"""Cut-outs of annotated photos: one PNG with transparency per object, as assets for scenes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from syndet_ray.boxes import Boxes
from syndet_ray.data.class_map import repeatable_names
from syndet_ray.data.images import picture
from syndet_ray.data.label_options import LabelOptions
from syndet_ray.data.parts_of_photos import save_part, stem, training_photos
from syndet_ray.data.record import Record
from syndet_ray.data.write import check_empty
from syndet_ray.errors import DataError
from syndet_ray.files import whole_folder
from syndet_ray.folder_names import folder_for
from syndet_ray.progress import Note, Progress, silent
from syndet_ray.seeds import generator

_MARGIN = 0.3  # of the box, on each side: GrabCut learns the background from it
_WORK_PX = 192  # longest side that GrabCut sees: fewer pixels are too few to learn from, more slow
_ROUNDS = 6  # iterations of GrabCut
_GUESSES = (0.75, 0.9, 1.0)  # shares of the box's width and height
# levels per pixel; below it all outlines of photographed dice looked wrong, above nearly none
_WEAKEST_EDGE = 7.0
_EDGE_QUANTILE = 20  # per cent of an outline that may have no edge
# of the box: less is a part of the object or of its pattern, more is no outline at all
_LEAST, _MOST = 0.2, 0.98
# of the box's width and of its height: people leave less free around an object, and what is
# narrower or lower is a part of it, such as the foot of a white pawn on a white square
_LEAST_SIDE = 0.75
# of the foreground: smaller holes are dark spots on the object, larger ones go through it
_HOLE = 0.1
OPAQUE = 128  # alpha, 0 to 255, from which a pixel counts as foreground, here and in scenes
_LEAST_VISIBILITY = 0.9  # an object below counts as hidden, and is tried last
_SMALLEST_PX = 12  # shorter side of a box; smaller objects are not tried
_TRIES = 4  # objects tried for each cut-out that is wanted
_LONGEST_NAME = 255  # bytes, of a file or folder
_SHOWN = 40  # characters of a name that is too long


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """An object: (h, w, 4) uint8 RGBA, and its label (4,) in pixels of it."""

    rgba: np.ndarray
    box: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """The k-th box of a photo; clear if all of it is visible and no other box is near."""

    record: Record
    k: int
    clear: bool

    @property
    def box(self) -> np.ndarray:
        return self.record.boxes.xyxy[self.k]

    @property
    def area(self) -> float:
        """Square pixels."""
        return float(self.record.boxes.areas[self.k])


def cut_out(
    dataset: Path,
    out: Path,
    per_class: int,
    seed: int,
    masks: Path | None = None,
    labels: LabelOptions | None = None,
    image_ids: Collection[str] | None = None,
    progress: Progress | None = None,
    note: Note = silent,
) -> dict[str, int]:
    """Cuts objects out of the training photos of a dataset, as OUT/<class>/<image>-<k>.png.

    `folder_names` says which folder a class has. A sweep gives assets new names as it does to
    photos, with the same `labels`: classes whose names would change twice keep those of the photos.
    Returns the number of cut-outs by class. Whole, isolated and large objects come first. GrabCut
    finds the foreground, or a file in `masks` gives it: MASKS/<image>.png, with the photo's path in
    the dataset and its size, bright where objects are. Objects without a plausible outline are left
    out, so a class can end with fewer than per_class. Only photos with an id in `image_ids` are
    used, if they are given. `progress` is called with (cut-outs made, cut-outs wanted in all), and
    `note` with each note on the dataset.

    Raises DataError for a dataset that cannot be used or without any object that can be cut out,
    for a missing mask, and where `out` is not empty; MachineError if `out` cannot be written.
    """
    check_empty(out)
    if labels is not None:
        labels = replace(labels, classes=repeatable_names(labels.classes))
    photos = training_photos(dataset, labels, image_ids, note, parts="Cut-outs")
    with whole_folder(out) as unfinished:  # an interrupted command can be given again
        return cut_records(
            photos.records, photos.classes, unfinished,
            per_class=per_class, seed=seed, place=dataset, masks=masks, progress=progress,
        )  # fmt: skip


def cut_records(
    records: Sequence[Record],
    classes: Sequence[str],
    out: Path,
    *,
    per_class: int,
    seed: int,
    place: object,
    masks: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Cuts objects out of photos as `cut_out` does, into an existing folder.

    place  the photos, for messages
    """
    _check_folder_names(place, classes)
    counts = dict.fromkeys(classes, 0)
    for label, name in enumerate(classes):
        candidates = _rank(records, label, seed)[: _TRIES * per_class]
        for candidate, cut in islice(_cuts(candidates, masks), per_class):
            _write_cut(cut, candidate, out / folder_for(name))
            counts[name] += 1
            if progress is not None:
                progress(sum(counts.values()), per_class * len(counts))
    if not any(counts.values()):
        raise _no_cut_out(place, masks)
    return counts


def _no_cut_out(place: object, masks: Path | None) -> DataError:
    rule = f"has no object of at least {_SMALLEST_PX} px in train that can be cut out"
    if masks is None:
        rule += " by its outline"
        return DataError(place, rule, do="Give `data cutouts` masks of its photos with `masks`.")
    return DataError(place, rule, do=f"Check that objects are bright in the masks in {masks}.")


def _check_folder_names(place: object, classes: Sequence[str]) -> None:
    """Raises DataError for a class whose name no folder can have."""
    for name in classes:
        if len(folder_for(name).encode()) > _LONGEST_NAME:
            rule = "its classes must have names that a folder can have, of at most 255 bytes"
            do = "Rename it with `classes`."
            raise DataError(place, rule, got=f"{name[:_SHOWN]}...", do=do)


def _write_cut(cut: _Cut, candidate: _Candidate, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_part(cut.rgba, candidate.record, folder, str(candidate.k), cut.box)


def _rank(records: Sequence[Record], label: int, seed: int) -> list[_Candidate]:
    """The boxes of a class that are large enough: clear ones first, large ones probably early.

    The order is drawn without replacement with chances in proportion to the area, so that cut-outs
    come from many photos.
    """
    candidates: list[_Candidate] = []
    for record in records:
        candidates += _candidates(record, label)
    rng = generator(seed, "cutouts", label)
    # sorted by log weight plus Gumbel noise, which draws without replacement (Gumbel-top-k)
    keys = [np.log(candidate.area) + rng.gumbel() for candidate in candidates]

    def rank(i: int) -> tuple[bool, float]:
        return not candidates[i].clear, -keys[i]

    order = sorted(range(len(candidates)), key=rank)
    return [candidates[i] for i in order]


def _candidates(record: Record, label: int) -> list[_Candidate]:
    """The boxes of a class on one photo that are large enough."""
    boxes = record.boxes
    width_px, height_px = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).T
    is_large = np.minimum(width_px, height_px) >= _SMALLEST_PX
    is_clear = clear(boxes)
    rows = np.flatnonzero((boxes.labels == label) & ~boxes.crowd & is_large)
    return [_Candidate(record=record, k=int(k), clear=bool(is_clear[k])) for k in rows]


def clear(boxes: Boxes) -> np.ndarray:
    """(n,) bool: no other box reaches into an object's surroundings, and it is not hidden.

    Unknown visibility counts as not hidden.
    """
    low = boxes.xyxy[:, :2]
    high = boxes.xyxy[:, 2:]
    reach = _MARGIN * (high - low)
    is_after = low[None] >= (high + reach)[:, None]
    is_before = high[None] <= (low - reach)[:, None]
    is_near = ~(is_after | is_before).any(axis=2)
    np.fill_diagonal(is_near, False)
    is_hidden = boxes.visibility < _LEAST_VISIBILITY
    return ~is_near.any(axis=1) & ~is_hidden


def _cuts(
    candidates: Sequence[_Candidate], masks: Path | None
) -> Iterator[tuple[_Candidate, _Cut]]:
    for candidate in candidates:
        cut = _cut_out(candidate, masks)
        if cut is not None:
            yield candidate, cut


def _cut_out(candidate: _Candidate, masks: Path | None) -> _Cut | None:
    """The object, or None if its foreground has no plausible outline."""
    record = candidate.record
    rgb = picture.pixels(record.image, record.place)
    size_wh = rgb.shape[1::-1]
    whole_edges = np.round(candidate.box).astype(int)
    edges = np.clip(whole_edges, 0, np.tile(size_wh, 2))
    reach = np.ceil(_MARGIN * _sides(edges)).astype(int)
    x1, y1 = np.maximum(edges[:2] - reach, 0)
    x2, y2 = np.minimum(edges[2:] + reach, size_wh)
    crop = np.s_[y1:y2, x1:x2]
    box = edges - np.array([x1, y1, x1, y1])
    alpha = foreground(rgb[crop], box) if masks is None else _mask(masks, record, size_wh)[crop]
    alpha = _within(alpha, box)
    opaque_px = np.count_nonzero(alpha >= OPAQUE)
    if opaque_px < _LEAST * np.prod(_sides(box)):
        return None
    return _trim(np.dstack([rgb[crop], alpha]), np.array([x1, y1]), candidate.box)


def _trim(rgba: np.ndarray, corner: np.ndarray, label: np.ndarray) -> _Cut:
    """The part of a crop (h, w, 4) that is not transparent.

    corner  (2,) x and y of the crop on its photo
    label   (4,) of the object, in pixels of the photo
    """
    is_object = rgba[..., 3] > 0
    rows = np.flatnonzero(is_object.any(axis=1))
    columns = np.flatnonzero(is_object.any(axis=0))
    top, bottom = rows[0], rows[-1] + 1
    left, right = columns[0], columns[-1] + 1
    trimmed = rgba[top:bottom, left:right]
    # An upright rectangle gets a transparent border: an opaque image is refused as a cut-out.
    border = int((trimmed[..., 3] == 255).all())
    origin = corner + np.array([left, top]) - border
    return _Cut(
        rgba=np.pad(trimmed, ((border, border), (border, border), (0, 0))),
        box=label - np.tile(origin, 2),
    )


def _sides(box: np.ndarray) -> np.ndarray:
    """(2,) width and height of a box (4,)."""
    return box[2:] - box[:2]


def foreground(rgb: np.ndarray, box: np.ndarray, least_side: float = _LEAST_SIDE) -> np.ndarray:
    """(h, w) uint8 alpha of the object in a box, by GrabCut.

    rgb (h, w, 3) uint8; box: x1 y1 x2 y2 in whole pixels. Everything outside the box is background.
    GrabCut starts from several guesses; the outline along the strongest edges is taken. Nothing is
    foreground if no outline follows edges, or if there is no background to learn from.

    least_side  share of the box's width and height that an object must have
    """
    size_wh = rgb.shape[1::-1]
    scale = _WORK_PX / max(size_wh)
    work_wh = [max(1, round(side * scale)) for side in size_wh]
    work_method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    work = cv2.resize(rgb, work_wh, interpolation=work_method)
    work_box = np.round(box * scale).astype(int)
    edges = _edges(work)
    best = np.zeros(work.shape[:2], np.uint8)
    best_strength = 0.0
    for share in _GUESSES:
        mask = _clean(_grab_cut(work, work_box, share), work_box)
        strength = _strength(edges, mask) if _is_plausible(mask, work_box, least_side) else 0.0
        if strength > best_strength and strength >= _WEAKEST_EDGE:
            best, best_strength = mask, strength
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return cv2.resize(best, size_wh, interpolation=method)


def _is_plausible(mask: np.ndarray, box: np.ndarray, least_side: float) -> bool:
    is_opaque = mask >= OPAQUE
    share = np.count_nonzero(is_opaque) / np.prod(_sides(box))
    if not _LEAST <= share <= _MOST:
        return False
    rows, columns = np.flatnonzero(is_opaque.any(axis=1)), np.flatnonzero(is_opaque.any(axis=0))
    sides = np.array([columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]])
    return bool((sides >= least_side * _sides(box)).all())


def _edges(rgb: np.ndarray) -> np.ndarray:
    """(h, w) the steepest slope of any colour within two pixels, in levels per pixel."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 1.5)
    slope_x = cv2.Scharr(smooth, cv2.CV_32F, 1, 0)
    slope_y = cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    slope = np.hypot(slope_x, slope_y) / 32  # the sum of the weights of Scharr's filter
    return cv2.dilate(slope.max(axis=2), np.ones((5, 5)))


def _strength(edges: np.ndarray, mask: np.ndarray) -> float:
    """The slope that four fifths of a mask's outline exceed.

    An outline through a shadow or across the object has no such slope.
    """
    rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y = np.concatenate(rings)[:, 0].T
    slopes = edges[y, x]
    return float(np.percentile(slopes, _EDGE_QUANTILE))


def _grab_cut(rgb: np.ndarray, box: np.ndarray, share: float) -> np.ndarray:
    """(h, w) uint8, 255 where GrabCut (Rother, Kolmogorov & Blake 2004) finds foreground in a box.

    Its first guess is the ellipse that fills a share of the box's width and height.
    """
    x1, y1, x2, y2 = box.tolist()
    mask = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    mask[y1:y2, x1:x2] = cv2.GC_PR_BGD
    if (mask != cv2.GC_BGD).all():
        return np.zeros_like(mask)
    centre = ((x1 + x2) / 2, (y1 + y2) / 2)
    axes = ((x2 - x1) * share, (y2 - y1) * share)
    cv2.ellipse(mask, (centre, axes, 0.0), cv2.GC_PR_FGD, cv2.FILLED)
    cv2.setRNGSeed(0)  # GrabCut draws its clusters from OpenCV's own generator
    cv2.grabCut(
        rgb,
        mask,
        rect=None,
        bgdModel=np.zeros((1, 65)),  # of the size that OpenCV asks for
        fgdModel=np.zeros((1, 65)),
        iterCount=_ROUNDS,
        mode=cv2.GC_INIT_WITH_MASK,
    )
    is_foreground = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return is_foreground.astype(np.uint8) * 255


def _clean(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The largest piece of a mask (h, w) within a box, smooth and without small holes; 0 or 255."""
    inside = _within(mask, box)
    disc = _disc(mask)
    closed = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, disc)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc)
    smooth = cv2.GaussianBlur(opened, (0, 0), max(mask.shape) / 64)
    pieces = (smooth >= OPAQUE).astype(np.uint8)
    rings, tree = cv2.findContours(pieces, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    solid = np.zeros_like(mask)
    if not rings:
        return solid
    areas = [cv2.contourArea(ring) for ring in rings]
    parents = [row[3] for row in tree[0]]  # of a hole the ring around it, of an outer ring -1
    outer = [i for i, parent in enumerate(parents) if parent < 0]
    largest = max(outer, key=areas.__getitem__)
    cv2.drawContours(solid, rings, largest, 255, cv2.FILLED)
    for ring, area, parent in zip(rings, areas, parents, strict=True):
        if parent == largest and area > _HOLE * areas[largest]:
            cv2.drawContours(solid, [ring], 0, 0, cv2.FILLED)
    return solid


def _within(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A mask (h, w) with nothing outside the box."""
    x1, y1, x2, y2 = box
    inside = np.zeros_like(mask)
    inside[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
    return inside


def _disc(mask: np.ndarray) -> np.ndarray:
    """A disc of a size that goes with the mask's, as OpenCV's morphology takes it."""
    side = max(1, max(mask.shape) // 24)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def _mask(masks: Path, record: Record, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w) uint8, the user's mask of a photo. Raises DataError."""
    path = masks / f"{stem(record)}.png"
    if not path.is_file():
        do = "Put one there, or let GrabCut find the foreground."
        raise DataError(path, f"no mask for {record.image_id}", do=do)
    rgb = picture.pixels(path, str(path))
    mask = rgb.max(axis=2)
    if mask.shape[::-1] != size_wh:
        rule = f"a mask must be as large as its photo, {size_wh[0]} x {size_wh[1]} pixels"
        raise DataError(path, rule, got=mask.shape[::-1], do="Export it again.")
    return mask
