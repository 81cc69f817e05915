"""Floor 1: the ledger. What happened, in order, chained, and never edited."""
