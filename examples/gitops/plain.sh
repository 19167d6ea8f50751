#!/bin/sh
# Without any forge: the digest is what a person hands over after reading the plan.
#   plain.sh                  plans; read pvereconcile-report/plan.text, take the digest
#   plain.sh DIGEST           applies that plan, or nothing
set -eu
step=${STEP:-/usr/share/pvereconcile/gitops/step}
export GITOPS_FORGE=none
if [ $# -eq 0 ]; then
  "$step" plan
  echo "To carry it out: $0 $(jq -r .digest pvereconcile-report/plan.json)"
else
  GITOPS_EXPECT=$1 "$step" apply
fi
