"""Floor 5: the edge. HTTP, command line, settings; no rule is decided here."""
