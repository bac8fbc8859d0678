"""The pids controller (cgroup-v1/pids.rst, cgroup-v2.rst "PID"): the same file in both versions. Pure."""

from __future__ import annotations

from stackup.oci import Document

MAX = "pids.max"


def files(resources: Document, *, fresh: bool) -> list[tuple[str, str]]:
    """(file, content). OCI: `pids.limit` of 0 or less is unlimited."""
    limit = (resources.get("pids") or {}).get("limit")
    if limit is None or limit <= 0:
        return [] if fresh else [(MAX, "max")]
    return [(MAX, str(limit))]
