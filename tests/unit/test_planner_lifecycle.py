from __future__ import annotations

import dataclasses

from stackup.planner.lifecycle import down, restart, start, stop
from stackup.spec.model import Dependency, Volume

from .planner_values import DATA, HEALTHY, applied, container, service, stack, wish

MADE = stack(service("store", volumes=(DATA,)), service("web", depends_on=HEALTHY))


def test_down_takes_away_in_reverse_and_leaves_volumes() -> None:
    assert down("shop", wish(MADE), applied(MADE)).lines() == (
        "stop service:web/1: down",
        "stop service:store/1: down <- stop service:web/1",
        "delete service:store/1: down <- stop service:store/1",
        "delete service:web/1: down <- stop service:web/1",
        "delete network:default: down <- delete service:store/1, delete service:web/1",
    )


def test_down_v_takes_the_volumes_of_a_stack_whose_file_is_gone() -> None:
    plan = down("shop", None, applied(MADE), volumes=True)
    assert plan.operations[-1].name == "shop_data"  # type: ignore[union-attr]


def test_down_v_takes_a_volume_by_its_own_name_and_one_that_it_had_before() -> None:
    seen = dataclasses.replace(applied(MADE), volumes={"shop_data": "data", "mine": "data", "other": "theirs"})
    external = Volume(name="theirs", external=True, external_name="other")
    wished = wish(dataclasses.replace(MADE, volumes={"data": Volume(name="data", own_name="mine"), "theirs": external}))
    plan = down("shop", wished, seen, volumes=True)
    assert [line.partition(" <-")[0] for line in plan.lines() if "volume" in line] == [
        "delete volume:data: down -v", "delete volume:data (shop_data): down -v",
    ]  # fmt: skip


def test_stop_takes_dependents_first_and_only_who_runs() -> None:
    assert stop("shop", applied(MADE)).lines() == (
        "stop service:web/1: you asked",
        "stop service:store/1: you asked <- stop service:web/1",
    )
    still = applied(MADE, containers=tuple(container(s, state="exited") for s in MADE.services.values()))
    assert stop("shop", still).empty


def test_start_waits_for_what_is_asked() -> None:
    still = applied(MADE, containers=tuple(container(s, state="exited") for s in MADE.services.values()))
    assert start("shop", still).lines() == (
        "start service:store/1: you asked",
        "await service:store service_healthy: service:web depends on it <- start service:store/1",
        "start service:web/1: you asked <- await service:store service_healthy",
    )


def test_restart_touches_the_named_ones() -> None:
    made = stack(service("store"), service("web", depends_on={"store": Dependency()}))
    assert restart("shop", applied(made), ["web"]).text() == "restart service:web: you asked"
