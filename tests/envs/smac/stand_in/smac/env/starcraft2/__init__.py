"""SMAC on StarCraft II."""
