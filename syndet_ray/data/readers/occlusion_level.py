"""Occlusion levels: KITTI's four steps and its truncated share, as a visible share."""

import math

# The visible share of KITTI's levels: all, over half, under half, unknown (the middle of each).
_SHARE_OF_LEVEL = {0: 1.0, 1: 0.75, 2: 0.25}
NOTE = (
    "visibility is of KITTI's levels: 0 is 1, 1 is 0.75, 2 is 0.25, 3 unknown, "
    "times the share that is not truncated"
)


def visible_share(level: float, truncated: float) -> float:
    """The visible share of a whole silhouette, NaN where a level or a share is unknown."""
    share = _SHARE_OF_LEVEL.get(int(level), math.nan) if level.is_integer() else math.nan
    return share * (1 - truncated) if 0 <= truncated <= 1 else math.nan
