"""AWS: asks the cloud whether it can start the nodes of a cluster; this costs nothing."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from syndet_ray.clusters.commands import commands, uses_another_store
from syndet_ray.clusters.description import ClusterFile, NodeType
from syndet_ray.clusters.ec2 import OF_RAY
from syndet_ray.clusters.head_role import clusters_of, is_among
from syndet_ray.clusters.quotas import quota_of
from syndet_ray.clusters.rules import NODE_TYPES
from syndet_ray.data.storage import error_code, read_advice
from syndet_ray.errors import MachineError, SyndetError
from syndet_ray.wording import counted

Findings = Iterator[SyndetError | str]  # errors, and notes as texts

_PATIENCE = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
# answers to a question that this machine may not ask
FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_SERVICES = ("ec2", "iam", "s3", "service-quotas", "sts")
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{2,62})(?=[/\s'\";|&]|$)")
_ENDPOINT = "endpoint_override="  # in the address of a bucket that is not Amazon's
_NO_BUCKET = ("404", "NoSuchBucket")
_DO_BUCKET = "Create the bucket, or correct the name."
_DO_ROLE = "Write the name of the cluster in its policy, see docs/cluster_aws.md."
_DO_PROFILE = "docs/cluster_aws.md has the commands that make it."
_DO_IMAGE = "docs/cluster_aws.md has the command that names one of this region."
_DO_ARCHITECTURE = "Take another instance type, or an image for it."
_DO_QUOTA = "Ask for more in Service Quotas, or list smaller nodes."
_DO_RIGHTS = "They need ec2:RunInstances, and iam:PassRole for the role of the head."
_STARTS_ELSEWHERE = "Take another instance type, or another region."


class MissingBucket(MachineError):
    """A bucket, by its name, that the commands of a file name and that does not exist."""

    bucket = ""


class Account:
    """The account whose credentials this machine has, in the region of a cluster.

    Raises MachineError unless AWS accepts the credentials.
    """

    def __init__(self, cluster: ClusterFile) -> None:
        self._instance_types = _instance_types(cluster)
        try:
            session = boto3.Session(region_name=cluster.region)
            # made here: a session is for one thread, its clients are for all
            self._clients = {name: session.client(name, config=_PATIENCE) for name in _SERVICES}
            self.number = str(self.client("sts").get_caller_identity()["Account"])
        # botocore raises ValueError for an endpoint that is no URL
        except (BotoCoreError, ClientError, ValueError) as error:
            raise _account_error(error) from None

    def client(self, service: str) -> Any:
        """A client of boto3 that gives up soon."""
        return self._clients[service]

    @cached_property
    def zone_states(self) -> dict[str, str]:
        """The state of each zone of the region, by its name."""
        answer = self.client("ec2").describe_availability_zones(AllAvailabilityZones=True)
        return {zone["ZoneName"]: zone["State"] for zone in answer["AvailabilityZones"]}

    @cached_property
    def machines(self) -> dict[str, dict[str, int]]:
        """Cores and GPUs of each instance type of the cluster that exists, by its name."""
        machines = {}
        for name, machine in self._descriptions.items():
            gpus = machine.get("GpuInfo", {}).get("Gpus", [])
            machines[name] = {
                "CPU": machine["VCpuInfo"]["DefaultVCpus"],
                "GPU": sum(gpu["Count"] for gpu in gpus),
            }
        return machines

    def architectures(self, instance_type: str | None) -> list[str]:
        """The architectures of an instance type, such as x86_64; none of one that is not known."""
        machine = self._descriptions.get(instance_type or "", {})
        return list(machine.get("ProcessorInfo", {}).get("SupportedArchitectures", []))

    @cached_property
    def _descriptions(self) -> dict[str, dict[str, Any]]:
        """EC2's descriptions of the instance types of the cluster that exist, by their names."""
        pages = self.client("ec2").get_paginator("describe_instance_types")
        wanted = [{"Name": "instance-type", "Values": self._instance_types}]
        machines = [
            machine for page in pages.paginate(Filters=wanted) for machine in page["InstanceTypes"]
        ]
        return {machine["InstanceType"]: machine for machine in machines}


def findings(cluster: ClusterFile, storage: str | None = None) -> list[SyndetError | str]:
    """Errors for what the cloud lacks or refuses, and notes on what could not be looked up.

    storage  where runs are kept, in a bucket that the commands may name too

    Without credentials nothing else is asked.
    """
    try:
        account = Account(cluster)
    except MachineError as error:
        return [error]
    checks: dict[str, Callable[[Account, ClusterFile], Findings]] = {
        "availability zones": _zones,
        "images": _images,
        "instance types of the zones": _offers,
        "cores of the instance types": _sizes,
        "instance profiles": _profiles,
        "policies of the head": _head_role,
        "buckets": partial(_buckets, storage=storage),
        "rights": _rights,
        "quotas": _quotas,
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        answers = [
            pool.submit(_answer, subject, partial(check, account, cluster))
            for subject, check in checks.items()
        ]
    return [finding for answer in answers for finding in answer.result()]


def _answer(subject: str, check: Callable[[], Findings]) -> list[SyndetError | str]:
    """Returns what a check finds; an error or a note if AWS does not answer its question."""
    try:
        return list(check())
    except (BotoCoreError, ClientError) as error:
        if error_code(error) in FORBIDDEN:
            return [f"{subject} could not be looked up: these credentials may not ask for them"]
        rule = f"{subject} cannot be looked up ({error_code(error)})"
        return [MachineError("AWS", rule, do=read_advice(error))]


def _account_error(error: Exception) -> MachineError:
    rule = f"cannot be used ({error_code(error)})"
    return MachineError("AWS account", rule, do=read_advice(error))


def _zones(account: Account, cluster: ClusterFile) -> Findings:
    states = account.zone_states
    place = cluster.lines.place(("provider",), "availability_zone")
    for zone in cluster.zones:
        if zone not in states:
            rule = f"must be a zone of {cluster.region}"
            yield MachineError(place, rule, got=zone, do=f"Valid: {', '.join(sorted(states))}.")
        elif states[zone] != "available":
            yield MachineError(place, f"{zone} is {states[zone]}", do="Take it out.")


def _images(account: Account, cluster: ClusterFile) -> Findings:
    """Images that are there, and that fit the disks and processors of the nodes."""
    kinds_of: dict[str, list[NodeType]] = {}
    for kind in _kinds(cluster):
        if kind.image is not None and kind.image.startswith("ami-"):
            kinds_of.setdefault(kind.image, []).append(kind)
    wanted = [{"Name": "image-id", "Values": sorted(kinds_of)}]
    answer = account.client("ec2").describe_images(Filters=wanted) if kinds_of else {"Images": []}
    images = {image["ImageId"]: image for image in answer["Images"]}
    for name, kinds in kinds_of.items():
        if name not in images:
            place = _place(cluster, kinds[0], "ImageId")
            types = ", ".join(kind.name for kind in kinds)
            rule = f"{types}: must be an image in {cluster.region} that this account may use"
            yield MachineError(place, rule, got=name, do=_DO_IMAGE)
            continue
        for kind in kinds:
            yield from _disk_errors(cluster, kind, images[name])
            yield from _architecture_errors(account, cluster, kind, images[name])


def _architecture_errors(
    account: Account, cluster: ClusterFile, kind: NodeType, image: Mapping[str, Any]
) -> Findings:
    """A node must have a processor that the image is for; nothing is said where EC2 names none."""
    architecture = image.get("Architecture")
    architectures = account.architectures(kind.instance_type)
    if architecture and architectures and architecture not in architectures:
        place = _place(cluster, kind, "ImageId")
        words = " or ".join(architectures)
        rule = f"{kind.name}: {kind.instance_type} needs an image for {words}"
        yield MachineError(place, rule, got=architecture, do=_DO_ARCHITECTURE)


def _disk_errors(cluster: ClusterFile, kind: NodeType, image: Mapping[str, Any]) -> Findings:
    """A disk of a node must hold the snapshot that the image has for it."""
    needed = _disks(image)
    node = cluster.prepared[NODE_TYPES][kind.name]["node_config"]
    for device, size in _disks(node).items():
        if size < needed.get(device, 0):
            place = _place(cluster, kind, "BlockDeviceMappings")
            rule = f"{kind.name}: disk {device} must have {needed[device]} GB for its image"
            yield MachineError(place, rule, got=size)


def _disks(owner: Mapping[str, Any]) -> dict[str, int]:
    """The gigabytes of each disk of a node or an image, where they are known, by its device."""
    disks = owner.get("BlockDeviceMappings") or []
    sizes = {disk["DeviceName"]: (disk.get("Ebs") or {}).get("VolumeSize") for disk in disks}
    return {device: size for device, size in sizes.items() if size is not None}


def _offers(account: Account, cluster: ClusterFile) -> Findings:
    """Instance types that the zones of the cluster offer.

    Nothing is said of zones that do not exist.
    """
    zones_there = [zone for zone in cluster.zones if zone in account.zone_states]
    if cluster.zones and not zones_there:
        return
    names = _instance_types(cluster)
    pages = account.client("ec2").get_paginator("describe_instance_type_offerings")
    zones_of: dict[str, set[str]] = {name: set() for name in names}
    wanted = [{"Name": "instance-type", "Values": names}]
    for page in pages.paginate(LocationType="availability-zone", Filters=wanted):
        for offer in page["InstanceTypeOfferings"]:
            zones_of[offer["InstanceType"]].add(offer["Location"])
    for kind in _kinds(cluster):
        if kind.instance_type is None:
            continue
        zones = zones_of[kind.instance_type]
        wanted_zones = set(zones_there) or zones
        if not zones & wanted_zones:
            places = ", ".join(zones_there) if zones else cluster.region
            rule = f"{kind.name}: {kind.instance_type} is not offered in {places}"
            do = f"It is in {', '.join(sorted(zones))}." if zones else _STARTS_ELSEWHERE
            yield MachineError(_place(cluster, kind, "InstanceType"), rule, do=do)
        elif wanted_zones - zones:
            missing = ", ".join(sorted(wanted_zones - zones))
            yield f"{kind.name}: {kind.instance_type} is not offered in {missing}"


def _sizes(account: Account, cluster: ClusterFile) -> Findings:
    """Cores and GPUs that a type of node must not count higher than its machine has."""
    for kind in _kinds(cluster):
        machine = account.machines.get(kind.instance_type or "")
        for name, has in (machine or {}).items():
            if kind.resources.get(name, 0) > has:
                place = cluster.lines.place((NODE_TYPES, kind.name), "resources")
                rule = f"{kind.name}: {kind.instance_type} has {has} {name}"
                yield MachineError(place, rule, got=kind.resources[name], do=f"Write {has}.")
            elif name == "GPU" and has and not kind.resources.get(name, 0):
                yield (
                    f"{kind.name}: {kind.instance_type} has a GPU that `resources` does not list: "
                    "no trial will use it"
                )


def _profiles(account: Account, cluster: ClusterFile) -> Findings:
    """Instance profiles that exist and have a role."""
    # reversed, so that the first type with a profile stands for it
    kinds = {kind.profile: kind for kind in reversed(_kinds(cluster)) if kind.profile}
    for name in sorted(kinds):
        kind, roles = kinds[name], _roles(account, name)
        if roles:
            continue
        lack = "does not exist" if roles is None else "has no role"
        rule = f"{kind.name}: the instance profile {name} {lack}"
        yield MachineError(_place(cluster, kind, "IamInstanceProfile"), rule, do=_DO_PROFILE)
    if cluster.head.profile is None:
        yield "the head gets a profile of Ray's, which may do anything with EC2 and S3"


def _head_role(account: Account, cluster: ClusterFile) -> Findings:
    """The role of the head, which may let it start workers of another cluster only.

    Nothing is said of one with policies that are attached to it, such as those of AWS.
    """
    client, profile = account.client("iam"), cluster.head.profile
    if profile is None or not cluster.workers:
        return
    for name in _roles(account, profile) or ():
        if client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            continue
        policies = [
            client.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in client.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        clusters = clusters_of(policies, str(cluster.region), account.number)
        if clusters and not is_among(cluster.cluster_name, clusters):
            place = cluster.lines.place((), "cluster_name")
            names = " or ".join(sorted(clusters))
            rule = f"the role {name} lets the head start workers of {names} alone"
            yield MachineError(place, rule, got=cluster.cluster_name, do=_DO_ROLE)


def _roles(account: Account, profile: str) -> list[str] | None:
    """The names of the roles of an instance profile; None if it does not exist.

    profile  its name or ARN
    """
    client = account.client("iam")
    try:
        answer = client.get_instance_profile(InstanceProfileName=profile.rpartition("/")[2])
    except client.exceptions.NoSuchEntityException:
        return None
    return [role["RoleName"] for role in answer["InstanceProfile"]["Roles"]]


def _buckets(account: Account, cluster: ClusterFile, storage: str | None = None) -> Findings:
    """Buckets that the commands name, and that do not exist."""
    if uses_another_store(cluster.prepared):
        return
    client = account.client("s3")
    texts = [command for _, command in commands(cluster.prepared)]
    places = {name: text for text in texts for name in _BUCKET.findall(text)}
    for name, text in places.items():
        try:
            client.head_bucket(Bucket=name)
        # other answers are of buckets that exist, of others or in other regions
        except ClientError as error:
            if error_code(error) in _NO_BUCKET:
                yield _bucket_error(cluster.lines.place_of_text(text, name), name, storage)


def _bucket_error(place: str, name: str, storage: str | None) -> MissingBucket:
    is_of_storage = storage is not None and name == bucket_of(storage)
    others = " and `storage`" if is_of_storage else ""
    rule = f"the commands{others} name s3://{name}, which does not exist"
    error = MissingBucket(place, rule, do=_DO_BUCKET)
    error.bucket = name
    return error


def bucket_of(address: str) -> str:
    """The name of the bucket in an s3:// address; "" for one of another store."""
    match = _BUCKET.match(address)
    return match[1] if match and _ENDPOINT not in address else ""


def _rights(account: Account, cluster: ClusterFile) -> Findings:
    """The right to start the head. EC2 answers that, and starts nothing in a dry run."""
    node = cluster.prepared[NODE_TYPES][cluster.head_type]["node_config"]
    if cluster.head.image is None:  # Ray's choice
        return
    # rights may depend on the tag that Ray gives its instances
    tag = {"Key": "ray-cluster-name", "Value": cluster.cluster_name}
    tags = [{"ResourceType": "instance", "Tags": [tag]}]
    request = {"TagSpecifications": tags} | {key: node[key] for key in node if key not in OF_RAY}
    dry = {"MinCount": 1, "MaxCount": 1, "DryRun": True}  # last: the file must not change it
    try:
        account.client("ec2").run_instances(**(request | dry))
    except ClientError as error:
        if error_code(error) in FORBIDDEN:
            place = _place(cluster, cluster.head, "InstanceType")
            rule = "these credentials may not start the head, or not give it its profile"
            yield MachineError(place, rule, do=_DO_RIGHTS)


def _quotas(account: Account, cluster: ClusterFile) -> Findings:
    """Limits of the account on cores, which must let one node of each type start."""
    client = account.client("service-quotas")
    for kind in _kinds(cluster):
        quota = quota_of(kind)
        cores = account.machines.get(kind.instance_type or "", {}).get("CPU", 0)
        if quota is None or not cores:
            continue
        try:
            answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=quota.code)
        except client.exceptions.NoSuchResourceException:
            continue
        limit = int(answer["Quota"]["Value"])
        most = max(1, min(kind.max_workers, cluster.growth.most))
        if limit < cores:
            place = _place(cluster, kind, "InstanceType")
            rule = (
                f"{kind.name}: {kind.instance_type} has {cores} cores, and the quota {quota.name!r}"
            )
            yield MachineError(place, f"{rule} is {limit}", do=_DO_QUOTA)
        elif limit < cores * most:
            nodes = counted(limit // cores, "node")
            yield f"{kind.name}: the quota {quota.name!r} is {limit} cores, {nodes} of {most}"


def _kinds(cluster: ClusterFile) -> list[NodeType]:
    """Returns the types of which nodes may start."""
    return [cluster.head, *(kind for kind in cluster.workers if kind is not cluster.head)]


def _instance_types(cluster: ClusterFile) -> list[str]:
    return sorted({kind.instance_type for kind in _kinds(cluster) if kind.instance_type})


def _place(cluster: ClusterFile, kind: NodeType, key: str) -> str:
    return cluster.lines.place((NODE_TYPES, kind.name, "node_config"), key)
