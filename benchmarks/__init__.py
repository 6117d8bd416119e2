"""memo beside its peers: how long the same thing takes with each, measured side by side in one run.

    python -m benchmarks                # figures and ratios
    python -m benchmarks --check        # exit status 1 if a ratio is over its budget (budgets.toml)
    python -m benchmarks --only hit     # one row
    python -m benchmarks --long         # the rows that take minutes, too
    python -m benchmarks --storages     # memo's storages beside each other
    python -m benchmarks --plots docs   # curves over entries and sizes, drawn

The one decision: only ratios of one run are compared with limits, since seconds belong to a machine and an hour. Each
measurement is a process of its own in a fresh folder, the peers take turns, and what they return is checked: a hit that
was computed, or a result that was not stored, is an error and not a fast figure.
"""
