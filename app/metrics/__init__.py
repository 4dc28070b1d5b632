"""What a caller may ask of an audit metric: one file each, torch-free."""
