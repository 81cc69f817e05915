"""Containment: one failing agent or integration never takes its neighbours down.

A call goes through here as it goes through a gate: it finds a place (bulkhead), whoever is called is not known to be
dead (breaker), it ends in time (timeouts), and what failed for a passing reason is tried again (retry). Places and
breakers are shared by everything in the process; the values and decisions are in `edgewright.contracts.containment`.
"""

from .breakers import BREAKERS, Breakers, Moved
from .bulkheads import BULKHEADS, Bulkheads
from .driving import Means, Retried, Told, alive, contained, contained_blocking
from .kinds import kind_of, of_kind, retry_after
from .threads import in_thread

__all__ = [
    "BREAKERS",
    "BULKHEADS",
    "Breakers",
    "Bulkheads",
    "Means",
    "Moved",
    "Retried",
    "Told",
    "alive",
    "contained",
    "contained_blocking",
    "in_thread",
    "kind_of",
    "of_kind",
    "retry_after",
]
