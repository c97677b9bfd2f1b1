"""Does everything work here, from rendering to the report?

Two small trials take seconds.
"""

from syndet_ray import Confirmation, Mix, Pruning, Recipe, SceneParameters, Sweep, Training

SWEEP = Sweep(
    question="Does everything work on this machine?",
    recipe=Recipe(
        mix=Mix(synthetic_images=8),
        scene=SceneParameters(objects=10),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=32, flip_vertical=0.5, transpose=0.5),
    ),
    space=("mix",),
    trials=2,
    controls=("real_only",),
    rungs=2,
    pruning=Pruning(startup_trials=1),
    confirm=Confirmation(top=1, seeds=1),
)
