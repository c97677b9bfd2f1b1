"""EC2: what must hold for a cluster on AWS and can be known without network."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from syndet_ray.clusters.commands import commands, uses_another_store, variables
from syndet_ray.clusters.lines import Lines
from syndet_ray.clusters.rules import NODE_TYPES
from syndet_ray.errors import DefinitionError, nearest

OF_RAY = ("SubnetIds",)  # keys of a node_config that Ray takes out before it asks EC2
_REGION_VARIABLES = ("AWS_DEFAULT_REGION", "AWS_REGION")
_REGION = re.compile(r"[a-z][a-z-]*\d+")  # what reads like one
_COUNTS = {"MinCount": 1, "MaxCount": 1}  # that Ray adds
_MOST_VALID = 300  # characters of a list of valid names that a message shows
_UNKNOWN = re.compile(r'Unknown parameter in (.+?): "(.+?)", must be one of: (.*)')


def errors(prepared: Mapping[str, Any], lines: Lines) -> list[DefinitionError]:
    """Mistakes of a description of a cluster on AWS.

    prepared  as for `rules.safety_errors`
    """
    return [
        *_place_errors(prepared["provider"], lines),
        *_variable_errors(prepared, lines),
        *_node_errors(prepared, lines),
    ]


def _place_errors(provider: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    region = provider.get("region", "")
    place = lines.place(("provider",), "region")
    if region == "":
        yield DefinitionError(place, "provider lacks region", do="Add it, such as us-east-1.")
    if not region:  # None for one of a wrong type
        return
    zones = [zone.strip() for zone in str(provider.get("availability_zone") or "").split(",")]
    if region not in _regions():  # its zones are no mistakes of their own
        rule = "provider.region must be a region of AWS"
        yield DefinitionError(place, rule, got=region, do=_region_hint(region, zones))
        return
    others = [zone for zone in zones if zone and not zone.startswith(region)]
    if others:
        zone_place = lines.place(("provider",), "availability_zone")
        rule = f"provider.availability_zone must be of the region {region}"
        do = f"Zones of it read {region}a, {region}b."
        yield DefinitionError(zone_place, rule, got=",".join(others), do=do)


def _variable_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """Regions that the commands set for programs on the nodes, and that do not exist."""
    for command, name, region in regions_set(prepared):
        if region not in _regions():
            rule = f"{name} must be a region of AWS"
            do = _region_hint(region, ())
            yield DefinitionError(lines.place_of_text(command, name), rule, got=region, do=do)


def regions_set(prepared: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The variables of AWS that commands set to a region: command, name and region.

    None where they are for a store that has regions of its own.
    """
    if uses_another_store(prepared):
        return
    for _, command in commands(prepared):
        for name, region in variables(command):
            if name in _REGION_VARIABLES and _REGION.fullmatch(region):
                yield command, name, region


def _region_hint(region: str, zones: Sequence[str]) -> str:
    """A hint for a region that does not exist.

    That of its zones, else one of the same letters, because a mistake often swaps two, else the
    nearest one.
    """
    regions = _regions()
    for name in regions:
        if any(re.fullmatch(f"{name}[a-z]", zone) for zone in zones):
            return f"Did you mean {name!r}?"
    swapped = [name for name in regions if sorted(name) == sorted(region)]
    return nearest(region, swapped or regions)


def _node_errors(prepared: Mapping[str, Any], lines: Lines) -> Iterator[DefinitionError]:
    """Keys and values of node types that EC2 would refuse, by the model of its API."""
    from botocore.validate import ParamValidator

    shape = _shape_of_a_launch()
    kinds = prepared.get(NODE_TYPES) or {}
    for name, kind in kinds.items():
        given = (kind or {}).get("node_config")
        if given is None:  # which the schema refuses
            continue
        node = {key: value for key, value in given.items() if key not in OF_RAY}
        report = ParamValidator().validate(node | _COUNTS, shape)
        keys = (NODE_TYPES, name, "node_config")
        if report.has_errors():
            for line in report.generate_report().splitlines():
                yield _node_error(line, keys, lines)
        if "InstanceType" not in node and "LaunchTemplate" not in node:
            rule = f"{'.'.join(keys)} lacks InstanceType"
            yield DefinitionError(lines.place(keys), rule, do="Add it, such as g5.2xlarge.")


@cache
def _regions() -> list[str]:
    """Returns the names of all regions of EC2 that boto3 knows."""
    from botocore.loaders import Loader
    from botocore.regions import EndpointResolver

    # a session would read the profile of this machine, which may be broken, and is not needed
    resolver = EndpointResolver(Loader().load_data("endpoints"))
    parts = resolver.get_available_partitions()
    return [name for part in parts for name in resolver.get_available_endpoints("ec2", part)]


@cache
def _shape_of_a_launch() -> Any:
    """Returns what EC2 takes when it launches nodes; reading the model of its API takes 0.4 s."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    service = ServiceModel(Loader().load_service_model("ec2", "service-2"), "ec2")
    return service.operation_model("RunInstances").input_shape


def _node_error(line: str, keys: tuple[str, ...], lines: Lines) -> DefinitionError:
    """The error for a line of botocore's report."""
    match = _UNKNOWN.fullmatch(line)
    if match is None:
        return DefinitionError(lines.place(keys), f"{'.'.join(keys)} is refused by EC2 ({line})")
    within, name, valid = match.groups()
    inner = [] if within == "input" else re.findall(r"\w+", within)
    path = [*keys, *(int(key) if key.isdecimal() else key for key in inner)]
    rule = f"{'.'.join(map(str, path))} has a key that EC2 does not know"
    hint = nearest(name, valid.split(", "))
    do = hint if len(hint) <= _MOST_VALID else "See RunInstances in the API of EC2."
    return DefinitionError(lines.place(path, name), rule, got=name, do=do)
