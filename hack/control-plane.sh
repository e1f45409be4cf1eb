#!/usr/bin/env bash
# Prints the folder that holds etcd, kube-apiserver and kubectl: what envtest calls KUBEBUILDER_ASSETS. With the name of one of
# Kubernetes' other programs it prints where that program is: envtest starts none of them, but specs of what Kubernetes
# deletes need a kube-controller-manager, and the local cluster (hack/node) needs them all.
#
# STDOUT carries that absolute path and nothing else, so that callers can write
#
#   KUBEBUILDER_ASSETS="$(hack/control-plane.sh)" go test ./...
#   TEST_ASSET_KUBE_CONTROLLER_MANAGER="$(hack/control-plane.sh kube-controller-manager)" go test ./test/restore
#
# STDERR tells a person which of these ways was taken, in this order, and why:
#   1. KUBEBUILDER_ASSETS, where it is set already (and has the program that is asked for);
#   2. the result of an earlier run, under bin/k8s;
#   3. setup-envtest, which downloads the binaries from the Kubernetes project's GitHub releases, but none of the other
#      programs;
#   4. a build from source: all are Go programs, and hack/controlplane/go.mod pins them. A machine that reaches only a Go
#      module proxy gets by with that.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
module="$root/hack/controlplane"

download_limit=120 # seconds for setup-envtest: a proxy that swallows packets must not hold up the build from source
heartbeat=15       # seconds between two signs of life

say() { printf 'control plane: %s\n' "$*" >&2; }

die() {
  say "ERROR: $*"
  exit 1
}

case "$*" in
"") binaries=(etcd kube-apiserver kubectl) ;;
kube-controller-manager | kube-proxy | kube-scheduler | kubelet) binaries=("$1") ;;
*) die "there is no '$*' to be had." \
  "Usage: hack/control-plane.sh [kube-controller-manager | kube-proxy | kube-scheduler | kubelet]" ;;
esac
asked="${1:-}" # empty: the folder of those that envtest starts

# answer FOLDER: prints what the caller wants to know.
answer() { printf '%s\n' "$1${asked:+/$asked}"; }

# complete FOLDER: are all binaries there? Names the first that is missing in $missing.
complete() {
  for missing in "${binaries[@]}"; do
    [[ -f "$1/$missing" && -x "$1/$missing" ]] || return 1
  done
}

# --- 1. given -------------------------------------------------------------------------------------------------------

given="${KUBEBUILDER_ASSETS:-}"
if [[ -n "$given" ]]; then
  if complete "$given"; then
    assets="$(cd "$given" && pwd -P)"
    say "using $assets, because KUBEBUILDER_ASSETS is set"
    answer "$assets"
    exit 0
  fi
  [[ -n "$asked" ]] || die "KUBEBUILDER_ASSETS is set to $given, which has no executable $missing." \
    "Point it to a folder with ${binaries[*]}, or unset it to have them downloaded or built."
fi

# --- 2. kept from an earlier run --------------------------------------------------------------------------------------

version="$(sed -n 's|^[[:space:]]*k8s.io/kubernetes v\([0-9.]*\).*|\1|p' "$module/go.mod")"
[[ "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] ||
  die "$module/go.mod names no version of k8s.io/kubernetes. Restore it with: git checkout hack/controlplane/go.mod"

# The checksum makes another etcd or another patched dependency another folder. What is asked for by name has one of its own.
checksum="$(cksum <"$module/go.mod")"
assets="$root/bin/k8s/$version-$(uname -s)-$(uname -m)-${checksum%% *}${asked:+-$asked}"

if complete "$assets"; then
  answer "$assets"
  exit 0
fi

command -v go >/dev/null || die "go is not on PATH. Install Go (https://go.dev/dl/), or set KUBEBUILDER_ASSETS."

# --- one at a time ----------------------------------------------------------------------------------------------------

mkdir -p "$root/bin/k8s"
lock="$root/bin/.control-plane.lock"
staging="" # everything is made here and moved to $assets at the end, in one step
child=""   # the program this script waits for
locked=""

clean_up() {
  if [[ -n "$child" ]]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  if [[ -n "$staging" ]]; then
    chmod -R u+w "$staging" 2>/dev/null || true # setup-envtest makes its folders read-only
    rm -rf "$staging"
  fi
  if [[ "$locked" == symlink ]]; then rm -f "$lock.pid"; fi
}
trap clean_up EXIT
trap 'say "interrupted; what Go compiled so far is kept, so the next run continues there"; exit 130' INT
trap 'say "stopped; what Go compiled so far is kept, so the next run continues there"; exit 143' TERM HUP

# With flock the kernel frees the lock, however this script ends. Where it is absent (macOS), the lock is a symbolic link
# whose target is the holder's process id: made and labelled in one step, and seen to be stale when that process is gone.
take_lock() {
  if command -v flock >/dev/null; then
    [[ "$locked" == flock ]] && return
    exec 9>>"$lock"
    flock -n 9 || return 1
    locked=flock
    return
  fi
  if ! ln -s "$$" "$lock.pid" 2>/dev/null; then
    local holder
    holder="$(readlink "$lock.pid" 2>/dev/null || true)"
    if [[ -z "$holder" ]] || kill -0 "$holder" 2>/dev/null; then return 1; fi
    # Two that see this at once may both go on and build: slower, but each has a folder of its own and the last step is
    # a rename, so nothing breaks.
    say "process $holder left its lock behind; taking it over"
    rm -f "$lock.pid"
    ln -s "$$" "$lock.pid" 2>/dev/null || return 1
  fi
  locked=symlink
}

SECONDS=0
next=0
until take_lock; do
  if ((SECONDS >= next)); then
    say "another make is preparing the control plane in this checkout; waiting for it ($SECONDS s so far)"
    next=$((SECONDS + heartbeat))
  fi
  sleep 1
done
if complete "$assets"; then # the other one made it
  answer "$assets"
  exit 0
fi

# A run that was killed outright could not clean up. Age, rather than the lock, tells that nobody uses its folder: a
# checkout may be shared with a container, whose processes cannot be seen from here.
find "$root/bin" -maxdepth 1 -type d -name '.control-plane.??????' -mmin +120 \
  -exec chmod -R u+w {} + -exec rm -rf {} + 2>/dev/null || true
staging="$(mktemp -d "$root/bin/.control-plane.XXXXXX")"

# keep FOLDER: moves a folder with all binaries to where later runs look.
keep() {
  complete "$1" || die "$missing is missing in $1 after all. Please run it again, and report it if it stays so."
  chmod u+w "$1" # else the move is refused to anybody but root
  if ! complete "$assets"; then
    rm -rf "$assets" # an incomplete one: somebody deleted a file
    mv "$1" "$assets"
  fi
  answer "$assets"
}

# --- the programs that are waited for ---------------------------------------------------------------------------------

# The builds are for this machine, whatever the caller builds for, and a go.work of the developer does not apply.
export GOWORK=off CGO_ENABLED=0 GO111MODULE=on
GOOS="$(go env GOHOSTOS)" GOARCH="$(go env GOHOSTARCH)"
export GOOS GOARCH

# background LOG COMMAND...: starts COMMAND as $child, without the lock, which must not outlive this script.
background() {
  local log="$1"
  shift
  "$@" >"$log.out" 2>"$log" </dev/null 9>&- &
  child=$!
}

# finish: waits for $child and returns its exit code.
finish() {
  local code=0
  wait "$child" || code=$?
  child=""
  return "$code"
}

# build LDFLAGS PACKAGE...: builds programs into $staging/k8s, with signs of life.
build() {
  local ldflags="$1" log="$staging/build.log" begin=$SECONDS next=$((SECONDS + heartbeat))
  shift
  # -v lists packages as they are compiled: that is what the signs of life count. The Makefile builds the operator with the same flags,
  # and says why. Without inlining (-l) this would take a quarter less, and each test that starts an API server a quarter more.
  GOGC=400 background "$log" go build -C "$module" -mod=readonly -buildvcs=false -trimpath -gcflags=all=-dwarf=false -v \
    -ldflags "$ldflags" -o "$staging/k8s/" "$@"
  while kill -0 "$child" 2>/dev/null; do
    sleep 1
    if ((SECONDS >= next)); then
      next=$((SECONDS + heartbeat))
      say "  $(compiled "$log") packages compiled, $(downloaded "$log") modules downloaded ($((SECONDS - begin)) s)"
    fi
  done
  if ! finish; then
    grep -v -e '^go: downloading' -e '^[a-zA-Z0-9._/-]*$' "$log" | tail -n 20 >&2 || true
    die "it could not be built (the lines above say why). It needs a Go module proxy:" \
      "see 'go env GOPROXY'. Or set KUBEBUILDER_ASSETS to a folder with ${binaries[*]}."
  fi
  say "built ${binaries[*]} in $((SECONDS - begin)) s ($(compiled "$log") packages compiled)"
}

downloaded() { grep -c '^go: downloading' "$1" || true; }
compiled() { grep -c -v '^go: ' "$1" || true; }

# --- 3. setup-envtest -------------------------------------------------------------------------------------------------

# Says what it was in $refusal when it does not work.
refusal=""
index=https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml # what it reads first

# reachable: else there is no need to build setup-envtest, which costs more than to ask.
reachable() {
  command -v curl >/dev/null || return 0
  local complaint
  complaint="$(curl -q --silent --show-error --fail --location --head --max-time 20 --output /dev/null "$index" 2>&1 9>&-)" && return
  refusal="${index#https://} cannot be had (${complaint%%$'\n'*})"
  return 1
}

download() {
  local tool="$staging/setup-envtest" log="$staging/setup-envtest.log" deadline
  say "looking for Kubernetes ${version%.*} binaries with setup-envtest (once per checkout; up to a minute to build it)"
  background "$log" go build -C "$root/hack/tools" -mod=readonly -buildvcs=false -o "$tool" \
    sigs.k8s.io/controller-runtime/tools/setup-envtest
  if ! finish; then
    refusal="setup-envtest could not be built: $(tail -n 1 "$log")"
    return 1
  fi
  background "$log" "$tool" use "${version%.*}.x" --bin-dir "$staging/envtest" -p path
  deadline=$((SECONDS + download_limit))
  while kill -0 "$child" 2>/dev/null; do
    if ((SECONDS >= deadline)); then
      kill "$child" 2>/dev/null || true
      finish || true
      refusal="setup-envtest had not finished after $download_limit s"
      return 1
    fi
    sleep 0.1
  done
  if ! finish; then
    # Its message is long; what follows the quoted address is the cause.
    refusal="setup-envtest failed: $(grep -v '^$' "$log" | tail -n 1 | sed 's/.*": //' | cut -c 1-160)"
    return 1
  fi
  downloaded_to="$(cat "$log.out")"
  if ! complete "$downloaded_to"; then
    refusal="setup-envtest brought no $missing"
    return 1
  fi
}

SECONDS=0
if [[ -n "$asked" ]]; then
  refusal="it is not among what setup-envtest downloads"
elif reachable && download; then
  say "downloaded $(basename "$downloaded_to") with setup-envtest in $SECONDS s"
  keep "$downloaded_to"
  exit 0
fi

# --- 4. from source ---------------------------------------------------------------------------------------------------

say "building Kubernetes $version from source${asked:+ ($asked)}, because $refusal"
say "this takes 5 to 15 minutes on 2 cores the first time, and seconds once Go's build cache is warm"
mkdir "$staging/k8s"
IFS=. read -r major minor _ <<<"$version"
stamp="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  stamp+=" -X $package.gitVersion=v$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  stamp+=" -X $package.gitTreeState=archive"
done
packages=()
for binary in "${binaries[@]}"; do
  case "$binary" in
  etcd) packages+=(go.etcd.io/etcd/server/v3) ;; # Go calls the program "server"
  *) packages+=("k8s.io/kubernetes/cmd/$binary") ;;
  esac
done
build "$stamp" "${packages[@]}"
if [[ -z "$asked" ]]; then mv "$staging/k8s/server" "$staging/k8s/etcd"; fi
keep "$staging/k8s"
