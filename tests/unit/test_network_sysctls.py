"""What the host's switches allow, said in words, and that only a bridge's own switches are written."""

from __future__ import annotations

from pathlib import Path

from stackup.runtime.network import sysctls

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
LAN = "eth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
OURS = "su3fa9c1n0\t0000590A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"


def proc(folder: Path, lines: str, **forwarding: int) -> str:
    (folder / "thread-self/net").mkdir(parents=True)
    (folder / "thread-self/net/route").write_text(HEAD + lines)
    for link, value in forwarding.items():
        (folder / f"sys/net/ipv4/conf/{link}").mkdir(parents=True)
        (folder / f"sys/net/ipv4/conf/{link}/forwarding").write_text(f"{value}\n")
    return str(folder)


def test_a_host_that_does_not_forward_is_told_what_to_type(tmp_path: Path) -> None:
    found = sysctls.way_out(proc(tmp_path, DEFAULT + LAN + OURS, eth0=0, su3fa9c1n0=1))
    assert not found
    assert found.link == "eth0" and "`sysctl -w net.ipv4.conf.eth0.forwarding=1`" in found.reason


def test_a_forwarding_host_has_a_way_out(tmp_path: Path) -> None:
    assert sysctls.way_out(proc(tmp_path, DEFAULT + LAN, eth0=1)).open


def test_a_host_without_routes_has_none_and_our_bridges_are_no_way_out(tmp_path: Path) -> None:
    assert "no route" in sysctls.way_out(proc(tmp_path, OURS, su3fa9c1n0=1)).reason


def test_subnets_of_our_own_bridges_are_not_in_our_way(tmp_path: Path) -> None:
    folder = proc(tmp_path, DEFAULT + LAN + OURS)
    assert sysctls.foreign_subnets("3fa9c1", folder) == ("0.0.0.0/0", "192.168.0.0/16")
    assert "10.89.0.0/24" in sysctls.foreign_subnets("000000", folder)


def test_only_switches_of_the_bridge_are_written() -> None:
    assert all("/conf/su3fa9c1n0/" in one.name for one in sysctls.of_bridge("su3fa9c1n0"))
