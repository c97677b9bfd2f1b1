"""Sweep file: writes imported experiments as a sweep, with where each value comes from."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syndet_ray.definitions.loader import load
from syndet_ray.definitions.new_sweep import check_free, new_path
from syndet_ray.definitions.recipe import Recipe, field_paths
from syndet_ray.errors import DefinitionError, SyndetError
from syndet_ray.files import make_folder, temporary_folder, write_whole
from syndet_ray.importing.experiment import ASSUMED, MOST_SEED, NOT_KNOWN, Experiment, Note
from syndet_ray.importing.literals import entry, literal
from syndet_ray.importing.recognize import Import
from syndet_ray.importing.settings import ForeignSetting, short_value, whole
from syndet_ray.wording import command_line, printable

IGNORED = "Ignored, since it does not matter here"
MISSING = "Has no counterpart here"
_PARTS = {"mix": "Mix", "detector": "Detector", "training": "Training"}
_REPEATS = 3  # seeds of each variant: fewer give no interval
_MOST_NAME = 60  # characters of a variant's name, which tables show
# Names that a variant cannot have, and endings that its repeats get.
_TAKEN = {"search", "confirm", "best", "real_only", "synthetic_only"}
_ENDING = re.compile(r" \(\d+\)$")


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files that were written; classes is None where none are mapped."""

    sweep: Path
    classes: Path | None


@dataclass(frozen=True, kw_only=True)
class _Variant:
    name: str
    changes: Mapping[str, Any]
    origins: Mapping[str, Sequence[str]]


def write(
    imported: Import, out: str | None, wording: Callable[[str], str], *, force: bool
) -> Written:
    """Writes the sweep file, and the map of its classes beside it.

    Raises DefinitionError if a file is there already, unless `force`, and for a path that no sweep
    may have; before anything is written, the sweep is loaded as a run would.

    out      path of the file, or the name of a sweep in ./sweeps; None takes the name of the import
    wording  names the options in a comment, which are in backquotes, as its reader calls them
    """
    path = new_path(imported.name if out is None else out, force=force)
    classes = path.with_name(f"{path.stem}_classes.yaml") if _classes(imported) else None
    for file in (path, classes):
        if file is not None:
            check_free(file, force=force)
    content = _with_wording(text(imported, path, classes), wording)
    _check_loads(content, imported)
    make_folder(path.parent)
    if classes is not None:
        write_whole(classes, _classes_text(imported).encode())
    write_whole(path, content.encode())
    return Written(sweep=path, classes=classes)


def _check_loads(content: str, imported: Import) -> None:
    """Raises DefinitionError, with the files that were read, for a sweep that cannot be loaded."""
    with temporary_folder() as folder:
        path = write_whole(folder / "imported.py", content.encode())
        try:
            load(str(path))
        except SyndetError as error:
            files = ", ".join(printable(str(file)) for file in imported.files)
            reason = str(error).removeprefix(f"{path}: ").rstrip(".")
            raise DefinitionError(files, f"gives no valid sweep: {reason}") from None


def text(imported: Import, path: Path, classes: Path | None) -> str:
    """The sweep file: Python as `ruff format` writes it."""
    first = imported.experiments[0]
    variants, same = _variants(imported.experiments)
    parts = {part: _part_lines(first, part) for part in _PARTS}
    parts = {part: lines for part, lines in parts.items() if lines}
    names = sorted([*(_PARTS[part] for part in parts), "Recipe", "Sweep"])
    lines = [
        f'"""Settings of {imported.tool}, imported."""',
        "",
        *_heading(imported, path, classes),
        f"from syndet_ray import {', '.join(names)}",
        "",
        "SWEEP = Sweep(",
        f"    question={literal(_question(imported))},",
        "    recipe=Recipe(",
    ]
    for part, part_lines in parts.items():
        lines += [f"        {part}={_PARTS[part]}(", *part_lines, "        ),"]
    lines += ["    ),", "    # recipes to compare, each given by its changes of the one above"]
    lines += ["    variants={", *_variant_lines(variants), "    },"]
    lines += ["    # trainings of each, with different seeds", f"    repeats={_REPEATS},"]
    lines += ["    controls=(),", "    trials=0,", *_seed_lines(imported.experiments), ")"]
    notes = [*same, *_comments(note_lines(imported))]
    return "\n".join([*lines, *(["", *notes] if notes else []), ""])


def _with_wording(content: str, wording: Callable[[str], str]) -> str:
    lines = content.split("\n")
    return "\n".join(wording(line) if line.lstrip().startswith("#") else line for line in lines)


def _heading(imported: Import, path: Path, classes: Path | None) -> Iterator[str]:
    for file in imported.files:
        yield f"# from {printable(str(file))}"
    yield "# A comment before a value says where it comes from: file, line and key."
    yield "# What was not taken stands at the end."
    for location in data(imported):
        yield f"# trained on {location}"
    yield "# The images are those of the command line:"
    command_words = ["--real", real_folder(imported)]
    command_words += [] if classes is None else ["--classes", str(classes)]
    yield f"#   {printable(command_line('sweep', sweep_name(path), *command_words))}"
    if classes is not None:
        yield f"# {printable(classes.name)} has the new names of its classes, by the old ones."
    yield ""


def sweep_name(path: Path) -> str:
    """The word for a sweep on a command line: its name, or its path outside ./sweeps."""
    return path.stem if path.parent == Path("sweeps") else str(path)


def _question(imported: Import) -> str:
    if len(imported.experiments) == 1:
        return f"How accurate is the training of {imported.tool} on real photos?"
    return f"Which of these trainings of {imported.tool} is the most accurate on real photos?"


def _part_lines(experiment: Experiment, part: str) -> list[str]:
    lines = []
    for path in field_paths():
        if path.startswith(f"{part}.") and path in experiment.settings:
            lines += [f"            # {line}" for line in experiment.origins[path]]
            field = path.removeprefix(f"{part}.")
            lines += entry(f"{field}=", experiment.settings[path], indent=12)
    return lines


def _seed_lines(experiments: Sequence[Experiment]) -> list[str]:
    seeds = _seeds(experiments)
    if not seeds:
        return []
    origin = f"{seeds[0].where} {seeds[0].words}"
    return [f"    # {printable(origin)}", f"    seed={whole(seeds[0], least=0, most=MOST_SEED)},"]


def _seeds(experiments: Sequence[Experiment]) -> list[ForeignSetting]:
    """The seeds of the experiments that have one; the sweep takes the first."""
    return [experiment.seed for experiment in experiments if experiment.seed is not None]


def _variants(experiments: Sequence[Experiment]) -> tuple[list[_Variant], list[str]]:
    """The experiments as changes of the first one; and comments on those that change nothing."""
    base = experiments[0].recipe(Recipe())
    base_settings = base.flat()
    variants: list[_Variant] = []
    comments = []
    for experiment in experiments:
        changes = {}
        for path, value in experiment.recipe(base).flat().items():
            if value != base_settings[path]:
                changes[path] = value
        twins = [variant for variant in variants if variant.changes == changes]
        if twins:
            name, twin = short_value(experiment.name), short_value(twins[0].name)
            comments.append(f"# {name} has the same settings here as {twin}")
            continue
        name = _free_name(experiment.name, [variant.name for variant in variants])
        origins = {path: experiment.origins.get(path, ["the default here"]) for path in changes}
        variants.append(_Variant(name=name, changes=changes, origins=origins))
    return variants, comments


def _free_name(name: str, names: Sequence[str]) -> str:
    """A name for a variant: in one line, not too long, and not given yet."""
    name = _ENDING.sub("", printable(name).strip())[:_MOST_NAME] or "imported"
    if name in _TAKEN:
        name = f"{name} of the other tool"
    candidate, number = name, 2
    while candidate in names:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def _variant_lines(variants: Sequence[_Variant]) -> Iterator[str]:
    for variant in variants:
        name = literal(variant.name)
        if not variant.changes:
            yield f"        {name}: {{}},"
            continue
        yield f"        {name}: {{"
        for path, value in variant.changes.items():
            yield from (f"            # {line}" for line in variant.origins[path])
            yield from entry(f"{literal(path)}: ", value, indent=12)
        yield "        },"


def note_lines(imported: Import) -> list[str]:
    """Lines on all that was not taken, by the reason, the more important first; for a person."""
    lines: list[str] = []
    for title, notes in ((MISSING, missing_notes(imported)), (IGNORED, ignored_notes(imported))):
        if notes:
            lines += [f"{title}:", *reason_lines(notes)]
    return [*lines, *remarks(imported)]


def missing_notes(imported: Import) -> list[Note]:
    """The settings that have no counterpart; those that are not even known are the first."""
    notes: list[Note] = []
    for experiment in imported.experiments:
        notes += experiment.missing
    return sorted(notes, key=lambda note: note.why != NOT_KNOWN)


def ignored_notes(imported: Import) -> list[Note]:
    """The settings that do not matter here."""
    notes: list[Note] = []
    for experiment in imported.experiments:
        notes += experiment.ignored
    why = "a sweep has one seed: that of the first experiment"
    return notes + [Note(seed, why) for seed in _seeds(imported.experiments)[1:]]


def remarks(imported: Import) -> list[str]:
    """Lines on files that were not read."""
    lines: list[str] = []
    for experiment in imported.experiments:
        lines += experiment.remarks
    return [*lines, *imported.other_files]


def recipe_settings(imported: Import) -> set[str]:
    """The settings of a recipe that at least one experiment sets, as dotted paths."""
    return {path for experiment in imported.experiments for path in experiment.settings}


def assumptions(imported: Import) -> list[str]:
    """Lines on what was assumed because the files do not say it, each once."""
    lines = []
    for experiment in imported.experiments:
        for path, origin_lines in experiment.origins.items():
            words = ": ".join(origin_lines)
            if ASSUMED in words:
                lines.append(f"{path} = {experiment.settings[path]}: {words}")
    return list(dict.fromkeys(lines))


def reason_lines(notes: Sequence[Note], most: int | None = None) -> Iterator[str]:
    """Lines on settings below the reason that they share; of each reason at most `most`."""
    by_reason: dict[str, list[str]] = {}
    for note in notes:
        words = f"{note.setting.where} {note.setting.words}"
        by_reason.setdefault(note.why, []).append(printable(words))
    for why, words_of_reason in by_reason.items():
        lines = list(dict.fromkeys(words_of_reason))
        yield f"  {printable(why)}"
        yield from (f"    {line}" for line in lines[:most])
        if most is not None and len(lines) > most:
            yield f"    and {len(lines) - most} more"


def data(imported: Import) -> list[str]:
    """The datasets that the files name, each once, in one line."""
    locations = []
    for experiment in imported.experiments:
        locations += [printable(location).rstrip("/") or "/" for location in experiment.data]
    return list(dict.fromkeys(locations))


def real_folder(imported: Import) -> str:
    """The folder to give as `real`: the only dataset of the files, if this machine has it."""
    locations = data(imported)
    try:
        is_here = len(locations) == 1 and Path(locations[0]).is_dir()
    except (OSError, ValueError):  # a text that can be no path
        is_here = False
    return locations[0] if is_here else "FOLDER"


def _comments(lines: Sequence[str]) -> list[str]:
    return [f"# {line}" for line in lines]


def _classes(imported: Import) -> dict[str, str | None]:
    """The classes of all experiments. Raises DefinitionError where they do not agree."""
    classes: dict[str, str | None] = {}
    for experiment in imported.experiments:
        for name, new_name in experiment.classes.items():
            if classes.setdefault(name, new_name) != new_name:
                place = printable(str(experiment.file))
                rule = f"class {short_value(name)} must have one name in all experiments"
                raise DefinitionError(place, rule, got=new_name, do="Import the files one by one.")
    return classes


def _classes_text(imported: Import) -> str:
    import yaml

    header = (
        "# New class names by old ones; null leaves the objects of a class out.\n"
        "# Other classes stay here: TAO leaves out classes that its spec does not name.\n"
    )
    return header + yaml.safe_dump(_classes(imported), allow_unicode=True, sort_keys=False)
