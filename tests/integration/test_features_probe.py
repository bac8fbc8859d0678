from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackup import paths
from stackup.errors import KernelError
from stackup.linux import features, nftables
from stackup.linux.features import Feature

from .testhost import TestHost


def test_this_machine_has_what_is_needed_and_probing_leaves_nothing(host: TestHost) -> None:
    root = paths.open_root(str(host.root))
    before = sorted(str(p) for p in Path(root.root).rglob("*"))
    found = host.call(features.probe, root)
    assert [f"{f.name}: {f.detail}" for f in found if f.needed and not f.present] == []
    assert len({f.name for f in found}) == len(found)
    assert all(f.detail and f.degrades and f.remedy for f in found)
    assert sorted(str(p) for p in Path(root.root).rglob("*")) == before


def _as_nobody(folder: str) -> tuple[tuple[Feature, ...], list[str]]:
    os.chdir(folder)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    os.environ["TMPDIR"] = folder
    import tempfile

    tempfile.tempdir = None
    return features.probe(), os.listdir(folder)


def test_a_user_is_told_what_is_missing_and_nothing_is_left(host: TestHost) -> None:
    folder = Path(f"/tmp/probe-{host.folder.name}-{os.getpid()}")
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    try:
        found, left = host.call(_as_nobody, str(folder))
    finally:
        folder.rmdir()
    assert left == []
    privileges = next(f for f in found if f.name == "privileges")
    assert not privileges.present
    assert privileges.remedy == "run stackup as root"
    assert not next(f for f in found if f.name == "id-mapped mounts").present


def _detail(name: str) -> tuple[bool, str]:
    found = next(f for f in features.probe() if f.name == name)
    return found.present, found.detail


def test_every_kind_of_rule_that_ours_are_made_of_is_tried(host: TestHost) -> None:
    present, detail = host.call(_detail, "nf_tables")
    assert (present, detail) == (
        True, "tables, nat, maps, intervals, numgen, masquerade, fib, conntrack, reject, bridge"
    )  # fmt: skip
    assert host.sh("nft list tables") == ""


FIREWALLS = {
    "policy": ("iptables -P FORWARD DROP", "table ip filter, chain FORWARD"),
    "last rule": (
        (
            "nft add table inet fw; nft 'add chain inet fw forward { type filter hook forward priority 10; }';"
            "nft add rule inet fw forward ct state established accept; nft add rule inet fw forward counter reject"
        ),
        "table inet fw, chain forward",
    ),
}


@pytest.mark.parametrize("kind", FIREWALLS)
def test_another_programs_firewall_that_closes_the_way_is_named(host: TestHost, kind: str) -> None:
    script, name = FIREWALLS[kind]
    host.sh(script)
    assert host.call(_detail, "other firewalls") == (False, f"{name}: what is forwarded is dropped")
    family, table, chain = name.replace(", chain", "").split()[1:]
    host.sh(f"nft insert rule {family} {table} {chain} iifname 'su*' accept")
    assert host.call(_detail, "other firewalls") == (True, "none drops what is forwarded")
    host.sh("nft flush ruleset")


def test_the_firewall_s_library_says_nothing_to_a_user(capfd: pytest.CaptureFixture[str]) -> None:
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            nftables.read("list tables")
        except KernelError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert capfd.readouterr() == ("", "")
