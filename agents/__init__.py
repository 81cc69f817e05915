"""Floor 3: agents. Behaviours compiled to LangGraph nodes, and the gate in front of every model call."""
