"""One training run: what it is, how it is made, and its results on disk."""
