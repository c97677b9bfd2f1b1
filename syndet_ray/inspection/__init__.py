"""What data look like and where sources differ; knows no run."""
