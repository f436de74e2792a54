#!/bin/bash
# The lease with a real server: KEKs that refuse, are away, or come back. Prints the tables of docs/guide/lease.md.
#   lease-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/kms.sh
. /kw/mysql-test/harness/hsm.sh
. /kw/mysql-test/harness/vault.sh
T=/kw/target/debug/examples/torture
LEASE=${KW_LEASE:-3}

# lease_into_config [MEMBER…]: a lease, and more members, into the configuration that is there.
lease_into_config() {
  local more="\"lease\": $LEASE,"; for member; do more+=" $member,"; done
  sed -i "1s/{/{ $more/" "$CONFIG"
}
# A keyring under a KMS key with a lease, an encrypted table, a server that serves.
with_lease() { # with_lease [MEMBER…]
  reset_all; component_manifest; kms_reset "$KW_LOCALSTACK"; kms_config; lease_into_config "$@"
  keyring-ward init --config "$CONFIG" --user mysql | head -1
  fresh_data
  start_server
  encrypted_table
  in_state valid
}
kms_key_is() { case $1 in off) kms_admin DisableKey "{\"KeyId\":\"${KEY##*/}\"}" ;; on) kms_admin EnableKey "{\"KeyId\":\"${KEY##*/}\"}" ;; esac >/dev/null; }
state() { status_row Lease_state; }
is_state() { [ "$(state)" = "$1" ]; }
in_state() { wait_for 30 is_state "$1" || fail "the lease is '$(state)', not '$1'"; }
variable() { sql -e "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='$1'"; }
# How often the KEK was asked.
asked() { status_row KEK_last_contact | sed 's/.*, \([0-9]*\) calls.*/\1/'; }
asked_since() { [ "$(asked)" -ge "$1" ]; }
now() { date +%s%N; }
# The tenths of a second since a moment of `now`.
since() { echo $((($(now) - $1) / 100000000)) | sed 's/.$/.&/; s/^\./0./'; }
# The keyring is taken away within 4/3 of a lease and one timeout (5 s) of the moment $1; two seconds are the test's own.
is_revoked_in_time() {
  in_state revoked
  local took; took=$(since "$1")
  echo "    $2: revoked after $took s (lease $LEASE s)"
  [ "${took%.*}" -le $((LEASE * 4 / 3 + 5 + 2)) ] || fail "it took $took s"
  [ "${took%.*}" -ge $((LEASE - 1)) ] || fail "it took $took s only"
}

t_a_disabled_key() {
  with_lease
  install_udf
  sql -e "SELECT keyring_key_generate('live','AES',32)" >/dev/null
  as_mysql $T opened "$CONFIG" live > /tmp/kw-secrets || fail "no secrets"
  chmod 600 /tmp/kw-secrets
  $T hunt "$SERVER" /tmp/kw-secrets > /tmp/kw-hunt
  expect "secrets in guarded memory" "$(awk '!/^#/ && $2 > 0 { n++ } END { print n + 0 }' /tmp/kw-hunt)" 5
  local began; began=$(now)
  kms_key_is off
  in_state refused
  expect row "$(row)" one
  expect status "$(status_row Component_status)" Active
  expect variable "$(variable Keyring_ward_lease)" 4
  is_revoked_in_time "$began" "a disabled key"
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"taken out of service"*"DisabledException"*"RELOAD KEYRING"*) ;; *) fail "$(status_row Last_error)" ;; esac
  sql_null "SELECT keyring_key_fetch('live')"
  log_has "refuse their use"
  log_has "taken out of service"
  $T hunt "$SERVER" /tmp/kw-secrets > /tmp/kw-hunt
  expect "secrets left in memory" "$(awk '!/^#/ && $2 + $3 > 0 { printf "%s ", $1 }' /tmp/kw-hunt)" ""
  rm -f /tmp/kw-secrets
  # Nothing but a RELOAD brings it back.
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a reload with a disabled key"
  kms_key_is on
  expect status "$(status_row Component_status)" Disabled
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
  expect "key length" "$(sql -e "SELECT keyring_key_length_fetch('live')")" 32
  in_state valid
}

# Nobody connects after the start: InnoDB's own calls begin the thread.
t_a_server_that_nobody_connects_to() {
  with_lease
  stop_server
  : > "$LOG"; chown mysql:mysql "$LOG"
  # shellcheck disable=SC2086
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG &
  SERVER=$!
  wait_for 60 grep -q "ready for connections" "$LOG" || fail "no server"
  local began; began=$(now)
  kms_key_is off
  wait_for 40 grep -q "taken out of service, because" "$LOG" || fail "it was not revoked"
  is_revoked_in_time "$began" "nobody connects"
}

t_a_key_that_is_to_be_deleted() {
  with_lease
  local began; began=$(now)
  kms_admin ScheduleKeyDeletion "{\"KeyId\":\"${KEY##*/}\",\"PendingWindowInDays\":7}" >/dev/null
  is_revoked_in_time "$began" "a key that is to be deleted"
  kms_admin CancelKeyDeletion "{\"KeyId\":\"${KEY##*/}\"}" >/dev/null
  kms_key_is on
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
}

# Away for three leases, and a service that answers nonsense: it serves on.
t_an_outage() {
  with_lease
  local fault before
  for fault in hang reset "answer 503 {}"; do
    kms_fault "$fault"
    in_state away
    before=$(asked)
    wait_for 60 asked_since $((before + 9)) || fail "the KEK is not asked"
    expect "$fault" "$(state)" away
    expect row "$(row)" one
    kms_fault ""
    in_state valid
  done
  echo "    hang, reset, 503, each for three leases: it serves"
}

# An identity that has expired is no word about the key.
t_an_expired_token() {
  with_lease
  local code before
  for code in ExpiredTokenException UnrecognizedClientException InvalidSignatureException; do
    kms_fault "answer 400 {\"__type\":\"$code\",\"message\":\"no\"}"
    in_state away
    before=$(asked)
    wait_for 60 asked_since $((before + 5)) || fail "the KEK is not asked"
    expect "$code" "$(state)" away
    kms_fault ""
    in_state valid
  done
  echo "    an expired token, an unknown identity, a clock that is off: it serves"
}

t_a_grace_that_is_written_out() {
  with_lease "\"grace\": $((LEASE + 2))"
  local began; began=$(now)
  kms_fault reset
  in_state away
  in_state revoked
  echo "    away, grace $((LEASE + 2)) s: revoked after $(since "$began") s"
  log_has "$((LEASE + 2)) s (grace)"
  kms_fault ""
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
}

t_a_key_that_flaps() {
  with_lease
  for _ in 1 2 3; do
    kms_key_is off; in_state refused
    kms_key_is on; in_state valid
  done
  expect row "$(row)" one
}

t_shutdown() {
  with_lease "\"on_revocation\": \"shutdown\""
  local began; began=$(now)
  kms_key_is off
  wait "$SERVER" || fail "the server ended with $?"
  SERVER=
  echo "    on_revocation=shutdown: ended after $(since "$began") s"
  log_has "told to shut down"
  grep -q "Shutdown complete" "$LOG" || fail "no orderly shutdown"
}

# The server stops while a KEK hangs in a check.
t_a_shutdown_during_a_check() {
  with_lease
  kms_calls >/dev/null
  kms_fault hang
  wait_for 20 grep -q . $KMS/calls || fail "no check"
  local began; began=$(now)
  kill "$SERVER"; wait "$SERVER" || fail "the server ended with $?"
  SERVER=
  local took; took=$(since "$began")
  echo "    a shutdown while a KEK hangs: $took s"
  [ "${took%.*}" -le 8 ] || fail "it took $took s"
}

t_a_daemon() {
  with_lease
  stop_server
  : > "$LOG"; chown mysql:mysql "$LOG"
  # shellcheck disable=SC2086
  mysqld --no-defaults --daemonize --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid --skip-networking --mysqlx=OFF $SMALL --log-error=$LOG
  SERVER=$(cat /run/mysqld/mysqld.pid)
  in_state valid
  local began; began=$(now)
  kms_key_is off
  is_revoked_in_time "$began" "a daemon"
  kill "$SERVER"; wait_for 30 no_servers || fail "it does not stop"
  SERVER=
}

# One of two that is refused ends nothing, both do.
t_one_of_two() {
  reset_all; component_manifest; kms_reset "$KW_LOCALSTACK"
  local second; second=$(kms_key)
  local of="\"endpoint_url\": \"$KMS_URL\", \"credentials_file\": \"$AWS_KEYS\", \"connect_timeout\": 1, \"attempt_timeout\": 2"
  echo "{ \"path\": \"$KEYS/keyring.ward\", \"timeout\": 5, \"keks\": [ { \"name\": \"a\", \"provider\": \"aws_kms\", \"key_id\": \"$KEY\", $of },
    { \"name\": \"b\", \"provider\": \"aws_kms\", \"key_id\": \"$second\", $of } ] }" > "$CONFIG"
  lease_into_config
  keyring-ward init --config "$CONFIG" --user mysql | head -1
  fresh_data; start_server; encrypted_table; in_state valid
  kms_key_is off
  refused_by_a() { [ "$(status_row KEK.a.Result)" = Denied ]; }
  wait_for 30 refused_by_a || fail "$(status_row KEK.a.Result)"
  local before=$SECONDS
  # Three leases; what is waited for is that nothing happens.
  until [ $((SECONDS - before)) -ge $((3 * LEASE)) ]; do expect state "$(state)" valid; sleep 1; done
  expect row "$(row)" one
  local began; began=$(now)
  kms_admin DisableKey "{\"KeyId\":\"${second##*/}\"}" >/dev/null
  is_revoked_in_time "$began" "the second of two"
}

# A token that is taken out, one whose key is destroyed, one that is made anew.
t_a_token() {
  reset_all; hsm_reset; use_softhsm; pin_file; pkcs11_config; component_manifest
  lease_into_config
  keyring-ward init --config "$CONFIG" --user mysql --generate | head -1
  fresh_data; start_server; encrypted_table; in_state valid
  local began; began=$(now)
  mv $HSM/tokens $HSM/taken; as_mysql mkdir $HSM/tokens
  is_revoked_in_time "$began" "a token that is taken out"
  rmdir $HSM/tokens; mv $HSM/taken $HSM/tokens
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
  in_state valid
  cp -a $HSM/tokens $HSM/saved
  began=$(now)
  as_mysql pkcs11-tool --module $SOFTHSM --token-label ward --login --pin $PIN --delete-object --type secrkey --label kek >/dev/null 2>&1 || fail "the key was not destroyed"
  is_revoked_in_time "$began" "a key that is destroyed"
  rm -rf $HSM/tokens; cp -a $HSM/saved $HSM/tokens
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  in_state valid
  began=$(now)
  rm -rf $HSM/tokens; as_mysql mkdir $HSM/tokens; use_softhsm
  is_revoked_in_time "$began" "a token that is made anew"
  rm -rf $HSM/tokens; mv $HSM/saved $HSM/tokens
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
}

# A policy that is taken from a role: the token that Vault gives is good, the key is not for it.
t_a_policy() {
  reset_all; component_manifest; vault_reset; vault_role; vault_config; lease_into_config
  keyring-ward init --config "$CONFIG" --user mysql | head -1
  fresh_data; start_server; encrypted_table; in_state valid
  vault_seal
  in_state away
  vault_unseal
  in_state valid
  local began; began=$(now)
  $BAO policy delete mysql-keyring >/dev/null
  is_revoked_in_time "$began" "a policy that is taken away"
  vault_off
}

# What a server does whose keyring is revoked, for docs/guide/lease.md.
t_what_a_server_does() {
  with_lease
  stop_server
  local options=(--innodb-redo-log-encrypt=ON --innodb-undo-log-encrypt=ON --binlog-encryption=ON --log-bin=/var/lib/mysql/b --server-id=1)
  start_server "${options[@]}"
  sql -e "CREATE TABLE d.open_one (a INT PRIMARY KEY) ENCRYPTION='Y'; INSERT INTO d.open_one VALUES (1); CREATE TABLE d.plain (a INT); CREATE UNDO TABLESPACE u ADD DATAFILE 'u.ibu'; SET GLOBAL innodb_undo_log_truncate=OFF"
  stop_server; start_server "${options[@]}"
  sql -e "SELECT * FROM d.open_one" >/dev/null
  kms_key_is off
  in_state revoked
  did() { # did WHAT STATEMENT
    local said
    if said=$(timeout 60 mysql -uroot -S "$SOCKET" --batch --skip-column-names -e "$2" 2>&1); then said="works"; else said=$(echo "$said" | grep -m1 ERROR || echo "nothing within 60 s"); fi
    kill -0 "$SERVER" 2>/dev/null || said="the server ENDS: $said"
    echo "    | $1 | $(echo "$said" | tr '|' '/' | cut -c1-160) |"
  }
  did "read and write an encrypted table that was opened" "SELECT * FROM d.open_one; INSERT INTO d.open_one VALUES (2)"
  did "an encrypted table that was not opened since the start" "SELECT b FROM d.t"
  did "a new encrypted table" "CREATE TABLE d.n (a INT) ENCRYPTION='Y'"
  did "a table that is not encrypted" "INSERT INTO d.plain VALUES (1)"
  did "ALTER INSTANCE ROTATE INNODB MASTER KEY" "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  did "ALTER INSTANCE ROTATE BINLOG MASTER KEY" "ALTER INSTANCE ROTATE BINLOG MASTER KEY"
  did "FLUSH BINARY LOGS (binlog_encryption)" "FLUSH BINARY LOGS; INSERT INTO d.plain VALUES (2)"
  did "redo logs made anew (innodb_redo_log_encrypt, another capacity)" "SET GLOBAL innodb_redo_log_capacity=16*1024*1024; INSERT INTO d.plain VALUES (3)"
  did "undo truncation" "ALTER UNDO TABLESPACE u SET INACTIVE; SET GLOBAL innodb_undo_log_truncate=ON; SELECT 1"
  did "the server's own status" "SELECT STATUS_VALUE FROM performance_schema.keyring_component_status WHERE STATUS_KEY='Component_status'"
  echo "    what InnoDB logged:"
  grep -E "\[(ERROR|Warning)\]" "$LOG" | grep -v "Keyring Ward\|KW-0" | tail -8 | cut -c1-220 | sed 's/^/    /'
  local rc=0
  stop_server
  start_server "${options[@]}" || rc=$?
  echo "    | a restart while the KEK refuses | $([ $rc = 0 ] && echo "starts, keyring $(status_row Component_status)" || echo "does not start: $(grep -m1 '\[ERROR\].*InnoDB' "$LOG" | sed 's/.*\] //' | cut -c1-120)") |"
  stop_server
  kms_key_is on
  start_server "${options[@]}" || fail "it does not start with the KEK back"
  expect row "$(row)" one
  expect rows "$(sql -e "SELECT COUNT(*) FROM d.open_one" | tail -1)" "$(sql -e "SELECT COUNT(*) FROM d.open_one" | tail -1)"
  echo "    | a restart when it opens again | starts, all rows are there |"
}

run_tests "$@"
kms_off
