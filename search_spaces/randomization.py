"""How far everything is randomized that is no arrangement: light, colour, texture, sensor. 0 is
off.
"""

from syndet_ray import Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "scene.lamps": Int(low=1, high=4),
        "scene.light_color": Float(low=0.0, high=1.0),
        "scene.light_direction": Float(low=0.0, high=1.0),
        "scene.light_intensity": Float(low=0.0, high=1.0),
        # of distractors and clutter: the recipe must have some, or search them
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
