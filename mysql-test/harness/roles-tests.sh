#!/bin/bash
# The eight roles of share/keyring_ward.sql under the example policy, with a real server: the role matrix, the account of the backup operator, and
# what no policy stops.
#   roles-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/policy-lib.sh
. /kw/mysql-test/harness/role-matrix.sh

# says TEXT USER SQL: it is said, error or not.
says() { SAID=$(mysql -u"$2" -S $SOCKET -NBe "$3" 2>&1) || true; case "$SAID" in *"$1"*) ;; *) fail "no '$1' from $2: $3: $SAID" ;; esac; }

# Each cell by itself: 8 roles and the backup operator, all functions and procedures, own and foreign keys, in and out of hours.
t_role_matrix() {
  local began=$SECONDS
  matrix_server
  matrix_is_whole
  matrix_seen
  matrix_judged > /tmp/kw-judged
  cp $CELLS /tmp/kw-matrix-seen
  [ "$(wc -l < /tmp/kw-judged)" = 1 ] || fail "the role matrix: $(wc -l < /tmp/kw-judged) lines: $(head -20 /tmp/kw-judged)"
  echo "    $(cat /tmp/kw-judged), as expected, in $((SECONDS - began)) s"
}

# The example is in order, and its table of expectations is met; a table that expects something else is not.
t_the_example_policy() {
  keyring-ward policy check /kw/share/policy-example.json | grep -q "The policy is in order: .* default deny" || fail "check"
  keyring-ward policy test /kw/share/policy-example.json --expect /kw/share/policy-example.expected.json | grep -q "^All .* expectations are met" || fail "test"
  sed 's/"01:00-03:00"/"01:00-04:00"/' /kw/share/policy-example.json > /tmp/kw-other.json
  ! keyring-ward policy test /tmp/kw-other.json --expect /kw/share/policy-example.expected.json > /tmp/kw-out || fail "another window is not noticed"
  sed 's/"environments": \["test"\]/"environments": ["test", "prod"]/' /kw/share/policy-example.json > /tmp/kw-other.json
  sed -i '/"test-keys-only"/,/"note"/d' /tmp/kw-other.json
  ! keyring-ward policy test /tmp/kw-other.json --expect /kw/share/policy-example.expected.json > /tmp/kw-out || fail "developers with keys of production are not noticed"
}

# ---- the account of the backup operator -------------------------------------------------------------------------------

locked() { sql -e "SELECT account_locked FROM mysql.user WHERE User = 'backup' AND Host = '${1:-localhost}'"; }
is_locked() { [ "$(locked)" = "$1" ]; }
time_at() { date -u -d "$1 minutes" +%H:%M; }
# window FROM TO: minutes from now.
window() { sql -e "CALL keyring_ward_gate.maintenance_window('backup@localhost', '$(time_at "$1")', '$(time_at "$2")', NULL)"; }

t_maintenance_window() {
  ROLE=component
  reset_all; make_passphrase; component_manifest; component_config "\"passphrase_file\": \"$KEYS/passphrase\""; fresh_data; policy owner
  start_server --event-scheduler=ON
  sql < /kw/share/maintenance_window.sql || fail "the file"
  sql < /kw/share/maintenance_window.sql || fail "the file again"
  sql -e "CREATE USER backup@localhost ACCOUNT LOCK; CREATE USER backup@'%'; ALTER EVENT keyring_ward_gate.maintenance_unlock ON SCHEDULE EVERY 1 SECOND; ALTER EVENT keyring_ward_gate.maintenance_lock ON SCHEDULE EVERY 1 SECOND"
  # In its window the one event unlocks, behind it the other one locks; midnight may lie within.
  window -60 60; wait_for 20 is_locked N || fail "not unlocked"
  mysql -ubackup -S $SOCKET -e "SELECT 1" > /dev/null || fail "no login in the window"
  window 60 120; wait_for 20 is_locked Y || fail "not locked"
  says "ERROR 3118" backup "SELECT 1"
  window -1380 -1320; window -720 60; wait_for 20 is_locked N || fail "not unlocked in the long window"
  window 1 -1; wait_for 20 is_locked Y || fail "not locked in the gap of a window over midnight"
  # What a server that was down has missed.
  sql -e "ALTER USER backup@localhost ACCOUNT UNLOCK"; stop_server; start_server --event-scheduler=ON
  wait_for 20 is_locked Y || fail "an account that was left open stays open"
  # A zone, by its name where the server has names, and by its offset.
  sql -e "CALL keyring_ward_gate.maintenance_window('backup@localhost', ADDTIME(TIME_FORMAT(UTC_TIME(), '%H:%i'), '00:00'), '$(time_at 60)', '-05:00')"
  expect "another zone's clock" "$(sql -e "SELECT keyring_ward_gate.own_is_open(opens, closes, time_zone), keyring_ward_gate.own_is_open(opens, closes, '+00:00') FROM keyring_ward_gate.maintenance_windows")" "0	1"
  # The other account of that name is nobody's business; one that there is not is told.
  expect "backup@%" "$(locked %)" N
  sql -e "CALL keyring_ward_gate.maintenance_window('none@localhost', '01:00', '03:00', NULL)"
  told() { [ "$(sql -e "SELECT message FROM keyring_ward_gate.maintenance_windows WHERE user = 'none'")" = "There is no such account." ]; }
  wait_for 20 told || fail "nothing is said of an account that there is not"
  # Names that are hard to write.
  sql -e "CREATE USER 'o''n@x'@'localhost' ACCOUNT LOCK; CALL keyring_ward_gate.maintenance_window('o''n@x@localhost', '00:00', '24:00', NULL)"
  hard() { [ "$(sql -e "SELECT account_locked FROM mysql.user WHERE User LIKE 'o%x'")" = N ]; }
  wait_for 20 hard || fail "a hard name: $(sql -e "SELECT * FROM keyring_ward_gate.maintenance_windows")"
  # No window: it stays as it is.
  sql -e "CALL keyring_ward_gate.maintenance_window('backup@localhost', NULL, NULL, NULL)"
  expect "rows" "$(sql -e "SELECT COUNT(*) FROM keyring_ward_gate.maintenance_windows WHERE user = 'backup'")" 0
  local each
  for each in "'backup', '01:00', '03:00', NULL" "NULL, '01:00', '03:00', NULL" "'b@h', '01:00', NULL, NULL" "'b@h', '01:00', '01:00', NULL" "'b@h', '01:00', '25:00', NULL" \
    "'b@h', '01:00', '03:00', 'Mars/Olympus'" "'keyring_ward_definer@localhost', '01:00', '03:00', NULL"; do
    sql_fails 1644 "CALL keyring_ward_gate.maintenance_window($each)"
  done
  # EXECUTE on everything opens nothing, and neither does what belongs to us.
  sql -e "CREATE USER executes; GRANT EXECUTE ON *.* TO executes; INSERT INTO keyring_ward_gate.maintenance_windows (user, host, opens, closes) VALUES ('keyring_ward_gate', 'localhost', '00:00', '24:00')"
  says "ERROR 1142" executes "CALL keyring_ward_gate.maintenance_window('backup@localhost', '00:00', '24:00', NULL)"
  says "ERROR 1142" executes "CALL keyring_ward_gate.own_set('UNLOCK')"
  # The event has looked at that row when the one before it is told of.
  sql -e "UPDATE keyring_ward_gate.maintenance_windows SET message = NULL"; wait_for 20 told || fail "the events do not run"
  expect "the gate's own account" "$(sql -e "SELECT account_locked FROM mysql.user WHERE User = 'keyring_ward_gate'")" Y
}

# ---- what a policy does not stop: each line of docs/guide/access.md -----------------------------------------------------

# The example in force, a key ssn of the application with a value, which app_admin may fetch and nobody else here. More rules first.
with_example() { # with_example [RULE]
  roles_server
  sql -e "CREATE USER app; CREATE DATABASE d; CREATE TABLE d.v (v VARBINARY(200)); GRANT SELECT, INSERT ON d.* TO app; DO keyring_ward_key_create('ssn', 'app@%', 'AES', 32)" || fail "the accounts"
  mysql -uapp -S $SOCKET -e "INSERT INTO d.v VALUES (keyring_ward_encrypt('ssn', 'a secret'))" || fail "the application"
}
more_rules() { sed -i "s/\"rules\": \[/\"rules\": [ $1,/" $POLICY; sql -e "ALTER INSTANCE RELOAD KEYRING"; sql -e "SELECT keyring_ward_policy()" | grep -q '"refused":null' || fail "the rule"; }
FETCH="SELECT LENGTH(keyring_ward_key_fetch('app@%/ssn@1'))"
OPENED="SELECT CAST(keyring_ward_decrypt('ssn', v) AS CHAR) FROM d.v"

# INSERT on mysql.*: any privilege, any role, any account.
t_insert_on_mysql_is_everything() {
  with_example
  sql -e "CREATE USER climber@localhost; GRANT INSERT, UPDATE, DELETE, SELECT ON mysql.* TO climber@localhost"
  says "no rule of the policy" climber "$FETCH"
  mysql -uclimber -S $SOCKET -e "INSERT INTO mysql.global_grants VALUES ('climber', 'localhost', 'KEYRING_WARD_USE_APP', 'N')" || fail "the row"
  says "no rule of the policy" climber "$FETCH"
  # It counts at the next start (or FLUSH PRIVILEGES by whoever may).
  stop_server; start_server || fail "the server"
  says 32 climber "$FETCH"
  # Networks and hours hold, as long as it comes that way.
  more_rules '{ "name": "not-by-socket", "effect": "deny", "operations": ["fetch"], "networks": ["socket"] }'
  says "'not-by-socket'" climber "$FETCH"
}

# Another account as definer: the routine acts as that one; who has logged in is known all the same.
t_set_any_definer_is_anybody() {
  with_example
  sql -e "CREATE USER maker; GRANT SET_ANY_DEFINER ON *.* TO maker; GRANT CREATE ROUTINE, EXECUTE, SELECT, EVENT, INSERT ON d.* TO maker; GRANT EXECUTE ON d.* TO app"
  says "no rule of the policy" maker "SELECT keyring_ward_decrypt('app@%/ssn', v) FROM d.v"
  mysql -umaker -S $SOCKET -e "CREATE DEFINER = app@\`%\` PROCEDURE d.f() $OPENED" || fail "the routine"
  says "a secret" maker "CALL d.f()"
  more_rules '{ "name": "not-maker", "effect": "deny", "operations": ["*"], "logins": ["maker@*"] }'
  says "'not-maker'" maker "CALL d.f()"
  # In an event nobody has logged in.
  sql -e "CREATE TABLE d.e (t VARCHAR(40)); GRANT INSERT ON d.e TO app; GRANT EVENT ON d.* TO app; SET GLOBAL event_scheduler = ON"
  mysql -umaker -S $SOCKET -e "CREATE DEFINER = app@\`%\` EVENT d.e ON SCHEDULE AT NOW() DO INSERT INTO d.e SELECT keyring_ward_decrypt('ssn', v) FROM d.v" || fail "the event"
  got() { [ "$(sql -e "SELECT t FROM d.e")" = "a secret" ]; }
  wait_for 30 got || fail "the event got nothing"
}

# MySQL's root: whoever may change accounts is each of them. A name is a name.
t_root_of_mysql_is_every_account() {
  with_example
  says "no rule of the policy" root "$FETCH"
  sql -e "GRANT app_admin TO root@localhost"
  says 32 root "SET ROLE app_admin; $FETCH"
  sql -e "REVOKE app_admin FROM root@localhost; ALTER USER app IDENTIFIED BY 'new'"
  expect "as the application" "$(mysql -uapp -pnew -S $SOCKET -NBe "$OPENED" 2>/dev/null)" "a secret"
  # DROP USER and CREATE USER: somebody else with the same rights.
  # With SYSTEM_USER only another one that has it may do so.
  sql -e "CREATE USER helper; GRANT CREATE USER ON *.* TO helper"
  mysql -uhelper -S $SOCKET -e "ALTER USER app IDENTIFIED BY 'helped'" || fail "CREATE USER changes no password"
  sql -e "GRANT SYSTEM_USER ON *.* TO app"
  says "SYSTEM_USER" helper "ALTER USER app IDENTIFIED BY 'again'"
  sql -e "DROP USER app; CREATE USER app; GRANT SELECT ON d.* TO app"
  says "a secret" app "$OPENED"
}

# The machine: root changes the policy; root, the account of mysqld and whoever runs the tool have the file and the KEK.
t_root_of_the_machine_has_all() {
  with_example
  local fetched to
  sql -e "GRANT app_admin TO app; SET DEFAULT ROLE ALL TO app"
  fetched=$(mysql -uapp -S $SOCKET -NBe "SELECT HEX(keyring_ward_key_fetch('ssn@1'))")
  expect "the material's length" "${#fetched}" 64
  for to in root mysql; do
    rm -rf /tmp/kw-export; install -d -o mysql -m 700 /tmp/kw-export
    if [ $to = root ]; then keyring-ward export --path "$KEYS/keyring.ward" --key-file "$KEYS/kek" --to /tmp/kw-export/all --plaintext > /dev/null || fail "export"
    else setpriv --reuid mysql --regid mysql --init-groups keyring-ward export --path "$KEYS/keyring.ward" --key-file "$KEYS/kek" --to /tmp/kw-export/all --plaintext > /dev/null || fail "export as mysql"; fi
    [ -s /tmp/kw-export/all ] || fail "nothing was exported"
  done
  policy owner; says "no rule of the policy" root "$FETCH"; sql -e "ALTER INSTANCE RELOAD KEYRING; CREATE USER any"
  policy owner '{ "name": "mine", "effect": "allow", "operations": ["*"] }'; sql -e "ALTER INSTANCE RELOAD KEYRING"
  says 32 any "$FETCH"
}

# MySQL's own keys are nobody's: who may read an encrypted table is a matter of its grants.
t_encrypted_tables_are_a_matter_of_grants() {
  with_example
  sql -e "CREATE TABLE d.t (a TEXT) ENCRYPTION = 'Y'; INSERT INTO d.t VALUES ('a row'); CREATE USER reader; GRANT SELECT ON d.t TO reader"
  says "a row" reader "SELECT a FROM d.t"
}

run_tests "$@"
