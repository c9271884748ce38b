"""Keras, one network after the other, against all networks at once."""
