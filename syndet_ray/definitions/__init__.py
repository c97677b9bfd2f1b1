"""What a sweep asks: recipes, search spaces and sweeps as values."""
