"""MAMBA, multi-agent model-based reinforcement learning, as a plugin for Ray RLlib."""
