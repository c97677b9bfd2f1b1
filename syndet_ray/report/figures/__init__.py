"""Figures: numbers to pictures, each with its numbers beside it."""
