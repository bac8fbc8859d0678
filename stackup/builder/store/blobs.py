"""Blobs by digest, as the OCI image layout keeps them (image-spec, image-layout.md): blobs/sha256/<hex>.

Layers are not kept as bytes; `changeset.stream` makes them again from their tree when someone asks.
"""

from __future__ import annotations

import os

from stackup import oci
from stackup.errors import Damaged, KernelError, NotFound
from stackup.paths import Host, write_atomically


def path(host: Host, digest: str) -> str:
    return os.path.join(host.store, "blobs", "sha256", oci.digest_hex(digest))


def put(host: Host, data: bytes) -> str:
    """Store some bytes; their digest. Safe against others who store the same at the same time."""
    digest = oci.digest(data)
    name = path(host, digest)
    if not os.path.exists(name):
        try:
            write_atomically(name, data)
        except OSError as error:
            raise KernelError.of(f"write {name}", error) from error
    return digest


def get(host: Host, digest: str) -> bytes:
    """Raises NotFound, or Damaged where the bytes are not those that were stored."""
    try:
        with open(path(host, digest), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise NotFound(f"the store has no blob {digest}") from None
    if oci.digest(data) != digest:
        raise Damaged(f"blob {digest} is damaged", hint="remove the image and build it again")
    return data
