"""What no single value can tell: references, cycles, things published or mounted twice, files that must be there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from stackup.spec.forms import Context
from stackup.spec.inherit import MOST_IMAGES
from stackup.spec.layers import Copy, Template
from stackup.spec.model import Healthcheck, Image, Network, Path, Service, Stack
from stackup.spec.nodes import shorten
from stackup.spec.origins import Origins
from stackup.spec.report import found
from stackup.spec.suggest import did_you_mean, file_meant, nearest
from stackup.spec.units import size_text

# distribution/reference: [host[:port]/]path[:tag][@digest]
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
_LONGEST_REFERENCE = 512


def is_reference(text: str) -> bool:
    """Whether this may be an OCI image reference."""
    return len(text) <= _LONGEST_REFERENCE and re.fullmatch(_REFERENCE, text) is not None


def _as_reference(text: str) -> str:
    """What to write for what is none."""
    bare = text.strip().lower()
    for scheme in ("http://", "https://", "docker://"):
        bare = bare.removeprefix(scheme)
    return f"write '{bare}'" if is_reference(bare) else "as in 'nginx:1.27' or 'registry.local:5000/team/web:2'"


# What only mounts of one type have.
_ONLY = {"nocopy": "volume", "create_host_path": "bind", "size": "tmpfs", "mode": "tmpfs"}


def check(stack: Stack, origins: Origins, ctx: Context, profiles: Mapping[str, Sequence[str]] = {}) -> None:
    """Report every contradiction in a stack that is well-formed by itself. `profiles`: those of every service, also
    of the ones that are off."""
    checks = _Checks(stack, origins, ctx, profiles)
    for image in stack.images.values():
        checks.image(image)
    for service in stack.services.values():
        checks.service(service)
    checks.chains()
    checks.cycles()
    checks.published_once()
    checks.named_once()
    checks.volumes_named_once()
    for network in stack.networks.values():
        checks.addresses(network)


class _Checks:
    def __init__(self, stack: Stack, origins: Origins, ctx: Context, profiles: Mapping[str, Sequence[str]]) -> None:
        self.stack = stack
        self.origins = origins
        self.ctx = ctx
        self.profiles = profiles

    def problem(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        self.ctx.report.problem(self.origins.node(*path), message, hint, at_key=at_key)

    # --- images

    def image(self, image: Image) -> None:
        here: Path = ("images", image.name)
        if image.base is not None:
            self.reference((*here, "from"), image.base)
        elif not image.layers and self.origins.node(*here).is_map and not self.written(here):
            self.problem(here, "an image needs 'from' or 'layers'", at_key=True)
        for index, layer in enumerate(image.layers):
            if isinstance(layer, Copy | Template) and layer.source:
                self.source((*here, "layers", index, "source"), layer)

    def written(self, here: Path) -> bool:
        """Whether there is something that may have been meant as `from` or `layers`."""
        items = self.origins.node(*here).items
        return any(key != "config" and not key.startswith("x-") and node.value != [] for key, node in items.items())

    def reference(self, path: Path, name: str) -> None:
        if not name or name in self.stack.images or self.broken("images"):
            return
        bare = not set(name) & set("/:@")
        if bare and (near := nearest(name, self.stack.images)):
            other = f" For an image of that name in the store write '{name}:latest'" if is_reference(name) else ""
            self.problem(path, f"no '{shorten(name)}' in 'images'", f"did you mean '{near}'?{other}")
        elif not is_reference(name):
            own = "no image of this file and " if self.stack.images else ""
            known = f"'images' has {found(self.stack.images)}" if self.stack.images else _as_reference(name)
            self.problem(path, f"{shorten(name)!r} is {own}no image reference", known)

    def source(self, path: Path, layer: Copy | Template) -> None:
        if "\0" in layer.source:  # told where it was read
            return
        if layer.source.startswith(("/", "~/")) or ".." in layer.source.split("/"):
            hint = "move it below that folder and write it relative to it"
            self.problem(path, f"{shorten(layer.source)!r} leaves the stack file's folder", hint)
            return
        full = os.path.normpath(os.path.join(self.ctx.folder, layer.source))
        there, folder = os.path.lexists(full), os.path.isdir(full)
        top, real = os.path.realpath(self.ctx.folder), os.path.realpath(os.path.dirname(full))
        if layer.source.strip("./") and real != top and not real.startswith(top.rstrip("/") + "/"):
            self.problem(path, f"{shorten(layer.source)!r} leaves the stack file's folder through a link to {real}")
            return
        if not there:
            near = file_meant(layer.source, full)
            self.problem(path, f"no file or folder {shorten(layer.source)!r} in {self.ctx.folder}", near)
        elif folder and isinstance(layer, Template):
            self.problem(path, f"{shorten(layer.source)!r} is a folder, a template is a file")

    # --- services

    def service(self, service: Service) -> None:
        here: Path = ("services", service.name)
        self.reference((*here, "image"), service.image)
        self.network_mode(here, service)
        self.dependencies(here, service)
        self.mounts(here, service)
        for name, attachment in service.networks.items():
            self.network(here, name, attachment.ipv4_address, service)
        if service.container_name is not None and service.replicas > 1:
            hint = "remove one of the two"
            message = f"a name for one container, but {service.replicas} replicas"
            self.problem((*here, "container_name"), message, hint)
        self.memory(here, service)
        for limit, value in service.ulimits.items():
            if value.hard != -1 and (value.soft > value.hard or value.soft == -1):
                self.problem((*here, "ulimits", limit), f"soft {value.soft} is more than hard {value.hard}")

    def memory(self, here: Path, service: Service) -> None:
        limit, reserved, swap = service.resources.memory, service.mem_reservation, service.memswap_limit
        if reserved is not None and limit is not None and reserved > limit:
            message = f"{size_text(reserved)} is more than the limit, {size_text(limit)}"
            self.problem((*here, "mem_reservation"), message, "it is what is left to it when memory is short")
        if swap is None or swap < 0:
            return
        hint = "it counts memory and swap together"
        if limit is None:
            self.problem((*here, "memswap_limit"), "there is no limit of memory", f"{hint}: write 'mem_limit', too")
        elif swap < limit:
            message = f"{size_text(swap)} is less than the limit of memory, {size_text(limit)}"
            self.problem((*here, "memswap_limit"), message, hint)

    def network(self, here: Path, name: str, address: str | None, service: Service) -> None:
        network = self.stack.networks.get(name)
        if network is None:
            self.missing((*here, "networks", name), "network", name, self.stack.networks, "networks")
        elif address:
            self.static_address((*here, "networks", name, "ipv4_address"), address, network.subnet, name)
            if address == network.gateway:
                path = (*here, "networks", name, "ipv4_address")
                self.problem(path, f"{address} is the gateway of the network '{name}'")
            if service.replicas > 1:
                message = f"one address, but {service.replicas} replicas"
                self.problem((*here, "networks", name, "ipv4_address"), message, "remove one of the two")

    def static_address(self, path: Path, address: str, subnet: str | None, network: str) -> None:
        import ipaddress

        if subnet is None:
            self.problem(path, f"the network '{network}' has no 'subnet'", f"give it one that holds {address}")
            return
        try:
            inside = ipaddress.ip_address(address) in ipaddress.ip_network(subnet)
        except ValueError:  # told where it was read
            return
        if not inside:
            self.problem(path, f"{address} is not in the subnet {subnet} of the network '{network}'")

    def network_mode(self, here: Path, service: Service) -> None:
        mode = service.network_mode
        if self.origins.has(*here, "network_mode") and self.origins.has(*here, "networks") and service.networks:
            if mode == "bridge" and set(service.networks) == {"default"}:
                return
            message = f"'{mode}' together with 'networks' is a contradiction"
            self.problem((*here, "network_mode"), message, "remove one of the two")
        if mode != "bridge" and service.ports:
            self.problem((*here, "ports"), f"no port can be published with 'network_mode: {mode}'", at_key=True)

    def broken(self, section: str) -> bool:
        """Whether a section is no mapping, so that nobody can know what is in it; it is told where it was read."""
        return self.origins.has(section) and not isinstance(self.origins.node(section).value, dict | None)

    def missing(
        self, path: Path, kind: str, name: str, known: Mapping[str, object], section: str, also: str = ""
    ) -> None:
        if self.broken(section):
            return
        declared = f"declare it at the top level: '{section}: {{{shorten(name)}: {{}}}}'{also}"
        hint = did_you_mean(name, known) or declared
        self.problem(path, f"no {kind} '{shorten(name)}' in '{section}'", hint)

    def dependencies(self, here: Path, service: Service) -> None:
        for name, dependency in service.depends_on.items():
            path = (*here, "depends_on", name)
            other = self.stack.services.get(name)
            if name == service.name:
                self.problem(path, f"'{name}' cannot depend on itself", at_key=True)
            elif name in self.stack.inactive:
                off = " or ".join(f"--profile {profile}" for profile in self.profiles.get(name, ())[:3])
                hint = f"{off} switches it on; or write 'required: false'" if off else None
                self.problem(path, f"'{name}' does not take part: its profiles are not active", hint, at_key=True)
            elif other is None:
                if dependency.required:
                    near = did_you_mean(name, self.stack.services)
                    message = f"no service '{shorten(name)}' in 'services'"
                    self.problem(path, message, near or f"'services' has {found(self.stack.services)}", at_key=True)
            elif dependency.condition == "service_healthy" and not self.has_healthcheck(other):
                hint = f"give it one: services.{name}.healthcheck"
                message = f"waits for '{name}' to be healthy, but neither it nor its image has a healthcheck"
                self.problem((*path, "condition"), message, hint)

    def has_healthcheck(self, service: Service) -> bool:
        """A foreign image may bring one: that is known only when it is there."""
        check: Healthcheck | None = service.healthcheck
        seen: set[str] = set()
        name: str | None = service.image
        while name is not None and name in self.stack.images and name not in seen and len(seen) <= MOST_IMAGES:
            if check is not None and check.test:
                break
            seen.add(name)
            check = self.stack.images[name].config.healthcheck or check
            name = self.stack.images[name].base
        if check is not None and check.test:
            return check.test[0] != "NONE"
        return name is not None and name not in self.stack.images

    def mounts(self, here: Path, service: Service) -> None:
        targets: dict[str, int] = {}
        for index, mount in enumerate(service.volumes):
            path = (*here, "volumes", index)
            first = targets.setdefault(mount.target, index)
            if first != index and mount.target not in ("", "/"):
                where = self.origins.node(*here, "volumes", first, "target").place
                self.problem((*path, "target"), f"a second mount on {mount.target}; the first is at {where}")
            kind = self.origins.node(*path, "type").value
            if kind == mount.type == "volume" and mount.source and mount.source not in self.stack.volumes:
                folder = f", or write './{shorten(mount.source)}' for a folder"
                self.missing((*path, "source"), "volume", mount.source, self.stack.volumes, "volumes", folder)
            if mount.type == "bind" and not mount.source:
                self.problem(path, "a bind mount needs 'source'")
            for key, kind in _ONLY.items():
                if mount.type != kind and self.origins.has(*path, key):
                    message = f"'{key}' has no effect on a mount of type {mount.type}"
                    self.ctx.report.warn(self.origins.node(*path, key), message)
            if mount.type == "tmpfs" and mount.source:
                self.problem((*path, "source"), "a tmpfs has no source", "remove it")

    # --- the whole file

    def chains(self) -> None:
        """Images that stand on more images than any need; told of the first one that does."""
        depths: dict[str, int] = {}
        for name in self.stack.images:
            chain: list[str] = []
            base: str | None = name
            while base is not None and base in self.stack.images and base not in depths and base not in chain:
                chain.append(base)
                base = self.stack.images[base].base
                if len(chain) > MOST_IMAGES:
                    break
            depth = depths.get(base, 0) if base is not None else 0
            for one in reversed(chain):
                depths[one] = depth = depth + 1
            if depth > MOST_IMAGES:
                hint = "put their layers into one image"
                self.problem(("images", name, "from"), f"stands on more than {MOST_IMAGES} other images", hint)
                return

    def cycles(self) -> None:
        images = {n: [i.base] if i.base in self.stack.images else [] for n, i in self.stack.images.items()}
        for cycle in _cycles(images):
            self.cycle(cycle, lambda name, _: ("images", name, "from"), "images stand on each other")
        services = {
            n: [d for d in s.depends_on if d in self.stack.services and d != n] for n, s in self.stack.services.items()
        }
        for cycle in _cycles(services):
            self.cycle(cycle, lambda name, on: ("services", name, "depends_on", on), "services wait for each other")

    def cycle(self, names: list[str], where: Callable[[str, str], Path], message: str) -> None:
        """`a -> b (line 3) -> a (line 7)`, told once, at the first of them."""
        pairs = list(zip(names, [*names[1:], names[0]], strict=True))
        places = [self.origins.node(*where(name, on)).key_place for name, on in pairs]
        one = len({place.file for place in places}) == 1
        told = [f"line {place.line}" if one else f"{place.file}:{place.line}" for place in places]
        steps = [f"{on} ({place})" for (_, on), place in zip(pairs, told, strict=True)]
        self.problem(where(*pairs[0]), f"{message}: {names[0]} -> {' -> '.join(steps)}", "take one of them out")

    def published_once(self) -> None:
        taken: dict[tuple[int, str], list[tuple[str, Path]]] = {}
        for service in self.stack.services.values():
            for index, port in enumerate(service.ports):
                if not port.published:
                    continue
                path: Path = ("services", service.name, "ports", index)
                others = taken.setdefault((port.published, port.protocol), [])
                for address, first in others:
                    if address == port.host_ip or "0.0.0.0" in (address, port.host_ip):
                        node, second = self.origins.node(*first), self.origins.node(*path)
                        message = f"host port {port.published}/{port.protocol} is published twice"
                        hint = f"first by {self.ctx.report.dotted(node.path)} ({node.place})"
                        if node.place == second.place:
                            message += f", by '{first[1]}' and '{service.name}': one extends the other"
                            hint = f"write 'ports: !override [...]' in '{service.name}'"
                        self.problem(path, message, hint)
                        break
                others.append((port.host_ip, path))

    def named_once(self) -> None:
        taken: dict[str, str] = {}
        for service in self.stack.services.values():
            name = service.container_name
            if name and taken.setdefault(name, service.name) != service.name:
                path = ("services", service.name, "container_name")
                self.problem(path, f"'{name}' is the name of services.{taken[name]}'s container already")

    def addresses(self, network: Network) -> None:
        """What of a network lies in its subnet."""
        said = {"ip_range": network.ip_range, "gateway": network.gateway}
        for key, value in said.items():
            if not value or ":" in value or value == "host-gateway":  # told where it was read
                continue
            path = ("networks", network.name, key)
            if network.subnet is None:
                self.problem(path, f"the network '{network.name}' has no 'subnet'", f"give it one that holds {value}")
                continue
            import ipaddress

            try:
                inner, subnet = ipaddress.IPv4Network(value), ipaddress.IPv4Network(network.subnet)
            except ValueError:
                continue
            if not inner.subnet_of(subnet):
                self.problem(path, f"{value} is not in the subnet {subnet} of the network '{network.name}'")
            elif key == "gateway" and inner[0] in (subnet.network_address, subnet.broadcast_address):
                self.problem(path, f"{value} is no address that a machine can have in {subnet}")

    def volumes_named_once(self) -> None:
        taken: dict[str, str] = {}
        for key, volume in self.stack.volumes.items():
            name = volume.own_name or f"{self.stack.name}_{key}"
            if not volume.external and taken.setdefault(name, key) != key:
                path = ("volumes", key, "name") if volume.own_name else ("volumes", taken[name], "name")
                other = taken[name] if volume.own_name else key
                self.problem(path, f"'{name}' is the name of volumes.{other} already")


_MOST_CYCLES = 50  # told in one go; three hundred services that all wait for each other have 45,000


def _cycles(edges: Mapping[str, Iterable[str | None]]) -> list[list[str]]:
    """The cycles of a graph, each once, beginning with its first name in the order of the file.

    One cycle for each edge back that a depth-first walk meets: enough to tell them all, after a few repairs at most.
    """
    state: dict[str, int] = {}  # 1: on the way, 2: done
    cycles: list[list[str]] = []
    order = {name: i for i, name in enumerate(edges)}
    for start in edges:
        if start in state:
            continue
        way = [start]
        state[start] = 1
        open_edges = [iter(edges[start])]
        while way:
            step = next(open_edges[-1], None)
            if step is None:
                state[way.pop()] = 2
                open_edges.pop()
            elif step not in state:
                state[step] = 1
                way.append(step)
                open_edges.append(iter(edges[step]))
            elif state[step] == 1 and len(cycles) < _MOST_CYCLES:
                cycle = way[way.index(step) :]
                first = cycle.index(min(cycle, key=lambda name: order[name]))
                cycles.append(cycle[first:] + cycle[:first])
    return cycles
