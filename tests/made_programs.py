"""A training program that does as docs/own_program.md says, which tests break in one place."""

import shlex
import sys

from syndet_ray import Detector, Mix, Recipe, Training

# It knows real images only, and finds the same box in every image. BREAK may change its report,
# `rung`, before it is printed.
PROGRAM = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
task = json.loads((folder / "task.json").read_text())
box = {"image_id": 1, "category_id": 2, "bbox": [10, 20, 30.5, 40], "score": 0.9}
def predictions(entries):
    (folder / "found.json").write_text(json.dumps(entries))
    return "found.json"
if task["task"] == "predict":
    assert (pathlib.Path(task["model"]) / "weights").read_text().isdigit()
    print(json.dumps({"predictions": predictions([box])}))
    sys.exit()
start = task["images_seen"]
if start:
    assert (pathlib.Path(task["restore"]) / "weights").read_text() == str(start)
recipe = task["recipe"]
for images in task["rungs"]:
    print("epoch", images)
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "weights" / "weights").write_text(str(images))
    rung = {"images": images, "predictions": predictions([box]), "checkpoint": "weights", "metrics": {"loss": 1 / images}}
    rung["effective"] = {"training.learning_rate": recipe["training.learning_rate"], "drawn": {"real": images}}
    BREAK
    print(json.dumps(rung), flush=True)
    if input() == "stop":
        break
"""


def write_program(path, broken="pass", options=""):
    """Writes the program; returns the setting that names it."""
    path.write_text(PROGRAM.replace("BREAK", broken), encoding="utf-8")
    return f"command:{shlex.join([sys.executable, str(path)])}{options}"


def recipe_of(command, **training):
    """A recipe of real images alone, trained by a program."""
    lengths = {"images": 12, "batch_size": 4} | training
    detector = Detector(program=command, working_px=96)
    return Recipe(detector=detector, mix=Mix(synthetic=0.0), training=Training(**lengths))
