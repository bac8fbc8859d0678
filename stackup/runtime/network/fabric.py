"""A root's network in the kernel, as one object: what is said in a `State` becomes bridges, links and rules.

Order is kept here: rules stand before the bridge they close, so there is no moment in which a network is open. All
functions block for a moment (see their modules for the figures) and belong into one worker thread, whose network
namespace is the one they work in.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackup.runtime.network import firewall, links
from stackup.runtime.network.values import Attachment, NetworkValue, State, host_link


class Fabric:
    """`root_id`: the root's six hex digits. Nothing is done before the first call of a method."""

    def __init__(self, root_id: str) -> None:
        self.root_id = root_id
        self._applied: State | None = None

    def apply(self, state: State) -> None:
        """Make the rules what `state` says, in one transaction: all of them at the first call (also after a restart of
        ours; connections live on), later only what changed. No rule of another program is touched.

        Raises KernelError; the rules are then as they were.
        """
        if self._applied is None:
            firewall.load(self.root_id, state)
        else:
            firewall.change(self.root_id, self._applied, state)
        self._applied = state

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

    def detach(self, address: str) -> None:
        """Take one interface away while its namespace lives on (about 20 ms; not needed when the container ends)."""
        links.delete_link(host_link(self.root_id, address))

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
        firewall.unload(self.root_id)
        links.delete_all(self.root_id)
        self._applied = None
