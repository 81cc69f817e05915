"""Floor 2: tools. What an agent can do to the world, and the gate in front of it."""
