"""Every difference between Docker Compose and stackup that is meant: the one table that the comparison lets pass.

`row` is the first cell of the row in docs/stack-file.md, "Where stackup differs from Compose", where the reason stands;
a test holds the two together. `pattern` is looked for in

    refused     each problem that stackup tells of a file that Compose takes
    taken       what Compose says of a file that stackup takes
    otherwise   each line `place: stackup's value | Compose's value` of a file that both take

`BY_NAME` are cases and rules that both take and read otherwise, where a pattern would let too much pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

Kind = Literal["refused", "taken", "otherwise"]


class Difference(NamedTuple):
    row: str
    kind: Kind
    pattern: str


BRIDGE = "`network_mode: bridge`"
COMMANDS = "`command: a; b` as text"
DEPENDS = "`depends_on` what is absent; its long form without `condition`"
DURATIONS = "`stop_grace_period: 5`, and other durations without a unit"
EARLIER = "`extends` of a service that only an earlier file has"
EMPTY = "an empty document; a file without services, also `services: {}`"
ENGINE = "values that only an engine looks at"
EXTENSIONS = "keys that begin with `x-`"
INCLUDED = "a name that an included file defines, too"
LATE = "contradictions that show when a container starts: two mounts on one target, ports without a network"
LETTER = "`v:/data`, a volume whose name is one letter"
MODE = "`mode: 440` without a `0` before it"
NEWER = "what the specification has and Compose 2.40 has not"
NOTHING = "a key with nothing behind it"
PORTS = "one host port published twice; `service_healthy` of a service without a check"
SHAPES = "names of projects, services, networks, profiles"
TAGS = "tags, and anchors of another document"
TEXT = "numbers, dates and truth values where text belongs"
TWICE = "what a list has twice"
UNBUILT = "keys whose room is not built yet"
UNBUILT_VALUES = "values whose room is not built yet"
UNTRUE = "`privileged: true`, volume drivers, networks from outside"
FEW = "limits of memory below 1 MiB, of processors below 0.001"

DIFFERENCES: tuple[Difference, ...] = (
    Difference("images", "refused", r"build: building from a Dockerfile"),
    Difference(UNBUILT_VALUES, "refused", r"not built yet$|no volumes here$|path of Windows$|be shared$"),
    Difference(UNBUILT, "refused", r"not built$|always come along"),
    Difference(
        UNTRUE, "refused", r"no container gets all rights|only the driver 'local'|networks from outside the stack"
    ),
    Difference(UNTRUE, "refused", r"driver_opts: options of"),
    Difference("labels under `com.docker.compose.`", "refused", r"not the file's to give$"),
    Difference("`oom_score_adj` below 0", "otherwise", r"\.oom_score_adj: nothing \| -"),
    Difference("unknown keys, duplicate keys", "refused", r": unknown key"),
    Difference("`${NAME:-text}` with a `text` of several lines", "taken", r"^invalid interpolation .*\{\w+:-\w+; "),
    Difference(BRIDGE, "otherwise", r"^networks\.default: \{\} \| nothing$"),
    Difference(BRIDGE, "otherwise", r"^services\.\w+\.networks: \{'default': \{\}\} \| nothing$"),
    Difference(
        ENGINE,
        "refused",
        r"is no image reference|is no (image of this|signal|capability|kind|network mode|restart policy|endpoint)",
    ),
    Difference(ENGINE, "refused", r"is no (address|IPv4 address|subnet|hardware address|namespace|mode|condition)\b"),
    Difference(ENGINE, "refused", r"is no (platform|size|duration|limit|port|protocol|absolute path|rule|host name)"),
    Difference(ENGINE, "refused", r"is no volume$|unknown security option|belongs to the whole machine"),
    Difference(ENGINE, "refused", r"expected a (whole number|number of processor cores)|has '\.\.' in it"),
    Difference(ENGINE, "refused", r"nothing can be mounted on '/'|says no place in the container|too small$"),
    Difference(ENGINE, "refused", r"no command after CMD|CMD-SHELL takes one text|no name before '='"),
    Difference(
        ENGINE, "refused", r"behind the closing quote|has no 'subnet'$|is not in the (subnet|range)|somebody else$"
    ),
    Difference(
        ENGINE, "refused", r"is the gateway of|is no range of addresses|soft \d+ is more than hard|is no propagation$"
    ),
    Difference(
        ENGINE,
        "refused",
        r"can be the source$|there is no limit of memory|'path' is missing$|less than the limit of memory",
    ),
    Difference(ENGINE, "refused", r": (is empty|an empty path)( \(|$)"),
    Difference(LATE, "refused", r"a second mount on|no port can be published with|is the name of volumes\."),
    Difference(PORTS, "refused", r"is published twice|waits for '\w+' to be healthy"),
    Difference(FEW, "refused", r"is \d+ bytes$|processor cores above 0"),
    Difference(TEXT, "taken", r"invalid jsonType time\.Time$|^non-string key in |unconvertible type 'string'$"),
    Difference(TEXT, "taken", r"(command\.\d|cpuset|memory|user|stop_signal|uid|version) must be a string$"),
    Difference(TEXT, "otherwise", r"^services\.\w+\.(environment|labels)\.\w+: '[-+0-9.exo]+' \| '[-0-9.e+]+'$"),
    Difference(
        NOTHING, "taken", r"^validating .* must be a (array|mapping|boolean or string|integer or string|string)$"
    ),
    Difference(NOTHING, "taken", r"pull_policy '' does not match|project name must not be empty$"),
    Difference(NOTHING, "refused", r"expected text, found nothing$"),
    Difference(NOTHING, "otherwise", r"\.options\.\w+: None \| ''$"),
    Difference(NOTHING, "taken", r"override\.mergeLogging|service \"\" not found"),
    Difference(DURATIONS, "taken", r"missing unit in duration|(grace_period|interval) must be a string$"),
    Difference(COMMANDS, "taken", r"'services\[\w+\]\.command' invalid command line string$"),
    Difference(LETTER, "otherwise", r"^services\.\w+\.volumes: .* \| .*'target': '[a-z]:/|^volumes\.[a-z]: "),
    Difference("`disable: true` over the check of an extended service", "refused", r"this does not switch off$"),
    Difference(INCLUDED, "taken", r"conflicts with imported resource$|^cannot extend .*/compose.yaml: .* not found$"),
    Difference(EARLIER, "taken", r"^cannot extend .*/compose.override.yaml: .* not found$"),
    Difference(TWICE, "taken", r"items at \d+ and \d+ are equal$|extra_hosts must be a mapping$"),
    Difference(TWICE, "taken", r"tmpfs\[\d+\]: target \S+ already mounted as services\.\w+\.tmpfs"),
    Difference(DEPENDS, "taken", r"depends_on\.\w+ missing property 'condition'$|depends on undefined service"),
    Difference(SHAPES, "refused", r"is no name of a (stack|service|network|profile|volume)$"),
    Difference(NEWER, "taken", r"'pre_start' not allowed$|cpu_rt_\w+: failed to cast|must declare either `file` or"),
    Difference(TAGS, "refused", r"unknown tag|: no anchor &"),
    Difference(EMPTY, "taken", r"^top-level object must be a mapping$"),
    Difference(EMPTY, "refused", r"nothing (to build or )?to run$"),
    Difference(EXTENSIONS, "taken", r"^cannot override (.*\.)?x-\w+$|env_file\.\d+ additional properties 'x-\w+' not"),
    Difference(EXTENSIONS, "otherwise", r"^services\.\w+\.(environment|labels)\.(#extensions|x-)"),
)

BY_NAME: Mapping[str, str] = {
    "merge: secrets by target": TWICE,
    "rules/3.4_order/canonical_before_merging": TWICE,
    "rules/3.5_merge/ports_later_replaces_in_place": TWICE,
    "rules/3.5_merge/reset_of_an_entry_removes_the_one_like_it": TAGS,
    "rules/3.5_merge/secrets_and_configs_by_target": TWICE,
    "secrets_and_configs: mode dec": MODE,
    "services: command and": COMMANDS,
    "services: command backslash in double quotes": COMMANDS,
    "services: command backtick": COMMANDS,
    "services: command gt": COMMANDS,
    "services: command pipes": COMMANDS,
    "services: command semi": COMMANDS,
    "services: command sub": COMMANDS,
    "volumes: long tmpfs dec mode": MODE,
    "yaml: reset list item": TAGS,
}


def unexpected(kind: Kind, told: Iterable[str]) -> list[str]:
    """What of `told` no difference of the table explains."""
    patterns = [difference.pattern for difference in DIFFERENCES if difference.kind == kind]
    return [text for text in told if not any(re.search(pattern, text) for pattern in patterns)]
