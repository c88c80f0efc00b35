#!/usr/bin/env bash
# The whole chain on a laptop: synthetic MIMIC -> parquet -> SFT -> evaluation -> GRPO -> evaluation -> report.
#
#   bash recipes/demo.sh            # or `make demo`; finished stages are reused
#   FRESH=1 bash recipes/demo.sh    # start over
#   UNTIL=sft bash recipes/demo.sh  # data and model only, which DRG recipes with hardware=cpu train (sft_icd: those of ICD)
#
# Every stage is a command that users type for their own data; what it printed is in outputs/demo/logs.
set -euo pipefail

# --- knobs ------------------------------------------------------------------------------------------------------
FRESH="${FRESH:-}"            # not empty: throw away what earlier demos made
NOTES="${NOTES:-3200}"        # synthetic discharge summaries; about three quarters become cases
WORDS="${WORDS:-50}"          # words of a hospital course
EPOCHS="${EPOCHS:-8}"         # of SFT
STEPS="${STEPS:-20}"          # GRPO steps
CASES="${CASES:-317}"         # test cases, at most
UNTIL="${UNTIL:-}"            # data, sft, sft_icd, sft_icd_set or sft_answer_first: stop when that is there
# ----------------------------------------------------------------------------------------------------------------

if [[ ${1:-} == -h || ${1:-} == --help ]]; then sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0; fi
(($# == 0)) || { echo "error: recipes/demo.sh takes no words and was given $*; choices are variables before it, see --help" >&2; exit 2; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=outputs/demo
source recipes/environment.sh hardware=cpu
[[ ,,data,sft,sft_icd,sft_icd_set,sft_answer_first, == *",$UNTIL,"* ]] || { echo "error: UNTIL=$UNTIL is none of data, sft, sft_icd, sft_icd_set, sft_answer_first" >&2; exit 2; }
mkdir -p "$out"
exec {lock}<"$out" # one demo at a time makes things here
flock --nonblock "$lock" || { echo "another demo is at work in $out; waiting for it" >&2; flock "$lock"; }
[[ -z $FRESH ]] || rm -rf "${out:?}"/*
mkdir -p "$out/logs" "$out/stages"
export DATA_DIR=$out/data RUNS_DIR=$out/runs MODEL_PATH=$out/sft

chain="" number=0
stage() { # stage WHAT OUTPUT COMMAND…: run the command unless the same command, after the same ones, has finished
  local what=$1 output=$2 began=$SECONDS status=0; shift 2
  number=$((number + 1))
  local name; name=$(printf '%02d' "$number")
  chain=$(printf '%s\n%s' "$chain" "$*" | sha256sum | cut -d' ' -f1)
  printf '%s  %-46s ' "$name" "$what"
  if [[ -f $out/stages/$name.done && $(<"$out/stages/$name.done") == "$chain" ]]; then echo "reused"; return; fi
  # what an interrupted stage left is continued; what another command made is not
  [[ -f $out/stages/$name.begun && $(<"$out/stages/$name.begun") == "$chain" ]] || rm -rf "${output:?}"
  echo "$chain" >"$out/stages/$name.begun"
  "$@" >"$out/logs/$name.log" 2>&1 {lock}<&- || status=$?
  if ((status)); then
    printf 'failed\n' && tail -n 15 "$out/logs/$name.log" >&2
    echo "error: stage $name ($*) ended with status $status; its output is $out/logs/$name.log" >&2
    exit "$status"
  fi
  echo "$chain" >"$out/stages/$name.done"
  printf '%4d s\n' $((SECONDS - began))
}

grpo=$RUNS_DIR/drg_sapphire/strict/demo
test_set=$DATA_DIR/drg/test.parquet
sampling=(--n 8 --temperature 0.6 --top-p 0.95 --max-tokens 128 --limit "$CASES")

stage "synthetic MIMIC-IV, $NOTES notes" $out/mimic \
  "$PYTHON" -m data_prep.synthesize --out $out/mimic --notes "$NOTES" --words "$WORDS" --rivals 1 --asides 3
stage "tiny model and tokenizer" $out/model \
  "$PYTHON" -m data_prep.tiny_model --note $out/mimic/note --out $out/model
stage "cohort, splits and prompts as parquet" $DATA_DIR/drg \
  "$PYTHON" -m data_prep.drg --hosp $out/mimic/hosp --note $out/mimic/note --out $DATA_DIR --split patient \
  --tokenizer $out/model --max-prompt-tokens 384
case $UNTIL in # what other recipes start from on a laptop has numbers of its own
  data | sft_icd)
    number=19
    stage "the same for ICD-10-CM" $DATA_DIR/icd \
      "$PYTHON" -m data_prep.icd --hosp $out/mimic/hosp --note $out/mimic/note --out $DATA_DIR --split patient \
      --tokenizer $out/model --max-prompt-tokens 384
    [[ $UNTIL != data ]] || exit 0
    stage "supervised fine-tuning for ICD-10-CM (trl)" $out/sft_icd \
      "$PYTHON" -m sft.train --config recipes/deepicd_r1/sft/tiny.yaml --output_dir $out/sft_icd
    exit 0 ;;
  sft_icd_set)
    number=40
    stage "synthetic cases with sets of codes" $out/corpus \
      "$PYTHON" -m data_prep.synthesize --out $out/corpus --notes "$NOTES" --words "$WORDS" --codiesp
    stage "the same as CodiEsp's" $DATA_DIR/codiesp \
      "$PYTHON" -m data_prep.codiesp --corpus $out/corpus/codiesp --out $DATA_DIR \
      --tokenizer $out/model --max-prompt-tokens 384
    stage "supervised fine-tuning for sets of codes (trl)" $out/sft_icd_set \
      "$PYTHON" -m sft.train --config recipes/codiesp/sft/tiny.yaml --output_dir $out/sft_icd_set
    exit 0 ;;
  sft_answer_first) # two epochs teach the form
    number=30
    stage "fine-tuning that answers first (trl)" $out/sft_answer_first \
      "$PYTHON" -m sft.train --config recipes/drg_sapphire/sft/tiny.yaml --output_dir $out/sft_answer_first \
      --style answer_first --num_train_epochs 2
    exit 0 ;;
esac
stage "supervised fine-tuning (trl)" $out/sft \
  "$PYTHON" -m sft.train --config recipes/drg_sapphire/sft/tiny.yaml --num_train_epochs "$EPOCHS"
[[ $UNTIL != sft ]] || exit 0
stage "evaluation before GRPO: generate (vLLM)" $out/eval/sft \
  "$PYTHON" -m eval.generate --data $test_set --model $out/sft --out $out/eval/sft "${sampling[@]}"
stage "evaluation before GRPO: score" $out/eval/sft/scores.json \
  "$PYTHON" -m eval.score --generations $out/eval/sft
stage "GRPO, $STEPS steps (verl, FSDP2, vLLM)" $grpo \
  bash recipes/launch.sh drg_sapphire/strict hardware=cpu name=demo \
  data.train_files=$DATA_DIR/drg/rl/full_75.parquet trainer.total_training_steps="$STEPS"
stage "evaluation after GRPO: generate (vLLM)" $out/eval/grpo \
  "$PYTHON" -m eval.generate --data $test_set --model $grpo/hf_model --out $out/eval/grpo "${sampling[@]}"
stage "evaluation after GRPO: score" $out/eval/grpo/scores.json \
  "$PYTHON" -m eval.score --generations $out/eval/grpo --against $out/eval/sft
stage "report" $out/report \
  "$PYTHON" -m eval.report --runs $out/eval/sft $out/eval/grpo $grpo --out $out/report
cat "$out/logs/$(printf '%02d' "$number").log"
"$PYTHON" -m eval.seen $out/eval/grpo/scores.json
