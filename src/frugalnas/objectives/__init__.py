"""At what price: costs of a network that are known before training."""
