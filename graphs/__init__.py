"""Floor 4: graphs. Topologies compiled to LangGraph state graphs with the gates as visible nodes."""
