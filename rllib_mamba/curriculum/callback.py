"""RLlib's way to a curriculum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS

from rllib_mamba.curriculum.curriculum import CURRICULUM_KEY, EPISODE_RETURN, Curriculum
from rllib_mamba.curriculum.sharing import SharedCurriculum, sampler_of
from rllib_mamba.teams.metrics import episode_metrics


class CurriculumCallback(RLlibCallback):
    """Gives every training episode a task of a curriculum.

    Works with every algorithm of RLlib's new API stack and every `MultiAgentEnv` that has `set_task(task)`. Every env
    runner draws the task of an episode just before it begins, by the progress that all env runners had made by the end
    of the last iteration, and by its own episodes since.

    Results get `env_runners/curriculum/<task>/` with `episodes` (finished so far), `score` (an average over the last of
    them) and `probability` (in the next iteration). Progress is saved with the algorithm's state. Evaluation plays the
    environment as `env_config` has it.

    Args:
        description: See `Curriculum.from_description`. None: it is the option `curriculum` of the algorithm's
            configuration, or `env_config["curriculum"]`, and without either there is no curriculum. Other than by None
            it is given as `config.callbacks(functools.partial(CurriculumCallback, description))`.

    Raises:
        ValueError: when the algorithm is built: the description is wrong, or the environment does not take the tasks;
            at the end of an iteration: episodes do not have the metric that is their score.
    """

    def __init__(self, description: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._description = description
        self._shared: SharedCurriculum | None = None

    # ------------------------------------------------------------------ on the algorithm

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Reads the curriculum and shares it with the training env runners."""
        description = self._description
        if description is None:
            description = _configured(algorithm.config)
        if description is not None:
            self._shared = SharedCurriculum(algorithm, Curriculum.from_description(description))

    def on_train_result(self, *, result: dict[str, Any], **kwargs: Any) -> None:
        """Counts the iteration's episodes and reports them."""
        if self._shared is not None:
            self._shared.end_iteration()
            result.setdefault(ENV_RUNNER_RESULTS, {})[CURRICULUM_KEY] = self._shared.metrics()

    def on_env_runners_recreated(
        self, *, env_runner_indices: Sequence[int], is_evaluation: bool, **kwargs: Any
    ) -> None:
        """Shares the curriculum with env runners that were started again."""
        if self._shared is not None and not is_evaluation:
            self._shared.begin(list(env_runner_indices))

    def on_evaluate_start(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Evaluation without env runners of its own borrows those of training."""
        if self._shared is not None and algorithm.eval_env_runner_group is None:
            self._shared.pause(True)

    def on_evaluate_end(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Training has its env runners back."""
        if self._shared is not None and algorithm.eval_env_runner_group is None:
            self._shared.pause(False)

    # ------------------------------------------------------------------ on every env runner

    def on_episode_created(self, *, env_runner: Any, env: Any, env_index: int, **kwargs: Any) -> None:
        """Sets the task; the sub-environment is reset afterwards."""
        sampler = sampler_of(env_runner)
        if sampler is not None:
            sampler.choose_task(env.envs[env_index], env_index)

    def on_episode_start(self, *, env_runner: Any, env_index: int, **kwargs: Any) -> None:
        """Notes that the episode has begun with its task."""
        sampler = sampler_of(env_runner)
        if sampler is not None:
            sampler.begin_episode(env_index)

    def on_episode_end(
        self,
        *,
        episode: Any,
        prev_episode_chunks: Sequence[Any],
        env_runner: Any,
        env: Any,
        env_index: int,
        **kwargs: Any,
    ) -> None:
        """Counts the episode."""
        sampler = sampler_of(env_runner)
        if sampler is not None:
            episode_return = sum(chunk.get_return() for chunk in (*prev_episode_chunks, episode))
            sampler.end_episode(env_index, {**episode_metrics(env, env_index), EPISODE_RETURN: episode_return})


def _configured(config: Any) -> Mapping[str, Any] | None:
    option = getattr(config, CURRICULUM_KEY, None)
    return option if option is not None else config.env_config.get(CURRICULUM_KEY)
