"""Environments, each a plain RLlib `MultiAgentEnv`."""
