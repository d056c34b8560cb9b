"""lrpilot sets the learning rate while a network trains."""
