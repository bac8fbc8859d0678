"""A root's network in the kernel, as one object: what is said in a `State` becomes bridges, links and rules.

Order is kept here: rules stand before the bridge they close, so there is no moment in which a network is open. All
functions block for a moment (see their modules for the figures) and belong into one worker thread, whose network
namespace is the one they work in.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackup.errors import KernelError
from stackup.linux import conntrack
from stackup.runtime.network import firewall, links
from stackup.runtime.network.values import Attachment, NetworkValue, State


class Fabric:
    """`root_id`: the root's six hex digits. Nothing is done before the first call of a method.

    `shortcoming`: what this kernel turned out not to do, as a sentence for the user; None while all went well.
    """

    def __init__(self, root_id: str) -> None:
        self.root_id = root_id
        self.shortcoming: str | None = None
        self._applied: State | None = None
        self._left: dict[tuple[str, str], set[str]] = {}  # service, network -> replicas that left and are not forgotten

    def apply(self, state: State) -> None:
        """Make the rules what `state` says, in one transaction: all of them at the first call (also after a restart of
        ours; connections live on), later only what changed. No rule of another program is touched. UDP flows to
        replicas that left are forgotten, so that their clients meet the others.

        Raises KernelError; the rules are then as they were.
        """
        if self._applied is None:
            firewall.load(self.root_id, state)
        else:
            try:
                firewall.change(self.root_id, self._applied, state)
            except KernelError:  # somebody took our rules away (`nft flush ruleset`): all of them again, or neither
                firewall.load(self.root_id, state)
        before, self._applied = self._applied or State(), state
        if self.shortcoming is None:
            self._forget_flows(before, state)

    def _forget_flows(self, before: State, state: State) -> None:
        """Once a service has replicas (again): forget UDP flows to those that left, and those that ended in the
        reservation of a published port. While it has none, as during `down`, there is nowhere else to go."""
        had, has = firewall.ready(before), firewall.ready(state)
        for key, addresses in had.items():
            self._left.setdefault(key, set()).update(set(addresses) - set(has.get(key, ())))
        wanted = {(s.service, s.network) for s in state.services} | {(p.service, p.network) for p in state.publishes}
        self._left = {key: gone for key, gone in self._left.items() if key in wanted}
        left = {a for key in has for a in self._left.pop(key, ())} - {a for one in has.values() for a in one}
        known = {p for p in before.publishes if (p.service, p.network) in had}
        woken = {p.port for p in state.publishes if (p.service, p.network) in has and p not in known
                 and p.protocol == "udp"}  # fmt: skip
        if not left and not woken:
            return
        try:
            conntrack.forget_udp(left, woken)
        except KernelError as error:
            # The rules stand; a kernel that cannot do this must not keep a stack from going up or down.
            self.shortcoming = f"{error.message}: UDP clients may go on sending to a replica that left"

    def create(self, network: NetworkValue) -> None:
        """Make the bridge of a network, or complete it where it exists. Its rules must stand: `apply` comes first."""
        if self._applied is None or network not in self._applied.networks:
            raise ValueError(f"network {network.name} has no rules yet")
        links.create_bridge(self.root_id, network)

    def delete(self, network: NetworkValue) -> None:
        """Take the bridge of a network away, if it is there; then `apply` a state without it."""
        links.delete_link(network.link(self.root_id))

    def attach(self, netns: int, attachments: Sequence[Attachment]) -> None:
        """Give a container its interfaces: `netns` is a descriptor of its network namespace. The links end with it.

        Each address must be an endpoint of the applied state before packets pass.
        """
        links.attach(self.root_id, netns, attachments)

    def missing(self, state: State) -> tuple[str, ...]:
        """What of `state` the kernel does not have: bridge names and table names. Empty: intact. Reads only."""
        there = links.list_links(self.root_id)
        wanted = [n.link(self.root_id) for n in state.networks]
        return (*(link for link in wanted if link not in there), *firewall.missing_tables(self.root_id, state))

    def forget(self) -> None:
        """The next `apply` writes all rules again: after `missing` named a table."""
        self._applied = None

    def clear(self) -> None:
        """Take away every link and rule of this root, also those of an earlier life."""
        links.delete_all(self.root_id)
        firewall.unload(self.root_id)
        self._applied = None
