#!/bin/bash
# The backend kmip with a real server of MySQL and a real KMIP server, PyKMIP, outside of the box.
#   kmip-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/kmip.sh

with_kmip() { # with_kmip: a configured component, a keyring, a fresh data directory
  reset_all; component_manifest; kmip_files; kmip_at "$KMIP_HOST"; kmip_config 1
  keyring-ward init --config "$CONFIG" --user mysql | head -2
  fresh_data
}
reload() { sql -e "ALTER INSTANCE RELOAD KEYRING"; }

t_start_and_restart() {
  with_kmip
  start_server
  expect status "$(status_row Component_status)" Active
  expect backend "$(status_row Backend)" kmip
  expect mechanism "$(status_row KEK_mechanism)" data-key+aes-256-gcm
  expect "opened by" "$(status_row Opened_by)" "KMIP key '1' ($KMIP_NAME:$KMIP_PORT)"
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  kill_server
  start_server
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect row "$(row)" one
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect row "$(row)" one
  ! grep -l '^kw-' /proc/"$SERVER"/task/*/comm || fail "a thread of ours is left"
  # Another key takes over under the running server; then it opens by itself.
  kmip_config 2
  reload 2>/dev/null && fail "the reload succeeded with another key"
  log_has "Add that key to previous_key_ids"
  kmip_config 2 '"previous_key_ids": "1"'
  reload
  log_has "is now wrapped by KMIP key '2'"
  kmip_config 2
  stop_server; start_server
  expect row "$(row)" one
}

# The server is away while mysqld runs, or refuses: nothing breaks; RELOAD fails in time, says why, and leaves the keyring in place.
t_while_running() {
  with_kmip
  start_server; install_udf; encrypted_table
  kmip_at 127.0.0.9
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  local before=$SECONDS
  reload 2>/dev/null && fail "the reload succeeded"
  [ $((SECONDS - before)) -le 8 ] || fail "the reload took $((SECONDS - before)) s of 5"
  log_has "KW-0012 Unreachable"
  log_has "Connection refused"
  expect row "$(row)" one
  kmip_at "$KMIP_HOST"
  reload
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  # A client that the server does not allow, and a private key that others may read: told at once, as what it is.
  KMIP_CLIENT=two kmip_config 1
  before=$SECONDS
  reload 2>/dev/null && fail "the reload succeeded as another client"
  [ $((SECONDS - before)) -le 3 ] || fail "the reload took $((SECONDS - before)) s"
  log_has "KW-0013 Denied"
  kmip_config 1
  chmod 644 "$KEYS/one.key"
  reload 2>/dev/null && fail "the reload succeeded with a private key that everybody may read"
  log_has "KW-0006 Permission"
  chmod 600 "$KEYS/one.key"
  reload
  expect row "$(row)" one
}

# Away at a start: tried until the budget ends, then Disabled with the reason; RELOAD brings it back. With a second
# server behind one that is away nobody notices but the log.
t_away_at_start() {
  with_kmip
  start_server; install_udf; encrypted_table
  sql -e "DO keyring_key_generate('k','AES',32)"
  stop_server
  START_TIMEOUT=3 kmip_config 1
  kmip_at 127.0.0.9
  local before=$SECONDS
  start_server
  echo "    start with the KMIP server away, budget 3 s: ready after $((SECONDS - before)) s"
  [ $((SECONDS - before)) -le 15 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"Nothing listens there"*) ;; *) fail "$(status_row Last_error)" ;; esac
  sql_fails 3185 "SELECT b FROM d.t"
  kmip_at "$KMIP_HOST"
  reload
  expect status "$(status_row Component_status)" Active
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  stop_server
  KMIP_ADDRESSES="127.0.0.9:9, $KMIP_NAME:$KMIP_PORT" kmip_config 1
  before=$SECONDS
  start_server
  expect status "$(status_row Component_status)" Active
  expect row "$(row)" one
  log_has "A KMIP server was passed over: no answer of 127.0.0.9:9: Connection refused"
}

run_tests "$@"
rc=$?
kmip_at ""
exit $rc
