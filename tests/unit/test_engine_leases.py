from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from stackup.engine.leases import ID_COUNT, IdRange, MachineIds, choose_ids, machine_ids
from stackup.engine.records import open_records
from stackup.errors import StackupError
from stackup.paths import Host


def test_ranges_of_one_root_never_meet() -> None:
    taken: set[int] = set()
    for _ in range(60):
        taken.add(choose_ids(taken, "3fa9c1", MachineIds()))
    ordered = sorted(taken)
    assert len(ordered) == 60
    assert all(b - a >= ID_COUNT for a, b in itertools.pairwise(ordered))


def test_two_roots_start_at_different_places() -> None:
    assert choose_ids((), "000001", MachineIds()) != choose_ids((), "000002", MachineIds())


def test_ids_of_a_user_are_left_alone() -> None:
    plain = choose_ids((), "000000", MachineIds())
    foreign = IdRange(plain + 10, 5)
    assert not foreign.overlaps(IdRange(choose_ids((), "000000", MachineIds(foreign=(foreign,))), ID_COUNT))


def test_a_machine_without_such_ids_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(StackupError) as caught:
        choose_ids((), "000000", MachineIds(ours=(IdRange(0, 65536),)))
    assert caught.value.hint is not None
    assert "/proc/self/uid_map" in caught.value.hint


def test_subordinate_ids_are_read_and_nonsense_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("ana:100000:65536\n# note\nbad:line\n")
    assert machine_ids(etc=str(tmp_path)).foreign == (IdRange(100000, 65536),)


def test_a_released_range_is_free_again(tmp_path: Path) -> None:
    with open_records(Host(str(tmp_path), "3fa9c1")) as records:
        first = records.ledger.take_ids("a", "3fa9c1", MachineIds())
        assert records.ledger.take_ids("b", "3fa9c1", MachineIds()) != first
        records.ledger.release("a")
        assert records.ledger.take_ids("c", "3fa9c1", MachineIds()) == first
