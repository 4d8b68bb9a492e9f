#!/usr/bin/env bash
# Makes the Python environment with the Azure CLI and SDKs that the tests use, once for each e2e/azure/requirements.txt,
# and prints its folder. Needs Debian's python3-venv and, the first time, a Python package index. Set COFRE_AZURE_VENV
# to choose the folder; an environment that is already there is used as it is.
#
#   venv=$(scripts/azure-venv.sh) && export COFRE_AZ=$venv/bin/az COFRE_AZURE_PYTHON=$venv/bin/python3
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=e2e/azure/requirements.txt
hash=$(sha256sum "$requirements" | cut -c 1-12)
venv=${COFRE_AZURE_VENV:-${CARGO_TARGET_DIR:-$PWD/target}/azure-cli-$hash}
[[ $venv == /* ]] || venv=$PWD/$venv

# The mark is written last: an environment whose making was interrupted is made anew.
if [[ ! -e $venv/complete ]]; then
    if [[ -n ${COFRE_AZURE_VENV:-} && -x $venv/bin/az ]]; then
        printf '%s\n' "$venv"
        exit 0
    fi
    python3 -m venv --clear "$venv" >&2
    "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
    # Programs from pip are compiled when they first run; several tests at once would do it several times.
    AZURE_CONFIG_DIR=$venv/config AZURE_CORE_COLLECT_TELEMETRY=false "$venv/bin/az" version --output none >&2
    : > "$venv/complete"
fi
printf '%s\n' "$venv"
