"""Jobs: the queue of record, its claims, leases, fences and events."""
