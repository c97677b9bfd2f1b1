"""When synthetic images are shown: in every batch alike, first of all, or ever less."""

from syndet_ray import Choice, Float, SearchSpace

SPACE = SearchSpace(
    {
        "mix.schedule": Choice(values=("mixed", "staged", "annealed")),
        "mix.synthetic": Float(low=0.0, high=1.0, when={"mix.schedule": ("mixed", "annealed")}),
        "mix.anneal": Choice(values=("linear", "cosine"), when={"mix.schedule": "annealed"}),
        "mix.switch_at": Float(low=0.1, high=0.9, when={"mix.schedule": "staged"}),
        "training.rate_after_switch": Float(
            low=0.1, high=1.0, log=True, when={"mix.schedule": "staged"}
        ),
    }
)
