"""What a caller may register: parameters of one network family a file, torch-free."""
