"""Measurements of the library: the time of the losses, and their compiled programs."""
