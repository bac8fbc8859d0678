"""Whatever the wish and whatever the machine is like: a plan that is carried out leaves nothing to do.

The plan is walked on values: every operation must find the world it needs, and what it leaves behind is the next
snapshot.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stackup.planner.desired import Desired
from stackup.planner.observed import Observed, ObservedContainer, ObservedImage, ObservedNetwork
from stackup.planner.operations import (
    AwaitService,
    BuildImage,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    DeleteContainer,
    DeleteNetwork,
    DeleteVolume,
    RestartContainer,
    StartContainer,
    StopContainer,
    UpdateContainer,
)
from stackup.planner.plan import Plan
from stackup.planner.reconcile import reconcile
from stackup.spec.model import (
    Attachment,
    Dependency,
    Healthcheck,
    Image,
    Network,
    Port,
    Resources,
    Service,
    Stack,
    Volume,
    VolumeMount,
)

from .planner_values import DIGEST, OTHER, unbuilt, wish
from .planner_values import image as known

NAMES = ("a", "b", "c", "d")
DATA = VolumeMount(type="volume", source="data", target="/d")
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(("app", "tool")),
    "replicas": st.integers(0, 3),
    "user": st.sampled_from((None, "1")),  # restart
    "resources": st.sampled_from((Resources(), Resources(pids=5))),  # live
    "userns_mode": st.sampled_from(("", "host")),  # replace
    "volumes": st.sampled_from(((), (DATA,))),
    "healthcheck": st.sampled_from((None, Healthcheck(test=("CMD", "x")))),
    "ports": st.lists(st.sampled_from((1, 2, 3)), unique=True, max_size=2).map(
        lambda numbers: tuple(Port(target=80, published=n) for n in numbers)
    ),
    "networks": st.sampled_from(({"default": Attachment()}, {"default": Attachment(), "back": Attachment()})),
}
DEPENDENCY = st.builds(
    Dependency,
    condition=st.sampled_from(("service_started", "service_healthy", "service_completed_successfully")),
    restart=st.booleans(),
    required=st.booleans(),
)


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    services: dict[str, Service] = {}
    for name in draw(st.sets(st.sampled_from(NAMES), min_size=1).map(sorted)):
        needs = draw(st.dictionaries(st.sampled_from(sorted(services)), DEPENDENCY)) if services else {}
        services[name] = Service(name=name, depends_on=needs, **{k: draw(v) for k, v in FIELDS.items()})
    networks = {
        key: Network(name=key, subnet=draw(st.sampled_from((None, "10.89.9.0/24")))) for key in ("default", "back")
    }
    return Stack(
        name="shop", folder="/shop", file="stack.yaml", services=services, networks=networks,
        images={"app": Image(name="app", base="tool"), "tool": Image(name="tool")},
        volumes={"data": Volume(name="data")},
    )  # fmt: skip


STATES = st.fixed_dictionaries(
    {
        "state": st.sampled_from(("running", "running", "running", "exited", "created", "gone")),
        "digest": st.sampled_from((DIGEST, OTHER)),
        "held": st.booleans(),
        "exit_code": st.sampled_from((0, 1, None)),
        "health": st.sampled_from(("none", "healthy", "starting")),
    }
)


@st.composite
def machines(draw: st.DrawFn) -> Observed:
    made = draw(stacks())
    containers = [
        ObservedContainer(id=f"{s.name}{n}", service_name=s.name, number=n, service=s, **draw(STATES))
        for s in made.services.values()
        for n in draw(st.sets(st.integers(1, 4)))
    ]
    used = {k for c in containers for k in c.service.networks} | draw(st.sets(st.sampled_from(("default", "back"))))
    return Observed(
        images={name: draw(st.sampled_from((known(name), unbuilt(name), ObservedImage(reference=f"shop/{name}"))))
                for name in ("app", "tool")},
        containers=tuple(containers),
        networks={k: ObservedNetwork(key=k, network=made.networks[k], intact=draw(st.booleans())) for k in used},
        volumes=draw(st.sampled_from(({}, {"shop_data": "data"}))),
    )  # fmt: skip


def carried_out(plan: Plan, wished: Desired, before: Observed, digests: dict[str, str]) -> Observed:
    """The machine after the plan. Asserts that every operation finds what it needs."""
    images, networks, volumes = dict(before.images), dict(before.networks), set(before.volumes.values())
    there = {c.id: c for c in before.containers}
    done: set[str] = set()

    def find(service: str, number: int) -> ObservedContainer:
        (one,) = [c for c in there.values() if (c.service_name, c.number) == (service, number)]
        return one

    for node in plan.nodes:
        assert set(node.after) <= done, f"{node.id} before {set(node.after) - done}"
        done.add(node.id)
        match node.operation:
            case BuildImage(name=name):
                images[name] = known(name, digest=digests[name], named=digests[name])
            case CreateNetwork(key=key):
                networks[key] = ObservedNetwork(key=key, network=wished.networks[key].network)
            case DeleteNetwork(key=key):
                assert not [c for c in there.values() if key in c.service.networks]
                del networks[key]
            case CreateVolume(key=key):
                volumes.add(key)
            case DeleteVolume():
                raise AssertionError("up deletes no data")
            case StopContainer(container=key):
                assert there[key].state == "running"
                there[key] = dataclasses.replace(there[key], state="exited", exit_code=143)
            case DeleteContainer(container=key):
                assert there.pop(key).state != "running"
            case CreateContainer(service=name, number=number):
                assert not [c for c in there.values() if (c.service_name, c.number) == (name, number)]
                service = wished.services[name]
                assert set(service.service.networks) <= set(networks)
                assert {m.source for m in service.service.volumes} <= volumes
                there[node.id] = ObservedContainer(
                    id=node.id, service_name=name, number=number, state="created", service=service.service,
                    digest=digests[service.image_key or ""],
                )  # fmt: skip
            case StartContainer(service=name, number=number):
                one = find(name, number)
                assert one.state != "running"
                there[one.id] = dataclasses.replace(
                    one, state="running", service=wished.services[name].service, held=False, health="healthy"
                )
            case UpdateContainer(container=key, service=name) | RestartContainer(container=key, service=name):
                assert there[key].state == "running"
                there[key] = dataclasses.replace(there[key], service=wished.services[name].service)
            case AwaitService():
                pass
    return Observed(
        images=images, containers=tuple(there.values()), networks=networks,
        volumes={f"shop_{key}": key for key in volumes},
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(stacks(), machines(), st.sampled_from((DIGEST, OTHER)))
def test_a_plan_that_is_carried_out_leaves_nothing_to_do(made: Stack, before: Observed, comes_out: str) -> None:
    wished = wish(made)
    digests = {name: seen.digest or comes_out for name, seen in before.images.items()}
    plan = reconcile(wished, before)
    assert plan.text() or plan.empty
    resolved = plan.resolve(digests, before)
    assert not resolved.conditional
    assert {n.id for n in resolved.nodes} <= {n.id for n in plan.nodes}
    after = carried_out(resolved, wished, before, digests)
    assert reconcile(wished, after).lines() == ()


@settings(max_examples=100, deadline=None)
@given(stacks(), machines())
def test_the_supervisor_never_touches_what_is_as_it_was_left(made: Stack, before: Observed) -> None:
    """Held and finished containers stay; nothing is created that was never there."""
    from stackup.planner.reconcile import Options

    wished = wish(made)
    there = {c.service_name for c in before.containers}
    for node in reconcile(wished, before, Options(mode="keep", remove_orphans=False)).nodes:
        operation = node.operation
        if isinstance(operation, CreateContainer | StartContainer):
            assert operation.service in there
