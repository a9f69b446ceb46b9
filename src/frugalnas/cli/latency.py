"""Measure how fast this device runs networks."""
