"""Teams taken a part at a time: no more is written out than a processor's cache holds, however many there are."""

import torch

AGENTS_AT_ONCE = 4096


def parts_of(num_teams: int, num_agents: int, device: torch.device) -> list[slice]:
    """So many teams in parts of nearly equal size, in order; on a device other than a CPU in one part."""
    parts = -(-num_teams * num_agents // AGENTS_AT_ONCE) if device.type == "cpu" else 1
    size = max(1, -(-num_teams // max(1, parts)))
    return [slice(begin, min(begin + size, num_teams)) for begin in range(0, num_teams, size)]
