# Functions that install missing tools of the tests, by apt-get or brew. Sourced in the project's root.
# shellcheck shell=bash

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install() { # <package of apt> <package of brew> <option of apt-get…>
  echo "==> installing $1"
  if command -v apt-get >/dev/null; then
    as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq "${@:3}" "$1" >/dev/null
  elif command -v brew >/dev/null; then
    brew install --quiet "$2"
  else
    echo "bin/${0##*/}: $1 is missing, and cannot be installed without apt-get or brew" >&2
    exit 1
  fi
}

# Installs a server, and stops it: Debian starts installed servers, but the tests start their own.
install_server() { # <package of apt> <name of the service, and package of brew> <option of apt-get…>
  install "$@"
  if command -v systemctl >/dev/null; then
    as_root systemctl disable --now "$2" >/dev/null 2>&1 || true
  elif command -v service >/dev/null; then
    as_root service "$2" stop >/dev/null 2>&1 || true
  fi
}

# Prints the folder of PostgreSQL's server programs, which Debian and Homebrew do not put on the PATH.
postgres_bin() {
  local initdb
  for initdb in /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb \
    /usr/local/opt/postgresql*/bin/initdb "$(command -v initdb || true)"; do
    if [ -x "$initdb" ]; then
      dirname "$initdb"
      return
    fi
  done
}

# Prints a python3 that has websockets. The tests search the same places.
python_with_websockets() {
  local python
  for python in target/python/bin/python3 $(type -aP python3 || true) /usr/bin/python3; do
    if "$python" -c 'import websockets' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

install_websockets() {
  if command -v apt-get >/dev/null; then
    install python3-websockets -
  else
    command -v python3 >/dev/null || install python3 python3
    echo "==> installing websockets from PyPI into target/python"
    python3 -m venv target/python
    target/python/bin/pip install --quiet websockets
  fi
}

# Installs one version of an npm package into a folder of its own: npm removes other packages of the folder.
install_npm() { # <package> <version> <folder>
  local installed=$3/node_modules/$1/package.json
  if [ -f "$installed" ] && grep -q "\"version\": \"$2\"" "$installed"; then return; fi
  command -v npm >/dev/null || install npm node
  echo "==> installing $1 from npm into $3"
  npm install --prefix "$3" --no-save --no-audit --no-fund --silent "$1@$2"
}

# Checks the accessibility of the page.
install_axe() { install_npm axe-core 4.14.1 target/node; }

# Checks the types of the page's scripts.
install_typescript() { install_npm typescript 5.9.3 target/typescript; }

# Installs the tools of `bin/test --fast`.
install_for_tests() {
  command -v redis-server >/dev/null || install redis-server redis
  command -v openssl >/dev/null || install openssl openssl
  command -v curl >/dev/null || install curl curl
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || install_server nginx-light nginx
  command -v caddy >/dev/null || install_server caddy caddy
  command -v chromedriver >/dev/null || { install chromium-driver chromedriver; install chromium chromium; }
  python_with_websockets >/dev/null || install_websockets
  install_promtool
  install_axe
}

# Installs promtool, which is part of Prometheus and checks the alert rules. The script continues without it:
# tests/operations reports the checks that it skips.
install_promtool() {
  command -v promtool >/dev/null && return
  (install_server prometheus prometheus --no-install-recommends) || echo "==> promtool could not be installed"
}

# Installs the tools of tests/deployment. The script continues without them: tests/deployment reports the checks that
# it skips.
install_deployment_tools() {
  local problem="could not be installed"
  command -v docker-compose >/dev/null || (install docker-compose docker-compose) || echo "==> docker-compose $problem"
  if [ "$(uname)" = Linux ]; then
    command -v buildah >/dev/null || (install buildah - --no-install-recommends) || echo "==> buildah $problem"
  fi
  if ! target/python/bin/python3 -c 'import kubernetes_validate' 2>/dev/null; then
    echo "==> installing kubernetes-validate from PyPI into target/python"
    ([ -x target/python/bin/pip ] || python3 -m venv target/python) &&
      target/python/bin/pip install --quiet kubernetes-validate==1.37.0 || echo "==> kubernetes-validate $problem"
  fi
}

# Installs the further tools of `bin/test`.
install_postgres() {
  if [ -z "$(postgres_bin)" ]; then install postgresql postgresql; fi
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || install_server pgbouncer pgbouncer
}

# Installs the further tools of `bin/test --all`.
install_slowhttptest() {
  command -v slowhttptest >/dev/null || install slowhttptest slowhttptest
}

install_faketime() {
  compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || install faketime libfaketime
}

# Prints a version such as `1.95.0 (f2d3ce0bd 2026-03-21)`; prints nothing for a missing program.
version_of() { # <program>
  "$1" --version 2>/dev/null | sed -n '1s/^[^ ]* //p' || true
}

# Installs the tool of `cargo loco generate`, in the version of Cargo.lock; replaces another version. A debug
# build takes a third of the time, and is fast enough.
install_sea_orm_cli() {
  local wanted
  wanted=$(sed -n '/^name = "sea-orm-cli"$/{n;s/^version = "\(.*\)"$/\1/p;}' Cargo.lock)
  if [ "$(version_of sea-orm-cli)" = "$wanted" ]; then return; fi
  echo "==> installing sea-orm-cli $wanted"
  cargo install sea-orm-cli --version "$wanted" --locked --debug --quiet --no-default-features \
    --features cli,codegen,runtime-tokio-rustls,sqlx-sqlite,sqlx-postgres
  if [ "$(version_of sea-orm-cli)" != "$wanted" ]; then
    echo "bin/${0##*/}: sea-orm-cli $wanted was installed, but is not on the PATH: put cargo's bin folder first" >&2
    exit 1
  fi
}
