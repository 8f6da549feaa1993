#!/bin/bash
# Runs sections of measurements against the servers in $PERF_RUN/suts
# (peers.sh start) and any others given as --sut SPEC; tables go to standard
# output. usage: baseline.sh SECTION... [-- extra bench.py arguments]
#   sections: small64 small256 fire64 pipeline close bulk bulk8 syscalls
#   ROUNDS=9 SECS=2: short slices in many rounds, because the speed of a shared
#   machine drifts within seconds
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/paths.sh"
run=${PERF_RUN:-$PEERS/run}
r=${ROUNDS:-9} d=${SECS:-2}
only=${ONLY:-limit,nginx,h2o,lighttpd,may,hyper,actix,ntex}
sections=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do sections+=("$1"); shift; done
[ $# -gt 0 ] && shift
b() { python3 "$here/bench.py" "$@" --suts "$run/suts" --json "$run/runs.jsonl" -r $r -d $d ${PRIO:+--prio=$PRIO}; }
for s in "${sections[@]}"; do
  case $s in
    small64)  b small -c 64 --only $only "$@" ;;
    small256) b small -c 256 --only $only "$@" ;;
    fire64)   b small -c 64 --client fire --only $only "$@" ;;
    pipeline) b pipeline -c 64 --only $only "$@" ;;
    close)    b close -c 64 --only limit,limitdefer,${only#limit,} "$@" ;;
    bulk)     for t in '' --trunc; do b bulk -c 1 --times ${TIMES:-3} $t --only limit,limitsf,limitsp,nginx,h2o,lighttpd "$@"; done ;;
    bulk8)    for t in '' --trunc; do b bulk -c 8 --times 1 $t --only limit,limitsf,nginx,h2o,lighttpd "$@"; done ;;
    syscalls) b syscalls --strace -c 64 --only $only "$@" ;;
    *) echo "no section $s" >&2 ;;
  esac
done
