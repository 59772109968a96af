"""The parts of PySC2 that StarCraft2Env uses."""
