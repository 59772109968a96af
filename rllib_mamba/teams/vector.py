"""Steps the environments of an env runner in two phases, so that those that can do so step together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.vector.sync_vector_multi_agent_env import SyncVectorMultiAgentEnv
from ray.rllib.env.vector.vector_multi_agent_env import VectorMultiAgentEnv

ALL = "__all__"


def in_two_phases(env: Any) -> bool:
    """Whether an environment has `step_async(action_dict)`, which hands in actions, and `step_wait()`, which gives what
    `step` would give."""
    return callable(getattr(env, "step_async", None)) and callable(getattr(env, "step_wait", None))


class TwoPhaseVectorEnv(SyncVectorMultiAgentEnv):
    """RLlib's vector of multi-agent environments, which hands all actions in before it waits for the first result.

    Environments that do not step in two phases are stepped one after the other, as in RLlib. An environment whose
    episode is over is reset by the next step. Observations are handed on as they are, not copied: every step must give
    new arrays, as `TeamEnv` does.

    Args:
        vector_env: the vector whose environments this one takes over; it must not be used any more.
    """

    def __init__(self, vector_env: VectorMultiAgentEnv) -> None:
        envs = vector_env.envs or []
        super().__init__([partial(_given, env) for env in envs], copy=False)
        self.spec = vector_env.spec
        # Otherwise it would close the environments when it is collected.
        vector_env.closed = True
        self._over = [True] * self.num_envs

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[list[dict[Any, Any]], list[dict[Any, Any]]]:
        """Begins an episode in every environment; of an integer seed, the next ones are for the next environments."""
        self._over = [False] * self.num_envs
        observations, infos = super().reset(seed=seed, options=options)
        return list(observations), list(infos)

    def step(
        self, actions: Sequence[Mapping[Any, Any]]
    ) -> tuple[list[dict], list[dict], list[dict], list[dict], list[dict]]:
        """One step of every environment, or the reset of one that is over: a list with one entry each of what they
        give."""
        # RLlib's own `gymnasium.make` puts a wrapper around them that knows nothing of phases.
        envs: list[MultiAgentEnv] = [env.unwrapped for env in self.envs]
        for env, action, over in zip(envs, actions, self._over, strict=True):
            if not over and in_two_phases(env):
                env.step_async(action)
        results = []
        for env, action, over in zip(envs, actions, self._over, strict=True):
            if over:
                results.append(_reset(env))
            else:
                results.append(env.step_wait() if in_two_phases(env) else env.step(action))
        observations, rewards, terminateds, truncateds, infos = (list(column) for column in zip(*results, strict=True))
        self._over = [
            bool(terminated[ALL] or truncated.get(ALL))
            for terminated, truncated in zip(terminateds, truncateds, strict=True)
        ]
        return observations, rewards, terminateds, truncateds, infos


def _given(env: MultiAgentEnv) -> MultiAgentEnv:
    return env


def _reset(env: MultiAgentEnv) -> tuple[dict, dict, dict, dict, dict]:
    observations, infos = env.reset()
    nobody = {**dict.fromkeys(env.possible_agents, False), ALL: False}
    return observations, dict.fromkeys(env.possible_agents, 0.0), nobody, dict(nobody), infos
