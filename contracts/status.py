"""How a run stands. Every run, however it stops, is in exactly one of these states, with a reason beside it."""

from __future__ import annotations

from typing import Literal, get_args

Status = Literal["running", "waiting", "drained", "completed", "failed", "out_of_budget", "cancelled"]
"""The closed set.

=============  ==========================================  ======  ===============================================
status         what it means                               final   how the run is gone on with
=============  ==========================================  ======  ===============================================
running        it is under way, or its process died        no      `aresume(thread)` once nothing drives it
waiting        a person was asked                          no      `aresume(thread, answers)`
drained        it stopped at a checkpoint: no budget was   no      `aresume(thread)`, after budget was added
               left, or its server stopped
completed      its answer crossed to the end               yes     not at all; its thread takes a new request
failed         an error stopped it                         no      `edgewright dead retry RUN`, or `aresume(thread)`
out_of_budget  a budget would have been passed             no      the same, after budget was added
cancelled      whoever drove it stopped it                 no      `aresume(thread)`
=============  ==========================================  ======  ===============================================

A run that is not final is gone on with as itself: from its last checkpoint, with every effect and every model reply
that is on record given back instead of done again. It no longer can once its thread began another run, its payloads
were erased, or its effects were undone.
"""

STATUSES: tuple[Status, ...] = get_args(Status)
FINAL: frozenset[Status] = frozenset({"completed"})
"""What nobody goes on with."""
OPEN: frozenset[Status] = frozenset({"running", "waiting"})
"""What may do more without anybody deciding so."""
DEAD: frozenset[Status] = frozenset({"failed", "out_of_budget"})
"""What could not be done: a dead letter, until somebody goes on with it or drops it."""
