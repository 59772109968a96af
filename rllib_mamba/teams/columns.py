"""Keys of a team's observation, action info and metrics.

N agents of the team in fixed order, O the largest flattened observation, A the largest number of actions, S the size of
the global state.
"""

OBS = "obs"
"""(N, O) float32: flattened observations, padded with zeros; zeros where an agent is not alive."""

ALIVE = "alive"
"""(N,) int8: 1 where the agent has an observation and acts on it; 0 for the dead, the waiting and the not yet seen."""

ENDED = "ended"
"""(N,) int8: 1 once the agent has terminated, to the end of the episode; a time limit does not set it."""

ACTION_MASK = "action_mask"
"""(N, A) int8: 1 where an action is legal; all ones for agents that are not alive. Only where there is a mask."""

COMM_MASK = "comm_mask"
"""(N, N) int8: 1 at [i, j] where agent i may hear j; ones on the diagonal. Only where the environment gives one."""

STATE = "state"
"""(S,) float32: the global state, flattened. Only where the environment gives one."""

REWARDS = "rewards"
"""(N,) float32: each agent's reward received with this observation; zeros at a reset."""

AGENT_INFOS = "agents"
"""Key of a team's info: {agent id: info} as the environment gave them."""

EPISODE_METRICS = "episode_metrics"
"""Key of a team's info and of `infos["__common__"]`: {name: float}, given by an environment as an episode ends."""

COMMON = "__common__"
"""Key of an environment's infos that concerns no single agent."""
