"""How many photos must be labelled? The table of SynthDet (Unity 2020): real images alone, and with synthetic ones."""

from syndet_ray import Mix, Recipe, Sweep, Training

SWEEP = Sweep(
    question="How many photos must be labelled, where there are synthetic images beside them?",
    recipe=Recipe(mix=Mix(synthetic=0.5, synthetic_images=400), training=Training(images=4000)),
    variants={
        "synthetic": {"mix.schedule": "synthetic_only"},
        "4 real": {"mix.schedule": "real_only", "mix.real_images": 4},
        "4 real, mixed": {"mix.real_images": 4},
        "4 real, staged": {"mix.real_images": 4, "mix.schedule": "staged"},
        "20 real": {"mix.schedule": "real_only", "mix.real_images": 20},
        "20 real, mixed": {"mix.real_images": 20},
        "20 real, staged": {"mix.real_images": 20, "mix.schedule": "staged"},
        "80 real": {"mix.schedule": "real_only", "mix.real_images": 80},
        "80 real, mixed": {"mix.real_images": 80},
        "80 real, staged": {"mix.real_images": 80, "mix.schedule": "staged"},
        "all real": {"mix.schedule": "real_only"},
        "all real, mixed": {},
        "all real, staged": {"mix.schedule": "staged"},
    },
    controls=(),
    trials=0,
    repeats=2,
    rungs=2,
)
