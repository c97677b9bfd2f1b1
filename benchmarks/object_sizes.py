"""Does the detector learn objects of any size? The same scenes, rendered larger and larger, like
the photos of a sweep.

    python benchmarks/object_sizes.py --seeds 0 1 2

For each size there are 80 scenes to train on and 30 to score. Their images grow with their objects.
The working scale, crops and anchors are settled from the boxes, as for a user's photos. It prints
the mAP after 1200 images, on one core.
"""

import argparse
import statistics

import cv2
import numpy as np
import torch

from syndet_ray.boxes import Boxes
from syndet_ray.data.decode import decode
from syndet_ray.data.images import picture
from syndet_ray.data.record import Record, Source
from syndet_ray.data.scale import anchors, training_boxes_wh, working_scale
from syndet_ray.definitions.mix import Mix
from syndet_ray.definitions.recipe import Recipe, Training
from syndet_ray.definitions.scene_parameters import MOST_SCENE_PX, SceneParameters
from syndet_ray.detection.predict import predict
from syndet_ray.detection.score import score
from syndet_ray.detection.settle import settled_recipe
from syndet_ray.detection.train import Trainer
from syndet_ray.metrics import MAP
from syndet_ray.scenes.dice import CLASSES
from syndet_ray.scenes.generate import draw_scene, render

SIZES_PX = ((50, 100), (100, 200), (150, 300), (300, 600))
# Side of an image, in objects of average size: as many as the largest image that can be rendered
# shows of the largest objects.
IMAGE_IN_OBJECTS = 4.5
TRAIN, VAL = 80, 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    means = {}
    for size_px in SIZES_PX:
        source = rendered(size_px)
        scores = [accuracy(source, given.images, seed) for seed in given.seeds]
        means[size_px] = statistics.mean(scores)
        words = ", ".join(f"{value:.3f}" for value in scores)
        print(f"  objects of {size_px} px: mAP {words}", flush=True)
    best = max(means.values())
    for size_px, mean in means.items():
        print(f"{size_px}: {mean:.3f}, {mean / best:.2f} of the best")


def rendered(size_px: tuple[int, int]) -> Source:
    """Scenes as encoded photos."""
    side = min(MOST_SCENE_PX, round(IMAGE_IN_OBJECTS * sum(size_px) / 2))
    parameters = SceneParameters(objects=8, image_px=side, size_px=size_px)
    records = []
    for index in range(TRAIN + VAL):
        image, boxes = render(draw_scene(parameters, 0, index))
        records.append(record(str(index), image, boxes))
    return Source(name="real", classes=CLASSES, records=tuple(records))


def record(name: str, image: np.ndarray, boxes: Boxes) -> Record:
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    return Record(
        image_id=name,
        image=data,
        boxes=boxes,
        place=name,
        size_wh=picture.header(data, name).shown_wh,
    )


def accuracy(source: Source, images: int, seed: int) -> float:
    """mAP on the last scenes of the source after `images` training images from the first."""
    train, val = source.select(range(TRAIN)), source.select(range(TRAIN, TRAIN + VAL))
    scale = working_scale(train.records, "auto", "auto", "scenes")
    print(f"  {scale.words}, crops of {scale.crop_px} px")
    recipe, _ = settled_recipe(
        Recipe(
            mix=Mix(synthetic=0), training=Training(images=images, flip_vertical=0.5, transpose=0.5)
        ),
        scale,
        training_boxes_wh(train.records),
        anchor_px=anchors(scale.object_px[0], scale.object_px[2]),
        transposed=True,
        gpu=False,
    )
    pools = {"real": decode(train, scale.longest_px)}
    trainer = Trainer(recipe, pools, device=torch.device("cpu"), seed=seed)
    trainer.train_until(images)
    held_out = decode(val, scale.longest_px)
    predictions = predict(trainer.model, held_out, device=torch.device("cpu"))
    return score(held_out, predictions).metrics[MAP]


if __name__ == "__main__":
    main()
