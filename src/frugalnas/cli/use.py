"""Use a trained model: evaluate it, and predict with it."""
