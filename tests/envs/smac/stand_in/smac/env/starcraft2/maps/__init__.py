"""The maps of SMAC."""
