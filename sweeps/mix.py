"""How much of each source, when, and at which learning rate?

Takes about 30 minutes on two idle cores, with the stand-in photos.
"""

from syndet_ray import (
    Choice,
    Confirmation,
    Mix,
    Pruning,
    Recipe,
    Scenes,
    SearchSpace,
    Simplex,
    Sweep,
    Training,
)

SWEEP = Sweep(
    question="How much of each source should a detector see, when, and at which learning rate?",
    recipe=Recipe(
        mix=Mix(
            synthetic_images=200,
            sources={
                "sparse": Scenes(changes={"scene.objects": 10}),
                "crowded": Scenes(changes={"scene.objects": 70}),
            },
        ),
        # for photos from above: a flipped one is as likely as the original
        training=Training(images=2400, flip_vertical=0.5, transpose=0.5),
    ),
    space=(
        SearchSpace(
            {
                "mix.shares": Simplex(sources=("real", "sparse", "crowded")),
                "mix.schedule": Choice(values=("mixed", "staged", "annealed")),
            }
        ),
        "optimizer",
    ),
    trials=24,
    rungs=4,
    pruning=Pruning(name="median", startup_trials=4, grace_rungs=1),
    confirm=Confirmation(top=2, seeds=3),
)
