"""Packages: whether the machines that train have the packages of the one that carries the run out."""

from syndet_ray.progress import Note
from syndet_ray.runs import machine
from syndet_ray.runs.metrics import HOST, VERSIONS
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener


class Packages(Listener):
    """Follows a search, and notes of each host, once, which packages are others there."""

    def __init__(self, note: Note) -> None:
        self._note, self._own = note, machine.versions()
        self._seen: set[tuple[str, str]] = set()

    def update(self, trial: Trial) -> None:
        """Takes a trial as the ledger has it. Those that ended are left out: an earlier attempt may
        have run them.
        """
        host, versions = (
            trial.effective.get(HOST),
            trial.effective.get(VERSIONS),
        )
        if (
            host is None
            or versions is None
            or trial.state != "RUNNING"
            or (host, versions) in self._seen
        ):
            return
        self._seen.add((host, versions))
        differences = _differences(versions, self._own)
        if differences:
            self._note(
                f"{host} trains with other packages than this machine has: {', '.join(differences)}"
            )


def _differences(versions: str, own: dict[str, str]) -> list[str]:
    """Packages of machine.worker()["versions"] that are others here, as in "torch 2.8.0 (2.9.0
    here)".
    """
    there = machine.versions_of(versions)
    names = sorted({*there, *own})
    changed = [name for name in names if there.get(name) != own.get(name)]
    return [_difference(name, there.get(name), own.get(name)) for name in changed]


def _difference(name: str, there: str | None, own: str | None) -> str:
    if there is None:
        return f"{name} is missing ({own} here)"
    return f"{name} {there} ({own} here)" if own else f"{name} {there} (none here)"
