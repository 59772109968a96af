"""SMACv2 on StarCraft II."""
