#!/bin/bash
# How evenly do the workers of a pre-fork server share the work?
#   balance.sh name=URL=MASTERPID [...]   a running server
#   balance.sh limit [workers]            limit.c in each of its listen modes
# Prints each worker's share of the CPU time and of the open connections under
# 100 keep-alive connections, then of the CPU time with a connection a request.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/paths.sh"
secs=${SECS:-4}
cpu() { awk '{print int($1/1000)}' /proc/$1/schedstat; } # us
socks() { ls -l /proc/$1/fd 2>/dev/null | grep -c socket:; }
share() { awk '{s=0; for(i=1;i<=NF;i++)s+=$i; for(i=1;i<=NF;i++)printf "%s%.0f%%",(i>1?" ":""),s?$i*100/s:0; print ""}' <<< "$*"; }
probe() { # name url masterpid
  local kids k a=() b=() d=() s=()
  kids=$(pgrep -P "$3")
  for k in $kids; do a+=($(cpu $k)); done
  wrk -t1 -c100 -d${secs}s "$2" > "$PEERS/balance.out" & local w=$!
  sleep $((secs / 2))
  for k in $kids; do s+=($(socks $k)); done
  wait $w
  local i=0
  for k in $kids; do d+=($(( $(cpu $k) - a[i] ))); i=$((i + 1)); done
  echo "$1 keep-alive c=100: $(awk '/Requests\/sec/ {print $2}' "$PEERS/balance.out") rps; CPU $(share "${d[@]}"); sockets ${s[*]}"
  a=() d=() i=0
  for k in $kids; do a+=($(cpu $k)); done
  wrk -t1 -c100 -d${secs}s -H 'Connection: close' "${4:-$2}" > "$PEERS/balance.out"
  for k in $kids; do d+=($(( $(cpu $k) - a[i] ))); i=$((i + 1)); done
  echo "$1 close c=100: $(awk '/Requests\/sec/ {print $2}' "$PEERS/balance.out") rps; CPU $(share "${d[@]}")"
}
if [ "${1:-}" = limit ]; then
  port=9390
  for m in shared exclusive reuseport; do
    port=$((port + 1))
    "$PEERS/limit" -p $port -w ${2:-2} -m $m 2> "$PEERS/balance.err" & pid=$!
    sleep 0.5
    probe "limit-$m" http://127.0.0.1:$port/health $pid http://127.0.0.1:$port/close
    kill $pid
    wait $pid
    cat "$PEERS/balance.err"
  done
else
  for s in "$@"; do
    rest=${s#*=}
    probe "${s%%=*}" "${rest%=*}" "${rest##*=}"
  done
fi
