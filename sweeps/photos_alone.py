"""How should the detector be trained on photos alone, without any synthetic image?

Start here if you have labelled photos, and neither meshes nor a generator: classes may be any. What
a sweep with scenes adds can be compared with its result.

`check` says how long it takes with these photos.
"""

from syndet_ray import Choice, Confirmation, Float, Mix, Recipe, SearchSpace, Sweep, Training

SWEEP = Sweep(
    question="Which learning rate suits these photos, without synthetic images?",
    recipe=Recipe(
        mix=Mix(schedule="real_only"),
        training=Training(images=2400),
    ),
    space=(
        SearchSpace(
            {
                "training.learning_rate": Float(low=1e-4, high=1e-2, log=True),
                "training.final_rate": Choice(values=(0.0, 0.01, 0.1)),
            }
        ),
    ),
    trials=12,
    controls=(),
    rungs=4,
    confirm=Confirmation(top=2, seeds=3),
)
