#!/usr/bin/env bash
# Check a recipe, then run it with verl.
#
#   bash recipes/launch.sh drg_sapphire/strict                    # as the paper ran it
#   bash recipes/launch.sh drg_sapphire/strict hardware=cpu       # the same on a laptop, a few steps
#   bash recipes/launch.sh drg_sapphire/strict name=mine data.train_batch_size=32
#
# name=NAME names the run folder $RUNS_DIR/RECIPE/NAME; fresh=1 starts a finished or unfinished run over.
set -euo pipefail

# --- knobs ------------------------------------------------------------------------------------------------------
export DATA_DIR="${DATA_DIR:-}"             # parquet from data preparation; empty: what the hardware profile says
export MODEL_PATH="${MODEL_PATH:-}"         # start model; empty: what the recipe says
export RUNS_DIR="${RUNS_DIR:-}"             # run folders; empty: runs/ in the repository
export HANG_SECONDS="${HANG_SECONDS:-}"     # end a run whose workers all idle that long, or whose metrics and log stand still
                                            # eight times that long; 0: never; empty: 40 on a CPU, 900 else
export NODES_SECONDS="${NODES_SECONDS:-}"   # wait that long for the nodes of the Ray at RAY_ADDRESS; empty: 300
PYTHON="${PYTHON:-}"                        # empty: recipes/environment.sh finds it
# ----------------------------------------------------------------------------------------------------------------

# Paths that a user gives count from where he stands, the defaults are those of the repository.
absolute() { [[ $1 == /* ]] && echo "$1" || echo "$PWD/$1"; }
there() { [[ -e $1 ]] && absolute "$1" || echo "$1"; } # what is not there may be a name on a hub, or in the repository
[[ -z $DATA_DIR ]] || DATA_DIR=$(absolute "$DATA_DIR")
[[ -z $RUNS_DIR ]] || RUNS_DIR=$(absolute "$RUNS_DIR")
[[ -z $MODEL_PATH ]] || MODEL_PATH=$(there "$MODEL_PATH")
words=()
for word in "$@"; do
  key=${word%%=*} value=${word#*=}
  case $key in
    *_files | *path | *places.* | *reward_kwargs.*) [[ $word != *=*[./]* ]] || word=$key=$(there "$value") ;;
  esac
  words+=("$word")
done
set -- "${words[@]}"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -n $DATA_DIR ]] || unset DATA_DIR
[[ -n $MODEL_PATH ]] || unset MODEL_PATH
export RUNS_DIR="${RUNS_DIR:-runs}"
source recipes/environment.sh "$@"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

if [[ $# -eq 0 || $1 == -h || $1 == --help ]]; then
  (($#)) || exec >&2
  sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit $(($# == 0 ? 2 : 0))
fi

"$PYTHON" -m recipes.check --prepare "$@"
exec "$PYTHON" -m recipes.run "$@"
