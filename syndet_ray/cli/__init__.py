"""The command line: a few verbs. The only place that prints, reads arguments or exits."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO, cast

import typer

from syndet_ray.cli import (
    attach,
    beginning,
    check,
    data,
    imports,
    models,
    runs,
    splits,
    stop,
    sweeps,
)
from syndet_ray.cli.ending import end
from syndet_ray.cli.error_line import error_line
from syndet_ray.cli.interruption import is_interruption, treat_as_ctrl_c
from syndet_ray.cli.options import FAILED
from syndet_ray.cli.stream import lasting
from syndet_ray.errors import DefinitionError

app = typer.Typer(
    help="Find the training recipe that makes an object detector work on real photographs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Fetch, split, convert and inspect datasets.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")

_NAMES = {"import_settings": "import"}  # functions cannot have the names of Python's own words
for verb in (
    *(beginning.init, sweeps.sweep, sweeps.resume, attach.attach, stop.stop, check.check),
    *(imports.import_settings, runs.replay, runs.report),
    *(models.evaluate, models.predict),
    *(runs.compare, data.render, runs.ui),
):  # in the order of the help
    app.command(_NAMES.get(verb.__name__))(verb)
for data_verb in (
    *(data.fetch, splits.split, data.convert),
    *(data.cutouts, data.backgrounds, data.label_style, data.inspect),
):
    data_app.command()(data_verb)


def main() -> NoReturn:
    """The entry point: calls `run` and ends this process. Printing never fails meanwhile."""
    treat_as_ctrl_c()
    # Pictures are rendered into files. Shells of notebooks name a backend that only they have.
    os.environ["MPLBACKEND"] = "agg"
    sys.stdout = cast(TextIO, lasting(sys.stdout))
    sys.stderr = cast(TextIO, lasting(sys.stderr))
    try:
        run()
        status = 0
    except SystemExit as system_exit:
        status = _status(system_exit.code)
    end(status)


def _check_encoding(texts: Sequence[str]) -> None:
    """Raises DefinitionError for a name that is no text in UTF-8, as files and stores need it."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            readable = text.encode("utf-8", "backslashreplace").decode()
            raise _encoding_error(readable, sys.getfilesystemencoding()) from None


def _encoding_error(readable: str, encoding: str) -> DefinitionError:
    if encoding == "utf-8":
        return DefinitionError(readable, "is not valid UTF-8", do="Rename the file or folder.")
    rule = f"has characters that this machine's encoding, {encoding}, lacks"
    do = "Set PYTHONUTF8=1, or rename the file or folder."
    return DefinitionError(readable, rule, do=do)


def _status(code: str | int | None) -> int:
    """The exit status of a SystemExit; prints its message, if it has one, as Python would."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return FAILED


def run() -> None:
    """Carries out the command line. An error becomes one clear message and exit status 1."""
    try:
        _check_encoding(sys.argv[1:])
        app()
    except SystemExit as system_exit:
        if is_interruption(system_exit):
            print("syndet_ray: interrupted", file=sys.stderr)
        raise
    except Exception as error:
        print(f"syndet_ray: {error_line(error)}", file=sys.stderr)
        raise SystemExit(FAILED) from None
