"""Label style: how people draw boxes, such as wider than the object, uneven, or square."""

from syndet_ray import Choice, Float, SearchSpace

SPACE = SearchSpace(
    {
        "scene.box_padding": Float(low=0.0, high=0.4),
        "scene.box_padding_spread": Float(low=0.0, high=0.25),
        "scene.box_jitter": Float(low=0.0, high=0.1),
        "scene.box_square": Choice(values=(False, True)),
    }
)
