"""What PySC2 raises when the game does not answer."""


class ConnectionError(Exception):
    """The game is gone, or silent."""


class ProtocolError(Exception):
    """The game answered with an error, or was asked for something that it cannot do now."""
