#!/usr/bin/env bash
# Runs the tests; needs Python 3.11 and nothing else. Further options go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
prepare_environment "$TEST_EXTRAS"
exec "$VENV/bin/python" -m pytest "$@"
