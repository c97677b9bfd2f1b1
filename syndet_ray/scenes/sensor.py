"""Sensor: from light to pixels. Blur and noise come after everything is fused into one picture."""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes.scene import Sensor


def photograph(radiance: np.ndarray, sensor: Sensor) -> np.ndarray:
    """(h, w, 3) uint8 sRGB of linear light: exposure, blur, a soft shoulder for highlights, gamma, noise."""
    light = radiance * sensor.exposure
    if sensor.blur_sigma_px > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur_sigma_px)
    encoded = np.clip(light / (1 + np.maximum(light - 0.8, 0)), 0, 1) ** (1 / 2.2)
    if sensor.noise_sigma > 0:
        noise = seeds.generator(sensor.seed, "noise").normal(0, sensor.noise_sigma, encoded.shape)
        encoded = encoded + noise
    return (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)
