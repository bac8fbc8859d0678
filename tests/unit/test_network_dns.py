"""Names and the answers to questions, read by an independent client (dnspython)."""

from __future__ import annotations

import dataclasses
import random

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackup.runtime.network import dns as server
from stackup.runtime.network.names import Directory, View
from stackup.runtime.network.values import Endpoint, NetworkValue, ServiceAddress, State

FRONT = NetworkValue(name="s_front", number=0, subnet="10.89.0.0/24")
BACK = NetworkValue(name="s_back", number=1, subnet="10.89.1.0/24", internal=True)
STATE = State(
    networks=(FRONT, BACK),
    endpoints=(
        Endpoint(container="a", network="s_front", address="10.89.0.2", service="s/web", names=("s-web-1", "aaa")),
        Endpoint(container="b", network="s_front", address="10.89.0.3", service="s/web", names=("s-web-2",)),
        Endpoint(
            container="c", network="s_front", address="10.89.0.4", service="s/web", names=("s-web-3",), ready=False
        ),
        Endpoint(container="a", network="s_back", address="10.89.1.2", service="s/web", names=("s-web-1",)),
        Endpoint(container="d", network="s_back", address="10.89.1.3", service="s/db", names=("s-db-1", "MyHost")),
    ),
    services=(
        ServiceAddress(service="s/web", network="s_front", address="10.89.0.254", aliases=("site",)),
        ServiceAddress(service="s/web", network="s_back", address="10.89.1.254"),
        ServiceAddress(service="s/db", network="s_back", address=None, mode="dnsrr"),
    ),
)  # fmt: skip
DIRECTORY = Directory(STATE)


def ask(name: str, kind: str = "A", client: str = "10.89.0.3", **options: object) -> dns.message.Message | None:
    view = DIRECTORY.view(client)
    assert view is not None
    question = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]
    packet = server.answer(question.to_wire(), view)
    if packet is None:
        return None
    response = dns.message.from_wire(packet)
    assert question.is_response(response)
    return response


def addresses(name: str, client: str = "10.89.0.3") -> set[str]:
    response = ask(name, client=client)
    assert response is not None and response.rcode() == dns.rcode.NOERROR
    return {str(item) for rrset in response.answer for item in rrset}


def test_a_service_name_answers_its_service_address_and_tasks_the_ready_replicas() -> None:
    assert addresses("web") == addresses("WEB.") == addresses("site") == {"10.89.0.254"}
    assert addresses("tasks.web") == addresses("tasks.site") == {"10.89.0.2", "10.89.0.3"}


def test_a_link_is_a_name_that_one_container_alone_has_for_a_service() -> None:
    links = (("Store", "s/db"), ("site", "s/db"), ("far", "s/nobody"))
    endpoints = tuple(dataclasses.replace(e, links=links) if e.container == "a" else e for e in STATE.endpoints)
    directory = Directory(dataclasses.replace(STATE, endpoints=endpoints))
    mine, other, back = (directory.view(address) for address in ("10.89.0.2", "10.89.0.3", "10.89.1.3"))
    assert mine is not None and other is not None and back is not None
    assert mine.names["store"] == mine.names["tasks.store"] == mine.names["db"] == ("10.89.1.3",)
    assert mine.names["site"] == ("10.89.1.3",) and other.names["site"] == ("10.89.0.254",)
    assert "store" not in other.names and "store" not in back.names and "far" not in mine.names
    assert mine.pointers["10.89.1.3"] == "s-db-1"


def test_dnsrr_answers_the_replicas_themselves() -> None:
    assert addresses("db", "10.89.1.2") == addresses("tasks.db", "10.89.1.2") == {"10.89.1.3"}


def test_a_container_answers_to_its_own_names() -> None:
    assert addresses("s-web-3") == {"10.89.0.4"}
    assert addresses("aaa") == {"10.89.0.2"}
    assert addresses("myhost", "10.89.1.2") == {"10.89.1.3"}


def test_the_view_is_what_shares_a_network_with_the_asking_container() -> None:
    assert ask("db", client="10.89.0.3").rcode() == dns.rcode.NXDOMAIN  # type: ignore[union-attr]
    assert addresses("db", "10.89.0.2") == {"10.89.1.3"}  # a is on both networks
    assert addresses("web", "10.89.0.2") == addresses("web", "10.89.1.2") == {"10.89.0.254"}  # its first network wins
    assert addresses("web", "10.89.1.3") == {"10.89.1.254"}
    assert DIRECTORY.view("10.89.0.99") is None


def test_reverse_names_of_our_subnets_are_answered_here() -> None:
    response = ask("2.0.89.10.in-addr.arpa", "PTR")
    assert response is not None and str(response.answer[0][0]) == "s-web-1."
    assert str(ask("254.0.89.10.in-addr.arpa", "PTR").answer[0][0]) == "web."  # type: ignore[union-attr]
    assert ask("77.0.89.10.in-addr.arpa", "PTR").rcode() == dns.rcode.NXDOMAIN  # type: ignore[union-attr]
    assert ask("8.8.8.8.in-addr.arpa", "PTR") is None


def test_a_known_name_has_no_ipv6_address_and_says_so() -> None:
    for kind in ("AAAA", "MX", "TXT"):
        response = ask("web", kind)
        assert response is not None and response.rcode() == dns.rcode.NOERROR and not response.answer


def test_unknown_names_of_one_label_do_not_exist_and_others_are_asked_outside() -> None:
    assert ask("wbe").rcode() == dns.rcode.NXDOMAIN  # type: ignore[union-attr]
    assert ask("example.com") is None
    assert ask("example.com", client="10.89.1.3").rcode() == dns.rcode.NXDOMAIN  # type: ignore[union-attr] # internal


def test_what_is_no_plain_question_is_refused_properly() -> None:
    assert ask("web", use_edns=1).rcode() == dns.rcode.BADVERS  # type: ignore[union-attr]
    assert ask("web", rdclass="CH").rcode() == dns.rcode.REFUSED  # type: ignore[union-attr]
    view = View()
    status = dns.message.make_query("web", "A")
    status.set_opcode(dns.opcode.STATUS)
    response = server.answer(status.to_wire(), view)
    assert response is not None and dns.message.from_wire(response).rcode() == dns.rcode.NOTIMP


def test_a_long_answer_is_truncated_to_what_the_client_takes() -> None:
    many = tuple(f"10.89.{n // 200}.{n % 200 + 2}" for n in range(400))
    view = View(names={"tasks.web": many})
    for size, room in ((None, 512), (700, 700), (4096, 1232), (100, 512)):
        query = dns.message.make_query("tasks.web", "A", use_edns=size is not None, payload=size or 0)
        packet = server.answer(query.to_wire(), view)
        assert packet is not None and room - 60 <= len(packet) <= room
        response = dns.message.from_wire(packet)
        assert response.flags & dns.flags.TC and (response.edns == 0) == (size is not None)
    whole = server.answer(query.to_wire(), view, tcp=True)
    assert whole is not None and len(dns.message.from_wire(whole).answer[0]) == 400


def test_a_failure_repeats_the_question() -> None:
    query = dns.message.make_query("example.com", "A")
    for packet in (server.failure(query.to_wire()), server.truncated(query.to_wire())):
        assert query.is_response(dns.message.from_wire(packet))


@given(st.binary(max_size=300))
def test_no_packet_raises(packet: bytes) -> None:
    response = server.answer(packet, DIRECTORY.view("10.89.0.2") or View())
    if response:
        assert response[:2] == packet[:2] and response[2] & 0x80 and len(response) <= 1232
    server.limit(packet), server.failure(packet + bytes(12)), server.question_of(packet)


@pytest.mark.parametrize("seed", range(5))
def test_no_damaged_question_raises(seed: int) -> None:
    chance = random.Random(seed)
    good = dns.message.make_query("tasks.web", "A", use_edns=True).to_wire()
    for _ in range(400):
        packet = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            packet[chance.randrange(len(packet))] = chance.choice([0, 0xC0, 0xFF, 12, chance.randrange(256)])
        server.answer(bytes(packet[: chance.randint(0, len(packet))]), DIRECTORY.view("10.89.0.2") or View())


def test_a_response_meets_silence() -> None:
    query = dns.message.make_query("web", "A")
    assert server.answer(dns.message.make_response(query).to_wire(), View()) == server.SILENCE
    assert server.answer(b"\0\1", View()) == server.SILENCE
