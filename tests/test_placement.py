"""Where replicas are made: topologies as the kernel writes them, faked."""

from __future__ import annotations

import threading

import pytest

from intermodal import OptionError
from intermodal_nr.group import Group
from intermodal_nr.map_state import MapState
from intermodal_nr.memory_log import MemoryLog
from intermodal_nr.placement import Placement, Topology, numbers_in


def machine(folder, **nodes):
    for name, text in nodes.items():
        (folder / name).mkdir()
        (folder / name / "cpulist").write_text(text)
    return folder


def test_lists_of_processors_are_read_as_the_kernel_writes_them():
    """Ranges, single ones, none."""
    assert numbers_in("0-3,8,10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert numbers_in("\n") == frozenset()


def test_a_topology_has_the_nodes_that_may_be_used(tmp_path):
    """In their order; without memory-only nodes and those that this process is kept from."""
    root = machine(tmp_path, node0="0-1\n", node1="2-3\n", node2="\n", node10="4-5\n", node3="6\n")
    assert Topology.read(root, frozenset(range(6))).nodes == ({0, 1}, {2, 3}, {4, 5})
    assert Topology.read(root, frozenset({3})).nodes == ({3},)


def test_a_machine_that_does_not_say_is_one_node(tmp_path):
    """Also if what it says is nonsense."""
    assert Topology.read(tmp_path / "missing", frozenset({0, 1})).nodes == ({0, 1},)
    root = machine(tmp_path, node0="all of them\n")
    assert Topology.read(root, frozenset({0})).nodes == ({0},)
    assert len(Topology.read().nodes) >= 1


def test_replicas_are_made_on_their_nodes_by_threads_that_are_pinned_there():
    """In turn, if there are more replicas than nodes; exceptions come back."""
    pinned = {}
    topology = Topology((frozenset({0, 1}), frozenset({2, 3})))
    placement = Placement(topology, lambda processors: pinned.update({threading.get_ident(): processors}))
    made = [placement.place(number, lambda: pinned[threading.get_ident()]) for number in range(3)]
    assert made == [{0, 1}, {2, 3}, {0, 1}]
    with pytest.raises(ZeroDivisionError):
        placement.place(0, lambda: 1 // 0)


def test_a_thread_that_is_pinned_to_a_node_gets_the_replica_there():
    """Others get each in turn."""
    mine = set()
    topology = Topology((frozenset({0, 1}), frozenset({2, 3})))
    placement = Placement(topology, lambda _: None, lambda: frozenset(mine))
    group = Group(MemoryLog(), MapState({}, {}, 0), 2, placement=placement)
    first, second = group.replicas
    assert {group.next_replica(), group.next_replica()} == {first, second}
    for processors, replica in [({2}, second), ({0, 1}, first)]:
        mine.clear()
        mine.update(processors)
        assert [group.next_replica() for _ in range(3)] == [replica] * 3
    mine.clear()
    mine.update({1, 2})
    assert {group.next_replica(), group.next_replica()} == {first, second}


def test_on_one_node_nothing_is_pinned():
    """The calling thread makes it."""
    placement = Placement(Topology((frozenset({0}),)), lambda _: pytest.fail("pinned"))
    assert placement.place(1, threading.get_ident) == threading.get_ident()
    assert placement.here() == -1
    assert Placement.named("anywhere").default_replicas() == 1
    assert Placement.named("numa").default_replicas() >= 1
    with pytest.raises(OptionError, match="place is"):
        Placement.named("moon")
