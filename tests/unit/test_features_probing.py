"""How features are tried: in a child whose end, however it comes, is an answer."""

from __future__ import annotations

import errno
import os
import time

import pytest

from stackup.errors import KernelError
from stackup.linux import features
from stackup.linux.probes import Missing, Scene


def test_what_a_probe_finds_or_misses_is_its_answer() -> None:
    def missing() -> str:
        raise Missing("not today")

    assert features._in_child(lambda: "found") == (True, "found")
    assert features._in_child(missing) == (False, "not today")


def test_an_error_of_the_kernel_names_call_or_path() -> None:
    def no_file() -> str:
        with open("/nowhere") as file:
            return file.read()

    def call() -> str:
        raise KernelError("unshare: refused", 1)

    assert features._in_child(no_file) == (False, "/nowhere: No such file or directory")
    assert features._in_child(call) == (False, "unshare: refused")


def test_a_crash_and_a_hang_are_answers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert features._in_child(lambda: os._exit(3)) == (False, "the probe crashed")
    monkeypatch.setattr(features, "_SECONDS", 0.05)
    worked, said = features._in_child(lambda: time.sleep(60) or "")
    assert (worked, said) == (False, "no answer within 0.05 s")


def test_a_childs_own_children_end_with_it() -> None:
    reading, writing = os.pipe()

    def leave_one_behind() -> str:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        return "left"

    assert features._in_child(leave_one_behind) == (True, "left")
    os.close(writing)
    assert os.read(reading, 1) == b"", "nobody holds the pipe any more"
    os.close(reading)


def test_what_a_user_is_refused_is_not_blamed_on_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(scene: Scene) -> str:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    each = features._Probe("veth", refused, "no network", "modprobe veth")
    scene = Scene("/tmp", "/tmp", "/sys/fs/cgroup")
    for user, remedy in ((0, "modprobe veth"), (1000, "run stackup as root")):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        assert features._tried(each, scene).remedy == remedy
