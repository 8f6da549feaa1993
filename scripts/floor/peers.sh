#!/bin/bash
# Builds, starts, lists and stops the reference servers, each on its own port of
# 127.0.0.1 and pinned to one CPU, and writes the file that bench.py --suts reads.
#
#   PEERS=directory of the binaries, by default target/bench/floor   PERF_RUN=scratch directory
#   PRIO=-15 scheduling-group priority of the servers (root; empty: unchanged)
#   SRV_CPU=0   PORT0=9100   FILES=tmpfs directory for the bulk files
#
# usage: peers.sh build [name...] | start [name...] | list | stop | clean (the bulk files, 1.1 GiB of memory)
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/paths.sh"
run=${PERF_RUN:-$PEERS/run}
cpu=${SRV_CPU:-0}
port0=${PORT0:-9100}
files=${FILES:-/dev/shm/perf-files}
workers=${WORKERS:-1}
mkdir -p "$run"

build() { # the C programs and the Rust peers; those that are newer than their source stay
  local name source
  for name in ${@:-limit idle fire sink may hyper actix ntex}; do
    case $name in
      limit | idle | fire | sink)
        [ "$PEERS/$name" -nt "$here/$name.c" ] || gcc -O2 -o "$PEERS/$name" "$here/$name.c" || return 1 ;;
      may | hyper | actix | ntex)
        source=$here/peers/$name-hello
        [ "$PEERS/target/release/$name-hello" -nt "$source/src/main.rs" ] && [ "$PEERS/target/release/$name-hello" -nt "$source/Cargo.toml" ] && continue
        mkdir -p "$PEERS/src"
        rm -rf "$PEERS/src/$name"
        cp -r "$source" "$PEERS/src/$name"
        (cd "$PEERS/src/$name" && CARGO_TARGET_DIR=$PEERS/target cargo build -q --release --locked) || return 1
        touch "$PEERS/target/release/$name-hello" ;;
      *) echo "peers.sh: nothing is built for $name" >&2; return 1 ;;
    esac
  done
}

bulk_files() {
  mkdir -p "$files"
  printf ok > "$files/health"
  [ -s "$files/100M" ] || head -c 100M /dev/zero | tr '\0' A > "$files/100M"
  [ -s "$files/1G" ] || head -c 1G /dev/zero | tr '\0' A > "$files/1G"
}

fill() { # template port [multi_accept] [listen]
  local lua='' lua_server=''
  if [ -n "${LUA_ROOT:-}" ]; then
    lua="load_module $LUA_ROOT/usr/lib/nginx/modules/ndk_http_module.so; load_module $LUA_ROOT/usr/lib/nginx/modules/ngx_http_lua_module.so;"
    lua_server=$(cat "$here/conf/nginx-lua-http.in")
  fi
  T=$(cat "$here/conf/$1") RUN=$run PORT=$2 WORKERS=$workers FILES=$files MULTI=${3:-} LISTEN=${4:-} LUA=$lua LUA_SERVER=$lua_server \
  python3 - <<'P'
import os
t = os.environ['T']
for k, e in (('RUN','RUN'),('PORT','PORT'),('WORKERS','WORKERS'),('FILES','FILES'),('MULTI_ACCEPT','MULTI'),
             ('LISTEN','LISTEN'),('LUA_SERVER','LUA_SERVER'),('LUA','LUA')):
    t = t.replace('@%s@' % k, os.environ[e])
print(t)
P
}

launch() { # name port command...
  local name=$1 port=$2
  shift 2
  # PIN= (empty) leaves the scheduler free
  setsid ${PIN-taskset -c $cpu} "$@" > "$run/$name.log" 2>&1 < /dev/null &
  echo "$! $port $name" >> "$run/pids"
  # each process group with its own tty session (setsid) is scheduled as one group: nice values only count inside it
  [ -z "${PRIO:-}" ] || echo "$PRIO" > /proc/$!/autogroup
}

start_one() {
  local n=$1 p
  case $n in
    limit)    p=$((port0 + 1)); launch $n $p "$PEERS/limit" -p $p ;;
    limitdefer) p=$((port0 + 2)); launch $n $p "$PEERS/limit" -d -p $p ;;
    nginx)    p=$((port0 + 3)); fill nginx.conf.in $p > "$run/nginx-$p.conf"
              launch $n $p nginx -c "$run/nginx-$p.conf" ;;
    nginxreuse) p=$((port0 + 15)); fill nginx.conf.in $p '' reuseport > "$run/nginx-$p.conf"
              launch $n $p nginx -c "$run/nginx-$p.conf" ;;
    h2o)      p=$((port0 + 4)); fill h2o.conf.in $p > "$run/h2o-$p.conf"
              launch $n $p h2o -m worker -c "$run/h2o-$p.conf" ;;
    lighttpd) p=$((port0 + 5)); fill lighttpd.conf.in $p > "$run/lighttpd-$p.conf"
              launch $n $p lighttpd -D -f "$run/lighttpd-$p.conf" ;;
    may)      p=$((port0 + 7)); launch $n $p "$PEERS/target/release/may-hello" 127.0.0.1:$p ;;
    hyper)    p=$((port0 + 8)); launch $n $p "$PEERS/target/release/hyper-hello" 127.0.0.1:$p ;;
    actix)    p=$((port0 + 9)); launch $n $p "$PEERS/target/release/actix-hello" 127.0.0.1:$p ;;
    ntex)     p=$((port0 + 10)); launch $n $p "$PEERS/target/release/ntex-hello" 127.0.0.1:$p ;;
    nginxlua) p=$((port0 + 11)); LUA_ROOT=$LUA_DEBS fill nginx.conf.in $p > "$run/nginx-$p.conf"
              sed -i "s#^http {#&\n    lua_package_path \"$LUA_DEBS/usr/share/lua/5.1/?.lua;;\";#" "$run/nginx-$p.conf"
              LD_LIBRARY_PATH=$LUA_DEBS/usr/lib/x86_64-linux-gnu:$LUA_DEBS/lib/x86_64-linux-gnu launch $n $p nginx -c "$run/nginx-$p.conf" ;;
    *) echo "no peer $n" >&2; return 1 ;;
  esac
}

list() { # one line a server, as bench.py --suts reads them
  while read -r pid p n; do
    kill -0 "$pid" 2>/dev/null || { echo "# $n did not start, see $run/$n.log" >&2; continue; }
    u=http://127.0.0.1:$p
    case $n in
      limit) echo "name=$n,pid=$pid,small=$u/health,close=$u/close,bulk=$u/bin/1G"
             echo "name=limitsf,pid=$pid,small=$u/health,bulk=$u/sf/1G"
             echo "name=limitsp,pid=$pid,small=$u/health,bulk=$u/sp/1G" ;;
      limitdefer) echo "name=$n,pid=$pid,small=$u/health,close=$u/close,bulk=$u/bin/1G" ;;
      nginx|nginxreuse) echo "name=$n,pid=$pid,small=$u/health,bulk=$u/bin/1G" ;;
      nginxlua) echo "name=$n,pid=$pid,small=$u/lua,stream=$u/stream" ;;
      h2o|lighttpd) echo "name=$n,pid=$pid,small=$u/health,bulk=$u/1G" ;;
      *) echo "name=$n,pid=$pid,small=$u/health" ;;
    esac
  done < "$run/pids"
}

case ${1:-} in
  build) shift; build "$@" ;;
  start) shift; bulk_files; touch "$run/pids"
         for n in ${@:-limit nginx h2o lighttpd may hyper actix ntex}; do start_one $n; done
         sleep 1.5; list | tee "$run/suts" ;;
  list) list ;;
  clean) rm -f "$files"/health "$files"/100M "$files"/1G; rmdir "$files" ;;
  stop) # the whole process group: a server's workers, too
        if [ -f "$run/pids" ]; then
          while read -r pid p n; do kill -TERM -- "-$pid" 2>/dev/null; done < "$run/pids"
          sleep 0.7
          while read -r pid p n; do kill -KILL -- "-$pid" 2>/dev/null; done < "$run/pids"
        fi
        rm -f "$run/pids" "$run/suts" ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
