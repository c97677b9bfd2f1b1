"""Statistics of datasets and differences between them. Knows no run."""
