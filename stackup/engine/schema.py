"""The tables of state.db, one SQL script a version (`db.open_database` runs the missing ones).

Times are unix seconds as REAL, JSON stands as text, truth values as 0 and 1. `leases` is one ledger for all that two
containers must not share: `kind` address (scope: network name), ids (scope ""), port (scope: `tcp/127.0.0.1`).
"""

from __future__ import annotations

SCHEMA: tuple[str, ...] = (
    """
    CREATE TABLE stacks (
        name TEXT PRIMARY KEY,
        folder TEXT NOT NULL,
        file TEXT NOT NULL,
        serial INTEGER NOT NULL DEFAULT 0,
        held INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;

    CREATE TABLE generations (
        stack TEXT NOT NULL REFERENCES stacks(name) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'current', 'past')),
        time REAL NOT NULL,
        desired TEXT NOT NULL,
        PRIMARY KEY (stack, number)
    ) WITHOUT ROWID;

    CREATE TABLE containers (
        id TEXT PRIMARY KEY,
        stack TEXT NOT NULL REFERENCES stacks(name),
        service_name TEXT NOT NULL,
        number INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('created', 'running', 'exited')),
        wish TEXT NOT NULL CHECK (wish IN ('running', 'stopped')),
        held INTEGER NOT NULL,
        digest TEXT NOT NULL,
        service TEXT NOT NULL,
        id_base INTEGER,
        id_size INTEGER NOT NULL,
        addresses TEXT NOT NULL,
        cgroup TEXT NOT NULL,
        pid INTEGER,
        start_time INTEGER,
        boot_id TEXT,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        exit_code INTEGER,
        signal INTEGER,
        exit TEXT,
        oom INTEGER NOT NULL,
        restarts INTEGER NOT NULL,
        health TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX containers_of_stack ON containers (stack, service_name, number);

    CREATE TABLE networks (
        name TEXT PRIMARY KEY,
        stack TEXT NOT NULL REFERENCES stacks(name),
        key TEXT NOT NULL,
        subnet TEXT NOT NULL UNIQUE,
        bridge TEXT NOT NULL UNIQUE,
        network TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE volumes (
        name TEXT PRIMARY KEY,
        stack TEXT,
        key TEXT,
        created REAL NOT NULL,
        labels TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE leases (
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,
        value TEXT NOT NULL,
        owner TEXT NOT NULL,
        PRIMARY KEY (kind, scope, value)
    ) WITHOUT ROWID;
    CREATE INDEX leases_of_owner ON leases (owner);

    CREATE TABLE journal (
        id INTEGER PRIMARY KEY,
        stack TEXT NOT NULL,
        resource TEXT NOT NULL,
        operation TEXT NOT NULL,
        began REAL NOT NULL
    );

    CREATE TABLE facts (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE checks (
        container TEXT PRIMARY KEY REFERENCES containers(id) ON DELETE CASCADE,
        results TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)
