"""Requirements: packages with the versions that pip may choose of them."""

from collections.abc import Iterable, Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

_EXACT = ("==", "===")


def requirements(texts: Iterable[str]) -> Iterator[Requirement]:
    """The packages among texts, such as "ray[default]>=2.9": no files, options or comments.

    Packages with a marker, which are for some machines only, are left out.
    """
    for text in texts:
        try:
            requirement = Requirement(text.partition(" #")[0])
        except InvalidRequirement:
            continue
        if requirement.marker is None:
            yield requirement


def pins(specifiers: SpecifierSet) -> list[str]:
    """The versions that specifiers name exactly, such as "2.40.0" or "2.40.*"."""
    return [specifier.version for specifier in specifiers if specifier.operator in _EXACT]


def may_agree(first: SpecifierSet, second: SpecifierSet) -> bool:
    """True unless an exact version of one of them is none that the other allows.

    A version with a local part, such as 2.0.0+cpu, is one of those that 2.0.0 names.
    """
    exact = [version for version in (*pins(first), *pins(second)) if not version.endswith("*")]
    both = first & second
    return not exact or any(both.contains(version, prereleases=True) for version in exact)
