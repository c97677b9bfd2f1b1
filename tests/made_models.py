"""Small detectors, and pictures of coloured squares for them to learn."""

import numpy as np
import torch
from made_detections import TINY

from syndet_ray import Mix, Recipe, Training
from syndet_ray.definitions.recipe import Detector
from syndet_ray.detection.models import build
from syndet_ray.detection.team import ALONE
from syndet_ray.detection.train import Trainer

CLASSES = ("blue", "red")
COLOURS = ([0.2, 0.3, 0.9], [0.9, 0.2, 0.2])
ARCHITECTURES = ("faster_rcnn", "retinanet", "fcos")
_COCO = {"anchor_px": (32.0, 64.0, 128.0, 256.0, 512.0), "aspect_ratios": (0.5, 1.0, 2.0)}


def detector(**changes):
    """A settled detector: timm's smallest backbone, from nothing, or with changes."""
    return Detector(**TINY.model_dump() | changes)


def coco_detector(backbone, **changes):
    return detector(**{"backbone": backbone} | _COCO | changes)


def made(classes=CLASSES, seed=0, **changes):
    """The model of such a detector."""
    return build(detector(**changes), classes, seed)[0]


def target(boxes=(), labels=(), ignored=()):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignored": torch.tensor(ignored, dtype=torch.float32).reshape(-1, 4),
        "seeds": (0, 1),
    }


def picture(rng, side=96):
    """A dark noisy image with a square in each half, and its target."""
    image = rng.integers(0, 60, (side, side, 3)).astype(np.float32) / 255
    boxes, labels = [], []
    for left in (0, side // 2):
        size = int(rng.integers(side // 5, side * 2 // 5))
        x, y = left + int(rng.integers(0, side // 2 - size)), int(rng.integers(0, side - size))
        label = int(rng.integers(2))
        image[y : y + size, x : x + size] = COLOURS[label]
        boxes.append([x, y, x + size, y + size])
        labels.append(label + 1)
    return torch.from_numpy(image).permute(2, 0, 1), target(boxes, labels)


def batch(rng, count=2, side=96):
    pictures = [picture(rng, side) for _ in range(count)]
    return [image for image, _ in pictures], [wanted for _, wanted in pictures]


def train(model, steps, rate=1e-3, count=2, side=96, seed=0):
    """Trains by AdamW with a short warm-up; returns the loss of each step."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, weight_decay=0.05)
    losses = []
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 10) * (1 - step / steps)
        loss = sum(model(*batch(rng, count, side)).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 5.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def two_source_trainer(
    squares, *, team=ALONE, architecture="faster_rcnn", restore=None, parts=1, **training
):
    """A trainer on real and synthetic squares, whose weights are averaged."""
    # the steps of AdamW do not shrink with the gradients, so that rounding errors would count
    settings = {"crop_px": 96, "average": 0.5, "optimizer": "sgd"} | training
    recipe = Recipe(
        mix=Mix(synthetic=0.5),
        detector=TINY.model_copy(update={"architecture": architecture}),
        training=Training(**settings),
    )
    pools = {"real": squares(8), "synthetic": squares(6, seed=1, name="synthetic")}
    device = torch.device("cpu")
    return Trainer(recipe, pools, device=device, seed=1, restore=restore, team=team, parts=parts)
