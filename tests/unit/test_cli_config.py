"""`stackup config` and all that it can be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from stackup.spec import annotate
from stackup.spec.dump import document, dump
from stackup.spec.lint import lint
from stackup.spec.load import load

from .cli_values import run
from .test_spec_rules import RULES, called

Capsys = pytest.CaptureFixture[str]

STACK = """name: shop
images:
  app:
    layers:
      - file: {target: /a, content: "one\\ntwo\\n"}
      - template: {source: ./t.j2, target: /t, vars: {deep: {x: 1}}}
services:
  web:
    image: app
    ports: ["8080:80", {target: 81}]
    environment: {PORT: "${PORT:-80}", GREETING: "${GREETING?is needed} to ${PORT+you}", EMPTY: "${NOTHING}"}
    env_file: extra.env
    depends_on: [store]
    restart: on-failure:3
    deploy: {endpoint_mode: dnsrr}
    volumes: [{type: bind, source: ./d, target: /d, bind: {create_host_path: false}}]
    labels: {long: "%s"}
  store: {image: app}
  tools: {image: app, profiles: [dev]}
networks: {back: {}}
volumes: {data: {}}
""" % " ".join(["word"] * 40)  # noqa: UP031 - braces all over


@pytest.fixture
def shop(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (project / "stack.yaml").write_text(STACK)
    (project / "t.j2").write_text("")
    (project / "extra.env").write_text("# from a file\nMORE=yes\n")
    (project / ".env").write_text("GREETING=hello\n")
    monkeypatch.setenv("PORT", "8888")
    return project


def test_every_value_has_its_origin(shop: Path, capsys: Capsys) -> None:
    lines = run(capsys, "-q", "config", "--origin").out.splitlines()
    origins = dict(line.split("  # ") for line in lines if "  # " in line)
    found = {value.strip().removeprefix("- "): origin for value, origin in origins.items()}
    assert found["name: shop"] == "stack.yaml:1"
    assert found["content: |"] == "stack.yaml:5"
    assert found["x: 1"] == "stack.yaml:6"
    assert found["published: 8080"] == "stack.yaml:10"
    assert found['PORT: "8888"'] == "stack.yaml:11, $PORT from the environment"
    assert found["GREETING: hello to you"] == "stack.yaml:11, $GREETING from .env:1, $PORT from the environment"
    assert found["MORE: 'yes'"] == "extra.env:2"
    assert found["host_ip: 127.0.0.1"] == "default"
    assert found["restart: on-failure:3"] == "stack.yaml:14"
    assert found["endpoint_mode: dnsrr"] == "stack.yaml:15"
    assert found["create_host_path: false"] == "stack.yaml:16"
    folded = next(i for i, line in enumerate(lines) if "long: " in line)
    assert "#" not in lines[folded] and lines[folded + 2].endswith("  # stack.yaml:17")


def test_an_annotated_file_is_read_back_as_the_same_stack(shop: Path, capsys: Capsys) -> None:
    plain = run(capsys, "-q", "config").out
    (shop / "again.yaml").write_text(run(capsys, "-q", "config", "--origin").out)
    assert run(capsys, "-q", "-f", "again.yaml", "config").out == plain


def test_a_digest_of_what_a_profile_switches_off_says_which(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}, zz: {image: x, profiles: [debug]}}\n")
    told = run(capsys, "-C", str(tmp_path), "config", "--hash", "zz")
    assert (told.status, told.err.splitlines()) == (2, [
        "error: service 'zz' is switched off by its profile", "hint: --profile debug switches it on",
    ])  # fmt: skip


def test_what_is_the_users_own_is_printed_with_its_origin_and_without_variables(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "compose.yaml").write_text(
        'x-top: {a: ["$$HOME"]}\nservices:\n  web:\n    image: x:1\n    deploy: {restart_policy: {x-why: b}}\n'
    )
    out = run(capsys, "-C", str(tmp_path), "-q", "config", "--origin", "--format", "json").out
    rows = {row["path"]: (row["value"], row["line"]) for row in json.loads(out)}
    assert rows["x-top.a[0]"] == ("$HOME", 1)
    assert rows["services.web.deploy.restart_policy.x-why"] == ("b", 5)
    assert "$$HOME" in run(capsys, "-C", str(tmp_path), "-q", "config").out


IMPLIED = """\
services:
  web:
    image: x:1
    depends_on: [db]
    ports: ["80"]
    volumes: [{source: d, target: /d}]
    deploy: {restart_policy: {delay: 3s}}
  db: {image: "x:1", networks: {default: {aliases: [e]}}}
volumes: {d: }
"""


def test_what_nobody_wrote_is_a_default(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "compose.yaml").write_text(IMPLIED)
    out = run(capsys, "-C", str(tmp_path), "-q", "config", "--origin", "--format", "json").out
    lines = {row["path"]: row["line"] for row in json.loads(out)}
    web = "services.web"
    nobody = [f"{web}.networks.default", "networks.default", f"{web}.ports[0].published", f"{web}.ports[0].protocol",
              f"{web}.depends_on.db.required", f"{web}.volumes[0].type",
              f"{web}.deploy.restart_policy.condition"]  # fmt: skip
    assert {path: lines[path] for path in nobody} == dict.fromkeys(nobody)
    assert lines[f"{web}.depends_on.db.condition"] == 4
    assert lines[f"{web}.ports[0].target"] == 5
    assert lines["services.db.networks.default.aliases[0]"] == 8


def test_a_compose_file_stays_one_and_its_values_have_origins(project: Path, capsys: Capsys) -> None:
    (project / "compose.yaml").write_text(
        "services:\n"
        "  web:\n"
        "    image: x\n"
        "    command: echo {{.Name}}\n"
        "    scale: 2\n"
        "    mem_limit: 64m\n"
        "    mem_reservation: 32m\n"
        "networks:\n"
        "  back:\n"
        "    ipam: {config: [{subnet: 10.9.0.0/24}]}\n"
    )
    rows = json.loads(run(capsys, "-q", "-f", "compose.yaml", "config", "--origin", "--format", "json").out)
    lines = {row["path"]: (row["value"], row["line"]) for row in rows}
    assert lines["services.web.command[1]"] == ("{{.Name}}", 4)
    assert lines["services.web.deploy.replicas"] == (2, 5)
    assert lines["services.web.deploy.resources.limits.memory"] == ("64M", 6)
    assert lines["services.web.deploy.resources.reservations.memory"] == ("32M", 7)
    assert lines["networks.back.ipam.config[0].subnet"] == ("10.9.0.0/24", 10)
    assert "{{.Name}}" in run(capsys, "-q", "-f", "compose.yaml", "config").out


def test_origins_for_programs(shop: Path, capsys: Capsys) -> None:
    rows = {row["path"]: row for row in json.loads(run(capsys, "-q", "config", "--origin", "--format", "json").out)}
    assert rows["services.web.environment.PORT"] == {
        "path": "services.web.environment.PORT", "value": "8888", "file": "stack.yaml", "line": 11, "column": 25,
        "said": None, "variables": [{"name": "PORT", "where": "the environment"}],
    }  # fmt: skip
    assert rows["services.web.ports[1].protocol"]["said"] == "default"


@pytest.mark.parametrize(
    ("argv", "said"), [((), "the folder's name"), (("-p", "other"), "-p"), (("COMPOSE",), "COMPOSE_PROJECT_NAME")]
)
def test_who_gives_the_name(
    argv: tuple[str, ...], said: str, shop: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "stack.yaml").write_text(STACK.replace("name: shop\n", "" if not argv else "name: x\n"))
    if argv == ("COMPOSE",):
        monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
        argv = ()
    assert f"  # {said}\n" in run(capsys, "-q", *argv, "config", "--origin").out


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("--services", "store\nweb\n"),
        ("--images", "app\n"),
        ("--volumes", "data\n"),
        ("--networks", "back\ndefault\n"),
        ("--profiles", "dev\n"),
    ],
)
def test_names_alone(option: str, names: str, shop: Path, capsys: Capsys) -> None:
    assert run(capsys, "-q", "config", option).out == names
    assert json.loads(run(capsys, "-q", "config", option, "--format", "json").out) == names.split()


def test_services_of_a_profile_that_is_on(shop: Path, capsys: Capsys) -> None:
    assert run(capsys, "-q", "--profile", "dev", "config", "--services").out == "store\ntools\nweb\n"


def test_variables(shop: Path, capsys: Capsys) -> None:
    assert [line.split() for line in run(capsys, "-q", "config", "--variables").out.splitlines()] == [
        ["NAME", "REQUIRED", "DEFAULT", "ALTERNATIVE", "VALUE", "FROM"],
        ["GREETING", "yes", "-", "-", "hello", ".env:1"],
        ["NOTHING", "no", "-", "-", "-", "-"],
        ["PORT", "no", "80", "you", "8888", "the", "environment"],
    ]
    first = json.loads(run(capsys, "-q", "config", "--variables", "--format", "json").out)[0]
    assert list(first) == ["name", "default", "alternative", "required", "value", "where"]


def test_a_digest_moves_with_what_it_is_of(shop: Path, capsys: Capsys) -> None:
    store, web = run(capsys, "-q", "config", "--hash", "*").out.splitlines()
    assert store.startswith("store ") and web.startswith("web ") and len(web.split()[1]) == 64
    assert run(capsys, "-q", "config", "--hash", "web").out.splitlines() == [web]
    (shop / "stack.yaml").write_text(
        STACK.replace("on-failure:3", "always").replace('["8080:80"', '["127.0.0.1:8080:80"')
    )
    changed = run(capsys, "-q", "config", "--hash", "store, web").out.splitlines()
    assert changed[0] == store and changed[1] != web
    assert "did you mean 'web'?" in run(capsys, "config", "--hash", "wbe").err


def test_variables_are_left_as_they_are(shop: Path, capsys: Capsys) -> None:
    assert "PORT: ${PORT:-80}" in run(capsys, "-q", "config", "--no-interpolate").out


def test_only_a_check(shop: Path, capsys: Capsys) -> None:
    ran = run(capsys, "config", "-q")
    assert (ran.status, ran.out) == (0, "")
    (shop / "stack.yaml").write_text("services: {web: {imag: a}}\n")
    assert run(capsys, "config", "-q").status == 2


def test_into_a_file(shop: Path, capsys: Capsys) -> None:
    plain = run(capsys, "-q", "config").out
    ran = run(capsys, "-q", "config", "-o", "all.yaml")
    assert ran.out == "" and (shop / "all.yaml").read_text() == plain
    assert run(capsys, "-q", "config", "-o", "no/such/folder").status == 2


def test_one_question_at_a_time(shop: Path, capsys: Capsys) -> None:
    ran = run(capsys, "config", "--services", "--images")
    assert ran.status == 2 and ran.err.startswith("error: only one of these at a time: ")


def test_a_name_of_variables_is_a_name_also_where_they_are_left(shop: Path, capsys: Capsys) -> None:
    (shop / "stack.yaml").write_text(STACK.replace("name: shop", "name: ${NAME:-shop}"))
    ran = run(capsys, "-q", "config", "--no-interpolate")
    assert ran.status == 0 and ran.out.startswith("name: ${NAME:-shop}\n")


@pytest.mark.parametrize("rule", sorted(str(p.parent.relative_to(RULES)) for p in RULES.glob("*/*/expected.json")))
def test_every_stack_of_the_rules_is_annotated_and_checked(rule: str) -> None:
    """What is behind the values changes nothing, and every value of the document has an origin."""
    loaded = load(**called(RULES / rule))
    assert isinstance(lint(loaded), tuple)
    plain = dump(loaded)
    text = annotate.annotated(plain, loaded, None)
    assert yaml.load(text, yaml.BaseLoader) == yaml.load(plain, yaml.BaseLoader)
    rows = annotate.listed(document(loaded), loaded, None)
    assert text.count("\n") == plain.count("\n") and all(row["file"] or row["said"] for row in rows)
    assert text.count("  # ") >= len(rows)


def test_what_is_not_interpolated_has_no_origins(shop: Path) -> None:
    loaded = load(str(shop), interpolate=False)
    assert {row["said"] for row in annotate.listed(document(loaded), loaded, None)} == {"default", "the folder's name"}
    assert lint(loaded) == ()
