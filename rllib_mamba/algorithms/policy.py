"""The trained team in use: acts on observations by agent, with torch and numpy only."""

from __future__ import annotations

import abc
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from rllib_mamba.algorithms.layout import AgentID, TeamLayout

WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILE = "policy.json"
FORMAT_VERSION = 1


class ActingNetworks(nn.Module, abc.ABC):
    """The networks that a team acts with.

    A team's state is a NamedTuple of tensors (..., N, ...), what it remembers between two steps; one of no tensors
    where it remembers nothing.
    """

    @abc.abstractmethod
    def initial_state(self, batch_shape: tuple[int, ...], num_agents: int) -> Any:
        """The state before an episode's first step."""

    @abc.abstractmethod
    def act(self, observation: dict[str, Tensor], state: Any, greedy: bool) -> tuple[Tensor, Any]:
        """One step of every agent.

        Args:
            observation: Parts of the team observation, each with a leading batch dimension B: `obs` (B, N, O), zeros
                where an agent does not act, `alive` and `ended` (B, N) and, where the environment has them,
                `action_mask` and `comm_mask`.
            state: The team's state, with the same batch dimension.
            greedy: The best action instead of a sample.

        Returns:
            Actions (B, N) int64 and the next state.
        """


class TeamPolicy(abc.ABC):
    """A trained team, without a cluster and without an environment.

    It keeps the recurrent state of one or several environments between steps:

        .. code-block:: python

            policy = MAMBAPolicy.from_checkpoint("checkpoint_000010")
            observations, infos = env.reset()
            policy.reset()
            while env.agents:
                actions = policy.act(observations, infos)
                observations, rewards, terminateds, truncateds, infos = env.step(actions)
                policy.end(terminateds)

    It also answers RLlib's `Policy` interface (`get_initial_state`, `compute_actions`, `get_weights`,
    `set_weights`) on team observations.

    Args:
        networks: What it acts with.
        layout: How observations by agent become the team's arrays.
        presets: The named presets it was trained with, for information.
    """

    #: The name of the algorithm that trains such teams.
    algorithm_name: ClassVar[str]

    def __init__(self, networks: ActingNetworks, layout: TeamLayout, presets: Sequence[str] = ()) -> None:
        self.networks = networks.eval()
        self.layout = layout
        self.presets = tuple(presets)
        self._num_environments: int | None = None
        self._state: Any = None
        self._ended: np.ndarray | None = None

    @abc.abstractmethod
    def _describe_networks(self) -> dict[str, Any]:
        """What `_networks_from` needs to make networks of the same shape, as JSON-able values."""

    @classmethod
    @abc.abstractmethod
    def _networks_from(cls, description: Mapping[str, Any]) -> ActingNetworks:
        """Networks as `_describe_networks` described them, with any weights."""

    # ------------------------------------------------------------------ where it comes from

    @classmethod
    def from_checkpoint(cls, path: str | Path, team: str | None = None) -> Self:
        """Loads a team from an algorithm's checkpoint directory; starts no cluster.

        Args:
            path: The directory that `Algorithm.save_to_path`, Tune or `rllib train` wrote.
            team: The team (module) to load; may be left out where only one was trained.

        Raises:
            FileNotFoundError: The directory or a part of it is missing.
            ValueError: It is damaged, of another algorithm, or has no such team.
        """
        from rllib_mamba.algorithms.checkpoints import team_from_checkpoint

        return cls(*team_from_checkpoint(Path(path), cls.algorithm_name, team))

    @classmethod
    def from_algorithm(cls, algorithm: Any, team: str | None = None) -> Self:
        """A copy of a running algorithm's team.

        Raises:
            ValueError: There is no such team.
        """
        from rllib_mamba.algorithms.checkpoints import team_from_algorithm

        return cls(*team_from_algorithm(algorithm, team))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Loads what `export` wrote; needs torch and numpy only, and runs no pickled code.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: A file is damaged, or of another format or algorithm.
        """
        from rllib_mamba.algorithms.tensors import read_tensors

        path = Path(path)
        for name in (DESCRIPTION_FILE, WEIGHTS_FILE):
            if not (path / name).is_file():
                raise FileNotFoundError(
                    f"{path / name} is missing: give the directory that {cls.__name__}.export wrote."
                )
        try:
            description = json.loads((path / DESCRIPTION_FILE).read_text())
            version, algorithm = description["format_version"], description["algorithm"]
            if version != FORMAT_VERSION:
                raise ValueError(f"it has format version {version}, this release reads {FORMAT_VERSION}")
            if algorithm != cls.algorithm_name:
                raise ValueError(f"it is a team of {algorithm}, not of {cls.algorithm_name}")
            networks = cls._networks_from(description)
            networks.load_state_dict(read_tensors(path / WEIGHTS_FILE))
            layout = TeamLayout.from_json(description["layout"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"The exported policy in {path} cannot be read: {error}.") from error
        return cls(networks, layout, description["presets"])

    def export(self, path: str | Path) -> None:
        """Writes weights (safetensors) and description (JSON: spaces, sizes, presets), without pickle.

        Args:
            path: A directory; made if need be.

        Raises:
            ValueError: Agent ids are neither strings nor integers.
        """
        from rllib_mamba.algorithms.tensors import write_tensors

        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        description = {
            "format_version": FORMAT_VERSION,
            "algorithm": self.algorithm_name,
            "presets": list(self.presets),
            **self._describe_networks(),
            "layout": self.layout.to_json(),
        }
        (path / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n")
        write_tensors(path / WEIGHTS_FILE, self.networks.state_dict())

    # ------------------------------------------------------------------ acting on observations by agent

    def reset(self, num_environments: int | None = None, environments: Iterable[int] | None = None) -> None:
        """Begins episodes: forgets the recurrent state.

        Args:
            num_environments: How many environments are stepped together from now on; 1 if never given.
            environments: Only these (indices) begin a new episode; all if left out.
        """
        size = len(self.layout.agents)
        if self._num_environments is None or num_environments is not None or environments is None:
            self._num_environments = num_environments or self.num_environments
            self._state = self.networks.initial_state((self._num_environments,), size)
            self._ended = np.zeros((self._num_environments, size), np.int8)
        if environments is not None:
            assert self._ended is not None
            fresh = self.networks.initial_state((), size)
            for environment in environments:
                for part, new in zip(self._state, fresh, strict=True):
                    part[environment] = new
                self._ended[environment] = 0

    @property
    def num_environments(self) -> int:
        """How many environments are stepped together."""
        return 1 if self._num_environments is None else self._num_environments

    def end(self, terminateds: Mapping[AgentID, bool], environment: int = 0) -> None:
        """Notes which agents have terminated, so that the others no longer reckon with them.

        Args:
            terminateds: As the environment's `step` gave them.
            environment: The environment they are of.
        """
        if self._ended is None:
            self.reset()
        assert self._ended is not None
        for row, layout in enumerate(self.layout.agents):
            if terminateds.get(layout.agent):
                self._ended[environment, row] = 1

    def act(
        self, observations: Mapping[AgentID, Any], infos: Mapping[Any, Any] | None = None, *, greedy: bool = True
    ) -> dict[AgentID, int]:
        """The actions of one environment's agents.

        Args:
            observations: {agent id: observation} of the agents that act; agents of other teams, and those that have
                ended, are left alone.
            infos: The environment's infos, where it puts masks.
            greedy: The best action, or a sample.

        Returns:
            {agent id: action} for every member of the team in `observations` that has not ended.

        Raises:
            ValueError: Observations or masks do not fit.
        """
        return self.act_in_all([observations], [infos or {}], greedy=greedy)[0]

    def act_in_all(
        self,
        observations: Sequence[Mapping[AgentID, Any]],
        infos: Sequence[Mapping[Any, Any]] | None = None,
        *,
        greedy: bool = True,
    ) -> list[dict[AgentID, int]]:
        """As `act`, for all environments at once, in their order.

        Raises:
            ValueError: Observations or masks do not fit, or there are not as many as `reset` was told.
        """
        infos = infos if infos is not None else [{} for _ in observations]
        if self._num_environments is None:
            self.reset(len(observations))
        assert self._ended is not None
        if len(observations) != self.num_environments:
            raise ValueError(
                f"Observations of {len(observations)} environments were given, but `reset` was told of "
                f"{self.num_environments}."
            )
        # An environment may show a last observation to an agent that has ended.
        acting = [self._without_ended(one, ended) for one, ended in zip(observations, self._ended, strict=True)]
        rows = [self.layout.rows(one, info) for one, info in zip(acting, infos, strict=True)]
        batch = {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}
        batch["ended"] = torch.from_numpy(self._ended.copy())
        batch["alive"] = torch.tensor([[layout.agent in one for layout in self.layout.agents] for one in acting])
        with torch.no_grad():
            actions, self._state = self.networks.act(batch, self._state, greedy)
        return [
            {
                layout.agent: int(action) % layout.num_actions + layout.first_action
                for layout, action in zip(self.layout.agents, team_actions, strict=True)
                if layout.agent in one
            }
            for one, team_actions in zip(acting, actions.tolist(), strict=True)
        ]

    def _without_ended(self, observations: Mapping[AgentID, Any], ended: np.ndarray) -> dict[AgentID, Any]:
        gone = {layout.agent for layout, over in zip(self.layout.agents, ended, strict=True) if over}
        return {agent: observation for agent, observation in observations.items() if agent not in gone}

    # ------------------------------------------------------------------ RLlib's Policy interface

    def get_initial_state(self) -> list[np.ndarray]:
        """The recurrent state before an episode's first step, without a batch dimension."""
        return [part.numpy() for part in self.networks.initial_state((), len(self.layout.agents))]

    def compute_actions(
        self,
        obs_batch: Mapping[str, np.ndarray],
        state_batches: Sequence[np.ndarray] | None = None,
        explore: bool = False,
        **kwargs: Any,
    ) -> tuple[np.ndarray, list[np.ndarray], dict[str, Any]]:
        """Actions for a batch of team observations.

        Args:
            obs_batch: The team observation's parts, each (B, ...).
            state_batches: What `get_initial_state` or the last call gave, each (B, ...).
            explore: A sample rather than the best action.
            kwargs: Further arguments of RLlib's interface; without effect.

        Returns:
            Actions (B, N), the next state, and an empty dictionary of extra outputs.
        """
        batch = {key: torch.as_tensor(value) for key, value in obs_batch.items()}
        state = self.networks.initial_state((len(batch["ended"]),), len(self.layout.agents))
        if state_batches:
            state = type(state)(*(torch.as_tensor(part) for part in state_batches))
        with torch.no_grad():
            actions, state = self.networks.act(batch, state, greedy=not explore)
        return actions.numpy(), [part.numpy() for part in state], {}

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights by name."""
        return {name: tensor.numpy().copy() for name, tensor in self.networks.state_dict().items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces the weights by those of `get_weights`.

        Raises:
            RuntimeError: Names or shapes differ.
        """
        self.networks.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
