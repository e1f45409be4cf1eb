#!/usr/bin/env bash
# Fails where the generated files of this checkout, committed or not, are not what `make generate manifests` makes of it.
#
# It generates in a copy, so the checkout stays as it is and need not be clean, and whatever generation adds, changes or
# removes is found, wherever it is.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
: "${CONTROLLER_GEN:=$root/bin/controller-gen}" # `make verify-generated` sets it

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# The comparison is with a copy as well: nobody's edit in the meantime can look like a difference.
mkdir "$work/checkout"
tar -C "$root" -cf - --exclude ./.git --exclude ./bin --exclude ./dist . | tar -C "$work/checkout" -xf -
cp -Rp "$work/checkout" "$work/generated"

if ! log="$(env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS GOWORK=off \
  make -C "$work/generated" CONTROLLER_GEN="$CONTROLLER_GEN" generate manifests 2>&1)"; then
  printf '%s\n' "$log" >&2
  echo "verify-generated: generation failed; mend what the lines above name, then run: make generate manifests" >&2
  exit 1
fi

if ! (cd "$work" && diff -ruN checkout generated) >&2; then
  echo "verify-generated: generated files are out of date (see above). Run this and commit the result: make generate manifests" >&2
  exit 1
fi
echo "generated files are up to date"
