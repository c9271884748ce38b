"""Measurements of the library: how long the losses take, and what they compile to."""
