#!/bin/bash
# Values sealed in SQL, blind indexes and key pairs with a real server: what opens what, in which statements, for whom, and that a
# failure is an error of the statement and never NULL.
#   sealed-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
ME="'root@localhost'"

# with_key component|plugin [OPTION…]: with_role, with the key k and the database d.
with_key() {
  with_role "$@"
  sql -e "CREATE DATABASE d"
  admin "key_create('k', $ME, 'AES', 32)"
}
# admin 'CALL': an administration function answers that it is done.
admin() { SAID=$(sql -e "SELECT keyring_ward_$1") || fail "$1"; case "$SAID" in *'"ok":true'*) ;; *) fail "$1: $SAID" ;; esac; }
# is EXPECTED SQL
is() { expect "$2" "$(sql -e "$2" 2>&1)" "$1"; }
# bad TEXT SQL: an error of the statement, with this text.
bad() {
  SAID=$(sql -e "$2" 2>&1) && fail "succeeded: $2: $SAID"
  case "$SAID" in *"ERROR 3200 "*"$1"*) ;; *) fail "no error 3200 with '$1' from $2: $SAID" ;; esac
}
# wrong TEXT SQL: the function does not begin.
wrong() {
  SAID=$(sql -e "$2" 2>&1) && fail "succeeded: $2: $SAID"
  case "$SAID" in *"ERROR 1123 "*"$1"*) ;; *) fail "no error 1123 with '$1' from $2: $SAID" ;; esac
}
as_app() { mysql -uapp -papp -S $SOCKET --batch --skip-column-names -e "$1" 2>&1 | grep -v "Using a password"; }

round_trips() {
  is "hello" "SELECT keyring_ward_decrypt('k', keyring_ward_encrypt('k', 'hello'))"
  is "hello" "SELECT keyring_ward_decrypt('k', keyring_ward_encrypt('k', 'hello', 'd.t.c'), 'd.t.c')"
  is "1	0	78" "SELECT keyring_ward_decrypt('k', keyring_ward_encrypt('k', '', '')) = '', keyring_ward_encrypt('k', 'x') = keyring_ward_encrypt('k', 'x'), LENGTH(keyring_ward_encrypt('k', ''))"
  is "1	1	0" "SELECT keyring_ward_hmac('k', 'x') = keyring_ward_hmac('k', 'x'), LENGTH(keyring_ward_hmac('k', '')) = 32, keyring_ward_hmac('k', 'x') = keyring_ward_hmac('k', 'y')"
  is "C101010000" "SELECT HEX(LEFT(keyring_ward_encrypt('k', 'x'), 5))"
  # NULL is NULL, where it is a value, and nowhere else.
  is "NULL	NULL	NULL	NULL	NULL" "SELECT keyring_ward_encrypt('k', NULL), keyring_ward_decrypt('k', NULL, 'c'), keyring_ward_reencrypt('k', NULL), keyring_ward_hmac('k', NULL), keyring_ward_sealed_version(NULL)"
  bad "argument 1, key, is NULL" "SELECT keyring_ward_encrypt(NULL, 'x')"
  bad "argument 3, context, is NULL" "SELECT keyring_ward_encrypt('k', 'x', (SELECT 'c' FROM DUAL WHERE 1 = 0))"
  bad "KW-0001" "SELECT keyring_ward_encrypt('none', 'x')"
  wrong "takes 2 or 3 arguments" "SELECT keyring_ward_encrypt('k')"
  wrong "plaintext, is text or bytes" "SELECT keyring_ward_encrypt('k', 5)"
  wrong "takes 1 argument" "SELECT keyring_ward_sealed_version('a', 'b')"
  bad "'compromised' or left out" "SELECT keyring_ward_decrypt('k', keyring_ward_encrypt('k', 'x'), '', 'yes')"
  is "LONGBLOB binary varbinary(32) bigint" "CREATE TABLE d.types AS SELECT keyring_ward_encrypt('k','x') e, keyring_ward_hmac('k','x') h, keyring_ward_sealed_version(keyring_ward_encrypt('k','x')) v;
    SELECT CONCAT_WS(' ', UPPER(MAX(IF(COLUMN_NAME='e', DATA_TYPE, ''))), COALESCE(MAX(IF(COLUMN_NAME='e', CHARACTER_SET_NAME, NULL)), 'binary'), MAX(IF(COLUMN_NAME='h', COLUMN_TYPE, '')), MAX(IF(COLUMN_NAME='v', COLUMN_TYPE, ''))) FROM information_schema.COLUMNS WHERE TABLE_NAME='types'"
  # Another type than the function's own is refused, not crashed on.
  local function type
  for function in sealed_version hmac; do for type in STRING INTEGER REAL DECIMAL; do
    case $function$type in sealed_versionINTEGER | hmacSTRING) continue ;; esac
    sql -e "DROP FUNCTION keyring_ward_$function; CREATE FUNCTION keyring_ward_$function RETURNS $type SONAME '$(library)'"
    SAID=$(sql -e "SELECT keyring_ward_$function(${call[$function]})" 2>&1) && fail "$function as $type: $SAID"
    case "$SAID" in *"ERROR 1123 "*"installed wrongly"* | *"ERROR 3952 "*) ;; *) fail "$function as $type: $SAID" ;; esac
  done; done
  expect "the server lives" "$(sql -e "SELECT 1")" 1
}
declare -A call=([sealed_version]="'x'" [hmac]="'k', 'x'")
library() { if [ "$ROLE" = plugin ]; then echo keyring_ward.so; else echo component_keyring_ward.so; fi; }
t_round_trips_of_a_component() { with_key component; round_trips; }
t_round_trips_of_a_plugin() { with_key plugin; round_trips; }

# What is no value, or not this one: an error that stops the statement, with IGNORE and without strict mode as well.
t_what_does_not_open_is_an_error() {
  with_key component
  admin "key_create('other', $ME, 'AES', 32)"
  sql -e "CREATE TABLE d.t (a INT PRIMARY KEY, v VARBINARY(200)); INSERT INTO d.t VALUES (1, keyring_ward_encrypt('k', 'text', 'c'))"
  local tampered
  for tampered in "keyring_ward_decrypt('other', v, 'c')" "keyring_ward_decrypt('k', v)" "keyring_ward_decrypt('k', v, 'C')" "keyring_ward_decrypt('k', LEFT(v, LENGTH(v) - 1), 'c')" \
    "keyring_ward_decrypt('k', INSERT(v, 70, 1, CHAR(ASCII(SUBSTR(v, 70, 1)) ^ 1)), 'c')" "keyring_ward_decrypt('k', CONCAT(v, '\\0'), 'c')" "keyring_ward_reencrypt('k', INSERT(v, 20, 1, CHAR(ASCII(SUBSTR(v, 20, 1)) ^ 1)), 'c')"; do
    bad "KW-0009 Tampered" "SELECT $tampered FROM d.t"
  done
  bad "KW-0003" "SELECT keyring_ward_decrypt('k', 'plain text')"
  bad "KW-0003" "SELECT keyring_ward_decrypt('k', LEFT(v, 77)) FROM d.t"
  bad "KW-0010" "SELECT keyring_ward_decrypt('k', INSERT(v, 2, 1, CHAR(2)), 'c') FROM d.t"
  bad "no version 9" "SELECT keyring_ward_decrypt('k', INSERT(v, 3, 1, CHAR(9)), 'c') FROM d.t"
  bad "KW-0003" "SELECT keyring_ward_sealed_version('x')"
  bad "KW-0009" "SET sql_mode = ''; UPDATE IGNORE d.t SET v = keyring_ward_decrypt('k', v)"
  bad "KW-0009" "INSERT IGNORE INTO d.t SELECT 2, keyring_ward_decrypt('k', v) FROM d.t"
  bad "KW-0009" "SET sql_mode = ''; INSERT INTO d.t VALUES (2, keyring_ward_decrypt('other', (SELECT s.v FROM (SELECT v FROM d.t) s), 'c'))"
  bad "KW-0009" "DELETE FROM d.t WHERE keyring_ward_decrypt('k', v) = 'text'"
  is "1	text" "SELECT COUNT(*), CAST(MAX(keyring_ward_decrypt('k', v, 'c')) AS CHAR) FROM d.t"
  log_has "KW-0009 Tampered"
  expect "errors that an operator must see" "$(grep -c '\[ERROR\].*KW-' "$LOG")" 0
}

t_states_of_versions() {
  with_key component
  sql -e "CREATE TABLE d.t (a INT PRIMARY KEY, v VARBINARY(200)); INSERT INTO d.t VALUES (1, keyring_ward_encrypt('k', 'one'))"
  local index; index=$(sql -e "SELECT HEX(keyring_ward_hmac('k', 'x'))")
  # A prepared statement goes on with the version that is current now.
  is "C10101
C10102" "PREPARE p FROM 'SELECT LEFT(HEX(keyring_ward_encrypt(?, ?, ?)), 6)'; SET @k = 'k', @v = 'x', @c = 'c'; EXECUTE p USING @k, @v, @c; DO keyring_ward_key_rotate('k', $ME); EXECUTE p USING @k, @v, @c"
  is "one	one" "PREPARE p FROM 'SELECT CAST(keyring_ward_decrypt(?, v) AS CHAR), CAST(keyring_ward_decrypt(?, ?) AS CHAR) FROM d.t WHERE keyring_ward_decrypt(?, v) = ?'; SET @k = 'k', @o = 'one'; SELECT v INTO @v FROM d.t; EXECUTE p USING @k, @k, @v, @k, @o"
  # MySQL calls a loadable function within another one while it prepares, before its parameters have values.
  bad "KW-0003" "PREPARE p FROM 'SELECT keyring_ward_hmac(?, keyring_ward_decrypt(?, ?))'; SET @k = 'k'; SELECT v INTO @v FROM d.t; EXECUTE p USING @k, @k, @v"
  is "one" "SELECT keyring_ward_decrypt('k', v) FROM d.t"
  sql -e "UPDATE d.t SET v = keyring_ward_reencrypt('k', v)"
  is "2	one	1" "SELECT keyring_ward_sealed_version(v), CAST(keyring_ward_decrypt('k', v) AS CHAR), keyring_ward_reencrypt('k', v) = v FROM d.t"
  admin "key_rotate('k', $ME)"
  admin "key_compromise('k', $ME, 2)"
  bad "version 2 is compromised" "SELECT keyring_ward_decrypt('k', v) FROM d.t"
  bad "version 2 is compromised" "UPDATE d.t SET v = keyring_ward_reencrypt('k', v)"
  is "one" "SELECT keyring_ward_decrypt('k', v, '', 'compromised') FROM d.t"
  sql -e "CREATE TABLE d.old AS SELECT * FROM d.t; UPDATE d.t SET v = keyring_ward_reencrypt('k', v, '', 'compromised')"
  is "3	one" "SELECT keyring_ward_sealed_version(v), CAST(keyring_ward_decrypt('k', v) AS CHAR) FROM d.t"
  admin "key_hold('k', $ME, 'case 7')"
  is "one" "SELECT keyring_ward_decrypt('k', v) FROM d.t"
  admin "key_release('k', $ME)"
  is "$index" "SELECT HEX(keyring_ward_hmac('k', 'x'))"
  admin "key_rotate_index('k', $ME)"
  [ "$(sql -e "SELECT HEX(keyring_ward_hmac('k', 'x'))")" != "$index" ] || fail "the index is the old one"
  kill_server; start_server
  is "one" "SELECT keyring_ward_decrypt('k', v) FROM d.t"
  # A temporary key whose time is over, and one whose type is no secret.
  admin "key_create('rsa', $ME, 'RSA', 256)"
  bad "KW-0003" "SELECT keyring_ward_encrypt('rsa', 'x')"
}

# Views, routines, triggers, events: whose key it is, and what MySQL does not allow.
t_programs() {
  with_key component
  sql -e "CREATE USER app IDENTIFIED BY 'app'; GRANT ALL ON d.* TO app"
  admin "key_create('k', 'app@%', 'AES', 32)"
  sql --delimiter=// -e "CREATE TABLE d.c (id INT PRIMARY KEY, name VARCHAR(50), ssn VARBINARY(200), ssn_index BINARY(32), KEY (ssn_index))//
    CREATE TRIGGER d.i BEFORE INSERT ON d.c FOR EACH ROW SET NEW.ssn_index = keyring_ward_hmac('k', NEW.ssn), NEW.ssn = keyring_ward_encrypt('k', NEW.ssn, 'd.c.ssn')//
    CREATE PROCEDURE d.inv(v VARBINARY(200)) SQL SECURITY INVOKER SELECT CAST(keyring_ward_decrypt('k', v) AS CHAR)//
    CREATE PROCEDURE d.def(v VARBINARY(200)) SQL SECURITY DEFINER CALL d.inv(v)//
    CREATE FUNCTION d.f(s VARBINARY(200)) RETURNS VARBINARY(200) READS SQL DATA RETURN keyring_ward_encrypt('k', s)//
    CREATE PROCEDURE d.handler() BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @seen = 1; DO keyring_ward_decrypt('k', 'junk'); SELECT @seen; END//
    CREATE VIEW d.v AS SELECT id, CAST(keyring_ward_decrypt('k', ssn, 'd.c.ssn') AS CHAR) ssn FROM d.c//
    INSERT INTO d.c (id, name, ssn) VALUES (1, 'a', '123'), (2, 'b', '456'), (3, 'c', '123'), (4, 'd', NULL)//"
  is "1 3" "SELECT GROUP_CONCAT(id ORDER BY id SEPARATOR ' ') FROM d.c WHERE ssn_index = keyring_ward_hmac('k', '123')"
  is "123,456,123" "SELECT GROUP_CONCAT(ssn ORDER BY id) FROM d.v"
  is "1" "CALL d.handler()"
  # The trigger and the function are root's; the view is the selecting account's; an invoker's procedure is whoever calls it.
  expect "app inserts through root's trigger" "$(as_app "INSERT INTO d.c (id, ssn) VALUES (5, '789')")" ""
  is "789" "SELECT ssn FROM d.v WHERE id = 5"
  case "$(as_app "SELECT * FROM d.v")" in *"ERROR 3200"*"KW-0009"*) ;; *) fail "the view opened root's values for app" ;; esac
  expect "each by its own" "$(as_app "SET @a = keyring_ward_encrypt('k', 'of app'), @r = d.f('of root'); CALL d.inv(@a); CALL d.def(@r); CALL d.inv(@a)")" "of app
of root
of app"
  case "$(as_app "SET @r = d.f('of root'); CALL d.def(@r); CALL d.inv(@r)")" in "of root"*"ERROR 3200"*) ;; *) fail "app opened root's value" ;; esac
  # An event acts for its definer.
  sql -e "SET GLOBAL event_scheduler = ON; CREATE EVENT d.e ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO d.c (id, ssn) VALUES (6, 'event')"
  wait_for 30 sh -c "[ \"\$(mysql -uroot -S $SOCKET -N -e 'SELECT COUNT(*) FROM d.c WHERE id = 6')\" = 1 ]" || fail "the event did nothing: $(tail -3 "$LOG")"
  is "event" "SELECT ssn FROM d.v WHERE id = 6"
  sql_fails 3763 "CREATE TABLE d.g (a INT, b VARBINARY(200) AS (keyring_ward_encrypt('k', a)))"
  sql_fails 3770 "CREATE TABLE d.g (a INT, b VARBINARY(200) DEFAULT (keyring_ward_encrypt('k', 'x')))"
  sql_fails 3814 "CREATE TABLE d.g (a INT, CHECK (keyring_ward_hmac('k', 'x') IS NOT NULL))"
  sql_fails 3758 "CREATE INDEX g ON d.c ((keyring_ward_hmac('k', name)))"
  is "3" "SELECT COUNT(DISTINCT keyring_ward_decrypt('k', ssn, 'd.c.ssn')) FROM d.c WHERE id IN (1, 2, 3, 5)"
  is "123 2" "SELECT CONCAT(CAST(p AS CHAR) , ' ', COUNT(*)) FROM (SELECT keyring_ward_decrypt('k', ssn, 'd.c.ssn') p FROM d.c WHERE id IN (1, 3)) s GROUP BY p"
}

# Plaintext is bytes as they are; keys and contexts are the same in every character set.
t_character_sets() {
  with_key component
  admin "key_create('clé', $ME, 'AES', 32)"
  sql -e "CREATE TABLE d.t (l VARCHAR(20) CHARACTER SET latin1, u VARCHAR(20) CHARACTER SET utf8mb4, w VARCHAR(20) CHARACTER SET utf16); INSERT INTO d.t VALUES ('Größe', 'Größe', 'Größe')"
  is "4772F6DF65 4772C3B6C39F65 0047007200F600DF0065" "SELECT CONCAT_WS(' ', HEX(keyring_ward_decrypt('k', keyring_ward_encrypt('k', l))), HEX(keyring_ward_decrypt('k', keyring_ward_encrypt('k', u))), HEX(keyring_ward_decrypt('k', keyring_ward_encrypt('k', w)))) FROM d.t"
  is "0	1" "SELECT keyring_ward_hmac('k', l) = keyring_ward_hmac('k', u), keyring_ward_hmac('k', CONVERT(l USING utf8mb4)) = keyring_ward_hmac('k', u) FROM d.t"
  is "x	x" "SELECT CAST(keyring_ward_decrypt('k', keyring_ward_encrypt('k', 'x', l), u) AS CHAR), CAST(keyring_ward_decrypt('k', keyring_ward_encrypt('k', 'x', u), w) AS CHAR) FROM d.t"
  expect "a key's name in latin1" "$(printf "SET NAMES latin1; SELECT CAST(keyring_ward_decrypt('cl\351', keyring_ward_encrypt(_utf8mb4'cl\303\251', 'x')) AS CHAR)" | sql)" x
  is "Größe" "SET NAMES utf8mb4; SELECT CONVERT(keyring_ward_decrypt('k', keyring_ward_encrypt('k', u)) USING utf8mb4) FROM d.t"
  is "2026-01-02 1.50" "SELECT CONCAT_WS(' ', CAST(keyring_ward_decrypt('k', keyring_ward_encrypt('k', DATE'2026-01-02')) AS CHAR), CAST(keyring_ward_decrypt('k', keyring_ward_encrypt('k', CAST(1.50 AS CHAR))) AS CHAR))"
}

t_large_values() {
  with_key component --max-allowed-packet=64M
  is "1" "SET @v = REPEAT(RANDOM_BYTES(1024), 16384); SELECT keyring_ward_decrypt('k', keyring_ward_encrypt('k', @v, 'c'), 'c') = @v AND LENGTH(@v) = 16777216"
  bad "the limit is" "SET @v = REPEAT(RANDOM_BYTES(1024), 16385); DO keyring_ward_encrypt('k', @v)"
  bad "the most are 16777216" "SET @v = CONCAT(REPEAT(RANDOM_BYTES(1024), 16384), 'x'); DO keyring_ward_encrypt('k', @v)"
  sql -e "SET @c = REPEAT('c', 4096); DO keyring_ward_encrypt('k', 'x', @c)"
  bad "the limit is 4096" "SET @c = REPEAT('c', 4097); DO keyring_ward_encrypt('k', 'x', @c)"
  sql -e "CREATE TABLE d.t (a INT PRIMARY KEY, v LONGBLOB); INSERT INTO d.t VALUES (1, keyring_ward_encrypt('k', REPEAT('x', 16777216))), (2, keyring_ward_encrypt('k', 'small'))"
  is "16777216,5" "SELECT GROUP_CONCAT(LENGTH(keyring_ward_decrypt('k', v)) ORDER BY a) FROM d.t"
}

# A statement would get into the binary log with its plaintext; a replica's applier is nobody's account.
t_statements_and_appliers() {
  with_key component --log-bin=binlog --server-id=1 --skip-networking=OFF --port=3311 --bind-address=127.0.0.1
  local f
  for f in "encrypt('k', 'x')" "decrypt('k', 'x')" "reencrypt('k', 'x')" "hmac('k', 'x')" "sign('k', 'x')" "public_key('k')" "signature_verify('k', 'x', 'y')" "keypair_generate('p', 'ED25519')"; do
    wrong "binlog_format is STATEMENT" "SET SESSION binlog_format = 'STATEMENT'; DO keyring_ward_$f"
    wrong "binlog_rows_query_log_events is ON" "SET SESSION binlog_rows_query_log_events = ON; DO keyring_ward_$f"
  done
  is "1" "SET SESSION binlog_format = 'MIXED'; SELECT LENGTH(keyring_ward_encrypt('k', 'x')) = 79"
  sql -e "CREATE TABLE d.t (a INT PRIMARY KEY, v VARBINARY(200)); SET SESSION binlog_format = 'MIXED'; INSERT INTO d.t VALUES (1, keyring_ward_encrypt('k', 'the plaintext of a row'))"
  sql -e "FLUSH BINARY LOGS"
  ! grep -q "the plaintext of a row" $DATA/binlog.* || fail "the binary log has the plaintext"
  sql -e "CREATE USER repl@127.0.0.1 IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@127.0.0.1; CREATE TABLE d.r (a INT PRIMARY KEY, h BINARY(32))"
  # A second server, whose keyring is the first one's, and so disabled: who calls is looked at before.
  local second=/var/cache/kw-replica replica
  rm -rf $second; cp -a /var/cache/kw-data $second; rm -f $second/auto.cnf
  # shellcheck disable=SC2086
  mysqld --no-defaults --user=mysql --datadir=$second --socket=/run/mysqld/second.sock --pid-file=/run/mysqld/second.pid --skip-networking --mysqlx=OFF $SMALL \
    --log-error=/run/mysqld/second.log --server-id=2 --log-bin=binlog & replica=$!
  second() { mysql -uroot -S /run/mysqld/second.sock --batch --skip-column-names "$@"; }
  wait_for 60 mysqladmin -uroot -S /run/mysqld/second.sock ping || fail "the second server: $(tail -3 /run/mysqld/second.log)"
  second -e "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=3311, SOURCE_USER='repl', SOURCE_PASSWORD='r', GET_SOURCE_PUBLIC_KEY=1; START REPLICA"
  wait_for 60 sh -c "mysql -uroot -S /run/mysqld/second.sock -N -e 'SELECT a FROM d.r' " || fail "the replica: $(second -e "SHOW REPLICA STATUS" | cut -c1-900)"
  is "1" "SELECT LENGTH(v) = 100 FROM d.t"
  expect "a row arrives as it was sealed" "$(second -e "SELECT HEX(v) FROM d.t")" "$(sql -e "SELECT HEX(v) FROM d.t")"
  second -e "SET sql_log_bin = 0; CREATE TRIGGER d.h BEFORE INSERT ON d.r FOR EACH ROW SET NEW.h = keyring_ward_hmac('k', 'x')"
  sql -e "SET SESSION binlog_format = 'STATEMENT'; INSERT INTO d.r (a) VALUES (1)"
  said() { second -e "SELECT MAX(LAST_ERROR_MESSAGE) FROM performance_schema.replication_applier_status_by_worker"; }
  refused() { said | grep -q "KW-0013 Denied: Could not use a key: a replication applier calls"; }
  wait_for 30 refused || fail "the applier was served: $(said)"
  # Nor may it administer: its privileges say nothing.
  sql -e "CREATE TABLE d.x (a INT PRIMARY KEY, h VARCHAR(999))"
  second -e "SET sql_log_bin = 0; DROP TRIGGER d.h; STOP REPLICA; START REPLICA"
  wait_for 60 sh -c "mysql -uroot -S /run/mysqld/second.sock -N -e 'SELECT a FROM d.x' " || fail "the replica goes on: $(said)"
  second -e "SET sql_log_bin = 0; CREATE TRIGGER d.y BEFORE INSERT ON d.x FOR EACH ROW SET NEW.h = keyring_ward_key_rotate('k', 'root@localhost')"
  sql -e "SET SESSION binlog_format = 'STATEMENT'; INSERT INTO d.x (a) VALUES (1)"
  refused() { said | grep -q "KW-0013 Denied: Could not administer keys: a replication applier calls"; }
  wait_for 30 refused || fail "the applier administers: $(said)"
  kill $replica; wait $replica || true; rm -rf $second
}

# What moves keys moves what opens values.
t_keys_move() {
  with_key component
  sql -e "CREATE USER app IDENTIFIED BY 'app'; GRANT ALL ON d.* TO app; CREATE TABLE d.t (v VARBINARY(200), h BINARY(32))"
  admin "key_create('moved', 'old@%', 'AES', 32)"
  sql -e "CREATE USER 'old'@'%'; GRANT ALL ON d.* TO 'old'@'%'"
  mysql -uold -S $SOCKET -e "INSERT INTO d.t VALUES (keyring_ward_encrypt('moved', 'text', 'c'), keyring_ward_hmac('moved', 'text'))" || fail "old"
  admin "key_rotate('moved', 'old@%')"
  stop_server
  keyring-ward reown --config "$CONFIG" --datadir $DATA --from 'old@%' --to 'app@%' > /tmp/kw-moved || fail "reown"
  start_server
  expect "reown" "$(as_app "SELECT CAST(keyring_ward_decrypt('moved', v, 'c') AS CHAR), h = keyring_ward_hmac('moved', 'text') FROM d.t")" "text	1"
  # A version that was destroyed, and brought back.
  stop_server
  keyring-ward key destroy --config "$CONFIG" --datadir $DATA --name moved --owner 'app@%' --version 1 --days 1 > /dev/null || fail "plan"
  start_server
  expect "planned" "$(as_app "SELECT CAST(keyring_ward_decrypt('moved', v, 'c') AS CHAR) FROM d.t")" "text"
  # Into another keyring file, by import.
  stop_server
  cp "$CONFIG" /tmp/kw-old.cnf; mv "$KEYS/keyring.ward" "$KEYS/old.ward"; sed -i "s/keyring.ward/old.ward/" /tmp/kw-old.cnf
  rm -f $DATA/keyring_ward.marker
  keyring-ward import --config "$CONFIG" --from-config /tmp/kw-old.cnf > /tmp/kw-moved 2>&1 || fail "import: $(tail -2 /tmp/kw-moved)"
  chown mysql:mysql "$KEYS"/keyring.ward*
  start_server
  expect "import" "$(as_app "SELECT CAST(keyring_ward_decrypt('moved', v, 'c') AS CHAR), h = keyring_ward_hmac('moved', 'text') FROM d.t")" "text	1"
}

# MySQL's migration knows names and bytes alone: values open again when the versions are one logical key with its id. And our clear-text
# file keeps it, also while the stock component serves from it.
t_an_id_is_lost_and_comes_back() {
  with_key component
  local id values="CAST(keyring_ward_decrypt('ssn', a, 'c') AS CHAR), CAST(keyring_ward_decrypt('ssn', b, 'c') AS CHAR)" stock=$KEYS/component_keyring_file
  admin "key_create('ssn', $ME, 'AES', 32)"
  sql -e "CREATE TABLE d.t (a VARBINARY(200), b VARBINARY(200), h BINARY(32)) ENCRYPTION = 'Y';
    INSERT INTO d.t (a, h) VALUES (keyring_ward_encrypt('ssn', 'one', 'c'), keyring_ward_hmac('ssn', 'one'))"
  admin "key_rotate('ssn', $ME)"
  sql -e "UPDATE d.t SET b = keyring_ward_encrypt('ssn', 'two', 'c')"
  id=$(sql -e "SELECT JSON_UNQUOTE(k.id) FROM JSON_TABLE(keyring_ward_keys(), '\$.keys[*]' COLUMNS (name TEXT PATH '\$.name', id JSON PATH '\$.id')) k WHERE k.name = 'ssn'")
  stop_server
  echo "{ \"path\": \"$stock\", \"read_only\": false }" > "$PLUGINS/component_keyring_file.cnf"
  # By the clear-text file, from which the stock component serves and into which it writes.
  keyring-ward export --plaintext --config "$CONFIG" --datadir $DATA --to "$stock" > /tmp/kw-exported 2>&1 || fail "export: $(cat /tmp/kw-exported)"
  grep -q "$id" "$stock" || fail "the export has no id"
  chown mysql:mysql "$stock"
  echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"
  start_server
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; DO keyring_key_generate('more', 'AES', 16)"
  is "32	32	16" "SELECT keyring_key_length_fetch('ssn@1'), keyring_key_length_fetch('ssn@2'), keyring_key_length_fetch('more')"
  stop_server
  grep -q "more" "$stock" || fail "the stock component has written nothing"
  mv "$KEYS/keyring.ward" /tmp/kw-left.ward; rm -f "$KEYS"/keyring.ward* $DATA/keyring_ward.marker
  keyring-ward import --config "$CONFIG" --from "$stock" > /tmp/kw-imported 2>&1 || fail "import: $(cat /tmp/kw-imported)"
  chown mysql:mysql "$KEYS"/keyring.ward*
  component_manifest; start_server
  is "one	two	1" "SELECT $values, h = keyring_ward_hmac('ssn', 'one') FROM d.t"
  stop_server
  # By MySQL's own tool, there and back.
  rm -f "$stock"
  migrate component_keyring_ward component_keyring_file
  rm -f "$KEYS"/keyring.ward* $DATA/keyring_ward.marker
  migrate component_keyring_file component_keyring_ward
  chown mysql:mysql "$KEYS"/keyring.ward*
  start_server
  bad "adopt them with it" "SELECT $values FROM d.t"
  bad "KW-0001" "SELECT $values FROM d.t"
  admin "key_adopt('ssn', $ME, '{\"versions\": true, \"id\": \"$id\"}')"
  is "one	two	0" "SELECT $values, h = keyring_ward_hmac('ssn', 'one') FROM d.t"
  # The id is another key's.
  sql -e "DO keyring_key_generate('x@1', 'AES', 32)"
  SAID=$(sql -e "SELECT keyring_ward_key_adopt('x', $ME, '{\"versions\": true, \"id\": \"$id\"}')")
  case "$SAID" in *AlreadyExists*"has this id"*) ;; *) fail "$SAID" ;; esac
  # Without it nothing opens, and the error says why.
  admin "key_adopt('x', $ME, '{\"versions\": true}')"
  bad "key adopt --id" "SELECT keyring_ward_decrypt('x', a, 'c') FROM d.t"
  stop_server
  rm -f "$stock" "$PLUGINS/component_keyring_file.cnf" /tmp/kw-left.ward
}
migrate() { mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring="$1" --destination-keyring="$2" > /tmp/kw-migrate 2>&1 || fail "$(tail -5 /tmp/kw-migrate)"; }

t_key_pairs() {
  with_key component
  local type pem
  for type in RSA-2048 rsa-3072 ED25519; do
    pem=$(sql --raw -e "SELECT keyring_ward_keypair_generate('p-$type', '$type')") || fail "$type"
    expect "the public half" "$(sql --raw -e "SELECT keyring_ward_public_key('p-$type')")" "$pem"
    printf '%s\n' "$pem" > /tmp/kw-pub.pem; printf 'the data' > /tmp/kw-signed
    sql -e "SELECT HEX(keyring_ward_sign('p-$type', 'the data'))" | perl -ne 'chomp; print pack "H*", $_' > /tmp/kw-signature
    case $type in
      ED25519) openssl pkeyutl -verify -pubin -inkey /tmp/kw-pub.pem -rawin -sigfile /tmp/kw-signature -in /tmp/kw-signed ;;
      *) openssl dgst -sha256 -verify /tmp/kw-pub.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -signature /tmp/kw-signature /tmp/kw-signed ;;
    esac > /tmp/kw-openssl 2>&1 || fail "openssl: $(cat /tmp/kw-openssl)"
    is "1	0	0" "SELECT keyring_ward_signature_verify('p-$type', 'the data', keyring_ward_sign('p-$type', 'the data')), keyring_ward_signature_verify('p-$type', 'other', keyring_ward_sign('p-$type', 'the data')), keyring_ward_signature_verify('p-$type', 'the data', 'x')"
    admin "key_check('p-$type', $ME)"
    case "$SAID" in *'"pair":"'"${type^^}"'"'*) ;; *) fail "$SAID" ;; esac
  done
  # Nothing gives the private half, under no name; and the log says why.
  sql_null "SELECT keyring_key_fetch('p-ED25519@1')"
  log_has "private half of a key pair"
  sql_null "SELECT keyring_key_fetch('p-ED25519')"
  admin "key_set('p-ED25519', $ME, '{\"follow\": true}')"
  sql_null "SELECT keyring_key_fetch('p-ED25519')"
  bad "KW-0003" "SELECT keyring_ward_encrypt('p-ED25519', 'x')"
  bad "KW-0003" "SELECT keyring_ward_sign('k', 'x')"
  bad "KW-0002" "SELECT keyring_ward_keypair_generate('p-ED25519', 'ED25519')"
  bad "no type" "SELECT keyring_ward_keypair_generate('q', 'RSA-1024')"
  # Not for everybody, and one at a time: an RSA pair costs seconds of a processor.
  sql -e "CREATE USER nobody"
  SAID=$(mysql -unobody -S $SOCKET -NBe "SELECT keyring_ward_keypair_generate('q', 'ED25519')" 2>&1) && fail "made by anybody: $SAID"
  case "$SAID" in *"ERROR 3200 "*"Denied"*"KEYRING_WARD_USE"*) ;; *) fail "$SAID" ;; esac
  { for type in 1 2 3 4 5 6; do sql -e "DO keyring_ward_keypair_generate('busy-$type', 'RSA-4096')"; done; } > /dev/null 2>&1 & local busy=$!
  wait_for 60 sh -c "mysql -uroot -S $SOCKET -e \"DO keyring_ward_keypair_generate(UUID(), 'ED25519')\" 2>&1 | grep -q 'KW-0007 Locked.*one at a time'" || fail "two are made at once"
  wait $busy || true
  is "NULL	NULL	NULL" "SELECT keyring_ward_sign('p-ED25519', NULL), keyring_ward_signature_verify('p-ED25519', NULL, 'x'), keyring_ward_signature_verify('p-ED25519', 'x', NULL)"
  # After a rotation the old signature still verifies, and the old public half can be had.
  is "1	1	0" "SET @s = keyring_ward_sign('p-ED25519', 'x'), @p = keyring_ward_public_key('p-ED25519'); DO keyring_ward_key_rotate('p-ED25519', $ME);
    SELECT keyring_ward_signature_verify('p-ED25519', 'x', @s), keyring_ward_public_key('p-ED25519', 1) = @p, keyring_ward_public_key('p-ED25519', 1) = keyring_ward_public_key('p-ED25519')"
  stop_server
  keyring-ward export --plaintext --config "$CONFIG" --datadir $DATA --to /tmp/kw-export.json > /tmp/kw-exported 2>&1 || fail "export: $(cat /tmp/kw-exported)"
  grep -q "left out" /tmp/kw-exported && ! grep -q 'p-ED' /tmp/kw-export.json || fail "the export: $(cat /tmp/kw-exported)"
  rm -f /tmp/kw-export.json
  start_server
  is "1" "SELECT keyring_ward_signature_verify('p-ED25519', 'x', keyring_ward_sign('p-ED25519', 'x'))"
}

# Nothing is left behind: every function goes with uninstall.sql, and the log of a shutdown is clean.
t_everything_goes() {
  with_key component
  sql < /kw/share/uninstall.sql
  is 0 "SELECT COUNT(*) FROM mysql.func WHERE name LIKE 'keyring_ward_%'"
  stop_server
  ! grep '\[ERROR\]' "$LOG" || fail "errors in the log"
}

run_tests "$@"
