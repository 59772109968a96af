"""Sizes, batches and operations of the learner's benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sizes:
    """What an update is measured at; 32 categoricals of 32 classes, PPO minibatches of 2000 rows."""

    hidden: int = 256
    deterministic: int = 256
    agents: int = 5
    observation: int = 205
    actions: int = 3
    action_masks: bool = False
    sequence: int = 50
    batch: int = 40
    horizon: int = 15
    epochs: int = 5
    minibatch: int = 2000
    categoricals: int = 32
    classes: int = 32
    communication_layers: int = 3

    @property
    def stochastic(self) -> int:
        """Size of the latent sample."""
        return self.categoricals * self.classes

    @property
    def starts(self) -> int:
        """States that imagination starts from."""
        return (self.sequence - 2) * self.batch


SIZES: Mapping[str, Sizes] = {
    "a": Sizes(),
    "b": Sizes(agents=3, observation=30, actions=9, action_masks=True, sequence=20),
    "c": Sizes(hidden=400, deterministic=600, agents=10),
    "quick": Sizes(
        agents=3,
        observation=30,
        actions=9,
        action_masks=True,
        sequence=12,
        batch=16,
        horizon=8,
        minibatch=600,
        epochs=2,
    ),
}


def random_batch(sizes: Sizes, seed: int) -> Batch:
    """Replayed windows of random numbers, batch first; an episode ends in every second window."""
    generator = np.random.default_rng(seed)
    steps = (sizes.batch, sizes.sequence)
    members = (*steps, sizes.agents)
    batch: Batch = {
        "obs": generator.standard_normal((*members, sizes.observation), np.float32),
        "action": generator.integers(sizes.actions, size=members),
        "reward": generator.standard_normal(members, np.float32),
        "terminated": np.zeros(members, bool),
        "alive": np.ones(members, bool),
        "last": np.zeros(steps, bool),
        "truncated": np.zeros(steps, bool),
    }
    middle = sizes.sequence // 2
    # The step that ends an episode, and the two absorbing rows after it.
    batch["terminated"][::2, middle : middle + 3] = True
    batch["alive"][::2, middle + 1 : middle + 3] = False
    batch["obs"][::2, middle + 1 : middle + 3] = 0
    batch["reward"][::2, middle + 1 : middle + 3] = 0
    batch["last"][::2, middle + 2] = True
    if sizes.action_masks:
        mask = generator.random((*members, sizes.actions)) < 0.7
        mask[..., 0] = True
        batch["action_mask"] = mask
    return batch


def needed_operations(sizes: Sizes) -> dict[str, float]:
    """Floating-point operations that each phase of an update cannot do without, by formula.

    Counted are matrix products (two operations a weight and row) and the sums of weight rows that take the place of
    products with one-hot vectors; a product is counted again for the gradient of its weight, and once more for that of
    its input where that is wanted. Attention between the agents is counted; elementwise functions are not.
    """
    hidden, deterministic, stochastic = sizes.hidden, sizes.deterministic, sizes.stochastic
    gather = sizes.categoricals * hidden
    attention = 2 * 6 * hidden**2 + 4 * sizes.agents * hidden
    recurrence = 2 * 3 * deterministic * (hidden + deterministic)
    prior = 2 * (deterministic * hidden + hidden * stochastic)
    posterior = 2 * ((deterministic + hidden) * hidden + hidden * stochastic)
    encoder = 2 * (sizes.observation * hidden + 3 * hidden**2)
    transition = gather + sizes.communication_layers * attention + recurrence

    def head(outputs: int) -> int:
        return 2 * (hidden**2 + hidden * outputs)

    first_layer = 2 * deterministic * hidden
    masks = sizes.actions if sizes.action_masks else 0
    heads = 2 + bool(masks)
    decoder = 2 * (2 * hidden**2 + hidden * sizes.observation)
    information = 2 * (2 * hidden**2 + hidden * sizes.actions)
    predictions = heads * head(1) + decoder + information
    # Gradients flow into the latent sample: the gathered layers take a full product on the way back.
    forward = encoder + transition + posterior + prior + (1 + heads) * (gather + first_layer) + predictions
    gathered_layers = 2 + heads
    backward = 2 * (forward - gathered_layers * gather) - 2 * sizes.observation * hidden
    backward += gathered_layers * (gather + 2 * stochastic * hidden)
    world_model = (sizes.sequence - 1) * sizes.batch * sizes.agents * (forward + backward)

    rows = sizes.starts * sizes.agents
    steps = sizes.horizon - 1
    policy = gather + first_layer + head(sizes.actions)
    imagined = policy + transition + prior + 2 * (gather + first_layer + head(1))
    imagined += gather + first_layer + head(masks) if masks else 0
    value = gather + first_layer + attention + head(1)
    learned = 3 * (head(sizes.actions) + attention + head(1)) + 4 * (gather + first_layer)
    return {
        "world model": world_model,
        "start states": rows * (encoder + transition + posterior),
        "imagination": rows * steps * imagined,
        "returns": rows * (steps + 1) * value,
        "PPO epochs": sizes.epochs * rows * steps * learned,
    }


def reference_samples(batch: Batch, sizes: Sizes) -> dict[str, Any]:
    """The batch as the original's replay gives it: time first, observations beside the action before them."""
    import torch

    def steps(name: str) -> Any:
        return torch.as_tensor(batch[name]).transpose(0, 1)

    def single(values: Any) -> Any:
        return values.float().unsqueeze(-1)

    last = steps("last").unsqueeze(-1).expand(-1, -1, sizes.agents)
    actions = torch.nn.functional.one_hot(steps("action"), sizes.actions).float()
    return {
        "observation": steps("obs")[1:].contiguous(),
        "reward": single(steps("reward"))[:-1].contiguous(),
        "action": actions[:-1].contiguous(),
        "done": single(steps("terminated"))[:-1].contiguous(),
        "fake": single(~steps("alive"))[1:].contiguous(),
        "last": single(last)[1:].contiguous(),
        "av_action": steps("action_mask")[1:].float().contiguous() if sizes.action_masks else None,
    }
