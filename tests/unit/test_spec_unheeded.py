"""Keys without effect: kept for `config` with their place, and checked all the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackup.errors import SpecErrors
from stackup.spec import annotate, support, unheeded
from stackup.spec.dump import document, dump
from stackup.spec.load import load_text
from stackup.spec.model import Loaded


def loaded(text: str) -> Loaded:
    return load_text(text, "/stacks/demo/stack.yaml", environment={})


SERVICE = "services: {web: {image: 'debian:12', %s}}"


def test_what_they_say_is_kept_by_its_path_and_printed() -> None:
    made = loaded(SERVICE % "volumes: ['/a:/b:z,rshared'], pids_limit: 5, storage_opt: {size: 1G}")
    assert made.warned == {
        ("services", "web", "volumes", 0, "bind", "selinux"): "z",
        ("services", "web", "volumes", 0, "bind", "propagation"): "rshared",
        ("services", "web", "storage_opt"): {"size": "1G"},
    }
    web = document(made)["services"]["web"]
    assert web["volumes"][0]["bind"] == {"selinux": "z", "propagation": "rshared"}
    assert web["storage_opt"] == {"size": "1G"}


def test_they_have_their_places() -> None:
    made = loaded(SERVICE % "\n volumes: ['/a:/b:z'], \n storage_opt: {size: 1G}")
    lines = {
        path[2:]: place.line
        for path in (*made.warned, ("services", "web", "storage_opt", "size"))
        if (place := annotate.origin(made, path, None).place)
    }
    assert lines == {("volumes", 0, "bind", "selinux"): 2, ("storage_opt",): 3, ("storage_opt", "size"): 3}


def test_a_list_that_nothing_else_fills_is_made() -> None:
    made = loaded("services: {w: {image: a}}\nnetworks: {default: {ipam: {config: [{aux_addresses: {a: 10.0.0.1}}]}}}")
    assert document(made)["networks"]["default"] == {"ipam": {"config": [{"aux_addresses": {"a": "10.0.0.1"}}]}}


def test_what_has_no_effect_stands_beside_what_has() -> None:
    said = "subnet: 10.0.0.0/24, gateway: 10.0.0.9, aux_addresses: {a: 10.0.0.1}"
    made = loaded(f"services: {{web: {{image: a}}}}\nnetworks: {{default: {{ipam: {{config: [{{{said}}}]}}}}}}")
    one = {"subnet": "10.0.0.0/24", "gateway": "10.0.0.9", "aux_addresses": {"a": "10.0.0.1"}}
    assert document(made)["networks"]["default"] == {"ipam": {"config": [one]}}


@pytest.mark.parametrize("key", [k for k, u in unheeded.SERVICE.items() if u.unless])
def test_what_is_so_anyway_brings_no_warning(key: str) -> None:
    for value in unheeded.SERVICE[key].unless:
        made = loaded(SERVICE % f"{key}: {json.dumps(value)}")
        assert (made.warnings, made.warned) == ((), {})


@pytest.mark.parametrize("key", [k for k in unheeded.SERVICE if support.at("services.*", k).status == "warned"])
def test_nothing_said_brings_no_warning(key: str) -> None:
    made = loaded(SERVICE % f"{key}: ")
    assert (made.warnings, made.warned) == ((), {})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("develop: {watch: [{path: a, action: sync}]}", ["'target' is missing: where do files go with 'sync'?"]),
        ("develop: {watch: [{path: a, action: rebuild}]}", []),
        ("pre_start: [{user: root}, {image: b}]", ["a step needs 'command', or an 'image' that brings one"]),
        ("models: [llm]", ["no 'llm' in 'models'"]),
        ("gpus: [{count: 1}, {device_ids: ['1']}]", []),
        ("post_start: [{command: [], privileged: maybe}]", ["expected true or false, found the text 'maybe'"]),
        ("privileged: maybe", ["expected true or false, found the text 'maybe'"]),
    ],
)
def test_they_are_checked(said: str, told: list[str]) -> None:
    found: list[Any] = []
    try:
        loaded(SERVICE % said)
    except SpecErrors as error:
        found = [problem.message for problem in error.problems]
    assert found == told


# A value that asks for something, for every key that any table has among those it does not obey.
VALUES: dict[str, Any] = {
    "annotations": {"a": "b"}, "attach": False, "blkio_config": {"weight": 10}, "build": ".", "cgroup": "host",
    "cgroup_parent": "a", "configs": ["c"], "cpu_count": 1, "cpu_percent": 50, "cpu_period": 1000, "cpu_quota": 500,
    "cpu_rt_period": "1ms", "cpu_rt_runtime": 5, "cpu_shares": 5, "cpuset": "0", "credential_spec": {"file": "a"},
    "develop": {"watch": [{"path": "a", "action": "rebuild"}]}, "device_cgroup_rules": ["c 1:3 r"], "dns_opt": ["a"],
    "devices": ["/dev/fuse"], "external_links": ["a"], "gpus": "all", "init": True, "ipc": "host", "isolation": "a",
    "logging": {"driver": "none"}, "mac_address": "02:42:ac:11:65:43", "mem_reservation": "5m", "mem_swappiness": 5,
    "memswap_limit": "1g", "models": ["m"], "oom_kill_disable": True, "pid": "host", "platform": "linux",
    "post_start": [{"command": "a"}], "pre_start": [{"command": "a"}], "pre_stop": [{"command": "a"}],
    "privileged": True, "provider": {"type": "a"}, "pull_policy": "always", "pull_refresh_after": "3d",
    "runtime": "runsc", "secrets": ["s"], "storage_opt": {"size": "1G"}, "use_api_socket": True, "uts": "host",
    "labels": {"a": "b"}, "mode": "host", "placement": {"constraints": ["a"]}, "update_config": {"parallelism": 1},
    "rollback_config": {"parallelism": 1}, "reservations": {"cpus": 1}, "cpus": 1, "memory": "5m",
    "generic_resources": [{}], "driver_opts": {"a": "b"}, "gw_priority": 1, "interface_name": "a",
    "ipv6_address": "::1", "link_local_ips": ["1.1.1.1"], "priority": 1, "app_protocol": "http", "name": "a",
    "consistency": "cached", "image": {}, "propagation": "shared", "recursive": "disabled", "selinux": "z",
    "subpath": "a", "attachable": True, "driver": "other", "enable_ipv4": False, "enable_ipv6": True,
    "external": True, "options": {"a": "b"}, "aux_addresses": {"a": "1.1.1.1"}, "gateway": "1.1.1.1",
    "ip_range": "10.0.0.0/25", "version": "3",
}  # fmt: skip
OTHER_VALUES: dict[tuple[str, str], Any] = {
    ("DEPLOY", "mode"): "global", ("TOP", "secrets"): {"s": {"file": "a"}}, ("TOP", "configs"): {"c": {"file": "a"}},
    ("TOP", "models"): {"m": {"model": "a"}}, ("RESERVATIONS", "devices"): [{"capabilities": ["gpu"]}],
}  # fmt: skip
# Where the keys of a table stand: a stack file with a hole.
DEPLOY = "services: {web: {image: a, deploy: {%s}}}"
MOUNT = "services: {web: {image: a, volumes: [{type: %s, source: %s, target: /b, %s}]}}\nvolumes: {v: }"
PLACES = {
    "TOP": "services: {web: {image: a}}\n%s",
    "SERVICE": (
        "services: {web: {image: a, %s}}\nsecrets: {s: {file: a}}\nconfigs: {c: {file: a}}\nmodels: {m: {model: a}}"
    ),
    "DEPLOY": DEPLOY,
    "RESOURCES": DEPLOY % "resources: {%s}",
    "RESERVATIONS": DEPLOY % "resources: {reservations: {%s}}",
    "ATTACHMENT": "services: {web: {image: a, networks: {default: {%s}}}}",
    "PORT": "services: {web: {image: a, ports: [{target: 80, %s}]}}",
    "MOUNT": MOUNT % ("bind", "/a", "%s"),
    "BIND": MOUNT % ("bind", "/a", "bind: {%s}"),
    "VOLUME_MOUNT": MOUNT % ("volume", "v", "volume: {%s}"),
    "NETWORK": "services: {web: {image: a}}\nnetworks: {default: {%s}}",
    "IPAM": "services: {web: {image: a}}\nnetworks: {default: {ipam: {%s}}}",
    "IPAM_CONFIG": "services: {web: {image: a}}\nnetworks: {default: {ipam: {config: [{%s}]}}}",
    "VOLUME": "services: {web: {image: a}}\nvolumes: {v: {%s}}",
}
TABLES = {
    name: table
    for name, table in vars(unheeded).items()
    if isinstance(table, dict) and table and all(isinstance(u, unheeded.Unheeded) for u in table.values())
}


def test_every_table_has_its_place() -> None:
    assert set(TABLES) <= set(PLACES)


@pytest.mark.parametrize(("table", "key"), [(t, k) for t, keys in TABLES.items() for k in keys])
def test_none_is_passed_over_in_silence(table: str, key: str) -> None:
    value = OTHER_VALUES.get((table, key)) or VALUES[key]
    try:
        made = loaded(PLACES[table] % f"{key}: {json.dumps(value)}")
    except SpecErrors as error:
        assert [p.path.rpartition(".")[2] for p in error.problems] == [key]
    else:
        told = [line.split(": ")[1].rpartition(".") for line in made.warnings if ": has no effect" in line]
        assert [name for place, _, name in told if bool(place) == (table != "TOP")] == [key]
        again = loaded(dump(made))
        assert (again.stack, again.warned) == (made.stack, made.warned)
