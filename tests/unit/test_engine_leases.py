from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from stackup.engine.leases import machine_ids
from stackup.engine.records import Records, open_records
from stackup.errors import Conflict
from stackup.paths import Host
from stackup.runtime.idmap import SIZE, IdMap

HOST_ID = "3fa9c1"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return open_records(Host(str(tmp_path), HOST_ID))


def test_two_containers_never_share_an_id(records: Records) -> None:
    bases = sorted(records.ledger.take_ids(f"container{n}", HOST_ID) for n in range(20))
    assert all(b - a >= SIZE for a, b in itertools.pairwise(bases))


def test_ids_of_a_user_are_left_alone(records: Records) -> None:
    first = records.ledger.take_ids("a", HOST_ID)
    records.ledger.release("a")
    assert not IdMap(records.ledger.take_ids("a", HOST_ID, [(first + 10, 5)])).overlaps(first + 10, 5)


def test_a_released_range_is_free_again(records: Records) -> None:
    first = records.ledger.take_ids("a", HOST_ID)
    assert records.ledger.take_ids("b", HOST_ID) != first
    records.ledger.release("a")
    assert records.ledger.take_ids("c", HOST_ID) == first


def test_a_port_of_another_service_is_a_conflict_that_names_it(records: Records) -> None:
    records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:shop/web")
    with pytest.raises(Conflict, match="8080 belongs to service:shop/web"):
        records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:blog/web")
    records.ledger.release("service:shop/web")
    records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:blog/web")


def test_ids_outside_of_our_own_user_namespace_are_forbidden(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/uid_map").write_text("         0     100000      65536\n")
    (tmp_path / "self/gid_map").write_text("         0          0 4294967295\n")
    (tmp_path / "subuid").write_text("ana:100000:65536\n")
    assert machine_ids(str(tmp_path), str(tmp_path)) == (
        (100000, 65536), (65536, 2**32 - 65536), (2**32 - 1, 1),
    )  # fmt: skip
