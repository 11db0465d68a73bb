"""The page of all figures, and its pictures."""
