"""What other programs' firewalls do to packets that this host forwards. Reads only.

Every base chain on the hook sees a packet, and one `drop` is enough (nft(8)): our `accept` opens nothing that another
table closes. Docker Engine, ufw and firewalld close the way for what they do not know, and packets between containers
are forwarded ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackup.errors import StackupError
from stackup.linux import nftables

OURS = "su*"
OPENING = "iptables -I FORWARD -i su+ -j ACCEPT; iptables -I FORWARD -o su+ -j ACCEPT"


def closing() -> tuple[str, ...]:
    """Chains that drop or reject forwarded packets and name none of our links, as `table ip filter, chain FORWARD`.

    Of the calling thread's network namespace; () for who may not ask. Rules of the legacy iptables are not seen.
    """
    try:
        chains = [one["chain"] for one in nftables.read("list chains") if "chain" in one]
        found = [chain for chain in chains if _may_close(chain)]
        return tuple(_name(chain) for chain in found if _closes(chain))
    except StackupError:
        return ()


def _may_close(chain: Mapping[str, Any]) -> bool:
    mine = str(chain["table"]).startswith("stackup_")
    return chain.get("hook") == "forward" and chain["family"] in ("ip", "inet") and not mine


def _closes(chain: Mapping[str, Any]) -> bool:
    listed = nftables.read(f"list chain {chain['family']} {chain['table']} {chain['name']}")
    rules = [one["rule"].get("expr") or [] for one in listed if "rule" in one]
    if any(f'"{OURS[:2]}' in json.dumps(rule) for rule in rules):  # somebody thought of us
        return False
    return chain.get("policy") == "drop" or bool(rules and _everything_ends(rules[-1]))


def _everything_ends(rule: list[dict[str, Any]]) -> bool:
    """A rule without a condition that drops or rejects."""
    kinds = {kind for statement in rule for kind in statement}
    return bool(kinds & {"drop", "reject"}) and kinds <= {"drop", "reject", "counter", "log"}


def _name(chain: Mapping[str, Any]) -> str:
    return f"table {chain['family']} {chain['table']}, chain {chain['name']}"
