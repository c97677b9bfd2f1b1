"""Mix: the synthetic share of all images seen."""

from syndet_ray import Float, SearchSpace

SPACE = SearchSpace({"mix.synthetic": Float(low=0.0, high=1.0)})
