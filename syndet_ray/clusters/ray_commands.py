"""Ray commands: with which nodes start Ray, and must join one cluster."""

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from syndet_ray.clusters.commands import OPTIONS, commands, simple_commands
from syndet_ray.clusters.lines import Lines
from syndet_ray.errors import DefinitionError, nearest

HEAD_GROUP, _WORKER_GROUP = "head_start_ray_commands", "worker_start_ray_commands"
_OF_HEAD = ("initialization_commands", "setup_commands", "head_setup_commands", HEAD_GROUP)
_LOCAL = "local"  # a provider of machines that exist already
_WITHOUT_AUTOSCALER = (_LOCAL, "readonly")
_PORT_OF_RAY = "6379"  # of a head that is given none
_ANY_PORT = "0"
_MAX_WORKERS = 2  # of a file that says nothing: Ray's default
_START = re.compile(r"\bray(?:\.scripts\.scripts)?\s+(?:-\S+\s+)*start\b")
# Ray at the beginning of a command, and what it is to do
_RAY = re.compile(
    rf"\s*(?:\w+=\S*\s+)*(?:(?:sudo|exec|nohup|setsid)\s+{OPTIONS})*"
    r"(?:\S*/)?ray\s+(?:-\S+=\S+\s+)*(?P<word>[a-z][\w-]*)(?=\s|$)"
)
_COMMENT = re.compile(r"(?<!\S)#.*")
_LONG_OPTION = re.compile(r"--[a-z][\w-]*")
_PUT_IN = ("$", "`")  # begin a word that the shell puts in, which may be options
_OUTPUT = re.compile(r"\$\(|`")  # of another command, whose options stand there too
# what may start Ray by other words: scripts, services, containers, and a program that a variable or
# a path of such a name stands for
_OTHER_STARTS = re.compile(
    r"[\w-]+\.(?:sh|py)\b|(?<![\w./-])(?:systemctl|service|docker|podman|make|eval)(?![\w./-])"
    rf"|^\s*(?:\w+=\S*\s+)*(?:(?:sudo|exec|nohup)\s+{OPTIONS}|(?:bash|sh)\s+(?:-\S+\s+)*)*['\"]?"
    r"(?:[$`]|\S*/[\w.-]*(?:start|ray)[\w.-]*(?:\s|$))"
)
_HEAD_ADDRESS = re.compile(r"\$\{?RAY_HEAD_IP\}?:(\d+)")
_DO_AUTOSCALING = "Add --autoscaling-config=~/ray_bootstrap_config.yaml to this `ray start`."
_DO_ADDRESS = f"Write --address=$RAY_HEAD_IP:{_PORT_OF_RAY}, with the port of the head."


@dataclass(frozen=True, kw_only=True)
class _Start:
    """A `ray start` of a node.

    command          all that the shell runs, for places
    words            its first words, as written
    options          by Ray's names, such as "autoscaling_config"
    unknown_options  words like options that Ray does not know
    is_open          whether the shell may put in options
    """

    command: str
    words: str
    options: Mapping[str, Any] = field(default_factory=dict)
    unknown_options: tuple[str, ...] = ()
    is_open: bool = True

    @property
    def is_uncertain(self) -> bool:
        """True if it may have any option."""
        return self.is_open or bool(self.unknown_options)


def start_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """Errors for nodes that would not start Ray, or not join their head.

    prepared  as for `rules.safety_errors`
    """
    mistyped = list(_word_errors(prepared, lines))
    yield from mistyped
    heads, workers = _starts(prepared, HEAD_GROUP), _starts(prepared, _WORKER_GROUP)
    for start in (*heads, *workers):
        yield from _option_errors(start, lines)
    if not mistyped:
        yield from _head_errors(heads, lines)
    yield from _port_errors(heads, workers, lines)
    if _may_have_workers(prepared):
        yield from _autoscaling_errors(prepared, heads, lines)
        yield from _address_errors(prepared, workers, lines)


def _starts(prepared: Mapping[str, Any], group: str) -> list[_Start]:
    return [
        _start(command, simple_command, match)
        for _, command in commands(prepared, group)
        for simple_command in simple_commands(command)
        if (match := _START.search(simple_command))
    ]


def _start(command: str, simple_command: str, match: re.Match[str]) -> _Start:
    """Reads a `ray start` with the parser of Ray itself."""
    import click
    from ray.scripts.scripts import start

    words = match[0]
    context = click.Context(start, ignore_unknown_options=True)
    try:
        arguments = shlex.split(_COMMENT.sub("", simple_command[match.end() :]).rstrip(" )"))
        options, others, _ = start.make_parser(context).parse_args(arguments)
    # a quote of the command around it, or an option without its value
    except (ValueError, click.UsageError):
        return _Start(command=command, words=words)
    if _OUTPUT.search(simple_command):
        return _Start(command=command, words=words, options=options)
    unknown = [option[0] for word in others if (option := _LONG_OPTION.match(word))]
    return _Start(
        command=command,
        words=words,
        options=options,
        unknown_options=tuple(unknown),
        is_open=any(word.startswith(_PUT_IN) for word in others),
    )


def _word_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """Words after `ray` that Ray does not know."""
    from ray.scripts.scripts import cli

    for name, command in commands(prepared):
        for simple_command in simple_commands(command):
            match = _RAY.match(simple_command)
            if match and match["word"] not in cli.commands:
                word = match["word"]
                place = lines.place_of_text(command, f" {word}")
                rule = f"{name} names a command that Ray does not have"
                do = nearest(word, cli.commands)
                yield DefinitionError(place, rule, got=f"ray {word}", do=do)


def _option_errors(start: _Start, lines: Lines) -> Iterator[DefinitionError]:
    from ray.scripts.scripts import start as ray_start

    names = [name for option in ray_start.params for name in option.opts if name.startswith("--")]
    for option in start.unknown_options:
        place = lines.place_of_text(start.command, option)
        rule = "`ray start` has no such option"
        yield DefinitionError(place, rule, got=option, do=nearest(option, names))


def _head_errors(heads: list[_Start], lines: Lines) -> Iterator[DefinitionError]:
    """A `ray start` of the head that starts no head of Ray, and so no cluster."""
    if heads and not any(start.is_uncertain or "head" in start.options for start in heads):
        rule = f"{HEAD_GROUP} must start the head, which --head does"
        place = lines.place_of_text(heads[0].command, heads[0].words)
        yield DefinitionError(place, rule, do="Add --head to this `ray start`.")


def may_start_head(prepared: Mapping[str, Any]) -> bool:
    """True if a command of the head is `ray start`, or names what may start Ray by other words."""
    of_head = {name: prepared[name] for name in _OF_HEAD if name in prepared}
    parts = chain.from_iterable(simple_commands(command) for _, command in commands(of_head))
    return any(_START.search(part) or _OTHER_STARTS.search(part) for part in parts)


def _port_errors(
    heads: list[_Start], workers: list[_Start], lines: Lines
) -> Iterator[DefinitionError]:
    """Workers that would look for the head at a port where it does not listen."""
    certain = [start for start in heads if "head" in start.options and not start.is_uncertain]
    ports = {start.options.get("port") or _PORT_OF_RAY for start in certain}
    if not ports or _ANY_PORT in ports or not all(map(str.isdecimal, ports)):
        return
    port_words = " or ".join(sorted(ports))
    for start in workers:
        match = _HEAD_ADDRESS.fullmatch(start.options.get("address") or "")
        if match and match[1] not in ports:
            rule = f"{_WORKER_GROUP} must join the head at port {port_words}, at which it listens"
            place = lines.place_of_text(start.command, f":{match[1]}")
            yield DefinitionError(place, rule, got=int(match[1]), do=f"Write {port_words}.")


def _may_have_workers(prepared: Mapping[str, Any]) -> bool:
    """True if nodes besides the head may start."""
    provider = prepared.get("provider") or {}
    if provider.get("type") == _LOCAL:
        return bool(provider.get("worker_ips"))
    most, head = prepared.get("max_workers", _MAX_WORKERS), prepared.get("head_node_type")
    kinds = prepared.get("available_node_types") or {}
    limits = [
        (kind or {}).get("max_workers", 0 if name == head else most) for name, kind in kinds.items()
    ]
    return bool(most) and any(limits)


def _autoscaling_errors(
    prepared: Mapping[str, Any], heads: list[_Start], lines: Lines
) -> Iterator[DefinitionError]:
    """A head that would start no worker."""
    if (prepared.get("provider") or {}).get("type") in _WITHOUT_AUTOSCALER:
        return
    starts = [start for start in heads if "head" in start.options]
    is_given = any(start.is_uncertain or "autoscaling_config" in start.options for start in heads)
    if starts and not is_given:
        rule = f"{HEAD_GROUP} must say which nodes the head may start: it would start no worker"
        place = lines.place_of_text(starts[0].command, starts[0].words)
        yield DefinitionError(place, rule, do=_DO_AUTOSCALING)


def _address_errors(
    prepared: Mapping[str, Any], workers: list[_Start], lines: Lines
) -> Iterator[DefinitionError]:
    """Workers that name no head, or that of another cluster."""
    addresses = [start for start in workers if "address" in start.options]
    if workers and not addresses and not any(start.is_uncertain for start in workers):
        place = lines.place_of_text(workers[0].command, workers[0].words)
        rule = f"{_WORKER_GROUP} must join the head, and this `ray start` names no head"
        yield DefinitionError(place, rule, do=_DO_ADDRESS)
    for start in addresses:
        address = str(start.options["address"])
        if _is_of_another(address, prepared):
            place = lines.place_of_text(start.command, address)
            rule = f"{_WORKER_GROUP} must join the head of this cluster"
            yield DefinitionError(place, rule, got=address, do=_DO_ADDRESS)


def _is_of_another(address: str, prepared: Mapping[str, Any]) -> bool:
    """True for the IP of a machine that cannot be the head, unless the file itself names it.

    A machine that exists already may have an IP besides that of the file.
    """
    host = (address.rpartition(":")[0] or address).strip("[]")
    try:
        ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    provider = prepared.get("provider") or {}
    is_named = host in f"{provider} {prepared.get('available_node_types')}"
    return not is_named and (ip.is_loopback or provider.get("type") != _LOCAL)
