"""asv benchmarks of every registered backend, reclaimer and log, and of the peers that are installed.

Found through the entry points of what is installed, so a third party's backend is measured with ours. Each
file holds one kind of quantity: single_operations, threads, scans, order, growth, memory, imports...
"""
