"""Forget requests: accepted once, followed to their end."""
