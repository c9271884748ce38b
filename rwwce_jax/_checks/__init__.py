"""What all functions do with their arguments, before and after the arithmetic."""
