"""Which recipe costs least: to train with the costs, to decide with them, or to average?"""
