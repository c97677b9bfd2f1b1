"""How crowded should synthetic scenes be, and which share of a batch should they fill?

Takes about 10 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Confirmation, Mix, Pruning, Recipe, Sweep, Training

SWEEP = Sweep(
    question="How crowded should synthetic scenes be, and which share of a batch should they fill?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=200),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=1000, flip_vertical=0.5, transpose=0.5),
    ),
    space=("density", "mix", "optimizer"),
    trials=6,
    rungs=4,
    pruning=Pruning(name="median", startup_trials=3, grace_rungs=1),
    confirm=Confirmation(top=1, seeds=5),
)
