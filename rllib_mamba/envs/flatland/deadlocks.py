"""Detection of trains that can never move again."""

from collections.abc import Sequence

from rllib_mamba.envs.flatland.rail_graph import HEADINGS, RailGraph
from rllib_mamba.envs.flatland.trains import Phase, Train


def find_deadlocks(graph: RailGraph, trains: Sequence[Train], known: Sequence[bool]) -> list[bool]:
    """Which trains are deadlocked, those `known` to be so included: a deadlock never ends.

    Only trains on the map are examined. A train is free if one of the cells ahead of it is empty or held by a train
    that is itself free; what is not free is deadlocked, so a group of trains that block each other in a ring is too.
    """
    deadlocked = list(known)
    holders = {
        train.configuration // HEADINGS: handle for handle, train in enumerate(trains) if train.phase == Phase.ACTIVE
    }
    blocked: dict[int, list[int]] = {}
    waiting_for: dict[int, list[int]] = {}
    free: list[int] = []
    for handle in holders.values():
        if deadlocked[handle]:
            continue
        blockers = [holders.get(step // HEADINGS, -1) for step in graph.successors[trains[handle].configuration]]
        if -1 in blockers:
            free.append(handle)
            continue
        blocked[handle] = blockers
        for blocker in blockers:
            waiting_for.setdefault(blocker, []).append(handle)
    while free:
        for follower in waiting_for.get(free.pop(), ()):
            if blocked.pop(follower, None) is not None:
                free.append(follower)
    for handle in blocked:
        deadlocked[handle] = True
    return deadlocked
