#!/usr/bin/env bash
# What clinical_prm's recipes train with hardware=cpu, made on first use: a synthetic clinic, a tiny writer of notes, and a
# tiny process reward model. The commands are those of README.md here, which says what they do.
#
#   bash recipes/clinical_prm/laptop.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source recipes/environment.sh hardware=cpu
out=outputs/clinic
unset DATA_DIR MODEL_PATH BASE_MODEL # everything is made from what is made here

made() { # made FILE MODULE WORDS…: run the command unless what it leaves is there
  [[ -e $1 ]] || "$PYTHON" -m "${@:2}"
}

made $out/dialogues data_prep.synthesize --out $out/dialogues --dialogues 3000
made $out/data/clinical_note/manifest.json data_prep.clinical_notes --dialogues $out/dialogues --out $out/data --inject rules
made $out/model data_prep.tiny_model --note $out/dialogues --out $out/model --vocab 1024 --hidden 96 --layers 3
made $out/prm/model.safetensors sft.prm --config recipes/clinical_prm/sft/tiny.yaml
made $out/writer/model.safetensors sft.train --config recipes/clinical_prm/sft/writer_tiny.yaml
