"""Resume: continues a run from its ledger."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.runs.folder import RunFolder
from syndet_ray.search.search import Display
from syndet_ray.search.task import retry
from syndet_ray.tracking.backup import (
    backup_address,
    check_models,
    exclusive_lease,
    forget_lost_checkpoints,
)
from syndet_ray.tuning import changes, scoring
from syndet_ray.tuning.attempt import carry_out
from syndet_ray.tuning.failure import note_run
from syndet_ray.tuning.options import Outcome
from syndet_ray.tuning.pasting import restore_photos
from syndet_ray.tuning.record import plain_options, record_environment, saved_options
from syndet_ray.tuning.run import check, check_nodes, runner_of
from syndet_ray.tuning.shown import Recorder
from syndet_ray.workers.stop import Leave, Stop, interrupt_again


def resume(
    folder: RunFolder,
    given: Mapping[str, Any],
    display: Display,
    *,
    force: bool = False,
    leave: Leave = interrupt_again,
) -> Outcome:
    """Continues a run from its ledger.

    given  options, or "trials", that replace those of the run

    Raises DefinitionError, with all differences, if the sweep's file, the data or a package has
    changed since the run began, unless `force`.
    """
    recorder = Recorder(display)
    with Stop(recorder.note, leave) as stop:
        stop.folder = folder
        try:
            outcome = _resume(folder, given, recorder, stop, force=force)
        except KeyboardInterrupt:
            outcome = stop.outcome or Outcome(folder=folder, status="interrupted")
        except SyndetError as error:
            # a refusal, whose advice is to change something before `resume`
            recorder.error(error)
            raise
        except Exception as error:
            note_run(error, folder)
            recorder.error(error)
            raise
        recorder.outcome(outcome)
        return outcome


def _resume(
    folder: RunFolder, given: Mapping[str, Any], display: Recorder, stop: Stop, *, force: bool
) -> Outcome:
    operational = {key: value for key, value in given.items() if key != "trials"}
    # The folder may have been moved, or copied to another machine: the run continues with what lies
    # next to it there.
    moved = {"runs": folder.path.parent}
    options = saved_options(folder.about["options"] | moved | operational)
    stop.address = backup_address(folder, options.storage)
    with folder.lock(), exclusive_lease(folder, options.storage, stop.ask) as lease:
        display.keep_in(folder)
        _check_given(folder, given)
        _check_models(folder, given)
        data = check(folder.sweep, options, display, is_resumed=True)
        restore_photos(folder.sweep, data, options.cache, display.progress)
        if not force:
            changes.refuse(folder, data)
        forced = changes.forced_notes(folder, data) if force else []
        for sentence in [*forced, *data.streaming, *changes.code_notes(folder)]:
            display.note(sentence)
        record_environment(folder)
        if "trials" in given:
            _extend(folder, given["trials"])
        _restart_trials(folder, display)
        if is_finished(folder):
            extend = "; `trials` N extends it" if folder.sweep.trials else ""
            display.note(f"{folder.path} is finished, and there is nothing to train{extend}")
        # Near copies may be allowed from now on. A reader of the scores must know of them.
        real = (folder.about.get("real") or {}) | {"near_copies": dict(data.near_copies)}
        real["notes"] = list(dict.fromkeys([*real.get("notes", ()), *forced]))
        folder.describe(folder.about | {"options": plain_options(options), "real": real})
        with runner_of(options, display, stop.lose) as runner:
            check_nodes(folder.sweep, options, data, runner, display)
            _forget_cluster(folder)
            return carry_out(
                folder, options, data, runner=runner, display=display, lease=lease, stop=stop
            )


def _check_given(folder: RunFolder, given: Mapping[str, Any]) -> None:
    """Raises DefinitionError for fewer trials than the run has, or a budget that is already
    spent.
    """
    trials, images, hours = (given.get(name) for name in ("trials", "images", "hours"))
    present = folder.sweep.trials
    if trials is not None and trials < present:
        rule = f"must be at least the number of the run, {present}"
        raise DefinitionError("`trials`", rule, got=trials)
    images_seen = sum(trial.images for trial in folder.trials())
    if images is not None and images < images_seen:
        rule = f"must be at least the {images_seen:,} that its trials have seen"
        raise DefinitionError("`images`", rule, got=images)
    elapsed = folder.ledger.elapsed_s() / 3600
    if hours is not None and hours <= elapsed:
        rule = f"must be more than the {elapsed:.3g} hours that the run has taken"
        raise DefinitionError("`hours`", rule, got=hours)


def _check_models(folder: RunFolder, given: Mapping[str, Any]) -> None:
    """Raises DataError if models are gone that are still to be scored on the test set."""
    sweep = folder.sweep
    if "trials" in given:
        sweep = sweep.replace({"trials": given["trials"]})
    trials = scoring.to_be_scored(folder.trials(), sweep, folder.test())
    retry(partial(check_models, folder, trials))


def is_finished(folder: RunFolder) -> bool:
    """True if a run was finished and nothing is to be trained or scored any more.

    Its report or MLflow's copy may still lack something.
    """
    if folder.about.get("status") != "finished":
        return False
    return not scoring.to_be_scored(folder.trials(), folder.sweep, folder.test())


def _extend(folder: RunFolder, trials: int) -> None:
    sweep, about = folder.sweep, folder.about
    folder.describe(about | {"given": about["given"] | {"trials": trials}})
    folder.define(sweep.replace({"trials": trials}))


def _forget_cluster(folder: RunFolder) -> None:
    """Makes a run that was brought here from a cluster one of this machine.

    What is there of it on the cluster is another run from now on.
    """
    if folder.about.get("cluster") is not None:
        folder.describe(folder.about | {"cluster": None})


def _restart_trials(folder: RunFolder, display: Display) -> None:
    """Restarts trials whose checkpoints are gone, with a note."""
    lost = forget_lost_checkpoints(folder)
    if lost:
        numbers = ", ".join(map(str, lost))
        display.note(
            f"the last checkpoints of these trials are gone, so they start again: {numbers}"
        )
