"""Connectors: governed tools onto outside things, each small, declared, and with its own safe limits."""
