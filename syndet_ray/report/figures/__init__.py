"""Figures: numbers as charts and sheets, each with its numbers as CSV and Parquet."""
