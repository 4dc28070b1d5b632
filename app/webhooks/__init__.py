"""Webhooks: callers hear of what happens, instead of polling for it (Standard Webhooks)."""
