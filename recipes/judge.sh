#!/usr/bin/env bash
# Start a judge (a vLLM server), wait until it grades, and run a command beside it.
#
#   bash recipes/judge.sh MODEL                                                  # for a run elsewhere, until Ctrl-C
#   bash recipes/judge.sh MODEL -- bash recipes/launch.sh deepicd_r1/sft_grpo    # for one run, in the same Slurm job, too
#   bash recipes/judge.sh MODEL --max-num-seqs 64 -- COMMAND…                    # with arguments of vLLM
#   bash recipes/judge.sh --prm MODEL -- bash recipes/launch.sh clinical_prm/note_grpo    # a process reward model
#
# MODEL is a folder or a name on the Hugging Face hub, of another family than the policy: the paper's judge is
# meta-llama/Llama-3.1-8B-Instruct. A process reward model is a folder that sft.prm wrote. The command finds the server by
# JUDGE_URL and JUDGE_MODEL (PRM_URL and PRM_MODEL say the same of a process reward model), gets the GPUs that it leaves,
# and its exit status is this script's. The judge ends with it; a judge that dies is started again, while training waits.
set -euo pipefail

# --- knobs ------------------------------------------------------------------------------------------------------
JUDGE_GPUS="${JUDGE_GPUS:-1}"               # how many of the visible GPUs the judge takes, the last ones
JUDGE_PORT="${JUDGE_PORT:-8001}"            # where it listens
JUDGE_HOST="${JUDGE_HOST:-}"                # empty: this machine only, or its name in a job of several nodes
JUDGE_CONTEXT="${JUDGE_CONTEXT:-auto}"      # tokens of a prompt: what the model has and memory holds, or a number
JUDGE_WAIT="${JUDGE_WAIT:-1800}"            # seconds in which it must be ready to grade
JUDGE_RESTARTS="${JUDGE_RESTARTS:-5}"       # how often a judge that died is started again
JUDGE_LOG="${JUDGE_LOG:-${RUNS_DIR:-runs}/judge-$JUDGE_PORT.log}" # what vLLM prints
export JUDGE_API_KEY="${JUDGE_API_KEY:-}"   # empty: none on this machine, a random one in a job of several nodes
PYTHON="${PYTHON:-}"                        # empty: recipes/environment.sh finds it
# ----------------------------------------------------------------------------------------------------------------

fail() { echo "error: $1" >&2; exit 2; }

if [[ $# -eq 0 || $1 == -h || $1 == --help ]]; then
  sed -n '2,/^# ---.*knobs/{/^set -e/d;/knobs/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  sed -n '/^# ---.*knobs/,/^# -*$/{/^# -/d;s/^export //;s/="${[A-Z_]*:-\(.*\)}"/=\1/;p}' "${BASH_SOURCE[0]}"
  exit $(($# == 0 ? 2 : 0))
fi

grader=judge called=JUDGE
if [[ $1 == --prm ]]; then grader=clinical_note called=PRM; shift; [[ $# -gt 0 ]] || fail "a folder that sft.prm wrote must follow --prm"; fi
model=$1 arguments=() command=()
shift
while (($#)); do
  if [[ $1 == -- ]]; then shift; command=("$@"); [[ $# -gt 0 ]] || fail "a command must follow --"; break; fi
  arguments+=("$1"); shift
done

for knob in JUDGE_GPUS JUDGE_PORT JUDGE_WAIT JUDGE_RESTARTS; do
  [[ ${!knob} =~ ^[0-9]+$ ]] || fail "$knob=${!knob} is no whole number"
done
[[ $JUDGE_CONTEXT =~ ^([1-9][0-9]*|auto)$ ]] || fail "JUDGE_CONTEXT=$JUDGE_CONTEXT is neither a number of tokens nor auto"
if [[ -d $model ]]; then
  [[ -f $model/config.json ]] || fail "the folder $model has no config.json; give the folder of a model"
elif [[ ! $model =~ ^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9._-]+$ ]]; then
  fail "$model is neither a folder nor a name on the Hugging Face hub (organisation/model)"
fi
[[ $grader == judge || -f $model/prm.json ]] || fail "$model has no prm.json, so it is no process reward model; train one with python -m sft.prm"
model=$([[ -d $model ]] && cd "$model" && pwd || echo "$model")
here=$(pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd)
source recipes/environment.sh "${command[@]}"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
[[ $JUDGE_LOG == /* ]] || JUDGE_LOG=$root/$JUDGE_LOG

listen=127.0.0.1
if [[ -z $JUDGE_HOST && ${SLURM_JOB_NUM_NODES:-1} -gt 1 ]]; then JUDGE_HOST=$(hostname -f); fi
if [[ -n $JUDGE_HOST ]]; then
  listen=0.0.0.0
  [[ -n $JUDGE_API_KEY ]] || JUDGE_API_KEY=$("$PYTHON" -c 'import secrets; print(secrets.token_hex(16))')
fi
export JUDGE_URL="http://${JUDGE_HOST:-127.0.0.1}:$JUDGE_PORT/v1" JUDGE_MODEL=$model
[[ $grader == judge ]] || export PRM_URL=$JUDGE_URL PRM_MODEL=$JUDGE_MODEL
if (exec 3<>"/dev/tcp/127.0.0.1/$JUDGE_PORT") 2>/dev/null; then
  fail "port $JUDGE_PORT is in use, perhaps by another judge; set JUDGE_PORT to a free one"
fi

server=("$PYTHON" -m vllm.entrypoints.openai.api_server --model "$model" --served-model-name "$model"
  --host "$listen" --port "$JUDGE_PORT" --generation-config vllm --max-model-len "$JUDGE_CONTEXT")
server_env=(VLLM_NO_USAGE_STATS=1 HF_HUB_DISABLE_TELEMETRY=1 ${JUDGE_API_KEY:+"VLLM_API_KEY=$JUDGE_API_KEY"})
command_env=()
gpus=()
if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
  IFS=, read -ra gpus <<<"$CUDA_VISIBLE_DEVICES"
elif command -v nvidia-smi >/dev/null; then
  mapfile -t gpus < <(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null || true)
fi
if ((${#gpus[@]})); then
  rest=$((${#gpus[@]} - JUDGE_GPUS))
  ((JUDGE_GPUS > 0)) || fail "JUDGE_GPUS=0 leaves the judge no GPU"
  ((rest > 0 || (rest == 0 && ${#command[@]} == 0))) ||
    fail "of ${#gpus[@]} GPUs the judge takes $JUDGE_GPUS and the command gets none; ask for more or lower JUDGE_GPUS"
  server_env+=("CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${gpus[*]:rest}")")
  command_env+=("CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${gpus[*]:0:rest}")")
  server+=(--tensor-parallel-size "$JUDGE_GPUS")
else # a CPU: small and without compiling
  server_env+=("VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}" "OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY=PASSIVE)
  server+=(--enforce-eager --dtype float32)
fi
server+=("${arguments[@]}")
if ((${#gpus[@]})) && [[ " ${command[*]:0:2} " == *" recipes/launch.sh "* ]]; then # before the judge has been loaded for nothing
  words=()
  for word in "${command[@]:2}"; do [[ $word == name=* || $word == fresh=* ]] || words+=("$word"); done
  env "${command_env[@]}" "$PYTHON" -m recipes.memory "${words[@]}" --here >/dev/null
fi

judge="" job=""
follow=() # even a killed script leaves no judge behind, where util-linux is new enough
if setpriv --pdeathsig TERM true 2>/dev/null; then follow=(setpriv --pdeathsig TERM); fi

start() {
  setsid "${follow[@]}" env "${server_env[@]}" "${server[@]}" >>"$JUDGE_LOG" 2>&1 </dev/null &
  judge=$!
}

alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null; }

end() { # end JOB: the process group of a judge, or the command: ask, wait 20 s, then kill
  local target=$1 process=$2
  kill -TERM -- "$target" 2>/dev/null || return 0
  for _ in {1..200}; do alive "$process" || break; sleep 0.1; done
  kill -KILL -- "$target" 2>/dev/null || true
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  [[ -z $job ]] || ! alive "$job" || end "$job" "$job"
  [[ -z $judge ]] || end "-$judge" "$judge"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

await() { # until it grades, or a sentence why it never will
  local until=$((SECONDS + JUDGE_WAIT)) why=""
  while :; do
    alive "$judge" || fail "the judge ended before it could grade: $(cause); its log is $JUDGE_LOG"
    if (exec 3<>"/dev/tcp/127.0.0.1/$JUDGE_PORT") 2>/dev/null; then
      why=$("$PYTHON" -m "reward_fns.$grader.server" --timeout 60 2>&1) && return
    fi
    ((SECONDS < until)) || fail "the judge does not grade after $JUDGE_WAIT s (${why#error: }); its log is $JUDGE_LOG"
    sleep 1
  done
}

cause() { # the last error in the log; vLLM's warnings quote errors, too
  grep -av WARNING "$JUDGE_LOG" | grep -oE '(\w+\.)*\w*(Error|Exception): .*' | tail -n 1 | cut -c 1-300 | grep . ||
    echo "no error is named"
}

mkdir -p "$(dirname "$JUDGE_LOG")"
: >"$JUDGE_LOG"
echo "judge: starting $model (log: $JUDGE_LOG)" >&2
start
await
echo "judge: ready at $JUDGE_URL" >&2

if ((${#command[@]})); then
  cd "$here"
  env "${command_env[@]}" "${command[@]}" <&0 &
  job=$!
else
  echo "for a run elsewhere: export ${called}_URL=$JUDGE_URL ${called}_MODEL=$model${JUDGE_API_KEY:+ JUDGE_API_KEY=$JUDGE_API_KEY}"
fi
while [[ -z $job ]] || alive "$job"; do
  if ! alive "$judge"; then
    ((JUDGE_RESTARTS > 0)) || { echo "judge: it died again: $(cause); it stays down" >&2; break; }
    JUDGE_RESTARTS=$((JUDGE_RESTARTS - 1))
    kill -KILL -- "-$judge" 2>/dev/null || true # an engine that outlived its server still holds the GPU
    echo "judge: it died ($(cause)); starting it again" >&2
    start
  fi
  wait -n 2>/dev/null || true # for whichever ends first
done
if [[ -n $job ]]; then wait "$job"; else exit 1; fi
