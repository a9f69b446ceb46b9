"""The whole way from images to a model in one command."""
