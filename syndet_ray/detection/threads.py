"""Threads: how many of them PyTorch and OpenCV may use in this process."""

import cv2
import torch


def limit_threads(count: int) -> None:
    """Makes PyTorch and OpenCV compute with at most `count` threads each.

    Without a limit, OpenCV starts one for each core of the machine, also in each of several trials
    that share them.
    """
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
