"""Labelled images in: records, readers, splits, pools and the mix."""
