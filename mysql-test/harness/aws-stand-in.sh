#!/bin/bash
# A stand-in for AWS's command line tool in the tests of docs/guide/aws-kms.md: kms create-key and create-alias only, each option
# that it does not know is an error. It sends them to the KMS server at AWS_ENDPOINT_URL.
set -euo pipefail
[ "$1" = kms ] || { echo "only kms" >&2; exit 252; }
action=$2; shift 2
description= multi=false query= alias= target=
while [ $# -gt 0 ]; do
  case "$1" in
    --description) description=$2; shift ;;
    --multi-region) multi=true ;;
    --query) query=$2; shift ;;
    --output) [ "$2" = text ]; shift ;;
    --alias-name) alias=$2; shift ;;
    --target-key-id) target=$2; shift ;;
    *) echo "unknown option: $1" >&2; exit 252 ;;
  esac
  shift
done
call() { KMS_REGION=${AWS_REGION:?} /kw/target/debug/examples/kms_proxy call "${AWS_ENDPOINT_URL#http://}" "$@"; }
case "$action" in
  create-key)
    [ "$query" = KeyMetadata.KeyId ] || { echo "unknown query" >&2; exit 252; }
    call CreateKey "{\"Description\":\"$description\",\"MultiRegion\":$multi}" | grep -o '"KeyId": *"[^"]*"' | head -1 | cut -d'"' -f4 ;;
  create-alias) call CreateAlias "{\"AliasName\":\"$alias\",\"TargetKeyId\":\"$target\"}" >/dev/null ;;
  *) echo "unknown action: $action" >&2; exit 252 ;;
esac
