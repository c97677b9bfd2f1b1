"""Schedule: when synthetic images are shown, and when real ones."""

from syndet_ray import Choice, Float, SearchSpace

SPACE = SearchSpace(
    {
        # in every batch; first synthetic, then real; or a falling synthetic share
        "mix.schedule": Choice(values=("mixed", "staged", "annealed")),
        "mix.synthetic": Float(low=0.0, high=1.0, when={"mix.schedule": ("mixed", "annealed")}),
        "mix.anneal": Choice(values=("linear", "cosine"), when={"mix.schedule": "annealed"}),
        "mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "staged"}),
        "training.rate_after_switch": Float(
            low=0.1, high=1.0, log=True, when={"mix.schedule": "staged"}
        ),
    }
)
