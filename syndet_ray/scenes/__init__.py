"""Scenes: dice in a tray, arranged, drawn by casting rays, photographed by a sensor, and annotated."""
