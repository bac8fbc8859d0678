"""The table field -> verdict: complete, and each verdict seen in a plan."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from stackup.planner.changes import changes, size
from stackup.planner.fields import VERDICTS
from stackup.planner.operations import CreateContainer, RestartContainer, UpdateContainer
from stackup.planner.reconcile import reconcile
from stackup.spec.model import (
    Attachment,
    Dependency,
    Healthcheck,
    Network,
    Port,
    Resources,
    Restart,
    Service,
    Ulimit,
    VolumeMount,
)
from stackup.spec.support import table

from .planner_values import applied, service, stack, wish


def leaves(kind: Any, name: str) -> Iterator[str]:
    """Every name that a change can carry."""
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [k for k in get_args(kind) if k is not type(None)]
        if len(kinds) < len(get_args(kind)) or not dataclasses.is_dataclass(kinds[0]):
            yield name
        kind = kinds[0] if len(kinds) == 1 else None
    if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
        yield f"{name}.*"
        yield from (n for n in leaves(get_args(kind)[1], f"{name}.*") if n != f"{name}.*")
    elif dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield from leaves(hints[field.name], f"{name}.{field.name}" if name else field.name)
    elif kind is not None:
        yield name


def test_every_field_of_a_service_has_a_verdict() -> None:
    wanted = set(leaves(Service, ""))
    assert wanted - set(VERDICTS) == set()
    assert set(VERDICTS) - wanted <= {"restart", "resources"}  # a nested value as a whole


# Keys that are another word for a field, or are resolved while the file is loaded.
MEANS = {
    "scale": "replicas", "mem_limit": "resources.memory", "cpus": "resources.cpus", "pids_limit": "resources.pids",
    "tmpfs": "volumes", "volumes_from": "volumes", "env_file": "environment.*", "label_file": "labels.*",
    "deploy.replicas": "replicas", "deploy.endpoint_mode": "endpoint_mode",
    "deploy.resources": "resources", "deploy.resources.limits": "resources",
    "deploy.resources.reservations": "mem_reservation", "deploy.resources.reservations.memory": "mem_reservation",
    "deploy.restart_policy": "restart",
    "deploy.resources.limits.memory": "resources.memory", "deploy.resources.limits.cpus": "resources.cpus",
    "deploy.resources.limits.pids": "resources.pids", "deploy.restart_policy.condition": "restart.policy",
    "deploy.restart_policy.delay": "restart.delay", "deploy.restart_policy.max_attempts": "restart.max_attempts",
    "deploy.restart_policy.window": "restart.window", "healthcheck.disable": "healthcheck.test",
}  # fmt: skip
RESOLVED = {"deploy", "extends", "extends.service", "extends.file", "profiles"}


def verdict_of(key: str) -> str | None:
    """The field that an obeyed key of a service sets, as changes carry it."""
    key = key.partition("[]")[0]  # a list is compared as a whole
    names = (key, f"{key}.*", MEANS.get(key, ""))
    return next((name for name in names if name in VERDICTS), None)


def test_every_obeyed_key_has_a_verdict() -> None:
    service = "services.*."
    obeyed = [key.removeprefix(service) for key, entry in table().items()
              if key.startswith(service) and entry.status == "obeyed"]  # fmt: skip
    assert [key for key in obeyed if verdict_of(key) is None and key not in RESOLVED] == []
    told = {verdict_of(key) for key in obeyed}
    assert {field for field in VERDICTS if field not in told} == {"name"}


# Two values of each field. What is nested is written out with all its leaves.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "image": ("app", "app2"), "command": (None, ("a",)), "entrypoint": (None, ("a",)),
    "environment.*": ({}, {"A": "1"}), "working_dir": (None, "/a"), "user": (None, "1"), "group_add": ((), ("1",)),
    "hostname": (None, "a"), "domainname": (None, "a"), "labels.*": ({}, {"a": "b"}),
    "annotations.*": ({}, {"a": "b"}), "attach": (True, False), "replicas": (1, 1),
    "container_name": (None, "a"), "tty": (False, True), "stdin_open": (False, True),
    "read_only": (False, True), "ports": ((), (Port(target=1),)), "expose": ((), ("1",)),
    "volumes": ((), (VolumeMount(type="tmpfs", target="/a"),)), "depends_on.*": ({}, {"store": Dependency()}),
    "depends_on.*.condition": tuple({"store": Dependency(condition=c)} for c in ("service_started", "service_healthy")),
    "depends_on.*.restart": tuple({"store": Dependency(restart=r)} for r in (False, True)),
    "depends_on.*.required": tuple({"store": Dependency(required=r)} for r in (False, True)),
    "restart.policy": (Restart(), Restart(policy="always")),
    "restart.max_attempts": (Restart(), Restart(max_attempts=1)),
    "restart.delay": (Restart(), Restart(delay=2)), "restart.window": (Restart(), Restart(window=2)),
    "healthcheck": (None, Healthcheck(test=("CMD", "a"))),
    "healthcheck.test": tuple(Healthcheck(test=("CMD", t)) for t in "ab"),
    "healthcheck.interval": (Healthcheck(), Healthcheck(interval=1)),
    "healthcheck.timeout": (Healthcheck(), Healthcheck(timeout=1)),
    "healthcheck.retries": (Healthcheck(), Healthcheck(retries=1)),
    "healthcheck.start_period": (Healthcheck(), Healthcheck(start_period=1)),
    "healthcheck.start_interval": (Healthcheck(), Healthcheck(start_interval=1)),
    "resources.memory": (Resources(), Resources(memory=1)), "resources.cpus": (Resources(), Resources(cpus=1)),
    "resources.pids": (Resources(), Resources(pids=1)), "cpu_shares": (None, 512),
    "mem_reservation": (None, 1), "memswap_limit": (1 << 30, -1),
    "networks.*": ({"default": Attachment()}, {"default": Attachment(), "back": Attachment()}),
    "networks.*.aliases": ({"default": Attachment()}, {"default": Attachment(aliases=("a",))}),
    "networks.*.ipv4_address": ({"default": Attachment()}, {"default": Attachment(ipv4_address="10.89.0.9")}),
    "links": ((), ("store:db",)), "network_mode": ("bridge", "none"),
    "endpoint_mode": ("vip", "dnsrr"), "extra_hosts.*": ({}, {"a": ("1.1.1.1",)}),
    "dns": ((), ("1.1.1.1",)), "dns_search": ((), ("a",)), "dns_opt": ((), ("ndots:1",)),
    "stop_signal": (None, "SIGINT"),
    "stop_grace_period": (10.0, 1.0), "cap_add": ((), ("A",)), "cap_drop": ((), ("A",)),
    "security_opt": ((), ("a",)), "sysctls.*": ({}, {"a": "1"}), "ulimits.*": ({}, {"nofile": Ulimit(soft=1, hard=2)}),
    "ulimits.*.soft": tuple({"nofile": Ulimit(soft=s, hard=2)} for s in (1, 2)),
    "ulimits.*.hard": tuple({"nofile": Ulimit(soft=1, hard=h)} for h in (1, 2)), "shm_size": (None, 1),
    "oom_score_adj": (0, 1), "userns_mode": ("", "host"),
}  # fmt: skip


def test_every_verdict_has_a_sample() -> None:
    assert set(VERDICTS) - set(SAMPLES) == {"name", "restart", "resources"}


@pytest.mark.parametrize("field", SAMPLES)
def test_a_changed_field_gives_its_verdict_in_the_plan(field: str) -> None:
    networks = {"default": Network(name="default"), "back": Network(name="back")}
    old, new = (
        stack(service(**({"networks": {"default": Attachment()}} | {field.partition(".")[0]: value})),
              service("store", networks={"default": Attachment()}), networks=networks)
        for value in SAMPLES[field]
    )  # fmt: skip
    one, other = old.services["web"], new.services["web"]
    if one != other:
        assert {c.verdict for c in changes(one, other, {})} == {VERDICTS[field]}
    if field == "image":  # the same digest under another name
        new = dataclasses.replace(new, images={"app2": dataclasses.replace(new.images["app"], name="app2")})
        new = dataclasses.replace(
            new,
            services={
                "web": new.services["web"],
                "store": service("store", image="app2", networks={"default": Attachment()}),
            },
        )
    seen = applied(old)
    if field == "image":
        from .planner_values import image

        seen = dataclasses.replace(seen, images={"app2": image("app2")})
    kinds = {"live": UpdateContainer, "restart": RestartContainer, "replace": CreateContainer}
    plan = reconcile(wish(new), seen)
    wanted = kinds.get(VERDICTS[field])
    found = [o for o in plan.operations if isinstance(o, UpdateContainer | RestartContainer | CreateContainer)]
    assert [type(o) for o in found] == ([wanted] if wanted else [])


def test_values_are_told_in_the_users_words() -> None:
    old = service(ports=(Port(target=80, published=8080),), shm_size=1 << 20, stop_grace_period=10.0)
    new = service(ports=(), shm_size=1536 << 20, stop_grace_period=90.0)
    assert [str(c) for c in changes(old, new, {})] == [
        "ports [127.0.0.1:8080:80] -> nothing",
        "stop_grace_period 10s -> 90s",
        "shm_size 1M -> 1.5G",
    ]


def test_a_field_taken_away_points_to_what_it_stood_in() -> None:
    old, new = service(environment={"A": "1"}), service()
    places = {"service:web": "stack.yaml:3", "service:web environment": "stack.yaml:5"}
    assert [c.place for c in changes(old, new, places)] == ["stack.yaml:5"]


def test_a_long_value_is_cut() -> None:
    (change,) = changes(service(), service(command=("x" * 200,)), {})
    assert len(change.new) == 60 and change.new.endswith("...")


def test_long_values_begin_where_they_differ() -> None:
    old, new = (("sh", "-c", f"{'echo a; ' * 20}sleep {n}") for n in ("infinity", "999"))
    (change,) = changes(service(command=old), service(command=new), {})
    assert (change.old, change.new) == ("... echo a; sleep infinity]", "... echo a; sleep 999]")
    (port,) = changes(service(command=("a" * 80, "b")), service(command=("c" * 80,)), {})
    assert port.old.startswith("[aaa") and port.new.startswith("[ccc") and len(port.old) == 60


@pytest.mark.parametrize(("count", "text"), [(0, "0B"), (1023, "1023B"), (64 << 20, "64M"), (1536 << 20, "1.5G")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
