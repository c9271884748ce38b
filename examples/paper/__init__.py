"""The paper, reproduced: ``python -m examples.paper``."""
