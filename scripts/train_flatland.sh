#!/usr/bin/env bash
# Trains MAMBA on Flatland with five trains on an ordinary computer; needs Python 3.11 and nothing else.
# Further options go to `rllib train`, for instance: scripts/train_flatland.sh --stop-timesteps 20000
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
prepare_environment flatland,reports
exec "$VENV/bin/rllib" train file tuned_examples/mamba/flatland_5_agents_small.py \
    --experiment-name flatland_5_agents_small --local-dir results "$@"
