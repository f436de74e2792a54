#!/bin/bash
# The schema keyring_ward with a real server (share/keyring_ward.sql): installation in every state, rotation and its refusals, kills at each
# step, re-encryption of columns under load, events that were missed, roles.
#   schema-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/schema-lib.sh
# refused SENTENCE 'CALL': it fails, and says that.
refused() {
  SAID=$(sql -e "CALL keyring_ward.$2" 2>&1) && fail "done: $2: $SAID"
  case "$SAID" in *"ERROR 1644 "*"$1"*) ;; *) fail "$2: no '$1' in $SAID" ;; esac
}
log_of() { sql -e "SELECT $2 FROM keyring_ward.key_rotation_log WHERE key_name = '$1' ORDER BY id DESC LIMIT 1"; }
remove_schema() { sql -e "DROP SCHEMA IF EXISTS keyring_ward; DROP USER IF EXISTS $DEFINER; DROP ROLE IF EXISTS dba_admin, key_admin, app_admin, key_operator, key_auditor, key_user, developer, tester"; }

# ---- installation ----------------------------------------------------------------------------------

# What the file makes, without times.
made() {
  mysqldump -uroot -S $SOCKET --no-data --set-gtid-purged=OFF --routines --events --skip-dump-date --skip-comments keyring_ward 2>/dev/null | sed 's/AUTO_INCREMENT=[0-9]* //; s/STARTS .2[^ ]* [^ ]*//'
  sql -e "SELECT * FROM keyring_ward.rotation_policy; SELECT * FROM keyring_ward.settings; SELECT * FROM keyring_ward.roles; SHOW GRANTS FOR $DEFINER"
  for role in dba_admin key_admin app_admin key_operator key_auditor key_user developer tester; do sql -e "SHOW GRANTS FOR $role"; done
}

t_install_twice() {
  with_schema
  made > /tmp/kw-once
  sql < $SCHEMA > /dev/null
  made > /tmp/kw-twice
  diff /tmp/kw-once /tmp/kw-twice || fail "the second run changed something"
  expect "complete" "$(sql -e "SELECT version, complete FROM keyring_ward.schema_version")" "1	1"
  # What an operator has set stays.
  sql -e "UPDATE keyring_ward.rotation_policy SET rotate_every = 7 WHERE key_type = 'dek'; ALTER EVENT keyring_ward.rotate_due_daily ENABLE"
  call "create_key('k')"; call "rotate_key('k')"
  sql < $SCHEMA > /dev/null
  expect "the policy" "$(sql -e "SELECT rotate_every FROM keyring_ward.rotation_policy WHERE key_type = 'dek'")" 7
  expect "the event" "$(sql -e "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME = 'rotate_due_daily'")" ENABLED
  expect "the log" "$(log_of k state)" "done"
  # The policy of the first day.
  sql -e "DELETE FROM keyring_ward.rotation_policy"; sql < $SCHEMA > /dev/null
  expect "the policy" "$(sql -e "SELECT GROUP_CONCAT(key_type, ' ', rotate_every, ' ', unit ORDER BY key_type) FROM keyring_ward.rotation_policy")" \
    "binlog_master 90 day,dek 90 day,innodb_master 90 day,kek 365 day,temporary 8 hour,transport 7 day"
}

# The file was cut off, or its client killed, behind any of its statements: the procedures say so, and running it again mends it.
t_half_installed() {
  with_schema
  made > /tmp/kw-once
  local ends count=0 end
  mapfile -t ends < <(grep -nE '(;|//)$' $SCHEMA | cut -d: -f1)
  for end in $(seq 25 "$(many 150 3)" $((${#ends[@]} - 4))); do
    remove_schema
    head -n "${ends[$end]}" $SCHEMA | sql > /dev/null || true
    count=$((count + 1))
    if [ "$(sql -e "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'keyring_ward' AND ROUTINE_NAME = 'rotate_key'")" = 1 ]; then
      refused "in part only" "rotate_key('k')"
    fi
    sql < $SCHEMA > /dev/null || fail "not mended behind line ${ends[$end]}"
    made > /tmp/kw-twice
    diff /tmp/kw-once /tmp/kw-twice || fail "another schema behind line ${ends[$end]}"
  done
  echo "    cut off at $count places, and mended each time"
}

t_own_routines_have_the_rights_of_their_caller() {
  with_schema
  expect "those with the definer's" "$(sql -e "SELECT GROUP_CONCAT(ROUTINE_NAME ORDER BY ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'keyring_ward' AND ROUTINE_TYPE = 'PROCEDURE' AND SECURITY_TYPE = 'DEFINER' AND ROUTINE_NAME LIKE 'own\_%'")" \
    "own_catch_up,own_ready,own_run,own_space,own_table_log"
}

t_older_newer_and_foreign() {
  with_schema
  sql -e "UPDATE keyring_ward.schema_version SET version = 0"
  refused "two releases" "rotate_due()"
  sql < $SCHEMA > /dev/null; call "rotate_due()"
  sql -e "UPDATE keyring_ward.schema_version SET version = 2"
  refused "two releases" "rotate_due()"
  SAID=$(sql < $SCHEMA 2>&1) && fail "a newer schema was overwritten"
  case "$SAID" in *"newer release"*) ;; *) fail "$SAID" ;; esac
  expect "it is whole" "$(sql -e "SELECT version, complete FROM keyring_ward.schema_version")" "2	1"
  # Under another name.
  sql -e "UPDATE keyring_ward.schema_version SET version = 1; CREATE DATABASE renamed"
  mysqldump -uroot -S $SOCKET --set-gtid-purged=OFF --routines keyring_ward 2>/dev/null | mysql -uroot -S $SOCKET renamed
  sql -e "GRANT ALL ON renamed.* TO $DEFINER"
  SAID=$(sql -e "CALL renamed.rotate_due()" 2>&1) && fail "a renamed schema rotates"
  case "$SAID" in *"must be called keyring_ward"*) ;; *) fail "$SAID" ;; esac
  # A schema of somebody else's.
  remove_schema; sql -e "CREATE SCHEMA keyring_ward; CREATE TABLE keyring_ward.mine (a INT)"
  SAID=$(sql < $SCHEMA 2>&1) && fail "somebody's schema was taken"
  case "$SAID" in *"did not make"*) ;; *) fail "$SAID" ;; esac
  expect "its tables" "$(sql -e "SELECT GROUP_CONCAT(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'keyring_ward'")" mine
  # A role that was there before gets nothing.
  remove_schema; sql -e "CREATE ROLE developer, key_admin"; sql < $SCHEMA > /tmp/kw-lacks
  grep -q "developer.*was there before" /tmp/kw-lacks || fail "nothing is said: $(cat /tmp/kw-lacks)"
  expect "its grants" "$(sql -e "SHOW GRANTS FOR key_admin" | wc -l)" 1
  sql < $SCHEMA > /dev/null
  expect "its grants" "$(sql -e "SHOW GRANTS FOR key_admin" | wc -l)" 1
}

# ---- rotation ------------------------------------------------------------------------------------

t_rotate_key() {
  with_schema
  refused "exist" "rotate_key('ssn')"
  call "create_key('ssn')"
  refused "KW-0002" "create_key('ssn')"
  call "rotate_key('ssn')"
  expect "current" "$(current ssn)" 2
  expect "the log" "$(log_of ssn "old_key_id, new_key_id, state, progress, resumable, asked_by, rotation_time IS NOT NULL, reason")" "ssn@1	ssn@2	done	100.00	0	root@localhost	1	call"
  # A version that is pending is taken up.
  sql -e "DO keyring_ward_key_rotate('ssn', '$DEFINER', 1)"
  call "rotate_key('ssn')"
  expect "current" "$(current ssn)" 3
  # A key of another account, and one that was adopted.
  sql -e "DO keyring_key_generate('old', 'AES', 32), keyring_ward_key_adopt('old', CURRENT_USER())"
  call "rotate_key_of('old', 'root@localhost', FALSE)"
  expect "an adopted key" "$(log_of old "old_key_id, new_key_id, message")" "old	old@2	No column is registered for this key: its old versions stay."
  # A key pair, whose length is not that of its material.
  sql -e "DO keyring_ward_keypair_generate('pair', 'ED25519')"
  call "rotate_key_of('pair', 'root@localhost', FALSE)"
  expect "a pair" "$(current pair root@localhost) $(log_of pair state)" "2 done"
  sql -e "DO keyring_key_generate('plain', 'AES', 32)"
  refused "is no logical key" "rotate_key_of('plain', 'root@localhost', FALSE)"
  # NULL, which a failed subquery gives, decides nothing.
  refused "is NULL" "rotate_key(NULL)"; refused "is NULL" "rotate_key_of('ssn', NULL, FALSE)"; refused "is NULL" "rotate_key_of('ssn', '$DEFINER', NULL)"; refused "is NULL" "create_key(NULL)"
  refused "is NULL" "retire_key('ssn', NULL, 7)"; refused "is NULL" "create_temporary_key('x', NULL)"
  # Names of every kind.
  local name
  for name in "it''s" 'a"b' 'schlüssel' '密钥' 'a`b' 'a\\\\b'; do
    call "create_key('$name')" || fail "$name"
    call "rotate_key('$name')" || fail "$name"
  done
  sql -e "UPDATE keyring_ward.rotation_policy SET rotate_every = 1, unit = 'hour'"
  call "rotate_due()"
  expect "nothing was due" "$(sql -e "SELECT COUNT(*) FROM keyring_ward.key_rotation_log WHERE reason = 'due'")" 0
  refused "No column is registered" "retire_key('ssn', 1, 7)"
  call "rotate_emergency()"
  expect "in an emergency" "$(current ssn)" 4
  expect "and the file" "$(log_of 'DEK of the keyring file' "state, reason")" "done	emergency"
  # Temporary keys.
  call "create_temporary_key('import', 'root@localhost')"
  expect "it is there" "$(one "keyring_key_length_fetch('import@1')")" 32
  call "end_temporary_key('import', 'root@localhost')"
  wait_for 10 sh -c "mysql -uroot -S $SOCKET -NBe \"SELECT keyring_key_fetch('import@1') IS NULL\" | grep -q 1" || fail "a temporary key lives on"
}

# What a server may not do, each with its sentence, and nothing is rotated.
t_refusals() {
  with_schema
  call "create_key('ssn')"
  local rotations="rotate_key('ssn') rotate_due() rotate_master_keys() rotate_emergency() rotate_table_key('a','b') create_key('x')" each
  refuses() { for each in $rotations; do refused "$1" "$each"; done; }
  sql -e "SET GLOBAL read_only = ON"; refuses "is read_only"
  sql -e "SET GLOBAL super_read_only = ON"; refuses "is read_only"
  call "check()" | grep -q "ready.failure.This server is read_only" || fail "check says nothing"
  sql -e "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF; SET GLOBAL binlog_format = 'STATEMENT'"; refuses "binlog_format is STATEMENT"
  sql -e "SET GLOBAL binlog_format = 'ROW'"
  SAID=$(sql -e "SET SESSION binlog_format = 'STATEMENT'; CALL keyring_ward.rotate_due()" 2>&1) && fail "rotated under STATEMENT"
  sql -e "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'source.example.org'"; refuses "is a replica"
  sql -e "UPDATE keyring_ward.settings SET also_on_replicas = TRUE"; call "rotate_due()"
  sql -e "UPDATE keyring_ward.settings SET also_on_replicas = FALSE; RESET REPLICA ALL"; call "rotate_due()"
  sql < /kw/share/uninstall.sql; refuses "SQL functions are missing"
  sql < /kw/share/install.sql
  sql -e "SET GLOBAL event_scheduler = OFF"
  call "check()" | grep -q "event scheduler.warning.event_scheduler is OFF" || fail "check says nothing of the scheduler"
  expect "nothing was rotated" "$(current ssn)" 1
  expect "nothing is in the log" "$(sql -e "SELECT COUNT(*) FROM keyring_ward.key_rotation_log")" 0
}

SMALL_DISK=/tmp/kw-small
# The keyring moves to a disk of its own that has little room.
keyring_on_a_small_disk() {
  stop_server
  mkdir -p $SMALL_DISK; mount -t tmpfs -o size=256k,mode=750 small $SMALL_DISK; trap 'stop_server; umount $SMALL_DISK' EXIT
  cp -a "$KEYS"/. $SMALL_DISK/; chown mysql:mysql $SMALL_DISK
  sed -i "s#$KEYS/keyring.ward#$SMALL_DISK/keyring.ward#" $CONFIG
  rm -f "$DATA"/keyring_ward.marker
  start_server
}
fill_the_keyrings_disk() {
  dd if=/dev/zero of=$SMALL_DISK/filler bs=1k >/dev/null 2>&1 || true
  # The file's last page has room for some.
  local n
  for n in $(seq 60); do [ "$(sql -e "SELECT keyring_key_generate(CONCAT('filler $n ', UUID()), 'AES', 32)" 2>/dev/null)" = 1 ] || break; done
  [ "$n" -lt 60 ] || fail "the disk is never full"
}

# Where generate or verify fails the old version stays current, and the log says aborted.
t_what_fails_is_aborted() {
  with_schema
  call "create_key('ssn')"
  # A full disk.
  keyring_on_a_small_disk; fill_the_keyrings_disk
  refused "Aborted, the old one stays current" "rotate_key('ssn')"
  expect "current" "$(current ssn)" 1
  expect "the log" "$(log_of ssn "state, resumable, new_version IS NULL, message LIKE '%KW-%', rotation_time IS NULL")" "aborted	0	1	1	1"
  rm $SMALL_DISK/filler
  call "rotate_key('ssn')"
  expect "with room again" "$(current ssn)" 2
  # The file on the disk is not what it should be: the new version stays pending.
  cp -a $SMALL_DISK/keyring.ward /tmp/kw-good
  printf '\377\377\377' | dd of=$SMALL_DISK/keyring.ward bs=1 seek=$(($(stat -c %s $SMALL_DISK/keyring.ward) / 2)) conv=notrunc 2>/dev/null
  refused "Aborted, the old one stays current" "rotate_key('ssn')"
  expect "current" "$(current ssn)" 2
  expect "the log" "$(log_of ssn "state, rotation_time IS NULL")" "aborted	1"
}

# Both of MySQL's own keys; the trap of InnoDB's counter.
t_master_keys() {
  with_schema --binlog-encryption=ON
  call "rotate_master_keys()"
  expect "no encrypted table, no key of InnoDB's" "$(sql -e "SELECT GROUP_CONCAT(key_type) FROM keyring_ward.key_rotation_log")" binlog_master
  encrypted_table
  call "rotate_master_keys()"
  expect "both" "$(sql -e "SELECT GROUP_CONCAT(key_type, ' ', old_version, ' ', new_version, ' ', state ORDER BY id) FROM keyring_ward.key_rotation_log")" \
    "binlog_master 1 2 done,innodb_master 1 2 done,binlog_master 2 3 done"
  expect row "$(row)" one
  # Without an encrypted table a start counts from 1 again: rotated until the key is a new one, and told.
  call "rotate_master_keys()"; call "rotate_master_keys()"
  sql -e "DROP DATABASE d"; stop_server; start_server --binlog-encryption=ON
  encrypted_table
  call "rotate_master_keys()"
  expect "a new key" "$(sql -e "SELECT old_version, new_version, state, message LIKE '%took old keys 3 times first%' FROM keyring_ward.key_rotation_log WHERE key_type = 'innodb_master' ORDER BY id DESC LIMIT 1")" "4	5	done	1"
  # A session that was killed between the two left a row behind.
  sql -e "INSERT INTO keyring_ward.key_rotation_log (key_type, key_name, old_version, state, reason, asked_by, server_uuid) VALUES ('innodb_master', 'x', 4, 'started', 'due', 'x', 'x'), ('innodb_master', 'y', 5, 'started', 'due', 'x', 'x')"
  call "rotate_master_keys()"
  expect "finished by what the keyring says" "$(log_of x state) $(log_of y state)" "done aborted"
}

# The bytes of the tablespace's key as they are wrapped: the same master key, so another key where they differ (docs/guide/prove.md).
wrapped() { dd if="$DATA/$1.ibd" bs=1 skip=10390 count=75 2>/dev/null | od -An -v -tx1 | tr -d ' \n'; }
t_table_key() {
  with_schema
  encrypted_table
  sql -e "CREATE TABLE d.plain (a INT PRIMARY KEY); CREATE TABLESPACE s ENCRYPTION = 'Y'; CREATE TABLE d.inside (a INT PRIMARY KEY) TABLESPACE s ENCRYPTION = 'Y';
    CREATE TABLE d.\`o'd \"d\`\`\$\` (a INT PRIMARY KEY) ENCRYPTION = 'Y' PARTITION BY HASH (a) PARTITIONS 3; INSERT INTO d.\`o'd \"d\`\`\$\` VALUES (1), (2), (3);
    FLUSH TABLES d.t FOR EXPORT"
  local before after
  before=$(wrapped d/t)
  call "rotate_table_key('d', 't')"
  sql -e "FLUSH TABLES d.t FOR EXPORT"
  after=$(wrapped d/t)
  # Magic, number of the master key and server are the same; the key is not.
  expect "the same master key" "${after:0:86}" "${before:0:86}"
  [ "${after:86:64}" != "${before:86:64}" ] && [ ${#after} = 150 ] || fail "the same tablespace key: $before, $after"
  keyring-ward prove --pages --config $CONFIG "$DATA" > /tmp/kw-prove || fail "prove: $(cat /tmp/kw-prove)"
  expect row "$(row)" one
  call "rotate_table_key('d', 'o\\'d \"d\`\$')"
  expect "partitions" "$(sql -e "SELECT COUNT(*) FROM d.\`o'd \"d\`\`\$\`")" 3
  expect "the log" "$(log_of d.t "state, old_key_id <> new_key_id")" "done	1"
  refused "is not encrypted" "rotate_table_key('d', 'plain')"
  refused "general tablespace" "rotate_table_key('d', 'inside')"
  refused "no InnoDB table" "rotate_table_key('d', 'nothing')"
  # With the caller's own rights.
  sql -e "CREATE USER op; GRANT key_admin TO op; SET DEFAULT ROLE ALL TO op; GRANT SELECT ON d.* TO op"
  SAID=$(mysql -uop -S $SOCKET -e "CALL keyring_ward.rotate_table_key('d', 't')" 2>&1) && fail "altered without the right"
  case "$SAID" in *"ERROR 1142"*) ;; *) fail "$SAID" ;; esac
  expect "the log" "$(log_of d.t state)" aborted
}

# ---- who waits for whom --------------------------------------------------------------------------------

t_replicas_must_confirm() {
  with_schema
  call "create_key('ssn')"
  sql -e "INSERT INTO keyring_ward.replicas (server_uuid, name) VALUES ('uuid-1', 'replica one'), ('uuid-2', 'replica two'); INSERT INTO keyring_ward.replicas (server_uuid, name, required) VALUES ('uuid-3', 'for reports', FALSE)"
  refused "2 replicas have not confirmed version 2 (replica one" "rotate_key('ssn')"
  expect "current" "$(current ssn)" 1
  expect "the log" "$(log_of ssn "state, resumable, new_version")" "waiting for replicas	1	2"
  # A row alone confirms nothing (replicas-tests.sh has the receipts).
  sql -e "INSERT INTO keyring_ward.key_transport (key_name, key_owner, version, transport_key, state, sealed) VALUES ('ssn', '$DEFINER', 2, 't', 'pending', 'eA==');
    INSERT INTO keyring_ward.key_transport_confirmations (server_uuid, transport_id, receipt) VALUES ('uuid-1', 1, 'x'), ('uuid-2', 1, ''), ('uuid-9', 1, 'x')"
  refused "2 replicas have not confirmed version 2 (replica one" "rotate_key('ssn')"
  expect "one rotation" "$(sql -e "SELECT COUNT(*) FROM keyring_ward.key_rotation_log")" 1
  call "rotate_key_of('ssn', '$DEFINER', TRUE)"
  expect "forced" "$(log_of ssn "state, message LIKE '%'") $(current ssn)" "done	1 2"
}

t_two_never_overlap() {
  with_schema
  call "create_key('ssn')"; call "create_key('other')"
  stop_at key_rotation_log "NEW.state = 'verified' AND NEW.key_name = 'ssn'"
  call "rotate_key('ssn')" & local first=$!
  wait_for 20 is_sleeping || fail "it does not wait"
  refused "Two rotations never overlap" "rotate_key('ssn')"
  case "$SAID" in *"Session "[0-9]*" (root) rotates this key now"*) ;; *) fail "who holds it is not told: $SAID" ;; esac
  sql -e "KILL $(sql -e "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'")"
  wait $first && fail "a killed call succeeded"
  go_on
  expect "not switched" "$(current ssn)" 1
  call "rotate_key('ssn')"
  expect "taken up" "$(current ssn) $(sql -e "SELECT COUNT(*), MAX(state) FROM keyring_ward.key_rotation_log")" "2 1	done"
  # All that is due, twice at once.
  stop_at key_rotation_log "NEW.state = 'verified' AND NEW.key_name = 'other'"
  call "rotate_emergency()" & first=$!
  wait_for 20 is_sleeping || fail "it does not wait"
  refused "Two rotations never overlap" "rotate_due()"
  refused "Two rotations never overlap" "rotate_emergency()"
  kill_server; wait $first || true
  start_server
  go_on; call "rotate_due()"
  expect "the rest is done, once" "$(current other) $(log_of other "state, reason")" "2 done	emergency"
}

t_quiet_hours() {
  with_schema
  call "create_key('ssn')"
  sql -e "DO keyring_ward_key_set('ssn', '$DEFINER', '{\"rotate_every\": 1}')"
  # Made due: a rotation that is not at its end is.
  stop_at key_rotation_log "NEW.state = 'switched'"
  call "rotate_key('ssn')" & wait_for 20 is_sleeping || fail "it does not wait"
  kill_server; start_server; go_on
  # An hour that is not now, in a zone and over midnight.
  sql -e "UPDATE keyring_ward.rotation_policy SET quiet_from = TIME(UTC_TIMESTAMP() + INTERVAL 4 HOUR), quiet_to = TIME(UTC_TIMESTAMP() + INTERVAL 5 HOUR), time_zone = '+02:00'"
  sql -e "UPDATE keyring_ward.rotation_policy SET quiet_from = TIME(UTC_TIMESTAMP() + INTERVAL 4 HOUR), quiet_to = TIME(UTC_TIMESTAMP() + INTERVAL 1 HOUR)"
  call "rotate_due()"
  expect "not now" "$(log_of ssn resumable)" 1
  sql -e "UPDATE keyring_ward.rotation_policy SET quiet_to = TIME(UTC_TIMESTAMP() + INTERVAL 3 HOUR), quiet_from = TIME(UTC_TIMESTAMP() + INTERVAL 1 HOUR)"
  call "rotate_due()"
  expect "now" "$(log_of ssn "resumable, state")" "0	done"
  # Hours in which the event never begins: check says so.
  sql -e "ALTER EVENT keyring_ward.rotate_due_daily ENABLE; UPDATE keyring_ward.rotation_policy SET quiet_from = '02:00', quiet_to = '05:00', time_zone = '+02:00' WHERE key_type = 'dek'; UPDATE keyring_ward.rotation_policy SET quiet_from = '22:00', quiet_to = '05:00', time_zone = '+00:00' WHERE key_type = 'kek'"
  call "check()" > /tmp/kw-checked
  grep -q "quiet hours of dek.warning.rotate_due_daily begins at 05:00:00 +02:00" /tmp/kw-checked || fail "nothing is said: $(cat /tmp/kw-checked)"
  ! grep -q "quiet hours of kek" /tmp/kw-checked || fail "too much is said"
  sql -e "UPDATE keyring_ward.rotation_policy SET time_zone = 'Nowhere/Town'"
  refused "does not know the time zone" "rotate_due()"
  sql_fails 3819 "UPDATE keyring_ward.rotation_policy SET quiet_to = NULL"
}

# What should have begun while the server was down begins once, after the next start.
t_a_missed_rotation_runs_once() {
  with_schema
  call "create_key('ssn')"
  missed() { one "keyring_ward.own_is_missed('2026-01-01 03:00:00', '$1', '$2', '2026-01-01', $3, '$4')"; }
  expect "a day" "$(missed 1 DAY NULL '2026-03-05 03:00:10') $(missed 1 DAY NULL '2026-01-01 02:59:00') $(missed 1 DAY "'2026-03-05 03:00:00.5'" '2026-03-06 02:59:59') $(missed 1 DAY "'2026-03-05 03:00:00.5'" '2026-03-06 03:00:10')" "1 0 0 1"
  expect "a month" "$(missed 1 MONTH "'2026-02-01 03:00:00.5'" '2026-02-28 03:00:00') $(missed 1 MONTH "'2026-02-01 03:00:00.5'" '2026-03-01 03:00:10') $(missed 2 WEEK NULL '2026-01-16 03:00:00')" "0 1 1"
  sql -e "ALTER EVENT keyring_ward.monthly_key_rotation ON SCHEDULE EVERY 1 DAY STARTS CURRENT_TIMESTAMP + INTERVAL 3 SECOND ENABLE; ALTER EVENT keyring_ward.missed_rotations ON SCHEDULE EVERY 1 SECOND"
  local due; due=$(sql -e "SELECT UNIX_TIMESTAMP(STARTS) FROM information_schema.EVENTS WHERE EVENT_NAME = 'monthly_key_rotation'")
  stop_server
  wait_for 20 sh -c "[ \$(date +%s) -gt $((due + 1)) ]"
  start_server
  wait_for 40 sh -c "mysql -uroot -S $SOCKET -NBe 'SELECT 1 FROM keyring_ward.schedule_runs WHERE last_end IS NOT NULL' | grep -q 1" || fail "it was not made up for: $(call "check()")"
  # (The events belong to root now, as ALTER EVENT makes it; it rotates the same keys.)
  # The event that looks goes on every second: three more of them.
  local looked; looked=$(date +%s)
  wait_for 20 sh -c "[ \$(date +%s) -gt $((looked + 3)) ]"
  expect "nothing failed" "$(sql -e "SELECT message FROM keyring_ward.schedule_runs WHERE event_name = 'monthly_key_rotation'")" NULL
  expect "once" "$(sql -e "SELECT runs FROM keyring_ward.schedule_runs WHERE event_name = 'monthly_key_rotation'") $(current ssn) $(log_of ssn "reason, asked_by")" "1 2 monthly	event_scheduler@localhost"
  log_lacks "keyring_ward.missed_rotations"
}

# What is not here any more is not sent: a replica on which all of a key was destroyed would take it in again.
t_what_is_gone_is_not_sent() {
  with_schema
  local public
  public=$(one "JSON_UNQUOTE(JSON_EXTRACT(keyring_ward_transport_request('t'), '\$.public'))")
  sql -e "DO keyring_ward_transport_new('t', '$public'); UPDATE keyring_ward.settings SET transport_key = 't'"
  call "create_key('ssn')"; call "send_key('ssn', '$DEFINER')"
  sent() { sql -e "SELECT GROUP_CONCAT(key_name, '@', version ORDER BY id) FROM keyring_ward.key_transport"; }
  gone() { sql -e "INSERT INTO keyring_ward.key_transport (key_name, key_owner, version, transport_key, state, sealed) VALUES ('gone', '$DEFINER', 1, 't', 'active', ''), ('ssn', '$DEFINER', 9, 't', 'active', '')"; }
  gone; expect "all" "$(sent)" "ssn@1,gone@1,ssn@9"
  refused "no message of a keyring" "confirm_transport('S1dU')"
  expect "what is here" "$(sent)" "ssn@1"
  gone; call "rotate_due()"
  expect "what is here" "$(sent)" "ssn@1"
  # A keyring that does not answer says nothing of what is gone.
  gone; stop_server; mv "$KEYS/passphrase" "$KEYS/away"; start_server
  refused "KW-" "confirm_transport('S1dU')"
  expect "all" "$(sent)" "ssn@1,gone@1,ssn@9"
}

# A trigger that seals whatever is written would seal a sealed value again: that is found with the first row, and nothing was changed.
t_a_trigger_that_seals_again_is_found() {
  with_schema
  sealed_table 20
  sql -e "CREATE DEFINER = $DEFINER TRIGGER shop.seal_again BEFORE UPDATE ON shop.customer FOR EACH ROW
    SET NEW.ssn = IF(NEW.ssn <=> OLD.ssn, NEW.ssn, keyring_ward_encrypt('ssn', NEW.ssn, 'shop.customer.ssn'))"
  refused "changes what is sealed" "rotate_key('ssn')"
  expect "rows that open" "$(all_open)" 20
  expect "rows under the old version" "$(under 1)" 20
  expect "nothing of it stays" "$(sql -e "SELECT state FROM keyring_ward.encrypted_columns")" failed
  sql -e "DROP TRIGGER shop.seal_again"
  call "rotate_key('ssn')"
  expect "rows that open" "$(all_open)" 20
  expect "rows under the old version" "$(under 1)" 0
}

# A transaction that has sealed before the switch and is not at its end: its rows are waited for, and brought to the new version.
t_a_transaction_that_is_not_at_its_end_is_waited_for() {
  with_schema
  sealed_table 20
  local old rotation
  rm -f /tmp/kw-old; mkfifo /tmp/kw-old
  sql < /tmp/kw-old & old=$!
  exec 7> /tmp/kw-old
  # Nobody sees it, and an UPDATE of others passes it over.
  echo "BEGIN; INSERT INTO shop.customer (clear_text) VALUES ('not at its end');" >&7
  wait_for 30 trx_is RUNNING || fail "no transaction"
  call "rotate_key('ssn')" & rotation=$!
  wait_for 30 trx_is "LOCK WAIT" || fail "nobody waits for the row"
  echo "COMMIT;" >&7; exec 7>&-
  wait $old || fail "the writer failed"
  wait $rotation || fail "the rotation failed"
  expect "rows under the old version" "$(under 1)" 0
  expect "rows that open" "$(all_open)" 21
  expect "the column" "$(sql -e "SELECT state, rows_checked, rows_done = rows_total FROM keyring_ward.encrypted_columns")" "checked	21	1"
  # A retirement waits as well.
  sql -e "UPDATE shop.customer SET ssn = NULL"
  rm -f /tmp/kw-old; mkfifo /tmp/kw-old
  sql < /tmp/kw-old & old=$!
  exec 7> /tmp/kw-old
  echo "BEGIN; INSERT INTO shop.customer (clear_text) VALUES ('under 2');" >&7
  wait_for 30 trx_is RUNNING || fail "no transaction"
  sql -e "DO keyring_ward_key_rotate('ssn', '$DEFINER')"
  call "retire_key('ssn', 2, 7)" > /tmp/kw-retired 2>&1 & rotation=$!
  wait_for 30 trx_is "LOCK WAIT" || fail "the retirement waits for nobody"
  echo "COMMIT;" >&7; exec 7>&-
  wait $old
  wait $rotation && fail "retired: $(cat /tmp/kw-retired)"
  grep -q "1 values of .* are under version 2" /tmp/kw-retired || fail "$(cat /tmp/kw-retired)"
}
trx_is() { [ "$(sql -e "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = '$1' AND trx_mysql_thread_id <> CONNECTION_ID()")" != 0 ]; }

# Anybody may call GET_LOCK(): what a rotation holds has a name that others can't reckon.
t_nobody_else_holds_the_locks() {
  with_schema
  call "create_key('ssn')"
  sql -e "CREATE USER nobody"
  local what job names=""
  for what in "key $DEFINER ssn" all "catch up" "column 1" "master innodb_master"; do names="$names${names:+, }GET_LOCK(CONCAT('keyring_ward.', LEFT(SHA2('$what', 256), 40)), 0)"; done
  mysql -unobody -S $SOCKET -NBe "SELECT $names, SLEEP(1000)" & job=$!
  wait_for 20 is_sleeping || fail "it does not wait"
  call "rotate_key('ssn')"; call "rotate_due()"
  expect "rotated" "$(current ssn)" 2
  SAID=$(mysql -unobody -S $SOCKET -NBe "SELECT keyring_ward.own_lock('all')" 2>&1) && fail "the name is told"
  { kill $job; wait $job; } 2>/dev/null || true
  # Who may execute every routine, but read no table of the schema, does not learn it either.
  sql -e "GRANT EXECUTE ON *.* TO nobody"
  SAID=$(mysql -unobody -S $SOCKET -NBe "SELECT keyring_ward.own_lock('all')" 2>&1) && fail "the name is told"
  call "check()" | grep -q "EXECUTE on .\..	warning	1 accounts, nobody@%" || fail "check says nothing of it: $(call "check()")"
  sql -e "SET GLOBAL partial_revokes = ON; REVOKE EXECUTE ON keyring_ward.* FROM nobody"
  ! call "check()" | grep -q "EXECUTE on" || fail "check says too much"
}

# ---- roles and names -----------------------------------------------------------------------------------

t_an_operator_does_not_go_round_the_procedures() {
  with_schema
  # The privileges of its own; the functions are there already.
  sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"; sql < $SCHEMA > /dev/null
  call "create_key('ssn')"
  sql -e "INSERT INTO keyring_ward.replicas (server_uuid, name) VALUES (UUID(), 'r1'); CREATE USER u_operator; GRANT key_operator TO u_operator; SET DEFAULT ROLE ALL TO u_operator"
  as_operator() { mysql -uu_operator -S $SOCKET -NBe "$1" 2>&1; }
  SAID=$(as_operator "CALL keyring_ward.rotate_key('ssn')") && fail "switched"
  case "$SAID" in *"have not confirmed version 2"*) ;; *) fail "$SAID" ;; esac
  local each
  for each in "key_activate('ssn', '$DEFINER', 2)" "key_rotate('ssn', '$DEFINER')" "key_destroy('ssn', '$DEFINER', 'all', 1)" "transport_seal('t', 'ssn', '$DEFINER', 1)"; do
    SAID=$(as_operator "SELECT keyring_ward_$each") && fail "$each: $SAID"
    case "$SAID" in *"Access denied"*) ;; *) fail "$each: $SAID" ;; esac
  done
  case "$(as_operator "SELECT keyring_ward_key_check('ssn', '$DEFINER')")" in *'"ok":true'*) ;; *) fail "it may read" ;; esac
  expect "still current" "$(current ssn)" 1
  # EXECUTE on everything is more than it should be, and can be taken back for this schema.
  sql -e "CREATE USER executes; GRANT EXECUTE ON *.* TO executes; SET GLOBAL partial_revokes = ON; REVOKE EXECUTE ON keyring_ward.* FROM executes"
  SAID=$(mysql -uexecutes -S $SOCKET -NBe "CALL keyring_ward.rotate_key_of('ssn', '$DEFINER', TRUE)" 2>&1) && fail "rotated"
  case "$SAID" in *"ERROR 1370"*) ;; *) fail "$SAID" ;; esac
}

t_roles() {
  with_schema
  local role
  grep -q "key_user.KEYRING_WARD_USE is missing: INSTALL COMPONENT" /tmp/kw-lacks || [ "$(sql -e "SELECT COUNT(*) FROM mysql.component WHERE component_urn LIKE '%keyring_ward_sql'")" = 1 ] || fail "nothing is said of what is missing"
  call "create_key('ssn')"
  for role in dba_admin key_admin app_admin key_operator key_auditor key_user developer tester; do
    sql -e "CREATE USER u_$role; GRANT $role TO u_$role; SET DEFAULT ROLE ALL TO u_$role"
  done
  # may ROLES STATEMENT: these and no others.
  may() {
    local out
    for role in dba_admin key_admin app_admin key_operator key_auditor key_user developer tester; do
      out=$(mysql -uu_$role -S $SOCKET -NBe "$2" 2>&1) || true
      case " $1 ,$out" in
        *" $role "*,*"denied"* | *" $role "*,*"ERROR 1370"* | *" $role "*,*"ERROR 1142"*) fail "$role may not: $2: $out" ;;
        *" $role "*) ;;
        *denied* | *"ERROR 1370"* | *"ERROR 1142"* | *"ERROR 1143"*) ;;
        *) fail "$role may: $2: $out" ;;
      esac
    done
  }
  may "dba_admin key_admin key_operator" "CALL keyring_ward.rotate_key('ssn')"
  may "dba_admin key_admin key_operator" "CALL keyring_ward.rotate_due()"
  may "dba_admin key_admin" "CALL keyring_ward.rotate_emergency()"
  may "dba_admin key_admin" "CALL keyring_ward.create_key(UUID())"
  may "dba_admin key_admin" "CALL keyring_ward.retire_key('ssn', 1, 7)"
  may "dba_admin key_admin app_admin" "CALL keyring_ward.register_column('a', 'b', 'c', 'ssn', NULL, NULL)"
  may "dba_admin key_admin key_operator key_auditor" "CALL keyring_ward.check()"
  may "dba_admin key_admin key_operator key_auditor app_admin" "SELECT COUNT(*) FROM keyring_ward.key_rotation_log"
  may "dba_admin key_admin key_operator key_auditor" "SELECT COUNT(*) FROM keyring_ward.key_escrow_records"
  may "dba_admin key_admin" "CALL keyring_ward.rotate_exposed('none@localhost', NULL, FALSE)"
  may "dba_admin key_admin" "UPDATE keyring_ward.rotation_policy SET rotate_every = 90 WHERE key_type = 'dek'"
  may "dba_admin" "DELETE FROM keyring_ward.rotation_policy WHERE key_type = 'nothing'"
  may "dba_admin key_admin key_operator" "UPDATE keyring_ward.settings SET paused = FALSE"
  may "" "DELETE FROM keyring_ward.key_rotation_log"
  may "" "UPDATE keyring_ward.encrypted_columns SET key_name = 'x'"
  may "dba_admin" "ALTER EVENT keyring_ward.rotate_due_daily DISABLE"
  may "" "SET GLOBAL read_only = OFF"
  # Who may execute every routine, as MySQL's own keyring functions want it, gets nothing by the schema's own ones.
  sql -e "CREATE USER executes; GRANT EXECUTE ON *.* TO executes"
  local routine out
  for routine in "own_step('keyring_ward.settings', 'one', '@a', '', '', 'UPDATE keyring_ward.settings SET paused = TRUE', '', 2, TRUE, @b, @c)" "own_advance('SET @x = (SELECT COUNT(*) FROM keyring_ward.key_rotation_log)')" "own_note(1, 'done', 'forged')" \
    "own_rotate('ssn', '$DEFINER', TRUE, 'call', NULL, @x)" "own_reencrypt(1, 1, NULL, @x)" "own_plan('ssn', '$DEFINER', NULL, 1, @x)" "own_reseal('call')"; do
    out=$(mysql -uexecutes -S $SOCKET -NBe "CALL keyring_ward.$routine" 2>&1) && fail "$routine: done"
    case "$out" in "" | *denied* | *"ERROR 1123"* | *"ERROR 1146"*) ;; *) fail "$routine: $out" ;; esac
  done
  expect "and nothing was done" "$(sql -e "SELECT paused FROM keyring_ward.settings") $(sql -e "SELECT COUNT(*) FROM keyring_ward.key_rotation_log WHERE message = 'forged'")" "0 0"
  # The account of the schema can't log in.
  SAID=$(mysql -ukeyring_ward_definer -S $SOCKET -e "SELECT 1" 2>&1) && fail "keyring_ward_definer logs in"
  case "$SAID" in *"Account is locked"*) ;; *) fail "$SAID" ;; esac
}

# ---- who has used which keys ------------------------------------------------------------------------

# with_accesses: a server with an audit log, the companion component and the schema, and an application app@% with routines of the definer.
with_accesses() {
  reset_all; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  sed -i "1s|{|{ \"audit_file\": \"$KEYS/audit.log\", \"audit_reads\": \"all\",|" "$CONFIG"
  component_manifest; fresh_data; start_server; install_udf
  sql < $SCHEMA > /tmp/kw-lacks
  sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  sql < $SCHEMA > /tmp/kw-lacks
  sql -e "CREATE USER app IDENTIFIED BY 'app'; CREATE DATABASE d; GRANT EXECUTE ON d.* TO app, $DEFINER;
    CREATE DEFINER = $DEFINER FUNCTION d.seal(name TEXT) RETURNS VARBINARY(400) NO SQL RETURN keyring_ward_encrypt(name, 'text')"
}
as_app() { mysql -uapp -papp -S $SOCKET --batch --skip-column-names -e "$1" 2>/dev/null; }
accesses() { sql -e "SELECT $1 FROM keyring_ward.key_access_log WHERE $2"; }
there_are() { [ "$(accesses "COUNT(*)" "$2")" = "$1" ]; }
# has COUNT WHERE: so many lines come to be there.
has() { wait_for 20 there_are "$1" "$2" || fail "not $1 lines of $2: $(accesses "*" TRUE)"; }

t_key_access_log() {
  # Without the companion component it is empty, and everything else goes on.
  with_schema
  expect "without the component" "$(accesses "COUNT(*)" TRUE)" 0
  sql -e "DO keyring_key_generate('before', 'AES', 32), keyring_key_fetch('before')"
  mysqldump -uroot -S $SOCKET --set-gtid-purged=OFF --routines keyring_ward > /tmp/kw-dump || fail "it can't be dumped without the component"
  # It came later: that is told until the file is run again.
  checked() { call "check()" | awk -F'\t' '$1 == "key_access_log" { print $2 }'; }
  expect "check" "$(checked)" ""
  sql < /kw/share/uninstall.sql; sql -e "INSTALL COMPONENT 'file://component_keyring_ward_sql'"
  expect "check" "$(checked)" warning
  sql < $SCHEMA > /tmp/kw-lacks
  expect "check" "$(checked)" ""
  with_accesses
  call "create_key('ssn')"
  expect "nobody has used it" "$(accesses "COUNT(*)" "operation IN ('key_used', 'key_read')")" 0
  as_app "SELECT LENGTH(d.seal('ssn'))" > /dev/null; sql -e "DO keyring_key_generate('own', 'AES', 32), keyring_key_fetch('own')"
  has 1 "operation = 'key_used'"; has 1 "operation = 'key_read'"
  expect "the use" "$(accesses "app_role, key_name, key_owner, result, accesses, login, came_from, connection_id > 0, access_time BETWEEN UTC_TIMESTAMP() - INTERVAL 1 MINUTE AND UTC_TIMESTAMP(6)" "operation = 'key_used'")" \
    "$DEFINER	ssn	$DEFINER	ok	1	app@localhost	socket	1	1"
  expect "the read" "$(accesses "app_role, key_name, login" "operation = 'key_read'")" "root@localhost	own	root@localhost"
  # Each use is a line, whatever zone the reader has; a refusal is one, too.
  as_app "DO d.seal('ssn'), d.seal('ssn')"; has 3 "operation = 'key_used' AND key_name = 'ssn'"
  expect "of another zone" "$(sql -e "SET time_zone = '+05:00'; SELECT COUNT(*) FROM keyring_ward.key_access_log WHERE operation = 'key_used' AND access_time <= UTC_TIMESTAMP(6)")" 3
  as_app "SELECT keyring_ward_key_create('ssn', 'app@%', 'AES', 32)" || true
  has 1 "result = 'denied' AND app_role = 'app@%'"
  # Who may read the table, and nobody else; EXECUTE on everything and all of the schema are not enough.
  local role out
  sql -e "CREATE USER u_executes; GRANT EXECUTE ON *.* TO u_executes; GRANT SELECT ON keyring_ward.* TO u_executes"
  for role in dba_admin key_admin key_operator key_auditor; do sql -e "CREATE USER u_$role; GRANT $role TO u_$role; SET DEFAULT ROLE ALL TO u_$role"; done
  for role in dba_admin key_admin key_operator key_auditor executes; do
    out=$(mysql -uu_$role -S $SOCKET -NBe "SELECT COUNT(*) FROM keyring_ward.key_access_log WHERE operation = 'key_used'" 2>&1) || true
    case $role,$out in dba_admin,3 | key_auditor,3 | key_admin,"ERROR 1356 "* | key_operator,"ERROR 1356 "* | executes,"ERROR 1356 "*) ;; *) fail "$role: $out" ;; esac
  done
  # A dump goes where the component is not; the component goes, and what is to be done is told.
  mysqldump -uroot -S $SOCKET --set-gtid-purged=OFF --routines keyring_ward > /tmp/kw-dump || fail "no dump"
  sql -e "UNINSTALL COMPONENT 'file://component_keyring_ward_sql'"; sql < /kw/share/install.sql
  sql_fails 1356 "SELECT * FROM keyring_ward.key_access_log"
  expect "check" "$(checked)" failure
  sql -e "DROP SCHEMA keyring_ward; CREATE SCHEMA keyring_ward"; sql keyring_ward < /tmp/kw-dump || fail "the dump is not taken in"
  sql < $SCHEMA > /tmp/kw-lacks
  expect "from a dump, and mended" "$(accesses "COUNT(*)" TRUE)" 0
  mysqldump -uroot -S $SOCKET --set-gtid-purged=OFF --routines keyring_ward > /dev/null || fail "no dump without the component"
  expect "check" "$(checked)" ""
}

# What came of a key: exposed KEY [LIST] [ANYWAY]
exposed() { sql -e "CALL keyring_ward.rotate_exposed('${ACCOUNT:-app@%}', ${1:-NULL}, ${2:-FALSE})"; }
outcome() { exposed "${@:2}" | awk -F'\t' -v key="$1" '$1 == key { print $4 }'; }

t_rotate_exposed() {
  with_accesses
  local name
  for name in one two three; do call "create_key('$name')"; done
  refused "is NULL" "rotate_exposed(NULL, NULL, FALSE)"
  refused "is NULL" "rotate_exposed('app@%', NULL, NULL)"
  refused "is no account" "rotate_exposed('app', NULL, FALSE)"
  refused "is no JSON" "rotate_exposed('app@%', 'no', FALSE)"
  refused "has no list of keys" "rotate_exposed('app@%', '{}', FALSE)"
  refused "is a list of what b@% has read" "rotate_exposed('app@%', '{\"account\": \"b@%\", \"keys\": []}', FALSE)"
  has 3 "operation = 'key_added'"
  expect "nobody has read anything" "$(exposed)" ""
  # Used by the definer's routine, read by the account, another one's, and one that is gone.
  as_app "DO d.seal('one')"; sql -e "GRANT EXECUTE ON *.* TO app"
  as_app "DO keyring_key_generate('plain', 'AES', 32), keyring_key_fetch('plain'), keyring_key_generate('gone', 'AES', 32), keyring_key_fetch('gone'), keyring_key_remove('gone')"
  sql -e "DO keyring_ward_key_create('logical', 'app@%', 'AES', 32)"; as_app "DO keyring_ward_encrypt('logical', 'text')"
  has 1 "operation = 'key_used' AND key_name = 'one'"; has 1 "operation = 'key_used' AND key_name = 'logical'"; has 1 "operation = 'key_read' AND key_name = 'gone'"
  exposed > /tmp/kw-outcomes
  expect "keys and what came of them" "$(cut -f1,2,4 /tmp/kw-outcomes | cut -c1-60)" "$(printf '%s\n' "gone	app@%	Not rotated: there is no such key any more (or the " "logical	app@%	Not rotated: values of another account's key are " \
    "plain	app@%	Not rotated: it is no logical key. Make a new one " "one	$DEFINER	Rotated: version 2 is current." | cut -c1-60)"
  expect "the log" "$(log_of one "old_version, new_version, state, reason, asked_by")" "1	2	done	exposed	root@localhost"
  expect "others" "$(current two) $(current three) $(current logical app@%)" "1 1 1"
  # Again: nothing more. After another use, once more; somebody else's use is nothing to it.
  expect "again" "$(outcome one)" "Not needed: version 2 is younger than the last access."
  sql -e "DO d.seal('two')"; has 1 "operation = 'key_used' AND key_name = 'two'"
  expect "another one's" "$(outcome two)" ""
  as_app "DO d.seal('one')"; has 2 "operation = 'key_used' AND key_name = 'one'"
  expect "after another use" "$(outcome one)" "Rotated: version 3 is current."
  expect "nobody" "$(ACCOUNT=nobody@% exposed)" ""
  # One that can't be rotated now keeps none of the others from it, and is told.
  as_app "DO d.seal('two'), d.seal('three')"; has 1 "operation = 'key_used' AND key_name = 'three'"
  sql -e "INSERT INTO keyring_ward.encrypted_columns (table_schema, table_name, column_name, key_name, key_owner, registered_by) VALUES ('d', 'none', 'c', 'three', '$DEFINER', 'test')"
  SAID=$(exposed 2>&1) && fail "a failure is not told: $SAID"
  case "$SAID" in *"1 rotations failed. three: Failed: "*) ;; *) fail "$SAID" ;; esac
  expect "the other one" "$(current two)" 2
  sql -e "DELETE FROM keyring_ward.encrypted_columns"
  expect "it goes on" "$(outcome three)" "Rotated: version 2 is current."
  expect "the rotation that failed is at its end" "$(log_of three "state, reason, resumable")" "done	exposed	0"
  # What is older than memory: the tool's list, as it prints it.
  stop_server; start_server; as_app "DO d.seal('two')"; has 1 "operation = 'key_used' AND key_name = 'two'"
  refused "memory has only the end of the log" "rotate_exposed('app@%', NULL, FALSE)"
  keyring-ward audit exposed "$KEYS/audit.log" --account app@% --json > /tmp/kw-exposed || fail "audit exposed"
  expect "with the list" "$(exposed "FROM_BASE64('$(base64 -w0 /tmp/kw-exposed)')" | awk -F'\t' '{ print $1 }' | sort | xargs)" "gone plain two"
  expect "two" "$(current two)" 3
  local list; list=$(sed "s/\"keys\": *\[/&{\"key\":\"three\",\"owner\":\"$DEFINER\",\"reads\":1,\"first\":\"2099-01-01T00:00:00Z\",\"last\":\"2099-01-01T00:00:00Z\"},/" /tmp/kw-exposed)
  expect "a key that only the list has" "$(outcome three "'$list'")" "Rotated: version 3 is current."
  # A crash leaves a gap. What is known is rotated all the same, if that is wanted.
  kill_server; start_server; as_app "DO d.seal('two')"; has 1 "operation = 'key_used' AND key_name = 'two'"
  keyring-ward audit exposed "$KEYS/audit.log" --account app@% --json > /tmp/kw-exposed 2>/dev/null || fail "audit exposed"
  refused "the list itself says that the log has gaps" "rotate_exposed('app@%', FROM_BASE64('$(base64 -w0 /tmp/kw-exposed)'), FALSE)"
  expect "nothing was rotated" "$(current two)" 3
  expect "all the same" "$(outcome two NULL TRUE)" "Rotated: version 4 is current."
  # A log that is not written; and nothing known at all.
  sed -i 's/"audit_[a-z]*": "[^"]*",//g' "$CONFIG"; sql -e "ALTER INSTANCE RELOAD KEYRING"
  refused "the audit log is not written (Audit_state: off)" "rotate_exposed('app@%', '$(cat /tmp/kw-exposed)', FALSE)"
  sql -e "UNINSTALL COMPONENT 'file://component_keyring_ward_sql'"; sql < /kw/share/install.sql
  refused "the schema can not read performance_schema.keyring_ward_audit" "rotate_exposed('app@%', NULL, TRUE)"
  sql -e "REVOKE SELECT ON performance_schema.keyring_ward_audit FROM $DEFINER"
  refused "the schema can not read performance_schema.keyring_ward_audit" "rotate_exposed('app@%', NULL, TRUE)"
  # The list alone says what is to be done.
  expect "by the list" "$(outcome three "'$list'" TRUE)" "Rotated: version 4 is current."
}

# ---- columns -------------------------------------------------------------------------------------

t_reencrypt_a_column() {
  with_schema
  sealed_table 2500
  expect "rows" "$(all_open)" 2500
  sql -e "UPDATE shop.customer SET ssn = NULL, clear_text = NULL WHERE id = 7"
  call "rotate_key('ssn')"
  expect "under version 2" "$(under 2)" 2499
  expect "rows" "$(all_open)" 2499
  expect "the column" "$(sql -e "SELECT state, checked_version, rows_total, rows_done, rows_checked FROM keyring_ward.encrypted_columns")" "checked	2	2499	2499	2499"
  expect "the log" "$(log_of ssn "state, progress, rows_done, message LIKE 'Version 1 may be destroyed from %'")" "done	100.00	2499	1"
  expect "time stamps that move with each UPDATE" "$(sql -e "SELECT COUNT(*) FROM shop.customer WHERE changed <> '2020-01-01' AND id <> 7")" 0
  expect "the blind index still finds" "$(sql -e "CREATE DEFINER = $DEFINER FUNCTION shop.index_of(t VARCHAR(40)) RETURNS BINARY(32) NO SQL RETURN keyring_ward_hmac('ssn', t); SELECT clear_text FROM shop.customer WHERE ssn_index = shop.index_of('clear text 99')")" "clear text 99"
  # Nobody else opens it, and retire_key counts.
  sql -e "DO keyring_ward_key_cancel('ssn', '$DEFINER', 1)"
  refused "2499 values of" "retire_key('ssn', 2, 7)"
  call "retire_key('ssn', 1, 7)" | grep -q "Version 1 may be destroyed" || fail "not planned"
  refused "is current" "retire_key('ssn', 3, 7)"
  # A value that was cut or changed: the column fails with what is wrong, nothing is lost, and the rest is as it was.
  sql -e "UPDATE shop.customer SET ssn = CONCAT(LEFT(ssn, LENGTH(ssn) - 1), CHAR(ORD(RIGHT(ssn, 1)) ^ 1)) WHERE id = 2000"
  SAID=$(call "rotate_key('ssn')" 2>&1) && fail "a broken value went by"
  expect "the column" "$(sql -e "SELECT state, rows_done, message LIKE 'shop.customer.ssn, id = ''2000'': KW-0009%' FROM keyring_ward.encrypted_columns")" "failed	1499	1"
  case "$SAID" in *": shop.customer.ssn, id = '2000': KW-0009 "*) ;; *) fail "the row is not named: $SAID" ;; esac
  expect "the log names it" "$(log_of ssn "message LIKE 'shop.customer.ssn, id = ''2000'': KW-0009%'")" 1
  expect "the log" "$(log_of ssn "state, resumable")" "switched	1"
  sql -e "DELETE FROM shop.customer WHERE id = 2000"
  call "reencrypt_column('shop', 'customer', 'ssn')"
  expect "under version 3" "$(under 3)" 2498
  call "rotate_due()"
  expect "the log" "$(log_of ssn "state, resumable")" "done	0"
  expect "rows" "$(all_open)" 2498
  refused "is not registered" "reencrypt_column('shop', 'customer', 'clear_text')"
  # Another key or context than the values are sealed with.
  call "unregister_column('shop', 'customer', 'ssn')"
  refused "Not registered. shop.customer.ssn, id = '1', does not open with this key and context: KW-0009" "register_column('shop', 'customer', 'ssn', 'ssn', 'another', NULL)"
  refused "does not open with this key and context" "register_column('shop', 'customer', 'ssn', 'ssn', 'shop.customer.ssn', 'id')"
  expect "nothing is registered" "$(sql -e "SELECT COUNT(*) FROM keyring_ward.encrypted_columns")" 0
  SAID=$(call "register_column('shop', 'customer', 'ssn', 'ssn', 'shop.customer.ssn', NULL)")
  expect "one is opened" "$SAID" "One value (id = '1') was opened with this key and context."
  call "reencrypt_column('shop', 'customer', 'ssn')"
  # As some connectors begin.
  sql -e "SET autocommit = 0; CALL keyring_ward.rotate_key('ssn')"
  expect "all" "$(under "$(current ssn)") $(all_open)" "2498 2498"
  # A column whose table is gone keeps no other from it, and is told.
  sql -e "CREATE TABLE shop.gone (id INT PRIMARY KEY, v VARBINARY(400)); GRANT SELECT, UPDATE ON shop.gone TO $DEFINER"
  SAID=$(call "register_column('shop', 'gone', 'v', 'ssn', NULL, NULL)")
  case "$SAID" in "The column has no value yet: "*) ;; *) fail "an empty column: $SAID" ;; esac
  sql -e "DROP TABLE shop.gone; UPDATE keyring_ward.encrypted_columns SET id = id + 10 WHERE table_name = 'customer'"
  refused "sees no column shop.gone.v" "rotate_key('ssn')"
  expect "the other one" "$(under "$(current ssn)") $(log_of ssn "state, resumable")" "2498 switched	1"
  call "unregister_column('shop', 'gone', 'v')"
  call "rotate_key('ssn')"
  expect "ended" "$(log_of ssn "state, resumable")" "done	0"
  # The pace: 1,000 rows a second.
  sql -e "UPDATE keyring_ward.settings SET rows_per_second = 1000, batch_rows = 100"
  local began=$EPOCHREALTIME; began=${began/[.,]/}
  call "rotate_key('ssn')"
  local took=$EPOCHREALTIME; took=$(( (${took/[.,]/} - began) / 1000 ))
  [ $took -ge 2300 ] || fail "2,498 rows at 1,000 a second took $took ms"
}

# A table that comes back from an old dump: its values are under a version that was thought to be needed no more.
t_a_restored_dump_keeps_its_version() {
  with_schema
  stop_server; with_clock; start_server
  sealed_table 300
  mysqldump -uroot -S $SOCKET --hex-blob --skip-triggers --set-gtid-purged=OFF --where="id > 250" --replace --no-create-info shop customer > /tmp/kw-dump 2>/dev/null
  call "rotate_key('ssn')"
  expect "under the new one" "$(under 2)" 300
  ! call "check()" | grep "column shop" | grep -v "column shop.customer.ssn	ok	checked" || fail "check has something to say"
  # The triggers seal what is inserted: a restore does without them.
  sql -e "DROP TRIGGER shop.seal_new"; sql shop < /tmp/kw-dump
  expect "under the old one" "$(under 1)" 50
  call "check()" | grep "column shop" > /tmp/kw-checked
  grep -q "column shop.customer.ssn	failure	50 values are not under version 2 but under version 1 and later, which is deactivated and may be destroyed from .* (the first row: id = '251'): CALL keyring_ward.reencrypt_column('shop', 'customer', 'ssn')" /tmp/kw-checked || fail "$(cat /tmp/kw-checked)"
  # Neither the function nor the procedure destroys it, when its day has come.
  sql -e "DO keyring_ward_key_cancel('ssn', '$DEFINER', 1)"
  refused "50 values of shop.customer.ssn are under version 1: CALL keyring_ward.reencrypt_column('shop', 'customer', 'ssn')" "retire_key('ssn', 1, 7)"
  sql -e "DO keyring_ward_key_destroy('ssn', '$DEFINER', 1, 7)"
  refused "Nothing of ssn is due" "destroy_due('ssn')"
  clock +8d
  refused "50 values of shop.customer.ssn are under version 1: CALL keyring_ward.reencrypt_column('shop', 'customer', 'ssn')" "destroy_due('ssn')"
  case "$(sql -e "SELECT keyring_ward_key_destroy_due('ssn', '$DEFINER', 1)")" in *"CALL keyring_ward.destroy_due('ssn'"*'"Denied"'*) ;; *) fail "the function destroys it" ;; esac
  case "$(sql -e "SELECT keyring_ward_key_destroy_due('ssn', '$DEFINER', 'all')")" in *'"Denied"'*) ;; *) fail "the function destroys it" ;; esac
  all_open > /dev/null
  call "rotate_due()"
  expect "brought to the new one" "$(under 2) $(all_open)" "300 300"
  call "check()" | grep -q "column shop.customer.ssn	ok" || fail "$(call "check()")"
  # A budget of no time looks at nothing, and says so.
  sql -e "UPDATE keyring_ward.settings SET check_seconds = 0"
  call "check()" | grep -q "column shop.customer.ssn	ok	Looked at the first 0 rows only" || fail "$(call "check()" | grep column)"
  SAID=$(call "destroy_due('ssn')")
  case "$SAID" in "Destroyed: version 1. "*) ;; *) fail "$SAID" ;; esac
  expect "rows" "$(all_open)" 300
  # What is under a destroyed version now can be brought back as long as it is kept.
  sql shop < /tmp/kw-dump
  sql -e "UPDATE keyring_ward.settings SET check_seconds = 5"
  call "check()" | grep -q "column shop.customer.ssn	failure	50 values are not under version 2 but under version 1 and later, which is destroyed" || fail "$(call "check()" | grep column)"
  sql -e "DO keyring_ward_key_restore('ssn@1', '$DEFINER')"
  call "rotate_due()"
  expect "brought to the new one" "$(under 2) $(all_open)" "300 300"
  # The whole key: no value may be there at all.
  sql -e "DO keyring_ward_key_destroy('ssn', '$DEFINER', 'all', 1)"
  clock +12d
  refused "300 values of shop.customer.ssn are under version 2" "destroy_due('ssn')"
  sql -e "UPDATE shop.customer SET ssn = NULL"
  call "destroy_due('ssn')" > /dev/null
  expect "gone" "$(sql -e "SELECT keyring_ward_key_check('ssn', '$DEFINER') LIKE '%NotFound%'")" 1
}

# A pending version that nothing uses goes, and no other.
t_a_pending_version_is_dropped() {
  with_schema
  sealed_table 20
  sql -e "INSERT INTO keyring_ward.replicas (server_uuid, name) VALUES ('uuid-1', 'replica one')"
  refused "have not confirmed version 2" "rotate_key('ssn')"
  SAID=$(sql -e "SELECT keyring_ward_key_rotate('ssn', '$DEFINER')")
  case "$SAID" in *"key drop"*"version 2 is pending"*) ;; *) fail "the way out is not named: $SAID" ;; esac
  refused "is active, not pending" "drop_pending('ssn', 1)"
  refused "is not there, not pending" "drop_pending('ssn', 7)"
  refused "is NULL" "drop_pending('ssn', NULL)"
  case "$(sql -e "SELECT keyring_ward_key_drop('ssn', '$DEFINER', 2)")" in *"CALL keyring_ward.drop_pending('ssn'"*'"Denied"'*) ;; *) fail "dropped without a look" ;; esac
  expect "dropped" "$(call "drop_pending('ssn', 2)")" "Version 2 of ssn is dropped."
  expect "the log" "$(log_of ssn "state, resumable")" "aborted	0"
  sql -e "DELETE FROM keyring_ward.replicas"
  call "rotate_key('ssn')"
  expect "the next one has another number" "$(current ssn) $(all_open)" "3 20"
  # Keys of others, by the function.
  sql -e "DO keyring_ward_key_create('own', 'root@localhost', 'AES', 32), keyring_ward_key_rotate('own', 'root@localhost', 1)"
  case "$(sql -e "SELECT keyring_ward_key_drop('own', 'root@localhost', 1)")" in *'"KeyState"'*"not pending"*) ;; *) fail "a current version is dropped" ;; esac
  case "$(sql -e "SELECT keyring_ward_key_drop('own', 'root@localhost', 2)")" in *'"ok":true'*) ;; *) fail "not dropped" ;; esac
  expect "it is kept" "$(sql -e "SELECT keyring_ward_retired_keys() LIKE '%\"own@2\"%'")" 1
}

# A sentence that MySQL cuts says so, and the whole of it is in the session and in the tables.
t_sentences_are_whole_somewhere() {
  with_schema
  local long; long=$(printf 'x%.0s' {1..60})
  sql -e "CREATE DATABASE $long; CREATE TABLE $long.$long (id INT PRIMARY KEY, v VARBINARY(400)); GRANT SELECT, UPDATE ON $long.* TO $DEFINER"
  call "create_key('ssn')"; call "register_column('$long', '$long', 'v', 'ssn', NULL, NULL)" > /dev/null
  sql -e "DROP TABLE $long.$long"
  SAID=$(printf '%s\n' "CALL keyring_ward.rotate_key('ssn');" "SELECT @keyring_ward_said;" | sql --force 2>&1) || true
  case "$SAID" in *"ERROR 1644"*"…"*"keyring_ward_definer@localhost sees no column $long.$long.v: GRANT SELECT, UPDATE on the table to it."*) ;; *) fail "$SAID" ;; esac
  expect "the log" "$(log_of ssn "RIGHT(message, 42)")" ": GRANT SELECT, UPDATE on the table to it."
  # What developer lacks, and what does not exist here.
  grep -q "developer.KEYRING_WARD_USE_TEST is not granted: it is the privilege of a group of keys" /tmp/kw-lacks || fail "$(cat /tmp/kw-lacks)"
}

# A pause, a replica that is behind; what was said stays readable meanwhile.
t_it_waits_when_told() {
  with_schema
  sealed_table 1000
  sql -e "UPDATE keyring_ward.settings SET batch_rows = 100, paused = TRUE"
  call "rotate_key('ssn')" & local job=$!
  wait_for 20 sh -c "mysql -uroot -S $SOCKET -NBe \"SELECT message FROM keyring_ward.encrypted_columns\" | grep -q 'settings.paused is set'" || fail "it does not wait"
  expect "a batch is done" "$(under 2)" 100
  sql -e "INSERT INTO keyring_ward.replicas (server_uuid, name, required, lag_seconds) VALUES ('u', 'slow one', FALSE, 31); UPDATE keyring_ward.settings SET paused = FALSE"
  wait_for 20 sh -c "mysql -uroot -S $SOCKET -NBe \"SELECT message FROM keyring_ward.encrypted_columns\" | grep -q 'the replica slow one is 31 s behind'" || fail "it does not wait"
  sql -e "UPDATE keyring_ward.replicas SET lag_seconds = 3"
  wait $job || fail "it failed"
  expect "all" "$(under 2) $(all_open)" "1000 1000"
}

# Tables and columns whose names are SQL, keys of several parts and of every type.
t_names_are_never_sql() {
  with_schema
  call "create_key('ssn')"
  local types="INT|1 BIGINT_UNSIGNED|18446744073709551615 VARCHAR(20)|'a''b' VARBINARY(20)|x'00ff27' DATE|'2026-02-03' DATETIME(6)|'2026-02-03.04:05:06.000007' DECIMAL(20,5)|-1.5 CHAR(3)|'x' YEAR|2026 TIME|'-01:02:03' BINARY(16)|UUID_TO_BIN(UUID())"
  local each n=0 name long
  long=$(printf '`%.0s' {1..64})
  sql -e "CREATE DATABASE \`s\`\`h'o\"p; DROP\`; GRANT SELECT, UPDATE ON \`s\`\`h'o\"p; DROP\`.* TO $DEFINER"
  sql -e "CREATE DEFINER = $DEFINER PROCEDURE keyring_ward.test_seal(IN clear_text VARCHAR(40), IN context VARCHAR(200), OUT v VARBINARY(400)) SET v = IF(context IS NULL, keyring_ward_encrypt('ssn', clear_text), keyring_ward_encrypt('ssn', clear_text, context))"
  for each in $types; do
    n=$((n + 1)); name="t$n\`'\"; DROP TABLE x; -- @keyring_ward_from1"
    sql -e "USE \`s\`\`h'o\"p; DROP\`; CREATE TABLE \`${name//\`/\`\`}\` (\`a\`\` b\` ${each%%|*}, \`, \`\`c\` INT, \`${long//\`/\`\`}\` VARBINARY(400), PRIMARY KEY (\`a\`\` b\`, \`, \`\`c\`))" 2>/dev/null ||
      sql -e "USE \`s\`\`h'o\"p; DROP\`; CREATE TABLE \`${name//\`/\`\`}\` (\`a\`\` b\` $(tr _ ' ' <<< "${each%%|*}"), \`, \`\`c\` INT, \`${long//\`/\`\`}\` VARBINARY(400), PRIMARY KEY (\`a\`\` b\`, \`, \`\`c\`))"
    sql -e "USE \`s\`\`h'o\"p; DROP\`; CALL keyring_ward.test_seal('x', 'it''s \"a\` context\\\\', @v); INSERT INTO \`${name//\`/\`\`}\` WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 25) SELECT $(tr . ' ' <<< "${each#*|}" | sed 's/-1 5/-1.5/; s/06 0/06.0/'), a, @v FROM n;
      CALL keyring_ward.register_column('s\`h\\'o\"p; DROP', '${name//\'/\\\'}', '$long', 'ssn', 'it''s \"a\` context\\\\', NULL)" || fail "$each"
  done
  sql -e "UPDATE keyring_ward.settings SET batch_rows = 7"
  call "rotate_key('ssn')"
  expect "all checked" "$(sql -e "SELECT COUNT(*), SUM(rows_done), SUM(rows_checked), MIN(checked_version) FROM keyring_ward.encrypted_columns WHERE state = 'checked'")" "$n	$((n * 25))	$((n * 25))	2"
  # The context: a column, and both.
  sql -e "CREATE DATABASE shop; CREATE TABLE shop.c (id INT PRIMARY KEY, t VARCHAR(20) CHARACTER SET latin1, b VARBINARY(20), one VARBINARY(400), two VARBINARY(400), three VARBINARY(400)); GRANT SELECT, UPDATE ON shop.c TO $DEFINER;
    CALL keyring_ward.test_seal('x', '7', @one); CALL keyring_ward.test_seal('x', 'row ü', @two); CALL keyring_ward.test_seal('x', 'b:7', @three); SET NAMES utf8mb4; INSERT INTO shop.c VALUES (7, 'ü', x'00ff', @one, NULL, @three)"
  call "register_column('shop', 'c', 'one', 'ssn', NULL, 'id')"
  call "register_column('shop', 'c', 'three', 'ssn', 'b:', 'id')"
  call "rotate_key('ssn')"
  expect "both" "$(sql -e "SELECT SUM(rows_done) FROM keyring_ward.encrypted_columns WHERE table_name = 'c'")" 2
  # Rows that somebody with the right to write there forged: refused, and nothing of them runs.
  sql -e "INSERT INTO keyring_ward.encrypted_columns (table_schema, table_name, column_name, key_name, key_owner, registered_by) VALUES ('shop', 'c SET one = NULL; --', 'one', 'ssn', '$DEFINER', 'x')"
  refused "sees no column" "rotate_key('ssn')"
  expect "the value" "$(sql -e "SELECT one IS NOT NULL FROM shop.c")" 1
  sql -e "DELETE FROM keyring_ward.encrypted_columns WHERE registered_by = 'x'"
  # What can't be gone through says so.
  sql -e "CREATE TABLE shop.n (a INT, v VARBINARY(400)); CREATE TABLE shop.e (a ENUM('z', 'a') PRIMARY KEY, v VARBINARY(400), f DOUBLE); GRANT SELECT, UPDATE ON shop.* TO $DEFINER"
  refused "has no primary key" "register_column('shop', 'n', 'v', 'ssn', NULL, NULL)"
  refused "has enum in its primary key" "register_column('shop', 'e', 'v', 'ssn', NULL, NULL)"
  refused "must be VARBINARY or BLOB" "register_column('shop', 'c', 't', 'ssn', NULL, NULL)"
  refused "a context is taken from" "register_column('shop', 'e', 'v', 'ssn', NULL, 'f')"
  expect "nothing of these is registered" "$(sql -e "SELECT COUNT(*) FROM keyring_ward.encrypted_columns WHERE table_name IN ('n', 'e')")" 0
}

# ---- kills and load ------------------------------------------------------------------------------------

# The server is killed when a step's work is done and not yet written down, and in the middle of batches.
t_kill_at_each_step() {
  with_schema
  sealed_table 1000
  sql -e "UPDATE keyring_ward.settings SET batch_rows = 100"
  local round at job kills=0
  for ((round = 0; round < $(many 1 8); round++)); do
    for at in "${STEPS[@]}"; do
      # shellcheck disable=SC2086
      stop_at $at
      call "rotate_key('ssn')" 2>/dev/null & job=$!
      wait_for 30 is_sleeping || fail "nobody waits at $at"
      kill_server; wait $job || true
      kills=$((kills + 1))
      after_a_kill || fail "after a kill at $at"
    done
  done
  echo "    $kills kills, one at each step: $(current ssn) versions, $(all_open) rows"
}

# A key has 255 versions at most: the long runs take a new server after so many.
MOST=200
# The same at any moment, while two clients write.
t_kill_at_any_moment() {
  local kills=0 all versions=0 rows=0 writers
  all=$(many 2 220)
  while [ $kills -lt "$all" ]; do
    with_schema
    sealed_table 1000; with_writers
    sql -e "UPDATE keyring_ward.settings SET batch_rows = 20"
    while [ $kills -lt "$all" ] && [ "$(current ssn)" -lt $MOST ]; do
      writer 1 & writers=$!; writer 2 & writers="$writers $!"
      { while call "rotate_key('ssn')"; do :; done; } >/dev/null 2>&1 & writers="$writers $!"
      # A moment by chance: nothing waits for it.
      sleep "$((RANDOM % 2)).$((100 + RANDOM % 900))"
      kill_server
      # shellcheck disable=SC2086
      wait $writers || true
      kills=$((kills + 1))
      after_a_kill || fail "after kill $kills"
    done
    versions=$((versions + $(current ssn))) rows=$((rows + $(all_open)))
  done
  echo "    $kills kills at any moment of rotations with two clients writing: $versions versions, every one of $rows rows opens"
}

# hold_at TABLE CONDITION: whoever writes such a row there waits, before it is written, until let_go.
hold_at() {
  rm -f /tmp/kw-hold; mkfifo /tmp/kw-hold
  sql < /tmp/kw-hold & HOLDER=$!
  exec 8> /tmp/kw-hold; echo "DO GET_LOCK('kw_held', 0);" >&8
  wait_for 10 sh -c "mysql -uroot -S $SOCKET -NBe \"SELECT IS_USED_LOCK('kw_held') IS NOT NULL\" | grep -q 1" || fail "nothing is held"
  local event
  for event in update insert; do
    sql -e "CREATE TRIGGER keyring_ward.stop_$event BEFORE ${event^^} ON keyring_ward.$1 FOR EACH ROW SET NEW.message = IF($2 AND GET_LOCK('kw_held', 1000) + RELEASE_LOCK('kw_held') IS NULL, '', NEW.message)"
  done
}
let_go() { echo "DO RELEASE_LOCK('kw_held');" >&8; exec 8>&-; wait "$HOLDER" || true; }
is_held() { [ "$(sql -e "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'")" != 0 ]; }
# begin_and_hold_at TABLE CONDITION: a rotation of ssn that waits there; its process is in ROTATION, what it says in /tmp/kw-said.
begin_and_hold_at() {
  hold_at "$@"
  call "rotate_key('ssn')" > /tmp/kw-said 2>&1 8>&- & ROTATION=$!
  wait_for 30 is_held || fail "nobody waits at $2"
}

# The keyring's disk is full from a step on: the old version stays current, or the rotation ends without what it can't write.
t_the_keyrings_disk_is_full_during_a_rotation() {
  with_schema
  sealed_table 300
  sql -e "UPDATE keyring_ward.settings SET batch_rows = 100"
  keyring_on_a_small_disk
  # Before the switch (t_what_fails_is_aborted has it before the new version).
  begin_and_hold_at key_rotation_log "NEW.state = 'verified'"
  fill_the_keyrings_disk; let_go
  wait $ROTATION && fail "switched on a full disk"
  grep -q "Aborted, the old one stays current" /tmp/kw-said || fail "$(cat /tmp/kw-said)"
  expect "current" "$(current ssn) $(log_of ssn "state, resumable, new_version")" "1 aborted	0	2"
  go_on
  expect "rows" "$(under 1) $(all_open)" "300 300"
  # Killed there, started again, and with room again: the version that is pending is taken up.
  kill_server; start_server
  expect "rows" "$(under 1) $(all_open)" "300 300"
  rm $SMALL_DISK/filler
  call "rotate_key('ssn')"
  expect "with room again" "$(current ssn) $(under 2) $(all_open)" "2 300 300"
  # Behind the switch: batches want no room of the keyring; that the old version may be destroyed is not planned.
  begin_and_hold_at encrypted_columns "NEW.rows_done >= 200"
  fill_the_keyrings_disk; let_go
  wait $ROTATION || fail "$(cat /tmp/kw-said)"
  expect "done" "$(current ssn) $(log_of ssn "state, message LIKE 'Version 2 stays: KW-%'")" "3 done	1"
  go_on
  expect "rows" "$(under 3) $(all_open)" "300 300"
  refused "Aborted, the old one stays current" "rotate_key('ssn')"
  rm $SMALL_DISK/filler
  nothing_is_lost
}

# The data directory's disk is full: the binary log waits for room, and with it the rotation, which goes on by itself within a minute.
# A server that is killed meanwhile, and started when there is room, takes it up where it was.
t_the_data_directorys_disk_is_full_during_a_rotation() {
  DATA=/tmp/kw-data
  mkdir -p $DATA; mount -t tmpfs -o size=200m,mode=750 small $DATA; trap 'stop_server; umount /tmp/kw-data' EXIT
  chown mysql:mysql $DATA
  with_schema
  sealed_table 300
  sql -e "UPDATE keyring_ward.settings SET batch_rows = 100"
  local at places=("encrypted_columns NEW.rows_done>=200")
  full_at() { # full_at TABLE CONDITION
    begin_and_hold_at "$@"
    dd if=/dev/zero of=$DATA/filler bs=1k >/dev/null 2>&1 || true
    let_go
    wait_for 20 grep -q "Disk is full writing './binlog" "$LOG" || fail "nobody waits for room at $2"
    kill -0 $ROTATION || fail "it ended on a full disk: $(cat /tmp/kw-said)"
  }
  [ "$(many no yes)" = no ] || places+=("key_rotation_log NEW.state='pending'" "key_rotation_log NEW.state='switched'")
  for at in "${places[@]}"; do
    # shellcheck disable=SC2086
    full_at $at
    kill_server; wait $ROTATION || true
    rm $DATA/filler
    after_a_kill || fail "after a full disk and a kill at $at"
  done
  [ "$(many no yes)" = no ] || {
    full_at encrypted_columns "NEW.rows_done>=200"
    rm $DATA/filler
    wait $ROTATION || fail "it does not go on: $(cat /tmp/kw-said)"
    nothing_is_lost
  }
  echo "    full at ${#places[@]} places: $(current ssn) versions, $(all_open) rows"
}

t_rotations_under_load() {
  local done=0 all=0 now writers i
  all=$(many 10 500)
  while [ $done -lt "$all" ]; do
    with_schema
    sealed_table 500; with_writers
    sql -e "UPDATE keyring_ward.settings SET batch_rows = 200"
    now=$((all - done < MOST ? all - done : MOST))
    writer 1 & writers=$!; writer 2 & writers="$writers $!"
    for ((i = 1; i <= now; i++)); do call "rotate_key('ssn')" || fail "rotation $i"; done
    # shellcheck disable=SC2086
    { kill $writers && wait $writers; } 2>/dev/null || true
    written /tmp/kw-wrote.*
    expect "every rotation is done" "$(sql -e "SELECT COUNT(*), SUM(state = 'done') FROM keyring_ward.key_rotation_log")" "$now	$now"
    # A statement of a client that was under way.
    call "reencrypt_column('shop', 'customer', 'ssn')"
    expect "under the current one" "$(under $((now + 1)))" "$(all_open)"
    done=$((done + now))
    echo "    $done rotations with two clients writing: $(all_open) rows, all under version $(current ssn) and all open"
  done
}

# An UPDATE with the stock functions over an adopted key, across switches: nothing becomes NULL.
t_stock_functions_across_a_switch() {
  with_schema
  sql -e "DO keyring_key_generate('old', 'AES', 32), keyring_ward_key_adopt('old', CURRENT_USER());
    CREATE DATABASE d; CREATE TABLE d.t (a INT AUTO_INCREMENT PRIMARY KEY, v VARBINARY(100));
    SET block_encryption_mode = 'aes-256-ecb'; INSERT INTO d.t (v) WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 500) SELECT AES_ENCRYPT(CONCAT('value ', a), keyring_key_fetch('old')) FROM n"
  { while sql -e "SET block_encryption_mode = 'aes-256-ecb'; UPDATE d.t SET v = AES_ENCRYPT(AES_DECRYPT(v, keyring_key_fetch('old')), keyring_key_fetch('old'))" 2>/dev/null; do :; done; } & local writer=$!
  local i
  for ((i = 0; i < $(many 3 50); i++)); do call "rotate_key_of('old', 'root@localhost', FALSE)"; done
  kill $writer; wait $writer || true
  expect "values" "$(sql -e "SET block_encryption_mode = 'aes-256-ecb'; SELECT COUNT(*), SUM(AES_DECRYPT(v, keyring_key_fetch('old')) = CONCAT('value ', a)) FROM d.t")" "500	500"
}

# ---- the tool ------------------------------------------------------------------------------------

t_check_rotation() {
  with_schema
  checked() { local rc=0; SAID=$(keyring-ward check --rotation --config $CONFIG 2>/dev/null) || rc=$?; echo $rc; }
  call "create_key('ssn')"; sql -e "DO keyring_ward_key_set('ssn', '$DEFINER', '{\"rotate_every\": 10}')"
  encrypted_table
  # Ten days less what has gone by: within the second in which it was made that is ten whole days, from the next one on nine.
  local made; made=$(date +%s)
  wait_for 5 sh -c "[ \$(date +%s) -gt $made ]" || fail "the clock stands"
  # Beside the running server.
  SAID=$(keyring-ward check --rotation --config $CONFIG) && fail "a rotation in ten days is no warning"
  case "$SAID" in "ROTATION WARNING - 1 of 2 keys: 'ssn' of '$DEFINER' in 9 days | keys=2 wanting=1 "*) ;; *) fail "$SAID" ;; esac
  SAID=$(keyring-ward check --rotation --config $CONFIG --warning 5) || fail "$SAID"
  case "$SAID" in "ROTATION OK - 2 keys, the next is "*) ;; *) fail "$SAID" ;; esac
  stop_server
  mv "$KEYS/passphrase" "$KEYS/away"
  checked > /tmp/kw-rc
  expect "nobody knows" "$(cat /tmp/kw-rc)" 3
  SAID=$(keyring-ward check --rotation --config $CONFIG 2>/dev/null) && fail "done"
  case "$SAID" in "ROTATION UNKNOWN - "*) ;; *) fail "$SAID" ;; esac
  expect "one line" "$(wc -l <<< "$SAID")" 1
}

run_tests "$@"
