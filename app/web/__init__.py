"""What every route stands on: transactions, problems, pages, ETags, limits, health."""
