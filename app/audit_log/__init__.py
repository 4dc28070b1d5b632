"""What happened, in an order nobody can change unnoticed."""
