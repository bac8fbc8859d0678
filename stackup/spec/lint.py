"""What is legal in a stack file and unwise: `stackup check`. Each rule is a function from the stack to what it found.

A rule says nothing of what it cannot know: whether a value is a secret, it takes from names; what an image of the
store holds, it does not ask. Nothing is read but what `load` has read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from stackup.errors import Place, Problem
from stackup.spec.discover import dialect_of
from stackup.spec.layers import Copy, Run
from stackup.spec.model import Healthcheck, Loaded, Path, Port, Service, Stack
from stackup.spec.report import dotted, shown
from stackup.spec.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to think about. `source` is the line of the file with secrets struck out, None where it has none."""

    rule: str
    place: Place
    path: str
    message: str
    hint: str
    source: str | None = None

    def __str__(self) -> str:
        """As an error of the file is told, with the rule's name at the end of its first line."""
        return str(Problem(self.place, self.path, self.message, f"{self.hint} [{self.rule}]", self.source))

    def to_plain(self) -> dict[str, Any]:
        place = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return {"rule": self.rule, **place, "path": self.path, "message": self.message, "hint": self.hint}


class _Found(NamedTuple):
    path: Path
    message: str
    hint: str
    secret: str = ""


def lint(loaded: Loaded) -> tuple[Finding, ...]:
    """What the rules find, in the order of the files, without what comments in them switch off.

    Never raises for a stack that `load` made. A rule that no comment can name is a finding as well (`unknown-rule`).
    """
    off, findings = _switched_off(loaded.lines)
    told = [
        (name, _place(loaded, found.path), found)
        for name, (rule, _why) in _RULES.items()
        for found in (rule(loaded) if rule else ())
    ]
    secrets: dict[tuple[str, int], list[str]] = {}
    for _, place, found in told:
        if found.secret:
            secrets.setdefault((place.file, place.line), []).append(found.secret)
    for key, finding in findings.items():
        hidden = secrets.get((finding.place.file, finding.place.line), ())
        findings[key] = replace(finding, source=_source(loaded.lines, finding.place, hidden))
    for name, place, found in told:
        if name in off.get((place.file, place.line), ()) or name in off.get((place.file, 0), ()):
            continue
        source = _source(loaded.lines, place, secrets.get((place.file, place.line), ()))
        finding = Finding(name, place, dotted(_written(loaded, found.path)), found.message, found.hint, source)
        findings.setdefault((place, name), finding)
    return tuple(sorted(findings.values(), key=lambda f: (f.place, f.rule)))


def rules() -> Mapping[str, str]:
    """Every rule and why it is one, in the order of the documentation."""
    return {name: why for name, (_, why) in _RULES.items()}


# --- places and lines


def _place(loaded: Loaded, path: Path) -> Place:
    """Where a value was written; where it was not itself, what it belongs to."""
    while path not in loaded.origins:
        path = path[:-1]
    return Place(*loaded.origins[path])


def _written(loaded: Loaded, path: Path) -> Path:
    """The path as the file has it: a short form has no keys, the kind of a layer is no part of a canonical path."""
    if path[0] == "images" and "layers" in path:
        return path[: path.index("layers") + 2]
    return path[:-1] if _place(loaded, path) == _place(loaded, path[:-1]) else path


def _source(lines: Mapping[str, Sequence[str]], place: Place, secrets: Sequence[str]) -> str | None:
    text = lines.get(place.file, ())
    if not 1 <= place.line <= len(text):
        return None
    line = text[place.line - 1]
    for secret in sorted(secrets, key=len, reverse=True):  # what is printed ends up in the logs of others
        if secret not in line and "*" * len(secret) not in line:
            return None
        line = line.replace(secret, "*" * len(secret))  # as long: the caret stays below its column
    return shown(line)


_OFF = re.compile(r"(?:^|\s)#\s*stackup:\s*off\b(?:=(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*))?")
_Off = dict[tuple[str, int], set[str]]


def _switched_off(files: Mapping[str, Sequence[str]]) -> tuple[_Off, dict[tuple[Place, str], Finding]]:
    """(file, line) -> rules; line 0 is the whole file. And what is wrong with the comments."""
    off: _Off = {}
    wrong: dict[tuple[Place, str], Finding] = {}
    for file, lines in files.items():
        head, waiting = True, set[str]()
        for number, line in enumerate(lines, 1):
            named = {name for name in _named(line, Place(file, number), wrong) if name in _RULES}
            alone = line.lstrip()[:1] in ("", "#") or line[:1] == "%" or line.rstrip() == "---"
            if not alone:
                off.setdefault((file, number), set()).update(named | waiting)
                head, waiting = False, set()
            elif head:
                off.setdefault((file, 0), set()).update(named)
            else:
                waiting |= named
    return off, wrong


def _named(line: str, place: Place, wrong: dict[tuple[Place, str], Finding]) -> Iterator[str]:
    for match in _OFF.finditer(line) if "stackup:" in line else ():
        at = Place(place.file, place.line, line.index("#", match.start()) + 1)
        hint = "write '# stackup: off=RULE'"
        if match["rules"] is None:
            wrong[at, ""] = Finding("unknown-rule", at, "", "no rule is named here", hint, shown(line))
        for name in re.split(r"\s*,\s*", match["rules"] or ""):
            if name and name not in _RULES:
                hint = did_you_mean(name, _RULES) or "`stackup check --rules` lists them"
                wrong[at, name] = Finding("unknown-rule", at, "", f"no rule is called '{name}'", hint, shown(line))
            yield name


# --- rules about services


def _port_on_all_interfaces(loaded: Loaded) -> Iterator[_Found]:
    for name, service in loaded.stack.services.items():
        for index, port in enumerate(service.ports):
            if port.host_ip in ("0.0.0.0", "::"):
                message = f"whoever reaches this machine reaches {_host_port(port)}"
                hint = f'"{_narrow(port)}" publishes it for this machine only'
                yield _Found(("services", name, "ports", index, "host_ip"), message, hint)


def _host_port(port: Port) -> str:
    return f"port {port.published}" if port.published else f"the port that is chosen for {port.target}"


def _narrow(port: Port) -> str:
    suffix = "" if port.protocol == "tcp" else f"/{port.protocol}"
    return f"{port.published}:{port.target}{suffix}" if port.published else f"{port.target}{suffix}"


def _no_memory_limit(loaded: Loaded) -> Iterator[_Found]:
    for name, service in loaded.stack.services.items():
        if service.resources.memory is None and service.replicas:
            path: Path = ("services", name)
            compose = dialect_of(_place(loaded, path).file) == "compose"
            limit = "mem_limit: 256M" if compose else "resources: {memory: 256M}"
            yield _Found(path, "no memory limit: it may take all that the machine has", f"write one, as in '{limit}'")


def _no_healthcheck(loaded: Loaded) -> Iterator[_Found]:
    services = loaded.stack.services
    waiting: dict[str, list[str]] = {}
    for name, service in services.items():
        for other, dependency in service.depends_on.items():
            if dependency.condition == "service_started" and other in services:
                waiting.setdefault(other, []).append(name)
    for other, names in waiting.items():
        check = _check_of(loaded.stack, services[other])
        if check is None or check.test[:1] in ((), ("NONE",)):
            who = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            wait = "waits" if len(names) == 1 else "wait"
            message = f"no healthcheck: {who} {wait} for its start only, not until it can answer"
            yield _Found(("services", other), message, "give it one, and wait with 'condition: service_healthy'")


def _check_of(stack: Stack, service: Service) -> Healthcheck | None:
    """The service's own, or that of the images of this file it stands on."""
    check, image = service.healthcheck, stack.images.get(service.image)
    while check is None and image is not None:
        check, image = image.config.healthcheck, stack.images.get(image.base or "")
    return check


_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|JWT|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|SECRET_?KEY(?:_BASE)?"
    r"|ENCRYPTION_?KEY|SIGNING_?KEY|CREDENTIALS?)|.+_(?:PWD|PASS)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"(?i)|true|false|yes|no|on|off|none|null|[0-9]{1,3}|/.*|.*\$.*")
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/@:\s]*:(?P<secret>[^/@\s]+)@", re.IGNORECASE)


def _secret_in_environment(loaded: Loaded) -> Iterator[_Found]:
    written = _stack_files(loaded)
    for path, values in _environments(loaded.stack):
        for name, value in values.items():
            here = (*path, name)
            if not value or _place(loaded, here).file not in written:
                continue
            if loaded.sources.get(here):
                yield from _secret_in_default(loaded, here, value)
                continue
            hint = f"take it from a variable, as in '{name}: ${{{name}}}', or from an env_file of your own"
            if path[0] == "images":
                hint = "give it to the service that needs it, from a variable or an env_file"
            url = _PASSWORD_IN_URL.match(value)
            if url is not None and not _NO_SECRET.fullmatch(url["secret"]):
                yield _Found(here, f"the value of '{name}' has a password in it", hint, url["secret"])
            elif _SECRET_NAME.fullmatch(name) and not _NO_SECRET.fullmatch(value):
                yield _Found(here, f"'{name}' looks like a secret, and its value is written here", hint, value)


def _secret_in_default(loaded: Loaded, here: Path, value: str) -> Iterator[_Found]:
    """`${TOKEN:-abc}`: what stands for a variable that is not set is written in the file, too."""
    place, name = _place(loaded, here), str(here[-1])
    lines = loaded.lines.get(place.file, ())
    line = lines[place.line - 1] if 1 <= place.line <= len(lines) else ""
    url = _PASSWORD_IN_URL.match(value)
    for variable in dict.fromkeys(source.name for source in loaded.sources[here]):
        known = loaded.variables.get(variable)
        default = known.default if known is not None else None
        if not default or _NO_SECRET.fullmatch(default) or f"-{default}" not in line:
            continue
        secret = _SECRET_NAME.fullmatch(name) or _SECRET_NAME.fullmatch(variable)
        if secret or (url is not None and default in url["secret"]):
            message = f"the default of '{variable}' looks like a secret, and is written here"
            yield _Found(here, message, f"write '${{{variable}:?}}', which wants it to be set", default)


def _environments(stack: Stack) -> Iterator[tuple[Path, Mapping[str, str | None]]]:
    for service in stack.services.values():
        yield ("services", service.name, "environment"), service.environment
    for image in stack.images.values():
        yield ("images", image.name, "config", "environment"), image.config.environment


def _stack_files(loaded: Loaded) -> set[str]:
    """The files that are YAML: others hold variables, and are no business of this rule."""
    found = {place[0] for path, place in loaded.origins.items() if "environment" not in path}
    return found | {file for file in loaded.lines if file.endswith((".yaml", ".yml", ".json"))}


def _latest_tag(loaded: Loaded) -> Iterator[_Found]:
    images = loaded.stack.images
    named: list[tuple[Path, str]] = [(("services", s.name, "image"), s.image) for s in loaded.stack.services.values()]
    named += [(("images", i.name, "from"), i.base) for i in images.values() if i.base]
    for path, reference in named:
        if reference in images or "@" in reference:
            continue
        _, _, tag = reference.rpartition("/")[2].partition(":")
        if tag in ("", "latest"):
            what = "says ':latest'" if tag else "has no tag, which means ':latest'"
            message = f"'{reference}' {what}: tomorrow it may be another image"
            yield _Found(path, message, "name a version, or a digest (@sha256:...)")


_SYSTEM = ("/boot", "/dev", "/etc", "/proc", "/root", "/sys", "/usr", "/var")
_SOCKETS = re.compile(r"/(?:var/)?run/(?:docker|containerd/containerd|podman/podman|crio/crio)\.sock")


def _host_bind(loaded: Loaded) -> Iterator[_Found]:
    for name, service in loaded.stack.services.items():
        for index, mount in enumerate(service.volumes):
            if mount.type != "bind":
                continue
            path: Path = ("services", name, "volumes", index, "source")
            if _SOCKETS.fullmatch(mount.source):
                message = f"{mount.source}: who may write there is root on this machine"
                yield _Found(path, message, "do without it, or give it to a program that filters")
            elif mount.source == "/":
                message = "all files of this machine are shown to the container"
                yield _Found(path, message, "bind the folder that it needs")
            elif mount.source in _SYSTEM and not mount.read_only:
                message = f"the container may write {mount.source} of this machine"
                yield _Found(path, message, "bind the folder that it needs, or add ':ro'")


def _unconfined(loaded: Loaded) -> Iterator[_Found]:
    for name, service in loaded.stack.services.items():
        here: Path = ("services", name)
        if service.userns_mode == "host":
            message = "root in the container is root on this machine"
            yield _Found((*here, "userns_mode"), message, "leave it out: it has user ids of its own then")
        if service.network_mode == "host":
            message = "it is in the machine's own network, and reaches whatever listens on 127.0.0.1 there"
            yield _Found((*here, "network_mode"), message, "use 'networks' and 'ports'")
        for index, option in enumerate(service.security_opt):
            if option.replace(":", "=") == "seccomp=unconfined":
                message = "every system call of the kernel is open to it"
                yield _Found(
                    (*here, "security_opt", index), message, "leave it out, or write what it needs in 'cap_add'"
                )
        for index, capability in enumerate(service.cap_add):
            if capability.removeprefix("CAP_") in ("ALL", "SYS_ADMIN"):
                message = f"{capability} opens far more of the kernel to it than a service needs"
                yield _Found((*here, "cap_add", index), message, "name the few capabilities that it needs")


def _never_completes(loaded: Loaded) -> Iterator[_Found]:
    services = loaded.stack.services
    for name, service in services.items():
        for other, dependency in service.depends_on.items():
            restart = services[other].restart if other in services else None
            if restart is None or dependency.condition != "service_completed_successfully":
                continue
            if restart.policy in ("always", "unless-stopped") and not restart.max_attempts:
                message = f"'{name}' waits until this has completed, but its restart policy starts it again each time"
                yield _Found(("services", other, "restart"), message, "write no or on-failure")


# --- rules about images


def _copy_of_all(loaded: Loaded) -> Iterator[_Found]:
    for image in loaded.stack.images.values():
        for index, layer in enumerate(image.layers):
            if isinstance(layer, Copy) and os.path.normpath(layer.source) == ".":
                message = "copies the whole folder, with the stack file, .git and .env: any change there builds it anew"
                hint = "copy the folders and files that the image needs"
                yield _Found(("images", image.name, "layers", index, "source"), message, hint)


def _pipe_hides_failure(loaded: Loaded) -> Iterator[_Found]:
    for image in loaded.stack.images.values():
        for index, layer in enumerate(image.layers):
            if isinstance(layer, Run) and layer.command[:2] == ("/bin/sh", "-ec") and _has_pipe(layer.command[-1]):
                message = "a pipe has the status of its last command: where an earlier one fails, the step goes on"
                hint = "write the output to a file first, or use [bash, -o, pipefail, -ec, ...]"
                yield _Found(("images", image.name, "layers", index, "command"), message, hint)


_QUOTED = r"""\\.|'[^']*+'|"(?:[^"\\]++|\\.)*+\""""
_PIPE = r"(?<![|>])\|(?!\|)"


def _has_pipe(script: str) -> bool:
    """A `|` outside quotes; `||` is none."""
    if "|" not in script or "pipefail" in script:
        return False
    bare = re.sub(_QUOTED, "", script, flags=re.DOTALL)
    return re.search(_PIPE, bare) is not None and not set(bare) & {"'", '"'}  # an open quote: here-documents


def _unused(loaded: Loaded) -> Iterator[_Found]:
    """Volumes, networks and images that nothing uses; not in files without services, which build for others."""
    stack, services = loaded.stack, loaded.stack.services.values()
    if not services or stack.inactive:
        return
    used = {
        "volumes": {m.source for s in services for m in s.volumes if m.type == "volume"},
        "networks": {n for s in services for n in s.networks},
        "images": {s.image for s in services} | {i.base for i in stack.images.values() if i.base},
    }
    said = {
        "volumes": "no service mounts it", "networks": "no service is on it",
        "images": "no service runs it and no image stands on it: `up` does not build it",
    }  # fmt: skip
    for section, message in said.items():
        for name in getattr(stack, section):
            if name not in used[section]:
                yield _Found((section, name), message, "it can go")


_Rule = Callable[[Loaded], Iterator[_Found]]
_RULES: dict[str, tuple[_Rule | None, str]] = {
    "port-on-all-interfaces": (_port_on_all_interfaces, "a port that is open to more than this machine"),
    "no-memory-limit": (_no_memory_limit, "a service that may take all memory of the machine"),
    "no-healthcheck": (_no_healthcheck, "others wait for a service that cannot say when it is ready"),
    "secret-in-environment": (_secret_in_environment, "a password, token or key written into the file"),
    "latest-tag": (_latest_tag, "an image reference without a version"),
    "host-bind": (_host_bind, "a bind of the whole machine, of a system folder or of an engine's socket"),
    "unconfined": (_unconfined, "a wall of the container that is taken down"),
    "never-completes": (_never_completes, "others wait for the end of a service that is always started again"),
    "copy-of-all": (_copy_of_all, "a layer that holds the whole project folder"),
    "pipe-hides-failure": (_pipe_hides_failure, "a build step that goes on when the first part of a pipe fails"),
    "unused": (_unused, "a volume, network or image that nothing uses"),
    "unknown-rule": (None, "a comment that switches off a rule that does not exist"),
}
