"""Measures concurrent maps against one another: what ``intermodal bench`` runs.

- :mod:`~intermodal.bench.workloads`: what is done to the maps.
- :mod:`~intermodal.bench.contenders`: who is measured.
- :mod:`~intermodal.bench.runner`: how.
- :mod:`~intermodal.bench.survey`: several workloads, for a report with plots.
- :mod:`~intermodal.bench.memory`: what an entry takes.
- :mod:`~intermodal.bench.report`: what came of it, and which contender it speaks for.
- :mod:`~intermodal.bench.plots`, :mod:`~intermodal.bench.page`, :mod:`~intermodal.bench.images`: that, drawn.
- :mod:`~intermodal.bench.choice`: which backend meets the needs of a workload, and is fastest with it.
- :mod:`~intermodal.bench.costs`: slowest insert and memory, for asv.

Knows neither the command line nor any backend: maps come from ``open_map``.
"""
