"""Which recipe is best when amount, order, kind of images and training may all vary?

This sweep is for a cluster, or for a long night.
"""

from syndet_ray import Confirmation, Mix, Pruning, Recipe, Sweep, Training

SWEEP = Sweep(
    question="Which recipe, of all that can be varied, makes a detector work best on real photos?",
    recipe=Recipe(
        mix=Mix(synthetic_images=400),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=4000, flip_vertical=0.5, transpose=0.5),
    ),
    space=("schedule", "optimizer", "scene", "randomization", "labels"),
    trials=100,
    rungs=8,
    pruning=Pruning(name="median", startup_trials=8, grace_rungs=2),
    confirm=Confirmation(top=3, seeds=3),
)
