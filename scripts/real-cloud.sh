#!/usr/bin/env bash
# What only a real account can prove: a keyring under a key of a real cloud, made, opened, refused and removed again.
#   scripts/real-cloud.sh google|azure|alibaba|oci
# What an operator must have, and the variables KW_REAL_… that say so, stand at the head of scripts/real-cloud/PROVIDER.sh.
# It makes nothing in the cloud but a few calls of one key that is there already, and nothing here but a folder of its own, which
# it removes.
. "$(dirname "$0")/lib.sh"
cd "$REPO"
declare -A BACKENDS=([google]=gcp_kms [azure]=azure_key_vault [alibaba]=alibaba_kms [oci]=oci_vault)
cloud=${1:-}
[ -n "$cloud" ] && [ -n "${BACKENDS[$cloud]:-}" ] && [ $# = 1 ] || wrong_usage
. "scripts/real-cloud/$cloud.sh"
# Without what it needs: its own first comment, which has all of it.
options=$(real_options) || { sed -n '/^#/!q; s/^#* \{0,1\}//p' "scripts/real-cloud/$cloud.sh" >&2; exit 2; }
is_built || build_library
tool=target/release/keyring-ward
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 700 "$folder"
arguments=(--option "path=$folder/keyring.ward")
while read -r option; do arguments+=(--option "$option"); done <<< "$options"
backend=(--backend "${BACKENDS[$cloud]}")
PASSED=0 FAILED=0
prove() { # prove WHAT COMMAND…
  local what=$1 said; shift
  if said=$("$@" 2>&1); then PASSED=$((PASSED + 1)); note "ok: $what"; else FAILED=$((FAILED + 1)); note "FAILED: $what"; printf '%s\n' "$said" | sed 's/^/    /'; fi
}
refused() { ! "$@"; }
say "a keyring under a key of $cloud"
prove "init wraps a DEK, and opens it again" $tool init "${backend[@]}" "${arguments[@]}"
prove "it opens" $tool verify "${backend[@]}" "${arguments[@]}"
prove "each KEK opens its stanza" $tool kek test "${backend[@]}" "${arguments[@]}"
prove "a new DEK" $tool reseal "${backend[@]}" "${arguments[@]}"
prove "it opens with it" $tool verify "${backend[@]}" "${arguments[@]}"
# One byte of the data key's copy, at the end of the header's stanza: the cloud refuses it, or the file's own seal does.
cp -p "$folder/keyring.ward" "$folder/good"
printf '\xff' | dd of="$folder/keyring.ward" bs=1 seek=300 conv=notrunc status=none
prove "a file that was changed does not open" refused $tool verify "${backend[@]}" "${arguments[@]}"
cp -p "$folder/good" "$folder/keyring.ward"
prove "the file of before opens" $tool verify "${backend[@]}" "${arguments[@]}"
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
