#!/bin/bash
# Memory of idle keep-alive connections.
#   idle.sh one URL PID [steps]     any running server (PID: the master; its
#                                   children are counted too)
#   idle.sh peers [steps]           limit, nginx,, hyper, each started afresh
#   idle.sh many COUNT [workers]    limit.c with enough workers for COUNT connections
#   idle.sh manynginx COUNT         nginx likewise (listen ... reuseport)
# A process has 'ulimit -n' files at most, so that counts above it need several
# server processes; idle starts as many client processes as it needs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/paths.sh"
export PERF_RUN=${PERF_RUN:-$PEERS/run-idle} PIN= PORT0=${PORT0:-9300}
family() { # pid and all its descendants, comma-separated
  local out=$1 c
  for c in $(pgrep -P "$1"); do out=$out,$(family "$c"); done
  echo "$out"
}
one() { # url pid steps
  local hp=${1#http://} host port
  hp=${hp%%/*} host=${hp%:*} port=${hp#*:}
  "$PEERS/idle" -h "$host" -p "$port" -u "/${1#http://*/}" -s "$(family "$2")" -k "${3:-10000,19000}" ${IDLE_OPTS:-}
}
limit=$(ulimit -n)
case ${1:-} in
  one) one "$2" "$3" "${4:-}" ;;
  peers)
    for n in ${PEER_NAMES:-limit nginx hyper may h2o}; do
      "$here/peers.sh" start $n > /dev/null
      line=$("$here/peers.sh" list | head -1)
      pid=${line#*pid=} pid=${pid%%,*} url=${line#*small=} url=${url%%,*}
      echo "== $n"
      one "$url" "$pid" "${2:-}"
      "$here/peers.sh" stop
      sleep 1
    done ;;
  many)
    w=${3:-$(( $2 / (limit * 88 / 100) + 1 ))}
    "$PEERS/limit" -p $PORT0 -w $w -m reuseport & pid=$!
    sleep 1
    one "http://127.0.0.1:$PORT0/health" $pid "$2"
    kill $pid; wait $pid 2>/dev/null ;;
  manynginx)
    w=$(( $2 / (limit * 88 / 100) + 1 ))
    mkdir -p "$PERF_RUN"
    export WORKERS=$w
    "$here/peers.sh" start nginxreuse > /dev/null
    line=$("$here/peers.sh" list | head -1)
    pid=${line#*pid=} pid=${pid%%,*} url=${line#*small=} url=${url%%,*}
    one "$url" "$pid" "$2"
    "$here/peers.sh" stop ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac
