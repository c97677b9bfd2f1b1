"""What is asked: recipes, search spaces and sweeps as values."""
