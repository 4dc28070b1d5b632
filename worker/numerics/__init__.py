"""The engine's own mathematics: torch and the standard library, nothing of the service."""
