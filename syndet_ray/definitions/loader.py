"""Loader: how the file of a sweep is found and read."""

import runpy
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syndet_ray.definitions.parameter import Choice
from syndet_ray.definitions.recipe import definition_error, located
from syndet_ray.definitions.space import SearchSpace
from syndet_ray.definitions.sweep import Sweep
from syndet_ray.errors import DefinitionError, SyndetError, nearest


def load(name_or_path: str, root: Path | None = None) -> Sweep:
    """The sweep of a file, its search spaces looked up and merged.

    A path, or a name sought in the user's ./sweeps and then among the sweeps that come with the
    package. root is the folder that relative paths start from; None is the working folder. Raises
    DefinitionError with the file, the rule and, for a misspelt name, the nearest valid one.
    """
    root = root or Path.cwd()
    path = _find("sweeps", name_or_path, root)
    sweep = _value(path, "SWEEP", Sweep)
    spaces = {}
    for i, space in enumerate(sweep.space):
        if isinstance(space, SearchSpace):
            spaces[f"{path} space[{i}]"] = space
        else:
            spaces[space] = _load_space(space, path, root)
    try:
        space = SearchSpace.union(spaces)
        space.check(sweep.recipe)
        whole = sweep.model_copy(update={"space": (space,)})
        assert whole.proposals >= 0  # a grid of what has no finite number of values is found here
        whole.check_controls()
        whole.check_shares()
        whole.check_variants()
        whole.check_points()
        whole.check_points_act()
        return _located(whole, root)
    except SyndetError as error:
        raise DefinitionError(path, str(error).rstrip(".")) from None


def _located(sweep: Sweep, root: Path) -> Sweep:
    """The sweep with every file that it names as an absolute path: trials run elsewhere, and so may
    `resume`.
    """

    def here(changes: Mapping[str, Any]) -> dict[str, Any]:
        return {path: located(path, value, root) for path, value in changes.items()}

    space = {
        path: parameter.model_copy(
            update={"values": tuple(located(path, v, root) for v in parameter.values)}
        )
        if isinstance(parameter, Choice)
        else parameter
        for path, parameter in sweep.parameters.items()
    }
    recipe = sweep.recipe.replace(here(sweep.recipe.flat()))
    variants = {name: here(changes) for name, changes in sweep.variants.items()}
    points = tuple(here(changes) for changes in sweep.points)
    changed = {
        "recipe": recipe,
        "variants": variants,
        "points": points,
        "space": (SearchSpace(space),),
    }
    return sweep.model_copy(update=changed)


def available(kind: str = "sweeps") -> dict[str, Path]:
    """The files of ./sweeps (or ./search_spaces) and of the package, by name; the user's own win."""
    return _available(kind, Path.cwd())


def find(name_or_path: str) -> Path:
    """The file of a sweep. Raises DefinitionError where there is none."""
    return _find("sweeps", name_or_path, Path.cwd())


def _available(kind: str, root: Path) -> dict[str, Path]:
    folders = reversed(list(_folders(kind, root)))
    return {path.stem: path for folder in folders for path in sorted(folder.glob("[!_]*.py"))}


def _load_space(name: str, sweep_path: Path, root: Path) -> SearchSpace:
    try:
        path = _find("search_spaces", name, root)
    except DefinitionError as error:
        raise DefinitionError(
            f"{sweep_path}: space", "names no search space", got=name, do=error.do
        ) from None
    return _value(path, "SPACE", SearchSpace)


def _folders(kind: str, root: Path) -> Iterator[Path]:
    package = Path(__file__).parents[1]
    yield root / kind
    yield package.parent / kind  # a checkout
    yield package / "_definitions" / kind  # an installed wheel


def _find(kind: str, name: str, root: Path) -> Path:
    if name.endswith(".py") or "/" in name:
        if Path(name).is_file():
            return Path(name)
        raise DefinitionError(name, "is not a file")
    valid = _available(kind, root)
    if name not in valid:
        raise DefinitionError(f"{kind}/{name}.py", "does not exist", do=nearest(name, valid))
    return valid[name]


def _value(path: Path, name: str, kind: type[Any]) -> Any:
    """The value that a definition file binds to `name`.

    The file is Python and runs with the user's own rights.
    """
    shown = _relative(path)
    try:
        value = runpy.run_path(str(path)).get(name)
    except ValidationError as error:
        place = f"{shown}:{_line_in(path, error)}"
        if error.title != kind.__name__:
            place += f": {error.title}"
        raise definition_error(place, error) from None
    except SyndetError:
        raise
    except (Exception, SystemExit) as error:
        line = getattr(error, "lineno", None) or _line_in(path, error)
        if isinstance(error, TypeError) and "BaseModel.__init__" in str(error):
            rule = "a value is given without its name"
            raise DefinitionError(
                f"{shown}:{line}", rule, do="Write such as Float(low=1, high=4)."
            ) from None
        # The message of a SyntaxError names file and line too.
        reason = error.msg if isinstance(error, SyntaxError) else error
        rule = "is not valid Python" if isinstance(error, SyntaxError) else "cannot be read"
        raise DefinitionError(
            f"{shown}:{line}", f"{rule} ({type(error).__name__}: {reason})"
        ) from None
    if not isinstance(value, kind):
        raise DefinitionError(
            shown, f"must hold one value {name} = {kind.__name__}(...)", got=type(value).__name__
        )
    return value


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line_in(path: Path, error: BaseException) -> int:
    """The last line of `path` that the error passed through."""
    frames = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return frames[-1] if frames and frames[-1] else 1
