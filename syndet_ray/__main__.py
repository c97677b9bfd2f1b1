"""`python -m syndet_ray`."""

try:
    from syndet_ray.cli import main
except KeyboardInterrupt:  # which would print a traceback
    raise SystemExit(130) from None

main()
