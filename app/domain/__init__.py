"""Rules without a database: life cycles, verdicts, digests."""
