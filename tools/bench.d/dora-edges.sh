#!/bin/sh
# Measures edges of dora-rs through its Python API: dora-edges.sh SIZE...; prints JSON for antiphon-bench runtime.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${DORA_PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sizes=$(echo "$*" | tr ' ' ',')
program=$("$python" -c 'import sys; print(sys.executable)')
cat >"$work/dataflow.yml" <<END
nodes:
  - id: ping
    path: $program
    args: $here/dora_edges.py ping $sizes $work/result.json
    inputs:
      back:
        source: pong/back
        queue_size: 1000
    outputs: [there, flood]
  - id: pong
    path: $program
    args: $here/dora_edges.py pong $sizes $work/result.json
    inputs:
      there:
        source: ping/there
        queue_size: 1000
      flood:
        source: ping/flood
        queue_size: 1000
    outputs: [back]
END
dora=$(dirname "$program")/dora
[ -x "$dora" ] || dora=dora
(cd "$work" && timeout 120 "$dora" run dataflow.yml) >&2
cat "$work/result.json"
