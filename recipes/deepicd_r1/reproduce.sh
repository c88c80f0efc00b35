#!/usr/bin/env bash
# Make one row of the paper from data to comparison; stages that are done are skipped.
#
#   MIMIC=mimic-iv bash recipes/deepicd_r1/reproduce.sh table3/qwen7b_sft_grpo
#   bash recipes/deepicd_r1/reproduce.sh table3/qwen7b_sft_grpo hardware=cpu    # on a laptop
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source recipes/environment.sh "$@"
if [[ $# -eq 0 ]]; then "$PYTHON" -m recipes.reproduce --help >&2; exit 2; fi
if [[ $1 == -h || $1 == --help ]]; then exec "$PYTHON" -m recipes.reproduce --help; fi
exec "$PYTHON" -m recipes.reproduce "deepicd_r1/${1#deepicd_r1/}" "${@:2}"
