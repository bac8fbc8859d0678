"""Images of the local store: names, what they are, who uses them. All functions open the store by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from stackup.oci import Document
from stackup.paths import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One line of an image's history. `diff_id` None: it made no layer. `size`: bytes of the unpacked files."""

    created_by: str
    diff_id: str | None
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image of the store. `config` is the OCI image config document (image-spec, config.md).

    `diff_ids`: layers, lowest first. `size`: bytes of the unpacked files of all layers. `used_by`: container ids.
    """

    digest: str
    names: tuple[str, ...]
    config: Document
    diff_ids: tuple[str, ...]
    history: tuple[History, ...]
    host_bound: bool
    size: int
    used_by: tuple[str, ...]


def resolve(host: Host | None, reference: str) -> str | None:
    """The manifest digest that a name, a digest or a unique digest prefix (12 digits or more) stands for, or None."""
    raise NotImplementedError


def image(host: Host, digest: str) -> StoredImage:
    """Raises NotFound where the store has no such manifest."""
    raise NotImplementedError


def list_images(host: Host | None) -> tuple[StoredImage, ...]:
    """All images with a name or a user, by name."""
    raise NotImplementedError


def remove(host: Host, reference: str, *, force: bool = False) -> tuple[str, ...]:
    """Take a name away, and the image with its last name; lines that say what went.

    Raises NotFound; Conflict where a container uses the image (`force` takes the name all the same).
    """
    raise NotImplementedError


def mark_used(host: Host, container_id: str, digest: str) -> None:
    """Keep an image, named or not, for as long as a container stands on it. Raises NotFound."""
    raise NotImplementedError


def unmark_used(host: Host, container_id: str) -> None:
    """The container is gone. Not an error where it was never marked."""
    raise NotImplementedError
