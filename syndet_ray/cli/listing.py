"""Listing: a sweep before it runs, a dataset that is fetched and pruners that are replayed."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table

from syndet_ray.cli.options import with_flags
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.space_check import effects_of_numbers
from syndet_ray.runs.names import bounds
from syndet_ray.wording import command_line, counted, hours_number, money

if TYPE_CHECKING:
    from syndet_ray.data.real import RealData
    from syndet_ray.data.remote.catalogue import CatalogueEntry
    from syndet_ray.data.remote.public import Fetched
    from syndet_ray.runs.prices import Prices
    from syndet_ray.runs.run import Run
    from syndet_ray.search.replay import Replay
    from syndet_ray.tuning.cost import Cost
    from syndet_ray.tuning.disk import Disk, Room
    from syndet_ray.tuning.options import Options

_MOST_NAMED = 3  # settings that one number leaves without effect


def sweep_lines(name: str, sweep: LoadedSweep) -> Iterator[str]:
    """Lines on the search of a sweep: trials, settings, pruner and confirmation."""
    yield f"sweep    {name}: {counted(sweep.proposals, 'trial')}, {_fixed_words(sweep)}"
    for path, parameter in sweep.parameters.items():
        yield f"         {path}: {bounds(parameter)}"
    for variant, changes in sweep.variants.items():
        values = ", ".join(f"{path} {value}" for path, value in changes.items())
        recipe = values or "the sweep's own recipe"
        yield f"         {variant}: {recipe}"
    for where, paths in effects_of_numbers(sweep.parameters, sweep.recipe).items():
        yield f"         {_setting_names(paths)} no effect where {where}"
    if sweep.proposals:
        yield f"search   sampler {sweep.sampler}, objective {' and '.join(sweep.objective)}"
        yield f"         pruner {_pruner(sweep)}"
    if sweep.proposals and sweep.confirm.seeds:
        seeds = counted(sweep.confirm.seeds, "seed")
        controls = " and the controls" if sweep.controls else ""
        yield f"confirm  the best {sweep.confirm.top}{controls}, {seeds} each"


def _setting_names(paths: Sequence[str]) -> str:
    """The first few settings, how many more, and the verb: "scene.hue has"."""
    names = ", ".join(paths[:_MOST_NAMED])
    more = len(paths) - _MOST_NAMED
    if more > 0:
        return f"{names} and {more} more have"
    return f"{names} {'has' if len(paths) == 1 else 'have'}"


def _fixed_words(sweep: LoadedSweep) -> str:
    """The number of controls and of variants of a sweep, repetitions included."""
    kinds = {"control": len(sweep.controls), "variant": len(sweep.fixed) - len(sweep.controls)}
    counts = [counted(count, kind) for kind, count in kinds.items() if count]
    return " and ".join(counts) or "no controls"


def data_lines(data: "RealData") -> Iterator[str]:
    """Lines on the data of a sweep."""
    where = "stand-in set, in place of photos (see --real)" if data.stand_in else str(data.path)
    counts = ", ".join(f"{len(pool)} {split}" for split, pool in data.pools.items())
    yield f"data     {where}: {counts}; classes {', '.join(data.pools['train'].classes)}"
    for folder, pool in data.others.items():
        yield f"         {folder}: {len(pool)} train"
    for words in (*data.scale_words, *data.notes):
        yield f"         {with_flags(words)}"


def entry_lines(entry: "CatalogueEntry") -> Iterator[str]:
    """Lines on a public dataset, before it is fetched."""
    from syndet_ray.data.memory import memory_words

    size = "not stated" if entry.size is None else memory_words(entry.size)
    yield f"dataset  {entry.name}: {entry.about}"
    yield f"licence  {entry.licence}"
    yield f"from     {entry.citation}"
    yield f"size     {size} in {counted(len(entry.files), 'file')}"
    if entry.remark:
        yield f"         {entry.remark}"


def fetched_lines(data: "Fetched", folder: Path) -> Iterator[str]:
    """Lines on a public dataset that was fetched, and what to do with it."""
    for name, sha256 in data.unchecked.items():
        yield f"sum      {name}: SHA-256 {sha256}"
        yield f"         compared with nothing, since its publisher states none: {data.lock.name}"
        yield "         keeps it, and another file is refused when it is fetched again"
    there = "" if data.is_new else "was there already: "
    yield f"data     {there}{folder}; see {command_line('data', 'inspect', folder)}"


def cost_lines(cost: "Cost") -> Iterator[str]:
    """Lines on the time and the images that a sweep needs.

    Without the start of processes and without external generators, whose time is not known.
    """
    if not cost.speed_is_known:
        yield f"cost     {cost.images:,} images in {counted(cost.trials, 'training')}"
        yield "         nodes may be unlike this machine: their speed is known once one is up"
        return
    rate = f"{1 / cost.rates.train_s:.0f} images/s a trial, {cost.parallel} at once"
    most = f"about {_time(cost.hours)} and {cost.images:,} images"
    yield f"cost     {most} in {counted(cost.trials, 'training')}, at {rate}"
    if cost.scoring_hours > cost.hours / 2:
        score_s = f"{cost.rates.score_s:.2g} s"
        yield f"         most of it is scoring the validation photos, {score_s} each"
    if cost.least_images < cost.images:
        least = f"about {_time(cost.least_hours)} and {cost.least_images:,} images"
        yield f"         {least} if pruning is as early as possible"


def held_lines(cost: "Cost", prices: "Prices") -> Iterator[str]:
    """Lines on the hours of GPUs or cores that trials hold, on what these hours leave out, and with
    prices on the cost.
    """
    if not cost.speed_is_known:
        return
    use, most_hours, least_hours = cost.use, cost.trial_hours, cost.least_trial_hours
    if use.gpus_per_trial:
        name, most, least = "GPU", cost.gpu_hours(most_hours), cost.gpu_hours(least_hours)
    else:
        name, most, least = "core", cost.core_hours(most_hours), cost.core_hours(least_hours)
    yield f"hours    {_range(most, least, hours_number)} {name} hours held: {holders(cost)}"
    yield "         time and hours leave out the start of processes and the test at the end"
    money_most, money_least = cost.money(most_hours, prices), cost.money(least_hours, prices)
    if money_most is not None and money_least is not None:
        yield f"money    {_range(money_most, money_least, money)} at {prices.words()}"
        yield "         for what trials hold; nodes that stand idle or only render cost more"


def holders(cost: "Cost") -> str:
    """Words on the number of trials at once, and on what each of them holds."""
    gpus, cores = cost.use.gpus_per_trial, cost.use.cpus_per_trial
    gpu_words = f"{gpus:g} GPU" if gpus <= 1 else f"{gpus:g} GPUs"
    share = gpu_words if gpus else counted(cores, "core")
    return f"{counted(cost.parallel, 'trial')} at once, {share} each"


def _range(most: float, least: float, words: Callable[[float], str]) -> str:
    """From the least, if pruning is as early as possible, to the most: "0.2 to 0.4"."""
    return words(most) if words(most) == words(least) else f"{words(least)} to {words(most)}"


def disk_lines(disk: "Disk", room: "Room", storage: str | None) -> Iterator[str]:
    """A line on the disk space that a sweep needs."""
    from syndet_ray.data.memory import memory_words
    from syndet_ray.tuning.disk import usage_words

    yield f"disk     at most {usage_words(disk, room, storage)}; {memory_words(room.free)} free"


def place_lines(options: "Options", experiment: str, cluster: Path | None = None) -> Iterator[str]:
    """Lines on the folders, stores and clusters that a run uses; each has been looked at.

    experiment  what MLflow's store has of the sweep, in words
    cluster     file of the cluster on which the sweep is to run, in place of this machine
    """
    from syndet_ray.tracking.address import mask
    from syndet_ray.tracking.store import REGISTRY_VARIABLE, store_address, store_file

    if cluster is not None:
        yield f"runs     {options.runs}: can be written; the report is brought here"
        if options.storage is not None:
            yield f"storage  {mask(options.storage)}: can be written and read"
        yield f"ray      the cluster of {cluster}"
        return
    yield f"runs     {options.runs}: can be written; rendered scenes in {options.cache}"
    if options.storage is not None:
        yield f"storage  {mask(options.storage)}: can be written and read"
    uri = options.tracking or store_address(options.runs)
    yield f"mlflow   {store_file(uri) or mask(uri)}: {experiment}"
    if REGISTRY_VARIABLE in os.environ:
        yield f"         {REGISTRY_VARIABLE} is set, but the best model is registered in this store"
    if options.local:
        yield "ray      none: trials run in this process, one at a time"
    elif options.address is None:
        yield "ray      a new cluster on this machine, for this run alone"
    else:
        yield f"ray      the cluster at {options.address}"


def newest_line(run: Path | str, *, goes_on: bool) -> str:
    """A line on the run that is followed if none was named: perhaps a sweep was meant that has
    begun no run yet.
    """
    state = "which goes on" if goes_on else "which is over"
    return f"run      {run}, the newest, {state}"


def cluster_lines(nodes: Sequence[str]) -> Iterator[str]:
    """Lines on the nodes of a cluster that a file describes."""
    for i, words in enumerate(nodes):
        yield f"{'' if i else 'cluster':8} {words}"


def replay_table(replayed: Sequence[tuple[str, "Replay"]], curves: int, truncated: int) -> Table:
    """The savings and the costs of each pruner."""
    left_out = ""
    if truncated:
        bias = "which favours similar pruners"
        left_out = f"; {truncated} that the run itself pruned are left out, {bias}"
    orders = counted(replayed[0][1].orders, "order")
    title = f"{counted(curves, 'full learning curve')} in {orders}{left_out}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("pruner", justify="left")
    for column in ("images saved", "best pruned", "a top-3 pruned", "mAP lost, mean", "worst"):
        table.add_column(column, justify="right")
    for name, replay in replayed:
        shares = (replay.saved, replay.best_pruned, replay.top3_pruned)
        cells = [f"{share:.1%}" for share in shares]
        cells += [f"{regret:.4f}" for regret in (replay.regret, replay.worst_regret)]
        table.add_row(name, *cells)
    return table


def idle_words(pruners: Sequence[str], rungs: int) -> str:
    """Says why these pruners save nothing."""
    verb = "is" if rungs == 1 else "are"
    reason = f"{counted(rungs, 'rung')} {verb} too few for their grace and patience"
    return f"These can prune no trial, because {reason}: {'; '.join(pruners)}."


def report_names(run: "Run") -> list[str]:
    """The names that the figures of a report show: of its classes and variants."""
    return [*run.about.get("classes", ()), *run.sweep.variants]


def _pruner(sweep: LoadedSweep) -> str:
    if len(sweep.goals) > 1:
        return "none, because there are several goals"
    pruning, first = sweep.pruning, sweep.first_pruned_rung
    if pruning.name == "none":
        return "none"
    if first is not None:
        return f"{pruning.name}, from rung {first} of {sweep.rungs}"
    waits = f"grace_rungs {pruning.grace_rungs}"
    if pruning.patience:
        waits += f" and patience {pruning.patience}"
    rungs = counted(sweep.rungs, "rung")
    return f"{pruning.name}, but it can prune no trial: {rungs} are too few for {waits}"


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
