"""How crowded should synthetic scenes be, and how much of them should a batch hold?

On two quiet cores, without photos of your own: about 10 minutes.
"""

from syndet_ray import Confirmation, Mix, Pruning, Recipe, Sweep, Training

SWEEP = Sweep(
    question="How crowded should synthetic scenes be, and how much of every batch should they fill?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=200),
        training=Training(images=1000, flip_vertical=0.5, transpose=0.5),
    ),
    space=("density", "mix", "optimizer"),
    trials=6,
    rungs=4,
    pruning=Pruning(name="median", startup_trials=3, grace_rungs=1),
    confirm=Confirmation(top=1, seeds=5),
)
