"""The logic of `up`: two values in, the plan's text out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stackup.errors import NotFound
from stackup.planner import lifecycle
from stackup.planner.observed import Observed, ObservedNetwork
from stackup.planner.reconcile import Options, reconcile
from stackup.spec.model import (
    Attachment,
    Dependency,
    Healthcheck,
    Image,
    Network,
    Port,
    Resources,
    Restart,
    Service,
    Stack,
    Volume,
)
from stackup.values import from_plain, to_plain

from .planner_values import (
    BUILT,
    COMPLETED,
    DATA,
    DIGEST,
    HEALTHY,
    OTHER,
    applied,
    container,
    image,
    service,
    stack,
    unbuilt,
    wish,
)

CHECK = Healthcheck(test=("CMD", "true"))


def text(wished: Service | tuple[Service, ...], observed: Observed, **options: object) -> list[str]:
    made = stack(*(wished if isinstance(wished, tuple) else (wished,)))
    return reconcile(wish(made), observed, Options(**options)).text().splitlines()  # type: ignore[arg-type]


def lines(wished: tuple[Service, ...], observed: Observed, **options: object) -> list[str]:
    return list(reconcile(wish(stack(*wished)), observed, Options(**options)).lines())  # type: ignore[arg-type]


# Nothing there


def test_a_first_up_makes_all_of_it_in_order() -> None:
    store = service("store", volumes=(DATA,), healthcheck=CHECK)
    web = service("web", depends_on=HEALTHY)
    assert lines((web, store), Observed()) == [
        "build image:app: new",
        "create network:default: new",
        "create volume:data: new",
        "create service:store/1: new <- build image:app, create network:default, create volume:data",
        "start service:store/1: new <- create service:store/1",
        "await service:store healthy: service:web depends on it <- start service:store/1",
        "create service:web/1: new <- build image:app, create network:default",
        "start service:web/1: new <- create service:web/1, await service:store healthy",
    ]


def test_the_user_reads_a_line_a_change() -> None:
    store = service("store", volumes=(DATA,), healthcheck=CHECK)
    web = service("web", depends_on=HEALTHY, replicas=2)
    assert text((web, store), Observed()) == [
        "build image:app: new",
        "create network:default: new",
        "create volume:data: new",
        "create service:store: new",
        "wait until service:store is healthy: service:web depends on it",
        "create service:web (2 replicas): new",
    ]


def test_a_started_dependency_is_waited_for_without_a_wait() -> None:
    web = service("web", depends_on={"store": Dependency()})
    assert lines((service("store"), web), BUILT)[-1] == (
        "start service:web/1: new <- create service:web/1, start service:store/1"
    )


def test_an_image_of_a_step_that_misses_tells_every_step() -> None:
    made = stack(service())
    plan = reconcile(wish(made), applied(made, images={"app": unbuilt()}))
    assert plan.text().splitlines()[:2] == [
        "build image:app: copy . -> /app: web.py changed",
        "    miss  copy . -> /app: web.py changed",
    ]


def test_a_host_image_is_said_to_be_tied_to_this_machine() -> None:
    seen = dataclasses.replace(unbuilt(), host_bound=True)
    made = stack(service())
    assert "(tied to this machine)" in reconcile(wish(made), applied(made, images={"app": seen})).text()


def test_an_image_waits_for_the_image_it_stands_on() -> None:
    made = stack(service(), images=(Image(name="app", base="base"), Image(name="base")))
    assert reconcile(wish(made), Observed()).lines()[:2] == (
        "build image:base: new",
        "build image:app: new <- build image:base",
    )


def test_an_image_that_no_service_uses_is_left_to_build() -> None:
    made = stack(service(), images=(Image(name="app"), Image(name="tool")))
    assert "image:tool" not in reconcile(wish(made), Observed()).text()
    assert "build image:tool: new" in reconcile(wish(made), Observed(), Options(all_images=True)).text()


def test_a_stack_without_services_is_its_images() -> None:
    assert reconcile(wish(stack()), Observed()).text() == "build image:app: new"


def test_an_image_that_is_nowhere_is_an_error_with_its_place() -> None:
    made = stack(service(image="nginx:1.27"))
    with pytest.raises(NotFound, match=r"service:web: image nginx:1.27 is neither .* \(stack.yaml:9\)"):
        reconcile(wish(made, {("services", "web", "image"): ("stack.yaml", 9, 5)}), Observed())


def test_a_foreign_image_of_the_store_is_used() -> None:
    seen = Observed(foreign={"nginx:1.27": DIGEST})
    assert text(service(image="nginx:1.27"), seen) == ["create network:default: new", "create service:web: new"]


# Nothing to do


def test_a_second_up_is_an_empty_plan() -> None:
    made = stack(
        service("store", volumes=(DATA,), healthcheck=CHECK), service("web", depends_on={"store": Dependency()})
    )
    plan = reconcile(wish(made), applied(made))
    assert plan.empty and plan.text() == "" and plan.detailed_status == 0


def test_a_healthy_dependency_needs_no_wait() -> None:
    store, web = service("store", healthcheck=CHECK), service("web", depends_on=HEALTHY)
    made = stack(store, web)
    seen = applied(made, containers=(container(made.services["store"], health="healthy"),))
    assert text((store, web), seen) == ["create service:web: new"]


def test_an_image_that_was_never_rebuilt_stays() -> None:
    made = stack(service())
    assert reconcile(wish(made), applied(made, images={"app": image()})).empty


# Changes


def test_a_live_change_names_field_values_and_line() -> None:
    old = stack(service(resources=Resources(memory=64 << 20)))
    new = stack(service(resources=Resources(memory=128 << 20)))
    origins = {("services", "web", "resources", "memory"): ("stack.yaml", 14, 7)}
    plan = reconcile(wish(new, origins), applied(old))
    assert plan.text() == "live service:web: resources.memory 64M -> 128M (stack.yaml:14)"
    assert plan.detailed_status == 4


def test_a_live_change_reaches_every_replica() -> None:
    old, new = service(replicas=2), service(replicas=2, resources=Resources(pids=10))
    assert text(new, applied(stack(old))) == ["live service:web (2 replicas): resources.pids nothing -> 10"]


def test_a_restart_takes_live_changes_along() -> None:
    new = service(environment={"PORT": "80"}, resources=Resources(cpus=0.5))
    plan = reconcile(wish(stack(new)), applied(stack(service())))
    assert plan.text() == "restart service:web: environment.PORT nothing -> 80; resources.cpus nothing -> 0.5"
    assert plan.nodes[0].operation.fields == ("environment.PORT", "resources.cpus")  # type: ignore[union-attr]


def test_a_replacement_stops_deletes_creates_starts() -> None:
    assert lines((service(userns_mode="host"),), applied(stack(service()))) == [
        'stop service:web/1: userns_mode "" -> host',
        'delete service:web/1: userns_mode "" -> host <- stop service:web/1',
        'create service:web/1: userns_mode "" -> host <- delete service:web/1',
        'start service:web/1: userns_mode "" -> host <- create service:web/1',
    ]


def test_replicas_are_replaced_one_after_the_other() -> None:
    old, new = service(replicas=2), service(replicas=2, userns_mode="host")
    found = lines((new,), applied(stack(old)))
    assert 'stop service:web/2: userns_mode "" -> host <- start service:web/1' in found
    assert text(new, applied(stack(old))) == ['replace service:web (2 replicas): userns_mode "" -> host']


def test_the_next_replica_waits_until_the_one_before_is_healthy() -> None:
    old = service(replicas=2, healthcheck=CHECK)
    found = lines((dataclasses.replace(old, user="1"),), applied(stack(old)))
    assert found == [
        "restart service:web/1: user nothing -> 1",
        "await service:web/1 healthy: one replica after the other <- restart service:web/1",
        "restart service:web/2: user nothing -> 1 <- await service:web/1 healthy",
    ]


def test_a_change_under_a_dependency_leaves_the_dependent_alone() -> None:
    web = service("web", depends_on={"store": Dependency()})
    assert text((service("store", user="1"), web), applied(stack(service("store"), web))) == [
        "restart service:store: user nothing -> 1"
    ]


def test_a_dependent_that_asked_for_it_is_restarted_too() -> None:
    web = service("web", depends_on={"store": Dependency(restart=True)})
    found = lines((service("store", user="1"), web), applied(stack(service("store"), web)))
    assert found == [
        "restart service:store/1: user nothing -> 1",
        "restart service:web/1 after service:store: service:store is restarted <- restart service:store/1",
    ]


def test_a_change_of_order_alone_restarts_nothing() -> None:
    web = service("web", depends_on={"store": Dependency()})
    made = stack(service("store"), web)
    assert text((service("store"), service("web")), applied(made)) == []


def test_a_new_image_replaces() -> None:
    made = stack(service())
    seen = applied(made, images={"app": image(digest=OTHER, named=OTHER)})
    assert reconcile(wish(made), seen).text() == "replace service:web: image changed"


def test_an_image_known_but_not_named_is_written_first() -> None:
    made = stack(service())
    seen = applied(made, images={"app": image(digest=OTHER, named=DIGEST)})
    assert reconcile(wish(made), seen).lines()[:2] == (
        "build image:app: its configuration changed",
        "stop service:web/1: image changed <- build image:app",
    )


# Conditional


def test_an_image_not_yet_built_makes_the_replacement_conditional() -> None:
    made = stack(service())
    plan = reconcile(wish(made), applied(made, images={"app": unbuilt()}))
    assert plan.text().splitlines()[-1] == "replace service:web if image:app comes out changed"
    assert plan.conditional


def test_resolved_unchanged_nothing_is_left() -> None:
    made = stack(service(replicas=2, healthcheck=CHECK))
    seen = applied(made, images={"app": unbuilt()})
    plan = reconcile(wish(made), seen).resolve({"app": DIGEST}, seen)
    assert plan.run_half().empty and not plan.conditional


def test_resolved_changed_it_is_definite() -> None:
    made = stack(service(replicas=2))
    seen = applied(made, images={"app": unbuilt()})
    plan = reconcile(wish(made), seen).resolve({"app": OTHER}, seen).run_half()
    assert plan.text() == "replace service:web (2 replicas): image changed"
    assert plan.nodes[0].after == () and not plan.conditional


def test_resolving_adds_nothing() -> None:
    made = stack(service(replicas=2, user="1"), service("store"))
    seen = applied(stack(service(replicas=2), service("store")), images={"app": unbuilt()})
    plan = reconcile(wish(made), seen)
    for digest in (DIGEST, OTHER):
        assert {n.id for n in plan.resolve({"app": digest}, seen).nodes} < {n.id for n in plan.nodes}


def test_a_live_change_is_the_other_branch_of_a_conditional_replacement() -> None:
    new = stack(service(resources=Resources(pids=5)))
    seen = applied(stack(service()), images={"app": unbuilt()})
    plan = reconcile(wish(new), seen)
    assert plan.text().splitlines()[-2:] == [
        "live service:web if image:app comes out unchanged: resources.pids nothing -> 5",
        "replace service:web if image:app comes out changed",
    ]
    same = plan.resolve({"app": DIGEST}, seen).run_half()
    assert same.text() == "live service:web: resources.pids nothing -> 5"
    assert plan.resolve({"app": OTHER}, seen).run_half().text() == "replace service:web: image changed"


def test_a_definite_replacement_does_not_become_conditional() -> None:
    seen = applied(stack(service()), images={"app": unbuilt()})
    found = text(service(userns_mode="host"), seen)
    assert found[-1] == 'replace service:web: userns_mode "" -> host'


def test_a_dependent_follows_a_conditional_replacement() -> None:
    web = service("web", image="page", depends_on={"store": Dependency(restart=True)})
    made = stack(service("store"), web, images=(Image(name="app"), Image(name="page")))
    seen = applied(made, images={"app": unbuilt(), "page": image("page")})
    plan = reconcile(wish(made), seen)
    assert plan.resolve({"app": DIGEST}, seen).run_half().empty
    assert plan.resolve({"app": OTHER}, seen).run_half().text().splitlines() == [
        "replace service:store: image changed",
        "restart service:web: service:store is restarted",
    ]


def test_the_run_half_stands_alone() -> None:
    plan = reconcile(wish(stack(service())), Observed())
    assert plan.run_half().lines()[0:2] == (
        "create network:default: new",
        "create service:web/1: new <- create network:default",
    )


def test_a_pinned_wish_needs_no_image_observed() -> None:
    made = stack(service())
    one = wish(made)
    pinned = dataclasses.replace(
        one,
        images={"app": dataclasses.replace(one.images["app"], digest=DIGEST)},
        services={"web": dataclasses.replace(one.services["web"], digest=DIGEST)},
    )
    assert reconcile(pinned, applied(made, images={})).empty


# Scale


def test_scaling_up_only_adds() -> None:
    origins = {("services", "web", "replicas"): ("stack.yaml", 8, 5)}
    plan = reconcile(wish(stack(service(replicas=3)), origins), applied(stack(service())))
    assert plan.text().splitlines() == [
        "create service:web/2: replicas 1 -> 3 (stack.yaml:8)",
        "create service:web/3: replicas 1 -> 3 (stack.yaml:8)",
    ]


def test_scaling_down_takes_the_highest_numbers() -> None:
    assert text(service(replicas=1), applied(stack(service(replicas=3)))) == [
        "remove service:web/2: replicas 3 -> 1",
        "remove service:web/3: replicas 3 -> 1",
    ]


def test_scaled_to_nothing_and_back() -> None:
    assert text(service(replicas=0), applied(stack(service()))) == ["remove service:web/1: replicas 1 -> 0"]


def test_a_replica_that_is_missing_is_made_again() -> None:
    made = stack(service(replicas=2))
    seen = applied(made, containers=(container(made.services["web"], 2),))
    assert reconcile(wish(made), seen).text() == "create service:web/1: it is missing"


# Recovery


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"state": "created"}, "it was made and never started"),
        ({"state": "exited", "exit": "exited 1", "exit_code": 1}, "it ended: exited 1"),
        ({"state": "exited", "exit": "exited 0", "exit_code": 0}, "it ended: exited 0"),
        ({"state": "exited", "held": True, "exit": "SIGTERM"}, "it was stopped by you"),
    ],
)
def test_up_starts_what_does_not_run(facts: dict[str, object], cause: str) -> None:
    made = stack(service())
    seen = applied(made, containers=(container(made.services["web"], **facts),))
    assert reconcile(wish(made), seen).text() == f"start service:web: {cause}"


def test_a_container_that_is_gone_is_made_again() -> None:
    made = stack(service())
    seen = applied(made, containers=(container(made.services["web"], state="gone"),))
    assert reconcile(wish(made), seen).lines() == (
        "delete service:web/1: it is gone",
        "create service:web/1: it is gone <- delete service:web/1",
        "start service:web/1: it is gone <- create service:web/1",
    )


def test_two_of_a_number_become_one() -> None:
    made = stack(service())
    one = container(made.services["web"])
    seen = applied(made, containers=(one, dataclasses.replace(one, id="old", state="exited")))
    assert reconcile(wish(made), seen).lines() == ("delete service:web/1 (old): left over",)


def test_a_broken_network_is_made_whole() -> None:
    made = stack(service())
    broken = ObservedNetwork(key="default", network=Network(name="default"), intact=False)
    assert reconcile(wish(made), applied(made, networks={"default": broken})).text() == (
        "mend network:default: its bridge or its rules are gone"
    )


def test_a_changed_network_is_empty_when_it_is_made_anew() -> None:
    old = stack(service("store"), service("web", depends_on={"store": Dependency()}))
    new = dataclasses.replace(old, networks={"default": Network(name="default", subnet="10.89.9.0/24")})
    plan = reconcile(wish(new), applied(old))
    at = {n.id: number for number, n in enumerate(plan.nodes)}
    for name in ("store", "web"):
        assert at[f"delete service:{name}/1"] < at["delete network:default"] < at["create network:default"]
        assert at["create network:default"] < at[f"create service:{name}/1"]
    assert "replace service:web: network:default subnet nothing -> 10.89.9.0/24" in plan.text()


# Jobs


def job(**facts: object) -> tuple[tuple[Service, Service], Observed]:
    services = (service("job"), service("web", depends_on=COMPLETED))
    made = stack(*services)
    done = container(made.services["job"], **{"state": "exited", "exit_code": 0, "exit": "exited 0"} | facts)
    return services, applied(made, containers=(done, container(made.services["web"])))


def test_a_job_that_completed_well_is_not_run_again() -> None:
    assert text(*job()) == []


def test_a_job_that_failed_is_run_again_and_not_waited_for_by_who_runs() -> None:
    assert text(*job(exit_code=1, exit="exited 1")) == ["start service:job: it ended: exited 1"]


def test_a_changed_job_is_run_again() -> None:
    (old, web), seen = job()
    assert text((dataclasses.replace(old, command=("b",)), web), seen) == ["start service:job: command nothing -> [b]"]


def test_a_live_change_does_not_run_a_job_again() -> None:
    (old, web), seen = job()
    assert text((dataclasses.replace(old, resources=Resources(pids=9)), web), seen) == []


def test_who_depends_on_a_job_waits_for_its_end() -> None:
    assert lines((service("job"), service("web", depends_on=COMPLETED)), BUILT)[-1] == (
        "start service:web/1: new <- create service:web/1, await service:job completed"
    )


def test_a_dependency_that_may_fail_is_an_optional_wait() -> None:
    web = service("web", depends_on={"store": Dependency(condition="service_healthy", required=False)})
    plan = reconcile(wish(stack(service("store"), web)), BUILT)
    wait = next(n.operation for n in plan.nodes if n.id == "await service:store healthy if it can")
    assert wait.optional  # type: ignore[union-attr]


# Removal


def test_a_removed_service_goes_dependents_first() -> None:
    made = stack(service("keep"), service("store"), service("web", depends_on={"store": Dependency()}))
    assert lines((service("keep"),), applied(made)) == [
        "stop service:web/1: removed from the file",
        "stop service:store/1: removed from the file <- stop service:web/1",
        "delete service:store/1: removed from the file <- stop service:store/1",
        "delete service:web/1: removed from the file <- stop service:web/1",
    ]
    assert text(service("keep"), applied(made))[0] == "remove service:web: removed from the file"


def test_a_removed_network_goes_after_its_containers_and_volumes_stay() -> None:
    old = stack(service(volumes=(DATA,)), service("lone", networks={"back": Attachment()}))
    old = dataclasses.replace(old, networks={"default": Network(name="default"), "back": Network(name="back")})
    assert lines((service(volumes=(DATA,)),), applied(old))[-1] == (
        "delete network:back: removed from the file <- delete service:lone/1"
    )
    assert text(service(), applied(stack(service(volumes=(DATA,))))) == [
        "replace service:web: volumes [data:/data] -> nothing"
    ]


def test_a_port_is_given_up_before_another_takes_it() -> None:
    port = (Port(target=80, published=8080),)
    found = lines((service("new", ports=port),), applied(stack(service("old", ports=port))))
    assert found[-1] == "start service:new/1: new <- create service:new/1, delete service:old/1"


def test_ports_that_change_hands_both_ways_make_no_circle() -> None:
    def one(a: int, b: int) -> tuple[Service, Service]:
        return service("a", ports=(Port(target=1, published=a),)), service("b", ports=(Port(target=1, published=b),))

    assert len(lines(one(2, 1), applied(stack(*one(1, 2))))) == 2


# A selection


def test_a_selection_touches_itself_and_what_it_depends_on() -> None:
    web = service("web", depends_on={"store": Dependency()})
    found = text((service("store"), web, service("other")), BUILT, services=("web",))
    assert found == ["create network:default: new", "create service:store: new", "create service:web: new"]


def test_a_selection_removes_nothing_else() -> None:
    assert text(service("web"), applied(stack(service("web"), service("old"))), services=("web",)) == []


def test_orphans_may_stay() -> None:
    made = wish(stack(service("web")))
    plan = reconcile(made, applied(stack(service("web"), service("old"))), Options(remove_orphans=False))
    assert plan.empty and plan.left_alone == {"service:old": "no longer in the file"}


# Names of volumes


def test_a_volume_that_goes_by_another_name_is_another_volume() -> None:
    before, after = stack(service("web", volumes=(DATA,)), service("other")), "mine"
    made = dataclasses.replace(before, volumes={"data": Volume(name="data", own_name=after)})
    assert reconcile(wish(made), applied(before)).text().splitlines() == [
        "create volume:data: new",
        "replace service:web: volumes [data:/data] -> [mine:/data]",
    ]
    there = dataclasses.replace(made, services=dict(wish(made).services.items()))
    there = dataclasses.replace(made, services={n: s.service for n, s in wish(made).services.items()})
    assert reconcile(wish(made), applied(there)).empty


def test_a_volume_that_becomes_external_under_its_name_stays() -> None:
    made = stack(service("web", volumes=(DATA,)))
    outside = dataclasses.replace(made, volumes={"data": Volume(name="data", external=True, external_name="far")})
    plan = reconcile(wish(outside), applied(made))
    assert plan.text() == "replace service:web: volumes [data:/data] -> [far:/data]"


# Services that their profiles switch off


def without_debug(**more: Any) -> Stack:
    return stack(service("web"), inactive=("debug",), **more)


def test_what_a_profile_switches_off_runs_on() -> None:
    seen = applied(stack(service("web"), service("debug", replicas=2)))
    plan = reconcile(wish(without_debug()), seen)
    assert plan.empty and plan.left_alone == {"service:debug": "profile off"}


def test_a_profile_that_was_never_up_is_not_worth_a_word() -> None:
    assert reconcile(wish(without_debug()), applied(stack(service("web")))).left_alone == {}


def test_what_is_gone_from_the_file_goes_although_a_profile_is_off() -> None:
    seen = applied(stack(service("web"), service("debug"), service("old")))
    assert reconcile(wish(without_debug()), seen).text() == "remove service:old: removed from the file"


def test_a_network_stays_for_what_a_profile_switches_off() -> None:
    networks = {"default": Network(name="default"), "back": Network(name="back")}
    seen = applied(stack(service("web"), service("debug", networks={"back": Attachment()}), networks=networks))
    assert reconcile(wish(without_debug()), seen).empty
    gone = dataclasses.replace(seen, containers=seen.containers[:1])
    assert reconcile(wish(without_debug()), gone).text() == "delete network:back: removed from the file"


def test_a_network_that_somebody_off_stands_on_is_not_made_anew() -> None:
    seen = applied(stack(service("web"), service("debug")))
    changed = without_debug(networks={"default": Network(name="default", internal=True)})
    plan = reconcile(wish(changed), seen)
    assert plan.empty
    assert plan.left_alone["network:default"] == "internal false -> true; service:debug is on it"


def test_naming_a_service_leaves_the_others_unsaid() -> None:
    seen = applied(stack(service("web"), service("debug"), service("old")))
    plan = reconcile(wish(without_debug()), seen, Options(services=("web",)))
    assert plan.empty and plan.left_alone == {}


def test_down_takes_what_a_profile_switches_off() -> None:
    plan = lifecycle.down("shop", wish(without_debug()), applied(stack(service("web"), service("debug"))))
    assert "service:debug" in plan.text()


# What the supervisor keeps


@pytest.mark.parametrize(
    ("policy", "facts", "starts"),
    [
        ("no", {"exit_code": 1}, False),
        ("always", {"exit_code": 0}, True),
        ("unless-stopped", {"exit_code": None}, True),
        ("on-failure", {"exit_code": 0}, False),
        ("on-failure", {"exit_code": 3}, True),
        ("always", {"exit_code": 0, "held": True}, False),
    ],
)
def test_the_supervisor_starts_what_the_policy_says(policy: str, facts: dict[str, object], starts: bool) -> None:
    made = stack(service(restart=Restart(policy=policy)))  # type: ignore[arg-type]
    seen = applied(made, containers=(container(made.services["web"], state="exited", **facts),))
    assert reconcile(wish(made), seen, Options(mode="keep")).empty is not starts


def test_the_supervisor_brings_up_nothing_that_never_was() -> None:
    made = stack(service("web"), service("never"))
    seen = applied(made, containers=(container(made.services["web"]),))
    assert reconcile(wish(made), seen, Options(mode="keep")).empty
    assert reconcile(wish(made), applied(made, containers=()), Options(mode="keep")).empty


def test_a_plan_survives_the_way_through_json() -> None:
    made = stack(service(replicas=2, user="1"), service("store"))
    plan = reconcile(wish(made), applied(stack(service()), images={"app": unbuilt()}))
    assert from_plain(type(plan), to_plain(plan)) == plan


def test_another_image_is_named_with_both_names() -> None:
    images = (Image(name="app"), Image(name="new"))
    old, made = stack(service(), images=images), stack(service(image="new"), images=images)
    seen = applied(old, images={"app": image(), "new": image("new", digest=OTHER, named=OTHER)})
    place = {("services", "web", "image"): ("stack.yaml", 9, 1)}
    assert reconcile(wish(made, place), seen).text() == "replace service:web: image app -> new (stack.yaml:9)"


def test_a_replica_too_many_is_named() -> None:
    seen = applied(stack(service(replicas=2)))
    assert text(service(), seen) == ["remove service:web/2: replicas 2 -> 1"]
