"""Names and values of the OCI specifications that several rooms share (image-spec 1.1, runtime-spec 1.2).

Documents stay plain JSON-like dicts, as the specifications draw them; only what is compared or passed around has a
type of its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

from stackup.classes import dataclass

Json = Any  # a JSON value; the OCI documents are open-ended
Document = dict[str, Json]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def canonical_json(value: Json) -> bytes:
    """The one byte form of a JSON value: keys sorted, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(data: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    import hashlib  # here: the spawner has no use for a cryptography library in each of its forks

    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def digest_hex(text: str) -> str:
    """The 64 hex digits of a digest; ValueError where it is none (it becomes a file name)."""
    if not is_digest(text):
        raise ValueError(f"not a sha256 digest: {text!r}")
    return text[7:]


def chain_id(diff_ids: tuple[str, ...]) -> str:
    """Identity of layers applied in order (image-spec, config.md, "Layer ChainID")."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = digest(f"{chain} {diff_id}".encode())
    return chain


@dataclass(frozen=True, slots=True)
class Descriptor:
    """image-spec, descriptor.md; `size` in bytes."""

    media_type: str
    digest: str
    size: int

    def to_json(self) -> Document:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount as a value, in the words of mount(8): what a snapshotter hands out and the runtime executes.

    `target` is the path inside the root file system ("/" for the root file system itself).
    For an overlay the options are `lowerdir=TOP:...:BOTTOM`, `upperdir=`, `workdir=`, `userxattr`, in that order.
    """

    type: str
    source: str
    target: str
    options: tuple[str, ...] = ()

    def to_json(self) -> Document:
        return {
            "type": self.type,
            "source": self.source,
            "destination": self.target,
            "options": list(self.options),
        }

    @classmethod
    def from_json(cls, value: Document) -> Mount:
        return cls(value["type"], value["source"], value["destination"], tuple(value.get("options", ())))
