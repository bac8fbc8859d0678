from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackup.engine.records import (
    CheckResult,
    ContainerRecord,
    NetworkRecord,
    Records,
    VolumeRecord,
    open_records,
    read,
)
from stackup.errors import Conflict, StackupError
from stackup.paths import Host
from stackup.planner.desired import Desired, DesiredVolume
from stackup.spec.model import Network, Resources, Service, Volume

SERVICE = Service(name="web", image="web", resources=Resources(memory=64 << 20))


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    host = Host(str(tmp_path), "3fa9c1")
    with open_records(host) as opened:
        opened.put_stack("shop", "/srv/shop", "/srv/shop/stack.yaml")
        yield opened
        on_disk = read(host)  # what the writer remembers is what it wrote
        assert on_disk is not None and on_disk.containers() == opened.containers()
        assert [on_disk.container(c.id) for c in opened.containers()] == list(opened.containers())
        on_disk.close()


def container(name: str = "c0ffee000001", number: int = 1) -> ContainerRecord:
    return ContainerRecord(
        id=name, stack="shop", service_name="web", number=number, digest="sha256:1", service=SERVICE,
        addresses={"default": "10.89.0.2"}, created=1.5,
    )  # fmt: skip


def test_a_container_reads_back_as_it_was_written(records: Records) -> None:
    records.add_container(container())
    assert records.container("c0ffee000001") == container()
    assert records.containers("shop") == (container(),)
    assert records.containers("other") == ()


def test_a_change_is_kept_and_an_end_says_why(records: Records) -> None:
    records.add_container(container())
    records.change_container("c0ffee000001", state="exited", oom=True, exit="OOM-killed at 64M", exit_code=137)
    after = records.container("c0ffee000001")
    assert after is not None
    assert (after.state, after.oom, after.exit, after.exit_code) == ("exited", True, "OOM-killed at 64M", 137)


def test_what_was_rolled_back_is_forgotten(records: Records) -> None:
    records.add_container(container())
    with pytest.raises(RuntimeError), records.step():
        records.change_container("c0ffee000001", state="exited")
        records.add_container(container("c0ffee000002", 2))
        raise RuntimeError
    assert records.containers() == (container(),)
    with pytest.raises(StackupError):
        records.add_container(container())
    assert records.containers() == (container(),)


def test_what_a_plan_was_made_from_moves_the_serial_and_a_crash_loop_does_not(records: Records) -> None:
    before = records.serial("shop")
    records.add_container(container())
    assert records.serial("shop") == before + 1
    records.change_container("c0ffee000001", state="running", pid=7, restarts=3, health="healthy")
    assert records.serial("shop") == before + 1
    records.change_container("c0ffee000001", held=True)
    assert records.serial("shop") == before + 2
    records.change_container("c0ffee000001", bump=True, state="exited")
    assert records.serial("shop") == before + 3
    records.delete_container("c0ffee000001")
    assert records.serial("shop") == before + 4


def test_the_last_health_checks_are_kept_with_the_container_and_go_with_it(records: Records) -> None:
    results = (CheckResult(1.0, 2.0, 0, "fine"), CheckResult(3.0, 4.5, None, "it did not end"))
    records.put_checks("c0ffee000001", results)  # not there any more: no error
    records.add_container(container())
    records.put_checks("c0ffee000001", results[:1])
    records.put_checks("c0ffee000001", results)
    assert records.checks("c0ffee000001") == results
    records.delete_container("c0ffee000001")
    assert records.checks("c0ffee000001") == ()


def test_a_step_is_all_or_nothing(records: Records) -> None:
    with pytest.raises(RuntimeError), records.step():
        records.add_container(container())
        records.ledger.take("address", "shop_default", "10.89.0.2", "c0ffee000001")
        raise RuntimeError
    assert records.containers() == ()
    assert records.ledger.all("address") == ()
    records.add_container(container())  # the step left no transaction open


def test_an_address_has_one_owner_until_the_container_is_deleted(records: Records) -> None:
    records.add_container(container())
    records.ledger.take("address", "shop_default", "10.89.0.2", "c0ffee000001")
    records.ledger.take("address", "shop_default", "10.89.0.2", "c0ffee000001")
    with pytest.raises(Conflict, match="belongs to c0ffee000001"):
        records.ledger.take("address", "shop_default", "10.89.0.2", "other")
    records.delete_container("c0ffee000001")
    assert records.ledger.values("address", "shop_default") == frozenset()


def test_deleting_a_network_gives_its_addresses_back(records: Records) -> None:
    record = NetworkRecord(
        name="shop_default", stack="shop", key="default", subnet="10.89.0.0/24", bridge="su3fa9c1n0",
        network=Network(name="default"),
    )  # fmt: skip
    records.add_network(record)
    records.ledger.take("address", "shop_default", "10.89.0.9", "service:shop/web")
    assert records.networks("shop") == (record,)
    records.delete_network(record)
    assert records.networks() == ()
    assert records.ledger.of("service:shop/web") == ()


def test_a_generation_is_pending_then_current_then_past(records: Records) -> None:
    wish = Desired(stack="shop", folder="/srv/shop", file="/srv/shop/stack.yaml")
    first = records.add_generation(wish)
    pending = records.wished("shop")
    assert pending is not None
    assert (pending.number, pending.status, pending.desired) == (first, "pending", wish)
    records.finish_generation("shop", first)
    second = records.add_generation(wish)
    records.finish_generation("shop", second)
    assert [(number, status) for number, status, _ in records.generations("shop")] == [(1, "past"), (2, "current")]
    wished = records.wished("shop")
    assert wished is not None
    assert wished.number == second


def test_the_newest_wish_counts_even_when_it_was_not_finished(records: Records) -> None:
    wish = Desired(stack="shop", folder="/a", file="/a/stack.yaml")
    records.finish_generation("shop", records.add_generation(wish))
    pending = records.add_generation(Desired(stack="shop", folder="/b", file="/b/stack.yaml"))
    wished = records.wished("shop")
    assert wished is not None
    assert (wished.number, wished.status, wished.desired.folder) == (pending, "pending", "/b")


def test_only_the_newest_past_generations_are_kept_when_trimmed(records: Records) -> None:
    for _ in range(5):
        records.finish_generation("shop", records.add_generation(Desired(stack="shop", folder="/", file="/f")))
    records.trim_generations("shop", 2)
    assert [number for number, _, _ in records.generations("shop")] == [3, 4, 5]


def test_volumes_are_listed_by_stack_until_deleted(records: Records) -> None:
    ours = VolumeRecord(name="shop_data", stack="shop", key="data", created=1.0, labels={"a": "b"})
    other = VolumeRecord(name="blog_data", stack="blog", key="data", created=2.0)
    records.add_volume(ours)
    records.add_volume(other)
    assert records.volumes("shop") == (ours,)
    records.delete_volume(ours)
    assert records.volumes() == (other,)


def test_a_volumes_name_comes_from_the_newest_wish(records: Records) -> None:
    volume = Volume(name="data", external=True, external_name="elsewhere")
    wish = Desired(
        stack="shop", folder="/", file="/f",
        volumes={"data": DesiredVolume(key="data", name="elsewhere", volume=volume)},
    )  # fmt: skip
    assert records.volume_names("shop") == {}
    records.add_generation(wish)
    assert records.volume_names("shop") == {"data": "elsewhere"}


def test_what_began_and_did_not_end_is_found_after_a_crash(records: Records) -> None:
    done = records.begin("shop", "service:web/1", {"container": "a"})
    records.begin("shop", "service:web/2", {"container": "b"})
    records.end(done)
    (left,) = records.unfinished()
    assert (left.resource, left.operation) == ("service:web/2", {"container": "b"})


def test_facts_are_remembered_until_forgotten(records: Records) -> None:
    records.remember("sysctl:net/ipv4/ip_forward", "0")
    assert records.recall("sysctl:net/ipv4/ip_forward") == "0"
    assert records.facts("sysctl:") == {"sysctl:net/ipv4/ip_forward": "0"}
    records.forget("sysctl:net/ipv4/ip_forward")
    assert records.recall("sysctl:net/ipv4/ip_forward") is None


def test_a_reader_sees_what_was_written_and_may_not_write(records: Records, tmp_path: Path) -> None:
    records.add_container(container())
    reader = read(Host(str(tmp_path), "3fa9c1"))
    assert reader is not None
    with reader:
        assert reader.containers() == (container(),)
        with pytest.raises(StackupError):
            reader.bump("shop")


def test_a_root_without_state_has_nothing_to_read(tmp_path: Path) -> None:
    assert read(Host(str(tmp_path), "3fa9c1")) is None


def test_a_forgotten_stack_takes_its_generations_along(records: Records) -> None:
    records.add_generation(Desired(stack="shop", folder="/", file="/f"))
    records.delete_stack("shop")
    assert records.stacks() == ()
    assert records.generations("shop") == ()
    assert records.serial("shop") == 0
