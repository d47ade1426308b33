"""How far a budget may be missed on a busy machine."""

from collections.abc import Callable

MARGIN = 4.0


def best(measure: Callable[[], float], limit: float) -> float:
    """The least of up to three measurements: a busy machine spoils some of them, a change of kind all."""
    found = measure()
    for _ in range(2):
        if found < limit:
            break
        found = min(found, measure())
    return found
