"""Photos and labels: readers, records, splits, pools, the mix, and storage."""
