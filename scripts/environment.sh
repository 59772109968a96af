# Sourced by the other scripts, from the root of the repository: the virtual environment they run in.
# RLLIB_MAMBA_VENV is where it is (default .venv), PYTHON the interpreter it is made with.

VENV=${RLLIB_MAMBA_VENV:-.venv}
TEST_EXTRAS=flatland,pettingzoo,reports,smax,tune,test,dev

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 with its venv module was not found. Install it, or name it: PYTHON=/path/to/python3.11 $0" >&2
    return 1
}

# prepare_environment EXTRAS: installs the package with these extras, unless that was done since its requirements changed.
prepare_environment() {
    local extras=$1 python stamp log
    stamp=$VENV/installed-$extras
    if [[ $stamp -nt setup.cfg && $stamp -nt constraints.txt ]]; then
        return
    fi
    python=$(find_python)
    echo "Installing into $VENV: a few minutes the first time ..."
    "$python" -m venv "$VENV" </dev/null
    log=$VENV/install.log
    if ! "$VENV/bin/python" -m pip install --progress-bar off -c constraints.txt -e ".[$extras]" </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        echo "The installation failed; its output is above." >&2
        return 1
    fi
    touch "$stamp"
}
