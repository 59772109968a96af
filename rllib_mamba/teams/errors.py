"""What an environment can do wrong while it runs."""


class EnvironmentDataError(ValueError):
    """An environment gave something that cannot be used (the message names agent, step and value), or cannot go on."""
