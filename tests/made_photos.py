"""Photos of noise with labels, as a user would bring them."""

import json

import numpy as np
from PIL import Image


def write_photos(folder, names=("cat", "dog"), size=(30, 20), box=(2, 3, 9, 8), **splits):
    """A COCO dataset: each split is a list of seeds, one picture each; equal seeds are equal
    pictures.

    size: width and height of each. box: x, y, width and height of the one object of each.
    """
    for split, seeds in splits.items():
        (folder / split).mkdir(parents=True)
        images = [{"id": k, "file_name": f"{split}-{k}.png"} for k in range(len(seeds))]
        for image, seed in zip(images, seeds, strict=True):
            pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / image["file_name"])
        boxes = [
            {"id": k, "image_id": k, "category_id": k % len(names), "bbox": list(box)}
            for k in range(len(seeds))
        ]
        categories = [{"id": k, "name": name} for k, name in enumerate(names)]
        content = {"images": images, "annotations": boxes, "categories": categories}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    return folder
