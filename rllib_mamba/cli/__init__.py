"""The `rllib` command: train, evaluate and run tuned examples of every RLlib algorithm from a terminal."""
