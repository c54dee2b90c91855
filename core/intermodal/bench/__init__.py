"""Measures concurrent maps against one another: what ``intermodal bench`` runs.

- :mod:`~intermodal.bench.workloads`: what is done to the maps.
- :mod:`~intermodal.bench.contenders`: who is measured.
- :mod:`~intermodal.bench.costs`: slowest insert and memory, for asv.
- :mod:`~intermodal.bench.memory`: what an entry takes.
- :mod:`~intermodal.bench.runner`: how operations are measured.
- :mod:`~intermodal.bench.survey`: several workloads, for a report with plots.
- :mod:`~intermodal.bench.report`: what came of it, and which contender it speaks for.
- :mod:`~intermodal.bench.plots`, :mod:`~intermodal.bench.page`, :mod:`~intermodal.bench.images`: that, drawn.
- :mod:`~intermodal.bench.choice`: which backend meets the needs of a workload, and is fastest with it.

Each imports only those above it. None knows the command line, or any backend: maps come from
``open_map``.
"""
