"""Scenes: objects arranged, rendered by casting rays, photographed by a sensor, annotated."""
