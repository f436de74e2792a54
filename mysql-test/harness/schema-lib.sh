# A server with the schema keyring_ward and a table of sealed values: what schema-tests.sh and the rotations of torture.sh share.
# Sourced after server.sh.
SCHEMA=/kw/share/keyring_ward.sql
DEFINER=keyring_ward_definer@localhost

# with_schema [OPTION…]: a server with the SQL functions and the schema.
with_schema() {
  reset_all; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  component_manifest; fresh_data
  start_server "$@"
  functions
  sql < $SCHEMA > /tmp/kw-lacks
}
functions() { install_udf; sql < /kw/share/install.sql; }

call() { sql -e "CALL keyring_ward.$1"; }
one() { sql -e "SELECT $1"; }
current() { one "keyring_ward_key_check('$1', '${2:-$DEFINER}')->>'\$.logical.current'" 2>/dev/null || one "JSON_EXTRACT(keyring_ward_key_check('$1', '${2:-$DEFINER}'), '\$.logical.current')"; }

# sealed_table ROWS: shop.customer with so many rows under the key ssn, each with its clear text beside it, registered.
sealed_table() {
  call "create_key('ssn')"
  sql <<END
    CREATE DATABASE shop;
    CREATE TABLE shop.customer (id INT AUTO_INCREMENT PRIMARY KEY, clear_text VARCHAR(40), ssn VARBINARY(400), ssn_index BINARY(32), changed TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00' ON UPDATE CURRENT_TIMESTAMP);
    GRANT SELECT, UPDATE, TRIGGER ON shop.customer TO $DEFINER; GRANT EXECUTE ON shop.* TO $DEFINER;
    CREATE DEFINER = $DEFINER TRIGGER shop.seal_new BEFORE INSERT ON shop.customer FOR EACH ROW
      SET NEW.ssn = keyring_ward_encrypt('ssn', NEW.clear_text, 'shop.customer.ssn'), NEW.ssn_index = keyring_ward_hmac('ssn', NEW.clear_text);
    CREATE DEFINER = $DEFINER FUNCTION shop.opened(v VARBINARY(400)) RETURNS VARCHAR(40) NO SQL RETURN keyring_ward_decrypt('ssn', v, 'shop.customer.ssn');
    CREATE DEFINER = $DEFINER FUNCTION shop.version_of(v VARBINARY(400)) RETURNS INT NO SQL RETURN keyring_ward_sealed_version(v);
    SET SESSION cte_max_recursion_depth = 2000000;
    INSERT INTO shop.customer (clear_text) WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < $1) SELECT CONCAT('clear text ', a) FROM n;
    CALL keyring_ward.register_column('shop', 'customer', 'ssn', 'ssn', 'shop.customer.ssn', NULL);
END
}
# Every row opens to its clear text; none is NULL. Prints how many there are.
all_open() {
  local counted; counted=$(sql -e "SELECT COUNT(*), SUM(shop.opened(ssn) <=> clear_text) FROM shop.customer WHERE clear_text IS NOT NULL")
  expect "rows that open to their clear text" "${counted#*	}" "${counted%	*}"
  echo "${counted%	*}"
}
under() { sql -e "SELECT COUNT(*) FROM shop.customer WHERE shop.version_of(ssn) = $1"; }
is_sleeping() { [ "$(sql -e "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'")" != 0 ]; }
# stop_at TABLE CONDITION: whoever writes such a row there waits, before it is written.
stop_at() {
  sql -e "CREATE TRIGGER keyring_ward.stop_update BEFORE UPDATE ON keyring_ward.$1 FOR EACH ROW SET NEW.message = IF($2 AND SLEEP(1000), '', NEW.message)
    ; CREATE TRIGGER keyring_ward.stop_insert BEFORE INSERT ON keyring_ward.$1 FOR EACH ROW SET NEW.message = IF($2 AND SLEEP(1000), '', NEW.message)"
}
# The steps of a rotation, each when its work is done and not yet written down, and the middle of the batches: what stop_at takes.
# shellcheck disable=SC2034  # for who sources this
STEPS=("key_rotation_log NEW.state='started'" "key_rotation_log NEW.state='pending'" "key_rotation_log NEW.state='verified'" "key_rotation_log NEW.state='switched'"
  "encrypted_columns NEW.state='reencrypting'" "encrypted_columns NEW.rows_done>=500" "encrypted_columns NEW.state='checking'" "encrypted_columns NEW.state='checked'" "key_rotation_log NEW.state='done'")
go_on() { sql -e "DROP TRIGGER IF EXISTS keyring_ward.stop_update; DROP TRIGGER IF EXISTS keyring_ward.stop_insert"; }

# after_a_kill: the server starts, nothing is lost, and the same call ends what was begun.
after_a_kill() {
  start_server || fail "the server does not start"
  nothing_is_lost
}
nothing_is_lost() {
  go_on
  all_open > /dev/null
  call "rotate_key('ssn')" || fail "it is not rotated"
  expect "the log has one rotation at its end for each version" "$(sql -e "SELECT SUM(state = 'done') - MAX(new_version) + 1, SUM(resumable) FROM keyring_ward.key_rotation_log WHERE key_name = 'ssn' AND state <> 'aborted'")" "0	0"
  expect "under the current one" "$(under "$(current ssn)")" "$(all_open)"
  # Old ones too: they are planned to be destroyed in a month.
  expect "versions" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID REGEXP '^ssn@[0-9]+\$'")" "$(current ssn)"
}

# Clients that write: rows of their own, whose numbers they keep in /tmp/kw-wrote.NUMBER when they are told, and over others' values.
writer() { # writer NUMBER: until the server is gone
  local n=0
  while sql -e "INSERT INTO shop.customer (clear_text) VALUES ('from $1, $n'); SELECT LAST_INSERT_ID(); UPDATE shop.customer SET clear_text = 'changed $n', ssn = shop.sealed('changed $n') WHERE id = 1 + FLOOR(RAND() * 900)" >>"/tmp/kw-wrote.$1" 2>/dev/null; do n=$((n + 1)); done
}
# written FILE…: every row whose number is in them is there.
written() {
  # Read once: a client that was told to end may still write.
  local ids; ids=$(sort -u "$@")
  [ -z "$ids" ] || expect "rows that were told to be written" "$(sql -e "SELECT COUNT(*) FROM shop.customer WHERE id IN ($(paste -sd, <<< "$ids"))")" "$(wc -l <<< "$ids")"
}
with_writers() {
  rm -f /tmp/kw-wrote.*
  sql -e "CREATE DEFINER = $DEFINER FUNCTION shop.sealed(t VARCHAR(40)) RETURNS VARBINARY(400) NO SQL RETURN keyring_ward_encrypt('ssn', t, 'shop.customer.ssn')"
}
