"""Agreement: what commands of a file for `ray up` must have in common, and with this package."""

import difflib
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syndet_ray.clusters.commands import commands, packages, variables
from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.ray_commands import start_errors
from syndet_ray.clusters.spot_first import score
from syndet_ray.errors import DefinitionError

_PACKAGE = "syndet_ray"
_CLUSTERS = f"{_PACKAGE}.clusters."
_SCORER = f"{score.__module__}.{score.__name__}"
_SCORER_VARIABLE = "RAY_AUTOSCALER_UTILIZATION_SCORER"
_SIMILAR = 0.85  # of two names, 0 to 1, from which one is a misspelling of the other
# a package as its name, with a version or not: nothing of another kind is known by its words
_PLAIN = re.compile(
    r"(?!\S+\.(?:whl|zip|tar|tgz|gz|bz2|xz|txt|in|toml)$)"  # a file
    r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@].*)?"
)
# other ways than pip to install a package, or to have it
_OTHER_WAYS = re.compile(
    r"\b(?:uv (?:sync|run|add)|poetry|pdm|conda|mamba|pixi|setup\.py|PYTHONPATH|[\w-]+\.sh)\b"
)
_OF_RAY = {"boto3", "google_api_python_client"}  # packages that Ray installs on heads of clouds
_DO_INSTALL = "Add `-e ~/syndet_ray`, the checkout in file_mounts, to the packages."


def agreement_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """Errors for commands that contradict each other, or name what does not exist.

    prepared  as for `rules.safety_errors`
    """
    yield from start_errors(prepared, lines)
    yield from _scorer_errors(prepared, lines)


def _scorer_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """A score of this package, by which the autoscaler chooses nodes, that it would not find."""
    for _, command in commands(prepared):
        for name, value in variables(command):
            place = lines.place_of_text(command, name)
            if name == _SCORER_VARIABLE and _is_misspelt(value):
                do = f"Write {_SCORER}."
                yield DefinitionError(place, f"{name} must name a function", got=value, do=do)
            elif name == _SCORER_VARIABLE and value == _SCORER and lacks_package(prepared):
                rule = f"{name} names a function of {_PACKAGE}, which no command installs"
                yield DefinitionError(place, rule, do=_DO_INSTALL)
            elif value == _SCORER and name != _SCORER_VARIABLE and _is_like(name, _SCORER_VARIABLE):
                rule = "the commands set a variable that Ray does not read"
                yield DefinitionError(place, rule, got=name, do=f"Write {_SCORER_VARIABLE}.")


def _is_misspelt(scorer: str) -> bool:
    """True for a function of this package that it lacks, and for one that is meant to be ours."""
    if not scorer.startswith(f"{_PACKAGE}."):
        return _is_like(scorer, _SCORER)
    module, _, function = scorer.rpartition(".")
    if not _has_module(module):
        return True
    # no others are imported: to import syndet_ray.__main__ is to run it
    is_imported = module.startswith(_CLUSTERS)
    return is_imported and not hasattr(importlib.import_module(module), function)


def _has_module(name: str) -> bool:
    """True for a module of this package, by its file."""
    words = name.split(".")
    path = Path(__file__).parents[len(__name__.split(".")) - 1].joinpath(*words)
    is_file = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return is_file and all(map(str.isidentifier, words))


def _is_like(name: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, name, other).ratio() >= _SIMILAR


def lacks_package(prepared: Mapping[str, Any], *others: str) -> bool:
    """True if the commands install Ray, but name neither this package nor any of `others`.

    It is False also where something else may bring it.
    """
    names = _package_names(prepared)
    return names is not None and "ray" in names and names.isdisjoint({_PACKAGE, *others})


def installs_nothing(prepared: Mapping[str, Any]) -> bool:
    """True if no command installs a package, besides those that Ray adds for heads."""
    names = _package_names(prepared)
    return names is not None and names <= _OF_RAY


def _package_names(prepared: Mapping[str, Any]) -> set[str] | None:
    """The names of the packages that the commands install; None where others may be there too.

    An image of containers, or a way of installing that is none of pip's, may bring everything.
    """
    texts = [command for _, command in commands(prepared)]
    is_in_image = any((prepared.get("docker") or {}).values())
    if is_in_image or any(map(_OTHER_WAYS.search, texts)):
        return None
    names = set[str]()
    for text in texts:
        for package in packages(text):
            match = _PLAIN.fullmatch(package)
            if match is None:  # a file, a folder or an address, which may be this package
                return None
            names.add(match[1].lower().replace("-", "_"))
    return names
