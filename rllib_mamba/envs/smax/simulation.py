"""The game as functions of flat arrays, for any number of battles at once.

From the outside a battle is a row of numbers. Rows of battles that belong to different environments can be put together
and taken apart at no cost.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from rllib_mamba.envs.smax.runtime import check_scenario, load_jax, load_smax
from rllib_mamba.envs.smax.settings import SMAXSettings
from rllib_mamba.envs.smax.targets import TargetEncoder

_NOT_FOR_JAXMARL = ("scenario", "max_steps", "seed", "one_hot_targets")


class Battle(NamedTuple):
    """What a row of W numbers stands for."""

    game: Any
    """jaxmarl's state."""
    limit: Any
    """Steps after which the battle is cut."""
    key: Any
    """(2,) uint32: decides all that is still to be drawn, in the following battles as well."""


class Moves(NamedTuple):
    """What a step of B battles gives: W numbers of a battle, V of a view."""

    battles: Any
    """(B, W) uint32: the battles after the step; those that ended have begun anew."""
    views: Any
    """(B, V) float32: the `View` after the step, of battles that ended of their end."""
    first_views: Any
    """(B, V) float32: the `View` of the beginning of the next battle where one ended; else zeros."""


class View(NamedTuple):
    """What is seen of a battle with n allies and m enemies, all as float32; its parts in this order are a row (V,)."""

    observations: Any
    """(n, O)."""
    action_masks: Any
    """(n, A), 1 where an action is legal."""
    state: Any
    """(S,)."""
    positions: Any
    """(n + m, 2), also of the dead."""
    alive: Any
    """(n + m,), 0 or 1."""
    attacks: Any
    """(n + m,): the attack actions just carried out, or 0."""
    reward: Any
    """(), of every ally."""
    steps: Any
    """(), since the battle began."""
    terminated: Any
    """(), 1 when one side is dead."""
    truncated: Any
    """(), 1 when the time is over and neither side is dead."""


class Simulation:
    """One scenario, compiled for each number of battles it is asked for.

    Raises:
        ImportError: jaxmarl is not installed.
        ValueError: it does not have the scenario.
    """

    def __init__(self, settings: SMAXSettings) -> None:
        jax = load_jax()
        smax = load_smax()
        check_scenario(settings.scenario)
        options = {
            field.name: getattr(settings, field.name)
            for field in fields(settings)
            if field.name not in _NOT_FOR_JAXMARL
        }
        self._jax = jax
        self.game = smax.HeuristicEnemySMAX(scenario=smax.map_name_to_scenario(settings.scenario), **options)
        self.num_allies = int(self.game.num_allies)
        self.num_enemies = int(self.game.num_enemies)
        self.num_actions = int(self.game.num_ally_actions)
        self.num_movement_actions = int(self.game.num_movement_actions)
        self._encode_targets: TargetEncoder | None = None
        self.observation_size = int(self.game.obs_size)
        if settings.one_hot_targets:
            self._encode_targets = TargetEncoder(self.game)
            self.observation_size = self._encode_targets.observation_size
        key, limit = np.zeros(2, np.uint32), np.int32(0)
        battle, view = jax.eval_shape(self._begin, key, limit)
        self._leaves, self._tree = jax.tree.flatten(battle)
        self._view_shapes = [tuple(part.shape) for part in view]
        ends = np.cumsum([math.prod(shape) for shape in self._view_shapes]).tolist()
        self._view_places = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self.view_size: int = ends[-1]
        self.begin = jax.jit(self._begin_row)
        self.step = jax.jit(self._step_rows)

    def read_views(self, rows: np.ndarray) -> View:
        """The parts of views (B, V), with the leading dimension B each; they share the memory of the rows."""
        return View(
            *(
                rows[:, place].reshape(len(rows), *shape)
                for place, shape in zip(self._view_places, self._view_shapes, strict=True)
            )
        )

    def _begin_row(self, key: Any, limit: Any) -> tuple[Any, Any]:
        battle, view = self._begin(key, limit)
        return _pack(battle), _flat(view)

    def _step_rows(self, battles: Any, actions: Any) -> Moves:
        jax, jnp = self._jax, self._jax.numpy
        fought, views = jax.vmap(self._advance)(jax.vmap(self._unpack)(battles), actions)
        moved = jax.vmap(_pack)(fought)
        ended = views.terminated + views.truncated > 0

        def begin_ended() -> tuple[Any, Any]:
            begun, first_views = jax.vmap(self._begin_row)(fought.key, fought.limit)
            return jnp.where(ended[:, None], begun, moved), jnp.where(ended[:, None], first_views, 0.0)

        def go_on() -> tuple[Any, Any]:
            return moved, jnp.zeros((len(battles), self.view_size), jnp.float32)

        # A condition on the whole batch is a branch, one on each battle would compute both sides.
        moved, first_views = jax.lax.cond(ended.any(), begin_ended, go_on)
        return Moves(moved, jax.vmap(_flat)(views), first_views)

    def _begin(self, key: Any, limit: Any) -> tuple[Battle, View]:
        key, reset_key = self._jax.random.split(key)
        observations, game = self.game.reset(reset_key)
        battle = Battle(game, limit, key)
        return battle, self._view(battle, observations, 0.0)

    def _advance(self, battle: Battle, actions: Any) -> tuple[Battle, View]:
        key, step_key = self._jax.random.split(battle.key)
        by_name = {name: actions[index] for index, name in enumerate(self.game.agents)}
        observations, game, rewards, _, _ = self.game.step_env(step_key, battle.game, by_name)
        battle = Battle(game, battle.limit, key)
        return battle, self._view(battle, observations, rewards[self.game.agents[0]])

    def _view(self, battle: Battle, observations: dict[str, Any], reward: Any) -> View:
        jnp = self._jax.numpy
        # Around the game proper is the memory of the enemy's heuristic.
        game = battle.game.state
        masks = self.game.get_avail_actions(battle.game)
        over = ~game.unit_alive[: self.num_allies].any() | ~game.unit_alive[self.num_allies :].any()
        seen = jnp.stack([observations[name] for name in self.game.agents])
        view = View(
            observations=seen if self._encode_targets is None else self._encode_targets(seen),
            action_masks=jnp.stack([masks[name] for name in self.game.agents]),
            state=observations["world_state"],
            positions=game.unit_positions,
            alive=game.unit_alive,
            attacks=game.prev_attack_actions,
            reward=jnp.asarray(reward),
            steps=game.step,
            terminated=over,
            # Not jaxmarl's own limit, which lets one more step pass and is not told apart from an end.
            truncated=~over & (game.step >= battle.limit),
        )
        return View(*(part.astype(jnp.float32) for part in view))

    def _unpack(self, row: Any) -> Battle:
        jax = self._jax
        leaves = []
        start = 0
        for leaf in self._leaves:
            size = math.prod(leaf.shape)
            part = row[start : start + size].reshape(leaf.shape)
            start += size
            leaves.append(
                jax.lax.bitcast_convert_type(part, leaf.dtype) if _fills_a_number(leaf) else part.astype(leaf.dtype)
            )
        return jax.tree.unflatten(self._tree, leaves)


def _pack(battle: Battle) -> Any:
    jax = load_jax()
    parts = []
    for leaf in jax.tree.leaves(battle):
        wide = leaf if _fills_a_number(leaf) else leaf.astype(np.uint32)
        parts.append(jax.lax.bitcast_convert_type(wide, np.uint32).reshape(-1))
    return jax.numpy.concatenate(parts)


def _flat(view: View) -> Any:
    return load_jax().numpy.concatenate([part.reshape(-1) for part in view])


def _fills_a_number(leaf: Any) -> bool:
    return leaf.dtype.itemsize == np.dtype(np.uint32).itemsize
