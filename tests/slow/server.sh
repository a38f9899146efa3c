# Functions for the scripts of this folder: a server with its own database and port, which stops when the
# script ends.
# shellcheck shell=bash

# Installs Python packages of the tests into target/python.
python_packages() { # <pip requirement…>
  [ -x target/python/bin/pip ] || python3 -m venv target/python
  target/python/bin/pip install --quiet "$@"
}

# Sets `base`, such as http://127.0.0.1:43210.
start_server() { # <salam-cli; empty: target/release/salam-cli, which is built>
  local program=${1:-target/release/salam-cli}
  if [ -z "${1:-}" ]; then cargo build --quiet --release --bin salam-cli; fi
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/salam-slow.XXXXXX")
  env -u DATABASE_URL -u REDIS_URL -u PUBLIC_URL PORT=0 LOG_LEVEL=warn \
    DATABASE_URL="sqlite://$scratch/slow.sqlite?mode=rwc" \
    "$program" start -e development >"$scratch/log" 2>&1 &
  server=$!
  trap stop_server EXIT
  local _
  for _ in $(seq 600); do
    base=$(sed -n 's|^ *page  \(http://[^/]*\)/$|\1|p' "$scratch/log")
    if [ -n "$base" ]; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$scratch/log" >&2
  return 1
}

stop_server() {
  kill -INT "$server" 2>/dev/null || true
  wait "$server" || true
  rm -rf "$scratch"
}

# Checks that the server has logged no error.
expect_no_errors() {
  if grep -E ' ERROR |panicked' "$scratch/log" >&2; then
    echo "the server has logged errors" >&2
    return 1
  fi
}
