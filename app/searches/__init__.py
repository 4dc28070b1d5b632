"""Searches of hyper-parameters: a forget request, rehearsed again and again on validation data."""
