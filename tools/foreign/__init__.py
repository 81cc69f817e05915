"""Tools that were not written with `@tool`: of LangChain, of MCP servers; and what a person declares of them."""
