"""Messages that must be sent because their transaction has committed."""
