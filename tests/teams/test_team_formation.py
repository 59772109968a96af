from typing import Any

import pytest

from rllib_mamba.teams import form_teams

AGENTS = ("blue_1", "red_0", "blue_0")


def test_agents_that_share_a_module_form_a_team_in_their_order():
    teams = form_teams(AGENTS, lambda agent_id, episode, **kwargs: agent_id.split("_")[0])
    assert teams == {"blue": ("blue_1", "blue_0"), "red": ("red_0",)}
    assert list(teams) == ["blue", "red"]


def with_worker(agent_id: str, episode: Any, worker: Any, **kwargs: Any) -> str:
    return "team"


class Mapping:
    def __call__(self, agent_id: str, episode: Any) -> str:
        return "team"


@pytest.mark.parametrize("function", [with_worker, Mapping(), lambda agent_id, *args, **kwargs: "team"])
def test_all_forms_of_a_mapping(function: Any):
    assert form_teams(AGENTS, function) == {"team": AGENTS}


def test_mapping_that_needs_an_episode():
    with pytest.raises(ValueError, match=r"agent 'blue_1' \(AttributeError: .*id_.*episode=None"):
        form_teams(AGENTS, lambda agent_id, episode, **kwargs: f"team_{episode.id_}")


def test_mapping_to_something_else_than_a_module():
    with pytest.raises(ValueError, match="gave None for agent 'blue_1'"):
        form_teams(AGENTS, lambda agent_id, episode, **kwargs: None)
