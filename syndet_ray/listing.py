"""Listing: what `check` and `replay` say, as lines and tables."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray.report.words import bounds
from syndet_ray.sweep import Sweep

if TYPE_CHECKING:
    from syndet_ray.tuning.cost import Cost
    from syndet_ray.tuning.preflight import RealData
    from syndet_ray.tuning.replay import Replay


def sweep_lines(name: str, sweep: Sweep) -> Iterator[str]:
    """What a sweep asks, and how."""
    yield f"sweep    {name}: {sweep.proposals} trials, {len(sweep.fixed)} controls and variants"
    for path, parameter in sweep.parameters.items():
        yield f"         {path}: {bounds(parameter)}"
    for variant, changes in sweep.variants.items():
        told = ", ".join(f"{path} {value}" for path, value in changes.items()) or "the sweep's own recipe"
        yield f"         {variant}: {told}"
    if sweep.proposals:
        yield f"search   {sweep.sampler}, pruner {_pruner(sweep)}, {' and '.join(sweep.objective)}"
    if sweep.proposals and sweep.confirm.seeds:
        yield f"confirm  the best {sweep.confirm.top} and the controls, {sweep.confirm.seeds} seeds each"


def data_lines(data: "RealData") -> Iterator[str]:
    """What a sweep is to be asked on."""
    where = "stand-in set (no --real given)" if data.stand_in else str(data.path)
    counts = ", ".join(f"{len(pool)} {split}" for split, pool in data.pools.items())
    yield f"data     {where}: {counts}; classes {', '.join(data.pools['train'].classes)}"
    for folder, pool in data.others.items():
        yield f"         {folder}: {len(pool)} train"
    for note in data.notes:
        yield f"         {note}"


def cost_lines(cost: "Cost") -> Iterator[str]:
    """What it takes. Without what starting processes takes, and what of others' generators is not known."""
    rate = f"{1 / cost.rates.train_s:.0f} images/s a trial, {cost.parallel} at once"
    yield f"cost     about {_time(cost.hours)} and {cost.images:,} images in {cost.trials} trainings, at {rate};"
    yield f"         about {_time(cost.least_hours)} and {cost.least_images:,} where all is pruned that can be"


def replay_table(found: Sequence[tuple[str, "Replay"]], curves: int, truncated: int) -> Table:
    """What each pruner would have saved, and what it would have cost."""
    left_out = f"; {truncated} that the run itself pruned are left out, which flatters" if truncated else ""
    title = f"{curves} whole learning curves in {found[0][1].orders} orders{left_out}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in ("pruner", "images saved", "best killed", "a top-3 killed", "mAP lost, mean", "worst"):
        table.add_column(column, justify="left" if column == "pruner" else "right")
    for name, replay in found:
        shares = (replay.saved, replay.best_killed, replay.top3_killed)
        cells = [f"{share:.1%}" for share in shares] + [f"{replay.regret:.4f}", f"{replay.worst_regret:.4f}"]
        table.add_row(name, *cells)
    return table


def _pruner(sweep: Sweep) -> str:
    if len(sweep.goals) > 1:
        return "none, for there are several goals"
    first = sweep.first_pruned_rung
    if first is None and sweep.pruning.name != "none":
        return f"{sweep.pruning.name}, which never acts: there are too few rungs for its grace and patience"
    return sweep.pruning.name if first is None else f"{sweep.pruning.name} from rung {first} of {sweep.rungs}"


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
