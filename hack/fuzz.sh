#!/usr/bin/env bash
# Runs each fuzz test of the module, one after the other (Go fuzzes one at a time), for the time given: hack/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time="${1:-10s}"
failed=()
count=0
while IFS= read -r package; do
  # go test -list also prints a line about the package, which names no fuzz test.
  for test in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    count=$((count + 1))
    echo "fuzz: $test in $package for $time"
    go test -run '^$' -fuzz "^$test\$" -fuzztime "$time" "$package" || failed+=("$test in $package")
  done
done < <(grep -rl --include='*_test.go' '^func Fuzz' api cmd internal pkg 2>/dev/null | sed 's|/[^/]*$||; s|^|./|' | sort -u)

if ((${#failed[@]} > 0)); then
  printf 'fuzz: FAILED: %s\n' "${failed[@]}" >&2
  echo "fuzz: each failing input is now a file under that package's testdata/fuzz, and plain go test runs it" >&2
  exit 1
fi
echo "fuzz: $count fuzz tests found nothing"
