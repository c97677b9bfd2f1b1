"""Is 3D worth it? Rendered scenes against cut-outs that are pasted on the training photos.

Copy-paste (Ghiasi et al. 2021) needs nothing but the photos; scenes need meshes or cut-outs of
objects, which `assets` names.

Takes about 20 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Mix, Recipe, Sweep, Training

SWEEP = Sweep(
    question="Do rendered scenes help more than cut-outs pasted on the photos that there are?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=400),
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "photos alone": {"mix.schedule": "real_only"},
        "scenes": {},
        "copy-paste": {
            "scene.generator": "raycast",
            "scene.arrangement": "paste",
            "scene.objects": 6,
            "scene.objects_spread": 1.0,
        },
        "copy-paste, large-scale jitter": {
            "scene.generator": "raycast",
            "scene.arrangement": "paste",
            "scene.objects": 6,
            "scene.objects_spread": 1.0,
            "scene.scale_range": [0.1, 2.0],
        },
    },
    controls=(),
    trials=0,
    repeats=3,
    rungs=2,
)
