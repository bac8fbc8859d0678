"""Small parts of the engine: words for ends, merged wishes, signals, locks, /etc files, the network's picture."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stackup.engine import ends, etc, generations, processes, running, topology
from stackup.engine.handlers import Handlers
from stackup.engine.leases import Lease
from stackup.engine.locks import StackLocks
from stackup.engine.records import ContainerRecord, NetworkRecord
from stackup.engine.views import Published
from stackup.engine.world import End
from stackup.errors import BadInput, Conflict
from stackup.paths import Host
from stackup.planner.desired import Desired, DesiredImage, DesiredService, DesiredVolume
from stackup.runtime.network.values import Publish
from stackup.spec.model import Attachment, Image, Network, Service, Volume, VolumeMount

HOST = Host("/nowhere", "abc123")


@pytest.mark.parametrize(
    ("end", "oom", "memory", "words"),
    [
        (End(0, None, 0), False, None, "exited 0"),
        (End(3, None, 0), False, None, "exited 3"),
        (End(None, 15, 0), False, None, "SIGTERM"),
        (End(None, 9, 0), True, 64 << 20, "OOM-killed at 64M"),
        (End(137, None, 0), True, 1536 << 10, "OOM-killed at 1536K"),  # a shell whose child was the one
        (End(0, None, 0), True, 64 << 20, "exited 0"),  # it lived on without that child
        (End(None, None, 0), False, None, "ended, nobody knows how"),
    ],
)
def test_an_end_is_told_in_words(end: End, oom: bool, memory: int | None, words: str) -> None:
    assert ends.describe(end, oom, memory) == words


def _desired(**services: str) -> Desired:
    made = {n: DesiredService(name=n, service=Service(name=n, image=i), image=i) for n, i in services.items()}
    return Desired(stack="s", folder="/f", file="stack.yaml", services=made)


def test_up_of_some_services_keeps_the_wish_for_the_others() -> None:
    before, wish = _desired(a="old", b="old"), _desired(a="new", b="new", c="new")
    merged = generations.merge(wish, before, ["a"])
    assert {n: s.image for n, s in merged.services.items()} == {"a": "new", "b": "old"}


def test_what_is_left_alone_stays_wished_with_its_volumes() -> None:
    before, wish = _desired(a="old", debug="old", gone="old"), _desired(a="new")
    debug = before.services["debug"]
    mount = VolumeMount(type="volume", source="data", target="/data")
    debug = replace(debug, service=replace(debug.service, volumes=(mount,)))
    data, other = (DesiredVolume(key=k, name=f"s_{k}", volume=Volume(name=k)) for k in ("data", "other"))
    before = replace(
        before, services={**before.services, "debug": debug}, volumes={"data": data, "other": other}
    )  # fmt: skip
    for services in ([], ["a"]):
        merged = generations.merge(wish, before, services, ["a", "debug"])
        assert {n: s.image for n, s in merged.services.items()} == {"a": "new", "debug": "old"}
        assert merged.volumes == {"data": data}
    assert generations.merge(wish, before, []) == wish


def test_up_of_a_service_takes_its_dependencies_along() -> None:
    wish = replace(_desired(a="new", b="new", c="new"), edges=(("service:a", "service:b"), ("service:a", "image:x")))
    assert generations.with_dependencies(wish, ["a"]) == {"a", "b"}
    assert set(generations.merge(wish, None, ["a"]).services) == {"a", "b"}


def test_a_wish_is_pinned_by_reference() -> None:
    image = DesiredImage(name="x", reference="s/x", image=Image(name="x"))
    pinned = generations.pin(replace(_desired(a="s/x", b="else"), images={"x": image}), {"s/x": "sha256:1"})
    assert (pinned.images["x"].digest, pinned.services["a"].digest, pinned.services["b"].digest) == (
        "sha256:1", "sha256:1", None,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", 15), ("term", 15), ("9", 9), ("sigusr1", 10)])
def test_signals_are_known_by_name_and_number(name: str, number: int) -> None:
    assert running.signal_number(name) == number


@pytest.mark.parametrize("name", ["SIGNONE", "0", "99", "", "SIG_DFL"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        running.signal_number(name)


@pytest.mark.parametrize(
    ("code", "hearing"),
    [
        ("import time; print(1, flush=True); time.sleep(60)", "deaf"),
        ("import signal, time; signal.signal(15, print); print(1, flush=True); time.sleep(60)", "caught"),
        ("import signal; signal.pthread_sigmask(0, [15]); print(1, flush=True); signal.sigwait([15])", "caught"),
        ("import signal, time; signal.pthread_sigmask(0, [15]); print(1, flush=True); time.sleep(60)", "blocked"),
        ("print(1, flush=True)\nwhile True: pass", "working"),
    ],
)
def test_a_process_that_would_not_notice_its_stop_signal_is_known(code: str, hearing: str) -> None:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        import time

        time.sleep(0.1)  # until it is in its last call
        try:
            assert processes.hearing(HOST, child.pid, signal.SIGTERM) == hearing
        finally:
            child.kill()


def test_a_start_time_names_a_process_and_a_gone_one_has_none() -> None:
    assert processes.start_time(HOST, os.getpid())
    assert processes.start_time(HOST, 2**22 + 1) is None


def test_the_second_holder_of_a_stack_waits_for_the_first() -> None:
    async def run() -> list[str]:
        locks, log = StackLocks(), list[str]()

        async def hold(name: str) -> None:
            async with locks.hold("s", name):
                log.append(f"+{name}")
                await asyncio.sleep(0)
                log.append(f"-{name}")

        await asyncio.gather(hold("a"), hold("b"))
        assert not locks.busy
        return log

    assert asyncio.run(run()) == ["+a", "-a", "+b", "-b"]


def test_a_command_of_another_version_is_told_how_to_go_on() -> None:
    asked = SimpleNamespace(arguments={"stackup": "9.9"})
    with pytest.raises(Conflict, match=r"this command is 9\.9") as caught:
        asyncio.run(Handlers(Any, Any).hello(asked))  # type: ignore[arg-type]
    assert caught.value.hint and f"kill {os.getpid()}" in caught.value.hint


def _record(number: int, **more: object) -> ContainerRecord:
    service = Service(name="web", image="i", networks={"default": Attachment(aliases=("www",))})
    values: dict[str, object] = {
        "id": f"c{number}", "stack": "s", "service_name": "web", "number": number, "digest": "d", "service": service,
        "state": "running", "addresses": {"default": f"10.89.0.{number + 1}"},
    }  # fmt: skip
    return ContainerRecord(**{**values, **more})  # type: ignore[arg-type]


NETWORK = NetworkRecord(
    name="s_default", stack="s", key="default", subnet="10.89.0.0/24", bridge="suabc123n2", network=Network(name="x")
)


def test_the_network_shows_who_runs_who_is_ready_and_what_is_published() -> None:
    containers = [_record(1), _record(2, health="starting"), _record(3)]
    state = topology.state(
        networks=[NETWORK], containers=containers, running={"c1", "c2"},
        leases=[Lease("address", "s_default", "10.89.0.254", "service:s/web")],
        published={"s/web": (Published(service="web", host_ip="127.0.0.1", published=8080, target=80),)},
        values={"s_default": topology.network_value(NETWORK, "abc123")}, way_out=False,
    )  # fmt: skip
    assert [(e.container, e.address, e.ready) for e in state.endpoints] == [
        ("c1", "10.89.0.2", True), ("c2", "10.89.0.3", False),
    ]  # fmt: skip
    assert state.endpoints[0].names == ("s-web-1", "c1")
    (service,) = state.services
    assert (service.service, service.address, service.aliases) == ("s/web", "10.89.0.254", ("web", "www"))
    assert state.publishes == (Publish(service="s/web", network="s_default", target=80, port=8080),)
    assert (state.networks[0].number, state.networks[0].link("abc123")) == (2, "suabc123n2")


def test_the_lowest_free_network_number_is_taken() -> None:
    assert topology.free_number(["suabc123n0", "suabc123n2"], "abc123") == 1
    assert topology.free_number([], "abc123") == 0


def test_hosts_names_the_container_and_its_gateway() -> None:
    service = replace(_record(1).service, extra_hosts={"up": ("host-gateway",), "db": ("10.0.0.9",)}, domainname="test")
    text = etc.hosts(_record(1, service=service), "me", ("10.89.0.1",))
    assert "10.89.0.2\tme.test me\n" in text
    assert text.endswith("10.89.0.1\tup\n10.0.0.9\tdb\n")


def test_resolv_conf_asks_the_gateway_unless_the_service_says_whom() -> None:
    record = _record(1)
    assert etc.resolv_conf(record, ("10.89.0.1",)) == "nameserver 10.89.0.1\noptions ndots:0\n"
    chosen = replace(record, service=replace(record.service, dns=("9.9.9.9",), dns_search=("a.b",)))
    assert etc.resolv_conf(chosen, ("10.89.0.1",)) == "nameserver 9.9.9.9\nsearch a.b\noptions ndots:0\n"
    picky = replace(record, service=replace(record.service, dns_opt=("ndots:2", "timeout:1")))
    assert etc.resolv_conf(picky, ("10.89.0.1",)).endswith("options ndots:0 ndots:2 timeout:1\n")
