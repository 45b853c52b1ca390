# What the scripts share. Sourced, never run: the sourcing script sets `-euo pipefail`.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for the sourcing scripts

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Everything downloaded or built lies here. Not below a folder of mode 0700 such as root's home: with user
# namespaces the container runtime must be able to reach it.
cache=${CLARITY_CACHE:-/var/cache/kubectl-clarity}
bin=$cache/bin
state=$cache/cluster

# The binaries are static, so that they run from an empty image and on any Linux.
export CARGO_BUILD_TARGET=${CARGO_BUILD_TARGET:-x86_64-unknown-linux-gnu}
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

say() { printf '%s\n' "$*" >&2; }
step() { printf '\n== %s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# wait_for SECONDS COMMAND...: tries ten times a second until the command succeeds.
wait_for() {
  local tries=$(($1 * 10))
  shift
  for (( ; tries > 0; tries--)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  say "gave up waiting for: $*"
  return 1
}

# need_commands COMMAND...: ends with words instead of "command not found" in the middle of something.
need_commands() {
  local command
  for command; do
    command -v "$command" >/dev/null || die "$command is not installed"
  done
}

# need_packages PACKAGE...: installs the Debian packages that are missing; silent when there are none.
need_packages() {
  local package missing=()
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  need_commands apt-get
  [ "$(id -u)" = 0 ] || die "as root, install: ${missing[*]}"
  say "installing ${missing[*]}"
  [ -n "${apt_updated:-}" ] || apt-get update -qq >&2
  apt_updated=yes
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# static_pause FILE: a program that waits to be told to stop and reaps what is left to it. It is what the
# sandboxes run, and the fixture images that hold no shell.
static_pause() {
  gcc -static -O2 -s -x c -o "$1" - <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void quit(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, quit); signal(SIGINT, quit); signal(SIGCHLD, reap); for (;;) pause(); }
C
}

# build_plugin: both binaries, and the plugin where kubectl finds it.
build_plugin() {
  need_commands cargo
  need_packages gcc libc6-dev
  cargo build --locked --bins --manifest-path "$project/Cargo.toml"
  export PATH=$CARGO_TARGET_DIR/$CARGO_BUILD_TARGET/debug:$PATH
}

# use_cluster: takes over what `scripts/cluster env` says.
use_cluster() {
  local lines
  lines=$("$project/scripts/cluster" env)
  eval "$lines"
}

# push_scanner: the scanner's image into the cluster's registry, by its address, since the registry's name is known in
# the cluster only.
push_scanner() {
  kubectl clarity image push "$CLARITY_REGISTRY_ADDRESS/${CLARITY_SCANNER_IMAGE#*/}" --registry-ca "$CLARITY_REGISTRY_CA"
}
