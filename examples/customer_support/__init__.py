"""A telecom help desk: one agent sorts the tickets, three specialists act on a real database under policy."""
