"""Train a network for good."""
