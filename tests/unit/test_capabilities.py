from __future__ import annotations

import pytest

from stackup.errors import BadInput
from stackup.runtime import capabilities as caps


def test_the_default_set_is_dockers_fourteen() -> None:
    assert len(caps.DEFAULT) == 14
    assert set(caps.compute()) == set(caps.DEFAULT)
    # moby: the mask that /proc/self/status shows in a container of Docker
    assert caps.mask(caps.DEFAULT) == 0x00000000A80425FB


def test_numbers_are_those_of_the_kernels_header() -> None:
    assert (caps.NUMBERS["CAP_CHOWN"], caps.NUMBERS["CAP_SYS_ADMIN"], caps.NUMBERS["CAP_CHECKPOINT_RESTORE"]) == (
        0,
        21,
        40,
    )
    assert len(caps.NAMES) == 41


def test_adding_and_dropping_by_any_spelling() -> None:
    got = caps.compute(cap_add=["net_admin"], cap_drop=["CAP_MKNOD", "Chown"])
    assert "CAP_NET_ADMIN" in got
    assert not {"CAP_MKNOD", "CAP_CHOWN"} & set(got)
    assert len(got) == 13


def test_dropping_all_leaves_what_is_added() -> None:
    assert caps.compute(cap_add=["NET_BIND_SERVICE"], cap_drop=["ALL"]) == ("CAP_NET_BIND_SERVICE",)
    assert caps.compute(cap_drop=["all"]) == ()


def test_adding_all_leaves_out_what_is_dropped() -> None:
    assert caps.compute(cap_add=["ALL"]) == caps.NAMES
    assert set(caps.NAMES) - set(caps.compute(cap_add=["CAP_ALL"], cap_drop=["SYS_ADMIN"])) == {"CAP_SYS_ADMIN"}


def test_adding_wins_over_dropping_the_same() -> None:
    assert "CAP_CHOWN" in caps.compute(cap_add=["CHOWN"], cap_drop=["CHOWN"])


def test_an_unknown_name_is_bad_input_that_names_it() -> None:
    with pytest.raises(BadInput, match="FLY"):
        caps.compute(cap_add=["FLY"])


def test_a_mask_has_a_bit_for_each_name() -> None:
    assert caps.mask(["CAP_CHOWN", "CAP_KILL"]) == 1 << 0 | 1 << 5
    assert caps.mask(caps.DEFAULT).bit_count() == len(caps.compute())
    assert caps.mask(["ALL"]) == (1 << 41) - 1


def test_the_oci_document_lets_nothing_be_inherited() -> None:
    document = caps.oci(["CAP_KILL"])
    assert document["bounding"] == document["effective"] == document["permitted"] == ["CAP_KILL"]
    assert document["inheritable"] == document["ambient"] == []
