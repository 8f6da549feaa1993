# Shell pieces that the scripts share; sourced, never run.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# help: prints the comment at the top of the script that runs.
help() { awk 'NR > 1 && /^#/ { sub(/^# ?/, ""); print; next } NR > 1 { exit }' "$0"; }

# bounded SECONDS COMMAND...: runs it without input; at the deadline, or when
# this script is told to stop, its whole process group is ended.
bounded() {
  local job status=0
  set -m # a process group of its own, and INT not ignored as in `command &`
  timeout --kill-after=15 "$@" < /dev/null &
  job=$!
  set +m
  # shellcheck disable=SC2064 # the job's number now, not when the signal comes
  trap "kill -TERM $job 2> /dev/null; wait $job; exit 130" INT TERM HUP
  wait "$job" || status=$?
  trap - INT TERM HUP
  [ $status -ne 124 ] || say "ended after $1 s, its time limit: ${*:2}"
  return $status
}

# need COMMAND[=PACKAGES] or need 'FILE=PACKAGES'...: installs the Debian packages
# of the commands and files that are missing. Silent if none is. A file is a
# pattern that contains a /.
need() {
  local item missing=() admin=() apt log
  PATH=$PATH:/usr/sbin:/sbin # where a user's shell does not look for nginx
  for item in "$@"; do
    case ${item%%=*} in
      */*) compgen -G "${item%%=*}" > /dev/null ;;
      *) command -v "${item%%=*}" > /dev/null ;;
    esac || read -ra missing <<< "${missing[*]} ${item#*=}"
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    # Asks for a password only on a terminal.
    if command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
      admin=(sudo)
    else
      say "please install as root: apt-get install ${missing[*]}"
      return 1
    fi
  fi
  if ! command -v apt-get > /dev/null; then
    say "please install (names of Debian packages): ${missing[*]}"
    return 1
  fi
  say "installing by apt-get: ${missing[*]}"
  log=$(mktemp)
  apt=("${admin[@]}" env DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -y -q -o DPkg::Lock::Timeout=120)
  # The package lists of a fresh container are empty, those of an old one stale: update them and try again.
  if "${apt[@]}" install --no-install-recommends "${missing[@]}" > "$log" 2>&1 < /dev/null ||
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } > "$log" 2>&1 < /dev/null; then
    rm -f "$log"
  else
    tail -n 5 "$log" >&2
    rm -f "$log"
    say "could not install ${missing[*]}"
    return 1
  fi
  # Debian starts these at once and at every boot; only the program is wanted.
  [ -d /run/systemd/system ] || return 0
  for item in "${missing[@]}"; do
    case $item in nginx | haproxy) "${admin[@]}" systemctl disable --now --quiet "$item" || say "could not stop the service $item; it may be running" ;; esac
  done
}

# need_python DIRECTORY PACKAGE...: makes a virtual environment with these packages
# of PyPI. Silent and fast if it is there already.
need_python() {
  local directory=$1 stamp log
  shift
  need python3="python3 python3-venv"
  # A new Python does not see what was installed for the old one.
  stamp="$(python3 -V) $*"
  [ ! -x "$directory/bin/python" ] || [ "$(cat "$directory/packages" 2> /dev/null)" != "$stamp" ] || return 0
  # Debian's python3 alone cannot fill an environment. `ensurepip` is not a command, and so always "missing".
  python3 -c 'import ensurepip' 2> /dev/null || need ensurepip=python3-venv || return 1
  say "installing by pip into $directory: $*"
  log=$(mktemp)
  if { timeout 300 python3 -m venv --clear "$directory" &&
    timeout 300 "$directory/bin/pip" install --disable-pip-version-check "$@"; } > "$log" 2>&1 < /dev/null; then
    echo "$stamp" > "$directory/packages"
    rm -f "$log"
  else
    tail -n 5 "$log" >&2
    rm -f "$log"
    say "could not install $* by pip"
    return 1
  fi
}
