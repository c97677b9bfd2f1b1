"""How a scene is arranged: how many objects, how they overlap, what stands among, before and behind them."""

from syndet_ray import Choice, Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "scene.arrangement": Choice(values=("tray", "layers")),
        "scene.objects": Int(low=5, high=60, log=True),
        "scene.distractors": Int(low=0, high=20),
        "scene.occluders": Float(low=0.0, high=0.6),
        "scene.overlap": Float(low=0.0, high=0.5),
        "scene.crop": Float(low=0.0, high=0.6),
        "scene.object_scale": Float(low=0.0, high=1.0),
        "scene.camera_tilt_deg": Float(low=0.0, high=50.0),
        "scene.camera_height": Float(low=0.0, high=1.0),
        "scene.focal_length": Float(low=0.0, high=1.0),
    }
)
