"""Games that RLlib's module plays, with the policy looking over its shoulder."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from signals import SIZES, Signals

from rllib_mamba import MAMBAPolicy
from rllib_mamba.teams.team_env import TeamEnv

LENGTHS = (7, 10, 10)
STEPS = 24

#: Called after a step with, of every environment: what it showed, its infos, the actions taken, and who terminated.
Watch = Callable[[list[Any], list[Any], list[dict[str, int]], list[dict[str, bool]]], None]


def play(module: RLModule, policy: MAMBAPolicy, greedy: bool, seed: int = 0, watch: Watch | None = None) -> int:
    """Steps three environments together for several episodes; every action of the policy must be the module's.

    The module sees what `TeamEnv` makes of the observations, the policy what the environment gives. Both begin every
    step with the same state of torch's generator. Returns the number of actions compared.
    """
    envs = [TeamEnv(Signals({"length": length}), {"team": list(SIZES)}) for length in LENGTHS]
    raw = [env.env for env in envs]
    observed = [env.reset(seed=seed + index)[0]["team"] for index, env in enumerate(envs)]
    policy.reset(len(envs))
    state = {name: np.stack([part] * len(envs)) for name, part in module.get_initial_state().items()}
    compared = 0
    for step in range(STEPS):
        torch.manual_seed(seed + step)
        team_actions, state = module_step(module, observed, state, greedy)
        torch.manual_seed(seed + step)
        seen, infos = [env.seen for env in raw], [env.infos for env in raw]
        actions = policy.act_in_all(seen, infos, greedy=greedy)
        terminated = []
        for index, env in enumerate(envs):
            observations, _, terminateds, truncateds, _ = env.step({"team": team_actions[index]})
            observed[index] = observations["team"]
            assert actions[index] == raw[index].received, (step, index)
            compared += len(actions[index])
            terminated.append(raw[index].terminateds)
            policy.end(raw[index].terminateds, index)
            if terminateds["__all__"] or truncateds["__all__"]:
                observed[index] = env.reset()[0]["team"]
                policy.reset(environments=[index])
                for name, part in module.get_initial_state().items():
                    state[name][index] = part
        if watch is not None:
            watch(seen, infos, actions, terminated)
    return compared


def module_step(
    module: RLModule, observed: list[Mapping[str, np.ndarray]], state: Mapping[str, np.ndarray], greedy: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Actions (B, N) and next state of RLlib's module for team observations."""
    batch = {
        # The module takes (B, T, ...), here with T = 1.
        Columns.OBS: {key: torch.from_numpy(np.stack([one[key] for one in observed]))[:, None] for key in observed[0]},
        Columns.STATE_IN: {name: torch.from_numpy(part) for name, part in state.items()},
    }
    output = module.forward_inference(batch) if greedy else module.forward_exploration(batch)
    return output[Columns.ACTIONS][:, 0].numpy(), {
        name: part.numpy() for name, part in output[Columns.STATE_OUT].items()
    }
