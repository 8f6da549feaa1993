#!/bin/bash
# limit.c's throughput by the size of each send() and by how much memory it
# sends from (a small window stays in the L1/L2 cache), and with sndbuf fixed.
#   bulksizes.sh [rounds]      SRV_CPU=0 CLI_CPU=1
set -u
. "$(dirname "$0")/paths.sh"
port=${PORT0:-9370}
pids=()
i=0
specs=()
for spec in 16K:16K 64K:64K 256K:256K 1M:1M 4M:4M 64K:4M 256K:4M 64K:64K:256K 64K:64K:1M; do
  IFS=: read -r b w s <<< "$spec"
  i=$((i + 1))
  setsid taskset -c ${SRV_CPU:-0} "$PEERS/limit" -p $((port + i)) -b $b -W $w ${s:+-B $s} 2> /dev/null &
  pids+=($!)
  [ -z "${PRIO:-}" ] || echo "$PRIO" > /proc/$!/autogroup
  specs+=(--sut "name=send-$b-from-$w${s:+-sndbuf-$s},pid=$!,small=http://127.0.0.1:$((port + i))/,bulk=http://127.0.0.1:$((port + i))/bin/1G")
done
sleep 0.5
here=$(cd "$(dirname "$0")" && pwd)
for t in '' --trunc; do
  python3 "$here/bench.py" bulk -c 1 --times 2 -r ${1:-5} $t ${PRIO:+--prio=$PRIO} --noise 30 --base send-4M-from-4M "${specs[@]}"
done
kill "${pids[@]}"
