"""Scenes around the values that `scene.match` measures on photos, or that a recipe names."""

from syndet_ray import Around, SearchSpace

SPACE = SearchSpace(
    {
        "scene.objects": Around(low=0.5, high=2.0),
        "scene.size_px": Around(low=0.7, high=1.4),
        "scene.contrast": Around(low=0.7, high=1.4),
        "scene.brightness": Around(low=-0.5, high=0.5, by="offset"),
        # strengths: 0 is a value like any other, of which no factor leads away
        "scene.blur": Around(low=-0.3, high=0.3, by="offset"),
        "scene.noise": Around(low=-0.3, high=0.3, by="offset"),
        "scene.jpeg": Around(low=-0.3, high=0.3, by="offset"),
    }
)
