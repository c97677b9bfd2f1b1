"""Threads: PyTorch and OpenCV compute with as many as a trial has cores."""

import cv2
import pytest
import torch

from syndet_ray.detection.threads import limit_threads


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize("count", [1, 3])
def test_both_libraries_have_the_same_limit(count):
    limit_threads(count)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (count, count)
