"""Which learning rate, warm-up and final rate should the detector be trained with?

Start here: every other comparison depends on the learning rate.

Takes about 20 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import Choice, Confirmation, Float, Mix, Recipe, SearchSpace, Sweep, Training

SWEEP = Sweep(
    question="Which learning rate, warm-up and final rate should the detector be trained with?",
    recipe=Recipe(
        mix=Mix(synthetic=0.5, synthetic_images=200),
        # for photos from above: a flipped one is as likely as the original
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
