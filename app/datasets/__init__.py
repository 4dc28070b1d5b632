"""Registered data sets: Parquet manifests, validated in the background."""
