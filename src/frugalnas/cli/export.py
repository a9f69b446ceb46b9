"""Export a trained model to the runtimes of devices."""
