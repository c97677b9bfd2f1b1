"""Do poses shown in order teach more than random ones?

This compares the curriculum of Hinterstoisser et al. (2019) with random poses.

Takes about 8 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Mix, Recipe, SceneParameters, Sweep, Training

SWEEP = Sweep(
    question="Do poses shown in order, near to far, teach more than random ones?",
    recipe=Recipe(
        mix=Mix(synthetic=1.0, synthetic_images=400),
        scene=SceneParameters(arrangement="layers", objects=10, occluders=0.3),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "random poses": {},
        "curriculum": {"scene.poses": "curriculum"},
    },
    controls=(),
    trials=0,
    repeats=3,
    rungs=2,
)
