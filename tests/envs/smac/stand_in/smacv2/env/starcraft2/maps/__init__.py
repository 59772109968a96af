"""The maps of SMACv2."""
