"""Words that do not stand in a file: ours in a Compose file, and those of the inner form in any.

Another tool that reads a Compose file would not know ours. What `canonical` and `normalise` make of a file has a few
keys that no file has: written by hand they would be taken for what they are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stackup.spec.discover import Dialect, dialect_of
from stackup.spec.nodes import Node
from stackup.spec.report import Report
from stackup.spec.suggest import nearest

_TOP = {
    "images": "describe images in a stack.yaml beside it; -f takes several files",
    "vars": "write ${NAME}, and its value in '.env'",
}
_SERVICE = {
    "resources": "write 'deploy: {resources: {limits: {memory: ..., cpus: ..., pids: ...}}}'",
    "replicas": "write 'deploy: {replicas: ...}' or 'scale'",
}
_NETWORK = {"subnet": "write 'ipam: {config: [{subnet: ...}]}'"}

_OURS = {"stack": _TOP, "service": _SERVICE, "network": _NETWORK}
# Other tools' words, and what to write in a Compose file where a stack file has a key of ours.
_WORDS = {
    "stack": {"image": "it stands in a service, as in 'services: {web: {image: ...}}'"},
    "service": {
        "memory": "the key is 'mem_limit'", "pids": "the key is 'pids_limit'",
        "limits": _SERVICE["resources"], "quotas": _SERVICE["resources"],
    },
}  # fmt: skip

_INNER_SERVICE = {"endpoint_mode": "it stands under 'deploy'"}
_INNER_POLICY = {"policy": "the key is 'condition'"}
_INNER_MOUNT = {
    "nocopy": "it stands under 'volume'", "create_host_path": "it stands under 'bind'",
    "size": "it stands under 'tmpfs'", "mode": "it stands under 'tmpfs'",
}  # fmt: skip


def content(dialect: Dialect) -> str:
    """What a file of this kind holds, for a sentence."""
    return "'services'" if dialect == "compose" else "'images' and 'services'"


def nothing(dialect: Dialect) -> str:
    """What is wrong with a stack in which there is nothing."""
    if dialect == "compose":
        return "no services: nothing to run"
    return "neither 'services' nor 'images': nothing to build or to run"


def without_ours(record: str, words: Sequence[str], node: Node) -> Sequence[str]:
    """The keys that may be proposed where `node` stands: in a Compose file none of ours."""
    ours = _OURS.get(record)
    return [word for word in words if word not in ours] if ours and dialect_of(node.file) == "compose" else words


def instead(record: str, key: str, node: Node) -> str | None:
    """What a Compose file says for a key that is none, where a stack file would have a key of ours for it."""
    if record not in _OURS or dialect_of(node.file) != "compose":
        return None
    ours = _OURS[record]
    return _WORDS.get(record, {}).get(key.lower()) or ours.get(nearest(key, ours) or "")


def check(root: Node, report: Report) -> None:
    """Report our words in a document of a Compose file."""
    _among(root, _TOP, report)
    for service in _below(root, "services"):
        _among(service, _SERVICE, report)
    for network in _below(root, "networks"):
        _among(network, _NETWORK, report)


def _among(node: Node, ours: Mapping[str, str], report: Report) -> None:
    for key in ours.keys() & node.items.keys():
        message = f"'{key}' is stackup's own and stands in a stack file, not in a Compose file"
        report.problem(node.items[key], message, ours[key], at_key=True)


def inner(root: Node, report: Report) -> None:
    """Report words of the inner form in a document of any file."""
    for service in _below(root, "services"):
        _unknown(service, _INNER_SERVICE, report)
        deploy = service.items.get("deploy")
        policy = deploy.items.get("restart_policy") if deploy is not None else None
        if policy is not None:
            _unknown(policy, _INNER_POLICY, report)
        volumes = service.items.get("volumes")
        for mount in volumes.list if volumes is not None else ():
            _unknown(mount, _INNER_MOUNT, report)


def _unknown(node: Node, words: Mapping[str, str], report: Report) -> None:
    for key in words.keys() & node.items.keys():
        report.problem(node.items[key], "unknown key", words[key], at_key=True)


def _below(root: Node, section: str) -> Iterator[Node]:
    found = root.items.get(section)
    yield from found.items.values() if found is not None else ()
