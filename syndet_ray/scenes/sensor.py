"""Sensor: from light to pixels. Blur, noise and compression apply to the whole image."""

import cv2
import numpy as np

from syndet_ray import seeds
from syndet_ray.scenes.scene import Sensor

DISPLAY_POWER = 2.2  # linear light is the value of a pixel to this power, about as in sRGB
MOST_BLUR_PX = 1.5  # sigma at full strength
MOST_NOISE = 0.06  # standard deviation at full strength, as a share of full scale
MOST_QUALITY, LEAST_QUALITY = 98, 30  # of JPEG; the least at full strength

# Linear light above this is compressed, as cameras do, so that highlights keep their colour.
_KNEE = 0.7


def photograph(radiance: np.ndarray, sensor: Sensor) -> np.ndarray:
    """(h, w, 3) uint8 sRGB of linear light (h, w, 3).

    Exposure and white balance, blur, a soft shoulder for highlights, gamma, contrast, noise, JPEG.
    """
    gains = np.float32(sensor.exposure) * np.array(sensor.white_balance, np.float32)
    light = np.maximum(radiance * gains, 0)
    if sensor.blur_sigma_px > 0:
        light = cv2.GaussianBlur(light, (0, 0), sensor.blur_sigma_px)
    # Reinhard's curve above the knee: slope 1 there, and 1 at infinity.
    over = np.maximum(light - np.float32(_KNEE), 0)
    shoulder = over * (1 - _KNEE) / (over + (1 - _KNEE))
    light = np.minimum(light, np.float32(_KNEE)) + shoulder
    values = cv2.pow(light.astype(np.float32), 1 / DISPLAY_POWER)
    encoded = with_contrast(values, sensor.contrast)
    if sensor.noise_sigma > 0:
        noise = seeds.generator(sensor.seed, "noise").standard_normal(encoded.shape, np.float32)
        encoded += noise * np.float32(sensor.noise_sigma)
    pixels = (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _compress(pixels, sensor.jpeg_quality) if sensor.jpeg_quality > 0 else pixels


def with_contrast(values: np.ndarray, slope: float) -> np.ndarray:
    """Values (..., 3) of 0 to 1 along a sigmoid through 0, 0.5 and 1 with a slope at 0.5."""
    if slope == 1:
        return values
    inside = np.clip(values, 0, 1)
    raised, mirrored = inside**slope, (1 - inside) ** slope
    return raised / (raised + mirrored)


def _compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """The image after it was saved as JPEG. OpenCV needs BGR: the order of channels matters to the
    compression.
    """
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
