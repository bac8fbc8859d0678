"""Desired: the wish as resolved values, edges and order. Made by `planner.graph`, kept by the supervisor and in
generations, stdlib only. Nothing in it is left to interpret; `values.to_plain` + canonical JSON is its stored form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from stackup.classes import dataclass
from stackup.spec.model import Image, Network, Service, Volume

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredImage:
    """An image of the file. `reference` is its name in the store: `<stack>/<key>`.

    `base` is a reference too (of this stack or foreign), or None. `digest` is the manifest's, None until pinned.
    """

    name: str
    reference: str
    image: Image
    base: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredService:
    """`image` is a reference in the store, `image_key` the key of the file's image it stands for, or None (foreign)."""

    name: str
    service: Service
    image: str
    image_key: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredNetwork:
    """`key` as in the file, `name` as kept in the root: `<stack>_<key>`."""

    key: str
    name: str
    network: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredVolume:
    """`key` as in the file, `name` as kept in the root: the file's `name`, or `<stack>_<key>`."""

    key: str
    name: str
    volume: Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """`order`: resource addresses, dependencies first, deterministic. `edges`: (dependent, dependency) pairs.

    `places`: address + " " + dotted field (`service:web resources.memory`) -> `stack.yaml:14`; never compared.
    `inactive`: services of the file that their profiles switch off: not among `services`, and left as they are.
    """

    version: int = VERSION
    stack: str
    folder: str
    file: str
    images: Mapping[str, DesiredImage] = field(default_factory=dict)
    services: Mapping[str, DesiredService] = field(default_factory=dict)
    networks: Mapping[str, DesiredNetwork] = field(default_factory=dict)
    volumes: Mapping[str, DesiredVolume] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    inactive: tuple[str, ...] = ()
