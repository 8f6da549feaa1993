#!/bin/bash
# System calls per connection when each request has its own connection:
#   closecalls.sh name=URL=PID [...]     (URL must close, or be closed for 'Connection: close')
# The count is perf stat's (the server at full speed), the kinds are strace's.
set -u
. "$(dirname "$0")/paths.sh"
family() { local out=$1 c; for c in $(pgrep -P "$1"); do out=$out,$(family "$c"); done; echo "$out"; }
for s in "$@"; do
  name=${s%%=*} rest=${s#*=}
  url=${rest%=*} pids=$(family "${rest##*=}")
  perf stat -x , -e raw_syscalls:sys_enter -p "$pids" 2> "$PEERS/cc.perf" & p=$!
  sleep 0.5
  n=$(taskset -c 1 "$PEERS/fire" -x -c 64 -t 2 "$url" | awk '{print $4}')
  kill -INT $p; wait $p 2>/dev/null
  calls=$(awk -F, '/sys_enter/ {print $1}' "$PEERS/cc.perf")
  strace -c -f -q ${pids:+-p ${pids//,/ -p }} 2> "$PEERS/cc.strace" & p=$!
  sleep 0.7
  m=$(taskset -c 1 "$PEERS/fire" -x -c 64 -t 2 "$url" | awk '{print $4}')
  kill -INT $p; wait $p 2>/dev/null
  echo "$name: $(awk -v c="$calls" -v n="$n" 'BEGIN {printf "%.2f", c / n}') a connection; $(awk -v n="$m" '$1 ~ /^[0-9.]+$/ && $NF != "total" && n && $4 / n > 0.01 {printf "%s %.2f  ", $NF, $4 / n}' "$PEERS/cc.strace")"
done
