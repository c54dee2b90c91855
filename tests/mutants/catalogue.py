"""The mutants: what is changed, why it is wrong, and which evidence finds it.

A mutant is a search text that occurs exactly once in its file, and its replacement. Imports nothing of
intermodal: the catalogue is read by whoever mutates a copy.
"""

from __future__ import annotations

import attrs

TABLE = "plugins/intermodal_swiss/_table.py"
STATE = "plugins/intermodal_swiss/_state.py"
MAP = "plugins/intermodal_swiss/_map.py"
RETIRING = "plugins/intermodal_swiss/_retiring.py"
SIMULATED = "core/intermodal/_simulated.py"
HEADER = "core/intermodal/atomics.h"
RECORDS = "core/intermodal/reclamation.py"
EPOCH = "plugins/intermodal_epoch/_scheme.py"
HYALINE = "plugins/intermodal_hyaline/_scheme.py"
REPLICA = "plugins/intermodal_nr/replica.py"
READERS = "plugins/intermodal_nr/readers.py"
LOG = "plugins/intermodal_nr/memory_log.py"
LANES = "plugins/intermodal_cnr/_lanes.py"
NODE = "plugins/intermodal_btree/_node.py"
TREE = "plugins/intermodal_btree/_tree.py"
TREE_STATE = "plugins/intermodal_btree/_state.py"
SCAN = "plugins/intermodal_btree/_scan.py"
TRIE = "plugins/intermodal_trie/_state.py"
TRIE_READ = "plugins/intermodal_trie/_read.py"
TRIE_NODES = "plugins/intermodal_trie/_nodes.py"

TABLES = "core/intermodal/tables.py"
WORDS = "core/intermodal/words.py"
HOPSCOTCH_WORDS = "plugins/intermodal_hopscotch/_words.py"
CHAINED_WORDS = "plugins/intermodal_chained/_words.py"
SWISS_WORDS = "plugins/intermodal_swiss/_words.py"
HOPSCOTCH = "plugins/intermodal_hopscotch/_table.py"
CHAINED = "plugins/intermodal_chained/_table.py"

EVMAP = "plugins/intermodal_evmap/_state.py"
EVMAP_VIEWS = "plugins/intermodal_evmap/_map.py"
EVMAP_LOG = "plugins/intermodal_evmap/_log.py"
EVMAP_OBSTACLES = "plugins/intermodal_evmap/_obstacles.py"

EVMAP_TESTS = "tests/test_evmap.py"
EVMAP_SCHEDULES = "tests/test_evmap_schedules.py"
BESIDE_A_WRITER = f"{EVMAP_SCHEDULES}::test_a_reader_finds_what_one_publication_has_left"
INTERRUPTIONS = "tests/test_swiss_interruptions.py"
ONE_INSTANT = f"{INTERRUPTIONS}::test_an_operation_that_others_interrupt_takes_effect_at_one_instant"
RESIZED = f"{INTERRUPTIONS}::test_an_operation_that_a_resize_interrupts_does_what_it_does_without"
ITERATION = f"{INTERRUPTIONS}::test_an_iteration_that_others_interrupt_yields_what_stays_exactly_once"
SCHEDULED = "tests/test_reclamation_schedules.py"
DEFECTS = "tests/test_replication_defects.py"
RECLAIMED = "tests/test_swiss_schedules.py::test_nothing_is_looked_at_that_may_have_been_freed"
HOMES = "tests/test_homes_schedules.py"
WORD_SCHEDULES = "tests/test_words_schedules.py"
TREES = "tests/test_btree_schedules.py"
TREE_OPERATIONS = f"{TREES}::test_two_operations_take_effect_one_after_the_other"
TREE_REUSE = f"{TREES}::test_several_operations_take_effect_in_some_order"
TREE_ORDERS = f"{TREES}::test_the_memory_orders_suffice"
TREE_SCANS = f"{TREES}::test_a_scan_finds_what_stays_exactly_once"
SNAPSHOT = "tests/test_trie_schedules.py::test_a_snapshot_does_not_change"
SNAPSHOT_SEEN_LATE = "tests/test_trie_schedules.py::test_a_snapshot_is_right_where_stores_are_seen_late"
TOMBS = "tests/test_trie_schedules.py::test_two_operations_take_effect_one_after_the_other"
OWN_VIEW = f"{INTERRUPTIONS}::test_an_operation_that_its_own_view_interrupts_keeps_to_its_table"


@attrs.frozen(kw_only=True)
class Mutant:
    """A deliberate defect.

    Attributes:
        name: what was done, in the fewest words.
        file: the file that is changed, relative to the tree.
        edits: pairs of a text that occurs once in the file and its replacement, made in this order.
        why: what goes wrong.
        test: the pytest node that fails in the pure build.
        probe: the check of probe.py that fails on the changed header.
        compiled: the tests or the stress workload with which threads of a compiled build find it.
        free_threaded: whether it changes nothing where there is a GIL.
        equivalent: why nothing can find it, or why only another machine can; None if something must.
    """

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    why: str
    test: str | None = None
    probe: str | None = None
    compiled: str | None = None
    free_threaded: bool = False
    equivalent: str | None = None

    def apply(self, source: str) -> str:
        """Return the mutated *source* of the file. Raises ValueError for a text that is not there once."""
        for search, replacement in self.edits:
            if source.count(search) != 1:
                raise ValueError(
                    f"mutant {self.name!r}: this occurs {source.count(search)} times in {self.file}, not once; "
                    f"let the mutant follow the code:\n{search}"
                )
            source = source.replace(search, replacement)
        return source


MUTANTS = [
    # ---- looking twice ---------------------------------------------------------------------------------
    Mutant(
        name="read does not look at the version again after a hit",
        file=TABLE,
        edits=(
            (
                "        return value if (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED else _RETRY_READ\n",
                "        return value\n",
            ),
        ),
        why="a key removed and another put in its slot meanwhile: the reader gets the other key's value",
        test=f"{ONE_INSTANT}[small-get-gives its slot to its twin-there-int]",
    ),
    Mutant(
        name="read asks whether the slot was empty when the version has been checked",
        file=TABLE,
        edits=(
            (
                "        return value if (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED else _RETRY_READ\n",
                (
                    "        if (load(lock, ACQUIRE) ^ version) | LOCKED != LOCKED:\n            return _RETRY_READ\n"
                    "        return fallback if object_load(slot + VALUE, _REMOVE) is _REMOVE else value\n"
                ),
            ),
            (
                "        value = object_load(slot + VALUE, fallback)\n",
                "        value = object_load(slot + VALUE, None)\n",
            ),
        ),
        why="the slot may be full again by then: None is made up as the key's value",
        test="tests/test_swiss_schedules.py::test_a_slot_that_is_used_again_does_not_make_up_a_value",
    ),
    Mutant(
        name="read does not look at the version again after a miss",
        file=TABLE,
        edits=(
            (
                "if slot == NOT_FOUND and (load(lock, ACQUIRE) ^ version) | LOCKED == LOCKED:",
                "if slot == NOT_FOUND:",
            ),
        ),
        why="the home moves to the next table during the search: a key that is there throughout is missed",
        test=f"{RESIZED}[small-get-resizes-there-int]",
    ),
    Mutant(
        name="read ignores MOVED",
        file=TABLE,
        edits=(("    if version & MOVED:\n        return _RETRY_READ\n", ""),),
        why="a moved home looks empty in the old table",
        test="tests/test_swiss.py::test_reading_alone_finishes_a_resize[owner]",
    ),
    Mutant(
        name="commit locks whatever version there is",
        file=TABLE,
        edits=(
            (
                "        if not try_lock(lock, version):\n            return RETRY, None\n        if condition == IF_IDENTICAL",
                (
                    "        version = load(lock, ACQUIRE) & ~LOCKED\n        if not try_lock(lock, version):\n"
                    "            return RETRY, None\n        if condition == IF_IDENTICAL"
                ),
            ),
        ),
        why="the slot found by the search may hold another key by now, whose value is overwritten",
        test=f"{ONE_INSTANT}[small-set-gives its slot to its twin-there-int]",
    ),
    Mutant(
        name="a refused insertion is not checked against the version",
        file=TABLE,
        edits=(
            (
                "            if present is _REMOVE or (load(lock, ACQUIRE) ^ version) | LOCKED != LOCKED:",
                "            if present is _REMOVE:",
            ),
        ),
        why="setdefault gives the value of the key that has got the slot meanwhile",
        test=f"{ONE_INSTANT}[small-setdefault-gives its slot to its twin-there-int]",
    ),
    Mutant(
        name="a refusal for want of the key is not checked against the version",
        file=TABLE,
        edits=(
            (
                "        return (REFUSED if load(lock, ACQUIRE) == version else RETRY), None",
                "        return REFUSED, None",
            ),
        ),
        why="the home moves during the search: pop() says that a key is missing that is there throughout",
        test=f"{RESIZED}[small-pop-resizes-there-int]",
    ),
    Mutant(
        name="identity is not checked under the lock",
        file=TABLE,
        edits=(
            (
                "        if condition == IF_IDENTICAL and not object_is(slot + VALUE, expected):",
                "        if condition == IF_IDENTICAL and expected is slot:",
            ),
        ),
        why="replacing a value changes no version: two compare_and_set() of the same value both succeed",
        test=f"{ONE_INSTANT}[small-compare_and_set-replaces its value-there-int]",
    ),
    Mutant(
        name="iteration does not check the version",
        file=TABLES,
        edits=(
            (
                "            complete = same(load(lock, ACQUIRE), word)\n",
                "            complete = True\n",
            ),
        ),
        why="a home is read while it is emptied: entries that are there throughout are missed",
        test=f"{ITERATION}[moving-int-resizes]",
    ),
    # ---- order of stores -------------------------------------------------------------------------------
    Mutant(
        name="the tag is stored before key and value",
        file=TABLE,
        edits=(
            (
                (
                    "    object_store(slot, key)\n    object_store(slot + VALUE, new)\n"
                    "    publish(headers, groups, home, index, h, key_hash, key_is_str(key))\n"
                ),
                (
                    "    publish(headers, groups, home, index, h, key_hash, key_is_str(key))\n"
                    "    object_store(slot, key)\n    object_store(slot + VALUE, new)\n"
                ),
            ),
        ),
        why="a search finds the tag of a slot that is still empty",
        equivalent="an empty slot is what a removal leaves for a moment, too: every reader takes it for a miss, "
        "which is right until the insertion gives the lock back",
    ),
    Mutant(
        name="MOVED is set only after the old slots are emptied",
        file=STATE,
        edits=(("    store(lock, (version + VERSION_STEP) | MOVED | LOCKED, RELEASE)\n", ""),),
        why="a reader finds the home empty and its version the same",
        test=f"{INTERRUPTIONS}::test_nobody_misses_an_entry_while_its_home_is_moved",
    ),
    Mutant(
        name="MOVED is set before the copies are there",
        file=STATE,
        edits=(
            (
                (
                    "    found = walk_home(table, following, home, COUNT_ENTRIES if mode == DISCARD else COPY_ENTRIES)\n"
                    "    store(lock, (version + VERSION_STEP) | MOVED | LOCKED, RELEASE)\n"
                ),
                (
                    "    store(lock, (version + VERSION_STEP) | MOVED | LOCKED, RELEASE)\n"
                    "    found = walk_home(table, following, home, COUNT_ENTRIES if mode == DISCARD else COPY_ENTRIES)\n"
                ),
            ),
        ),
        why="readers are sent to a table where the entries are not yet",
        test=f"{INTERRUPTIONS}::test_nobody_misses_an_entry_while_its_home_is_moved",
    ),
    Mutant(
        name="a slot is released before key and value are taken",
        file=TABLE,
        edits=(
            (
                "    release_slot(headers, groups, home, (slot - slots) >> 4)\n    fetch_add(",
                "    fetch_add(",
            ),
            (
                "    key: object = None\n",
                "    release_slot(headers, groups, home, (slot - slots) >> 4)\n    key: object = None\n",
            ),
        ),
        why="another home claims the slot, and the removal takes its new key and value away",
        test=f"{ONE_INSTANT}[beside_overflow-pop-brings a key of the full home-there-int]",
    ),
    # ---- versions and locks ----------------------------------------------------------------------------
    Mutant(
        name="a removal does not change the version",
        file=TABLE,
        edits=(
            (
                "    store(lock, (version + VERSION_STEP) | LOCKED, RELEASE)\n    release_slot",
                "    store(lock, version | LOCKED, RELEASE)\n    release_slot",
            ),
            (
                "    unlock(lock, version + VERSION_STEP)\n    reachability_fence(key)",
                "    unlock(lock, version)\n    reachability_fence(key)",
            ),
        ),
        why="a reader that came before takes what fills the slot next for its key's",
        test=f"{ONE_INSTANT}[small-set-removes it-there-int]",
    ),
    Mutant(
        name="a removal changes the version before it takes key and value",
        file=TABLE,
        edits=(
            (
                "    store(lock, (version + VERSION_STEP) | LOCKED, RELEASE)\n    release_slot",
                "    release_slot",
            ),
            (
                "    key: object = None\n",
                "    store(lock, (version + VERSION_STEP) | LOCKED, RELEASE)\n    key: object = None\n",
            ),
        ),
        why="a reader that begins with the new version finds the key, and then the value of another home's entry",
        test=(
            "tests/test_swiss_schedules.py::test_a_slot_that_another_home_uses_again_comes_with_a_new_version"
        ),
    ),
    Mutant(
        name="an insertion does not change the version",
        file=TABLE,
        edits=(
            (
                "    version += VERSION_STEP\n    store(lock, version | LOCKED, RELEASE)\n",
                "",
            ),
        ),
        why="two threads that both found nothing insert the same key twice",
        test=f"{ONE_INSTANT}[small-setdefault-inserts it-absent-int]",
    ),
    Mutant(
        name="an insertion changes the version when it has published the tag",
        file=TABLE,
        edits=(
            ("    version += VERSION_STEP\n    store(lock, version | LOCKED, RELEASE)\n", ""),
            (
                "    unlock(lock, version)\n    return DONE_INSERTED",
                "    unlock(lock, version + VERSION_STEP)\n    return DONE_INSERTED",
            ),
        ),
        why="a reader finds the key by the tag of what was in the slot before, and then finds it no more",
        test="tests/test_swiss_schedules.py::test_a_key_is_not_found_before_it_is_there",
    ),
    Mutant(
        name="replace releases the lock early",
        file=TABLE,
        edits=(
            (
                "        old = object_exchange(slot + VALUE, new, None)\n        unlock(lock, version)\n",
                "        unlock(lock, version)\n        old = object_exchange(slot + VALUE, new, None)\n",
            ),
        ),
        why="between the two the slot may get another key, whose value is then overwritten",
        test=f"{ONE_INSTANT}[small-set-gives its slot to its twin-there-int]",
    ),
    Mutant(
        name="a removal releases the lock early",
        file=TABLE,
        edits=(
            (
                "    key: object = None\n",
                "    unlock(lock, version + VERSION_STEP)\n    key: object = None\n",
            ),
            (
                "    unlock(lock, version + VERSION_STEP)\n    reachability_fence(key)",
                "    reachability_fence(key)",
            ),
        ),
        why="the entry can be changed or removed a second time before it is gone",
        test=f"{ONE_INSTANT}[small-pop-removes it-there-int]",
    ),
    Mutant(
        name="a home that is being moved releases its lock early",
        file=STATE,
        edits=(
            (
                "    store(lock, (version + VERSION_STEP) | MOVED | LOCKED, RELEASE)\n",
                "    unlock(lock, version)\n",
            ),
        ),
        why="a write between the copy and the emptying goes to the old table and is lost",
        test=f"{INTERRUPTIONS}::test_what_is_changed_while_homes_are_moved_stays_changed",
    ),
    # ---- counting --------------------------------------------------------------------------------------
    Mutant(
        name="a removal leaves the overflow counts",
        file=TABLE,
        edits=(("    if group != home:\n        uncount(headers, groups, home, group)\n", ""),),
        why="searches walk on for entries that are gone, and tables never get quick again",
        test="tests/test_swiss.py::test_entries_that_do_not_fit_in_their_home_go_to_the_next_groups[17-1]",
    ),
    Mutant(
        name="an entry that overflows is not counted",
        file=TABLE,
        edits=(("        fetch_add(header + OVERFLOW, 1, RELEASE)\n", ""),),
        why="searches stop before they come to it",
        test="tests/test_swiss.py::test_entries_that_do_not_fit_in_their_home_go_to_the_next_groups[17-1]",
    ),
    Mutant(
        name="an insertion that steps back stays counted",
        file=TABLE,
        edits=(("        fetch_add(count, -1, RELAXED)\n", ""),),
        why="len() is one too many for ever",
        test=f"{RESIZED}[small-set-begins a resize-absent-int]",
    ),
    Mutant(
        name="discarded entries stay counted",
        file=STATE,
        edits=(("-found, RELAXED)", "0, RELAXED)"),),
        why="len() of a cleared map is not zero",
        test="tests/test_swiss.py::test_clears_that_meet_leave_an_empty_map",
    ),
    # ---- resizing --------------------------------------------------------------------------------------
    Mutant(
        name="an insertion does not look at the phase again",
        file=TABLE,
        edits=(("    if load(shared, SEQ_CST) == phase:\n", "    if load(shared, SEQ_CST) >= 0:\n"),),
        why="a resize that has just added the counts up did not see it: the next table has too little room",
        test=f"{RESIZED}[small-set-begins a resize-absent-int]",
    ),
    Mutant(
        name="a resize has no fence between the phase and the counts",
        file=TABLES,
        edits=(("        fence(SEQ_CST)  # the other", "        pass  # the other"),),
        why="the counts may be read before others can see the phase: the other half of the same Dekker pair",
        test="tests/test_swiss_schedules.py::test_an_insertion_is_counted_by_a_resize_or_sees_it",
    ),
    Mutant(
        name="a reader helps with patience",
        file=TABLES,
        edits=(("READ_HELP_SLOTS, patient=False", "READ_HELP_SLOTS"),),
        why="it waits for whoever holds the home: reads would not be lock-free",
        test="tests/test_swiss_schedules.py::test_a_reader_waits_for_nobody",
    ),
    Mutant(
        name="a shrink does not check the room",
        file=TABLES,
        edits=(("        if staying > most:", "        if staying < 0:"),),
        why="insertions between the choice of the size and the start do not fit",
        test=f"{INTERRUPTIONS}::test_a_shrink_that_insertions_interrupt_has_room_for_them",
    ),
    Mutant(
        name="room given back is lost",
        file=TABLES,
        edits=(
            (
                "                    fetch_add(table.control + ROOM, 1, RELAXED)  # give the reserved slot back\n",
                "                    pass\n",
            ),
        ),
        why="insertions that are repeated use the next table's room up, then wait for ever",
        test=f"{ONE_INSTANT}[moved-set-inserts it-absent-int]",
    ),
    Mutant(
        name="the resize is handed over one home too early",
        file=TABLES,
        edits=(
            (
                "        if load(table.control + MOVED_HOMES, ACQUIRE) == table.homes:",
                "        if load(table.control + MOVED_HOMES, ACQUIRE) >= table.homes - 1:",
            ),
        ),
        why="the entries of the last home are lost",
        test=f"{RESIZED}[moving-set-moves a home-there-int]",
    ),
    Mutant(
        name="the old table keeps the next",
        file=TABLES,
        edits=(("        table.next = None  # or a view", "        pass  # or a view"),),
        why="an idle view keeps every table that came after its own",
        test="tests/test_swiss.py::test_an_idle_view_does_not_keep_old_tables[map-grow and shrink]",
    ),
    Mutant(
        name="displaced entries of other homes are taken for residents",
        file=STATE,
        edits=(("        return tag >= RESIDENT\n", "        return tag >= DISPLACED\n"),),
        why="a home that is moved takes entries along of which it does not hold the lock",
        test=f"{INTERRUPTIONS}::test_what_is_changed_while_homes_are_moved_stays_changed[displaced-replaces its value]",
    ),
    Mutant(
        name="distance and hash are not stored for displaced entries",
        file=TABLE,
        edits=(
            (
                "        store_byte(distance_of(headers, groups, index), FAR if far else distance)\n",
                "        pass\n",
            ),
        ),
        why="nobody recognises them: they are not moved, and lost with the old table",
        test="tests/test_swiss.py::test_displaced_entries_are_moved_by_a_resize",
    ),
    Mutant(
        name="a tag loses bits",
        file=TABLE,
        edits=(
            (
                "    tag: i64 = RESIDENT | (h & 0x7F)\n    far = False",
                "    tag: i64 = RESIDENT | (h & 0x3F)\n    far = False",
            ),
        ),
        why="half of the entries cannot be found",
        test="tests/test_swiss.py::test_a_resize_can_be_seen_and_ends_by_a_few_more_insertions",
    ),
    # ---- iteration and views ---------------------------------------------------------------------------
    Mutant(
        name="iteration ignores partial homes",
        file=STATE,
        edits=(
            (
                "    partial = position != range_start(home, table.groups) or last != table.last_rank(position)\n",
                "    partial = False\n",
            ),
        ),
        why="a map resized during the iteration: entries come twice",
        test="tests/test_swiss.py::test_an_iteration_in_the_middle_of_a_resize_is_complete[100-growing_map]",
    ),
    Mutant(
        name="an iteration step ignores the current table while homes move",
        file=TABLES,
        edits=(("            if shared_with < last:", "            if shared_with >= 0:"),),
        why="ranks whose homes have not moved are passed over",
        test="tests/test_swiss.py::test_an_iteration_in_the_middle_of_a_resize_is_complete[100-growing_map]",
    ),
    Mutant(
        name="a view keeps its owner during a look-up",
        file=MAP,
        edits=(
            (
                "            self._owner = 0\n            value: object = read(self._headers, self._slots, self._groups, h, key, default,",
                "            value: object = read(self._headers, self._slots, self._groups, h, key, default,",
            ),
        ),
        why="a destructor that uses the view lets go of the table that the look-up still reads",
        test=f"{OWN_VIEW}[small-get]",
    ),
    # ---- reclamation -----------------------------------------------------------------------------------
    Mutant(
        name="a section has no fence",
        file=RECORDS,
        edits=(("    light_fence()\n    store(record + DEPTH, 1", "    store(record + DEPTH, 1"),),
        why="the section's loads come before its stores: a look at the records misses it, and it finds what was unlinked",
        test=f"{SCHEDULED}::test_the_fences_suffice[ageless-Hyaline]",
    ),
    Mutant(
        name="a section is announced after its fence",
        file=RECORDS,
        edits=(
            (
                "    store(record + HEAD, 0, RELEASE)\n    light_fence()\n",
                "    light_fence()\n    store(record + HEAD, 0, RELEASE)\n",
            ),
        ),
        why="the same",
        test=f"{SCHEDULED}::test_the_fences_suffice[ageless-Hyaline]",
    ),
    Mutant(
        name="an inner section ends the outer one",
        file=RECORDS,
        edits=(
            (
                "    if depth != 0:\n        return 0\n    if load(record + LISTS",
                "    if load(record + LISTS",
            ),
        ),
        why="what the outer section looks at is freed",
        test=f"{SCHEDULED}::test_an_inner_section_does_not_end_the_outer_one[ageless-Epochs]",
    ),
    Mutant(
        name="a thread that leaves stores OUTSIDE over its list",
        file=RECORDS,
        edits=(
            (
                "    return exchange(record + HEAD, OUTSIDE, ACQ_REL)",
                "    store(record + HEAD, OUTSIDE, RELEASE)\n    return 0",
            ),
        ),
        why="the batches on the list are never freed",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Hyaline]",
    ),
    Mutant(
        name="a thread that leaves reads its list, then stores OUTSIDE",
        file=RECORDS,
        edits=(
            (
                "    return exchange(record + HEAD, OUTSIDE, ACQ_REL)",
                "    released = load(record + HEAD, ACQUIRE)\n    store(record + HEAD, OUTSIDE, RELEASE)\n    return released",
            ),
        ),
        why="a batch that is hung in between is never freed",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Hyaline]",
    ),
    Mutant(
        name="what is younger than a section counts as protected",
        file=RECORDS,
        edits=(
            (
                "store(record + WITNESS, scheme.clock if scheme.lists else record + ERA, RELAXED)",
                "store(record + WITNESS, record + ERA, RELAXED)",
            ),
        ),
        why="a reader looks at what no list of its holds back",
        test=f"{SCHEDULED}::test_what_is_younger_than_a_section_is_not_taken_for_older[births]",
    ),
    Mutant(
        name="a thread that ends in a section keeps its list",
        file=RECORDS,
        edits=(
            (
                "        if self.lists and released != OUTSIDE and released != 0:\n            self.release(released)\n",
                "        assert released is not None\n",
            ),
        ),
        why="the batches on it are never freed",
        test=f"{SCHEDULED}::test_a_reader_that_ends[depart_in_a_section-Hyaline]",
    ),
    Mutant(
        name="one epoch of grace",
        file=EPOCH,
        edits=(("GRACE: Final = 2", "GRACE: Final = 1"),),
        why="a section of the stamp's epoch may last",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Epochs]",
    ),
    Mutant(
        name="the clock goes on whoever is in a section",
        file=EPOCH,
        edits=(
            (
                "                return False\n        return compare",
                "                break\n        return compare",
            ),
        ),
        why="what sections look at is freed",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Epochs]",
    ),
    Mutant(
        name="a batch that is early is forgotten",
        file=EPOCH,
        edits=(("        self._waiting.appendleft(batch)\n", ""),),
        why="what is in it is never freed by a flush",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Epochs]",
    ),
    Mutant(
        name="no fence between unlinking and stamp",
        file=EPOCH,
        edits=(
            (
                "        epoch = load(self.clock, SEQ_CST)\n        heavy_fence()\n        participants",
                "        epoch = load(self.clock, SEQ_CST)\n        participants",
            ),
        ),
        why="a section that begins when the clock has gone on still finds what was unlinked before",
        test=f"{SCHEDULED}::test_a_section_that_begins_after_the_clock_went_on[Epochs]",
    ),
    Mutant(
        name="no fence between unlinking and the look at the lists",
        file=HYALINE,
        edits=(("        heavy_fence()\n", ""),),
        why="the look misses a section that finds what was unlinked",
        test=f"{SCHEDULED}::test_the_fences_suffice[ageless-Hyaline]",
    ),
    Mutant(
        name="a batch is hung on all sections, the older ones too",
        file=HYALINE,
        edits=(("if head == OUTSIDE or load(record + ERA, RELAXED) < oldest:", "if head == OUTSIDE:"),),
        why="a section that never ends holds back everything",
        test=f"{SCHEDULED}::test_a_section_that_lasts_holds_back_what_is_not_younger",
    ),
    Mutant(
        name="a node is hung by a plain store",
        file=HYALINE,
        edits=(
            (
                "            if compare_exchange(record + HEAD, head, node, ACQ_REL):\n                return True",
                "            store(record + HEAD, node, ACQ_REL - 1)\n            return True",
            ),
        ),
        why="it is hung on a list that has been taken, or replaces another node",
        test=f"{SCHEDULED}::test_what_a_section_finds_stays_until_its_end[ageless-Hyaline]",
    ),
    Mutant(
        name="a batch is finished one section early",
        file=HYALINE,
        edits=(("if fetch_add(count, -1, ACQ_REL) == 1:", "if fetch_add(count, -1, ACQ_REL) <= 2:"),),
        why="the last section still looks at it",
        test=f"{SCHEDULED}::test_two_readers_and_a_writer[Hyaline]",
    ),
    # ---- what writes take out --------------------------------------------------------------------------
    Mutant(
        name="a replaced value is dropped, not retired",
        file=RETIRING,
        edits=(
            ("    object_exchange_into,\n", "    object_exchange_into,\n    object_forget,\n"),
            (
                "        retired(record, 0)\n        return\n",
                "        object_forget(limbo)\n        return\n",
            ),
        ),
        why="a reader that has borrowed it looks at freed memory",
        test=f"{RECLAIMED}[epoch-full-replace(3) | pop(3) flush]",
    ),
    Mutant(
        name="a replaced table is dropped, not retired",
        file=TABLES,
        edits=(("            self.reclaimer.retire_memory(table, table.era)\n", "            pass\n"),),
        why="a reader that has only its address looks at freed memory",
        test=f"{RECLAIMED}[epoch-full-get(3) | insert(100) flush]",
    ),
    Mutant(
        name="a table is used without a look at its age",
        file=MAP,
        edits=(
            (
                "        if load(witness, ACQUIRE) == era:  # so the table is not younger than the section\n",
                "        if witness:\n",
            ),
        ),
        why="a table that came and was replaced during one section is freed in it",
        equivalent="it takes two resizes during one look-up, more steps than the explored scenarios have",
    ),
    # ---- what user code sees ---------------------------------------------------------------------------
    Mutant(
        name="no look at the version after a key's __eq__",
        file=TABLE,
        edits=(
            (
                (
                    "                        equal = 1\n                    if load(lock, ACQUIRE) | LOCKED != version | LOCKED:\n"
                    "                        return CHANGED\n"
                ),
                "                        equal = 1\n",
            ),
        ),
        why="the answer of __eq__ is about an entry that may be gone",
        equivalent="whoever called the search checks the version once more; this look only ends it sooner",
    ),
    Mutant(
        name="keys are asked before their hashes are compared",
        file=TABLE,
        edits=(("                if same_hash:\n", "                if same_hash or not same_hash:\n"),),
        why="a key's __eq__ sees keys of another hash, as dict never shows it",
        test="tests/test_conformance.py::TestSwiss::TestHostileKeys::test_eq_is_called_only_between_keys_of_equal_hash[swiss]",
    ),
    # ---- the header ------------------------------------------------------------------------------------
    Mutant(
        name="fetch_add is a load and a store",
        file=HEADER,
        edits=(
            (
                "IM_READ_MODIFY_WRITE(im_fetch_add, __atomic_fetch_add)",
                (
                    "IM_ALWAYS int64_t im_load_add_store(int64_t *word, int64_t operand, int order) {\n"
                    "    int64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);\n"
                    "    __atomic_store_n(word, old + operand, __ATOMIC_RELAXED);\n    return old;\n}\n"
                    "IM_READ_MODIFY_WRITE(im_fetch_add, im_load_add_store)"
                ),
            ),
        ),
        why="additions of threads that meet are lost",
        probe="additions_are_not_lost",
    ),
    Mutant(
        name="compare_exchange may fail without a reason",
        file=HEADER,
        edits=(
            (
                "    __atomic_compare_exchange_n(word, &expected, desired, false, success, failure)",
                "    (*word & 2 ? false : __atomic_compare_exchange_n(word, &expected, desired, false, success, failure))",
            ),
        ),
        why="the contract has no spurious failure; here some words can never be replaced",
        probe="an_expected_word_is_replaced",
    ),
    Mutant(
        name="a lock is taken whatever its word",
        file=HEADER,
        edits=(
            (
                "    return im_compare_exchange(address, expected, expected | 1, IM_ACQUIRE);",
                "    return (im_exchange(address, expected | 1, IM_ACQUIRE) & 1) == 0;",
            ),
        ),
        why="a changed version goes unnoticed, and is overwritten",
        probe="a_lock_is_taken_at_the_expected_word_only",
    ),
    Mutant(
        name="a lock is looked at, then taken",
        file=HEADER,
        edits=(
            (
                "    return im_compare_exchange(address, expected, expected | 1, IM_ACQUIRE);",
                (
                    "    if (im_load(address, IM_ACQUIRE) != expected) return false;\n"
                    "    im_store(address, expected | 1, IM_RELEASE);\n    return true;"
                ),
            ),
        ),
        why="two threads take it at once",
        probe="a_lock_lets_one_in",
    ),
    Mutant(
        name="the matching of eight bytes borrows from the next",
        file=HEADER,
        edits=(
            (
                "    uint64_t zero = ~(((y & low7) + low7) | y | low7);",
                "    uint64_t zero = (y - 0x0101010101010101ull) & ~y & 0x8080808080808080ull;",
            ),
        ),
        why="the well-known trick is right about whether there is a zero byte, not about which",
        probe="matches_are_exact",
    ),
    Mutant(
        name="a byte is stored with its neighbours",
        file=HEADER,
        edits=(
            (
                "    __atomic_store_n(im_byte(address), (uint8_t)value, __ATOMIC_RELEASE);",
                (
                    "    int64_t *word = (int64_t *)(address & ~7), at = (address & 7) * 8;\n"
                    "    *word = (*word & ~(255ll << at)) | (value & 255) << at;"
                ),
            ),
        ),
        why="tags that other threads store at the same time are lost",
        probe="bytes_do_not_disturb_each_other",
    ),
    Mutant(
        name="a taken object stays in its slot",
        file=HEADER,
        edits=(
            (
                "    PyObject *old = __atomic_exchange_n(im_slot(address), NULL, __ATOMIC_ACQ_REL);\n    return",
                "    PyObject *old = im_slot_peek(address);\n    return",
            ),
        ),
        why="one reference, two owners",
        probe="references_are_exact",
    ),
    Mutant(
        name="a replaced object keeps its reference",
        file=HEADER,
        edits=(("        Py_DECREF(expected); /* the", "        /* the"),),
        why="every successful object_compare_exchange leaks one",
        probe="references_are_exact",
    ),
    Mutant(
        name="the collector does not see the slots",
        file=HEADER,
        edits=(("    for (int64_t i = 0; i < self->slot_count; i++) Py_VISIT(self->slots[i]);\n", ""),),
        why="cycles through a map are never freed",
        probe="cycles_through_a_block_are_collected",
    ),
    Mutant(
        name="a str that was not hashed yet has the hash -1",
        file=HEADER,
        edits=(("        if (hash != -1) return hash;\n", "        return hash;\n"),),
        why="equal strings have two hashes, one before and one after their first use",
        probe="hashes_are_those_of_python",
    ),
    Mutant(
        name="the end of a str is a NUL in its word",
        file=HEADER,
        edits=(
            (
                "PyUnicode_1BYTE_DATA(key) + length - 8) + ones) <<",
                "PyUnicode_1BYTE_DATA(key) + length - 8)) <<",
            ),
        ),
        why="a short str and the same with NUL behind it have one word, and are taken for one key",
        probe="words_are_ordered_as_keys_are",
    ),
    Mutant(
        name="a search for a place goes on behind the last word",
        file=HEADER,
        edits=(("    if (below > last) below = last; ", "    "),),
        why="what lies behind is counted, or memory that is not there is read",
        probe="places_are_found",
    ),
    Mutant(
        name="strings are compared without their lengths",
        file=HEADER,
        edits=(
            (
                "    return length == PyUnicode_GET_LENGTH(right) && ",
                "    return length <= PyUnicode_GET_LENGTH(right) && ",
            ),
        ),
        why="a key is taken for each that it begins",
        probe="plain_keys_compare_as_in_python",
    ),
    Mutant(
        name="stored objects do not allow references to be tried",
        file=HEADER,
        edits=(("    PyUnstable_EnableTryIncRef(object);\n", ""),),
        why="without the GIL another thread tries for ever to get the object of this one",
        probe="another_thread_may_load",
        free_threaded=True,
    ),
    Mutant(
        name="a slot is not looked at a second time",
        file=HEADER,
        edits=(
            ("            if (again == object) return object;", "            (void)again; return object;"),
        ),
        why="without the GIL the memory may belong to another object by now, which was never in the slot",
        compiled="tests/test_atomics_contention.py",
        free_threaded=True,
        equivalent="nothing has shown it: the memory must be freed and taken again between two instructions",
    ),
    *(
        Mutant(
            name=f"{what} orders nothing",
            file=HEADER,
            edits=((search, replacement),),
            why="what a thread wrote before need not be there for the thread that sees it; on x86 it always is",
            probe=f"order: {pair}",
        )
        for what, search, replacement, pair in [
            (
                "a load that says ACQUIRE",
                "    case IM_ACQUIRE: return __atomic_load_n(word, __ATOMIC_ACQUIRE);",
                "    case IM_ACQUIRE: return __atomic_load_n(word, __ATOMIC_RELAXED);",
                "store, load",
            ),
            (
                "unlock",
                "im_store(address, value, IM_RELEASE); }",
                "im_store(address, value, IM_RELAXED); }",
                "unlock, try_lock",
            ),
            (
                "try_lock",
                "expected, expected | 1, IM_ACQUIRE);",
                "expected, expected | 1, IM_RELAXED);",
                "unlock, try_lock",
            ),
            (
                "store_byte",
                "(uint8_t)value, __ATOMIC_RELEASE);",
                "(uint8_t)value, __ATOMIC_RELAXED);",
                "store_byte, load_byte",
            ),
            (
                "load_byte",
                "    return __atomic_load_n(im_byte(address), __ATOMIC_ACQUIRE);",
                "    return __atomic_load_n(im_byte(address), __ATOMIC_RELAXED);",
                "store_byte, load_byte",
            ),
            (
                "match_bytes_portable",
                "    uint64_t low = (uint64_t)__atomic_load_n((int64_t *)address, __ATOMIC_ACQUIRE);",
                "    uint64_t low = (uint64_t)__atomic_load_n((int64_t *)address, __ATOMIC_RELAXED);",
                "store_byte, match_bytes",
            ),
            (
                "object_store",
                "im_slot_own(object), __ATOMIC_RELEASE);",
                "im_slot_own(object), __ATOMIC_RELAXED);",
                "object_store, object_is",
            ),
            (
                "object_copy",
                "im_slot_peek(source), __ATOMIC_RELEASE);",
                "im_slot_peek(source), __ATOMIC_RELAXED);",
                "object_copy, object_is",
            ),
            (
                "a look at a slot",
                "    return __atomic_load_n(im_slot(address), __ATOMIC_ACQUIRE);",
                "    return __atomic_load_n(im_slot(address), __ATOMIC_RELAXED);",
                "object_store, object_is",
            ),
        ]
    ),
    # ---- replication -----------------------------------------------------------------------------------
    Mutant(
        name="a reader does not wait for its replica",
        file=REPLICA,
        edits=(
            (
                "        if load(base + _POSITION, ACQUIRE) >= least:\n",
                "        if load(base + _POSITION, ACQUIRE) >= 0:\n",
            ),
        ),
        why="a change that is over on one replica is not read on another",
        test=f"{DEFECTS}::test_no_stale_read_after_a_completed_write",
    ),
    Mutant(
        name="readers are let in before a round is completed",
        file=REPLICA,
        edits=(
            ("        self.log.complete(position)\n        self.log.advance", "        self.log.advance"),
            (
                "        self._admit()\n        self._count(count)\n",
                "        self._admit()\n        self.log.complete(first + count)\n",
            ),
            ("        if self._checked:\n", "        if False:\n"),
        ),
        why="a reader sees a change on this replica, and then not on another one",
        test=f"{DEFECTS}::test_no_new_then_old_read",
    ),
    Mutant(
        name="a combiner goes without a look at who has come",
        file=REPLICA,
        edits=(("            if self._retired or is_empty(self._stack):\n", "            if True:\n"),),
        why="an operation that came during its round waits for somebody else's, perhaps for ever",
        test=f"{DEFECTS}::test_no_operation_is_missed_by_the_combiners_pass",
    ),
    Mutant(
        name="a combiner that has served long enough wakes nobody",
        file=REPLICA,
        edits=(
            (
                "            if rounds == ROUNDS or changed:\n                wake_all(self._stack)\n",
                "            if rounds == ROUNDS or changed:\n",
            ),
        ),
        why="who waits for it sleeps on",
        test=f"{DEFECTS}::test_a_combiner_that_has_served_long_enough_hands_its_role_over",
    ),
    Mutant(
        name="a combiner that has copied a replica serves on",
        file=REPLICA,
        edits=(("            if rounds == ROUNDS or changed:\n", "            if rounds == ROUNDS:\n"),),
        why="it waits for room that the copy holds, which nobody but itself can bring up to date",
        test=f"{DEFECTS}::test_a_copy_that_nobody_has_yet_does_not_stop_who_made_it",
    ),
    Mutant(
        name="nobody helps a replica without a combiner",
        file=REPLICA,
        edits=(
            ("        elif not slowest.help(dropped):\n", "        else:\n"),
            ("<= position and not self.help(dropped):\n", "<= position:\n"),
        ),
        why="a replica that nobody uses stops all writers",
        test=f"{DEFECTS}::test_a_replica_that_nobody_uses_blocks_no_writer",
    ),
    Mutant(
        name="who waits for a replica does not try its role again",
        file=REPLICA,
        edits=(("<= position and not self.help(dropped):\n", "<= position:\n"),),
        why="its combiner may have gone between the two looks, and nobody comes",
        test=f"{DEFECTS}::test_who_waits_for_a_replica_finds_that_its_combiner_has_gone",
    ),
    Mutant(
        name="a removed replica leaves its requests",
        file=REPLICA,
        edits=(
            (
                "sees that there is nobody left to serve it\n                turn_away(self._stack)\n",
                "sees that there is nobody left to serve it\n",
            ),
        ),
        why="whoever has asked it waits for ever",
        test=f"{DEFECTS}::test_who_asks_a_replica_that_is_removed_is_told_to_ask_another",
    ),
    Mutant(
        name="an exception of user code ends the round",
        file="plugins/intermodal_nr/states.py",
        edits=(
            (
                "            return self.structure.dispatch_mut(operation)\n        except BaseException as error:",
                "            return self.structure.dispatch_mut(operation)\n        except LookupError as error:",
            ),
        ),
        why="the entry is executed again, or never, on this replica: the copies differ",
        test=f"{DEFECTS}::test_replicas_do_not_diverge_when_user_code_raises",
    ),
    Mutant(
        name="a reader does not look at the writer",
        file=READERS,
        edits=(("    return load(address + _WRITER, ACQUIRE) == _OPEN\n", "    return True\n"),),
        why="a change is read half",
        test=f"{DEFECTS}::test_no_reader_is_beside_a_combiner",
    ),
    Mutant(
        name="a reader looks at the writer before its slot is seen",
        file=READERS,
        edits=(
            (
                "    fence(SEQ_CST)  # the slot is taken before WRITER is looked at; the writer does the reverse\n",
                "",
            ),
        ),
        why="on another processor both go on: a change is read half",
        test=f"{DEFECTS}::test_a_reader_and_a_combiner_see_each_other_on_every_processor",
    ),
    Mutant(
        name="a slot is used before it is counted",
        file=READERS,
        edits=(
            ("                exchange(self.address + _USED, slot + 1, SEQ_CST)\n", "                pass\n"),
        ),
        why="the writer does not wait for that reader",
        test=f"{DEFECTS}::test_a_reader_that_registers_during_a_combine_keeps_out",
    ),
    Mutant(
        name="a reader that leaves does not wake the writer",
        file=READERS,
        edits=(("    return load(address + _WRITER, RELAXED) == PARKED\n", "    return False\n"),),
        why="the writer sleeps on, and everybody waits for it",
        test=f"{DEFECTS}::test_a_writer_that_has_parked_is_woken",
    ),
    Mutant(
        name="a full log takes entries",
        file=LOG,
        edits=(("                return FULL\n", "                return 0\n"),),
        why="an entry that a replica has still to execute is overwritten",
        test=f"{DEFECTS}::test_a_replica_that_nobody_uses_blocks_no_writer",
    ),
    Mutant(
        name="an evicted replica appends",
        file=LOG,
        edits=(("            return EVICTED\n", "            pass\n"),),
        why="the last live one takes what is not stored for its own, and misses it",
        test=f"{DEFECTS}::test_a_stuck_replica_is_evicted_and_begins_again",
    ),
    Mutant(
        name="a scan does not look what has been completed",
        file=LANES,
        edits=(("            if not self._have_completed(positions):\n", "            if False:\n"),),
        why="it sees the second of two changes and not the first",
        test="tests/test_cnr.py::test_a_scan_is_atomic",
    ),
    Mutant(
        name="a scan that changes lets readers be",
        file=LANES,
        edits=(
            ("                        replica.seize(dropped)\n", "                        replica.sync()\n"),
            ("                    replica.release()\n", "                    pass\n"),
        ),
        why="somebody sees one lane before and the next one after it",
        test="tests/test_cnr.py::test_a_scan_that_changes_is_atomic",
    ),
    Mutant(
        name="changes pass a closed gate",
        file="plugins/intermodal_nr/gate.py",
        edits=(
            (
                "                if may_enter(self._address) or self._passing.has_inside(me, slot):\n",
                "                if True:\n",
            ),
        ),
        why="a scan that changes is beside a change",
        test=f"{DEFECTS}::test_nobody_is_inside_while_the_gate_is_closed",
    ),
    Mutant(
        name="a torn batch is not cut off",
        file="plugins/intermodal_nr/file_log.py",
        edits=(("                file.truncate(len(data) - torn)\n", "                pass\n"),),
        why="what is appended after it is never read again",
        test="tests/test_file_log.py::test_a_torn_last_record_is_dropped",
    ),
    Mutant(
        name="checksums are not compared",
        file="plugins/intermodal_nr/file_log.py",
        edits=(
            (
                "        if checksum != zlib.crc32(payload, zlib.crc32(data[start : start + _HEADER.size])):\n",
                "        if False:\n",
            ),
        ),
        why="a wrong byte is executed",
        test="tests/test_file_log.py::test_a_wrong_byte_is_found_by_its_checksum",
    ),
    # ---- the B+ tree -----------------------------------------------------------------------------------
    Mutant(
        name="a leaf is not looked at again after a value was loaded",
        file=TREE,
        edits=(
            (
                "        if is_unchanged(leaf, meta) and found >= 0:\n            return value\n\n\ndef write(",
                "        if found >= 0:\n            return value\n\n\ndef write(",
            ),
        ),
        why="the entry was removed and its place used again: another key's value",
        test=f"{TREE_REUSE}[roomy-get(30) | pop(30) | insert(35)]",
    ),
    Mutant(
        name="a parent is not looked at again after its child",
        file=TREE,
        edits=(
            (
                "            if not is_unchanged(node, meta):\n                break\n            node = child\n",
                "            node = child\n",
            ),
        ),
        why="the child's node is another leaf by now: keys that are there are missed",
        test=f"{TREES}::test_a_node_that_is_used_again_is_not_taken_for_what_it_was[get(30)]",
    ),
    Mutant(
        name="a leaf is locked whatever its version",
        file=TREE,
        edits=(
            (
                ("            return NO_ROOM, None\n        if not try_lock(leaf + META, meta):\n"),
                (
                    "            return NO_ROOM, None\n        meta = load(leaf + META, ACQUIRE) & ~LOCKED\n"
                    "        if not try_lock(leaf + META, meta):\n"
                ),
            ),
        ),
        why="another thread has inserted the key meanwhile: it is there twice",
        test=f"{TREE_OPERATIONS}[roomy-insert(35) | insert(35)]",
    ),
    Mutant(
        name="a change of a node has no fence before its first store",
        file=NODE,
        edits=(
            (
                "    fence(RELEASE)  # after the lock was taken, before anything is stored: see the racing lines\n",
                "",
            ),
        ),
        why="a reader finds the permutation of another version, and no newer version",
        test=f"{TREES}::test_a_permutation_that_is_written_again_is_not_taken_for_what_it_was",
    ),
    Mutant(
        name="a second look at a node has no fence before it",
        file=NODE,
        edits=(("    fence(ACQUIRE)\n    return (load(node + META", "    return (load(node + META"),),
        why="the second look may come before what it is to prove",
        test=f"{TREES}::test_a_permutation_that_is_written_again_is_not_taken_for_what_it_was",
    ),
    Mutant(
        name="writers do not look whether the tree is frozen",
        file=TREE,
        edits=(
            (
                "    light_fence()\n    return load(shared + FROZEN, RELAXED) & LOCKED != 0\n",
                "    return False\n",
            ),
        ),
        why="a snapshot has an entry that is being removed",
        test=f"{TREE_ORDERS}[roomy-snapshot | pop(30)]",
    ),
    Mutant(
        name="a snapshot has no heavy fence",
        file=TREE_STATE,
        edits=(("                    heavy_fence()\n", ""),),
        why="it does not see the lock of a writer that has not seen FROZEN",
        test=f"{TREE_ORDERS}[roomy-snapshot | pop(30)]",
    ),
    Mutant(
        name="a step of a scan does not look at its leaf again",
        file=SCAN,
        edits=(
            (
                "            return is_unchanged(leaf, meta)\n        if meta & LOCKED",
                "            return True\n        if meta & LOCKED",
            ),
        ),
        why="entries that are removed meanwhile come as nothing",
        test=f"{TREE_SCANS}[full-pop(30)-False]",
    ),
    Mutant(
        name="a scan goes on behind the bound of its leaf",
        file=SCAN,
        edits=(
            (
                "        self.near = Bound(key, not self.reverse)\n",
                "        self.near = Bound(key, False)\n",
            ),
        ),
        why="ascending, the least key of a leaf is missed",
        test=f"{TREE_SCANS}[crowded-insert(35)-False]",
    ),
    Mutant(
        name="equal words are taken for equal keys",
        file=NODE,
        edits=(("    return kind == INT_KEY or word & 255 == 0\n", "    return True\n"),),
        why="strings that differ behind the eighth byte are one key",
        test="tests/test_btree.py::test_all_that_depends_on_order_is_what_a_sorted_list_says[62 a node-short]",
    ),
    # ---- the trie ----------------------------------------------------------------------------------------
    Mutant(
        name="a node of the trie counts from the start",
        file=TRIE,
        edits=((" | PENDING, RELAXED)", ", RELAXED)"),),
        why="the same, seen by who meets it before it is decided",
        test=SNAPSHOT,
    ),
    Mutant(
        name="who meets an undecided node of the trie takes it",
        file=TRIE_READ,
        edits=(("    if decision == COMMITTED:\n", "    if decision != FAILED:\n"),),
        why="a snapshot has a write that is taken back",
        test=SNAPSHOT,
    ),
    Mutant(
        name="the last decision on a node of the trie counts, not the first",
        file=TRIE_READ,
        edits=(
            (
                "    compare_exchange(node + STATE, flags | PENDING, flags | (",
                "    store(node + STATE, flags | (",
            ),
        ),
        why="a snapshot's reader has decided against the write, the writer for it",
        test=SNAPSHOT,
    ),
    Mutant(
        name="a failed node of the trie is taken",
        file=TRIE_READ,
        edits=(("    if decision == FAILED:\n", "    if False:\n"),),
        why="what was never written is read, from the time it is put in until it is taken back",
        test=SNAPSHOT,
    ),
    Mutant(
        name="a node of the trie is decided without a fence",
        file=TRIE_READ,
        edits=(("    fence(SEQ_CST)\n", ""),),
        why="the writer sees no snapshot yet, and the snapshot no node",
        test=SNAPSHOT_SEEN_LATE,
    ),
    Mutant(
        name="a snapshot of the trie is read without a fence",
        file=TRIE,
        edits=(("            fence(SEQ_CST)\n", ""),),
        why="the same, from the other side",
        test=SNAPSHOT_SEEN_LATE,
    ),
    Mutant(
        name="a changed root of the trie is taken for a snapshot",
        file=TRIE_NODES,
        edits=(
            (
                "    return load(node + STATE, RELAXED) & LIST\n",
                "    return load(node + STATE, RELAXED) & 20\n",
            ),
        ),
        why="the branches below it are of its own generation, and change",
        test="tests/test_trie.py::test_snapshots_stay_as_they_were",
    ),
    Mutant(
        name="a node of the trie is decided without a look at the root",
        file=TRIE_READ,
        edits=(
            (
                "    current = generation_of(root) == load(branch + BRANCH_GENERATION, RELAXED)\n",
                "    current = True\n",
            ),
        ),
        why="a write that began before a snapshot changes it afterwards",
        test=SNAPSHOT,
    ),
    Mutant(
        name="a tomb of the trie is written to",
        file=TRIE,
        edits=(("        if load(at + STATE, RELAXED) & TOMB:\n", "        if False:\n"),),
        why="another thread puts what was left of it into the node above",
        test=TOMBS,
    ),
    Mutant(
        name="a node of the trie is put in whatever is there by now",
        file=TRIE,
        edits=(
            ("    if not object_compare_exchange(branch + MAIN, old, new):\n        return False\n", ""),
            (
                "    object_store(previous_slot(inside), old)\n",
                "    object_store(previous_slot(inside), old)\n    object_store(branch + MAIN, new)\n",
            ),
        ),
        why="what was written meanwhile is lost",
        test=TOMBS,
    ),
    Mutant(
        name="a removal from the trie fails for want of memory after it has succeeded",
        file=TRIE,
        edits=(("    with suppress(MemoryError):", "    with suppress(KeyError):"),),
        why="who is told that it failed finds the entry gone",
        test="tests/test_trie.py::test_memory_that_cannot_be_had_leaves_the_map_as_it_was",
    ),
    # ---- evmap -----------------------------------------------------------------------------------------
    Mutant(
        name="a look-up says nowhere that it reads",
        file=EVMAP_VIEWS,
        edits=(
            (
                "    era = enter(record)\n    try:\n        # Racing line 1",
                "    era = load(record, RELAXED)\n    try:\n        # Racing line 1",
            ),
        ),
        why="the writer changes the copy under it",
        test=BESIDE_A_WRITER,
    ),
    Mutant(
        name="a publisher does not look for sections",
        file=EVMAP_OBSTACLES,
        edits=(
            ("            if load(record + HEAD, ACQUIRE) != OUTSIDE and (", "            if False and ("),
        ),
        why="a reader finds what was written after it began, or a slot that is half changed",
        test=BESIDE_A_WRITER,
    ),
    Mutant(
        name="a publisher has no heavy fence",
        file=EVMAP_OBSTACLES,
        edits=(("            heavy_fence()  # racing line 1", "            pass"),),
        why="it may miss a section that still finds the old copy",
        test=f"{EVMAP_SCHEDULES}::test_the_memory_orders_suffice",
    ),
    Mutant(
        name="a fence of an earlier publication counts for the next",
        file=EVMAP_OBSTACLES,
        edits=(("        self.fenced = False", "        self.fenced = True"),),
        why="sections that began in between may be missed",
        test=f"{EVMAP_SCHEDULES}::test_the_memory_orders_suffice",
    ),
    Mutant(
        name="a publisher does not look for guards",
        file=EVMAP_OBSTACLES,
        edits=(("            if hold.table is spare:", "            if False:"),),
        why="an iteration is of no one moment",
        test=BESIDE_A_WRITER,
    ),
    Mutant(
        name="a guard holds what the attribute says",
        file=EVMAP,
        edits=(
            ("                if table.control != address:\n", "                if False:\n"),
            ("                if table.control == address:\n", "                if True:\n"),
        ),
        why="it may show an older state than the look-up before it",
        test=f"{EVMAP_SCHEDULES}::test_what_is_read_under_a_guard_is_of_one_publication",
    ),
    Mutant(
        name="a look at who is in the way is used after another publication",
        file=EVMAP,
        edits=(
            (
                "self.publications == publication and self.spare is spare:\n            done =",
                "self.spare is spare:\n            done =",
            ),
        ),
        why="what is spare by then is written to under its readers",
        test=f"{EVMAP_TESTS}::test_a_publication_in_the_middle_of_another_ones_look_is_noticed",
    ),
    Mutant(
        name="keys that have come since are not asked",
        file=EVMAP,
        edits=(("        elif not are_candidates(table, h, key_hash, asked.keys):", "        elif False:"),),
        why="two equal keys in one map",
        test=f"{EVMAP_SCHEDULES}::test_of_two_equal_keys_that_have_to_be_asked_one_is_put_in",
    ),
    Mutant(
        name="a copy that is left to a section is dropped",
        file=EVMAP_OBSTACLES,
        edits=(
            (
                "        self.left.append(Left(spare, self.era if self.era != 0 else NEVER_ERA))",
                "        pass",
            ),
        ),
        why="the reader goes on in freed memory",
        test=f"{EVMAP_TESTS}::test_a_copy_that_is_left_to_a_section_lives_as_long_as_that_lasts",
    ),
    Mutant(
        name="copies that were left are dropped at the next publication",
        file=EVMAP_OBSTACLES,
        edits=(("        if oldest < first.since:", "        if oldest < 0:"),),
        why="the reader goes on in freed memory",
        test=f"{EVMAP_TESTS}::test_a_copy_that_is_left_to_a_section_lives_as_long_as_that_lasts",
    ),
    Mutant(
        name="the second copy is not told of replaced values",
        file=EVMAP_LOG,
        edits=(("        swap(slot + VALUE, entry + NEW)\n        return True", "        return True"),),
        why="every other publication shows old values",
        test=f"{EVMAP_TESTS}::test_a_key_is_hashed_once_and_compared_once_for_both_copies",
    ),
    Mutant(
        name="a thread does not say that it waits for the lock",
        file=EVMAP_OBSTACLES,
        edits=(("            self.blocked[threading.get_ident()] = True", "            pass"),),
        why="its guard and the lock's holder wait for each other",
        test=f"{EVMAP_TESTS}::test_nobody_waits_for_a_guard_whose_thread_waits_to_write",
    ),
    # ---- the reference machine -------------------------------------------------------------------------
    Mutant(
        name="the simulated store_byte clears the word",
        file=SIMULATED,
        edits=(
            (
                "    return _signed((word & ~(255 << shift)) | ((value & 255) << shift))",
                "    return _signed((value & 255) << shift)",
            ),
        ),
        why="the seven neighbours are lost",
        test="tests/test_atomics.py::test_byte_operations_change_their_byte_alone",
    ),
    Mutant(
        name="the simulated try_lock takes any free lock",
        file=SIMULATED,
        edits=(
            (
                "    if compare_exchange(address, expected, expected | 1, 1):",
                "    if not exchange(address, expected | 1, 1) & 1:",
            ),
        ),
        why="a changed version goes unnoticed: pure tests would prove nothing",
        test="tests/test_atomics.py::test_a_lock_is_taken_once_and_only_at_the_expected_word",
    ),
    Mutant(
        name="the collector may run while a simulated lock is held",
        file=SIMULATED,
        edits=(("                gc.disable()\n", "                pass\n"),),
        why="a destructor that uses the map waits for the lock of its own thread",
        test="tests/test_atomics.py::test_the_simulated_machine_keeps_the_gc_out_of_locked_sections",
    ),
    Mutant(
        name="the simulated object_take leaves the object",
        file=SIMULATED,
        edits=(
            (
                "    return object_exchange(address, _EMPTY, fallback)",
                "    return object_load(address, fallback)",
            ),
        ),
        why="one entry, two owners",
        test="tests/test_atomics.py::test_a_slot_owns_one_reference",
    ),
    # ---- hopscotch -------------------------------------------------------------------------------------
    Mutant(
        name="hopscotch: a removal clears its bit when it has released the lock",
        file=HOPSCOTCH,
        edits=(
            (
                "    near = is_near(home, index)\n    far =",
                "    before = word\n    near = is_near(home, index)\n    far =",
            ),
            ("    store(lock, word | LOCKED, RELEASE)\n    if not near:", "    if not near:"),
            (
                "    unlock(lock, word)\n    reachability_fence(key)",
                "    unlock(lock, before)\n    store(lock, word, RELEASE)\n    reachability_fence(key)",
            ),
        ),
        why="hazard 1: an insertion in between sets a bit, which is lost with the entry",
        test=f"{HOMES}::test_no_insertion_is_lost_to_a_removal_of_the_same_home",
    ),
    Mutant(
        name="hopscotch: read does not look at the word again after a miss",
        file=HOPSCOTCH,
        edits=(("if slot == NOT_FOUND and same(load(lock, ACQUIRE), word):", "if slot == NOT_FOUND:"),),
        why="hazard 2: the entry was displaced meanwhile, and was there all the time",
        test=f"{HOMES}::test_no_reader_misses_an_entry_that_is_displaced",
    ),
    Mutant(
        name="hopscotch: a displacement empties the old slot before the bitmap has the new one",
        file=HOPSCOTCH,
        edits=(
            (
                "    store(lock, word | LOCKED, RELEASE)\n    object_forget(source)\n    object_forget(source + VALUE)\n",
                "    object_forget(source)\n    object_forget(source + VALUE)\n    store(lock, word | LOCKED, RELEASE)\n",
            ),
        ),
        why="hazard 2: a reader finds the old slot empty, and the word is still the same",
        test=f"{HOMES}::test_no_reader_misses_an_entry_that_is_displaced",
    ),
    Mutant(
        name="hopscotch: a displacement does not lock the home of the entry that it moves",
        file=HOPSCOTCH,
        edits=(
            ("if left < hole and try_lock(lock, word):", "if left < hole:"),
            (
                "    store(word_of_slot(control, left), BUSY, RELEASE)\n    unlock(lock, word)\n",
                "    store(word_of_slot(control, left), BUSY, RELEASE)\n    store(lock, word, RELEASE)\n",
            ),
        ),
        why="hazard 3: a writer of the same key does not see it, and puts it there again",
        test=f"{HOMES}::test_no_displaced_entry_gets_a_duplicate",
    ),
    Mutant(
        name="hopscotch: an insertion locks its home whatever has changed there",
        file=HOPSCOTCH,
        edits=(
            (
                "    if not try_lock(lock, word):\n        return RETRY, None\n    # Dekker",
                (
                    "    word = load(lock, ACQUIRE) & ~LOCKED\n    if not try_lock(lock, word):\n"
                    "        return RETRY, None\n    # Dekker"
                ),
            ),
        ),
        why="another thread has inserted the key since it was looked for",
        test=f"{HOMES}::test_two_operations_take_effect_one_after_the_other[hopscotch-growing-insert(100) | insert(100)]",
    ),
    Mutant(
        name="hopscotch: read does not look at the word again after a hit",
        file=HOPSCOTCH,
        edits=(
            (
                "        return value if same(load(lock, ACQUIRE), word) else _RETRY_READ\n",
                "        return value\n",
            ),
        ),
        why="the entry was displaced before its value was loaded: the reader says that there is none",
        test=f"{HOMES}::test_no_reader_misses_an_entry_that_is_displaced",
    ),
    Mutant(
        name="hopscotch: a slot is claimed without a compare-and-exchange",
        file=HOPSCOTCH,
        edits=(
            (
                "compare_exchange(word, EMPTY, BUSY, ACQ_REL)\n",
                "store(word, BUSY, RELEASE) is None\n",
            ),
        ),
        why="two homes take the same slot",
        test=f"{HOMES}::test_two_displacements_at_once_do_not_wait_in_a_circle",
    ),
    Mutant(
        name="hopscotch: a home is marked as moved when its slots are empty",
        file=HOPSCOTCH,
        edits=(
            (
                "    store(lock, moved | LOCKED, RELEASE)\n    walk_home(table, following, home, word, copy=False)\n",
                "    walk_home(table, following, home, word, copy=False)\n    store(lock, moved | LOCKED, RELEASE)\n",
            ),
        ),
        why="a reader finds nothing where the entry was, and no reason to look elsewhere",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[hopscotch]",
    ),
    Mutant(
        name="hopscotch: a far entry that is removed is still counted",
        file=HOPSCOTCH,
        edits=(("        far -= 1\n", ""),),
        why="searches of that home go round the whole table for ever after, and its mark stays",
        test=f"{HOMES}::test_far_entries_are_found_and_counted",
    ),
    Mutant(
        name="hopscotch: a far entry that is being removed counts as one",
        file=HOPSCOTCH,
        edits=(
            (
                "        store(word_of_slot(control, index), BUSY, RELEASE)\n        store(far",
                "        store(far",
            ),
        ),
        why="a reader that has the smaller number stops before the entry that it looks for",
        test=f"{HOMES}::test_a_far_entry_that_is_being_removed_is_not_taken_for_another",
    ),
    Mutant(
        name="hopscotch: a far entry comes before the home's word changes",
        file=HOPSCOTCH,
        edits=(
            (
                "    store(load(control + RECORDS, RELAXED) + home * BUCKET_BYTES, word | LOCKED, RELEASE)\n    store(word",
                "    store(word",
            ),
        ),
        why="a reader that has the old number of far entries stops before the one that it looks for",
        test=f"{HOMES}::test_a_far_entry_that_comes_hides_none_that_is_there",
    ),
    Mutant(
        name="hopscotch: an insertion does not look at the phase again",
        file=HOPSCOTCH,
        edits=(("    if load(shared, SEQ_CST) == phase:\n        index", "    if True:\n        index"),),
        why="a resize that began meanwhile has not counted the entry",
        test=f"{HOMES}::test_an_insertion_is_counted_by_a_resize_or_sees_it[hopscotch]",
    ),
    # ---- chained ---------------------------------------------------------------------------------------
    Mutant(
        name="chained: the bucket's word changes before the node has left the chain",
        file=CHAINED,
        edits=(
            ("    store(lock, word | LOCKED, RELEASE)\n    store(words, EMPTY", "    store(words, EMPTY"),
            (
                "    value: object = object_take(slot + VALUE, None)\n",
                (
                    "    store(lock, word | LOCKED, RELEASE)\n"
                    "    value: object = object_take(slot + VALUE, None)\n"
                ),
            ),
        ),
        why="a reader that begins with the new word comes to the node, and leaves with another chain",
        test=f"{HOMES}::test_a_node_that_is_being_removed_does_not_lead_a_reader_astray[0]",
    ),
    Mutant(
        name="chained: a value is replaced in two steps",
        file=CHAINED,
        edits=(
            (
                "        old = object_exchange(slot + VALUE, new, None)\n",
                "        old = object_take(slot + VALUE, None)\n        object_store(slot + VALUE, new)\n",
            ),
        ),
        why="a reader in between finds no value of a key that is there throughout",
        test=f"{HOMES}::test_no_reader_misses_a_key_whose_value_is_replaced",
    ),
    Mutant(
        name="chained: read does not look at the word again after a miss",
        file=CHAINED,
        edits=(("if slot == NOT_FOUND and same(load(lock, ACQUIRE), word):", "if slot == NOT_FOUND:"),),
        why="the bucket moves to the next table during the search",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[chained]",
    ),
    Mutant(
        name="chained: read does not look at the word again after a hit",
        file=CHAINED,
        edits=(
            (
                "        return value if same(load(lock, ACQUIRE), word) else _RETRY_READ\n",
                "        return value\n",
            ),
        ),
        why="the bucket has moved before the value was loaded: the reader says that there is none",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[chained]",
    ),
    Mutant(
        name="chained: a node is claimed without a compare-and-exchange",
        file=CHAINED,
        edits=(
            (
                "compare_exchange(words, EMPTY, BUSY, ACQ_REL)",
                "store(words, BUSY, RELEASE) is None",
            ),
        ),
        why="two buckets take the same node",
        test=f"{HOMES}::test_two_buckets_do_not_take_the_same_node",
    ),
    Mutant(
        name="chained: a bucket is marked as moved when its nodes are empty",
        file=CHAINED,
        edits=(
            (
                "    store(lock, moved | LOCKED, RELEASE)\n    node = head_of(word)\n",
                "    node = head_of(word)\n",
            ),
            (
                "        store(words, EMPTY, RELEASE)\n    fetch_add(table.control + MOVED_HOMES",
                (
                    "        store(words, EMPTY, RELEASE)\n    store(lock, moved | LOCKED, RELEASE)\n"
                    "    fetch_add(table.control + MOVED_HOMES"
                ),
            ),
        ),
        why="a reader finds nothing where the entry was, and no reason to look elsewhere",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[chained]",
    ),
    Mutant(
        name="chained: a writer takes a bucket that has moved",
        file=CHAINED,
        edits=(
            (
                "    if word & (LOCKED | MOVED):\n        return RETRY, None\n    slot = locate",
                "    if word & LOCKED:\n        return RETRY, None\n    slot = locate",
            ),
            (
                "    if slot == NOT_FOUND and phase & PHASE_MASK != IDLE:\n        return RETRY, None\n    return commit",
                "    return commit",
            ),
        ),
        why="what it writes into the old table is lost",
        test=f"{HOMES}::test_no_write_is_lost_to_a_resize",
    ),
    Mutant(
        name="chained: an insertion does not look at the phase again",
        file=CHAINED,
        edits=(("    if load(shared, SEQ_CST) == phase:\n        node", "    if True:\n        node"),),
        why="a resize that began meanwhile has not counted the entry",
        test=f"{HOMES}::test_an_insertion_is_counted_by_a_resize_or_sees_it[chained]",
    ),
    Mutant(
        name="chained: nodes are added by everybody",
        file=CHAINED,
        edits=(
            (
                "        if load(self.control + SEGMENTS, RELAXED) == number - 1 and added.previous is self.segments:\n",
                "        if True:\n",
            ),
        ),
        why="of two segments with one number the first is lost, with the entries in it",
        test=f"{HOMES}::test_nodes_are_added_by_one_of_two_at_once",
    ),
    # ---- what both have of core ------------------------------------------------------------------------
    Mutant(
        name="tables: a resize is finished when some homes have moved",
        file=TABLES,
        edits=(
            (
                "        if load(table.control + MOVED_HOMES, ACQUIRE) == table.homes:\n            self.finish",
                "        if load(table.control + MOVED_HOMES, ACQUIRE) > 1:\n            self.finish",
            ),
        ),
        why="the entries of the others are gone",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[hopscotch]",
    ),
    Mutant(
        name="tables: iteration does not look at the word again",
        file=TABLES,
        edits=(
            ("            complete = same(load(lock, ACQUIRE), word)\n", "            complete = True\n"),
        ),
        why="a home that moves, or that has an entry displaced, is missed",
        test=f"{HOMES}::test_iteration_yields_what_stays_once[hopscotch-growing-insert(100)]",
    ),
    Mutant(
        name="tables: a reader waits for the lock of a home that it would move",
        file=TABLES,
        edits=(
            (
                "            self.help(READ_HELP_SLOTS, patient=False)\n",
                "            self.help(READ_HELP_SLOTS, patient=True)\n",
            ),
        ),
        why="reads are not lock-free",
        test=f"{HOMES}::test_a_reader_waits_for_nobody[chained]",
    ),
    Mutant(
        name="words: a home that has moved is counted before it is marked",
        file=WORDS,
        edits=(
            (
                "    store(lock, word | MOVED | LOCKED, RELEASE)\n    if discards:",
                "    if discards:",
            ),
        ),
        why="a view that keeps the old table reads there what has changed in the next one",
        test=(
            f"{WORD_SCHEDULES}::test_several_operations_take_effect_in_some_order"
            "[swiss-shrinking-add_many(3) get(3) | pop(3) insert(3)]"
        ),
    ),
    Mutant(
        name="words: a loop does not look at the lock word again",
        file=WORDS,
        edits=(
            (
                "        if not same(load(lock, ACQUIRE), word):\n            break\n",
                "",
            ),
        ),
        why="the slot is another key's by the time its value is read",
        test=(
            f"{WORD_SCHEDULES}::test_a_slot_that_is_used_again_is_not_taken_for_what_it_was"
            "[swiss-get_many(3) | pop(3) insert(100)]"
        ),
    ),
    Mutant(
        name="words: an insertion locks its home whatever has changed there",
        file=WORDS,
        edits=(
            (
                "    if not try_lock(lock, word):\n        return RETRY\n",
                "    word = load(lock, ACQUIRE) & ~LOCKED\n    if not try_lock(lock, word):\n        return RETRY\n",
            ),
        ),
        why="another thread has inserted the key since it was looked for",
        test=(f"{WORD_SCHEDULES}::test_a_key_is_inserted_once[swiss-insert_many(100) | insert(100)]"),
    ),
    Mutant(
        name="words: what a loop has counted stays counted",
        file=WORDS,
        edits=(("    if credit != 0:\n        fetch_add(count, -credit, RELAXED)\n", ""),),
        why="len() says more than there is",
        test="tests/test_words.py::test_what_is_counted_and_not_used_is_given_back[swiss]",
    ),
    Mutant(
        name="words: negative amounts are not looked at",
        file=WORDS,
        edits=(("    return left < -half - right - half\n", "    return False\n"),),
        why="the sum wraps",
        test="tests/test_words.py::test_a_sum_that_does_not_fit_is_refused[-9223372036854775808--1-swiss]",
    ),
    Mutant(
        name="swiss words: a removal changes the version when it has given the slot back",
        file=SWISS_WORDS,
        edits=(
            (
                "        store(self.headers + home * HEADER_BYTES + LOCK, (word + VERSION_STEP) | LOCKED, RELEASE)\n",
                "",
            ),
        ),
        why="a reader takes the next entry of the slot for the one that was removed",
        test=f"{WORD_SCHEDULES}::test_a_slot_that_another_home_uses_again_comes_with_a_new_version",
    ),
    Mutant(
        name="swiss words: a removal changes the version while the entry can be found",
        file=SWISS_WORDS,
        edits=(("        store_byte(header + (index & 15), BUSY)\n", ""),),
        why="a reader that begins with the new version takes the next entry of the slot for that one",
        test=f"{WORD_SCHEDULES}::test_a_slot_that_another_home_uses_again_comes_with_a_new_version",
    ),
    Mutant(
        name="swiss words: an insertion changes the version when it has published the tag",
        file=SWISS_WORDS,
        edits=(
            (
                "        store(self.headers + home * HEADER_BYTES + LOCK, word | LOCKED, RELEASE)\n",
                "",
            ),
        ),
        why="a reader finds the key by the tag of what was in the slot before, and with its value",
        test=f"{WORD_SCHEDULES}::test_a_key_is_not_found_before_it_is_there[get_many]",
    ),
    Mutant(
        name="hopscotch words: a far entry can be found while the home's word changes",
        file=HOPSCOTCH_WORDS,
        edits=(
            (
                "            store_byte(state, BUSY)  # before the new word: who has that does not find the entry any more\n",
                "",
            ),
        ),
        why="a reader that begins with the new word takes the next entry of the slot for that one",
        test="tests/test_hopscotch_words.py::test_a_slot_is_given_back_after_the_new_version[far]",
    ),
    Mutant(
        name="hopscotch words: a slot is given back before the home's word changes",
        file=HOPSCOTCH_WORDS,
        edits=(
            (
                "        store(self.words + home * 8, word | LOCKED, RELEASE)\n        # Whoever claims",
                "        # Whoever claims",
            ),
        ),
        why="a reader takes the next entry of the slot for the one that was removed",
        test="tests/test_hopscotch_words.py::test_a_slot_is_given_back_after_the_new_version[near]",
    ),
    Mutant(
        name="chained words: the bucket's word changes before the node has left the chain",
        file=CHAINED_WORDS,
        edits=(
            (
                "            word += VERSION_STEP\n            leads_to",
                "            word += VERSION_STEP\n            store(lock, word | LOCKED, RELEASE)\n            leads_to",
            ),
        ),
        why="a reader that begins with the new word comes to the node, and leaves with another chain",
        test="tests/test_words_schedules.py::test_a_node_of_another_chain_is_not_followed",
    ),
]
