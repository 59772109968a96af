"""The three-action interface and the control of trains between decisions."""

from rllib_mamba.envs.flatland.rail_graph import RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train

FIRST_BRANCH, SECOND_BRANCH, STOP = 0, 1, 2
NUMBER_OF_ACTIONS = 3

NO_RAIL_ACTION = -1
_STRAIGHT_ON = 2
_STOP_TRAIN = 4


def is_forced(train: Train, deadlocked: bool, decisions: set[int]) -> bool:
    """Whether the train has nothing to decide, so that it simply goes on: broken down, or off the decision cells."""
    if train.phase != Phase.ACTIVE or deadlocked:
        return False
    return train.malfunction > 0 or train.configuration not in decisions


def open_turns(graph: RailGraph, train: Train) -> tuple[bool, bool, bool]:
    """Which of left, forward and right the rail offers a train; none once it has arrived."""
    if train.phase == Phase.ARRIVED:
        return (False, False, False)
    return graph.turns.get(train.configuration, (False, False, False))


def rail_action(graph: RailGraph, train: Train, action: int) -> int:
    """Flatland's action (1 left, 2 forward, 3 right, 4 stop) for one of the three actions; -1: nothing is sent.

    Action 0 takes the leftmost branch, action 1 the second one (the only one where there is no second), 2 stops. What
    may not depart yet is sent nothing.
    """
    if train.phase == Phase.WAITING:
        return NO_RAIL_ACTION
    if action == STOP:
        return _STOP_TRAIN if train.phase in (Phase.ACTIVE, Phase.ARRIVED) else NO_RAIL_ACTION
    if train.phase == Phase.ARRIVED:
        return NO_RAIL_ACTION
    options = [turn for turn, is_open in enumerate(open_turns(graph, train), start=1) if is_open]
    if not options:  # at a dead end, straight on is back
        return _STRAIGHT_ON
    return options[action] if action < len(options) else options[0]


def legal_actions(graph: RailGraph, train: Train) -> tuple[bool, bool, bool]:
    """Which of the three actions make a difference: the branches and stop, only going on where nothing else does."""
    if train.phase == Phase.WAITING or is_forced(train, False, graph.decisions):
        return (True, False, False)
    return (True, sum(open_turns(graph, train)) > 1, True)
