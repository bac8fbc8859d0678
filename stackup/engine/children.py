"""The spawner as the supervisor sees it: requests with replies, ends of containers and commands, stored descriptors.

One channel (runtime/channel.py), driven by the event loop. Replies find their request by number; events go to
`on_event`. When the spawner dies its channel ends and `on_lost` is called once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stackup import errors
from stackup.errors import StackupError
from stackup.runtime.channel import Channel, Message, close_all

Fds = dict[str, int]


class Children:
    def __init__(self, channel: Channel, on_event: Callable[[Message, Fds], None], on_lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._on_event = on_event
        self._on_lost = on_lost
        self._number = 0
        self._replies: dict[int, asyncio.Future[tuple[Message, Fds]]] = {}
        self.lost = False
        self._loop.add_reader(channel.fileno(), self._readable)

    async def call(self, op: str, *, fds: Mapping[str, int] | None = None, **arguments: Any) -> tuple[Message, Fds]:
        """Ask and wait for the reply and its descriptors (ours to close). Raises the spawner's error."""
        future: asyncio.Future[tuple[Message, Fds]] = self._loop.create_future()
        number = self._post(op, fds, arguments)
        self._replies[number] = future
        return await future

    def tell(self, op: str, *, fds: Mapping[str, int] | None = None, **arguments: Any) -> None:
        """Ask for something whose reply tells nothing new; a spawner that is gone needs no telling."""
        if not self.lost:
            self._post(op, fds, arguments)

    def _post(self, op: str, fds: Mapping[str, int] | None, arguments: Message) -> int:
        if self.lost:
            raise _gone()
        self._number += 1
        try:
            self._channel.post({"id": self._number, "op": op, **arguments}, fds)
        except (BrokenPipeError, ConnectionResetError):
            self._loop.call_soon(self._lose)
            raise _gone() from None
        if self._channel.behind:
            self._loop.add_writer(self._channel.fileno(), self._flush)
        return self._number

    def _flush(self) -> None:
        try:
            if self._channel.flush():
                self._loop.remove_writer(self._channel.fileno())
        except OSError:
            self._lose()

    def _readable(self) -> None:
        try:
            while not self.lost:
                received = self._channel.try_receive()
                if received is None:
                    return self._lose()
                self._take(*received)
        except BlockingIOError:
            pass
        except OSError:
            self._lose()

    def _take(self, message: Message, fds: Fds) -> None:
        if "event" in message:
            return self._on_event(message, fds)
        future = self._replies.pop(int(message.get("re", 0)), None)
        if future is None or future.done():
            close_all(fds)
        elif message.get("ok"):
            future.set_result((message, fds))
        else:
            error = errors.from_plain(message.get("error") or {})
            error.exit_status = int(message.get("exit") or 125)  # type: ignore[attr-defined]
            future.set_exception(error)
        return None

    def _lose(self) -> None:
        if self.lost:
            return
        self.close()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(_gone())
        self._replies.clear()
        self._on_lost()

    def close(self) -> None:
        if not self.lost:
            self.lost = True
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.close()


def _gone() -> StackupError:
    return StackupError("the spawner is gone", hint="run the command again: it is started anew")
