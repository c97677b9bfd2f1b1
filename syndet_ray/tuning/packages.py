"""Packages: compares the packages of the machines that train with those of the driver."""

from syndet_ray.metrics import HOST, VERSIONS
from syndet_ray.progress import Note
from syndet_ray.runs import machine
from syndet_ray.runs.results import Trial
from syndet_ray.search.listener import Listener


class Packages(Listener):
    """Notes once for each host the packages that have another version there."""

    def __init__(self, note: Note) -> None:
        self._note, self._here = note, machine.versions()
        self._compared: set[tuple[str, str]] = set()  # hosts and their versions

    def update(self, trial: Trial) -> None:
        """Compares the packages of the host of a running trial.

        Trials that have ended are left out: an earlier attempt may have run them.
        """
        host, versions = trial.effective.get(HOST), trial.effective.get(VERSIONS)
        if host is None or versions is None or trial.state != "RUNNING":
            return
        if (host, versions) in self._compared:
            return
        self._compared.add((host, versions))
        differences = ", ".join(_differences(versions, self._here))
        if differences:
            self._note(f"{host} trains with other packages than this machine has: {differences}")


def _differences(versions: str, here: dict[str, str]) -> list[str]:
    """Returns the packages of machine.worker()["versions"] that have another version here.

    An item reads "torch 2.8.0 (2.9.0 here)".
    """
    there = machine.versions_of(versions)
    names = sorted({*there, *here})
    changed = [name for name in names if there.get(name) != here.get(name)]
    return [_difference(name, there.get(name), here.get(name)) for name in changed]


def _difference(name: str, there: str | None, here: str | None) -> str:
    if there is None:
        return f"{name} is missing ({here} here)"
    return f"{name} {there} ({here or 'none'} here)"
