#!/usr/bin/env bash
# Copies into the chart what it shares with config/: the CRDs, the rules of the roles, and the admission policies. config/ is the source, and
# `make manifests` calls this, so that neither can say something else. The chart's own values.yaml is copied to where its templates can read it.
# A path in place of charts/gini-operator is where to write instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files="${1:-charts/gini-operator}/files"

# copy FOLDER FILE...: copies files into a folder below files/ of the chart.
copy() {
  local folder="$files/$1" file
  shift
  mkdir -p "$folder"
  for file in "$@"; do
    {
      echo "# Copied from $file by \`make manifests\`: change it there."
      cat "$file"
    } >"$folder/$(basename "$file")"
  done
}

# What config/ has no more must go from the chart, too.
rm -rf "$files"
copy defaults charts/gini-operator/values.yaml
copy crds config/crd/bases/*.yaml
copy rbac config/rbac/role.yaml config/rbac/leader_election_role.yaml config/rbac/*_editor_role.yaml config/rbac/*_viewer_role.yaml
copy secret-writes config/secret-writes/admission_policy.yaml
for component in pod-nudges rollout-restarts; do
  copy "$component" "config/components/$component/role.yaml" "config/components/$component/admission_policy.yaml"
done
