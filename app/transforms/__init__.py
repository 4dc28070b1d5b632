"""What a caller may ask of a transform T: one file each, torch-free, declarative, never code."""
