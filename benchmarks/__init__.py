"""One script per claim; what it measured is committed beside the environment it ran in."""
