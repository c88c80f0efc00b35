#!/usr/bin/env bash
# Staged learning (DRG-Sapphire, appendix A.7): three phases of GRPO, with SFT or DPO on the hard cases of each between.
#
#   bash recipes/drg_sapphire/staged.sh sft                        # Table 1, row "staged SFT"
#   bash recipes/drg_sapphire/staged.sh dpo name=mine              # Table 1, row "staged DPO"
#   bash recipes/drg_sapphire/staged.sh sft hardware=cpu           # on a laptop
#
# Options are those of launch.sh and go to every phase; name=NAME names the run folders NAME-1 … NAME-3. Given again, the
# command goes on where it stopped.
set -euo pipefail

# --- knobs ------------------------------------------------------------------------------------------------------
RUNS_DIR="${RUNS_DIR:-runs}"           # run folders
PHASES="${PHASES:-3}"                  # GRPO phases, each on its part of the prompts
SAMPLES="${SAMPLES:-8}"                # completions a hard case, of which DPO takes a wrong one
# ----------------------------------------------------------------------------------------------------------------

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
method="${1:-}"
if [[ $method == -h || $method == --help ]]; then sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0"; exit 0; fi
if [[ $method != sft && $method != dpo ]]; then
  echo "error: say sft or dpo: bash recipes/drg_sapphire/staged.sh sft [key=value …]" >&2; exit 2
fi
shift
name=staged_$method hardware="" prompts=small options=()
for option in "$@"; do
  case $option in
    name=*) name=${option#name=} ;;
    study.rl=*) prompts=${option#study.rl=}; options+=("$option") ;;
    hardware=*) hardware=${option#hardware=}; options+=("$option") ;;
    *) options+=("$option") ;;
  esac
done
if [[ $hardware == cpu ]]; then
  DATA_DIR="${DATA_DIR:-outputs/demo/data}" MODEL_PATH="${MODEL_PATH:-outputs/demo/sft}"
  tune=(--hardware cpu) sample=(--max_tokens 128) generate=(--max-tokens 128)
  launcher=()
else
  DATA_DIR="${DATA_DIR:-data}" MODEL_PATH="${MODEL_PATH:-$RUNS_DIR/drg_sapphire/sft/cold}"
  tune=() sample=() generate=()
  launcher=(-m accelerate.commands.accelerate_cli launch --config_file recipes/accelerate/fsdp2_x4.yaml)
fi
export DATA_DIR RUNS_DIR MODEL_PATH
source recipes/environment.sh "${options[@]}"

say() { printf '%s\n' "$*"; }
stage() { # stage WHAT DONE COMMAND…: run the command unless DONE exists, which it leaves when it has finished
  local what=$1 done=$2; shift 2
  if [[ -e $done ]]; then say "$what: done before ($done)"; return; fi
  say "$what"
  "$@"
}
finished() { [[ -f $1/run.json ]] && grep -q '"status": "finished"' "$1/run.json"; }

config=recipes/drg_sapphire
rl=$DATA_DIR/drg/rl
if [[ $hardware == cpu && $DATA_DIR == outputs/demo/data && $MODEL_PATH == outputs/demo/sft ]]; then
  stage "synthetic data and a small model" outputs/demo/sft/run.json env UNTIL=sft bash recipes/demo.sh
fi
stage "parts of $prompts.parquet" "$rl/${prompts}_parts.json" \
  "$PYTHON" -m data_prep.curriculum --data "$rl/$prompts.parquet" --parts "$PHASES"

model=$MODEL_PATH
for ((phase = 1; phase <= PHASES; phase++)); do
  run=$RUNS_DIR/drg_sapphire/staged/$name-$phase
  if finished "$run"; then say "phase $phase, GRPO: done before ($run)"; else
    say "phase $phase, GRPO from $model"
    MODEL_PATH=$model bash recipes/launch.sh drg_sapphire/staged "study.phase=$phase" "name=$name-$phase" "${options[@]}"
  fi
  model=$run/hf_model
  ((phase < PHASES)) || break

  work=$run/between
  stage "phase $phase, hard cases" "$work/${prompts}_part_${phase}_curriculum.json" \
    "$PYTHON" -m data_prep.curriculum --data "$rl/${prompts}_part_$phase.parquet" \
    --outcomes "$run/outcomes.parquet" --out "$work"
  hard=$work/${prompts}_part_${phase}_hard.parquet
  if [[ ! -f $hard ]]; then say "phase $phase has no hard case; the next one goes on from its model"; continue; fi
  "$PYTHON" -m sft.traces --config $config/traces/staged.yaml --model "$model" --data "$hard" --out "$work/traces" \
    "${sample[@]}"
  if [[ $method == sft ]]; then
    stage "phase $phase, SFT on the hard cases" "$work/model/run.json" \
      "$PYTHON" "${launcher[@]}" -m sft.train --config $config/sft/staged_sft.yaml --model "$model" --cases "$hard" \
      --traces "$work/traces/traces.parquet" "${tune[@]}" --output_dir "$work/model"
  else
    "$PYTHON" -m eval.generate --config $config/eval/default.yaml --data "$hard" --model "$model" \
      --out "$work/generations" --n "$SAMPLES" "${generate[@]}"
    stage "phase $phase, pairs" "$work/pairs.parquet" \
      "$PYTHON" -m sft.pairs --cases "$hard" --traces "$work/traces/traces.parquet" \
      --generations "$work/generations" --out "$work/pairs.parquet"
    stage "phase $phase, DPO on the hard cases" "$work/model/run.json" \
      "$PYTHON" "${launcher[@]}" -m sft.dpo --config $config/sft/staged_dpo.yaml --model "$model" \
      --pairs "$work/pairs.parquet" "${tune[@]}" --output_dir "$work/model"
  fi
  model=$work/model
done
say "staged $method: the model is $model"
