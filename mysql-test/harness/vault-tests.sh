#!/bin/bash
# The backend vault with a real MySQL server and a real OpenBao.
#   vault-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/vault.sh

with_vault() { # with_vault [TYPE]: a configured component, a keyring, a fresh data directory
  reset_all; component_manifest; vault_reset; vault_role "${1:-batch}"; vault_config
  keyring-ward init --config "$CONFIG" --user mysql | head -4
  fresh_data
}
reload() { sql -e "ALTER INSTANCE RELOAD KEYRING"; }
tokens() { $BAO list -format=json auth/token/accessors | grep -c '"'; }

t_component() {
  with_vault
  start_server
  expect status "$(status_row Component_status)" Active
  expect mechanism "$(status_row KEK_mechanism)" data-key+aes-256-gcm
  expect "opened by" "$(status_row Opened_by)" "Vault key 'transit/mysql' ($VAULT_URL)"
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  kill_server
  start_server
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect row "$(row)" one
  for _ in 1 2 3; do sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"; done
  $BAO write -f transit/keys/mysql/rotate >/dev/null
  reload
  expect row "$(row)" one
  log_lacks "[ERROR]"
  log_lacks "$(cat "$VAULT_SECRET_ID")"
}

t_plugin_my_cnf_alone() {
  with_vault
  rm -f "$MANIFEST" "$CONFIG"
  { echo "[mysqld]"; echo "early-plugin-load=keyring_ward.so"; vault_my_cnf loose_keyring_ward_; } > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  install_udf; encrypted_table
  expect "a fixed variable" "$(sql -e "SELECT @@keyring_ward_vault_key")" mysql
  sql_fails 1238 "SET GLOBAL keyring_ward_vault_address='https://elsewhere'"
  kill_server
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
}

# Vault is sealed at the start: tried until the budget ends, then Disabled with the reason; RELOAD brings it back.
t_sealed_at_start() {
  with_vault
  start_server; install_udf; encrypted_table
  stop_server
  START_TIMEOUT=5 vault_config
  vault_seal
  local before=$SECONDS
  start_server
  echo "    start with Vault sealed, budget 5 s: ready after $((SECONDS - before)) s"
  [ $((SECONDS - before)) -le 20 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in "KW-0012 "*"Vault is sealed"*"operator unseal"*) ;; *) fail "$(status_row Last_error)" ;; esac
  sql_fails 3185 "SELECT b FROM d.t"
  vault_unseal
  reload
  expect status "$(status_row Component_status)" Active
  stop_server
  # It is unsealed while the server waits for it.
  START_TIMEOUT=30 vault_config
  vault_seal
  (wait_for 20 pgrep -x mysqld; vault_unseal) &
  local unsealing=$!
  start_server
  wait $unsealing || fail "Vault was not unsealed"
  expect status "$(status_row Component_status)" Active
  expect row "$(row)" one
}

# Vault sealed while the server runs: nothing breaks; RELOAD fails in time and leaves the keyring in place.
t_sealed_while_running() {
  with_vault
  start_server; install_udf; encrypted_table
  vault_seal
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect row "$(row)" one
  local before=$SECONDS
  reload 2>/dev/null && fail "the reload succeeded"
  [ $((SECONDS - before)) -le 8 ] || fail "the reload took $((SECONDS - before)) s of 5"
  log_has "KW-0012 Unreachable"
  vault_unseal
  reload
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
}

# A key that is disabled, and a secret id that is taken back: told at once, nothing is lost.
t_refused() {
  with_vault
  start_server; install_udf; encrypted_table
  $BAO write -f transit/keys/mysql/rotate >/dev/null
  $BAO write transit/keys/mysql/config min_decryption_version=2 >/dev/null
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "KW-0013 Denied"
  log_has "transit/keys/mysql/config min_decryption_version=N"
  expect row "$(row)" one
  $BAO write transit/keys/mysql/config min_decryption_version=1 >/dev/null
  reload
  $BAO write auth/approle/role/mysql/secret-id/destroy secret_id="$(cat "$VAULT_SECRET_ID")" >/dev/null
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "invalid role or secret ID"
  stop_server
  start_server
  expect status "$(status_row Component_status)" Disabled
  $BAO write -f -field=secret_id auth/approle/role/mysql/secret-id > "$VAULT_SECRET_ID"
  reload
  expect row "$(row)" one
}

# Service tokens are revoked; Vault keeps as many as before. Root's start asks in a child, whose tokens are revoked too.
t_no_token_is_left() {
  with_vault service
  local before; before=$(tokens)
  start_server; install_udf; encrypted_table
  reload
  stop_server
  start_as_mysql --
  reload
  expect row "$(row)" one
  expect "tokens that Vault keeps" "$(tokens)" "$before"
  log_lacks "left behind"
}

vault_off
run_tests "$@"
rc=$?
vault_off
exit $rc
