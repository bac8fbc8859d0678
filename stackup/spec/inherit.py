"""What the file's own images say about health: the base of a service's `healthcheck`."""

from __future__ import annotations

from collections.abc import Iterator

from stackup.spec.nodes import Node

MOST_IMAGES = 100  # that stand on each other in one file


def healthchecks(root: Node) -> None:
    """Complete each service's `healthcheck` with the keys that only its image (or that image's `from`) gives.

    A service without `healthcheck` is left alone: the image's counts there, as it does for any other image.
    """
    images = root.items.get("images")
    services = root.items.get("services")
    if images is None or services is None:
        return
    for service in services.items.values():
        own = service.get("healthcheck")
        if own is None or not own.is_map:
            continue
        for check in _chain(service.get("image"), images.items):
            for key, value in check.items.items():
                own.items.setdefault(key, value)


def _chain(image: Node | None, images: dict[str, Node]) -> Iterator[Node]:
    seen: set[str] = set()
    while image is not None and isinstance(image.value, str) and image.value in images and image.value not in seen:
        if len(seen) > MOST_IMAGES:
            return  # told by `consistency`
        seen.add(image.value)
        node = images[image.value]
        config = node.get("config")
        check = config.get("healthcheck") if config is not None else None
        if check is not None and check.is_map:
            yield check
        image = node.get("from")
