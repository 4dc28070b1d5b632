"""Registered models: networks, their write-once versions, and the aliases that point to them."""
