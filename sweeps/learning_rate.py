"""At which learning rate, and how does it fall? The one setting that every other comparison depends
on.

On two quiet cores, without photos of your own: about 20 minutes.
"""

from syndet_ray import Choice, Confirmation, Float, Mix, Recipe, SearchSpace, Sweep, Training

SWEEP = Sweep(
    question="At which learning rate should the detector be trained, and how long should it warm up?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=200),
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    space=(
        SearchSpace(
            {
                "training.learning_rate": Float(low=1e-4, high=1e-2, log=True),
                "training.warmup": Choice(values=(0.0, 0.05, 0.1)),
                "training.final_rate": Choice(values=(0.0, 0.01, 0.1)),
            }
        ),
    ),
    trials=16,
    controls=(),
    rungs=4,
    confirm=Confirmation(top=2, seeds=3),
)
