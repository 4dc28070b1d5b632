"""How weights are made to forget: one method a file."""
