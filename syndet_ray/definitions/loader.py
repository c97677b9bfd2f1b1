"""Loader: finds the file of a sweep, and reads it."""

import runpy
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syndet_ray.definitions.loaded_sweep import LoadedSweep
from syndet_ray.definitions.located import located_changes, with_absolute_paths
from syndet_ray.definitions.parameter import Choice, Parameter
from syndet_ray.definitions.recipe import Recipe
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.space_check import check_space
from syndet_ray.definitions.sweep import Sweep
from syndet_ray.definitions.value import definition_error
from syndet_ray.errors import DefinitionError, SyndetError, nearest
from syndet_ray.files import reading


def load(name_or_path: str, root: Path | None = None) -> LoadedSweep:
    """The sweep of a file, with its search spaces looked up and merged.

    Raises DefinitionError with the file, the rule and, for a misspelt name, the nearest valid one.

    name_or_path  a path, or the name of a file in the user's ./sweeps, or among the sweeps that
                  come with the package
    root          the folder that relative paths start from; None is the working folder
    """
    root = root or Path.cwd()
    path = _find("sweeps", name_or_path, root)
    sweep = _value(path, "SWEEP", Sweep)
    spaces = _load_spaces(sweep, path, root)
    try:
        space = SearchSpace.union(spaces)
        check_space(space, sweep.recipe)
        loaded = _with_space(sweep, space)
        loaded.check()
        return _with_absolute_paths(loaded, root)
    except SyndetError as error:
        raise DefinitionError(path, str(error).rstrip(".")) from None


def _with_space(sweep: Sweep, space: SearchSpace) -> LoadedSweep:
    try:
        return LoadedSweep.model_validate(dict(sweep) | {"space": space})
    except ValidationError as error:
        raise definition_error("sweep", error) from None


def _with_absolute_paths(sweep: LoadedSweep, root: Path) -> LoadedSweep:
    """The sweep with every file that it names as an absolute path.

    Trials run in other folders, and `resume` may too.
    """
    variants = {name: located_changes(changes, root) for name, changes in sweep.variants.items()}
    space = {
        path: _located_parameter(path, parameter, root)
        for path, parameter in sweep.parameters.items()
    }
    changes = {
        "recipe": _located_recipe(sweep.recipe, root),
        "variants": variants,
        "points": tuple(located_changes(point, root) for point in sweep.points),
        "space": (SearchSpace(space),),
    }
    return sweep.model_copy(update=changes)


def _located_recipe(recipe: Recipe, root: Path) -> Recipe:
    """The recipe with absolute paths; other settings stay as they are, given or not."""
    settings = recipe.flat()
    located = located_changes(settings, root)
    return recipe.replace(
        {path: value for path, value in located.items() if value != settings[path]}
    )


def _located_parameter(path: str, parameter: Parameter, root: Path) -> Parameter:
    if not isinstance(parameter, Choice):
        return parameter
    values = tuple(with_absolute_paths(path, value, root) for value in parameter.values)
    return parameter.model_copy(update={"values": values})


def available(kind: str = "sweeps") -> dict[str, Path]:
    """The files of ./sweeps (or ./search_spaces) and of the package, by name.

    The user's files replace those of the package.
    """
    return _available(kind, Path.cwd())


def find(name_or_path: str) -> Path:
    """The file of a sweep. Raises DefinitionError if it does not exist."""
    return _find("sweeps", name_or_path, Path.cwd())


def _available(kind: str, root: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for folder in reversed(list(_folders(kind, root))):
        files |= {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}
    return files


def _load_spaces(sweep: Sweep, sweep_path: Path, root: Path) -> dict[str, SearchSpace]:
    """The search spaces of a sweep, by the name that an error shows."""
    spaces = {}
    for i, space in enumerate(sweep.space):
        if isinstance(space, SearchSpace):
            spaces[f"{sweep_path} space[{i}]"] = space
        else:
            spaces[space] = _load_space(space, sweep_path, root)
    return spaces


def _load_space(name: str, sweep_path: Path, root: Path) -> SearchSpace:
    try:
        path = _find("search_spaces", name, root)
    except DefinitionError as error:
        place, rule = f"{sweep_path}: space", "names no search space"
        raise DefinitionError(place, rule, got=name, do=error.do) from None
    return _value(path, "SPACE", SearchSpace)


def _folders(kind: str, root: Path) -> Iterator[Path]:
    package = Path(__file__).parents[1]
    yield root / kind
    yield package.parent / kind  # in a checkout
    yield package / "_definitions" / kind  # in an installed wheel


def _find(kind: str, name: str, root: Path) -> Path:
    """The file with this path, or with this name in the first folder that has it.

    Errors show it: a path is returned as it was given, and the file of a name relative to the
    working folder if it lies there.
    """
    if name.endswith(".py") or "/" in name:
        with reading(Path(name)):
            is_file = Path(name).is_file()
        if not is_file:
            there = Path(kind) / name
            do = f"Did you mean {there}?" if (root / there).is_file() else ""
            raise DefinitionError(name, "is not a file", do=do)
        return Path(name)
    valid = _available(kind, root)
    if name not in valid:
        raise DefinitionError(f"{kind}/{name}.py", "does not exist", do=nearest(name, valid))
    return _relative(valid[name])


def _value(path: Path, name: str, kind: type[Any]) -> Any:
    """The value that a definition file binds to `name`.

    The file is Python, and runs with the rights of the user.
    """
    try:
        value = runpy.run_path(str(path)).get(name)
    except ValidationError as error:
        place = f"{path}:{_line_in(path, error)}"
        if error.title != kind.__name__:
            place += f": {error.title}"
        raise definition_error(place, error) from None
    except SyndetError:
        raise
    except (Exception, SystemExit) as error:
        raise _unreadable(path, error) from None
    if value is None:
        raise DefinitionError(path, f"has no {name}", do=f"Write {name} = {kind.__name__}(...).")
    if not isinstance(value, kind):
        rule = f"must hold one value {name} = {kind.__name__}(...)"
        raise DefinitionError(path, rule, got=type(value).__name__)
    return value


def _unreadable(path: Path, error: BaseException) -> DefinitionError:
    """The error for a file that Python cannot run."""
    if isinstance(error, SyntaxError):
        # its message names file and line too
        line, rule, reason = error.lineno, "is not valid Python", error.msg
    else:
        line, rule, reason = None, "cannot be read", str(error)
    place = f"{path}:{line or _line_in(path, error)}"
    if isinstance(error, TypeError) and "BaseModel.__init__" in str(error):
        do = "Write such as Float(low=1, high=4)."
        return DefinitionError(place, "a value is given without its name", do=do)
    return DefinitionError(place, f"{rule} ({type(error).__name__}: {reason})")


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line_in(path: Path, error: BaseException) -> int:
    """The last line of `path` that the error passed through."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path) and frame.lineno:
            lines.append(frame.lineno)
    return lines[-1] if lines else 1
