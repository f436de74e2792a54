#!/bin/bash
# The backends of Google, Azure, Alibaba and Oracle with a real server, over fakes of their services; and all KEKs at once.
#   clouds-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/kms.sh
. /kw/mysql-test/harness/hsm.sh
. /kw/mysql-test/harness/vault.sh
. /kw/mysql-test/harness/clouds.sh

t_google() { whole google; }
t_azure() { whole azure; }
t_alibaba() { whole alibaba; }
t_oci() { whole oci; }
whole() { # whole CLOUD
  local backend=${CLOUD_BACKEND[$1]} key
  reset_all; clouds_off; component_manifest; cloud_begin "$1"; cloud_config "$1"
  keyring-ward init --config "$CONFIG" --user mysql | head -1
  fresh_data
  cloud_calls "$1" >/dev/null
  start_server
  expect status "$(status_row Component_status)" Active
  echo "    $backend, a start: $(cloud_calls "$1")"
  expect mechanism "$(status_row KEK_mechanism)" data-key+aes-256-gcm
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  cloud_calls "$1" >/dev/null
  sql -e "SELECT keyring_key_generate(CONCAT('m', a), 'AES', 32) FROM (SELECT 1 a UNION SELECT 2 UNION SELECT 3) t" >/dev/null
  expect "calls of three generates" "$(cloud_calls "$1")" ""
  kill_server
  start_server
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect row "$(row)" one
  # Disabled while it runs: a RELOAD is refused and changes nothing; at a start the keyring is disabled, with the reason.
  cloud_do "$1" cloud_disable
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a reload with a disabled key"
  expect row "$(row)" one
  stop_server
  start_server
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in "KW-0013 Denied"*) ;; *) fail "$(status_row Last_error)" ;; esac
  echo "    disabled: $(status_row Last_error | cut -c1-230)"
  cloud_do "$1" cloud_enable
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
  for secret in $(cloud_do "$1" cloud_secret_texts 2>/dev/null); do log_lacks "$secret"; done
  stop_server
  # As a plugin, from my.cnf alone.
  rm -f "$MANIFEST" "$CONFIG"
  { echo "[mysqld]"; echo "early-plugin-load=keyring_ward.so"; cloud_my_cnf "$1" loose_keyring_ward_; } > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect row "$(row)" one
  stop_server
  clouds_off
}

# The seed's section 10.2: one keyring under eight KEKs at once, a result for each, and what is left when one after the other goes.
t_eight_at_once() {
  local cloud keks
  reset_all; clouds_off; component_manifest
  kms_reset; vault_reset; vault_role; hsm_reset; use_softhsm; pin_file; make_passphrase
  for cloud in google azure alibaba oci; do cloud_begin $cloud; done
  of_cloud() { echo "{ \"name\": \"$1\", \"provider\": \"${CLOUD_BACKEND[$1]}\", $(cloud_members "$1") }"; }
  local aws="{ \"name\": \"aws\", \"provider\": \"aws_kms\", \"key_id\": \"$KEY\", \"endpoint_url\": \"$KMS_URL\", \"credentials_file\": \"$AWS_KEYS\", \"connect_timeout\": 1, \"attempt_timeout\": 2 }"
  local vault="{ \"name\": \"vault\", \"provider\": \"vault\", \"address\": \"$VAULT_URL\", \"key\": \"mysql\", \"auth\": \"approle\", \"role_id\": \"$VAULT_ROLE_ID\", \"secret_id_file\": \"$VAULT_SECRET_ID\", \"ca_file\": \"$VAULT/vault-ca.pem\" }"
  local token="{ \"name\": \"token\", \"provider\": \"pkcs11\", \"module\": \"$MODULE\", \"token_label\": \"ward\", \"key_label\": \"kek\", \"pin_file\": \"$KEYS/pin\" }"
  local paper="{ \"name\": \"paper\", \"provider\": \"passphrase\", \"passphrase_file\": \"$KEYS/passphrase\" }"
  of_all() { echo "{ \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 20, \"timeout\": 20, \"keks\": [ $1 ] }" > "$CONFIG"; }
  of_all "$aws"
  keyring-ward init --config "$CONFIG" --user mysql | head -1
  as_mysql pkcs11-tool --module "$MODULE" --token-label ward --login --pin $PIN --keygen --key-type AES:32 --label kek --id 01 --sensitive >/dev/null 2>&1 || fail "no key on the token"
  keks="$aws, $(of_cloud azure), $(of_cloud google), $(of_cloud alibaba), $(of_cloud oci), $vault, $token, $paper"
  of_all "$keks"
  fresh_data
  # One of them is disabled: it gets no wrap, the others do.
  cloud_do alibaba cloud_disable
  keyring-ward kek sync --config "$CONFIG" > /tmp/kw-sync 2>&1 && fail "a sync with a disabled key"
  sed 's/^/    /' /tmp/kw-sync | cut -c1-200
  expect "wrapped now" "$(grep -c 'wrapped for it now' /tmp/kw-sync)" 6
  grep -q '^alibaba: FAILED' /tmp/kw-sync || fail "alibaba did not fail"
  cloud_do alibaba cloud_enable
  keyring-ward kek sync --config "$CONFIG" > /tmp/kw-sync 2>&1 || fail "$(cat /tmp/kw-sync)"
  expect "wrapped in the second sync" "$(grep -c 'wrapped for it now' /tmp/kw-sync)" 1
  keyring-ward kek test --config "$CONFIG" --rank 3 > /tmp/kw-rank || fail "$(cat /tmp/kw-rank)"
  sed -n '/middle one/,$p' /tmp/kw-rank | sed 's/^/    /'
  start_server; encrypted_table; stop_server
  # Each of the eight opens it alone.
  local name
  for name in aws azure google alibaba oci vault token paper; do
    keyring-ward kek drill "$name" --config "$CONFIG" >/tmp/kw-drill 2>&1 || fail "$name: $(cat /tmp/kw-drill)"
  done
  # All clouds go but one: it starts.
  clouds_off; kms_off; vault_off
  start_server
  expect row "$(row)" one
  expect degraded "$(sql -e "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='Keyring_ward_degraded'")" 1
  echo "    all services away: opened by $(status_row Opened_by | cut -c1-60)"
  stop_server
}

run_tests "$@"
