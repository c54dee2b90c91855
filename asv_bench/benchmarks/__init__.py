"""asv benchmarks of every registered backend.

Found through the entry points of what is installed, so a third party's backend is measured with ours. Each
file holds one kind of quantity: single_operations, threads, order, growth, memory...
"""
