"""Image config and manifest documents (image-spec, config.md and manifest.md): the same stack, the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from stackup import oci
from stackup.builder import changeset
from stackup.builder.store.graph import LayerRow
from stackup.spec.model import Healthcheck, ImageConfig

HOST_BOUND = "org.stackup.host-bound"  # manifest annotation: "true" where a host layer is inside
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def compose(base: Mapping[str, Any], own: ImageConfig) -> oci.Document:
    """The `config` object of an image: the base's, with the file's `config:` over it. `base` is not changed.

    As with Docker, an own entrypoint drops the base's command. Environment, labels, ports and volumes are merged.
    Durations of `Healthcheck` are nanoseconds.
    """
    config: oci.Document = dict(base)
    if own.entrypoint is not None:
        config["Entrypoint"] = list(own.entrypoint)
        config.pop("Cmd", None)
    if own.command is not None:
        config["Cmd"] = list(own.command)
    if own.environment:
        config["Env"] = _merged_environment(base.get("Env") or (), own.environment)
    for key, value in (("WorkingDir", own.working_dir), ("User", own.user), ("StopSignal", own.stop_signal)):
        if value is not None:
            config[key] = value
    if own.labels:
        config["Labels"] = {**(base.get("Labels") or {}), **own.labels}
    if own.expose:
        config["ExposedPorts"] = {**(base.get("ExposedPorts") or {}), **{_port(p): {} for p in own.expose}}
    if own.volumes:
        config["Volumes"] = {**(base.get("Volumes") or {}), **{v: {} for v in own.volumes}}
    if own.healthcheck is not None:
        config["Healthcheck"] = _healthcheck(own.healthcheck)
    return config


def _merged_environment(base: Sequence[str], own: Mapping[str, str]) -> list[str]:
    merged = dict(item.partition("=")[::2] for item in base)
    merged.update(own)
    return [f"{name}={value}" for name, value in merged.items()]


def _port(text: str) -> str:
    return text if "/" in text else f"{text}/tcp"


def _healthcheck(check: Healthcheck) -> oci.Document:
    def nanoseconds(seconds: float) -> int:
        return round(seconds * 1e9)

    return {
        "Test": list(check.test), "Interval": nanoseconds(check.interval), "Timeout": nanoseconds(check.timeout),
        "StartPeriod": nanoseconds(check.start_period), "StartInterval": nanoseconds(check.start_interval),
        "Retries": check.retries,
    }  # fmt: skip


def config_document(
    config: oci.Document, diff_ids: Sequence[str], history: Sequence[oci.Document], base: oci.Document | None
) -> oci.Document:
    """The whole config blob. `base`: the base image's blob: architecture and os are taken from it."""
    return {
        "created": created(),
        "architecture": (base or {}).get("architecture") or architecture(),
        "os": (base or {}).get("os") or "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": list(history),
    }


def history_entry(text: str) -> oci.Document:
    return {"created": created(), "created_by": text}


def manifest(config_digest: str, config_size: int, layers: Sequence[LayerRow], host_bound: bool) -> oci.Document:
    """Layers are listed as uncompressed tar streams: digest and diff ID are one."""
    document: oci.Document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": oci.Descriptor(oci.CONFIG, config_digest, config_size).to_json(),
        "layers": [oci.Descriptor(oci.LAYER, row.diff_id, row.stream_size).to_json() for row in layers],
    }
    if host_bound:
        document["annotations"] = {HOST_BOUND: "true"}
    return document


def created() -> str:
    """SOURCE_DATE_EPOCH as RFC 3339: an image tells nothing of the hour it was made in."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changeset.epoch()))


def architecture() -> str:
    """GOARCH of this machine, as image-spec wants it."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)
