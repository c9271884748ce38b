"""Credit and telemarketing data with a cost for each customer: ``python -m examples.credit``."""
