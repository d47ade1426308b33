"""Memoization: which calls are equal, so that equal calls can share one result."""
