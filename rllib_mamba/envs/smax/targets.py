"""Whom units attacked last, told apart: as one-hots in place of jaxmarl's one number for each unit."""

from __future__ import annotations

from typing import Any

from rllib_mamba.envs.smax.runtime import load_jax


class TargetEncoder:
    """Observations of type `unit_list` in which the feature `last_targeted` of a unit is replaced by a one-hot.

    For an ally it stands for the m enemies in the order of their places in the observation, for an enemy for the n
    allies: first the observing unit itself, then the others in the order of their places. It comes after the unit's
    other features, and is zero where the unit attacked nobody, or is not seen.

    Args:
        game: jaxmarl's environment.
    """

    def __init__(self, game: Any) -> None:
        self._allies, self._enemies = int(game.num_allies), int(game.num_enemies)
        self._num_ally_actions, self._num_enemy_actions = int(game.num_ally_actions), int(game.num_enemy_actions)
        self._num_movement_actions = int(game.num_movement_actions)
        self._num_features = len(game.unit_features)
        self._feature = list(game.unit_features).index("last_targeted")
        units = self._allies - 1 + self._enemies
        one_hots = (self._allies - 1) * self._enemies + self._enemies * self._allies
        self.observation_size = int(game.obs_size) - units + one_hots
        """Numbers in an encoded observation."""

    def __call__(self, observations: Any) -> Any:
        """Encodes the observations (n, O) of all allies, a jax array, to (n, `observation_size`)."""
        jnp, allies, enemies = load_jax().numpy, self._allies, self._enemies
        num_listed = (allies - 1 + enemies) * self._num_features
        units = observations[:, :num_listed].reshape(allies, -1, self._num_features)
        targets = units[..., self._feature]
        of_allies = self._numbers(targets[:, : allies - 1], self._num_ally_actions)
        # Enemies count the allies from the last to the first.
        numbers = self._numbers(targets[:, allies - 1 :], self._num_enemy_actions)
        of_enemies = jnp.where(numbers < 0, -1, self._from_within(allies - 1 - numbers))
        others = jnp.delete(units, self._feature, axis=-1)
        parts = [
            self._with_one_hot(others[:, : allies - 1], of_allies, enemies),
            self._with_one_hot(others[:, allies - 1 :], of_enemies, allies),
            observations[:, num_listed:],
        ]
        return jnp.concatenate(parts, -1)

    def _numbers(self, targets: Any, num_actions: int) -> Any:
        """Number of the unit attacked, below 0 where none was, from attack actions as shares of the last one."""
        jnp = load_jax().numpy
        return jnp.round(targets * (num_actions - 1)).astype(int) - self._num_movement_actions

    def _from_within(self, ally: Any) -> Any:
        """Allies (n, ...) as the observing unit of each row counts them: itself first."""
        jnp = load_jax().numpy
        observer = jnp.arange(len(ally))[:, None]
        return jnp.where(ally == observer, 0, jnp.where(ally < observer, ally + 1, ally))

    def _with_one_hot(self, units: Any, index: Any, size: int) -> Any:
        jax = load_jax()
        one_hot = jax.nn.one_hot(index, size, dtype=units.dtype)
        return jax.numpy.concatenate([units, one_hot], -1).reshape(len(units), -1)
