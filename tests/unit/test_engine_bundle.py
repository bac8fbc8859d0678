from __future__ import annotations

from typing import Any

import pytest

from stackup.engine.bundle import arguments, bundle, environment, exec_process, group_ids, resources, stop_signal
from stackup.engine.mounts import Source, anonymous_targets
from stackup.errors import BadInput, StackupError, Unsupported
from stackup.oci import Document
from stackup.runtime import capabilities
from stackup.runtime.idmap import IdMap
from stackup.spec.model import Resources, Service, Ulimit, VolumeMount

IDS = IdMap(0x20000000)
MIB = 1 << 20


def service(**fields: Any) -> Service:
    return Service(**{"name": "web", "image": "web", "command": ("serve",), **fields})


def made(wanted: Service | None = None, config: Document | None = None, **fields: Any) -> Document:
    values: dict[str, Any] = {"idmap": IDS, "cgroup_path": "stackup/3fa9c1/c/c0ffee000001", **fields}
    return bundle(
        wanted or service(), {"config": config or {}}, container_id="c0ffee000001", hostname="web-1", **values
    )


def mount_at(spec: Document, target: str) -> Document:
    (found,) = [m for m in spec["mounts"] if m["destination"] == target]
    return dict(found)


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, None, ["image-entry", "image-cmd"]),
        (None, ("mine",), ["image-entry", "mine"]),
        (None, (), ["image-entry"]),
        (("entry",), None, ["entry"]),
        (("entry",), ("mine",), ["entry", "mine"]),
        ((), ("mine",), ["mine"]),
    ],
)
def test_entrypoint_and_command_follow_dockers_rules(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, expected: list[str]
) -> None:
    config = {"Entrypoint": ["image-entry"], "Cmd": ["image-cmd"]}
    assert arguments(service(entrypoint=entrypoint, command=command), config) == expected


@pytest.mark.parametrize("config", [{}, {"Cmd": None}, {"Cmd": [], "Entrypoint": None}])
def test_nothing_to_run_is_an_error_that_says_where_to_write_it(config: Document) -> None:
    with pytest.raises(BadInput) as caught:
        arguments(service(command=None), config)
    assert caught.value.message == "no command specified for service web"
    assert caught.value.hint == "set command: in services.web or in the image's config"


def test_the_services_environment_wins_and_none_takes_a_variable_away() -> None:
    wanted = service(environment={"A": "mine", "B": None, "NEW": ""})
    assert environment(wanted, {"Env": ["A=image", "B=image", "C=x=y"]}, "web-1") == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "web-1",
        "A": "mine",
        "C": "x=y",
        "NEW": "",
    }


def test_term_is_set_only_with_a_terminal() -> None:
    assert environment(service(tty=True), {}, "h")["TERM"] == "xterm"
    assert "TERM" not in environment(service(), {}, "h")


def test_the_user_travels_as_a_name_to_be_resolved_inside() -> None:
    assert made(config={"User": "www-data"})["annotations"]["stackup.user"] == "www-data"
    assert made(service(user="1000:7"), {"User": "www-data"})["annotations"]["stackup.user"] == "1000:7"
    assert "stackup.user" not in made()["annotations"]


def test_every_namespace_is_its_own_unless_the_file_shares_it() -> None:
    kinds = {n["type"] for n in made()["linux"]["namespaces"]}
    assert kinds == {"user", "pid", "ipc", "uts", "mount", "cgroup", "network"}
    shared = {n["type"] for n in made(service(network_mode="host"))["linux"]["namespaces"]}
    assert kinds - shared == {"network"}
    no_user = made(idmap=None)["linux"]
    assert {"type": "user"} not in no_user["namespaces"]
    assert "uidMappings" not in no_user


def test_ids_are_mapped_from_the_containers_own_range() -> None:
    mapping = [{"containerID": 0, "hostID": 0x20000000, "size": 65536}]
    assert made()["linux"]["uidMappings"] == mapping
    assert made()["linux"]["gidMappings"] == mapping


def test_capabilities_are_dockers_default_and_change_by_name() -> None:
    assert made()["process"]["capabilities"]["bounding"] == list(capabilities.compute())
    changed = made(service(cap_add=("NET_ADMIN",), cap_drop=("CAP_CHOWN",)))["process"]["capabilities"]["bounding"]
    assert "CAP_NET_ADMIN" in changed
    assert "CAP_CHOWN" not in changed


def test_the_guards_stand_unless_the_file_takes_one_away() -> None:
    strict = made()
    assert strict["process"]["noNewPrivileges"] is True
    assert strict["annotations"]["stackup.seccomp"] == "default"
    assert "/proc/kcore" in strict["linux"]["maskedPaths"]
    assert "/proc/sys" in strict["linux"]["readonlyPaths"]
    options = ("no-new-privileges:false", "seccomp=unconfined", "systempaths=unconfined")
    loose = made(service(security_opt=options))
    assert loose["process"]["noNewPrivileges"] is False
    assert loose["annotations"]["stackup.seccomp"] == "unconfined"
    assert loose["linux"]["maskedPaths"] == []


def test_an_unknown_security_option_is_refused() -> None:
    with pytest.raises(BadInput, match="security_opt: apparmor:x is not supported"):
        made(service(security_opt=("apparmor:x",)))


def test_limits_become_cgroup_numbers() -> None:
    assert resources(service(resources=Resources(memory=64 * MIB, cpus=0.25, pids=32))) == {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
        "cpu": {"quota": 25_000, "period": 100_000},
        "pids": {"limit": 32},
    }
    assert resources(service()) == {}


def test_annotations_are_the_files_but_for_those_that_the_runtime_obeys() -> None:
    said = {"a": "b", "stackup.seccomp": "unconfined", "stackup.user": "0"}
    assert made(service(annotations=said))["annotations"] == {**made(service())["annotations"], "a": "b"}


def test_weights_and_swap_stand_beside_the_limits() -> None:
    limits = Resources(memory=64 * MIB, cpus=0.5)
    assert resources(service(resources=limits, cpu_shares=512, mem_reservation=MIB, memswap_limit=96 * MIB)) == {
        "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": MIB},
        "cpu": {"quota": 50_000, "period": 100_000, "shares": 512},
    }
    assert resources(service(cpu_shares=2, mem_reservation=MIB, memswap_limit=-1)) == {
        "memory": {"swap": -1, "reservation": MIB}, "cpu": {"shares": 2},
    }  # fmt: skip


def test_a_volume_shows_the_containers_ids_and_a_foreign_folder_only_its_owner() -> None:
    volumes = (
        VolumeMount(type="volume", source="data", target="/data"),
        VolumeMount(type="bind", source="/srv/site", target="/site", read_only=True),
    )
    sources = {"/data": Source("/root/volumes/shop_data"), "/site": Source("/srv/site", owner=(1000, 100))}
    spec = made(service(volumes=volumes), sources=sources)
    data, site = mount_at(spec, "/data"), mount_at(spec, "/site")
    assert data["uidMappings"] == [{"containerID": 0, "hostID": 0x20000000, "size": 65536}]
    assert data["options"] == ["rbind", "rw", "rprivate", "nodev", "idmap"]
    assert site["uidMappings"] == [{"containerID": 1000, "hostID": 0x20000000, "size": 1}]
    assert site["gidMappings"] == [{"containerID": 100, "hostID": 0x20000000, "size": 1}]
    assert site["options"] == ["rbind", "ro", "rprivate", "nodev", "idmap"]


@pytest.mark.parametrize(
    ("owner", "read_only", "guarded"),
    [((0, 0), False, True), ((1000, 0), False, True), ((0, 0), True, False), ((1000, 100), False, False)],
)
def test_where_it_writes_as_host_root_it_makes_no_setuid_files(
    owner: tuple[int, int], read_only: bool, guarded: bool
) -> None:
    volumes = (VolumeMount(type="bind", source="/srv", target="/srv", read_only=read_only),)
    sources = {"/srv": Source("/srv", owner)}
    spec = made(service(volumes=volumes), sources=sources)
    assert (spec["annotations"]["stackup.seccomp"] == "no-setid") is guarded
    assert ("CAP_SETFCAP" not in spec["process"]["capabilities"]["bounding"]) is guarded
    if guarded:
        assert (
            "CAP_SETFCAP"
            not in made(service(volumes=volumes, cap_add=("ALL",)), sources=sources)["process"]["capabilities"][
                "bounding"
            ]
        )
        with pytest.raises(BadInput, match="SETFCAP beside a writable bind source"):
            made(service(volumes=volumes, cap_add=("SETFCAP",)), sources=sources)


def test_without_a_user_namespace_nothing_is_id_mapped() -> None:
    wanted = service(volumes=(VolumeMount(type="bind", source="/srv", target="/srv"),), userns_mode="host")
    spec = made(wanted, sources={"/srv": Source("/srv", owner=(0, 0))}, idmap=None)
    assert "idmap" not in mount_at(spec, "/srv")["options"]


def test_mounts_come_parents_first_and_our_files_after_a_volume_around_them() -> None:
    volumes = tuple(
        VolumeMount(type="volume", source=s, target=t) for s, t in (("b", "/a/b"), ("a", "/a"), ("e", "/etc"))
    )
    spec = made(
        service(volumes=volumes), sources={v.target: Source(f"/v/{v.source}") for v in volumes},
        etc={"/etc/hosts": "/c/etc/hosts"},
    )  # fmt: skip
    targets = [m["destination"] for m in spec["mounts"]]
    assert targets == [
        "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/a", "/a/b", "/etc", "/etc/hosts",
    ]  # fmt: skip


def test_a_mount_of_the_service_takes_the_place_of_a_default() -> None:
    wanted = service(volumes=(VolumeMount(type="tmpfs", target="/dev/shm", size=MIB, mode=0o700),))
    shm = mount_at(made(wanted), "/dev/shm")
    assert "size=1048576" in shm["options"]
    assert "mode=700" in shm["options"]
    hosts = VolumeMount(type="bind", source="/my/hosts", target="/etc/hosts")
    spec = made(
        service(volumes=(hosts,)), sources={"/etc/hosts": Source("/my/hosts", (0, 0))}, etc={"/etc/hosts": "/ours"}
    )
    assert mount_at(spec, "/etc/hosts")["source"] == "/my/hosts"


def test_shm_has_the_asked_size() -> None:
    assert "size=134217728" in mount_at(made(service(shm_size=128 * MIB)), "/dev/shm")["options"]


def test_sys_is_read_only_and_bound_where_the_network_is_the_hosts() -> None:
    assert mount_at(made(), "/sys")["type"] == "sysfs"
    assert "ro" in mount_at(made(), "/sys")["options"]
    assert mount_at(made(service(network_mode="host")), "/sys")["type"] == "bind"


def test_a_volume_without_a_place_is_an_error_not_an_empty_folder() -> None:
    with pytest.raises(StackupError, match="nothing is there to mount on /data"):
        made(service(volumes=(VolumeMount(type="volume", source="data", target="/data"),)))


def test_image_volumes_that_nothing_covers_become_anonymous() -> None:
    config = {"config": {"Volumes": {"/data/": {}, "/cache": {}}}}
    wanted = service(volumes=(VolumeMount(type="volume", source="data", target="/data"),))
    assert anonymous_targets(wanted, config) == ("/cache",)
    spec = made(service(), sources={"/cache": Source("/root/volumes/0123")})
    assert mount_at(spec, "/cache")["source"] == "/root/volumes/0123"


def test_ulimits_are_set_and_never_above_our_own_hard_limit() -> None:
    assert made(hard_limits={"nofile": 4096})["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}
    ]
    wanted = service(ulimits={"nofile": Ulimit(soft=10, hard=20), "core": Ulimit(soft=0, hard=-1)})
    assert made(wanted)["process"]["rlimits"] == [
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
    ]
    with pytest.raises(Unsupported, match=r"ulimits.nofile: 20 is above this machine's hard limit 15"):
        made(wanted, hard_limits={"nofile": 15})


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(Unsupported, match="oom_score_adj: -5"):
        made(service(oom_score_adj=-5))


def test_groups_are_the_images_by_name_or_any_number() -> None:
    known = group_ids("root:x:0:\naudio:x:29:ana\nbroken\n:x:\n")
    spec = made(service(group_add=("audio", "44")), groups=known)
    assert spec["process"]["user"]["additionalGids"] == [29, 44]
    with pytest.raises(BadInput, match="the image has no group video"):
        made(service(group_add=("video",)), groups=known)


def test_the_rest_of_the_words_reach_the_spec() -> None:
    wanted = service(
        read_only=True, domainname="example.org", working_dir="app", sysctls={"net.core.somaxconn": "99"},
        oom_score_adj=300, group_add=("44",),
    )  # fmt: skip
    spec = made(wanted)
    assert spec["root"]["readonly"] is True
    assert (spec["hostname"], spec["domainname"]) == ("web-1", "example.org")
    assert spec["process"]["cwd"] == "/app"
    assert spec["process"]["oomScoreAdj"] == 300
    assert spec["process"]["user"] == {"uid": 0, "gid": 0, "additionalGids": [44]}
    assert spec["linux"]["sysctl"] == {"net.ipv4.ip_unprivileged_port_start": "0", "net.core.somaxconn": "99"}
    assert spec["linux"]["cgroupsPath"] == "/stackup/3fa9c1/c/c0ffee000001"


def test_the_stop_signal_is_the_services_then_the_images_then_term() -> None:
    assert stop_signal(service(stop_signal="SIGINT"), {"config": {"StopSignal": "SIGQUIT"}}) == "SIGINT"
    assert stop_signal(service(), {"config": {"StopSignal": "SIGQUIT"}}) == "SIGQUIT"
    assert stop_signal(service(), {}) == "SIGTERM"


def test_exec_gets_the_services_guards_with_its_own_words() -> None:
    spec = made(service(environment={"A": "1"}))
    process = exec_process(spec, ["sh"], env={"A": "2"}, cwd="/tmp", tty=True)
    assert process["args"] == ["sh"]
    assert "A=2" in process["env"]
    assert "TERM=xterm" in process["env"]
    assert (process["cwd"], process["terminal"]) == ("/tmp", True)
    assert process["capabilities"] == spec["process"]["capabilities"]
    assert process["noNewPrivileges"] is True
