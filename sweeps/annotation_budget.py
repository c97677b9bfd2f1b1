"""How many photos must be labelled? The table of SynthDet (Unity 2020): real images alone, and with
synthetic ones.

On two quiet cores, without photos of your own: about 30 minutes.
"""

from syndet_ray import Mix, Recipe, Sweep, Training

SWEEP = Sweep(
    question="How many photos must be labelled, where there are synthetic images beside them?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=400),
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    variants={
        "real only": {"mix.schedule": "real_only"},
        "synthetic only": {"mix.schedule": "synthetic_only"},
        "staged, 10 % of real": {"mix.real_images": 0.1, "mix.schedule": "staged"},
        "staged, 50 % of real": {"mix.real_images": 0.5, "mix.schedule": "staged"},
        "staged, all real": {"mix.schedule": "staged"},
        "mixed, 10 % of real": {"mix.real_images": 0.1},
        "mixed, 50 % of real": {"mix.real_images": 0.5},
        "mixed, all real": {},
        "10 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.1},
        "25 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.25},
        "50 % of real": {"mix.schedule": "real_only", "mix.real_images": 0.5},
    },
    controls=(),
    trials=0,
    repeats=3,
    rungs=2,
)
