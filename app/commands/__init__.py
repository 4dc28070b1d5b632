"""Groups of the `unlearn` command: one file a noun."""
