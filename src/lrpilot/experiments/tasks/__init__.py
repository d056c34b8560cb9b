"""Data sets and networks by name, as tensors in memory."""
