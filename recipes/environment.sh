# shellcheck shell=bash
# The Python that the scripts here start, for them to source in the repository's folder:
#
#   source recipes/environment.sh "$@"
#
# PYTHON if the caller has set it; else the environment that `make` has set up for what is there, .venv-gpu where a GPU is
# visible and the words do not say hardware=cpu, .venv-cpu elsewhere; else the other one of the two; else `python`.
if [[ -z ${PYTHON:-} ]]; then
  PYTHON=python
  environments=(.venv-gpu .venv-cpu) # the last that exists is taken
  if [[ " $* " != *" hardware=cpu "* ]] && nvidia-smi -L >/dev/null 2>&1; then environments=(.venv-cpu .venv-gpu); fi
  for environment in "${environments[@]}"; do
    if [[ -x $environment/bin/python ]]; then PYTHON=$PWD/$environment/bin/python; fi
  done
fi
export PYTHON
