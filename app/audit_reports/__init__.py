"""Audit reports: assembled from measured facts, judged, signed, read."""
