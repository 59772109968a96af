"""Algorithms for RLlib on teams of agents."""
