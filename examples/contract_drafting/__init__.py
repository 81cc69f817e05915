"""A law firm's drafting line: template, clauses, compliance, risk, and a release that people approve."""
