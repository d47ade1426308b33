"""Speed and memory of fanflow, measured against budgets: `python -m benchmarks`."""
