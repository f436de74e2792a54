#!/bin/bash
# The demonstration itself, inside the box. See scripts/demo.sh.
set -euo pipefail
. /kw/mysql-test/harness/server.sh
. /kw/mysql-test/harness/demo-lib.sh
BACKEND=${KW_BACKEND:-file} TOOL=$CONFIG

SECRET=$KEYS/passphrase
if [ "$BACKEND" = pkcs11 ]; then
  . /kw/mysql-test/harness/hsm.sh
  step "1. A token in a software HSM (SoftHSM2), its PIN in a file, a key on it that can't leave it"
  SECRET=$KEYS/pin
  reset_all
  hsm_reset
  use_softhsm
  pin_file
  pkcs11_config
  keyring-ward hsm list --module "$MODULE"
  keyring-ward init --config "$CONFIG" --user mysql --generate | head -3
elif [ "$BACKEND" = aws_kms ]; then
  . /kw/mysql-test/harness/kms.sh
  step "1. A key in a KMS server (LocalStack; AWS's own speaks the same protocol), credentials in a file"
  SECRET=$AWS_KEYS
  reset_all
  kms_reset "$KW_LOCALSTACK"
  [ "${KW_KEEP:-no}" = yes ] || trap kms_off EXIT
  kms_config
  keyring-ward init --config "$CONFIG" --user mysql | head -3
elif [ "$BACKEND" = vault ]; then
  . /kw/mysql-test/harness/vault.sh
  step "1. A transit key in OpenBao (HashiCorp Vault speaks the same protocol), a role that may only use it, its secret id in a file"
  SECRET=$VAULT_SECRET_ID
  reset_all
  vault_reset
  [ "${KW_KEEP:-no}" = yes ] || trap vault_off EXIT
  vault_role
  vault_config
  # The policy, as far as this role needs it: its tokens are batch tokens.
  keyring-ward init --config "$CONFIG" --user mysql | head -3
elif [ "$BACKEND" != file ]; then
  . /kw/mysql-test/harness/clouds.sh
  for cloud in "${!CLOUD_BACKEND[@]}"; do [ "${CLOUD_BACKEND[$cloud]}" != "$BACKEND" ] || break; done
  step "1. A key in a fake of ${CLOUD_NAME[$cloud]}, which checks what the cloud checks; credentials in a file"
  reset_all
  clouds_off
  [ "${KW_KEEP:-no}" = yes ] || trap clouds_off EXIT
  cloud_begin "$cloud"
  SECRET=$(cloud_secret "$cloud")
  cloud_config "$cloud"
  # All that it says of rights, to the first empty line.
  keyring-ward init --config "$CONFIG" --user mysql | sed '/^$/,$d'
else
  step "1. Configure: a passphrase of 32 random bytes"
  reset_all
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  keyring-ward init --config "$CONFIG" --user mysql --generate | head -3
fi
if [ "$ROLE" = plugin ]; then
  # The same configuration as the tool prints it for the plugin: all of it is in my.cnf.
  { echo "[mysqld]"; echo "early-plugin-load=keyring_ward.so"
    echo "loose_keyring_ward_backend=$BACKEND"; echo "loose_keyring_ward_path=$KEYS/keyring.ward"
    if [ "$BACKEND" = pkcs11 ]; then
      echo "loose_keyring_ward_pkcs11_module=$MODULE"; echo "loose_keyring_ward_pkcs11_token_label=ward"
      echo "loose_keyring_ward_pkcs11_key_label=kek"; echo "loose_keyring_ward_pkcs11_pin_file=$KEYS/pin"
    elif [ "$BACKEND" = aws_kms ]; then
      kms_my_cnf loose_keyring_ward_ | grep -v '_backend=\|_path='
    elif [ "$BACKEND" = vault ]; then
      vault_my_cnf loose_keyring_ward_ | grep -v '_backend=\|_path='
    elif [ "$BACKEND" != file ]; then
      cloud_my_cnf "$cloud" loose_keyring_ward_ | grep -v '_backend=\|_path='
    else
      echo "loose_keyring_ward_file_passphrase_file=$KEYS/passphrase"
    fi; } > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf
  # JSON is for the tool alone now: the server must not find it.
  mv "$CONFIG" /tmp/kw-tool.cnf; TOOL=/tmp/kw-tool.cnf
  cat /etc/my.cnf
else
  component_manifest
  cat "$MANIFEST" "$CONFIG"
fi

step "2. Start MySQL with the keyring as a $ROLE, redo log, undo log and binary log encrypted"
fresh_data
start_demo() { start_server --innodb-redo-log-encrypt=ON --innodb-undo-log-encrypt=ON --binlog-encryption=ON; }
start_demo || fail "the server did not start"
install_udf
show "SELECT VERSION(); SELECT * FROM performance_schema.keyring_component_status"

step "3. An encrypted table"
show "CREATE DATABASE shop; CREATE TABLE shop.cards (id INT PRIMARY KEY, number VARCHAR(40)) ENCRYPTION='Y';
INSERT INTO shop.cards VALUES (1,'PLAINTEXT-CARD-4929-0000'),(2,'PLAINTEXT-CARD-5555-1111');
SELECT name, encryption FROM information_schema.innodb_tablespaces WHERE name LIKE 'shop/%'"

step "4. Keys from SQL"
show "SELECT keyring_key_generate('app-key','AES',32) AS made,
  keyring_key_length_fetch('app-key') AS length, keyring_key_type_fetch('app-key') AS type"
show "SELECT keyring_key_store('app-secret','SECRET','PLAINTEXT-SECRET-material') AS ok"
show "SELECT keyring_key_generate('short-lived','AES',16) AS made, keyring_key_remove('short-lived') AS removed,
  HEX(keyring_key_fetch('short-lived')) AS gone"
key=$(sql -e "SELECT HEX(keyring_key_fetch('app-key'))")
expect "the key has 32 bytes" "${#key}" 64

step "5. Rotate the InnoDB master key"
show "ALTER INSTANCE ROTATE INNODB MASTER KEY; SELECT * FROM performance_schema.keyring_keys"

step "6. Restart"
stop_server
start_demo || fail "the server did not start again"
expect "rows after the restart" "$(sql -e 'SELECT COUNT(*) FROM shop.cards')" 2
expect "the key after the restart" "$(sql -e "SELECT HEX(keyring_key_fetch('app-key'))")" "$key"

step "7. kill -9 right after an acknowledged key, and start again"
expect "generate" "$(sql -e "SELECT keyring_key_generate('last-words','AES',32)")" 1
last=$(sql -e "SELECT HEX(keyring_key_fetch('last-words'))")
kill_server
start_demo || fail "the server did not start after kill -9"
expect "rows after kill -9" "$(sql -e "SELECT GROUP_CONCAT(number ORDER BY id) FROM shop.cards")" \
  "PLAINTEXT-CARD-4929-0000,PLAINTEXT-CARD-5555-1111"
expect "the first key after kill -9" "$(sql -e "SELECT HEX(keyring_key_fetch('app-key'))")" "$key"
expect "the last key after kill -9" "$(sql -e "SELECT HEX(keyring_key_fetch('last-words'))")" "$last"
expect "the stored secret" "$(sql -e "SELECT keyring_key_fetch('app-secret')")" "PLAINTEXT-SECRET-material"

step "8. Nothing is readable on disk"
sql -e "SET GLOBAL innodb_fast_shutdown=0"
stop_server
# grep must be able to find things: the secret's own file holds text that it finds.
grep -rqF -e "$(tail -1 "$SECRET")" "$SECRET" || fail "grep does not work"
for secret in PLAINTEXT-CARD PLAINTEXT-SECRET; do
  if grep -rlaF "$secret" "$DATA" "$KEYS"; then fail "'$secret' is readable"; fi
  echo "ok: '$secret' is in no file of the server (tables, redo, undo, binary log) or the keyring"
done
for hex in "$key" "$last"; do
  pattern=$(printf '%s' "$hex" | sed 's/../\\x&/g')
  if grep -rlaP "$pattern" "$DATA" "$KEYS"; then fail "key bytes are readable"; fi
done
echo "ok: the bytes of both keys are in no file of the server or the keyring"
keyring-ward verify --config "$TOOL"

if [ "$BACKEND" = aws_kms ]; then
  echo "calls that KMS had in all of this: $(kms_calls)"
fi

step "Summary"
ls -l "$KEYS"
keyring-ward list --config "$TOOL"
keep_serving --innodb-redo-log-encrypt=ON --innodb-undo-log-encrypt=ON --binlog-encryption=ON
echo "Everything was read back; nothing was readable on disk."
