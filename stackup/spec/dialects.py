"""Words of ours that a Compose file must not use: another tool that reads it would not know them."""

from __future__ import annotations

from stackup.spec.nodes import Node
from stackup.spec.report import Report

_TOP = {
    "images": "describe images in a stack.yaml beside it; -f takes several files",
    "vars": "write ${NAME}, and its value in '.env'",
}
_SERVICE = {
    "resources": "write 'deploy: {resources: {limits: {memory: ..., cpus: ..., pids: ...}}}'",
    "replicas": "write 'deploy: {replicas: ...}' or 'scale'",
}


def check(root: Node, report: Report) -> None:
    """Report our words in a document of a Compose file."""
    _among(root, _TOP, report)
    services = root.items.get("services")
    for service in services.items.values() if services is not None else ():
        _among(service, _SERVICE, report)


def _among(node: Node, ours: dict[str, str], report: Report) -> None:
    for key in ours.keys() & node.items.keys():
        message = f"'{key}' is stackup's own and stands in a stack file, not in a Compose file"
        report.problem(node.items[key], message, ours[key], at_key=True)
