"""Values that the planner's tests start from: a wish, and the machine as it is once that wish was applied."""

from __future__ import annotations

import dataclasses
from typing import Any

from stackup.planner.desired import Desired
from stackup.planner.graph import desired
from stackup.planner.observed import Observed, ObservedContainer, ObservedImage, ObservedNetwork, ObservedStep
from stackup.spec.model import Attachment, Dependency, Image, Loaded, Network, Path, Service, Stack, Volume, VolumeMount

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
_NET = Attachment()


def stack(*services: Service, images: tuple[Image, ...] = (), **more: Any) -> Stack:
    """Services with the network `default` under them, and an image `app` unless others are given."""
    images = images or (Image(name="app"),)
    named = {
        s.name: s if s.networks or s.network_mode != "bridge" else dataclasses.replace(s, networks={"default": _NET})
        for s in services
    }
    volumes = {m.source: Volume(name=m.source) for s in services for m in s.volumes if m.type == "volume" and m.source}
    return Stack(
        name="shop", folder="/shop", file="stack.yaml", images={i.name: i for i in images}, services=named,
        networks=more.pop("networks", {"default": Network(name="default")}), volumes=volumes, **more,
    )  # fmt: skip


def service(name: str = "web", **more: Any) -> Service:
    return Service(name=name, image=more.pop("image", "app"), **more)


def wish(made: Stack, origins: dict[Path, tuple[str, int, int]] | None = None) -> Desired:
    return desired(Loaded(stack=made, origins=origins or {}))


def image(name: str = "app", *, digest: str | None = DIGEST, named: str | None = DIGEST, **more: Any) -> ObservedImage:
    return ObservedImage(reference=f"shop/{name}", digest=digest, named=named, **more)


def unbuilt(name: str = "app", text: str = "copy . -> /app", reason: str = "web.py changed") -> ObservedImage:
    """An image that was built before and has to be built again."""
    return ObservedImage(
        reference=f"shop/{name}", digest=None, named=DIGEST, steps=(ObservedStep(text=text, hit=False, reason=reason),)
    )


def container(one: Service, number: int = 1, **more: Any) -> ObservedContainer:
    facts: dict[str, Any] = {"state": "running", "health": "none", "digest": DIGEST}
    return ObservedContainer(
        id=f"{one.name}-{number}", service_name=one.name, number=number, service=one, **(facts | more)
    )


def applied(made: Stack, **more: Any) -> Observed:
    """The machine once that stack was brought up."""
    facts: dict[str, Any] = {
        "serial": 7,
        "images": {k: image(k) for k in made.images},
        "containers": tuple(container(s, n) for s in made.services.values() for n in range(1, s.replicas + 1)),
        "networks": {k: ObservedNetwork(key=k, network=n) for k, n in made.networks.items()},
        "volumes": {v.own_name or f"{made.name}_{k}": k for k, v in made.volumes.items()},
    }
    return Observed(**(facts | more))


NOTHING = Observed(images={"app": ObservedImage(reference="shop/app")})
BUILT = Observed(images={"app": image()})
HEALTHY = {"store": Dependency(condition="service_healthy")}
COMPLETED = {"job": Dependency(condition="service_completed_successfully")}
DATA = VolumeMount(type="volume", source="data", target="/data")
