"""Commands that join a running container: for `exec` and for health checks."""

from __future__ import annotations

import asyncio
import os
import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackup.engine import bundle, containers
from stackup.engine.children import Fds
from stackup.engine.server import Request
from stackup.engine.world import End, World
from stackup.errors import NotFound, StackupError
from stackup.oci import Document
from stackup.runtime.channel import close_all

_PATIENCE = 2.0  # seconds a command has after SIGTERM when its user went away


@dataclass(slots=True)
class Execution:
    """A command that runs. `fds`: pidfd, and terminal (pty master) where it has one; `close` them after its end."""

    id: str
    container: str
    pid: int
    start_time: int
    fds: Fds
    ended: asyncio.Future[End]


async def begin(
    world: World, container_id: str, argv: Sequence[str], *, fds: Mapping[str, int] | None = None, tty: bool = False,
    env: Mapping[str, str] | None = None, cwd: str | None = None, user: str | None = None,
) -> Execution:  # fmt: skip
    """Start a command beside a container's own process, with its environment, limits and user.

    `fds`: stdin, stdout, stderr (absent: /dev/null). Raises NotFound where the container does not run or the program is
    not there; `exit_status` of the error is what a shell would say (125, 126, 127).
    """
    live = world.live.get(container_id)
    if live is None:
        raise NotFound(f"container {container_id} does not run")
    spec = containers.read_bundle(world, container_id)
    process = bundle.exec_process(spec, list(argv), env=env, cwd=cwd, tty=tty)
    annotations = spec.get("annotations") or {}
    exec_id = os.urandom(6).hex()
    ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
    world.execs[exec_id] = ended
    chosen = user if user is not None else annotations.get("stackup.user")
    try:
        reply, received = await world.children.call(
            "exec", fds=fds, exec=exec_id, container=container_id, process=process, cgroup=live.group.join.to_json(),
            seccomp=annotations.get("stackup.seccomp", "default"), **({"user": chosen} if chosen else {}),
        )  # fmt: skip
    except BaseException:
        world.execs.pop(exec_id, None)
        raise
    execution = Execution(exec_id, container_id, reply["pid"], reply["start_time"], received, ended)
    world.commands[exec_id] = execution
    return execution


def close(world: World, execution: Execution) -> None:
    world.execs.pop(execution.id, None)
    world.commands.pop(execution.id, None)
    close_all(execution.fds)
    world.children.tell("forget", exec=execution.id)


async def hand_over(world: World) -> None:
    """A new spawner watches the commands that run on from now on."""
    for one in list(world.commands.values()):
        await world.children.call(
            "adopt", exec=one.id, container=one.container, pid=one.pid, start_time=one.start_time,
            fds={"pidfd": one.fds["pidfd"]},
        )  # fmt: skip


async def run(world: World, request: Request) -> Document:
    """The `exec` of the control socket: descriptors of the CLI in, the pty master out, its end as the reply."""
    wanted = request.arguments
    container_id = _find(world, str(wanted["stack"]), str(wanted["service"]), wanted.get("number"))
    tty = bool(wanted.get("tty"))
    fds = None if tty else dict(zip(("stdin", "stdout", "stderr"), request.fds, strict=False))
    try:
        execution = await begin(
            world, container_id, wanted["argv"], fds=fds, tty=tty, env=wanted.get("env"), cwd=wanted.get("workdir"),
            user=wanted.get("user"),
        )  # fmt: skip
    except StackupError as error:
        return {"refused": error.to_plain(), "status": getattr(error, "exit_status", 125)}
    close_all(request.fds)  # so that the CLI's pipes end with the command, not with us
    request.fds.clear()
    try:
        if "terminal" in execution.fds:
            request.send({"kind": "terminal"}, [execution.fds["terminal"]])
            close_all([execution.fds.pop("terminal")])
        end = await _end(world, execution, request)
    finally:
        close(world, execution)
    return {"code": end.code, "signal": end.signal}


async def _end(world: World, execution: Execution, request: Request) -> End:
    """Wait for its end; where its user goes away first, it has to go, too."""
    gone = asyncio.ensure_future(request.withdrawn.wait())
    await asyncio.wait((gone, execution.ended), return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    for number in (signals.SIGTERM, signals.SIGKILL):
        if execution.ended.done():
            break
        world.children.tell("kill", exec=execution.id, signal=number, group=True)
        try:
            await asyncio.wait_for(asyncio.shield(execution.ended), _PATIENCE)
        except TimeoutError:
            continue
    return await execution.ended


def _find(world: World, stack: str, service: str, number: int | None) -> str:
    records = [c for c in world.records.containers(stack) if c.service_name == service and number in (None, c.number)]
    for record in records:
        if record.id in world.live:
            return record.id
    name = f"service:{service}" + (f"/{number}" if number is not None else "")
    if not records:
        raise NotFound(f"stack {stack} has no {name}", hint="`stackup ps` lists what there is", resource=name)
    raise NotFound(f"{name} does not run", hint=f"`stackup start {service}` starts it", resource=name)
