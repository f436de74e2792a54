#!/bin/bash
# The companion component with a real server: it comes by one statement, survives restarts and kills, shows rows that are true, and
# takes everything away; in every order, beside old functions, without a keyring, in the wrong role.
#   sqlcomponent-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
INSTALL="INSTALL COMPONENT 'file://component_keyring_ward_sql'"
UNINSTALL="UNINSTALL COMPONENT 'file://component_keyring_ward_sql'"
FUNCTIONS=$(sed -n 's/^CREATE FUNCTION IF NOT EXISTS \([a-z_]*\) .*/\1/p' /kw/share/install.sql | sort)
TABLES="keyring_ward_audit keyring_ward_keks keyring_ward_keys keyring_ward_status"
PRIVILEGES="KEYRING_WARD_ADMIN KEYRING_WARD_AUDIT KEYRING_WARD_OPERATE KEYRING_WARD_USE"

# with_component [OPTION…]: a server with the keyring component; the companion is not installed.
with_component() {
  reset_all; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  component_manifest
  fresh_data
  start_server "$@"
}
functions() { sql -e "SELECT UDF_NAME FROM performance_schema.user_defined_functions WHERE UDF_NAME LIKE 'keyring\_ward\_%' ORDER BY 1"; }
tables() { sql -e "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME LIKE 'keyring\_ward\_%' ORDER BY 1"; }
words() { tr '\n' ' ' <<< "$1" | sed 's/ *$//'; }
# as USER ARGUMENT…: what the account sees, errors too.
as() { local user=$1; shift; { mysql -u"$user" -p"$user" -S $SOCKET --batch --skip-column-names "$@" 2>&1 || true; } | sed '/Using a password/d'; }

# All that the component brings is there.
all_there() {
  expect "functions" "$(words "$(functions)")" "$(words "$FUNCTIONS")"
  expect "tables" "$(words "$(tables)")" "$TABLES"
  local each
  for each in $TABLES; do sql -e "SELECT COUNT(*) FROM performance_schema.$each" >/dev/null || fail "$each can't be read"; done
  for each in $PRIVILEGES; do sql -e "GRANT $each ON *.* TO root@localhost" || fail "GRANT $each"; done
  case "$(sql -e "SELECT keyring_ward_status()")" in *'"ok":true'*) ;; *) fail "keyring_ward_status()" ;; esac
}
# Nothing of it is there.
nothing_there() {
  expect "functions" "$(functions)" ""
  expect "tables" "$(tables)" ""
  sql_fails 1305 "USE mysql; SELECT keyring_ward_status()"
}
# A shutdown of which the log tells no error.
stops_clean() {
  stop_server
  # What was logged while it served, where a test expects errors, is not meant.
  ! sed -n '/Received SHUTDOWN/,$p' "$LOG" | grep -E '\[ERROR\]|MY-010065|MY-013710' || fail "the log of the shutdown"
}
restarts() { stops_clean; start_server "$@" || fail "the server does not start again"; }

t_one_statement_brings_it_and_another_takes_it_away() {
  with_component
  nothing_there
  sql -e "$INSTALL"
  all_there
  sql_fails 3529 "$INSTALL"
  all_there
  sql -e "$UNINSTALL"
  nothing_there
  sql_fails 3537 "$UNINSTALL"
  sql -e "$INSTALL"
  all_there
  log_lacks "[ERROR]"
  stops_clean
}

# ---- restarts, kills, shutdowns --------------------------------------------------------------------

t_it_is_there_again_after_a_restart_and_a_kill() {
  with_component
  sql -e "$INSTALL; CREATE USER monitor@localhost IDENTIFIED BY 'monitor'; GRANT SELECT ON performance_schema.keyring_ward_status TO monitor@localhost"
  sql -e "DO keyring_ward_key_create('k', 'root@localhost', 'AES', 32)"
  local i
  for i in 1 2; do
    restarts
    all_there
    expect "a grant on a table" "$(as monitor -e "SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Component_status'")" Active
    expect "keys" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys WHERE LOGICAL_KEY = 'k'")" 1
  done
  for ((i = 0; i < $(many 3 20); i++)); do
    # A kill in the midst of what it does at a start, and of statements.
    (while sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys; DO keyring_ward_key_rotate('k', 'root@localhost')"; do :; done >/dev/null 2>&1) &
    sleep "0.$((RANDOM % 4))"
    kill_server
    wait $! 2>/dev/null || true
    start_server || fail "the server does not start after kill $i"
    all_there
    log_lacks "[ERROR]"
  done
  sql -e "$UNINSTALL"
  nothing_there
  restarts
  nothing_there
}

t_a_ghost_table_is_taken_in() {
  # The dictionary keeps the tables of a server that had the component; a server that can't load it shows them, and nothing comes of it.
  with_component
  sql -e "$INSTALL"
  stops_clean
  mv $PLUGINS/component_keyring_ward_sql.so /tmp/kw-aside
  start_server || fail "the server does not start without the companion's file"
  expect "ghosts" "$(words "$(tables)")" "$TABLES"
  sql_fails 1146 "SELECT * FROM performance_schema.keyring_ward_keys"
  sql_fails 1305 "USE mysql; SELECT keyring_ward_status()"
  stop_server
  mv /tmp/kw-aside $PLUGINS/component_keyring_ward_sql.so
  start_server
  all_there
  log_lacks "could not be added"
}

t_an_idle_and_a_busy_connection_stand_in_no_way() {
  # Connections that are open have seen the component's events; one has a table of it in its cache, one is in a function.
  with_component
  sql -e "$INSTALL"
  local out pid
  { echo "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys; SELECT keyring_ward_status() IS NOT NULL;"; sleep 4; echo "SELECT 'still here';"; } | sql > /tmp/kw-idle 2>&1 & pid=$!
  sql -e "SELECT SLEEP(3), keyring_ward_status() IS NOT NULL FROM performance_schema.keyring_ward_status LIMIT 1" > /tmp/kw-busy 2>&1 & out=$!
  wait_for 10 grep -q 1 /tmp/kw-idle
  wait_for 10 sql -e "SELECT 1 / COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(3)%' HAVING COUNT(*) = 1"
  sql -e "$UNINSTALL" || fail "UNINSTALL COMPONENT beside open connections"
  wait $out || fail "the busy statement: $(cat /tmp/kw-busy)"
  wait $pid || true
  expect "the idle connection" "$(tail -1 /tmp/kw-idle)" "still here"
  nothing_there
  sql -e "$INSTALL"
  all_there
  stops_clean
}

# ---- beside other things ---------------------------------------------------------------------------

dynamic() { sql -e "SELECT COUNT(*) FROM performance_schema.user_defined_functions WHERE UDF_NAME LIKE 'keyring\_ward\_%' AND UDF_LIBRARY IS NULL"; }

t_beside_old_functions() {
  with_component
  local count; count=$(wc -w <<< "$FUNCTIONS")
  sql < /kw/share/install.sql
  sql -e "$INSTALL"
  all_there
  expect "all of them the old ones" "$(dynamic)" 0
  log_has "functions are there already, by CREATE FUNCTION"
  # As the log says.
  grep -o 'DROP FUNCTION [a-z_]*;' "$LOG" | sql
  expect "none" "$(functions)" ""
  sql -e "$UNINSTALL; $INSTALL"
  all_there
  expect "all of them the component's" "$(dynamic)" "$count"
  # Half of them old, half of them ours.
  sql -e "$UNINSTALL"
  grep -E 'keyring_ward_(status|keys) ' /kw/share/install.sql | sql
  sql -e "$INSTALL"
  all_there
  expect "but two" "$(dynamic)" $((count - 2))
  sql -e "$UNINSTALL"
  expect "the old ones stay" "$(words "$(functions)")" "keyring_ward_keys keyring_ward_status"
  # After a restart the component comes first, and the old ones wait for its end.
  sql -e "$INSTALL"
  restarts
  all_there
  expect "all of them the component's" "$(dynamic)" "$count"
  sql_fails 3623 "DROP FUNCTION keyring_ward_status"
  sql -e "$UNINSTALL"
  restarts
  expect "the old ones are back" "$(words "$(functions)")" "keyring_ward_keys keyring_ward_status"
  sql < /kw/share/uninstall.sql
  nothing_there
  stops_clean
}

t_without_the_keyring_component() {
  reset_all; fresh_data
  start_server
  sql -e "$INSTALL" 2>/dev/null && fail "installed without a keyring component"
  log_has "component_keyring_ward is not loaded. Name it in the manifest"
  nothing_there
  # A server that had it and has it no more starts, and says so.
  stop_server
  with_component
  sql -e "$INSTALL"
  stops_clean
  rm -f $MANIFEST
  start_server || fail "the server does not start"
  log_has "component_keyring_ward is not loaded. Name it in the manifest"
  sql_fails 1305 "USE mysql; SELECT keyring_ward_status()"
  sql -e "$UNINSTALL" 2>/dev/null || sql -e "DELETE FROM mysql.component WHERE component_urn LIKE '%keyring_ward_sql'"
  stop_server
}

t_with_a_disabled_keyring() {
  with_component
  sql -e "$INSTALL; DO keyring_ward_key_create('k', 'root@localhost', 'AES', 32)"
  stops_clean
  mv $KEYS/passphrase $KEYS/passphrase.aside
  start_server || fail "the server does not start"
  expect "functions" "$(words "$(functions)")" "$(words "$FUNCTIONS")"
  expect "the status" "$(sql -e "SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Component_status'")" Disabled
  expect "KEKs" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keks")" 0
  # That there is no keyring is not that there is no key.
  sql -e "SELECT * FROM performance_schema.keyring_ward_keys" 2>/dev/null && fail "a list of keys without a keyring"
  expect "the variable" "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_rotation_due_in_days'" | cut -f2)" ""
  mv $KEYS/passphrase.aside $KEYS/passphrase
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect "keys" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys WHERE LOGICAL_KEY = 'k'")" 1
  stops_clean
}

t_the_plugin_role_keeps_create_function() {
  reset_all; make_passphrase
  plugin_my_cnf
  fresh_data
  start_server
  sql -e "$INSTALL" 2>/dev/null && fail "installed in the plugin role"
  log_has "Where Keyring Ward is loaded as a plugin, the functions come by CREATE FUNCTION"
  sed 's/component_keyring_ward.so/keyring_ward.so/' /kw/share/install.sql | sql
  expect "functions" "$(words "$(functions)")" "$(words "$FUNCTIONS")"
  case "$(sql -e "SELECT keyring_ward_status()")" in *'"ok":true'*) ;; *) fail "keyring_ward_status()" ;; esac
  stops_clean
}

t_without_grant_tables_and_without_performance_schema() {
  with_component
  sql -e "$INSTALL"
  sql -e "DO keyring_ward_key_create('k', 'root@localhost', 'AES', 32)"
  # Such a server has no loadable functions, whoever made them, and all privileges.
  restarts --skip-grant-tables
  sql_fails 1305 "USE mysql; SELECT keyring_ward_status()"
  expect "keys" "$(sql -e "SELECT KEY_ID FROM performance_schema.keyring_ward_keys")" k@1
  sql -e "$UNINSTALL; $INSTALL"
  expect "keys" "$(sql -e "SELECT KEY_ID FROM performance_schema.keyring_ward_keys")" k@1
  restarts --performance-schema=OFF
  case "$(sql -e "SELECT keyring_ward_status()")" in *'"ok":true'*) ;; *) fail "keyring_ward_status()" ;; esac
  expect "an empty table" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_status")" 0
  restarts
  all_there
}

# ---- what it shows, and to whom ---------------------------------------------------------------------

due_is() { [ "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_rotation_due_in_days'" | cut -f2)" = "$1" ]; }
t_rows_are_the_truth() {
  with_component --log-bin --binlog-format=ROW
  install_udf
  local key="FROM performance_schema.keyring_ward_keys WHERE LOGICAL_KEY = 'ssn'"
  sql -e "$INSTALL"
  expect "no rotation" "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_rotation_due_in_days'" | cut -f2)" ""
  sql -e "DO keyring_ward_key_create('ssn', 'root@localhost', 'AES', 32, '{\"rotate_every\": 90}'), keyring_key_store('plain', 'SECRET', 'not for the table')"
  expect "a logical key" "$(sql -e "SELECT KEY_ID, KEY_OWNER, KEY_TYPE, BITS, AGE_DAYS, VERSION, STATE, ROTATE_EVERY_DAYS, DUE_IN_DAYS BETWEEN 89 AND 90, EXPIRES, DESTROY_AT, HELD, BACKEND $key")" \
    "ssn@1	root@localhost	AES	256	0	1	active	90	1	NULL	NULL	NULL	file"
  expect "the time" "$(sql -e "SET time_zone = '+00:00'; SELECT ABS(TIMESTAMPDIFF(SECOND, CREATED, NOW())) < 60 $key")" 1
  # From the second after the rotation on, it is less than the whole 90 days.
  wait_for 10 due_is 89
  expect "the same in the table" "$(sql -e "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Keyring_ward_rotation_due_in_days'")" 89
  expect "and in the status" "$(sql -e "SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Rotation_due_in_days'")" 89
  sql -e "DO keyring_ward_key_rotate('ssn', 'root@localhost')"
  expect "two versions" "$(sql -e "SELECT KEY_ID, STATE, DUE_IN_DAYS > 88 $key ORDER BY VERSION" | tr '\n' ' ')" "ssn@1	deactivated	NULL ssn@2	active	1 "
  sql -e "DO keyring_ward_key_destroy('ssn', 'root@localhost', 1, 7)"
  expect "a plan" "$(sql -e "SELECT DATEDIFF(DESTROY_AT, CREATED) $key AND VERSION = 1")" 7
  expect "a plain key" "$(sql -e "SELECT KEY_TYPE, BITS, LOGICAL_KEY, VERSION, STATE, DUE_IN_DAYS FROM performance_schema.keyring_ward_keys WHERE KEY_ID = 'plain'")" "SECRET	136	NULL	NULL	NULL	NULL"
  sql -e "DO keyring_key_remove('plain')"
  expect "a removed key" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys WHERE KEY_ID = 'plain'")" 0
  sql -e "CREATE TABLE mysql.e (a INT) ENCRYPTION='Y'"
  expect "the server's own" "$(sql -e "SELECT KEY_OWNER = '', COUNT(*) FROM performance_schema.keyring_ward_keys WHERE KEY_ID LIKE 'INNODBKey-%' GROUP BY 1")" "1	1"
  expect "as many as the server lists" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys")" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")"
  expect "a KEK" "$(sql -e "SELECT COUNT(*), MAX(RESULT), ABS(TIMESTAMPDIFF(SECOND, MAX(AT), UTC_TIMESTAMP())) < 600 FROM performance_schema.keyring_ward_keks")" "1	opened	1"
  expect "the version" "$(sql -e "SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Version'")" "$(keyring-ward --version | cut -d' ' -f2)"
  expect "keys in the status" "$(sql -e "SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Keys'")" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys")"
  # Sorted by what does not fit into a sort of values, joined, and twice in one statement.
  expect "sorted" "$(sql -e "SET max_sort_length = 8; SELECT COUNT(*) FROM (SELECT a.*, b.KEY_TYPE t FROM performance_schema.keyring_ward_keys a JOIN performance_schema.keyring_ward_keys b USING (KEY_ID, KEY_OWNER) ORDER BY a.HELD, a.KEY_ID DESC LIMIT 100) x")" \
    "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_ward_keys")"
  sql_fails 1142 "DELETE FROM performance_schema.keyring_ward_keys"
  sql_fails 1142 "UPDATE performance_schema.keyring_ward_status SET VALUE = 'x'"
  sql_fails 1142 "TRUNCATE performance_schema.keyring_ward_keks"
  ! sql -e "SELECT * FROM performance_schema.keyring_ward_keys; SELECT * FROM performance_schema.keyring_ward_status" | grep -q "not for the table" || fail "material"
  stops_clean
}

t_an_account_sees_its_own_keys() {
  with_component
  install_udf
  sql -e "$INSTALL;
    CREATE USER app IDENTIFIED BY 'app'; CREATE USER other IDENTIFIED BY 'other'; CREATE USER monitor IDENTIFIED BY 'monitor';
    GRANT EXECUTE ON *.* TO app, other; GRANT SELECT ON performance_schema.keyring_ward_keys TO app, monitor;
    DO keyring_ward_key_create('a', 'app@%', 'AES', 32), keyring_ward_key_create('o', 'other@%', 'AES', 32);
    CREATE TABLE mysql.e (a INT) ENCRYPTION='Y'"
  local all="SELECT GROUP_CONCAT(LEFT(KEY_ID, 9) ORDER BY KEY_ID) FROM performance_schema.keyring_ward_keys"
  expect "without the table's grant" "$(as other -e "$all" | cut -c1-10)" "ERROR 1142"
  expect "its own" "$(as app -e "$all")" "a@1"
  expect "none" "$(as monitor -e "$all")" NULL
  local each
  for each in KEYRING_WARD_ADMIN KEYRING_WARD_OPERATE KEYRING_WARD_AUDIT ENCRYPTION_KEY_ADMIN; do
    sql -e "GRANT $each ON *.* TO monitor"
    expect "all, with $each" "$(as monitor -e "$all")" "INNODBKey,a@1,o@1"
    sql -e "REVOKE $each ON *.* FROM monitor"
  done
  sql -e "GRANT KEYRING_WARD_USE ON *.* TO monitor"
  expect "none, with the use of keys" "$(as monitor -e "$all")" NULL
  # By a role, while it is active; and in a definer's routine as the definer.
  sql -e "CREATE ROLE auditor; GRANT KEYRING_WARD_AUDIT ON *.* TO auditor; GRANT auditor TO monitor; CREATE DATABASE d;
    CREATE DEFINER = 'app'@'%' FUNCTION d.mine() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM performance_schema.keyring_ward_keys);
    GRANT EXECUTE ON FUNCTION d.mine TO monitor"
  expect "a role" "$(as monitor -e "$all; SET ROLE auditor; $all" | tr '\n' ' ')" "NULL INNODBKey,a@1,o@1 "
  expect "a definer" "$(as monitor -e "SELECT d.mine()")" 1
}

# may USER CALL: the account may call the function (whatever that answers). may_not: it is refused before the first row.
may() { case "$(as "$1" -e "SELECT keyring_ward_$2")" in *'"ok":'*) ;; *) fail "$1 may not call $2: $(as "$1" -e "SELECT keyring_ward_$2")" ;; esac; }
may_not() { case "$(as "$1" -e "SELECT keyring_ward_$2")" in *"ERROR 1123 "*"Access denied; you need the ENCRYPTION_KEY_ADMIN privilege or KEYRING_WARD_ADMIN"*) ;; *) fail "$1 may call $2" ;; esac; }

t_each_privilege_allows_what_it_should() {
  with_component
  sql -e "$INSTALL; DO keyring_ward_key_create('k', 'root@localhost', 'AES', 32)"
  local each
  for each in admin operate use audit; do sql -e "CREATE USER \`$each\` IDENTIFIED BY '$each'; GRANT KEYRING_WARD_${each^^} ON *.* TO \`$each\`"; done
  sql -e "CREATE USER nobody IDENTIFIED BY 'nobody'"
  local read=("status()" "verify()" "keks()" "keys()" "retired_keys()" "key_check('k','root@localhost')")
  local operate=("key_rotate('k','root@localhost')" "key_activate('k','root@localhost',2)" "key_destroy('k','root@localhost',1,7)" "key_cancel('k','root@localhost',1)")
  local administer=("reload()" "reseal()" "rekey()" "kek_sync()" "kek_add('x')" "kek_remove('x')" "key_create('n','root@localhost','AES',32)" "key_adopt('n','root@localhost')"
    "key_set('k','root@localhost','{}')" "key_destroy_due('k','root@localhost',1)" "key_restore('k','root@localhost')" "key_compromise('k','root@localhost',1)" "key_hold('k','root@localhost','x')" "key_release('k','root@localhost')" "key_rotate_index('k','root@localhost')" "key_retire('x')")
  for each in "${read[@]}"; do may admin "$each"; may operate "$each"; may audit "$each"; may_not use "$each"; may_not nobody "$each"; done
  for each in "${operate[@]}"; do may admin "$each"; may operate "$each"; may_not audit "$each"; may_not use "$each"; may_not nobody "$each"; done
  for each in "${administer[@]}"; do may admin "$each"; may_not operate "$each"; may_not audit "$each"; may_not use "$each"; may_not nobody "$each"; done
  # What was granted is granted after a restart, and where the component is gone.
  restarts
  may_not nobody "status()"; may audit "status()"
  sql -e "$UNINSTALL"
  sql < /kw/share/install.sql
  may audit "status()"; may_not audit "reseal()"
}

t_who_rotated_a_master_key_is_told() {
  with_component
  local last="SELECT VALUE FROM performance_schema.keyring_ward_status WHERE NAME = 'Last_master_key_rotation'"
  sql -e "$INSTALL; CREATE USER ops IDENTIFIED BY 'ops'; GRANT ENCRYPTION_KEY_ADMIN ON *.* TO ops; CREATE USER nobody IDENTIFIED BY 'nobody'; CREATE TABLE mysql.e (a INT) ENCRYPTION='Y'"
  expect "nobody yet" "$(sql -e "$last")" NULL
  as ops -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  case "$(sql -e "$last")" in "'ops@%' rotated InnoDB's master key at 2"*) ;; *) fail "$(sql -e "$last")" ;; esac
  log_has "'ops@%' rotated InnoDB's master key at 2"
  as nobody -e "ALTER INSTANCE ROTATE INNODB MASTER KEY" >/dev/null
  log_has "'nobody@%' tried to rotate InnoDB's master key: the server refused it with error 1227."
  sql_fails 3805 "ALTER INSTANCE ROTATE BINLOG MASTER KEY"
  log_has "'root@localhost' tried to rotate the binary log's master key: the server refused it with error 3805."
  as ops -e "ALTER INSTANCE RELOAD KEYRING"
  case "$(sql -e "$last")" in "'ops@%' rotated InnoDB's"*) ;; *) fail "$(sql -e "$last")" ;; esac
  sql -e "CREATE PROCEDURE mysql.rotate() ALTER INSTANCE ROTATE INNODB MASTER KEY; CALL mysql.rotate()"
  case "$(sql -e "$last")" in "'root@localhost' rotated InnoDB's master key at 2"*) ;; *) fail "in a procedure: $(sql -e "$last")" ;; esac
  sql -e "PREPARE p FROM 'ALTER INSTANCE ROTATE INNODB MASTER KEY'; EXECUTE p"
  expect "rotations in the log" "$(grep -c "rotated InnoDB's master key" "$LOG")" 3
  stops_clean
}

# ---- session keys -----------------------------------------------------------------------------------

# session USER: a connection of its own, which SAY speaks to; what it answers is in /tmp/kw-session.out.
session() {
  rm -f /tmp/kw-session /tmp/kw-session.out; mkfifo /tmp/kw-session
  mysql -u"$1" -S $SOCKET --batch --skip-column-names --force --unbuffered < /tmp/kw-session > /tmp/kw-session.out 2>&1 & SESSION=$!
  exec 8> /tmp/kw-session
}
# answers SQL: of the session; one line.
answers() {
  local before; before=$(wc -l < /tmp/kw-session.out)
  echo "$1" >&8
  wait_for 20 sh -c "[ \$(wc -l < /tmp/kw-session.out) -gt $before ]" || fail "no answer to $1"
  tail -n +$((before + 1)) /tmp/kw-session.out | tr '\n' ' ' | sed 's/ $//'
}
hang_up() { exec 8>&-; wait $SESSION || true; }
# So many session keys can an account still have: what ended is not counted.
t_session_keys_end_with_their_connection() {
  with_component
  sql -e "CREATE USER app, other; CREATE DATABASE d; CREATE TABLE d.t (v VARBINARY(200)); GRANT ALL ON d.* TO app, other"
  # Without the component nobody tells of a connection's end.
  sql < /kw/share/install.sql
  case "$(sql -e "SELECT keyring_ward_session_key_create('session:a')" 2>&1)" in *"KW-0016 KeyState"*"INSTALL COMPONENT"*) ;; *) fail "made without the component" ;; esac
  sql < /kw/share/uninstall.sql
  sql -e "$INSTALL"
  session app
  expect "made" "$(answers "SELECT keyring_ward_session_key_create('session:a');")" 1
  expect "it seals and opens" "$(answers "SET @v = keyring_ward_encrypt('session:a', 'text', 'c'); SELECT keyring_ward_decrypt('session:a', @v, 'c'), LENGTH(@v), keyring_ward_sealed_version(@v), keyring_ward_hmac('session:a', 'x') = keyring_ward_hmac('session:a', 'x'), keyring_ward_reencrypt('session:a', @v, 'c') = @v;")" "text	82	1	1	1"
  case "$(answers "SELECT keyring_ward_decrypt('session:a', @v, 'd');")" in *"KW-0009 Tampered"*) ;; *) fail "another context opens it" ;; esac
  case "$(answers "SELECT keyring_ward_session_key_create('session:a');")" in *"KW-0002 AlreadyExists"*) ;; *) fail "made twice" ;; esac
  case "$(answers "SELECT keyring_ward_session_key_create('a');")" in *"KW-0003 InvalidInput"*) ;; *) fail "a name without session:" ;; esac
  case "$(answers "SELECT keyring_ward_sign('session:a', 'x');")" in *"is no logical key"*) ;; *) fail "it signs" ;; esac
  # It is nowhere else: not in the file, in no list, for no other connection, even of the same account, and not for a definer's routine.
  expect "values in a table" "$(answers "INSERT INTO d.t VALUES (@v); SELECT COUNT(*) FROM d.t WHERE keyring_ward_decrypt('session:a', v, 'c') = 'text';")" 1
  local not_here="KW-0001 NotFound"
  case "$(mysql -uapp -S $SOCKET -e "SELECT keyring_ward_decrypt('session:a', v, 'c') FROM d.t" 2>&1)" in *"$not_here"*) ;; *) fail "another connection opens it" ;; esac
  sql -e "CREATE DEFINER = other FUNCTION d.o() RETURNS VARBINARY(200) READS SQL DATA RETURN keyring_ward_encrypt('session:a', 'x'); GRANT EXECUTE ON d.* TO app"
  case "$(answers "SELECT d.o();")" in *"$not_here"*) ;; *) fail "another account's routine has it" ;; esac
  expect "no key of the keyring" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 0
  ! grep -qsa "session:a" "$KEYS/keyring.ward" || fail "it is in the file"
  # A logical key of such a name can't be.
  case "$(sql -e "SELECT keyring_ward_key_create('session:b', 'app@%', 'AES', 32)")" in *"ends with its connection"*'"ok":false'*) ;; *) fail "a logical key of that name" ;; esac
  # RELOAD leaves it alone; a keyring that is out of service does not serve it.
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect "after a RELOAD" "$(answers "SELECT keyring_ward_decrypt('session:a', v, 'c') FROM d.t;")" text
  hang_up
  # It ended with the connection.
  session app
  case "$(answers "SELECT keyring_ward_decrypt('session:a', v, 'c') FROM d.t;")" in *"$not_here"*"ends with its connection"*) ;; *) fail "it lives on" ;; esac
  expect "another one of that name" "$(answers "SELECT keyring_ward_session_key_create('session:a');")" 1
  case "$(answers "SELECT keyring_ward_decrypt('session:a', v, 'c') FROM d.t;")" in *"KW-0009 Tampered"*) ;; *) fail "the new one opens what the old one sealed" ;; esac
  expect "ended by call" "$(answers "SELECT keyring_ward_session_key_destroy('session:a');")" 1
  case "$(answers "SELECT keyring_ward_session_key_destroy('session:a');")" in *"$not_here"*) ;; *) fail "ended twice" ;; esac
  # A connection that is killed.
  expect "made" "$(answers "SELECT keyring_ward_session_key_create('session:k');")" 1
  sql -e "KILL $(sql -e "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'")"
  hang_up
  # No more than 16 of a connection and 256 of an account; those that ended are not counted.
  local i
  for ((i = 0; i < 20; i++)); do
    expect "a connection's keys" "$(mysql -uapp -S $SOCKET -NBe "SELECT SUM(keyring_ward_session_key_create(CONCAT('session:', a))) FROM (SELECT 1 a UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8
      UNION SELECT 9 UNION SELECT 10 UNION SELECT 11 UNION SELECT 12 UNION SELECT 13 UNION SELECT 14 UNION SELECT 15 UNION SELECT 16) n" 2>&1)" 16
  done
  case "$(mysql -uapp -S $SOCKET -NBe "SELECT keyring_ward_session_key_create('session:x')$(for i in {1..16}; do printf ", keyring_ward_session_key_create('session:%s')" "$i"; done)" 2>&1)" in *"this connection has 16 session keys"*) ;; *) fail "more than 16" ;; esac
  # An event has none.
  sql << 'SQL' || fail "the event"
SET GLOBAL event_scheduler = ON;
CREATE TABLE d.e (v TEXT);
DELIMITER //
CREATE EVENT d.e ON SCHEDULE AT CURRENT_TIMESTAMP DO BEGIN
  DECLARE said TEXT;
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT; INSERT INTO d.e VALUES (said); END;
  DO keyring_ward_session_key_create('session:e');
END //
SQL
  wait_for 20 sh -c "mysql -uroot -S $SOCKET -NBe 'SELECT v FROM d.e' | grep -q 'no connection calls'" || fail "an event: $(sql -e "SELECT v FROM d.e")"
  log_lacks "[ERROR]"
  stops_clean
}

# Pools give a connection to the next one: nothing of the last one's keys is left. And UNINSTALL ends all.
t_session_keys_and_pools() {
  with_component
  sql -e "$INSTALL; CREATE USER app, other; CREATE DATABASE d; GRANT ALL ON d.* TO app, other"
  pool() { # pool COMMAND OF mysqltest: whether the key is there before it and afterwards
    printf '%s\n' "SELECT keyring_ward_session_key_create('session:a');" "SET @v = keyring_ward_encrypt('session:a', 'x');" "SELECT keyring_ward_decrypt('session:a', keyring_ward_encrypt('session:a', 'before'));" \
      "$1;" "--error 0,3200" "SELECT keyring_ward_encrypt('session:a', 'after') IS NOT NULL AS after_it;" | mysqltest -uapp -S $SOCKET -D d 2>&1
  }
  local each said
  for each in reset_connection "change_user app,,d" "change_user other,,d"; do
    said=$(pool "$each") || fail "$each: $said"
    grep -qx before <<< "$said" && ! grep -qx after_it <<< "$said" || fail "$each: $said"
  done
  # (A command of another kind leaves it.)
  said=$(pool ping) || fail "$said"
  grep -qx before <<< "$said" && grep -qx after_it <<< "$said" || fail "$said"
  session app
  expect "made" "$(answers "SELECT keyring_ward_session_key_create('session:a');")" 1
  hang_up
  # Without the component there are none any more, and with it again there are.
  wait_for 20 sql -e "$UNINSTALL" || fail "UNINSTALL COMPONENT"
  sql < /kw/share/install.sql
  case "$(sql -e "SELECT keyring_ward_session_key_create('session:a')" 2>&1)" in *"KW-0016 KeyState"*) ;; *) fail "made without the component" ;; esac
  sql < /kw/share/uninstall.sql; sql -e "$INSTALL"
  expect "made" "$(sql -e "SELECT keyring_ward_session_key_create('session:a')")" 1
  # Nobody tells which connection calls.
  restarts --performance-schema=OFF
  case "$(sql -e "SELECT keyring_ward_session_key_create('session:a')" 2>&1)" in *"does not tell which one"*) ;; *) fail "without performance_schema" ;; esac
  stops_clean
}
run_tests "$@"
