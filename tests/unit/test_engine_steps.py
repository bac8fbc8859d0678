"""Steps of a build that run a command: who may, and what the others are told."""

from __future__ import annotations

import pytest

from stackup.engine.steps import Runner
from stackup.errors import Unsupported
from stackup.paths import Host


def test_a_user_is_told_that_commands_of_a_build_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with Runner(Host("/nowhere", "abc123")) as runner, pytest.raises(Unsupported, match="only root can run") as caught:
        runner(rootfs=(), argv=("true",), env={}, cwd="/", network="none", output=print)
    assert caught.value.exit_code == 3 and caught.value.hint
