"""Runnable examples; ``python -m examples.mnist_cheques`` is the one to start with."""
