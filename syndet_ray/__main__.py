"""`python -m syndet_ray`."""

try:
    from syndet_ray.cli import main
except KeyboardInterrupt:  # which would print a traceback
    # as shells report a process that SIGINT has ended: 128 and the number of the signal
    raise SystemExit(130) from None

main()
