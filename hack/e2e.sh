#!/usr/bin/env bash
# Runs the end-to-end test on a cluster with pods: the one that `make cluster-up` makes, or that of KUBECONFIG, whose nodes get
# the images by the command E2E_LOAD, as in E2E_LOAD="kind load image-archive"; without it they must be there already.
#
# The last line says what was counted. The exit status is 0 only where every spec passed and nothing was refused.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"

# The commit whose chart and image the upgrade begins with. It is the first that has a chart.
from="${E2E_UPGRADE_FROM:-cc06986ce941}"

say() { printf 'e2e: %s\n' "$*" >&2; }

own="$root/bin/cluster/kubeconfig"
kubeconfig="${KUBECONFIG:-$own}"
if [[ ! -f "$kubeconfig" ]]; then
  say "there is no cluster: run make cluster-up (Linux, root), or set KUBECONFIG to that of a cluster with pods"
  exit 1
fi

# --- the programs that the examples of docs/reading-tokens.md need ------------------------------------------------------

missing=()
command -v java >/dev/null || missing+=(default-jdk-headless)
command -v python3 >/dev/null || missing+=(python3)
command -v node >/dev/null || missing+=(nodejs)
command -v curl >/dev/null || missing+=(curl)
if ((${#missing[@]})); then
  say "installing ${missing[*]}"
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
    say "they cannot be installed: install ${missing[*]} yourself (Debian's names), and run this again"
    exit 1
  fi
fi

# --- images ------------------------------------------------------------------------------------------------------------

reference="$(head -n 1 dist/images.txt)" # of the operator, as in ghcr.io/gini-operator/gini-operator:VERSION@sha256:...
reference="${reference%@*}"
registry="${reference%/*}"
version="${reference##*:}"

old="$root/bin/e2e/$from"
if [[ ! -f "$old/dist/images/operator.tar" ]]; then
  if ! git cat-file -e "$from^{commit}" 2>/dev/null; then
    say "this clone has no commit $from, whose operator is upgraded from: run git fetch --unshallow, or name another by E2E_UPGRADE_FROM"
    exit 1
  fi
  say "building the operator of commit $from, which is upgraded from"
  rm -rf "$old"
  mkdir -p "$old/source"
  git archive "$from" | tar -x -C "$old/source"
  # The time of that commit, so that the image is always the same.
  created="$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$from")"
  GOFLAGS='' GOWORK=off go run -C "$old/source/hack/images" . --name operator --version "$from" --revision "$(git rev-parse "$from")" \
    --created "$created" --registry "$registry" --out "$old/dist"
fi
if [[ "$kubeconfig" == "$own" ]]; then
  E2E_LOAD="bin/node load"
fi
if [[ -n "${E2E_LOAD:-}" ]]; then # a command that puts an image archive onto the nodes, as in "kind load image-archive"
  for archive in dist/images/{operator,emulator,consumer}.tar "$old/dist/images/operator.tar"; do
    $E2E_LOAD "$archive"
  done
fi

# --- specs -------------------------------------------------------------------------------------------------------------

assets="$(hack/control-plane.sh)"
mkdir -p bin/e2e
rm -f bin/e2e/summary
code=0
EXAMPLES=required go test -count=1 -timeout 15m ./test/examples || code=$?
E2E_KUBECONFIG="$kubeconfig" E2E_KUBECTL="$assets/kubectl" E2E_KUSTOMIZE="$root/bin/kustomize" E2E_HELM="$root/bin/helm" \
  E2E_REGISTRY="$registry" E2E_VERSION="$version" E2E_OLD_VERSION="$from" E2E_OLD_CHART="$old/source/charts/gini-operator" \
  E2E_SUMMARY="$root/bin/e2e/summary" go test -count=1 -timeout 60m -v ./test/e2e -ginkgo.v -ginkgo.no-color ${E2E_FOCUS:+-ginkgo.focus "$E2E_FOCUS"} || code=$?
if [[ ! -s bin/e2e/summary ]]; then
  say "no spec ran"
  exit 1
fi
cat bin/e2e/summary
if ((code)); then
  say "FAILED: the lines above say what" # after the summary, which counts what was seen all the same
  exit "$code"
fi
# With E2E_FOCUS the specs that count may have been left out: that is no success.
grep -q ' refused=0 ' bin/e2e/summary && ! grep -q ' renewals=0 ' bin/e2e/summary
