"""How large should background clutter be, relative to the objects?

After an experiment of Hinterstoisser et al. (2019).

Takes about 15 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Mix, Recipe, SceneParameters, Sweep, Training

SWEEP = Sweep(
    question="How large should the clutter of the background be, relative to the objects?",
    recipe=Recipe(
        mix=Mix(synthetic=1.0, synthetic_images=300),
        scene=SceneParameters(arrangement="layers", objects=10, occluders=0.3),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "0.9 to 1.5": {},
        "0.5 to 1.5": {"scene.background_scale": [0.5, 1.5]},
        "0.5 to 1.1": {"scene.background_scale": [0.5, 1.1]},
        "0.7 to 1.3": {"scene.background_scale": [0.7, 1.3]},
        "0.3 to 0.9": {"scene.background_scale": [0.3, 0.9]},
    },
    controls=(),
    trials=0,
    repeats=3,
    rungs=2,
)
