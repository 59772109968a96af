"""The two programs that the learner's benchmark times: ours, and the original one from a checkout."""

import sys
import tempfile
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import gymnasium as gym
import numpy as np
from learner_sizes import Batch, Sizes, reference_samples

Seconds = dict[str, tuple[float, float]]
"""Wall and CPU seconds of each phase."""


class Program(Protocol):
    """Something that learns from batches."""

    def update(self, phase: str, batch: Batch) -> Seconds:
        """One update of `world_model` or `agent`; seconds in total ("total") and by parts."""
        ...


class Clock:
    """Wall and CPU seconds spent in named parts."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Adds what the block takes to a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        before = self.seconds[name]
        self.seconds[name] = (before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose calls count for a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.measured(name):
                return function(*args, **kwargs)

        return call


@contextmanager
def timed_functions(clock: Clock, parts: Mapping[str, tuple[Any, str]]) -> Iterator[None]:
    """While the block runs, the calls of `object.name` count for the part of `parts` they stand under."""
    with ExitStack() as stack:
        for part, (owner, name) in parts.items():
            stack.enter_context(mock.patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield


class OurProgram:
    """An RLlib learner without a cluster, with the preset `paper`, which does the mathematics of the original."""

    def __init__(self, sizes: Sizes, options: Mapping[str, Any]) -> None:
        from rllib_mamba import MAMBAConfig

        config = MAMBAConfig().environment(_environment(sizes))
        config.preset("smac" if sizes.action_masks else "flatland").preset("paper")
        config.training(
            hidden_size=sizes.hidden,
            deterministic_size=sizes.deterministic,
            num_categoricals=sizes.categoricals,
            num_classes=sizes.classes,
            communication_layers=sizes.communication_layers,
            horizon=sizes.horizon,
            sequence_length=sizes.sequence,
            batch_size=sizes.batch,
        )
        # The published values of these two hold in the table's sizes; smaller ones, for a quick look, contradict them.
        config.num_epochs, config.minibatch_size = sizes.epochs, sizes.minibatch
        config.training(**options)
        config.presets = [name for name in config.presets if name != "paper"]
        config.validate()
        self._learner = config.build_learner(env=config.env(config.env_config))
        self._learner.build()

    def update(self, phase: str, batch: Batch) -> Seconds:
        """See `Program`."""
        from ray.rllib.core.learner.training_data import TrainingData
        from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

        from rllib_mamba.algorithms.mamba import learner
        from rllib_mamba.imagination import update

        clock = Clock()
        parts = {
            "losses": (learner, "world_model_losses"),
            "step": (learner, "gradient_step"),
            "start states": (learner, "infer_start_states"),
            "imagination": (learner, "imagine"),
            "returns": (update, "prepare"),
            "PPO actor": (update, "_actor_step"),
            "PPO critic": (update, "_critic_step"),
        }
        (team,) = self._learner.module.keys()
        data = TrainingData(batch=MultiAgentBatch({team: SampleBatch(batch)}, env_steps=batch["last"].size))
        with timed_functions(clock, parts), clock.measured("total"):
            self._learner.update(training_data=data, timesteps={"num_env_steps_sampled_lifetime": 0}, phase=phase)
        return dict(clock.seconds)


class ReferenceProgram:
    """The published program's learner, imported from a checkout of jbr-ai-labs/mamba."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        _make_importable(folder)
        from agent.learners.DreamerLearner import DreamerLearner  # type: ignore[import-not-found]
        from configs.dreamer.DreamerLearnerConfig import DreamerLearnerConfig  # type: ignore[import-not-found]
        from environments import Env  # type: ignore[import-not-found]

        config = DreamerLearnerConfig()
        config.ENV_TYPE = Env.STARCRAFT if sizes.action_masks else Env.FLATLAND
        config.IN_DIM, config.ACTION_SIZE = sizes.observation, sizes.actions
        for name in ("HIDDEN", "MODEL_HIDDEN", "EMBED", "PCONT_HIDDEN", "REWARD_HIDDEN", "ACTION_HIDDEN"):
            setattr(config, name, sizes.hidden)
        config.N_CATEGORICALS, config.N_CLASSES, config.STOCHASTIC = sizes.categoricals, sizes.classes, sizes.stochastic
        config.DETERMINISTIC, config.FEAT = sizes.deterministic, sizes.stochastic + sizes.deterministic
        config.SEQ_LENGTH, config.HORIZON, config.PPO_EPOCHS = sizes.sequence, sizes.horizon, sizes.epochs
        config.CAPACITY, config.LOG_FOLDER = 1, tempfile.mkdtemp()
        self._sizes = sizes
        self._learner = DreamerLearner(config)

    def update(self, phase: str, batch: Batch) -> Seconds:
        """See `Program`."""
        from agent.learners import DreamerLearner as learner  # noqa: N813
        from agent.optim import loss

        samples = reference_samples(batch, self._sizes)
        update = {"world_model": self._learner.train_model, "agent": self._learner.train_agent}[phase]
        clock = Clock()
        parts = {
            "losses": (learner, "model_loss"),
            "start states": (loss, "rollout_representation"),
            "imagination": (loss, "rollout_policy"),
            "returns": (loss, "critic_rollout"),
        }
        with timed_functions(clock, parts), clock.measured("total"):
            update(samples)
        return dict(clock.seconds)


def _environment(sizes: Sizes) -> type:
    from ray.rllib.env.multi_agent_env import MultiAgentEnv

    class Spaces(MultiAgentEnv):
        """Agents with the benchmark's spaces; it is never stepped."""

        def __init__(self, config: Any = None) -> None:
            super().__init__()
            self.possible_agents = self.agents = [f"agent_{index}" for index in range(sizes.agents)]
            space: gym.Space = gym.spaces.Box(-np.inf, np.inf, (sizes.observation,), np.float32)
            if sizes.action_masks:
                space = gym.spaces.Dict({"observation": space, "action_mask": gym.spaces.MultiBinary(sizes.actions)})
            self.observation_spaces = dict.fromkeys(self.agents, space)
            self.action_spaces = {agent: gym.spaces.Discrete(sizes.actions) for agent in self.agents}

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            return {agent: space.sample() for agent, space in self.observation_spaces.items()}, {}

    return Spaces


def _make_importable(folder: Path) -> None:
    """The checkout's packages, without its logging service and without importing its environments."""
    if not (folder / "agent" / "learners" / "DreamerLearner.py").is_file():
        raise SystemExit(f"{folder} holds no agent/learners/DreamerLearner.py: give a checkout of jbr-ai-labs/mamba.")
    if str(folder) in sys.path:
        return
    sys.path.insert(0, str(folder))
    logging = types.ModuleType("wandb")
    logging.init = logging.log = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    configs = types.ModuleType("configs")
    configs.__path__ = [str(folder / "configs")]
    sys.modules |= {"wandb": logging, "configs": configs}
