"""How many photos must be labelled, with and without synthetic images?

This is the table of SynthDet (Unity 2020): real images alone, and with synthetic ones.

Takes about 30 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Mix, Recipe, Sweep, Training

SWEEP = Sweep(
    question="How many photos must be labelled when there are synthetic images too?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=400),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "real only": {"mix.schedule": "real_only"},
        "synthetic only": {"mix.schedule": "synthetic_only"},
        # synthetic images first, then real ones
        "staged, 10 % of real": {"mix.real_images": 0.1, "mix.schedule": "staged"},
        "staged, 50 % of real": {"mix.real_images": 0.5, "mix.schedule": "staged"},
        "staged, all real": {"mix.schedule": "staged"},
        # both in every batch
        "mixed, 10 % of real": {"mix.real_images": 0.1},
        "mixed, 50 % of real": {"mix.real_images": 0.5},
        "mixed, all real": {},
        # fewer real images, and no synthetic ones
        "10 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.1},
        "25 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.25},
        "50 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.5},
    },
    controls=(),  # the variants contain them
    trials=0,
    repeats=3,
    rungs=2,
)
