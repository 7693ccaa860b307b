#!/bin/sh
# Run once by Gradescope, as root, when the autograder is built; by a test with another folder.
set -e
cd "${1:-/autograder}"

set -- source/alignlab*.whl
if [ ! -f "$1" ]; then
    echo "No alignlab*.whl lies beside setup.sh: make one by 'pip wheel . --no-deps', and put it into the zip." >&2
    exit 1
fi

python=python3
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=python3.11
fi
apt-get update
apt-get install -y "$python" "$python-venv"
"$python" -m venv venv
venv/bin/pip install "$1"
