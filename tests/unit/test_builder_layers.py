"""Layer kinds that run nothing: where files land, with which owner and mode, and what is refused."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from stackup.builder.inputs import Inputs
from stackup.builder.layers import bytecode
from stackup.builder.layers.closure import Collector
from stackup.builder.store import images
from stackup.errors import BadInput, NotFound
from stackup.spec.layers import Copy, File, HostPrograms, Layer, Run, Template

from .builder_helpers import FakeRunner, build, image, listing, make_host, project, stack, tree

ROOT = os.geteuid() == 0
BASE = (
    File(target="/etc/passwd", content="root:x:0:0::/:/bin/sh\napp:x:100:101::/:/bin/sh\n"),
    File(target="/etc/group", content="root:x:0:\nadm:x:7:\n"),
)


def top(tmp_path: Path, *layers: Layer, below: tuple[Layer, ...] = (), act: Any = None) -> dict[str, str]:
    """The listing of the last layer."""
    host = make_host(tmp_path)
    runner = FakeRunner(act) if act else FakeRunner()
    digest = build(host, stack(tmp_path, one=(*below, *layers)), runner=runner)["one"]
    return listing(tree(host, digest))


def test_copy_of_a_folder_copies_its_contents(tmp_path: Path) -> None:
    project(tmp_path, {"web/a": "A", "web/sub/b": "B", "web/tool": "#!"})
    (tmp_path / "web/tool").chmod(0o711)
    (tmp_path / "web/empty").mkdir()
    (tmp_path / "web/up").symlink_to("../../outside")
    assert top(tmp_path, Copy(source="./web", target="/srv/app")) == {
        "srv": "0755 0:0", "srv/app": "0755 0:0", "srv/app/a": "0644 0:0 A", "srv/app/sub": "0755 0:0",
        "srv/app/sub/b": "0644 0:0 B", "srv/app/tool": "0755 0:0 #!", "srv/app/empty": "0755 0:0",
        "srv/app/up": "0777 0:0 -> ../../outside",
    }  # fmt: skip


def test_copy_of_a_file_takes_the_targets_name_or_keeps_its_own(tmp_path: Path) -> None:
    project(tmp_path, {"a.txt": "A"})
    assert list(top(tmp_path, Copy(source="a.txt", target="/etc/b"))) == ["etc", "etc/b"]
    assert list(top(tmp_path, Copy(source="a.txt", target="/etc/"))) == ["etc", "etc/a.txt"]
    assert list(top(tmp_path, Copy(source="a.txt", target="/"))) == ["a.txt"]


def test_a_link_is_copied_as_a_link(tmp_path: Path) -> None:
    project(tmp_path, {"a.txt": "A"})
    (tmp_path / "l").symlink_to("/etc/shadow")
    assert top(tmp_path, Copy(source="l", target="/l")) == {"l": "0777 0:0 -> /etc/shadow"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("../x", "leaves the stack file's folder"),
        ("/etc/passwd", "leaves the stack file's folder"),
        ("a/../../x", "leaves the stack file's folder"),
        ("out/x", "through a link"),
        ("none", "does not exist"),
        ("socket", "is a socket"),
        ("with-fifo", "with-fifo/f is a fifo"),
    ],
)
def test_sources_stay_in_the_folder_and_are_plain(tmp_path: Path, source: str, said: str) -> None:
    folder = project(tmp_path / "p", {"web/a": "A", "with-fifo/a": "A"})
    (folder / "out").symlink_to("..")
    (tmp_path / "x").write_text("x")
    os.mkfifo(folder / "with-fifo/f")
    here = os.getcwd()
    os.chdir(folder)  # 108 bytes are all that a socket's address may have
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("socket")
    os.chdir(here)
    with pytest.raises(BadInput, match=said):
        build(make_host(tmp_path), stack(folder, one=(Copy(source=source, target="/t"),)))


def test_modes_and_owners_are_as_given(tmp_path: Path) -> None:
    if not ROOT:
        pytest.skip("gives files away")
    project(tmp_path, {"web/a": "A", "web/sub/b": "B"})
    layer = Copy(source="web", target="/app", mode="0640", owner="app:adm")
    assert top(tmp_path, layer, below=BASE) == {
        "app": "0750 100:7", "app/a": "0640 100:7 A", "app/sub": "0750 100:7", "app/sub/b": "0640 100:7 B",
    }  # fmt: skip
    numbers = {"app": "100:101", "0": "0:0", "1000": "1000:1000", "1000:7": "1000:7", "app:0": "100:0"}
    for owner, shown in numbers.items():
        found = top(tmp_path, File(target="/f", content="x", owner=owner), below=BASE)
        assert found["f"] == f"0644 {shown} x"


def test_unknown_owners_and_bad_modes_are_named(tmp_path: Path) -> None:
    for owner in ("nobody", "app:nogroup"):
        with pytest.raises(BadInput, match=f"owner {owner}: the layers below have no"):
            top(tmp_path, File(target="/f", content="", owner=owner), below=BASE)
    with pytest.raises(BadInput, match="mode rwx is no octal number"):
        top(tmp_path, File(target="/f", content="", mode="rwx"))


def lower(upper: Path, argv: tuple[str, ...]) -> None:
    """A layer with a merged /usr and a closed folder, as a run step would leave it."""
    (upper / "usr/bin").mkdir(parents=True)
    (upper / "bin").symlink_to("usr/bin")
    (upper / "loop").symlink_to("loop")
    (upper / "abs").symlink_to("/../../data")
    (upper / "data").mkdir()
    (upper / "data").chmod(0o2750)
    if ROOT:
        os.chown(upper / "data", 5, 6)
    (upper / "data").chmod(0o2750)
    (upper / "file").write_text("f")


OWNER = "5:6" if ROOT else "0:0"


def on_lower(tmp_path: Path, *layers: Layer) -> dict[str, str]:
    return top(tmp_path, *layers, below=(Run(command=("lower",)),), act=lower)


def test_links_of_the_image_are_followed_inside_it(tmp_path: Path) -> None:
    project(tmp_path, {"files/bin/tool": "t"})
    assert on_lower(tmp_path, File(target="/bin/x", content="x")) == {
        "usr": "0755 0:0", "usr/bin": "0755 0:0", "usr/bin/x": "0644 0:0 x",
    }  # fmt: skip
    assert list(on_lower(tmp_path, Copy(source="files", target="/"))) == ["usr", "usr/bin", "usr/bin/tool"]
    assert list(on_lower(tmp_path, File(target="/abs/x", content="x"))) == ["data", "data/x"]


def test_folders_of_the_image_keep_owner_and_mode(tmp_path: Path) -> None:
    project(tmp_path, {"d/x": "x", "d/new/y": "y"})
    assert on_lower(tmp_path, Copy(source="d", target="/data", mode="0600")) == {
        "data": f"2750 {OWNER}", "data/x": "0600 0:0 x", "data/new": "0700 0:0", "data/new/y": "0600 0:0 y",
    }  # fmt: skip


def test_a_link_in_the_place_of_the_file_is_replaced(tmp_path: Path) -> None:
    assert on_lower(tmp_path, File(target="/bin", content="now a file")) == {"bin": "0644 0:0 now a file"}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/file/x", "/file is a file in the layers below"),
        ("/loop/x", "links in the image go round in a circle"),
        ("/data", "target /data is a folder in the layers below"),
        ("/x/", "names a folder"),
        ("x", "no path in the image"),
        ("/a/../b", "no path in the image"),
    ],
)
def test_targets_that_cannot_be_are_refused(tmp_path: Path, target: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        on_lower(tmp_path, File(target=target, content=""))


def test_a_target_given_twice_by_one_layer_is_refused(tmp_path: Path) -> None:
    project(tmp_path, {"files/bin/x": "1", "files/usr/bin/x": "2"})
    with pytest.raises(BadInput, match="target /usr/bin/x is given twice"):
        on_lower(tmp_path, Copy(source="files", target="/"))


def test_what_a_higher_layer_deleted_is_not_there(tmp_path: Path) -> None:
    def act(upper: Path, argv: tuple[str, ...]) -> None:
        if argv == ("lower",):
            return lower(upper, argv)
        os.mknod(upper / "file", 0o020000, 0)  # deleted
        return None

    below = (Run(command=("lower",)), Run(command=("delete",)))
    found = top(tmp_path, File(target="/file/x", content="x"), below=below, act=act)
    assert found == {"file": "0755 0:0", "file/x": "0644 0:0 x"}


def test_templates_are_rendered_strictly_in_a_sandbox(tmp_path: Path) -> None:
    project(tmp_path, {"t": "a\n{{ vars.who }}\n", "bad": "x\n{% if %}", "evil": "\n\n{{ ''.__class__.__mro__ }}"})
    assert top(tmp_path, Template(source="t", target="/t", vars={"who": "you"}))["t"] == "0644 0:0 a\nyou"
    for source, line, said in (
        ("t", 2, "no 'who' in the variables"),
        ("bad", 2, "expected an expression"),
        ("evil", 3, "unsafe"),
    ):
        with pytest.raises(BadInput, match=said) as caught:
            top(tmp_path, Template(source=source, target="/t"))
        assert caught.value.place is not None and (caught.value.place.file, caught.value.place.line) == (source, line)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nothing", ""), ("{{ vars.a }}{% if vars . b %}", "ab"), ("{{ vars['a'] }} {{ vars[ \"b\" ] }}", "ab"),
        ("vars.c in plain text, myvars.a, vars2.a", "c"), ("{{ vars.gone }}", ""), ("{{ vars }}", "abc"),
        ("{{ vars[x] }}{{ vars.a }}", "abc"), ("{% set v = vars %}{{ v.a }}", "abc"), ("{{ vars.get('a') }}", "abc"),
        ("{% for k in vars %}", "abc"), ("{{ vars.items() }}", "abc"), ("{{ vars['a\\'b'] }}", "abc"),
        ("{{ vars\n.a }}", "a"), ("{{ x.vars.b }}", "b"), ("{{ vars['a' ~ 'b'] }}", "abc"),
    ],
)  # fmt: skip
def test_the_variables_that_a_template_names(text: str, named: str) -> None:
    from stackup.builder.layers.template import named_in

    assert "".join(named_in(text, {"a": 1, "b": 2, "c": 3})) == named


def test_a_variable_that_a_template_does_not_name_changes_nothing(tmp_path: Path) -> None:
    from stackup.builder import cache, steps
    from stackup.builder.inputs import Digester
    from stackup.builder.store.graph import reading

    project(tmp_path, {"t": "{{ vars.who }}"})
    with reading(None) as graph:
        sources = steps.Sources(str(tmp_path), graph, Digester(graph))
        keys = [
            cache.key(steps.prepare(Template(source="t", target="/t", vars=vars), {}, sources), "")
            for vars in ({"who": "you"}, {"who": "you", "other": 1}, {"who": "me"})
        ]
    assert keys[0] == keys[1] != keys[2]


# host


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("stackup.programs.SYSTEM_PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def collected(*names: str) -> dict[str, Any]:
    from stackup.builder.inputs import Digester
    from stackup.builder.store.graph import reading

    with reading(None) as graph:
        collector = Collector(Digester(graph))
        for name in names:
            collector.program(name)
        collector.finish()
    return collector.entries


def test_a_program_comes_with_links_loader_and_libraries(machine: Path) -> None:
    (machine / "list").symlink_to("/bin/ls")
    found = collected("list")
    assert found[str(machine / "list")[1:]].value == "/bin/ls"
    assert found["usr/bin/ls"].executable
    libraries = [name for name in found if "/libc.so." in name]
    assert libraries and found[libraries[0]].kind == "file"
    assert any("ld-linux" in name or "ld-musl" in name for name in found)


def test_a_script_comes_with_its_interpreter(machine: Path) -> None:
    (machine / "script").write_text("#!/usr/bin/env cat\n")
    (machine / "script").chmod(0o755)
    found = collected("script")
    assert {"usr/bin/env", "usr/bin/cat"} <= set(found)


def test_a_shim_or_a_venv_on_the_path_is_no_program(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "onlyhere"):
        (tmp_path / name).write_text("#!/bin/sh\nexec something else\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "usr/bin/cat" in collected("cat") and str(tmp_path / "cat")[1:] not in collected("cat")
    with pytest.raises(NotFound, match="this machine has no program onlyhere"):
        collected("onlyhere")


def test_an_absent_interpreter_is_named_with_its_script(machine: Path) -> None:
    script = machine / "script"
    script.write_text("#!/usr/bin/env nosuchshell\n")
    script.chmod(0o755)
    with pytest.raises(NotFound, match=f"no program nosuchshell, which runs {script}"):
        collected("script")


def test_absent_programs_and_files_are_named(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    with pytest.raises(NotFound, match="this machine has no program nosuchprogram"):
        build(host, stack(tmp_path, one=(HostPrograms(programs=("nosuchprogram",)),)))
    with pytest.raises(NotFound, match="files: /no/such is not on this machine"):
        build(host, stack(tmp_path, one=(HostPrograms(files=("/no/such",)),)))


def test_a_host_layer_lays_a_skeleton_and_ties_the_image_to_the_machine(tmp_path: Path) -> None:
    project(tmp_path, {"data/x": "x", "data/sub/y": "y"})
    host = make_host(tmp_path)
    layer = HostPrograms(programs=("cat",), files=(f"{tmp_path}/data",))
    wanted = stack(tmp_path, one=(layer,), two=image("two", File(target="/x", content=""), base="one"))
    digests = build(host, wanted)
    found = listing_names(tree(host, digests["one"]))
    assert found["tmp"] == found["var/tmp"] == "1777"
    assert found["root"] == "0700"
    assert {"etc/passwd", "etc/group", "etc/nsswitch.conf", "proc", "sys", "dev", "usr/bin/cat"} <= set(found)
    assert found[f"{tmp_path}/data/sub/y"[1:]] == "0644"
    assert [images.image(host, digests[k]).host_bound for k in ("one", "two")] == [True, True]


def listing_names(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): f"{p.lstat().st_mode & 0o7777:04o}" for p in folder.rglob("*")}


def test_python_comes_with_its_standard_library(tmp_path: Path) -> None:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("the system has no python3")
    names = collected("python3")
    modules = [n for n in names if "/lib/python3" in f"/{n}"]
    assert any(n.endswith("/json/decoder.py") for n in modules)
    assert any("lib-dynload" in n for n in modules)
    assert not [n for n in modules if "__pycache__" in n or "/test/" in n or "/idlelib/" in n or "-packages" in n]


def test_a_library_that_only_the_loaders_configuration_leads_to_is_linked_where_it_looks(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = collected("ls")
    library = next(n for n in plain if "/libselinux.so." in n or "/libpcre2" in n)
    special = machine / "lib"
    special.mkdir()
    shutil.copy(f"/{library}", special)
    (machine / "ld.so.conf").write_text(f"include {machine}/s*.conf /etc/ld.so.conf  # ours first\n")
    (machine / "special.conf").write_text(f"{special}\n")
    monkeypatch.setattr("stackup.builder.layers.elf.CONF", str(machine / "ld.so.conf"))
    found = collected("ls")
    copied = f"{special}/{os.path.basename(library)}"
    assert found[copied[1:]].kind == "file"
    assert (found[library].kind, found[library].value) == ("link", copied)


def test_the_standard_library_is_compiled_the_same_way_every_time(tmp_path: Path) -> None:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("the system has no python3")
    entries = [e for e in collected("python3").values() if e.name.endswith(("/json/decoder.py", "/keyword.py"))]
    entries += [e for e in collected("python3").values() if "/bin/python3" in e.name and e.kind == "file"]
    once, again = (dict(bytecode.compiled(Inputs(tuple(entries)))) for _ in range(2))
    assert once == again
    assert sorted(n.rpartition("/")[2].split(".")[0] for n in once) == ["decoder", "keyword"]
    assert all("/__pycache__/" in n and data[4:8] == b"\1\0\0\0" for n, data in once.items())
