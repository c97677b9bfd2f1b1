"""Sent options: those of a sweep that go along to the head of a cluster."""

from syndet_ray.cli.options import FLAGS
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DefinitionError

# Options that mean the same on the head. Others name files of this machine, which have another
# place there, or say what is done here.
SENT_VALUES = (
    *("trials", "hours", "images", "seed", "parallel", "gpus_per_trial"),
    *("gpu_hour_price", "core_hour_price"),
    *("storage", "tracking", "format", "hold_out"),
)
SENT_SWITCHES = ("tensorboard", "allow_near_copies", "stream")
_DO_PASSWORD = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in ~/.bashrc of the head instead."
)


def check_options(options: SweepOptions) -> None:
    """Raises DefinitionError for options that say where else a sweep runs, or where only this
    machine can write.
    """
    values = {"address": options.address, "local": options.local}
    others = [f"`{name}`" for name, value in values.items() if value]
    if others:
        rule = f"says where to run, and so cannot be combined with {' and '.join(others)}"
        raise DefinitionError("`cluster`", rule, do=f"Leave {' and '.join(others)} out.")
    tracking = options.tracking
    if tracking is not None and not tracking.startswith(("http://", "https://")):
        rule = "must be the address of a server with `cluster`: a file here is not seen from there"
        raise DefinitionError("`tracking`", rule, got=tracking)
    if tracking is not None and _has_password(tracking):
        rule = "must hold no password with `cluster`: other users of the head could read it"
        raise DefinitionError("`tracking`", rule, do=_DO_PASSWORD)


def _has_password(address: str) -> bool:
    login, _, _ = address.partition("://")[2].partition("/")[0].rpartition("@")
    return ":" in login


def option_words(options: SweepOptions) -> list[str]:
    """The options that mean the same on the head, as words of its command line."""
    words = []
    for name in SENT_VALUES:
        value = getattr(options, name)
        if value is not None:
            words += [FLAGS.get(name, f"--{name}"), str(value)]
    words += [FLAGS.get(name, f"--{name}") for name in SENT_SWITCHES if getattr(options, name)]
    if options.skip_bad is not None:
        words.append("--skip-bad" if options.skip_bad else "--no-skip-bad")
    return words
