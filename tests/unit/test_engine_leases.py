from __future__ import annotations

from pathlib import Path

import pytest

from stackup.engine.records import Records, open_records
from stackup.errors import Conflict
from stackup.paths import Host

HOST_ID = "3fa9c1"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return open_records(Host(str(tmp_path), HOST_ID))


def test_two_containers_never_share_an_id(records: Records) -> None:
    maps = [records.ledger.take_ids(f"container{n}", HOST_ID) for n in range(20)]
    assert not any(a.overlaps(b.base, b.size) for a in maps for b in maps if a is not b)


def test_ids_of_a_user_are_left_alone(records: Records) -> None:
    first = records.ledger.take_ids("a", HOST_ID)
    records.ledger.release("a")
    assert not records.ledger.take_ids("a", HOST_ID, [(first.base + 10, 5)]).overlaps(first.base + 10, 5)


def test_a_released_range_is_free_again(records: Records) -> None:
    first = records.ledger.take_ids("a", HOST_ID)
    assert records.ledger.take_ids("b", HOST_ID) != first
    records.ledger.release("a")
    assert records.ledger.take_ids("c", HOST_ID) == first


def test_a_port_of_another_service_is_a_conflict_that_names_it(records: Records) -> None:
    records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:shop/web")
    with pytest.raises(Conflict, match="8080 belongs to service:shop/web"):
        records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:blog/web")
    records.ledger.release_one("port", "tcp/127.0.0.1", "8080")
    records.ledger.take("port", "tcp/127.0.0.1", "8080", "service:blog/web")
