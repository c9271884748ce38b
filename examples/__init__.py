"""Examples to copy, one file each, to be read in five minutes: ``python -m examples.NAME``."""
