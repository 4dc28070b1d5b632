"""How a number of the audit is measured: one metric a file."""
