# Where the scripts of this directory find what peers.sh builds; sourced, never run.
# shellcheck shell=bash
target=${CARGO_TARGET_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/target}
export PEERS=${PEERS:-$target/bench/floor}
# nginx's packages for Lua, unpacked: scripts/bench lua fetches them.
export LUA_DEBS=${LUA_DEBS:-$target/bench/nginx-lua}
mkdir -p "$PEERS"
