"""A supervisor that is killed before the n-th statement that it sends to its database; n stands in `die-at`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from stackup import db
from stackup.engine import supervisor

_path = os.path.join(dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))["--root"], "die-at")
_left = 0
_query = db.Database.query


def _dying(self: db.Database, sql: str, parameters: Sequence[Any] = ()) -> list[db.Row]:
    global _left
    if _left and not sql.lstrip().upper().startswith("SELECT"):
        _left = _left - 1 if os.path.exists(_path) else 0
        if not _left and os.path.exists(_path):
            os.unlink(_path)
            os.kill(os.getpid(), signal.SIGKILL)
    return _query(self, sql, parameters)


if __name__ == "__main__":
    try:
        with open(_path) as file:
            _left = int(file.read())
    except FileNotFoundError:
        pass
    db.Database.query = _dying  # type: ignore[method-assign]
    sys.exit(supervisor.main())
