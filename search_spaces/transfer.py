"""Transfer: how much of an ImageNet backbone is trained, and at which rates."""

from syndet_ray import Choice, Float, SearchSpace

SPACE = SearchSpace(
    {
        "detector.frozen_stages": Choice(values=("all", 4, 3, 2)),
        "detector.backbone_rate": Float(
            low=0.01, high=1.0, log=True, when={"detector.frozen_stages": (4, 3, 2)}
        ),
        "training.learning_rate": Float(low=3e-4, high=3e-3, log=True),
    }
)
