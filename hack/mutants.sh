#!/usr/bin/env bash
# Changes the code in small ways, one at a time, and counts the changes that the package's own unit tests notice. The changes are those
# that gremlins makes by default: of arithmetic, of comparisons and of where they end, of ++ and --, of signs.
#
#   hack/mutants.sh                      all packages below
#   hack/mutants.sh internal/renewal     one of them
#
# It fails where the tests run too little of the code, or let too many mutants live. GREMLINS names the program to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(internal/renewal internal/agenda internal/target internal/gini internal/credential)
(($# == 0)) || packages=("$@")
gremlins="${GREMLINS:-$PWD/bin/gremlins}"
least_covered=90 # % of statements
least_killed=85  # % of mutants that compile

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# gremlins copies the whole module once more for its worker: what tests of these packages need, without bin/ and .git.
mkdir "$scratch/module" "$scratch/tmp"
cp -R go.mod go.sum api config internal pkg "$scratch/module"

# Whatever a developer set: every test runs each time, and a mutant is killed by a test, not by vet.
export GOFLAGS="-count=1 -vet=off" GOWORK=off TMPDIR="$scratch/tmp" LC_ALL=C
GO="$(command -v go)"
export GO
PATH="$PWD/hack/mutants:$PATH"
cd "$scratch/module"

# run shows what a command says only where it fails.
run() {
  "$@" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    exit 1
  }
}

# count prints how many mutants have a status.
count() { grep -c "^ *$1 [A-Z_]* at " "$scratch/log" || true; }

at_least() { awk -v is="$1" -v least="$2" 'BEGIN { exit is < least }'; }

failed=()
for package in "${packages[@]}"; do
  echo "mutants: changing $package, which takes minutes"
  run "$GO" test -cover "./$package"
  covered="$(sed -n 's/.*coverage: \([0-9.]*\)% of statements.*/\1/p' "$scratch/log")"
  # A mutant has ten times as long as the tests take without one: what is timed out hangs, even where the machine is busy.
  run "$gremlins" unleash --workers 1 --timeout-coefficient 10 "./$package"
  sed -n -e "s|^ *\(LIVED [A-Z_]* at \)|  \1$package/|p" -e "s|^ *\(TIMED OUT [A-Z_]* at \)|  \1$package/|p" "$scratch/log"
  killed="$(count KILLED)" lived="$(count LIVED)" timed_out="$(count 'TIMED OUT')" not_viable="$(count 'NOT VIABLE')"
  tried=$((killed + lived + timed_out))
  share="$(awk -v killed="$killed" -v tried="$tried" 'BEGIN { printf "%.1f", tried ? 100 * killed / tried : 0 }')"
  echo "mutants: $package: statements covered ${covered:-0}%, mutants $tried, killed $killed, lived $lived," \
    "timed out $timed_out, killed $share% (did not compile: $not_viable)"
  at_least "${covered:-0}" "$least_covered" || failed+=("$package: its tests run less than $least_covered% of its statements")
  at_least "$share" "$least_killed" || failed+=("$package: its tests kill less than $least_killed% of the mutants")
done

if ((${#failed[@]} > 0)); then
  printf 'mutants: FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "mutants: enough of them were killed"
