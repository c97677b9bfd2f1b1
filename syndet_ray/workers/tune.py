"""Ray Tune: runs the trials of a search on this machine or a cluster.

Tune schedules, keeps checkpoints and restarts trials that lost their worker. It decides nothing
else: `Search` proposes trials and says which of them stop. Nothing is restored from Ray's own state
files (they are pickles, and a kill can leave them incomplete); a run is resumed from our ledger.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune

from syndet_ray.data.real import RealData
from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.progress import Note, Progress, quiet, silent
from syndet_ray.search.search import Search
from syndet_ray.search.task import RETRIES, Resources, RunSettings
from syndet_ray.workers.cluster import connection
from syndet_ray.workers.hooks import Decisions, Events, Proposals, number_of
from syndet_ray.workers.moves import Moves
from syndet_ray.workers.nodes.admission import require
from syndet_ray.workers.nodes.autoscaler import NO_GROWTH, Growth, growth_at
from syndet_ray.workers.nodes.capacity import (
    Capacity,
    has_spare_cores,
    resource_words,
    resources,
    with_room,
)
from syndet_ray.workers.nodes.census import Census
from syndet_ray.workers.nodes.check import NodeCheck, check_nodes, require_folder
from syndet_ray.workers.nodes.here import this_node
from syndet_ray.workers.nodes.needs import demands_of, machine_needs, needs_of, spread_out
from syndet_ray.workers.nodes.unfit import alive_nodes
from syndet_ray.workers.raylet import watched_raylet
from syndet_ray.workers.stop import Loss, deferral, interrupt_for
from syndet_ray.workers.tasks import run_tasks
from syndet_ray.workers.trainable import train_alone, train_together
from syndet_ray.workers.trial_scenes import TrialScenes

_TUNE_LOGGERS = ("ray.tune.execution.tune_controller", "ray.tune.tune")
# begins the lines on trials whose worker could not begin, see `Events`
_GIVEN_UP = ("Could not re-use actor for trial", "Trials did not complete")


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """Runs trials and tasks on a Ray cluster that this process is connected to.

    capacity  counts how many trials may run at once, as the cluster grows
    growth    the nodes that may join it
    note      shows a message to the user
    is_own    whether we have started it on this machine: no node joins it
    """

    use: Resources
    capacity: Capacity
    growth: Growth
    note: Note
    is_own: bool = False

    @property
    def projected_use(self) -> Resources:
        """The use with no more trials at once than fit on nodes that are up or may join."""
        return with_room(self.use, alive_nodes(), self.growth)

    def check(
        self,
        sweep: LoadedSweep,
        data: RealData,
        *,
        runs: Path,
        cache: Path,
        storage: str | None,
        progress: Progress = quiet,
    ) -> None:
        """Raises MachineError with all that trials would miss on a node; see `check_nodes`.

        Nodes that join later make the same check, see `admission`.
        """
        if self.is_own and not self.use.gpus:
            # This machine is the only node: its files were checked, and need not be hashed again.
            # On its CPU the detectors were built.
            return
        classes, demands = data.pools["train"].classes, demands_of(sweep, data, cache)
        if self.is_own:
            needs = machine_needs(classes, demands)
            check_nodes(needs, self.use, self.growth, self.note, progress)
            return
        needs = needs_of(sweep, classes, runs, storage)
        photos = spread_out(data.streamed_files)
        needs = replace(needs, photos=photos, node_copy=data.node_copy, demands=demands)
        if needs.node_copy is not None:
            self.note(
                f"each node copies the photos into {needs.node_copy.folder}, unless it has them"
            )
        check_nodes(needs, self.use, self.growth, self.note, progress)
        require(NodeCheck(needs=needs, use=self.use, driver=this_node()))

    def search(self, search: Search, run: RunSettings, data: RealData, home: str) -> None:
        """Runs all trials that a search proposes. home: where their checkpoints lie."""
        require_folder(home)
        node = this_node() if has_spare_cores(self.use, self.growth) else None
        train, val, others = data.pools["train"], data.pools["val"], data.others
        if self.use.processes == 1:
            trainable = tune.with_parameters(train_alone, train=train, val=val, others=others)
        else:
            # by reference: all processes of a trial read the copy of their node
            stored = ray.put((train, val, others))
            trainable = tune.with_parameters(train_together, pools=[stored])
        run_trials(
            trainable,
            search,
            run,
            home,
            self.use,
            node=node,
            capacity=self.capacity,
            has_spare_cores=partial(has_spare_cores, self.use, self.growth),
            note=self.note,
        )

    def tasks(
        self,
        function: Callable[..., Any],
        shared: Any,
        calls: Sequence[dict[str, Any]],
        progress: Progress = quiet,
    ) -> list[Any]:
        """Returns the results of a function, one for each of `calls`; see `Runner`."""
        return run_tasks(function, shared, calls, use=self.use, progress=progress, note=self.note)


@contextmanager
def on_ray(
    address: str | None,
    parallel: int | None,
    gpus_per_trial: float | None,
    note: Note = silent,
    on_loss: Loss | None = None,
) -> Iterator[OnRay]:
    """Yields a runner on the Ray cluster at `address`, or on a new one on this machine.

    on_loss  is called if that new one is gone; None shows a message and interrupts
    """
    with connection(address), watched_raylet(address, on_loss or interrupt_for(note)):
        growth = NO_GROWTH if address is None else growth_at(ray.get_runtime_context().gcs_address)
        use = resources(parallel, gpus_per_trial, growth, note)
        for message in resource_words(use, growth):
            note(message)
        yield OnRay(
            use=use,
            capacity=Capacity(use, growth, fixed=parallel is not None),
            growth=growth,
            note=note,
            is_own=address is None,
        )


def run_trials(
    trainable: Any,
    search: Search,
    run: RunSettings,
    home: str,
    use: Resources,
    *,
    node: str | None = None,
    capacity: Capacity | None = None,
    has_spare_cores: Callable[[], bool] = lambda: True,
    note: Note = silent,
) -> None:
    """Makes Tune run all trials that a search proposes.

    trainable  takes a Task from its config, and reports by `Reports`
    capacity   counts how many trials may run at once; None if that is always `use.parallel`
    node, has_spare_cores, note
               as for `TrialScenes`
    """
    capacity = capacity or Capacity(use, NO_GROWTH, fixed=True)
    census = Census(search, use, capacity)
    scenes = TrialScenes(search, run, node=node, has_spare_cores=has_spare_cores, note=note)
    with deferral() as check_signal:

        def check_interrupt() -> None:
            check_signal()
            search.check()

        proposals = Proposals(
            search,
            run,
            use,
            scenes=scenes,
            most_at_once=capacity.trials,
            check_interrupt=check_interrupt,
        )
        moves = Moves(use, note)
        events = Events(
            search,
            home,
            moves,
            check_interrupt=check_interrupt,
            on_step=census.update,
            take_back=proposals.take_back,
        )
        decisions = Decisions(search, moves, note)
        tuner = _tuner(
            trainable, home, use, proposals=proposals, decisions=decisions, events=events
        )
        _fit(tuner, events)


def _fit(tuner: tune.Tuner, events: Events) -> None:
    """Runs all trials. At an interrupt it stops their workers too."""
    try:
        with _without_lines_on_given_up_trials():
            tuner.fit()
    except KeyboardInterrupt:
        events.stop_workers()
        raise


@contextmanager
def _without_lines_on_given_up_trials() -> Iterator[None]:
    """Keeps what Tune logs of trials that it gave up from the terminal: they are started again."""

    def is_shown(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_GIVEN_UP)

    loggers = [logging.getLogger(name) for name in _TUNE_LOGGERS]
    for logger in loggers:
        logger.addFilter(is_shown)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_shown)


def _tuner(
    trainable: Any,
    home: str,
    use: Resources,
    *,
    proposals: Proposals,
    decisions: Decisions,
    events: Events,
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, _resources_of_trial(use)),
        tune_config=tune.TuneConfig(
            search_alg=proposals,
            scheduler=decisions,
            # no limit: the search ends itself, and may propose lost trials again
            num_samples=-1,
            max_concurrent_trials=use.parallel,
            # a process of several may not outlive its trial: it is connected to the others
            reuse_actors=use.processes == 1,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name="checkpoints",
            storage_path=home,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            callbacks=[events],
            verbose=0,
        ),
    )


def _resources_of_trial(use: Resources) -> Any:
    """Returns what a trial occupies: a bundle for each of its processes, all on one node."""
    if use.processes == 1:
        return {"cpu": use.cpus, "gpu": use.gpus}
    bundle = {"CPU": float(use.cpus), "GPU": float(use.gpus)}
    return tune.PlacementGroupFactory([bundle] * use.processes, strategy="STRICT_PACK")


def _trial_name(trial: Any) -> str:
    return f"trial-{number_of(trial):03d}"


def _trial_folder(trial: Any) -> str:
    """Returns a different name in each attempt.

    Tune numbers checkpoints from the start again, and would overwrite those from which the attempt
    continues.
    """
    return f"{_trial_name(trial)}-{trial.trial_id}"
