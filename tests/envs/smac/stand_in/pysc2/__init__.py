"""Stands in for PySC2: no StarCraft II, but real processes that can be killed."""
