#!/bin/sh
# Measures edges of dora-rs through its Python API: dora-edges.sh SIZE...; prints JSON for antiphon-bench runtime.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${DORA_PYTHON:-python3}
program=$("$python" -c 'import sys; print(sys.executable)')
dora=$(dirname "$program")/dora
[ -x "$dora" ] || dora=dora
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
separator="["
for size in "$@"; do
  # dora drops what does not fit a queue, so it has room for the whole flood.
  cat >"$work/dataflow.yml" <<END
nodes:
  - id: ping
    path: $program
    args: $here/dora_edges.py ping $size $work/result.json
    inputs:
      back:
        source: pong/back
        queue_size: 10
    outputs: [there, flood]
  - id: pong
    path: $program
    args: $here/dora_edges.py pong $size
    inputs:
      there:
        source: ping/there
        queue_size: 10
      flood:
        source: ping/flood
        queue_size: 4000
    outputs: [back]
END
  rm -f "$work/result.json"
  (cd "$work" && timeout 60 "$dora" run dataflow.yml) >"$work/log" 2>&1 || true
  if [ -f "$work/result.json" ]; then
    printf '%s' "$separator"
    cat "$work/result.json"
    separator=","
  else
    echo "dora-rs did not finish with messages of $size bytes" >&2
  fi
done
[ "$separator" = "[" ] && printf '['
echo "]"
