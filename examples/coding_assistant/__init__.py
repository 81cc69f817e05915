"""A coding assistant: one agent reads, edits and tests a copy of a real git repository, and runs code in isolation."""
