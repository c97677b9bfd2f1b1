"""Labelled images in: records, readers, splits, pools and the mix; and where runs are stored."""
