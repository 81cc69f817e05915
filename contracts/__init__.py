"""Floor 0: pure values and decisions. Nothing here opens a file, a socket or a database."""
