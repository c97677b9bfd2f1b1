"""Rules: what must hold for a description of a cluster, by Ray's schema and by ours.

Each function returns an error for each mistake, so that a person sees all of them at once.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from syndet_ray.clusters.commands import commands, option_values, simple_commands
from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.secrets import secret_errors
from syndet_ray.errors import DefinitionError, SyndetError, nearest

Error = TypeVar("Error", bound=SyndetError)

NODE_TYPES = "available_node_types"  # key of the types of nodes in a file
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MLFLOW = re.compile(r"\bmlflow\s+(?:server|ui)\b")
_WITH_LOGIN = "--app-name"  # an MLflow that asks for passwords, or has an app of its own
TOKEN_FILE = ".ray/auth_token"
_DO_WHOLE = "Write a whole number; trials share a GPU with `gpus_per_trial`."
_DO_DASHBOARD = "Write --dashboard-host=127.0.0.1, and reach it through `ray attach`."
_DO_START = "Write it with --dashboard-host=127.0.0.1, as in the cluster.yaml of this project."
_DO_MLFLOW = "Write --host 127.0.0.1, and reach it through `ray attach`."
_DO_TOKEN = 'Add "~/.ray/auth_token": "~/.ray/auth_token" to file_mounts.'


def schema_errors(content: Mapping[str, Any], lines: Lines) -> list[DefinitionError]:
    """Mistakes by the schema of Ray's own cluster files."""
    nameless = _key_errors(content, (), lines)
    mistakes = sorted(_mistakes(content), key=lambda error: list(map(str, error.path)))
    return [*nameless, *chain.from_iterable(_schema_errors(error, lines) for error in mistakes)]


def without_wrong_types(content: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with None for values of a type that the schema refuses, and without keys that are no
    strings: the other rules can then be applied to it.
    """
    copy: dict[str, Any] = _without_other_keys(content)
    for error in list(_mistakes(copy)):
        if error.validator == "type":
            *keys, last = error.absolute_path
            holder: Any = copy
            for key in keys:
                holder = holder[key]
            holder[last] = None
    return copy


def _mistakes(content: Mapping[str, Any]) -> Iterator[Any]:
    """The mistakes that jsonschema finds. It takes all keys for strings."""
    import jsonschema
    import ray.autoscaler

    schema_file = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
    schema = json.loads(schema_file.read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    yield from validator.iter_errors(_without_other_keys(content))


def _without_other_keys(value: Any) -> Any:
    """A copy of a value without keys that are no strings."""
    if isinstance(value, list):
        return [_without_other_keys(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_other_keys(inner) for key, inner in value.items() if isinstance(key, str)}


def _key_errors(value: Any, keys: tuple[Any, ...], lines: Lines) -> Iterator[DefinitionError]:
    """Keys that are no strings, such as numbers."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    elif isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                rule = f"{_words(keys)}must have text as keys"
                yield DefinitionError(lines.place(keys, str(key)), rule, got=key)
    else:
        return
    for key, inner in value.items():
        yield from _key_errors(inner, (*keys, key), lines)


def _schema_errors(error: Any, lines: Lines) -> Iterator[DefinitionError]:
    """One mistake of jsonschema as errors: it counts all unknown keys of a mapping as one."""
    keys = list(error.absolute_path)
    where = _words(keys)
    if error.validator == "additionalProperties":
        valid = error.schema.get("properties", {})
        for name in sorted(set(map(str, error.instance)) - set(valid)):
            rule = f"{where}has an unknown key"
            yield DefinitionError(lines.place(keys, name), rule, got=name, do=nearest(name, valid))
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        for name in missing:
            yield DefinitionError(lines.place(keys), f"{where}lacks {name}", do="Add it.")
    elif error.validator == "type" and "resources" in keys[:-1]:
        rule = f"{where}must be a whole number, because Ray starts whole nodes"
        yield DefinitionError(lines.place(keys), rule, got=error.instance, do=_DO_WHOLE)
    elif error.validator == "type":
        rule = f"{where}must be of type {error.validator_value}"
        yield DefinitionError(lines.place(keys), rule, got=error.instance)
    else:
        yield DefinitionError(lines.place(keys), f"{where}is refused by Ray ({error.message})")


def by_line(errors: Iterable[Error], file: Path) -> list[Error]:
    """Errors in the order of the lines of a file; those of other places come last."""
    return sorted(errors, key=partial(_line_in, file))


def _line_in(file: Path, error: SyndetError) -> float:
    """The line of a file at which an error is, 0 for the file as a whole; inf for another place."""
    if error.place == str(file):
        return 0
    line = error.place.removeprefix(f"{file}:")
    return int(line) if line != error.place and line.isdecimal() else math.inf


def _words(keys: Sequence[Any]) -> str:
    """Returns "available_node_types.gpu.resources " of keys, "" of none."""
    return f"{'.'.join(map(str, keys))} " if keys else ""


def node_type_errors(content: Mapping[str, Any], lines: Lines) -> list[DefinitionError]:
    """Mistakes among the node types of a file that breaks no rule of the schema."""
    kinds = content.get(NODE_TYPES) or {}
    errors = []
    head = content.get("head_node_type")
    if head not in kinds:
        place = lines.place((), "head_node_type")
        rule = "head_node_type must be one of the types in available_node_types"
        errors.append(DefinitionError(place, rule, got=head, do=nearest(str(head), kinds)))
    for name, kind in kinds.items():
        least, most = kind.get("min_workers", 0), kind.get("max_workers")
        if most is not None and least > most:
            place = lines.place((NODE_TYPES, name), "min_workers")
            rule = f"{NODE_TYPES}.{name}.min_workers must be at most max_workers, {most}"
            errors.append(DefinitionError(place, rule, got=least))
    return [*errors, *_sum_errors(content, kinds, lines)]


def _sum_errors(
    content: Mapping[str, Any], kinds: Mapping[str, Any], lines: Lines
) -> list[DefinitionError]:
    least = sum(kind.get("min_workers", 0) for kind in kinds.values())
    most = content.get("max_workers")
    if most is None or least <= most:
        return []
    place = lines.place((), "max_workers")
    rule = f"max_workers must be at least {least}, the sum of min_workers of all types"
    return [DefinitionError(place, rule, got=most)]


def doubled_key_errors(lines: Lines) -> Iterator[DefinitionError]:
    """Keys that a mapping has twice, of which Ray would take the last without a word."""
    for place, key, line in lines.doubled_keys():
        yield DefinitionError(place, f"{key} is given already in line {line}", do="Take one out.")


def safety_errors(prepared: Mapping[str, Any], lines: Lines) -> list[DefinitionError]:
    """Secrets in the file, servers that others can reach, and a token that nodes would lack.

    prepared  the content of the file, with Ray's defaults, see `without_wrong_types`
    """
    return [
        *secret_errors(prepared, lines),
        *_dashboard_errors(prepared, lines),
        *_mlflow_errors(prepared, lines),
        *_token_errors(prepared, lines),
    ]


def _dashboard_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    shown = "shows the dashboard, which runs any program, to other machines"
    for name, command in commands(prepared, "head_start_ray_commands"):
        for host in option_values(command, "--dashboard-host"):
            if host in _LOOPBACK:
                continue
            if lines.has(name):
                place = lines.place_of_text(command, "--dashboard-host")
                yield DefinitionError(place, f"{name} {shown}", got=host, do=_DO_DASHBOARD)
            else:
                rule = f"lacks {name}, and Ray's own {shown} (--dashboard-host={host})"
                yield DefinitionError(lines.place(()), rule, do=_DO_START)


def _mlflow_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    for name, command in commands(prepared):
        for simple_command in simple_commands(command):
            starts_no_server = simple_command.lstrip().startswith(("#", "pgrep ", "pkill "))
            names_mlflow = _MLFLOW.search(simple_command) is not None
            if starts_no_server or not names_mlflow or _WITH_LOGIN in simple_command:
                continue
            for host in option_values(simple_command, "--host", "-h"):
                if host not in _LOOPBACK and not host.startswith("$"):
                    rule = (
                        f"{name} shows MLflow, which lets anyone change its runs, to other machines"
                    )
                    place = lines.place_of_text(command, host)
                    yield DefinitionError(place, rule, got=host, do=_DO_MLFLOW)


def _token_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    if not has_token(prepared) and _asks_for_token(prepared):
        rule = "RAY_AUTH_MODE=token is set, but no node would have the token, and none would start"
        yield DefinitionError(lines.place((), "file_mounts"), rule, do=_DO_TOKEN)


def _asks_for_token(prepared: Mapping[str, Any]) -> bool:
    """True if the commands make Ray ask for a token; it does also where it finds one."""
    return any("RAY_AUTH_MODE=token" in command for _, command in commands(prepared))


def has_token(prepared: Mapping[str, Any]) -> bool:
    """True if every node gets a token."""
    mounts = prepared.get("file_mounts") or {}
    is_made = any("RAY_AUTH_TOKEN" in command for _, command in commands(prepared))
    return is_made or any(str(path).endswith(TOKEN_FILE) for path in mounts)
