"""The supervisor of a root: `python -m stackup.engine.supervisor --channel FD --root PATH`, started by the spawner.

One asyncio loop, one worker thread for netlink. It may die at any moment: containers run on, the spawner keeps their
descriptors and ends, and the next supervisor takes it up from there (recover.py). It ends by itself, together with the
spawner, when no stack is left and nobody is connected.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # asyncio does without TLS where it is not there; nobody speaks it here. It would be 20 ms of each start, and 2 MB.
    sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio
import gc
import os
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor

from stackup import paths
from stackup.engine import identity, records, recover, running
from stackup.engine.children import Children, Fds
from stackup.engine.handlers import Handlers
from stackup.engine.keeper import Keeper
from stackup.engine.networks import Networks
from stackup.engine.output import Output
from stackup.engine.pictures import Pictures
from stackup.engine.server import Server
from stackup.engine.world import End, World
from stackup.errors import StackupError
from stackup.paths import Host
from stackup.runtime import spawning
from stackup.runtime.cgroups import driver
from stackup.runtime.channel import Channel, Message, close_all

_FIRST_CONNECTION = 10.0  # seconds in which whoever started us has to connect


class Supervisor:
    def __init__(self, host: Host, channel: Channel) -> None:
        self.host = host
        self._channel = channel
        self._ended = asyncio.Event()
        self._found: recover.Found | None = None
        self._greeted = asyncio.Event()
        self._ending = False
        self._stays = False  # in the foreground, whoever started us says when we end

    async def run(self) -> None:
        host = self.host
        database = records.open_records(host)
        worker = ThreadPoolExecutor(1, "network")
        children = Children(self._channel, self._event, self._lost)
        output = Output(host)
        networks = Networks(host, database)
        self.world = World(
            host=host, boot=identity.boot_id(host), records=database, children=children,
            cgroups=driver.detect(host.cgroup_fs), networks=networks, output=output, images=Pictures(host),
            worker=worker,
        )  # fmt: skip
        networks.world = self.world
        self.keeper = Keeper(self.world)
        self.handlers = Handlers(self.world, self.keeper)
        try:
            found = await self._greet()
            await recover.everything(self.world, self.keeper, found)
            identity.write(host)
            self.handlers.resume()
            self.server = Server(_listener(found), self.handlers, self._idle)
            asyncio.get_running_loop().call_later(_FIRST_CONNECTION, self._idle)
            gc.freeze()  # what is loaded stays: no collection has to walk through it
            gc.set_threshold(
                10_000, 10, 10
            )  # values hold no circles, so that looking for them more often finds nothing
            await self._ended.wait()
        except Exception:
            traceback.print_exc()  # before the channel closes: the spawner ends a supervisor that has let go of it
            sys.stderr.flush()
            raise
        finally:
            await self._close()

    async def _greet(self) -> recover.Found:
        """Ask the spawner for all it keeps for us."""
        self._found, self._greeted = recover.Found(), asyncio.Event()
        hello, _fds = await self.world.children.call("hello")
        self._stays = bool(hello.get("foreground"))
        await self._greeted.wait()
        found, self._found = self._found, None
        return found

    def _event(self, message: Message, fds: Fds) -> None:
        if self._found is not None:
            if message["event"] == "hello_end":
                self._greeted.set()
            else:
                self._found.add(message, fds)
        elif message["event"] == "exited":
            self._exited(message)
        else:
            close_all(fds)

    def _exited(self, message: Message) -> None:
        end = End(message.get("code"), message.get("signal"), float(message.get("time") or 0.0))
        if "exec" in message:
            future = self.world.execs.get(message["exec"])
            if future is not None and not future.done():
                future.set_result(end)
            elif future is None:
                self.world.children.tell("forget", exec=message["exec"])
            return
        record = running.ended(self.world, message["container"], end)
        if record is not None:
            self.keeper.ended(record)

    def _lost(self) -> None:
        if self._ending:
            return
        if not hasattr(self, "server"):
            # Half of what there is may be taken up. The next command starts a pair that begins from the records.
            print("the spawner was gone before we were ready", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
        self.world.spawn(self._new_spawner())

    async def _new_spawner(self) -> None:
        """The spawner died; the containers did not. Start another one and hand all of them over."""
        print("the spawner is gone, starting another one", file=sys.stderr, flush=True)  # noqa: T201
        channel = await self.world.blocking(spawning.new_spawner, self.host)
        children = self.world.children = Children(channel, self._event, self._lost)
        try:
            found = await self._greet()
            found.close()
            await recover.hand_over(self.world, self.server.listener)
        except StackupError as error:
            if not children.lost:
                raise
            print(f"the new spawner: {error}", file=sys.stderr, flush=True)  # noqa: T201  it died, too: `_lost` was called

    def _idle(self) -> None:
        busy = self.server.connections or self.handlers.locks.busy or self.world.records.stacks()
        if not (busy or self._ending):
            self.world.spawn(self.world.networks.rest() if self._stays else self._leave())

    async def _leave(self) -> None:
        """Nothing is left to do: end, and the spawner with us, unless somebody is just connecting."""
        self._ending = True
        identity.forget(self.host)
        try:
            await self.world.networks.close()
            await self.world.children.call("shutdown")
        except StackupError:
            self._ending = self.world.children.lost
            if not self._ending:
                identity.write(self.host)
                self.server.accept()
                return
        self._ended.set()

    async def _close(self) -> None:
        if hasattr(self, "server"):
            self.server.close()
        self.world.output.close()
        self.world.images.close()
        self.world.children.close()
        self.world.records.close()
        self.world.worker.shutdown(wait=False, cancel_futures=True)


def _listener(found: recover.Found) -> socket.socket:
    descriptor = found.stored("control").get("socket")
    if descriptor is None:
        raise StackupError("the spawner has no control socket for the supervisor")
    return socket.socket(fileno=descriptor)


def main() -> int:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    host = paths.find_root(options["--root"])
    if host is None:
        return 1
    channel = Channel.from_descriptor(int(options["--channel"]))
    asyncio.run(Supervisor(host, channel).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
