"""Arrangement of a scene: its objects, their overlap, and what is between and around them."""

from syndet_ray import Choice, Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "scene.arrangement": Choice(values=("tray", "layers")),
        "scene.objects": Int(low=5, high=60, log=True),
        "scene.distractors": Int(low=0, high=20),
        "scene.camera_height": Float(low=0.0, high=1.0),
        "scene.focal_length": Float(low=0.0, high=1.0),
        "scene.object_scale": Float(low=0.0, high=1.0, when={"scene.arrangement": "tray"}),
        "scene.camera_tilt_deg": Float(low=0.0, high=50.0, when={"scene.arrangement": "tray"}),
        "scene.poses": Choice(values=("any", "curriculum"), when={"scene.arrangement": "layers"}),
        "scene.occluders": Float(low=0.0, high=0.6, when={"scene.arrangement": "layers"}),
        "scene.overlap": Float(low=0.0, high=0.5, when={"scene.arrangement": "layers"}),
        "scene.crop": Float(low=0.0, high=0.6, when={"scene.arrangement": "layers"}),
    }
)
