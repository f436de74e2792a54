#!/bin/bash
# The demonstration of several KEKs, inside the box: one keyring under three, one of which is lost. See scripts/demo.sh --keks.
set -euo pipefail
. /kw/mysql-test/harness/server.sh
. /kw/mysql-test/harness/demo-lib.sh
. /kw/mysql-test/harness/vault.sh
. /kw/mysql-test/harness/kmip.sh
# By its address: what is said of a server that is away is then the same with IPv6 and without.
VAULT_URL=https://127.0.0.1:$VAULT_PORT BAO_ADDR=https://127.0.0.1:$VAULT_PORT
# The component's file, or the one that the plugin's variable names.
[ "$ROLE" = component ] || CONFIG=/etc/mysql/keyring_ward.json

keks_config() {
  mkdir -p "$(dirname "$CONFIG")"
  cat > "$CONFIG" <<END
{ "path": "$KEYS/keyring.ward", "start_timeout": 10, "timeout": 3, "threshold": 1, "keks": [
    { "name": "bao", "provider": "vault", "address": "$VAULT_URL", "key": "mysql", "auth": "approle",
      "role_id": "$VAULT_ROLE_ID", "secret_id_file": "$VAULT_SECRET_ID", "ca_file": "$VAULT/vault-ca.pem" },
    { "name": "kmip", "provider": "kmip", "addresses": "$KMIP_NAME:$KMIP_PORT", "key_id": "1",
      "client_certificate": "$KEYS/one.pem", "client_key_file": "$KEYS/one.key", "ca_file": "$KEYS/ca.pem" },
    { "name": "words", "provider": "passphrase", "passphrase_file": "$KEYS/passphrase" } ] }
END
}
# call FUNCTION: one of the library's own, whose answer is JSON; it stays in $ANSWER.
call() { echo "mysql> SELECT $1"; ANSWER=$(sql -e "SELECT $1"); echo "$ANSWER"; }
# KEK by KEK: as rows with the component; the plugin can't have such rows, but has the function.
show_keks() {
  if [ "$ROLE" = component ]; then
    show "SELECT * FROM performance_schema.keyring_component_status
  WHERE STATUS_KEY IN ('Opened_by', 'Degraded') OR STATUS_KEY LIKE 'KEK.%.Result'"
  else
    show "SELECT name, wrapped, result FROM JSON_TABLE(CONVERT(keyring_ward_keks() USING utf8mb4), '\$.keks[*]'
  COLUMNS (name TEXT PATH '\$.name', wrapped TEXT PATH '\$.wrapped', result TEXT PATH '\$.result')) AS keks"
  fi
}
reload() {
  if [ "$ROLE" = component ]; then show "ALTER INSTANCE RELOAD KEYRING"; else call "keyring_ward_reload()"; fi
}
degraded() { sql -e "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='Keyring_ward_degraded'"; }

step "1. One keyring under three KEKs: a key in OpenBao, a key in a KMIP server (PyKMIP), a passphrase. Any of them opens it"
reset_all
vault_reset
[ "${KW_KEEP:-no}" = yes ] || trap vault_off EXIT
vault_role
kmip_files
kmip_at "$KMIP_HOST"
keks_config
keyring-ward init --config "$CONFIG" --user mysql --generate | grep '^Made'
cat "$CONFIG"
if [ "$ROLE" = plugin ]; then
  printf '%s\n' "[mysqld]" early-plugin-load=keyring_ward.so "loose_keyring_ward_config_file=$CONFIG" > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf
  run cat /etc/my.cnf
else
  component_manifest
fi
why "kek test asks each of them to open the keyring:"
run keyring-ward kek test

step "2. Start MySQL as usual: the first KEK opens the keyring, the others need not be asked"
fresh_data
start_server || fail "the server did not start"
# Where the library is a plugin only, its functions come from that name.
if [ "$ROLE" = plugin ]; then sed 's/component_keyring_ward/keyring_ward/' /kw/share/install.sql; else cat /kw/share/install.sql; fi | sql
show "CREATE DATABASE shop; CREATE TABLE shop.cards (number VARCHAR(40)) ENCRYPTION='Y'; INSERT INTO shop.cards VALUES ('4929-0000')"
show_keks
expect "it is not degraded" "$(degraded)" 0

step "3. OpenBao is switched off while the server runs, and for good: it keeps its keys in memory here"
vault_off
why "A server that runs needs no KEK. Tables are read, new encrypted ones and new keys are made:"
show "SELECT * FROM shop.cards; CREATE TABLE shop.orders (id INT) ENCRYPTION='Y'; INSERT INTO shop.orders VALUES (1);
ALTER INSTANCE ROTATE INNODB MASTER KEY"
why "It asks the KEKs at a start and at a RELOAD. This one tells that it is degraded, and which KEK is away. Alert on that:"
reload
show_keks
expect "it is degraded" "$(degraded)" 1

step "4. A new DEK is refused meanwhile: it is wrapped by all KEKs or not made"
call "keyring_ward_reseal()"
case "$ANSWER" in *'"ok":false'*) ;; *) fail "a DEK was made although a KEK is away" ;; esac

step "5. Restart: the next KEK opens the keyring"
stop_server
start_server || fail "the server did not start"
show_keks
expect "the rows of the two tables" "$(sql -e "SELECT number, id FROM shop.cards, shop.orders")" "4929-0000	1"
expect "it is degraded" "$(degraded)" 1
echo "In the server's log:"
grep -o "The KEK 'bao' did not open.*" "$LOG" | head -1

step "6. OpenBao is there again, with a new key: the configuration names the new role, kek_sync() wraps the DEK for it"
vault_reset
vault_role
keks_config
why "What it would do now, asked beside the running server:"
run keyring-ward kek test 2>/dev/null && fail "a new key opened the keyring"
why "The DEK is the same, and only the KEK that has no valid wrap gets one. No restart:"
call "keyring_ward_kek_sync()"
case "$ANSWER" in *'"name":"bao","result":"wrapped"'*) ;; *) fail "the DEK was not wrapped for OpenBao" ;; esac

step "7. The keyring is whole again"
run keyring-ward kek list
run keyring-ward kek test
why "Would it open by the new key alone?"
run keyring-ward kek drill bao
show_keks
expect "it is not degraded" "$(degraded)" 0
stop_server
start_server || fail "the server did not start"
expect "the rows after one more restart" "$(sql -e "SELECT number, id FROM shop.cards, shop.orders")" "4929-0000	1"
stop_server
keep_serving
echo "One of three KEKs was lost for good. Each row was read before, meanwhile and afterwards."
