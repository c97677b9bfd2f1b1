"""Synthetic images: scenes are arranged, rendered, photographed by a sensor and annotated."""
