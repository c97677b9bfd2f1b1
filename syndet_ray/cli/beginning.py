"""The verb that writes a sweep for the user's photos and objects: init."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syndet_ray.cli.options import (
    Assets,
    Classes,
    Format,
    HoldOut,
    ProjectRuns,
    ProjectSkipBad,
    label_options,
    local_photos,
    runs_folder,
    with_flags,
)  # fmt: skip
from syndet_ray.cli.project import FILE, Project, project_text, read_project
from syndet_ray.cli.screen import open_display
from syndet_ray.cli.sweep_options import SweepOptions
from syndet_ray.errors import DefinitionError

if TYPE_CHECKING:
    from syndet_ray.tuning.first_sweep import FirstSweep

_ASSETS = "scene.assets"


def init(
    real: Annotated[
        str | None,
        typer.Option(
            metavar="<place>",
            help="Real, labelled photos: a folder or an address. Default: syndet.toml's.",
        ),
    ] = None,
    assets: Assets = None,
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Sweep to write: a name, or a path.")
    ] = "first",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    format: Format = None,
    skip_bad: ProjectSkipBad = None,
    classes: Classes = None,
    hold_out: HoldOut = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a sweep that is there already.")
    ] = False,
    runs: ProjectRuns = None,
) -> None:
    """Write a sweep for your photos and objects, and syndet.toml. Measures scenes on photos."""
    from syndet_ray.cli import terminal

    console = terminal.console()
    given = SweepOptions(
        runs=runs,
        real=real,
        format=format,
        skip_bad=skip_bad,
        classes=classes,
        hold_out=hold_out,
        assets=assets,
    )
    options = given.with_project(read_project(Path.cwd()))
    if options.real is None:
        do = f'Write such as --real photos/, or real = "photos" into {FILE}.'
        raise DefinitionError("`real`", "must name photos to measure", do=do)
    words = _project_words(options)
    terminal.print_lines(console, [f"project  {words}"] if words else [])
    with open_display(console) as display:
        with display.step("loading"):
            from syndet_ray.tuning.first_sweep import write_first_sweep
        first = write_first_sweep(
            local_photos(options.real, runs_folder(options.runs), display),
            options.assets or _project_assets(options),
            out,
            labels=label_options(options.format, bool(options.skip_bad), options.classes),
            seed=seed,
            progress=display.progress,
            hold_out=options.hold_out,
            force=force,
        )
    project = _write_project(first, options)
    for line in [*_lines(first, options.real), project, *_next_lines(first, options)]:
        console.print(with_flags(line), soft_wrap=True)


def _project_assets(options: SweepOptions) -> Path | None:
    """The folder of objects that the project has; None if it has none, or one was given."""
    if options.assets is not None or options.project is None:
        return None
    folder = options.project.settings.get(_ASSETS)
    return None if folder is None else Path(folder)


def _project_words(options: SweepOptions) -> str:
    """The part of the project that is taken, as `Project.words` has it; "" without one."""
    if options.project is None:
        return ""
    taken = [] if _project_assets(options) is None else [_ASSETS]
    return options.project.words(options.taken, taken)


def _write_project(first: "FirstSweep", options: SweepOptions) -> str:
    """Writes syndet.toml, unless there is one. Returns a line that says so."""
    if options.project is not None:
        return f"project  {FILE} stays as it is"
    from syndet_ray.files import write_whole

    folders = {"assets": first.assets}
    if first.backgrounds is not None:
        folders["backgrounds"] = first.backgrounds
    content = project_text(str(options.real), _keys(options), folders, Path.cwd())
    write_whole(Path(FILE), content.encode())
    return f"project  {FILE}, with the options that all commands in this folder then have"


def _keys(options: SweepOptions) -> dict[str, Any]:
    """The keys of a syndet.toml for the photos of a first sweep, but for `real`."""
    keys: dict[str, Any] = {}
    if options.format is not None:
        keys["format"] = options.format
    if options.skip_bad is not None:
        keys["skip-bad"] = options.skip_bad
    if options.classes is not None:
        keys["classes"] = str(options.classes)
    if options.hold_out is not None:
        keys["hold-out"] = options.hold_out
    if options.runs is not None:
        keys["runs"] = str(options.runs)
    return keys


def _next_lines(first: "FirstSweep", options: SweepOptions) -> list[str]:
    """Lines on how to go on: options that syndet.toml has need not be typed."""
    from syndet_ray.wording import command_line

    name = first.path.stem if first.path.parent == Path("sweeps") else str(first.path)
    arguments = [name]
    if options.project is not None:
        keys = {"real": options.real, **_keys(options)}
        for key, value in keys.items():
            if key.replace("-", "_") not in options.taken:
                arguments += _words(key, value)
        arguments += _folder_words(first, options.project)
    check = command_line("check", *arguments)
    return [f"next     {check}", f"         {command_line('sweep', *arguments)}"]


def _folder_words(first: "FirstSweep", project: Project) -> list[str]:
    """The folders of a first sweep as options, where the project would replace them."""
    words = []
    for key in ("assets", "backgrounds"):
        folder, others = getattr(first, key), project.settings.get(f"scene.{key}")
        if folder is None or others is None:
            continue
        if Path(folder).absolute() != Path(others):
            words += [f"--{key}", str(_near(Path(folder)))]
    return words


def _near(folder: Path) -> Path:
    """A folder as it is typed here."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _words(key: str, value: object) -> list[str]:
    """An option as it is typed."""
    if isinstance(value, bool):
        return [f"--{key}"] if value else [f"--no-{key}"]
    return [f"--{key}", str(value)]


def _lines(first: "FirstSweep", real: str) -> list[str]:
    """Lines on what was measured and written."""
    from syndet_ray.wording import counted

    counts = [f"{len(source)} {split}" for split, source in first.dataset.splits.items()]
    lines = [f"photos   {real}: {', '.join(counts)}; {first.scale.words}"]
    lines += [f"note     {note}" for note in first.notes]
    lines.append(f"assets   {first.assets}")
    lines += [item.line for item in first.measured]
    lines.append(f"sweep    {first.path}, {counted(len(first.measured), 'setting')} measured")
    return lines
