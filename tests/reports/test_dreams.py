from pathlib import Path

import numpy as np
import pytest
import torch

from rllib_mamba.reports.dream_figures import draw_dreams
from rllib_mamba.reports.dreams import (
    CONTINUATION,
    LEGAL,
    OBSERVATION,
    OPEN_LOOP,
    POSTERIOR,
    REWARD,
    STAYS,
    DreamReport,
    RealEpisode,
    dream,
)
from rllib_mamba.reports.errors import ReportError
from rllib_mamba.world_model import LatentState, ModeSampler, WorldModel, WorldModelConfig

AGENTS, SIZE, ACTIONS, LENGTH = 3, 4, 2, 12


@pytest.fixture(scope="module")
def model() -> WorldModel:
    torch.manual_seed(0)
    config = WorldModelConfig(
        observation_size=SIZE,
        num_actions=ACTIONS,
        hidden_size=16,
        deterministic_size=16,
        num_categoricals=3,
        num_classes=3,
        communication_layers=2,
        communication_heads=2,
        predict_action_mask=True,
    )
    return WorldModel(config).eval()


def episode(seed: int, length: int = LENGTH, ends: int | None = None) -> RealEpisode:
    """Observations that are the row's number, rewards of 1 from step 6 on; agent 2 ends with step `ends`."""
    random = np.random.default_rng(seed)
    rows = np.arange(length + 1)
    observation = np.repeat(rows.astype(np.float32), AGENTS * SIZE).reshape(length + 1, AGENTS, SIZE)
    ended = np.zeros((length + 1, AGENTS), bool)
    if ends is not None:
        ended[ends:, 2] = True
        observation[ends:, 2] = 0
    mask = np.ones((length + 1, AGENTS, ACTIONS), bool)
    mask[rows >= 8, :, 1] = False
    return RealEpisode(
        seed=seed,
        observation=observation,
        alive=~ended,
        ended=ended,
        action=random.integers(ACTIONS, size=(length, AGENTS)),
        reward=np.repeat((rows[1:] >= 6).astype(np.float32)[:, None], AGENTS, 1),
        action_mask=mask,
    )


@torch.no_grad()
def unrolled(model: WorldModel, one: RealEpisode, start: int, steps: int) -> list[dict[str, np.ndarray]]:
    """Beliefs of the rows after `start`, by the model's single steps."""
    previous = torch.zeros(1, AGENTS, ACTIONS)
    state = model.initial_state((1,), AGENTS)
    rows = []
    for row in range(start + 1 + steps):
        before = state
        if row <= start:
            embedding = model.encode(torch.from_numpy(one.observation[row])[None])
            _, _, state = model.observe_step(before, previous, embedding, ModeSampler())
        else:
            _, state = model.imagine_step(before, previous, ModeSampler())
            outcome = LatentState(before.stochastic, state.deterministic).features
            beliefs = {
                "observation": model.decode(state.features)[0],
                "reward": model.reward(outcome),
                "continuation": model.continue_logits(outcome).sigmoid(),
                "legal": model.action_mask_logits(state.features).sigmoid(),
            }
            rows.append({name: values[0].numpy() for name, values in beliefs.items()})
        if row < one.length:
            previous = torch.nn.functional.one_hot(torch.from_numpy(one.action[row]), ACTIONS).float()[None]
    return rows


def test_predictions_are_the_model_s_own_steps_without_looking(model: WorldModel) -> None:
    one = episode(0)
    report = dream(model, [one], horizon=5, context=3, starts=2)
    assert [each.start for each in report.dreams] == [2, 6]
    for each in report.dreams:
        expected = unrolled(model, one, each.start, 5)
        for name, values in vars(each.predicted).items():
            np.testing.assert_allclose(values, np.stack([row[name] for row in expected]), atol=1e-5)


def test_posteriors_see_every_row(model: WorldModel) -> None:
    one = episode(0)
    [posterior] = dream(model, [one], horizon=2, context=1, starts=1).posteriors
    changed = one.observation.copy()
    changed[7] += 1
    [other] = dream(model, [RealEpisode(**vars(one) | {"observation": changed})], 2, 1, 1).posteriors
    np.testing.assert_array_equal(posterior.observation[:6], other.observation[:6])
    assert np.abs(posterior.observation[6] - other.observation[6]).max() > 0


def test_errors_of_nothing_changing_are_those_one_can_count(model: WorldModel) -> None:
    # Starts at the rows 2, 5 and 8, of 12 steps: 10, 7 and 4 steps are left.
    report = dream(model, [episode(0)], horizon=12, context=3, starts=3)
    assert [each.start for each in report.dreams] == [2, 5, 8]
    assert report.counts.tolist() == [3, 3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0]
    curves = {quantity: ways[STAYS].mean for quantity, ways in report.errors.items()}
    np.testing.assert_allclose(curves[OBSERVATION][:10], np.arange(1, 11))
    assert np.isnan(curves[OBSERVATION][10:]).all()
    # Rewards are 1 from row 6 on: wrong at once from row 5, after four steps from row 2, never from row 8.
    np.testing.assert_allclose(curves[REWARD][:7], [1 / 3, 1 / 3, 1 / 3, 2 / 3, 1, 1, 1])
    assert (curves[CONTINUATION][:10] == 0).all()
    # One action of two is illegal from row 8 on.
    np.testing.assert_allclose(curves[LEGAL][:7], [0, 0, 1 / 6, 1 / 6, 1 / 4, 1 / 2, 1 / 2])


def test_intervals_are_over_episodes(model: WorldModel) -> None:
    alone = dream(model, [episode(0)], horizon=4, context=3, starts=2).errors[OBSERVATION][OPEN_LOOP]
    assert (alone.low, alone.high) == (None, None)
    two = dream(model, [episode(0), episode(1)], horizon=4, context=3, starts=2).errors[OBSERVATION]
    for curve in (two[OPEN_LOOP], two[POSTERIOR]):
        assert (curve.low <= curve.mean).all()
        assert (curve.mean <= curve.high).all()
        assert (curve.low < curve.high).any()


def test_agents_that_ended_count_no_more_and_are_not_heard(model: WorldModel) -> None:
    one = episode(0, ends=4)
    report = dream(model, [one], horizon=6, context=4, starts=1)
    [only] = report.dreams
    assert only.start == 3
    # The end itself is a step of the agent's, what comes after it is not; its zeros are nobody's observation.
    curve = report.errors[CONTINUATION][STAYS].mean
    np.testing.assert_allclose(curve, [1 / 3, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(report.errors[OBSERVATION][STAYS].mean, np.arange(1, 7))
    mute = dream(model, [episode(0, ends=1)], horizon=6, context=4, starts=1)
    # It was there for one of twelve steps.
    assert mute.attention[:, :2, 2].max() < 1 / 12
    assert report.attention[:, :2, 2].min() > mute.attention[:, :2, 2].max()
    heard = dream(model, [episode(0, ends=1)], 6, 4, 1, mask_dead_agents=False)
    assert heard.attention[:, :2, 2].min() > 1 / 12


def test_attention_is_of_the_steps_at_which_the_listener_acts(model: WorldModel) -> None:
    one = episode(0)
    alive = one.alive.copy()
    alive[:, 1] = False
    report = dream(model, [RealEpisode(**vars(one) | {"alive": alive})], horizon=2, context=2, starts=1)
    assert report.attention.shape == (2, AGENTS, AGENTS)
    assert np.isnan(report.attention[:, 1]).all()
    np.testing.assert_allclose(report.attention[:, [0, 2]].sum(-1), 1, rtol=1e-5)


def test_communication_masks_hold(model: WorldModel) -> None:
    one = episode(0)
    mask = np.ones((LENGTH + 1, AGENTS, AGENTS), bool)
    mask[:, 0, 1] = False
    report = dream(model, [RealEpisode(**vars(one) | {"comm_mask": mask})], horizon=4, context=3, starts=1)
    assert (report.attention[:, 0, 1] == 0).all()
    assert (report.attention[:, 1, 0] > 0).all()
    # Trained without the mask, the model hears everyone in what it imagines.
    other = dream(model, [RealEpisode(**vars(one) | {"comm_mask": mask})], 4, 3, 1, mask_communication=False)
    np.testing.assert_array_equal(report.posteriors[0].reward, other.posteriors[0].reward)
    assert np.abs(report.dreams[0].predicted.reward - other.dreams[0].predicted.reward).max() > 0


def test_episodes_that_are_too_short_are_named(model: WorldModel) -> None:
    assert [each.episode for each in dream(model, [episode(0, 3), episode(1)], 4, 5, 1).dreams] == [1]
    with pytest.raises(ReportError, match=r"longer than the context of 5 rows \(the longest has 4 steps\)"):
        dream(model, [episode(0, 3), episode(1, 4)], 4, 5, 1)


@pytest.fixture(scope="module")
def report(model: WorldModel) -> DreamReport:
    return dream(model, [episode(0), episode(1, ends=4), episode(2)], horizon=5, context=3, starts=2)


def test_dreams_to_look_at_are_those_in_which_most_happens(report: DreamReport) -> None:
    # The earlier start of the second episode has more steps of an agent that will end.
    assert [(each.episode, each.start) for each in report.eventful(2)] == [(0, 6), (1, 2)]


def test_pictures_name_agents_units_and_intervals(report: DreamReport, tmp_path: Path) -> None:
    agents = ["left", "middle", "right"]
    files = draw_dreams(report, agents, "my_env", context=3, pictures=1, folder=tmp_path)
    assert files == ["error_by_horizon.png", "attention.png", "observations_1.png", "outcomes_1.png"]
    texts = {file: (tmp_path / file).with_suffix(".svg").read_text() for file in files}
    for file, text in texts.items():
        assert (tmp_path / file).read_bytes().startswith(b"\x89PNG")
        assert "my_env" in text
    for label in ("Steps ahead", "mean absolute error", "share wrong", "95 % bootstrap interval over episodes"):
        assert label in texts["error_by_horizon.png"]
    for file in files[1:]:
        assert all(agent in texts[file] for agent in agents)
    for label in ("reward", "P(goes on)", "P(legal)", "Env step"):
        assert label in texts["outcomes_1.png"]
    assert "layer 2" in texts["attention.png"]
