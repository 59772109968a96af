"""What a world model believes: its open-loop predictions beside what really happened, and who listens to whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rllib_mamba.reports.errors import ReportError
from rllib_mamba.reports.statistics import CONFIDENCE
from rllib_mamba.world_model import LatentState, ModeSampler, WorldModel, hearing
from rllib_mamba.world_model.attention import attention_in_transition

OPEN_LOOP, POSTERIOR, STAYS = "predicted", "posterior", "stays"
OBSERVATION, REWARD, CONTINUATION, LEGAL = "observation", "reward", "continuation", "legal actions"
WAYS = {
    OPEN_LOOP: "predicted without looking",
    POSTERIOR: "with every observation seen",
    STAYS: "if nothing changed",
}
RESAMPLES = 2000


@dataclass(frozen=True)
class RealEpisode:
    """One episode of a team as it happened, T steps.

    Shapes: `observation` (T + 1, N, O) float32, zeros where an agent does not act; `alive` and `ended` (T + 1, N)
    bool; `action` (T, N) int64; `reward` (T, N) float32 after each action; `action_mask` (T + 1, N, A) and
    `comm_mask` (T + 1, N, N) bool where the environment has them.
    """

    seed: int
    observation: np.ndarray
    alive: np.ndarray
    ended: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    action_mask: np.ndarray | None = None
    comm_mask: np.ndarray | None = None

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.action)


@dataclass(frozen=True)
class Beliefs:
    """What the model makes of rows of an episode, the last axes as in `RealEpisode`.

    `observation` (K, N, O) and `legal` (K, N, A) or None are of the rows themselves, `reward` and `continuation` (K, N)
    of the steps that lead into them; `continuation` and `legal` are probabilities.
    """

    observation: np.ndarray
    reward: np.ndarray
    continuation: np.ndarray
    legal: np.ndarray | None


@dataclass(frozen=True)
class Dream:
    """Predictions from row `start` of an episode on, for the rows start + 1, ..., without looking."""

    episode: int
    start: int
    predicted: Beliefs

    @property
    def rows(self) -> slice:
        """The rows of the episode that are predicted."""
        return slice(self.start + 1, self.start + 1 + len(self.predicted.reward))


@dataclass(frozen=True)
class ErrorCurve:
    """Mean errors at horizons 1, 2, ... (H,), with bootstrap bounds over episodes where there are several."""

    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


@dataclass(frozen=True)
class DreamReport:
    """All about one team.

    `posteriors` are by episode, of its rows 1 to T. `errors` maps a quantity and a way of predicting it to its error by
    horizon, `counts` (H,) is the number of starts that reach it. `attention` (layers, N, N) is averaged over heads and
    the steps at which the listener acted; NaN for agents that never did.
    """

    episodes: tuple[RealEpisode, ...]
    posteriors: tuple[Beliefs, ...]
    dreams: tuple[Dream, ...]
    errors: dict[str, dict[str, ErrorCurve]]
    counts: np.ndarray
    attention: np.ndarray

    def eventful(self, count: int) -> list[Dream]:
        """Of each of the first `count` episodes the latest of the dreams with the most steps of agents that act."""
        chosen: dict[int, tuple[int, Dream]] = {}
        for one in self.dreams:
            acting = int(self.episodes[one.episode].alive[one.start : one.rows.stop - 1].sum())
            if acting >= chosen.get(one.episode, (-1, one))[0]:
                chosen[one.episode] = (acting, one)
        return [one for _, one in chosen.values()][:count]


@dataclass(frozen=True)
class _Filtered:
    """The model's posterior states (T + 1, N, .) of an episode, with what it makes of them.

    `action` (T, N, A) is one-hot. Who hears whom, (T + 1, N, N) or None for everyone: `heard` in the transition into a
    row, `onward` in those out of it of which nothing more is seen.
    """

    state: LatentState
    action: Tensor
    heard: Tensor | None
    onward: Tensor | None
    beliefs: Beliefs


def dream(
    model: WorldModel,
    episodes: Sequence[RealEpisode],
    horizon: int,
    context: int,
    starts: int,
    mask_dead_agents: bool = True,
    mask_communication: bool = True,
) -> DreamReport:
    """Predicts up to `horizon` steps from up to `starts` rows of every episode, of which `context` or more were seen.

    Latents are the most probable ones, actions those that were taken; who hears whom stays as it was at the start, as
    in the imagination that the policy learns from. `mask_dead_agents` and `mask_communication` are the options of
    training. Raises ReportError where no episode is long enough.
    """
    filtered = [_filter(model, episode, mask_dead_agents, mask_communication) for episode in episodes]
    dreams = [
        Dream(index, start, _open_loop(model, one, start, min(horizon, episode.length - start)))
        for index, (episode, one) in enumerate(zip(episodes, filtered, strict=True))
        for start in _starts(episode, context, starts)
    ]
    if not dreams:
        longest = max(episode.length for episode in episodes)
        raise ReportError(f"no episode is longer than the context of {context} rows (the longest has {longest} steps).")
    posteriors = tuple(one.beliefs for one in filtered)
    errors, counts = _errors(episodes, posteriors, dreams, horizon)
    attention = _mean_attention(model, episodes, filtered)
    return DreamReport(tuple(episodes), posteriors, tuple(dreams), errors, counts, attention)


def _starts(episode: RealEpisode, context: int, starts: int) -> list[int]:
    """Rows spread evenly over the episode, each with `context` rows up to it and at least one step after it."""
    first, last = context - 1, episode.length - 1
    if last < first:
        return []
    return sorted({int(row) for row in np.linspace(first, last, starts + 1)[:starts]})


@torch.no_grad()
def _filter(model: WorldModel, episode: RealEpisode, mask_dead_agents: bool, mask_communication: bool) -> _Filtered:
    action = functional.one_hot(torch.from_numpy(episode.action), model.config.num_actions).float()
    before = torch.cat([torch.zeros_like(action[:1]), action])
    ended = torch.from_numpy(episode.ended)
    mask = None if episode.comm_mask is None else torch.from_numpy(episode.comm_mask)
    # Into row t: the mask of that row, and those who had ended before the step to it.
    ended_before = torch.cat([torch.zeros_like(ended[:1]), ended[:-1]])
    hear = hearing(mask, ended_before if mask_dead_agents else None)
    first = torch.zeros(len(before), 1, dtype=torch.bool)
    first[0] = True
    embedding = model.encode(torch.from_numpy(episode.observation))
    batched = None if hear is None else hear.unsqueeze(1)
    unroll = model.rssm.unroll(embedding.unsqueeze(1), before.unsqueeze(1), first, ModeSampler(), batched)
    state = LatentState(*(part.squeeze(1) for part in unroll.posterior))
    return _Filtered(
        state=state,
        action=action,
        heard=hear,
        onward=hearing(mask if mask_communication else None, ended if mask_dead_agents else None),
        beliefs=_beliefs(model, state),
    )


@torch.no_grad()
def _open_loop(model: WorldModel, filtered: _Filtered, start: int, steps: int) -> Beliefs:
    state = LatentState(*(part[start] for part in filtered.state))
    hear = None if filtered.onward is None else filtered.onward[start]
    states = [state]
    for step in range(steps):
        _, state = model.imagine_step(state, filtered.action[start + step], ModeSampler(), hear)
        states.append(state)
    along = LatentState(*(torch.stack(parts) for parts in zip(*states, strict=True)))
    return _beliefs(model, along)


def _beliefs(model: WorldModel, states: LatentState) -> Beliefs:
    """Of all but the first of the states (K + 1, N, .) of successive rows."""
    before, after = (LatentState(*(part[rows] for part in states)) for rows in (slice(-1), slice(1, None)))
    step = LatentState(before.stochastic, after.deterministic).features
    observation, _ = model.decode(after.features)
    legal = None
    if model.config.predict_action_mask:
        legal = model.action_mask_logits(after.features).sigmoid().numpy()
    return Beliefs(
        observation=observation.numpy(),
        reward=model.reward(step).numpy(),
        continuation=model.continue_logits(step).sigmoid().numpy(),
        legal=legal,
    )


def _errors(
    episodes: Sequence[RealEpisode], posteriors: Sequence[Beliefs], dreams: Sequence[Dream], horizon: int
) -> tuple[dict[str, dict[str, ErrorCurve]], np.ndarray]:
    tables: dict[tuple[str, str], np.ndarray] = {}
    for number, one in enumerate(dreams):
        episode, rows = episodes[one.episode], one.rows
        seen = _part(posteriors[one.episode], slice(rows.start - 1, rows.stop - 1))
        beliefs = {OPEN_LOOP: one.predicted, POSTERIOR: seen, STAYS: _nothing_changes(episode, one.start, rows)}
        for way, belief in beliefs.items():
            for quantity, error in _errors_by_row(episode, rows, belief).items():
                table = tables.setdefault((quantity, way), np.full((len(dreams), horizon), np.nan))
                table[number, : len(error)] = error
    groups = np.array([one.episode for one in dreams])
    curves: dict[str, dict[str, ErrorCurve]] = {}
    for (quantity, way), table in tables.items():
        curves.setdefault(quantity, {})[way] = _error_curve(table, groups)
    lengths = np.array([len(one.predicted.reward) for one in dreams])
    return curves, (lengths[:, None] >= np.arange(1, horizon + 1)).sum(0)


def _errors_by_row(episode: RealEpisode, rows: slice, belief: Beliefs) -> dict[str, np.ndarray]:
    """Mean absolute errors by row (K,), over the agents that act there (observation, legal actions) or acted before.

    The error of a probability is that of the more probable outcome: a share of wrong predictions.
    """
    acts, acted = episode.alive[rows], episode.alive[rows.start - 1 : rows.stop - 1]
    goes_on = ~episode.ended[rows]
    errors = {
        OBSERVATION: _mean_where(np.abs(belief.observation - episode.observation[rows]).mean(-1), acts),
        REWARD: _mean_where(np.abs(belief.reward - episode.reward[rows.start - 1 : rows.stop - 1]), acted),
        CONTINUATION: _mean_where((belief.continuation > 0.5) != goes_on, acted),
    }
    if belief.legal is not None and episode.action_mask is not None:
        errors[LEGAL] = _mean_where(((belief.legal > 0.5) != episode.action_mask[rows]).mean(-1), acts)
    return errors


def _nothing_changes(episode: RealEpisode, start: int, rows: slice) -> Beliefs:
    """The baseline: everything stays as it is at `start`, the last reward before it comes again, nobody ends."""
    steps = rows.stop - rows.start
    reward = episode.reward[start - 1] if start else np.zeros_like(episode.reward[0])
    mask = episode.action_mask
    return Beliefs(
        observation=np.repeat(episode.observation[start][None], steps, 0),
        reward=np.repeat(reward[None], steps, 0),
        continuation=np.repeat((~episode.ended[start])[None].astype(np.float32), steps, 0),
        legal=None if mask is None else np.repeat(mask[start][None].astype(np.float32), steps, 0),
    )


def _part(beliefs: Beliefs, rows: slice) -> Beliefs:
    legal = None if beliefs.legal is None else beliefs.legal[rows]
    return Beliefs(beliefs.observation[rows], beliefs.reward[rows], beliefs.continuation[rows], legal)


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean over agents of values (K, N), NaN in rows without any."""
    counts = where.sum(-1)
    sums = np.where(where, values, 0.0).sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _error_curve(table: np.ndarray, groups: np.ndarray) -> ErrorCurve:
    """Means of a table (starts, H), NaN where a start does not reach; starts of an episode are resampled together."""
    known = ~np.isnan(table)
    ids = np.unique(groups)
    sums = np.stack([np.where(known, table, 0.0)[groups == one].sum(0) for one in ids])
    counts = np.stack([known[groups == one].sum(0) for one in ids])
    mean = _ratio(sums.sum(0), counts.sum(0))
    if len(ids) == 1:
        return ErrorCurve(mean, None, None)
    random = np.random.default_rng(0)
    drawn = random.integers(len(ids), size=(RESAMPLES, len(ids)))
    samples = _ratio(sums[drawn].sum(1), counts[drawn].sum(1))
    # Draws of episodes none of which goes so far say nothing.
    tail = 100 * (1 - CONFIDENCE) / 2
    reached = ~np.isnan(mean)
    low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    low[reached], high[reached] = np.nanpercentile(samples[:, reached], [tail, 100 - tail], axis=0)
    return ErrorCurve(mean, low, high)


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _mean_attention(model: WorldModel, episodes: Sequence[RealEpisode], filtered: Sequence[_Filtered]) -> np.ndarray:
    total, count = 0.0, np.zeros(episodes[0].alive.shape[1])
    for episode, one in zip(episodes, filtered, strict=True):
        heard = None if one.heard is None else one.heard[1:]
        state = LatentState(*(part[:-1] for part in one.state))
        weights = attention_in_transition(model.rssm, state, one.action, heard).mean(-3).numpy()
        acts = episode.alive[:-1]
        total = total + np.einsum("tlij,ti->lij", weights, acts)
        count += acts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total) / count[:, None]
