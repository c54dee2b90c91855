"""Compiles the modules named here; everything else about the distribution is in pyproject.toml.

INTERMODAL_PURE=1 installs the same sources uncompiled.
"""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "core"))

from intermodal.build import mypycify

# Left out, and why: __init__ modules and hook implementations (pluggy reads their code objects), atomics (its
# functions are what compiled callers inline), _simulated (the reference), attrs classes (they stay ordinary
# classes when compiled), views, guards and replicated objects (they derive from interpreted classes), _public
# (its classes can be weakly referenced), and what is not called for each operation: facade, registry,
# _batches, placement, file_log, the command line.
COMPILED = {
    "intermodal": [
        "core/intermodal/_checked.py",
        "core/intermodal/bench/_sections.py",
        "core/intermodal/log.py",
        "core/intermodal/maps.py",
        "core/intermodal/memory.py",
        "core/intermodal/reclamation.py",
        "core/intermodal/tables.py",
        "core/intermodal/words.py",
    ],
    "intermodal_btree": [
        "plugins/intermodal_btree/_check.py",
        "plugins/intermodal_btree/_descent.py",
        "plugins/intermodal_btree/_map.py",
        "plugins/intermodal_btree/_node.py",
        "plugins/intermodal_btree/_scan.py",
        "plugins/intermodal_btree/_state.py",
        "plugins/intermodal_btree/_tree.py",
    ],
    "intermodal_chained": [
        "plugins/intermodal_chained/_map.py",
        "plugins/intermodal_chained/_state.py",
        "plugins/intermodal_chained/_table.py",
        "plugins/intermodal_chained/_words.py",
    ],
    "intermodal_cnr": ["plugins/intermodal_cnr/_lanes.py", "plugins/intermodal_cnr/_map.py"],
    "intermodal_epoch": ["plugins/intermodal_epoch/_scheme.py"],
    "intermodal_evmap": [
        "plugins/intermodal_evmap/_bags.py",
        "plugins/intermodal_evmap/_log.py",
        "plugins/intermodal_evmap/_map.py",
        "plugins/intermodal_evmap/_obstacles.py",
        "plugins/intermodal_evmap/_pin.py",
        "plugins/intermodal_evmap/_readers.py",
        "plugins/intermodal_evmap/_state.py",
        "plugins/intermodal_evmap/_table.py",
        "plugins/intermodal_evmap/_value_bags.py",
    ],
    "intermodal_hopscotch": [
        "plugins/intermodal_hopscotch/_map.py",
        "plugins/intermodal_hopscotch/_state.py",
        "plugins/intermodal_hopscotch/_table.py",
        "plugins/intermodal_hopscotch/_words.py",
    ],
    "intermodal_hyaline": ["plugins/intermodal_hyaline/_scheme.py"],
    "intermodal_locked": ["plugins/intermodal_locked/_map.py"],
    "intermodal_nr": [
        "plugins/intermodal_nr/gate.py",
        "plugins/intermodal_nr/group.py",
        "plugins/intermodal_nr/map.py",
        "plugins/intermodal_nr/map_state.py",
        "plugins/intermodal_nr/memory_log.py",
        "plugins/intermodal_nr/progress.py",
        "plugins/intermodal_nr/readers.py",
        "plugins/intermodal_nr/replica.py",
        "plugins/intermodal_nr/requests.py",
        "plugins/intermodal_nr/states.py",
    ],
    "intermodal_swiss": [
        "plugins/intermodal_swiss/_map.py",
        "plugins/intermodal_swiss/_retiring.py",
        "plugins/intermodal_swiss/_state.py",
        "plugins/intermodal_swiss/_table.py",
        "plugins/intermodal_swiss/_words.py",
    ],
    "intermodal_trie": [
        "plugins/intermodal_trie/_check.py",
        "plugins/intermodal_trie/_iterate.py",
        "plugins/intermodal_trie/_map.py",
        "plugins/intermodal_trie/_nodes.py",
        "plugins/intermodal_trie/_read.py",
        "plugins/intermodal_trie/_state.py",
    ],
}

setup(ext_modules=mypycify(COMPILED))
