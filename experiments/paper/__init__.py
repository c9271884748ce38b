"""The paper, reproduced: ``python -m experiments.paper``."""
