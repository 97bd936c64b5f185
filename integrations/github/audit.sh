#!/usr/bin/env bash
# What the action does: SARIF into a file, a step summary, annotations into the
# log. The exit code is that of the audit. Inputs come by environment, never as
# text of this script, and are never evaluated.
set -euo pipefail

# find_sallyport prints the sallyport to use: the input, the one on PATH, or one that is
# built from the commit which the workflow named this action by.
find_sallyport() {
  if [ -n "${AUDIT_BINARY:-}" ]; then
    command -v -- "$AUDIT_BINARY" && return
    echo "no program $AUDIT_BINARY" >&2
    return 1
  fi
  command -v sallyport && return
  if ! command -v go >/dev/null; then
    echo "there is neither sallyport nor go on PATH: add a step that sets up Go, or give the input binary" >&2
    return 1
  fi
  local root out
  root=$(cd "${GITHUB_ACTION_PATH:?}/../.." && pwd)
  out=$(mktemp -d "${RUNNER_TEMP:-/tmp}/sallyport.XXXXXX")/sallyport
  (cd "$root" && CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly go build -trimpath -o "$out" ./cmd/sallyport) >&2
  echo "$out"
}

sallyport=$(find_sallyport)
if [ -n "${AUDIT_VERSION:-}" ]; then
  found=$("$sallyport" version | cut -d' ' -f2)
  if [ "${found#v}" != "${AUDIT_VERSION#v}" ]; then
    echo "this is sallyport $found, not $AUDIT_VERSION" >&2
    exit 2
  fi
fi

set -f # words of args are flags, not patterns
# shellcheck disable=SC2206 # it is to be split
args=(${AUDIT_ARGS:-})
set +f

# audit runs the audit in one form. 2 is a wrong command line: nothing was
# written that is worth keeping.
audit() {
  local code=0
  "$sallyport" audit ${args[@]+"${args[@]}"} -o "$1" -- "${AUDIT_PATH:-.}" || code=$?
  if [ "$code" -eq 2 ]; then
    exit 2
  fi
  return "$code"
}

sarif=${AUDIT_SARIF:-}
if [ -n "$sarif" ]; then
  report=$(audit sarif) || [ $? -ne 2 ] || exit 2
  if [ -n "$report" ]; then
    printf '%s\n' "$report" >"$sarif"
    echo "sarif=$sarif" >>"${GITHUB_OUTPUT:-/dev/null}"
  fi
fi
report=$(audit markdown) || [ $? -ne 2 ] || exit 2
printf '%s\n' "$report" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"

code=0
(audit github) || code=$?
echo "code=$code" >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$code"
