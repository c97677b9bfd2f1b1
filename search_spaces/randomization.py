"""Randomization of light, colour, texture and sensor, but not of the arrangement.

Strengths go from 0 (off) to 1 (the full published range).
"""

from syndet_ray import Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "scene.lamps": Int(low=1, high=4),
        "scene.light_color": Float(low=0.0, high=1.0),
        "scene.light_direction": Float(low=0.0, high=1.0),
        "scene.light_intensity": Float(low=0.0, high=1.0),
        # acts on distractors and clutter: the recipe must have some, or the sweep vary them
        "scene.hue": Float(low=0.0, high=1.0),
        "scene.floor_color": Float(low=0.0, high=1.0),
        "scene.floor_texture": Float(low=0.0, high=1.0),
        "scene.object_color": Float(low=0.0, high=1.0),
        "scene.object_shape": Float(low=0.0, high=1.0),
        "scene.gloss": Float(low=0.0, high=1.0),
        "scene.exposure": Float(low=0.0, high=1.0),
        "scene.white_balance": Float(low=0.0, high=1.0),
        "scene.blur": Float(low=0.0, high=1.0),
        "scene.noise": Float(low=0.0, high=1.0),
        "scene.jpeg": Float(low=0.0, high=1.0),
    }
)
