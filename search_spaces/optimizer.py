"""Optimizer: the learning rate."""

from syndet_ray import Float, SearchSpace

SPACE = SearchSpace({"training.learning_rate": Float(low=3e-4, high=3e-3, log=True)})
