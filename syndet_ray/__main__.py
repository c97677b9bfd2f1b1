"""`python -m syndet_ray`."""

from syndet_ray.cli import main

main()
