"""Does a saved model find the same objects in photos of any resolution?

    python benchmarks/resolutions.py MODEL ../shared/data/d6_dice --split val

The photos are resized and saved again, then read and predicted as `evaluate` does.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images import picture
from syndet_ray.data.pool import align_labels
from syndet_ray.data.read import read
from syndet_ray.data.record import Record
from syndet_ray.data.splits.split import with_validation
from syndet_ray.detection.models import load_model
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.metrics import AP50_ANY_CLASS, MAP

SIDES_PX = (320, 640, 1280, 2560)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    torch.set_num_threads(1)
    saved = load_model(given.model)
    source = with_validation(read(given.data), seed=0).splits[given.split]
    scores = {}
    for side_px in SIDES_PX:
        resized = replace(
            source, records=tuple(at_size(record, side_px) for record in source.records)
        )
        pool = align_labels(decode(resized, int(saved.detector.working_px)), saved.classes)
        metrics = score(pool, predict(saved.model, pool, device=torch.device("cpu"))).metrics
        scores[side_px] = metrics[AP50_ANY_CLASS]
        ap50 = f"AP50 of any class {metrics[AP50_ANY_CLASS]:.3f}"
        print(f"{side_px} px: {ap50}, mAP {metrics[MAP]:.3f}", flush=True)
    best = max(scores.values())
    print(
        ", ".join(f"{side_px} px {value / best:.2f}" for side_px, value in scores.items()),
        "of the best",
    )


def at_size(record: Record, side_px: int) -> Record:
    """The photo with its longer side at side_px, saved as JPEG again, and its boxes."""
    image = picture.pixels(record.image, record.place)
    height, width = image.shape[:2]
    factor = side_px / max(width, height)
    size_wh = (round(width * factor), round(height * factor))
    smaller = cv2.resize(
        image, size_wh, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )
    data = cv2.imencode(".jpg", smaller[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    boxes = record.boxes
    across, down = size_wh[0] / width, size_wh[1] / height
    xyxy = boxes.xyxy * (across, down, across, down)
    moved = Boxes(xyxy=xyxy, labels=boxes.labels, visibility=boxes.visibility, crowd=boxes.crowd)
    return Record(
        image_id=record.image_id, image=data, boxes=moved, place=record.place, size_wh=size_wh
    )


if __name__ == "__main__":
    main()
