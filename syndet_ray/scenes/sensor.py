"""Sensor: from light to pixels. Blur and noise come after everything is fused into one picture."""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes.scene import Sensor

# Linear light above this is compressed, as cameras do, so that highlights keep their colour.
_KNEE = 0.7


def photograph(radiance: np.ndarray, sensor: Sensor) -> np.ndarray:
    """(h, w, 3) uint8 sRGB of linear light (h, w, 3): exposure, blur, a soft shoulder for highlights, gamma, noise."""
    light = np.maximum(radiance * np.float32(sensor.exposure), 0)
    if sensor.blur_sigma_px > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur_sigma_px)
    # Reinhard's curve above the knee: slope 1 there, and 1 at infinity.
    over = np.maximum(light - np.float32(_KNEE), 0)
    light = np.minimum(light, np.float32(_KNEE)) + over * (1 - _KNEE) / (over + (1 - _KNEE))
    encoded = cv2.pow(light.astype(np.float32), 1 / 2.2)
    if sensor.noise_sigma > 0:
        noise = seeds.generator(sensor.seed, "noise").standard_normal(encoded.shape, np.float32)
        encoded += noise * np.float32(sensor.noise_sigma)
    return (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)
