"""The spawner's channel: messages with named descriptors, waiting and not waiting."""

from __future__ import annotations

import os

import pytest

from stackup.errors import StackupError
from stackup.runtime.channel import MAX_PACKET, close_all, pair


def test_messages_keep_their_borders_and_descriptors_their_names():
    one, other = pair()
    reading, writing = os.pipe()
    one.send({"a": 1}, {"in": reading, "out": writing})
    one.send({"b": 2})
    close_all([reading, writing])
    message, fds = other.receive(5) or pytest.fail("nothing came")
    assert (message["a"], list(fds)) == (1, ["in", "out"])
    os.write(fds["out"], b"x")
    assert os.read(fds["in"], 1) == b"x"
    assert not os.get_inheritable(fds["in"])
    assert (other.try_receive() or pytest.fail("nothing came"))[0]["b"] == 2
    with pytest.raises(BlockingIOError):
        other.try_receive()
    close_all(fds)
    one.close()
    assert other.receive(5) is None
    assert other.hung_up()
    other.close()


def test_posted_messages_wait_with_their_descriptors():
    one, other = pair()
    reading, writing = os.pipe()
    for number in range(50):
        one.post({"n": number, "text": "x" * 50_000}, {"end": writing})
    os.close(writing)
    assert one.behind
    seen = []
    while len(seen) < 50:
        message, fds = other.receive(5) or pytest.fail("nothing came")
        seen.append(message["n"])
        close_all(fds)
        one.flush()
    assert seen == list(range(50)) and not one.behind
    assert os.read(reading, 1) == b""  # no copy of the writing end is left
    os.close(reading)
    one.close()
    other.close()


def test_too_long_a_message_is_refused():
    one, other = pair()
    with pytest.raises(StackupError, match="too long"):
        one.send({"text": "x" * MAX_PACKET})
    one.close()
    other.close()


def test_another_version_is_refused():
    one, other = pair()
    one._socket.send(b'{"v":2,"id":1}')
    with pytest.raises(StackupError, match="version 2"):
        other.receive(5)
    one.close()
    other.close()
