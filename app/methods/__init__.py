"""What a caller may ask of an unlearning method: one file each, torch-free."""
