"""Projection: the pixels at which points of a scene appear, and the rays through pixels."""

import numpy as np

from syndet_ray.scenes.scene import Camera


def project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(..., 2) pixel coordinates of points (..., 3) in the world, continuous, origin at the image's
    top left corner.
    """
    in_camera = (points - np.array(camera.position)) @ np.array(camera.rotation).T
    return in_camera[..., :2] / in_camera[..., 2:] * camera.focal_px + np.array(camera.size_wh) / 2


def directions(camera: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(3, n) float32 unit directions of the rays through pixel coordinates: the inverse of
    `project`.
    """
    middle, focal = np.array(camera.size_wh, np.float32) / 2, np.float32(camera.focal_px)
    in_camera = np.stack([(x - middle[0]) / focal, (y - middle[1]) / focal, np.ones_like(x)])
    return unit(np.array(camera.rotation, np.float32).T @ in_camera)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(3, n), each of length 1."""
    return vectors / np.sqrt(np.maximum((vectors * vectors).sum(axis=0), np.float32(1e-18)))
