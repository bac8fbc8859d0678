from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackup.errors import Conflict
from stackup.runtime import idmap
from stackup.runtime.idmap import FIRST, LAST, SIZE, IdMap, allocate


def test_the_same_arguments_give_the_same_range() -> None:
    assert allocate([], []) == allocate([], []) == IdMap(FIRST)


def test_taken_ranges_are_passed_over() -> None:
    assert allocate([FIRST, FIRST + SIZE], []).base == FIRST + 2 * SIZE


def test_ranges_of_etc_subuid_are_passed_over_even_where_they_only_touch() -> None:
    assert allocate([], [(FIRST + SIZE - 1, 2)]).base == FIRST + 2 * SIZE
    assert allocate([], [(FIRST - 10, 10)]).base == FIRST


def test_the_search_goes_round_once_and_then_gives_up() -> None:
    assert allocate([LAST], [], start=LAST).base == FIRST
    with pytest.raises(Conflict, match="taken"):
        allocate([], [(0, 1 << 32)])


def test_two_roots_begin_at_different_places_inside_the_span() -> None:
    starts = {idmap.start_of(f"{n:06x}") for n in (0, 1, 0x3FA9C1, 0xFFFFFF)}
    assert len(starts) == 4
    assert all(FIRST <= s <= LAST and s % SIZE == 0 for s in starts)


@given(
    st.sets(st.integers(0, 50).map(lambda n: FIRST + n * SIZE), max_size=40),
    st.lists(st.tuples(st.integers(FIRST, FIRST + 60 * SIZE), st.integers(0, 3 * SIZE)), max_size=5),
)
def test_a_range_never_meets_a_taken_one(taken: set[int], ranges: list[tuple[int, int]]) -> None:
    got = allocate(taken, ranges)
    assert got.base not in taken
    assert got.base % SIZE == 0
    assert all(first + count <= got.base or got.base + SIZE <= first for first, count in ranges if count)


def test_subid_files_are_read_and_odd_lines_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text("a:100000:65536\n# b:1:2\n\nbroken\n1000:200000:10\nc:x:1\n")
    assert idmap.read_subids(str(path)) == ((100000, 65536), (200000, 10))
    assert idmap.read_subids(str(tmp_path / "none")) == ()


def test_ids_map_to_the_host_and_outside_is_refused() -> None:
    one = IdMap(FIRST)
    assert one.to_host(0) == FIRST
    assert one.to_host(65535) == FIRST + 65535
    with pytest.raises(ValueError, match="65536"):
        one.to_host(65536)
    assert one.oci() == [{"containerID": 0, "hostID": FIRST, "size": 65536}]
