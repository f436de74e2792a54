#!/bin/bash
# The life of keys with a real server: the SQL functions, what the server's own functions see of versions, the traps of InnoDB's
# numbers and of the binary log's keys, migration, and kills of rotations.
#   lifecycle-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
STOCK=$PLUGINS/component_keyring_file.cnf
STOCK_FILE=$KEYS/component_keyring_file
ME="CURRENT_USER()"
FUNCTIONS="keys retired_keys key_check key_create key_adopt key_rotate key_activate key_set key_destroy key_destroy_due key_cancel
  key_restore key_compromise key_hold key_release key_retire key_rotate_index key_drop"

# good 'CALL': the function answers that it is done; the answer is in SAID.
good() { SAID=$(sql -e "SELECT keyring_ward_$1") || fail "$1"; case "$SAID" in *'"ok":true'*) ;; *) fail "$1: $SAID" ;; esac; }
has() { case "$SAID" in *"$1"*) ;; *) fail "no '$1' in $SAID" ;; esac; }
has_not() { case "$SAID" in *"$1"*) fail "'$1' in $SAID" ;; esac; }
# bad KIND SENTENCE 'CALL': it answers with this kind of error, which says that.
bad() {
  SAID=$(sql -e "SELECT keyring_ward_$3") || fail "$3"
  case "$SAID" in *'"kind":"'"$1"'"'*'"ok":false'*) ;; *) fail "$3 is not $1: $SAID" ;; esac
  has "$2"
}
# wrong SENTENCE 'CALL': the statement fails before the first row.
wrong() {
  SAID=$(sql -e "SELECT keyring_ward_$2" 2>&1) && fail "taken: $2: $SAID"
  case "$SAID" in *"ERROR 1123 "*) ;; *) fail "$2: $SAID" ;; esac
  has "$1"
}
fetch() { sql -e "SELECT HEX(keyring_key_fetch('$1'))"; }
listed() { sql -e "SELECT GROUP_CONCAT(KEY_ID ORDER BY KEY_ID) FROM performance_schema.keyring_keys WHERE KEY_ID NOT LIKE 'INNODBKey-%' AND KEY_ID NOT LIKE 'MySQLRep%'"; }

# ---- the functions -------------------------------------------------------------------------------

every_function() {
  good "keys()"; has '"count":0'; has '"complete":true'
  good "key_create('ssn', $ME, 'AES', 32, '{\"follow\": true, \"rotate_every\": 90, \"environment\": \"prod\", \"description\": \"Sozialversicherung ü\"}')"
  has '"owner":"root@localhost"'; has '"version":1'
  bad AlreadyExists "is a logical key" "key_create('ssn', $ME, 'AES', 32)"
  bad InvalidInput "no option" "key_create('x', $ME, 'AES', 32, '{\"folow\": true}')"; has 'do you mean'
  bad InvalidInput "in the past" "key_create('x', $ME, 'AES', 32, '{\"expires\": \"2020-01-01T00:00:00Z\"}')"
  bad InvalidInput "no JSON" "key_create('x', $ME, 'AES', 32, 'follow')"
  bad InvalidInput "how the version of a key is called" "key_create('x@1', $ME, 'AES', 32)"
  bad InvalidInput "argument 1, name, is NULL" "key_create(NULL, $ME, 'AES', 32)"
  bad InvalidInput "argument 4, bytes, is out of range" "key_create('x', $ME, 'AES', -1)"
  bad InvalidInput "" "key_create('x', $ME, 'AES', 1000000)"
  bad InvalidInput "" "key_create('x', $ME, 'FOO', 32)"
  bad InvalidInput "the server's own" "key_create('x', '', 'AES', 32)"
  wrong "takes 4 or 5 arguments, 3 are given" "key_create('x', $ME, 'AES')"
  wrong "argument 4, bytes, is a whole number" "key_create('x', $ME, 'AES', 3.5)"
  wrong "argument 1, name, is text" "key_create(7, NULL, 'AES', 32)"
  good "key_create('until', $ME, 'SECRET', '16', JSON_OBJECT('expires', '2099-01-31T00:00:00Z'))"
  # A plain key becomes one.
  sql -e "DO keyring_key_store('old', 'SECRET', 'a secret')"
  bad InvalidInput "goes on answering its own material" "key_adopt('old', $ME, '{\"follow\": true}')"
  good "key_adopt('old', $ME, '{\"description\": \"adopted\"}')"
  bad NotFound "" "key_adopt('nothing', $ME)"
  expect "an adopted key" "$(sql -e "SELECT keyring_key_fetch('old')")" "a secret"
  # Versions.
  good "key_rotate('ssn', $ME)"; has '"version":2'; has '"pending":false'
  good "key_rotate('ssn', 'root@localhost', 1)"; has '"version":3'; has '"pending":true'
  bad KeyState "is pending" "key_rotate('ssn', $ME, 0)"
  bad InvalidInput "is 0 or 1" "key_rotate('ssn', $ME, 2)"
  bad NotFound "is no logical key" "key_rotate('ssn', '')"
  good "key_activate('ssn', $ME, 3)"
  bad KeyState "not pending" "key_activate('ssn', $ME, 3)"
  bad NotFound "no version 9" "key_activate('ssn', $ME, 9)"
  bad InvalidInput "argument 3, version, is NULL" "key_activate('ssn', $ME, NULL)"
  good "key_set('ssn', $ME, '{\"rotate_every\": 30, \"description\": \"it''s changed\"}')"
  bad InvalidInput "argument 3, options, is NULL" "key_set('ssn', $ME, NULL)"
  bad InvalidInput "no temporary key" "key_set('ssn', $ME, '{\"expires\": 4070908800}')"
  # Nothing goes before its day, or while it is held.
  bad KeyState "is current" "key_destroy('ssn', $ME, 3, 30)"
  bad InvalidInput "a day from now" "key_destroy('ssn', $ME, 1, 0)"
  bad InvalidInput "out of range" "key_destroy('ssn', $ME, 1, 70000)"
  good "key_destroy('ssn', $ME, 1, 7)"; has '"due":"2'
  bad KeyState "is due on 2" "key_destroy_due('ssn', $ME, 1)"
  bad KeyState "is due on 2" "key_destroy_due('ssn', $ME, 'all')"
  good "key_cancel('ssn', $ME, 1)"
  bad KeyState "no destruction is planned" "key_cancel('ssn', $ME, 'all')"
  good "key_destroy('ssn', $ME, 'all')"; good "key_cancel('ssn', $ME, 'all')"
  # NULL, as a subquery gives it that finds nothing, decides nothing: in no argument of no function.
  local call
  for call in "keys(NULL)" "retired_keys(NULL)" "key_check(NULL, $ME)" "key_check('ssn', NULL)" "key_create('n', NULL, 'AES', 16)" \
    "key_create('n', $ME, NULL, 16)" "key_create('n', $ME, 'AES', NULL)" "key_create('n', $ME, 'AES', 16, NULL)" "key_adopt('old', NULL)" \
    "key_adopt('old', $ME, NULL)" "key_rotate('ssn', NULL)" "key_rotate('ssn', $ME, NULL)" "key_activate('ssn', NULL, 1)" "key_activate('ssn', $ME, NULL)" \
    "key_set('ssn', NULL, '{}')" "key_set('ssn', $ME, NULL)" "key_destroy('ssn', NULL, 1)" "key_destroy('ssn', $ME, (SELECT 1 FROM DUAL WHERE FALSE))" \
    "key_destroy('ssn', $ME, 1, NULL)" "key_destroy_due('ssn', NULL, 1)" "key_destroy_due('ssn', $ME, NULL)" "key_cancel('ssn', NULL, 1)" "key_cancel('ssn', $ME, NULL)" \
    "key_restore('ssn@1', NULL)" "key_restore('ssn@1', $ME, NULL)" "key_compromise('ssn', NULL, 1)" "key_compromise('ssn', $ME, NULL)" \
    "key_hold('ssn', NULL, 'x')" "key_hold('ssn', $ME, NULL)" "key_release('ssn', NULL)" "key_release(NULL, $ME)" "key_retire(NULL)" "kek_add(NULL)" "kek_remove(NULL)"; do
    bad InvalidInput "is NULL" "$call"
  done
  bad KeyState "no destruction is planned" "key_cancel('ssn', $ME, 'all')"
  bad KeyState "is not held" "key_release('ssn', $ME)"
  bad InvalidInput "argument 2, owner, is NULL" "key_check('ssn', NULL)"; has "CURRENT_USER() is root@localhost"
  wrong "argument 3, version, is a whole number or 'all'" "key_destroy('ssn', $ME, 1.5)"
  good "key_hold('ssn', $ME, 'case 7')"
  bad KeyState "case 7" "key_destroy('ssn', $ME, 1, 7)"
  bad InvalidInput "needs a reason" "key_hold('ssn', $ME, '')"
  bad InvalidInput "argument 3, reason, is NULL" "key_hold('ssn', $ME, (SELECT 'case 8' FROM DUAL WHERE FALSE))"; has "keyring_ward_key_release() ends a hold"
  bad KeyState "case 7" "key_destroy('ssn', $ME, 1, 7)"
  good "key_release('ssn', $ME)"
  bad KeyState "is not held" "key_release('ssn', $ME)"
  bad KeyState "is current" "key_compromise('ssn', $ME, 3)"
  good "key_compromise('ssn', $ME, 2)"
  bad NotFound "" "key_restore('ssn@1', $ME)"
  wrong "takes 2 or 3 arguments, 1 are given" "key_restore('ssn')"
  good "key_check('ssn', $ME)"; has '"bits":256'; has '"state":"active"'; has '"key":"ssn@3"'
  sql -e "DO keyring_key_store('hex', 'AES', '0123456789abcdef0123456789abcdef')"
  good "key_check('hex', $ME)"; has "128 bits, not 256"
  bad NotFound "does not exist" "key_check('nothing', $ME)"
  good "keys()"
  for each in '"count":3' '"name":"ssn"' '"current":3' '"rotate_every":30' "it's changed" '"state":"compromised"' '"adopted":true' '"expires":"2099-01-31T00:00:00Z"'; do has "$each"; done
  good "keys(2)"; has '"count":3'
  expect "keys behind the second" "$(sql -e "SELECT JSON_LENGTH(keyring_ward_keys(2), '\$.keys'), JSON_LENGTH(keyring_ward_keys(), '\$.keys')")" "1	3"
  # What the server's own variables do to keys.
  has_not "binlog_format"
  good "key_check('ssn', $ME)"; has "block_encryption_mode is aes-128-ecb"; has "folds this key to 128 bits"; has_not "binlog_format"
  sql -e "SET GLOBAL block_encryption_mode = 'aes-256-cbc'; SET GLOBAL binlog_format = 'STATEMENT'"
  good "key_check('ssn', $ME)"; has "binlog_format is STATEMENT"; has_not "block_encryption_mode"
  good "keys()"; has "binlog_format is STATEMENT"
  sql -e "SET GLOBAL binlog_format = 'ROW'"
  good "retired_keys()"; has '"count":0'
  wrong "argument 1, skip, is a whole number" "keys(1.5)"
  # A column, an expression, several rows.
  expect "several rows" "$(sql -e "SELECT SUM(JSON_EXTRACT(keyring_ward_key_check(n, 'root@localhost'), '\$.ok')) FROM (SELECT 'ssn' n UNION SELECT 'old' UNION SELECT 'no') t")" 2
  # Prepared, as clients send it.
  expect "prepared" "$(sql -e "PREPARE p FROM 'SELECT JSON_EXTRACT(keyring_ward_key_rotate(?, ?, ?), ''$.version'')'; SET @n='ssn', @o='root@localhost', @p=0; EXECUTE p USING @n, @o, @p")" 4
  # In another character set the name is the same.
  good "key_create('clé', $ME, 'AES', 16)"
  SAID=$(printf "SET NAMES latin1; SELECT keyring_ward_key_rotate('cl\351', CURRENT_USER())" | sql); has '"version":2'
  # What was asked for and refused is no trouble of the keyring.
  log_has "is a logical key"
  expect "errors that an operator must see" "$(grep -c '\[ERROR\].*KW-' "$LOG")" 0
}
# A server that is told to log statements is warned at its start, where accounts have keys.
t_statements_in_the_binary_log_are_warned_of() {
  with_role component --binlog-format=STATEMENT
  log_lacks "binlog_format is STATEMENT"
  sql -e "DO keyring_key_generate('k','AES',16)"
  stop_server; start_server --binlog-format=STATEMENT
  log_has "binlog_format is STATEMENT"
  stop_server; start_server --binlog-format=ROW
  log_lacks "binlog_format is STATEMENT"
}

t_every_function_of_a_component() { with_role component; every_function; }
t_every_function_of_a_plugin() { with_role plugin; every_function; }

t_functions_need_the_privilege() {
  with_role component
  sql -e "CREATE USER app IDENTIFIED BY 'app'; GRANT EXECUTE ON *.* TO app; DO keyring_key_generate('k','AES',32)"
  local function out
  for function in $FUNCTIONS; do
    out=$(mysql -uapp -papp -S $SOCKET -e "SELECT keyring_ward_$function()" 2>&1) && fail "app may call $function"
    case "$out" in *"ERROR 1123 "*"need the ENCRYPTION_KEY_ADMIN privilege"*) ;; *) fail "$function: $out" ;; esac
  done
  # With it, CURRENT_USER() is the calling account, as the server's own functions write it.
  sql -e "GRANT ENCRYPTION_KEY_ADMIN ON *.* TO app"
  as_app() { mysql -uapp -papp -S $SOCKET --batch --skip-column-names -e "$1" 2>/dev/null; }
  SAID=$(as_app "SELECT keyring_ward_key_create('k', CURRENT_USER(), 'AES', 32, '{\"follow\": true}')"); has '"owner":"app@%"'
  expect "app's own function finds it" "$(as_app "SELECT keyring_key_length_fetch('k'), keyring_key_length_fetch('k@1')")" "32	32"
  # (Everybody may call keyring_ward_key_fetch: a policy decides.)
  expect "every function is installed" "$(sql -e "SELECT COUNT(*) FROM mysql.func WHERE name = 'keyring_ward_keys' OR name LIKE 'keyring\\_ward\\_key\\_%' AND name <> 'keyring_ward_key_fetch'")" "$(($(wc -w <<< "$FUNCTIONS") - 1))"
  sql < /kw/share/uninstall.sql
  expect "and removed" "$(sql -e "SELECT COUNT(*) FROM mysql.func WHERE name LIKE 'keyring_ward_%'")" 0
}

# ---- what the server's own functions see -----------------------------------------------------------

stock_view() {
  local first second
  good "key_create('ssn', $ME, 'AES', 32, '{\"follow\": true}')"
  good "key_create('iban', $ME, 'AES', 16)"
  first=$(fetch ssn)
  expect "version 1" "$(fetch ssn@1)" "$first"
  sql_null "SELECT keyring_key_fetch('iban')"
  expect "its version" "$(sql -e "SELECT keyring_key_length_fetch('iban@1'), keyring_key_type_fetch('iban@1')")" "16	AES"
  good "key_rotate('ssn', $ME)"
  second=$(fetch ssn)
  [ "$first" != "$second" ] && [ ${#second} = 64 ] || fail "the name does not follow: $first, $second"
  expect "version 1 stays" "$(fetch ssn@1)" "$first"
  expect "version 2" "$(fetch ssn@2)" "$second"
  expect "the server's list" "$(listed)" "iban@1,ssn@1,ssn@2"
  # The names are taken, each with a sentence.
  # (A sentence that is the same is not repeated within ten seconds.)
  refused "keyring_key_generate('ssn','AES',32)" "'ssn' of 'root@localhost' is a logical key"
  refused "keyring_key_store('iban','AES','0123456789abcdef')" "'iban' of 'root@localhost' is a logical key"
  refused "keyring_key_store('ssn@1','AES','0123456789abcdef')" "'ssn@1' of 'root@localhost' exists already"
  refused "keyring_key_generate('ssn@3','AES',32)" "'ssn@3' of 'root@localhost' would be a version of the logical key"
  refused "keyring_key_remove('ssn')" "'ssn' of 'root@localhost' is a logical key or a version"
  refused "keyring_key_remove('ssn@1')" "'ssn@1' of 'root@localhost' is a logical key or a version"
  sql_null "SELECT keyring_key_store('ssn','AES','0123456789abcdef')"; sql_null "SELECT keyring_key_generate('ssn@1','AES',32)"
  expect "nothing was changed" "$(listed)" "iban@1,ssn@1,ssn@2"
  # A compromised version is kept back, and is never called absent.
  good "key_compromise('ssn', $ME, 1)"
  refused "keyring_key_fetch('ssn@1')" "version 1 is compromised"
  expect "the current one goes on" "$(fetch ssn)" "$second"
  # All of it again after a crash.
  kill_server; start_server
  expect "after a crash" "$(fetch ssn) $(listed)" "$second iban@1,ssn@1,ssn@2"
}
# refused CALL SENTENCE: the server's function fails (it makes NULL of every failure), and our log says why.
refused() {
  : > "$LOG"
  SAID=$(sql -e "SELECT $1" 2>&1)
  expect "$1" "$SAID" NULL
  log_has "$2"
}
t_stock_functions_of_a_component() { with_role component; stock_view; }
t_stock_functions_of_a_plugin() { with_role plugin; stock_view; }

# ---- traps ---------------------------------------------------------------------------------------

# After a restart without an encrypted tablespace InnoDB counts from 1 again, and takes old keys without a word.
counter_trap() {
  encrypted_table
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; DROP DATABASE d"
  stop_server; start_server
  log_lacks "gets an old one"
  sql -e "CREATE DATABASE e; CREATE TABLE e.t (a INT) ENCRYPTION='Y'"
  grep -F "[Warning]" "$LOG" | grep -qF "InnoDB asked for a new master key and gets an old one" || fail "no warning at the moment it happens: $(cat "$LOG")"
  : > "$LOG"
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  grep -qE "gets an old one.*-2'" "$LOG" || fail "no warning of the second number: $(cat "$LOG")"
  : > "$LOG"
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  log_lacks "gets an old one"
  expect "keys" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'INNODBKey-%-_'")" 3
}
t_counter_trap_of_a_component() { with_role component; counter_trap; }
t_counter_trap_of_a_plugin() { with_role plugin; counter_trap; }

# InnoDB's old keys are retired beside a running server: the tool looks, twice with a checkpoint between, the server retires.
t_old_keys_retire_beside_a_server() {
  with_role component
  local uuid look first; uuid=$(sql -e "SELECT @@server_uuid")
  encrypted_table
  look() { keyring-ward key retire --config $CONFIG --beside-server $DATA --json > /tmp/kw-look || fail "$(cat /tmp/kw-look)"; SAID=$(tr -d ' \n' < /tmp/kw-look); }
  statement() { sed -n 's/^ *"statement": "\(SELECT keyring_ward_key_retire(.*);\)",*$/\1/p' /tmp/kw-look; }
  look; has '"statement":null'
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  # Headers name old numbers until their pages are flushed, records until a checkpoint is past them.
  sql -e "SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0; SET GLOBAL innodb_max_dirty_pages_pct = 0"
  retirable() { sql -e "UPDATE d.t SET b = 'two'; UPDATE d.t SET b = 'one'"; look; [[ "$(statement)" == *"-4:"*":1,2,3:"* ]]; }
  wait_for 60 retirable || fail "not to be retired: $SAID"
  first=$(statement)
  bad InvalidInput "no answer of keyring-ward key retire" "key_retire('INNODBKey-$uuid-1')"
  SAID=$(sql -e "${first/:1,2,3:/:1,2:}"); has "was changed"
  SAID=$(sql -e "$first"); has "INNODBKey-$uuid-3"; has '"ok":true'
  kill_server; start_server
  expect row "$(row)" one
  good "retired_keys()"; has '"count":3'
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  SAID=$(sql -e "$first"); has "rotated after the look"
  # One that was taken too early comes back at once.
  good "key_restore('INNODBKey-$uuid-3', '')"
  kill_server; start_server
  expect row "$(row)" one
}

# ROTATE BINLOG MASTER KEY removes the old key at once: it is kept, for archived logs, and comes back.
t_binlog_key_is_kept() {
  with_role component --binlog-encryption=ON
  local uuid; uuid=$(sql -e "SELECT @@server_uuid")
  local key=MySQLReplicationKey_${uuid}_1
  sql -e "CREATE DATABASE d; ALTER INSTANCE ROTATE BINLOG MASTER KEY"
  expect "in sight" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID = '$key'")" 0
  good "retired_keys()"; has '"count":1'; has "\"name\":\"$key\""; has '"removal":1'
  bad NotFound "" "key_restore('$key', '', 7)"
  kill_server; start_server --binlog-encryption=ON
  good "retired_keys()"; has "\"name\":\"$key\""
  good "key_restore('$key', '', 1)"
  expect "in sight again" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID = '$key'")" 1
  good "retired_keys()"; has '"count":0'
  bad NotFound "" "key_restore('$key', '')"
  # The server goes on as it did.
  sql -e "ALTER INSTANCE ROTATE BINLOG MASTER KEY; CREATE TABLE d.t (a INT)"
  stop_server; start_server --binlog-encryption=ON
  key=MySQLReplicationKey_${uuid}_2
  good "retired_keys()"; has "\"name\":\"$key\""
  sql -e "INSERT INTO d.t VALUES (1); FLUSH BINARY LOGS"
  # Until when archived logs open is said, and how one key is held; its hold outlives the server, and every purge.
  has "1 removed key of the binary log is kept until "; has "keyring_ward_key_hold('$key', '', 'WHY', 1)"
  bad NotFound "" "key_hold('$key', '', 'archive', 7)"
  bad KeyState "is not held" "key_release('$key', '', 1)"
  good "key_hold('$key', '', 'archive', 1)"; has '"removal":1'
  bad KeyState "held already: archive" "key_hold('$key', '', 'other')"
  kill_server; start_server --binlog-encryption=ON
  good "retired_keys()"; has '"hold":"archive"'; has_not "is kept until"
  stop_server
  keyring-ward reseal --config "$CONFIG" --user mysql --purge-retired all | grep -q "No retired key was to be ended" || fail "it was ended"
  start_server --binlog-encryption=ON
  good "key_release('$key', '')"
  good "retired_keys()"; has '"hold":null'; has "is kept until"
}

# ---- the clock -------------------------------------------------------------------------------------

# A clock that jumps destroys nothing that was not to die by time, and what is destroyed after its date was ordered then.
t_clock_a_year_ahead_and_back() {
  with_role component
  stop_server; with_clock; start_server
  local first second import held
  good "key_create('ssn', $ME, 'AES', 32)"; good "key_rotate('ssn', $ME)"
  good "key_create('import', $ME, 'AES', 32, '{\"expires\": \"30d\"}')"
  good "key_create('held', $ME, 'AES', 32, '{\"expires\": \"30d\"}')"
  good "key_hold('held', $ME, 'case 7')"
  good "key_destroy('ssn', $ME, 1, 7)"
  first=$(fetch ssn@1) second=$(fetch ssn@2) import=$(fetch import@1) held=$(fetch held@1)
  # A year ahead under the running server: a temporary key is not served, and nothing is destroyed.
  clock +365d
  expect "planned, and due for long" "$(fetch ssn@1) $(fetch ssn@2)" "$first $second"
  refused "keyring_key_fetch('import@1')" "its time is over"
  good "keys()"; has '"destroy_due":true'
  good "retired_keys()"; has '"count":0'
  # And back: all is as it was.
  clock +0
  expect "back" "$(fetch ssn@1) $(fetch ssn@2) $(fetch import@1) $(fetch held@1)" "$first $second $import $held"
  bad KeyState "is due on 2" "key_destroy_due('ssn', $ME, 1)"
  # A restart in the wrong year: what may die by time does, and is kept; a held one and a planned one stay.
  stop_server; clock +365d; start_server
  log_has "'import'"
  good "retired_keys()"; has '"count":1'; has '"name":"import@1"'
  expect "after a start in the wrong year" "$(fetch ssn@1) $(fetch ssn@2)" "$first $second"
  stop_server; clock +0; start_server
  expect "after a start in the right one" "$(fetch ssn@1) $(fetch ssn@2) $(fetch held@1)" "$first $second $held"
  # What the clock ended too early comes back.
  good "key_restore('import@1', $ME)"; expect "import is back" "$(fetch import@1)" "$import"
  bad KeyState "is due on 2" "key_destroy_due('ssn', $ME, 'all')"
  # The day has come: only an order destroys, and only what was planned.
  clock +8d
  expect "the day has come" "$(fetch ssn@1)" "$first"
  bad NotFound "no version 9" "key_destroy_due('ssn', $ME, 9)"
  good "key_destroy_due('ssn', $ME, 1)"; has '"versions":[1]'
  sql_null "SELECT keyring_key_fetch('ssn@1')"
  expect "version 2 goes on" "$(fetch ssn@2)" "$second"
  good "retired_keys()"; has '"name":"ssn@1"'
  kill_server; start_server
  sql_null "SELECT keyring_key_fetch('ssn@1')"
  good "key_restore('ssn@1', $ME)"
  expect "brought back" "$(fetch ssn@1)" "$first"
  # All of a key, the current version too.
  good "key_destroy('ssn', $ME, 'all', 1)"; clock +10d
  good "key_destroy_due('ssn', $ME, 'all')"; has '"versions":[1,2]'
  sql_null "SELECT keyring_key_fetch('ssn@2')"
  stop_server; clock +0; start_server
  sql_null "SELECT keyring_key_fetch('ssn@2')"
  good "keys()"; has_not '"name":"ssn"'
}

# ---- elsewhere -------------------------------------------------------------------------------------

migrate() { mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring="$1" --destination-keyring="$2" > /tmp/kw-migrate 2>&1 || fail "$(tail -5 /tmp/kw-migrate)"; }

# Versions are keys, and go as such; the name that follows does not.
t_versions_migrate_both_ways() {
  with_role component
  encrypted_table
  good "key_create('ssn', $ME, 'AES', 32, '{\"follow\": true}')"; good "key_rotate('ssn', $ME)"
  sql -e "DO keyring_key_generate('k','AES',16)"
  local before all="SELECT HEX(keyring_key_fetch('ssn@1')), HEX(keyring_key_fetch('ssn@2')), HEX(keyring_key_fetch('k'))"
  before=$(sql -e "$all")
  stop_server
  echo "{ \"path\": \"$STOCK_FILE\", \"read_only\": false }" > "$STOCK"
  migrate component_keyring_ward component_keyring_file
  chown mysql:mysql "$STOCK_FILE"
  echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"
  start_server
  expect "with the stock component" "$(sql -e "$all")" "$before"
  expect "its list" "$(listed)" "k,ssn@1,ssn@2"
  expect row "$(row)" one
  stop_server
  rm -f "$KEYS"/keyring.ward* "$DATA/keyring_ward.marker"
  migrate component_keyring_file component_keyring_ward
  chown mysql:mysql "$KEYS"/keyring.ward*
  component_manifest; start_server
  expect "back in ours" "$(sql -e "$all")" "$before"
  expect "its list" "$(listed)" "k,ssn@1,ssn@2"
  expect row "$(row)" one
  sql_null "SELECT keyring_key_fetch('ssn')"
  good "keys()"; has '"count":0'
  rm -f "$STOCK" "$STOCK_FILE"
}

# What is kept back is not handed to a keyring that would serve it: all else goes, and what does not is named.
t_migration_leaves_out_what_is_kept_back() {
  with_role component
  good "key_create('ssn', $ME, 'AES', 32, '{\"follow\": true}')"; good "key_rotate('ssn', $ME)"; good "key_rotate('ssn', $ME)"
  good "key_compromise('ssn', $ME, 1)"
  # One whose time is over and that is held, so that it stays; one that was destroyed.
  good "key_create('case', $ME, 'AES', 32, JSON_OBJECT('expires', UNIX_TIMESTAMP() + 2))"; good "key_hold('case', $ME, 'case 7')"
  good "key_create('import', $ME, 'AES', 32, JSON_OBJECT('expires', UNIX_TIMESTAMP() + 2))"
  sql -e "DO keyring_key_generate('k','AES',16); DO keyring_key_generate('z','AES',16)"
  over() { sql -e "SELECT keyring_key_fetch('$1')" | grep -qx NULL; }
  wait_for 20 over case@1; wait_for 20 over import@1
  local before all="SELECT HEX(keyring_key_fetch('ssn@2')), HEX(keyring_key_fetch('ssn@3')), HEX(keyring_key_fetch('k')), HEX(keyring_key_fetch('z'))"
  before=$(sql -e "$all")
  stop_server
  echo "{ \"path\": \"$STOCK_FILE\", \"read_only\": false }" > "$STOCK"
  migrate component_keyring_ward component_keyring_file
  SAID=$(cat /tmp/kw-migrate); has "ssn@1"; has "case@1"; has "keyring-ward export"
  chown mysql:mysql "$STOCK_FILE"
  echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"
  start_server
  expect "with the stock component" "$(sql -e "$all")" "$before"
  expect "its list" "$(listed)" "k,ssn@2,ssn@3,z"
  stop_server
  rm -f "$STOCK" "$STOCK_FILE"
}

# ---- kills ---------------------------------------------------------------------------------------

# The server is killed while it rotates: the keyring opens, and every version that was acknowledged is there.
t_kills_of_rotate() {
  with_role component
  local kills; kills=$(many 10 100)
  local i k n killed=0 acknowledged=0 client
  for ((i = 1; killed < kills; i++)); do
    [ $i -lt $((3 * kills)) ] || fail "only $killed of $i servers were killed before the last rotation"
    # As many as a key can have, in turns.
    { for k in 1 2 3 4; do echo "SELECT keyring_ward_key_create('r${i}_$k', $ME, 'AES', 32);"; done
      for ((n = 0; n < 240; n++)); do for k in 1 2 3 4; do echo "SELECT keyring_ward_key_rotate('r${i}_$k', $ME);"; done; done; } > /tmp/kw-rotate
    : > /tmp/kw-rotated
    mysql -uroot -S $SOCKET --batch --skip-column-names --unbuffered < /tmp/kw-rotate >> /tmp/kw-rotated 2>/dev/null & client=$!
    n=$((5 + RANDOM % 200))
    until [ "$(wc -l < /tmp/kw-rotated)" -ge $n ]; do kill -0 $client 2>/dev/null || break; done
    kill_server
    wait $client || killed=$((killed + 1))
    # A line that the kill has cut off was read by nobody.
    sed -n 's/^{"name":"\([^"]*\)","ok":true,"owner":"root@localhost",.*"version":\([0-9]*\)}$/\1@\2/p' /tmp/kw-rotated > /tmp/kw-acknowledged
    [ "$(wc -l < /tmp/kw-acknowledged)" -ge $n ] || fail "kill $i: $(tail -2 /tmp/kw-rotated)"
    keyring-ward list --config $CONFIG > /tmp/kw-list || fail "kill $i: the keyring does not open"
    cut -f1 /tmp/kw-list | LC_ALL=C sort > /tmp/kw-names
    LC_ALL=C sort /tmp/kw-acknowledged | LC_ALL=C comm -23 - /tmp/kw-names > /tmp/kw-lost
    [ ! -s /tmp/kw-lost ] || fail "kill $i lost $(head -3 /tmp/kw-lost)"
    acknowledged=$((acknowledged + $(wc -l < /tmp/kw-acknowledged)))
    start_server || fail "the server does not start after kill $i"
  done
  expect "logical keys" "$(sql -e "SELECT JSON_EXTRACT(keyring_ward_keys(), '\$.count')")" $((4 * (i - 1)))
  for ((k = 1; k < i; k++)); do good "key_rotate('r${k}_1', $ME)"; done
  echo "    $killed kills of a server while it rotates: $acknowledged versions were acknowledged, and every one is there"
}

run_tests "$@"
