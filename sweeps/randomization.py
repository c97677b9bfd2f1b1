"""Which randomizations does a synthetic training set need?

The first variant has all, each of the others leaves one out, as in the ablation of
Hinterstoisser et al. (2019).

Takes about 25 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Mix, Recipe, SceneParameters, Sweep, Training

SWEEP = Sweep(
    question="Which randomizations of synthetic images does accuracy on real photos depend on?",
    recipe=Recipe(
        mix=Mix(synthetic=1.0, synthetic_images=200),
        scene=SceneParameters(
            objects=10,
            distractors=6,
            lamps=3,
            hue=0.5,
            white_balance=0.5,
            jpeg=0.5,
            focal_length=0.5,
        ),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "full": {},
        "no light colour": {"scene.light_color": 0.0, "scene.white_balance": 0.0},
        "less light variation": {
            "scene.light_direction": 0.0,
            "scene.light_intensity": 0.0,
            "scene.lamps": 1,
        },
        "no blur": {"scene.blur": 0.0},
        "no noise, no JPEG": {"scene.noise": 0.0, "scene.jpeg": 0.0},
        "no floor colour": {"scene.floor_color": 0.0, "scene.floor_texture": 0.0},
        "no object colour": {"scene.object_color": 0.0},
        "no distractors": {"scene.distractors": 0},
        "no focal length": {"scene.focal_length": 0.0, "scene.camera_height": 0.0},
    },
    controls=(),
    trials=0,
    repeats=3,
    rungs=2,
)
