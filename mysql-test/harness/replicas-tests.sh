#!/bin/bash
# Keys for replicas: a source and two replicas (row events, GTID), each with a keyring of its own, in one root file system.
#   replicas-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
CARRY=/kw/share/keyring-ward-carry
OWNER=root@localhost

# ---- several servers ---------------------------------------------------------------------------------

socket_of() { echo "/run/mysqld/$1.sock"; }
# on SERVER …: the client at one of them.
on() { local server=$1; shift; mysql -uroot -S "$(socket_of "$server")" --batch --skip-column-names "$@"; }
# one SERVER STATEMENT: a single value.
one() { on "$1" -e "$2" || fail "$1: $2"; }

# A port that nobody uses: the box shares the machine's network.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM))
    (: > "/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo $port; return; }
  done
}

# launch SERVER [OPTION…]: on its own data directory, which is made when it is missing.
launch() {
  local server=$1 number=1 data=$DATA/$1; shift
  case $server in one) number=2 ;; two) number=3 ;; three) number=4 ;; esac
  if [ ! -d "$data" ]; then
    cp -a /var/cache/kw-data "$data"; rm -f "$data/auto.cnf"
    (umask 077; echo "the passphrase of $server" > "$KEYS/$server.passphrase")
    echo "{ \"backend\": \"file\", \"path\": \"$KEYS/$server.ward\", \"start_timeout\": 5, \"file\": { \"passphrase_file\": \"$KEYS/$server.passphrase\" } }" > "$data/component_keyring_ward.cnf"
    chown mysql:mysql "$KEYS/$server.passphrase" "$data/component_keyring_ward.cnf"
    chmod 0640 "$data/component_keyring_ward.cnf"
    free_port > "/tmp/kw-port-$server"
  fi
  touch "/run/mysqld/$server.log"; chown mysql:mysql "/run/mysqld/$server.log"
  # shellcheck disable=SC2086
  mysqld --no-defaults --user=mysql --datadir="$data" --socket="$(socket_of "$server")" --pid-file="/run/mysqld/$server.pid" $SMALL \
    --mysqlx=OFF --bind-address=127.0.0.1 --port="$(cat "/tmp/kw-port-$server")" --server-id=$number --log-error="/run/mysqld/$server.log" \
    --gtid-mode=ON --enforce-gtid-consistency=ON --binlog-format=ROW --log-bin=binlog --skip-replica-start --event-scheduler=OFF "$@" &
  echo $! > "/tmp/kw-pid-$server"
  wait_for 120 mysqladmin -uroot -S "$(socket_of "$server")" ping || { tail -5 "/run/mysqld/$server.log" >&2; fail "$server does not start"; }
}

halt() { local pid; pid=$(cat "/tmp/kw-pid-$1"); kill "$pid"; wait_for 60 sh -c "! kill -0 $pid" || fail "$1 does not end"; }

# The same statements on one server alone: nothing of it is replicated.
alone() { { echo 'SET SESSION sql_log_bin = 0;'; cat; } | on "$1" || fail "$1: the SQL functions"; }
functions_on() {
  alone "$1" < /kw/share/install.sql
  alone "$1" << 'SQL'
INSTALL PLUGIN keyring_udf SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_fetch RETURNS STRING SONAME 'keyring_udf.so';
SQL
}

# follow REPLICA SOURCE
follow() {
  one "$1" "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$(cat "/tmp/kw-port-$2"), SOURCE_USER='repl', SOURCE_PASSWORD='repl', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1; START REPLICA; SET GLOBAL super_read_only = ON"
}
# caught_up REPLICA SOURCE: it has executed all that the source has.
caught_up() {
  local all; all=$(one "$2" 'SELECT @@GLOBAL.gtid_executed')
  expect "$1 catches up" "$(one "$1" "SELECT WAIT_FOR_EXECUTED_GTID_SET('${all//$'\n'/}', 120)")" 0
}

# A source, and replicas that follow it; each has the SQL functions, the schema comes from the source.
cluster() {
  reset_all
  echo '{ "read_local_config": true }' > "$CONFIG"
  component_manifest
  [ -d /var/cache/kw-data ] || { fresh_data; find "$DATA" -mindepth 1 -delete; }
  rm -f /tmp/kw-port-* /tmp/kw-pid-*
  local server
  launch source; functions_on source
  on source -e "CREATE USER repl@'%' IDENTIFIED BY 'repl'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'"
  on source < /kw/share/keyring_ward.sql > /dev/null || fail "share/keyring_ward.sql"
  for server; do launch "$server"; functions_on "$server"; follow "$server" source; done
}

# said SERVER 'CALL': the answer of a SQL function, which is done.
said() { SAID=$(on "$1" -e "SELECT keyring_ward_$2") || fail "$1: $2"; case "$SAID" in *'"ok":true'*) ;; *) fail "$1: $2: $SAID" ;; esac; }
member() { printf '%s' "$SAID" | sed 's/.*"'"$1"'":"\{0,1\}\([^",}]*\).*/\1/'; }
# refused SERVER KIND 'CALL'
refused() { SAID=$(on "$1" -e "SELECT keyring_ward_$3") || fail "$1: $3"; case "$SAID" in *'"kind":"'"$2"'"'*) ;; *) fail "$1: $3 is not $2: $SAID" ;; esac; }

# hand_over REPLICA…: from the source, as docs/guide/replicas.md tells.
hand_over() {
  local from=$1 public print message fingerprint replica; shift
  for replica; do
    said "$replica" "transport_request('replicas')"; public=$(member public); print=$(member fingerprint)
    said "$from" "transport_new('replicas', '$public')"
    expect "the request's fingerprint at the source" "$(member request_fingerprint)" "$print"
    message=$(member message); fingerprint=$(printf '%s' "$SAID" | sed 's/.*"fingerprint":"\([^"]*\)","messages.*/\1/')
    refused "$replica" InvalidInput "transport_accept('$message')"
    said "$replica" "transport_accept('$message', '$fingerprint')"
    said "$replica" "transport_accept('$message', '$fingerprint')"
    case "$SAID" in *'"new":false'*) ;; *) fail "accepted twice: $SAID" ;; esac
  done
}

list_replica() { one "$1" "INSERT INTO keyring_ward.replicas (server_uuid, name) VALUES ('$(one "$2" 'SELECT @@server_uuid')', '$2')"; }
option_file() { (umask 077; printf '[client]\nuser=root\nsocket=%s\n' "$(socket_of "$1")" > "/tmp/kw-$1.cnf"); echo "/tmp/kw-$1.cnf"; }
# carry SOURCE REPLICA…
carry() {
  local files=() server
  for server; do files+=("$(option_file "$server")"); done
  sh "$CARRY" "${files[@]}" || return 1
}

rotate() { on "$1" -e "CALL keyring_ward.rotate_key_of('ssn', '$OWNER', ${2:-FALSE})" 2>&1; }
current() { one "$1" "SELECT JSON_EXTRACT(keyring_ward_key_check('ssn', '$OWNER'), '\$.logical.current')"; }
state() { one "$1" "SELECT COALESCE(MAX(v.state), 'absent') FROM JSON_TABLE(JSON_EXTRACT(keyring_ward_key_check('ssn', '$OWNER'), '\$.logical.versions'), '\$[*]' COLUMNS (n INT PATH '\$.version', state VARCHAR(20) PATH '\$.state')) v WHERE v.n = $2"; }

# An application that seals with the current version, and names it beside the value.
application() {
  on source << SQL || fail "the application's schema"
CREATE DATABASE app;
CREATE TABLE app.people (id INT AUTO_INCREMENT PRIMARY KEY, plain VARCHAR(64), iv BINARY(16), version INT, sealed VARBINARY(255));
CREATE TABLE app.ended (x INT);
DELIMITER //
CREATE PROCEDURE app.put() MODIFIES SQL DATA
BEGIN
  DECLARE n INT DEFAULT JSON_EXTRACT(keyring_ward_key_check('ssn', '$OWNER'), '$.logical.current');
  DECLARE p VARCHAR(64) DEFAULT UUID();
  DECLARE i BINARY(16) DEFAULT RANDOM_BYTES(16);
  SET SESSION block_encryption_mode = 'aes-256-cbc';
  INSERT INTO app.people (plain, iv, version, sealed) VALUES (p, i, n, AES_ENCRYPT(p, keyring_key_fetch(CONCAT('ssn@', n)), i));
END //
CREATE PROCEDURE app.work() MODIFIES SQL DATA
BEGIN
  WHILE NOT EXISTS (SELECT 1 FROM app.ended) DO CALL app.put(); END WHILE;
END //
DELIMITER ;
SQL
}
# How many rows there are, and how many of them do not open: with NULL, or with something else.
rows() { one "$1" "SELECT COUNT(*) FROM app.people"; }
unread() { one "$1" "SET SESSION block_encryption_mode = 'aes-256-cbc'; SELECT COUNT(*) FROM app.people WHERE NOT plain <=> CONVERT(AES_DECRYPT(sealed, keyring_key_fetch(CONCAT('ssn@', version)), iv) USING utf8mb4)"; }
all_read() { # all_read SOURCE REPLICA…
  local source=$1 server; shift
  expect "unread at $source" "$(unread "$source")" 0
  for server; do
    caught_up "$server" "$source"
    expect "rows at $server" "$(rows "$server")" "$(rows "$source")"
    expect "unread at $server" "$(unread "$server")" 0
  done
}

# ---- tests ---------------------------------------------------------------------------------------------

# Hand-over beside running servers; rotations under load; a replica that never confirms, that confirms twice, that is new;
# rows that somebody changed.
t_rotation_under_load() {
  cluster one two
  hand_over source one two
  said source "key_create('ssn', '$OWNER', 'AES', 32)"
  one source "UPDATE keyring_ward.settings SET transport_key = 'replicas'"
  list_replica source one; list_replica source two
  one source "CALL keyring_ward.send_key('ssn', '$OWNER')"
  application
  caught_up one source; caught_up two source
  # What this is for: an applier finds no key, and neither does who reads there.
  one source "CALL app.put()"; caught_up one source
  expect "a replica without the key reads" "$(unread one)" 1
  carry source one two || fail "the first version"
  all_read source one two
  expect "confirmations" "$(one source 'SELECT COUNT(*) FROM keyring_ward.key_transport_confirmations')" 2
  carry source one two || fail "confirmed twice"
  expect "confirmations after twice" "$(one source 'SELECT COUNT(*) FROM keyring_ward.key_transport_confirmations')" 2

  local worker version out
  on source -e "CALL app.work()" & worker=$!
  for version in 2 3 4; do
    out=$(rotate source) && fail "switched to $version without its replicas: $out"
    case "$out" in *"2 replicas have not confirmed version $version"*) ;; *) fail "$out" ;; esac
    expect "current while replicas lack it" "$(current source)" $((version - 1))
    caught_up one source; carry source one || fail "carrying from one"
    out=$(rotate source) && fail "switched to $version without two: $out"
    case "$out" in *"1 replicas have not confirmed version $version"*two*) ;; *) fail "$out" ;; esac
    caught_up two source; carry source two || fail "carrying from two"
    out=$(rotate source) || fail "the rotation to $version: $out"
    expect "current" "$(current source)" $version
    # Before anybody tells the replicas that it is current, they open what it seals.
    caught_up one source; expect "unread at one" "$(unread one)" 0
    expect "state at one" "$(state one $version)" pending
    caught_up two source; carry source one two || fail "that it is current"
    expect "state at one" "$(state one $version)" active
    expect "state at two" "$(state two $((version - 1)))" deactivated
  done
  one source "INSERT INTO app.ended VALUES (1)"; wait $worker || fail "the application"
  all_read source one two
  echo "    $(rows source) rows under 4 versions, written during 3 rotations: every one is read on the source and both replicas"

  # A row that says somebody has confirmed, and proves nothing; one that is changed; one that brings a transport key.
  out=$(rotate source) && fail "no refusal"
  expect "pending" "$(state source 5)" pending
  one source "INSERT INTO keyring_ward.key_transport_confirmations (server_uuid, transport_id, receipt)
    SELECT r.server_uuid, t.id, COALESCE((SELECT c.receipt FROM keyring_ward.key_transport_confirmations c WHERE c.server_uuid = r.server_uuid LIMIT 1), 'x')
    FROM keyring_ward.replicas r JOIN keyring_ward.key_transport t WHERE t.version = 5"
  out=$(rotate source) && fail "old receipts let it through: $out"
  case "$out" in *"2 replicas have not confirmed version 5"*) ;; *) fail "$out" ;; esac
  one source "UPDATE keyring_ward.key_transport SET sealed = CONCAT(LEFT(sealed, 400), 'AAAA', SUBSTR(sealed, 405)) WHERE version = 1;
    INSERT INTO keyring_ward.key_transport (key_name, key_owner, version, transport_key, state, sealed) VALUES ('x', 'y', 1, 'z', 'active', 'garbage')"
  caught_up one source
  carry source one 2> /tmp/kw-carry && fail "carry has nothing to say of changed rows"
  grep -q "KW-0009" /tmp/kw-carry && grep -q "base64" /tmp/kw-carry || fail "$(cat /tmp/kw-carry)"
  expect "the others were taken in all the same" "$(state one 5)" pending
  one source "DELETE FROM keyring_ward.key_transport WHERE version = 1"
  # Forced: the one that never confirms reads nothing of what comes then, until it takes the version in.
  out=$(rotate source TRUE) || fail "forced: $out"
  one source "CALL app.put()"; caught_up two source
  expect "unread at two" "$(unread two)" 1
  carry source one two || fail "carrying afterwards"
  all_read source one two

  # A replica that is new: it asks for the same transport key, and gets every version.
  launch three; functions_on three; follow three source; caught_up three source
  [ "$(unread three)" = "$(rows three)" ] || fail "a new replica has keys"
  hand_over source three
  one source "CALL keyring_ward.send_key('ssn', '$OWNER')"; list_replica source three
  caught_up three source; carry source one two three || fail "carrying to three"
  all_read source one two three
  expect "current at three" "$(current three)" 5
}

# The source is gone; a replica takes its place, and rotates for the others.
t_promotion() {
  cluster one two
  hand_over source one two
  said source "key_create('ssn', '$OWNER', 'AES', 32)"
  one source "UPDATE keyring_ward.settings SET transport_key = 'replicas'"
  list_replica source one; list_replica source two
  one source "CALL keyring_ward.send_key('ssn', '$OWNER')"
  application
  caught_up one source; caught_up two source; carry source one two || fail "the first version"
  rotate source > /dev/null && fail "switched without its replicas"
  caught_up one source; caught_up two source; carry source one two || fail "the second"
  rotate source > /dev/null || fail "rotation"
  one source "CALL app.put()"; caught_up one source; caught_up two source; carry source one two || fail "current"
  # What confirms them is written at the source, too.
  caught_up one source; caught_up two source
  # A rotation that waits when the source is lost: its version is known there alone.
  rotate source > /dev/null && fail "switched without its replicas"
  expect "pending at the source" "$(state source 3)" pending
  expect "a replica's events" "$(on one -e "CALL keyring_ward.check()" | grep -c "^event .*	ok	A replica runs no events")" 3
  halt source
  one one "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF, read_only = OFF"
  # What came disabled stays so, and it is more than a warning.
  on one -e "CALL keyring_ward.check()" | grep "^event " > /tmp/kw-events
  grep -q "event missed_rotations	failure	It came disabled from a source that this server has no more.*ALTER DEFINER = keyring_ward_definer@localhost EVENT keyring_ward.missed_rotations ENABLE" /tmp/kw-events || fail "$(cat /tmp/kw-events)"
  sed -n 's/.*: \(ALTER .*\)/\1;/p' /tmp/kw-events | on one || fail "the statements that it names"
  expect "enabled" "$(on one -e "CALL keyring_ward.check()" | grep -c "^event .*	ok	Enabled")" 3
  one two "STOP REPLICA; RESET REPLICA ALL"
  follow two one
  expect "current after the promotion" "$(current one)" 2
  one one "CALL app.put()"
  all_read one two
  # The old source is listed no more, two is. Receipts of the old time prove nothing of a new version.
  one one "DELETE FROM keyring_ward.replicas WHERE name = 'one'"
  rotate one > /dev/null && fail "switched without two"
  caught_up two one; carry one two || fail "carrying to the new source"
  rotate one > /dev/null || fail "rotation at the new source"
  expect "current" "$(current one)" 3
  one one "CALL app.put()"
  all_read one two
  # The old source comes back as a replica, with a version 3 of its own that was never current.
  launch source; follow source one; caught_up source one
  expect "unread at the old source" "$(unread source)" 1
  carry one two source 2> /tmp/kw-carry && fail "two versions 3 go by"
  grep -q "is another key here.*keyring_ward_key_drop" /tmp/kw-carry || fail "the way out is not named: $(cat /tmp/kw-carry)"
  said source "key_drop('ssn', '$OWNER', 3)"
  refused source NotFound "key_drop('ssn', '$OWNER', 3)"
  carry one two source || fail "carrying to the old source"
  all_read one two source
  expect "current at the old source" "$(current source)" 3
  echo "    after the promotion the new source's version 3 reached the other replica and the old source"
}

# On a replica a pending version may be one that its source seals with already; and receipts are not for ever.
t_a_version_that_is_used_elsewhere_is_not_dropped() {
  local DEFINER=keyring_ward_definer@localhost out
  cluster one
  hand_over source one
  one source "UPDATE keyring_ward.settings SET transport_key = 'replicas'; CALL keyring_ward.create_key('col'); CREATE DATABASE shop;
    CREATE TABLE shop.t (id INT PRIMARY KEY, v VARBINARY(200)); GRANT SELECT, UPDATE ON shop.t TO $DEFINER; GRANT EXECUTE ON shop.* TO $DEFINER;
    CREATE DEFINER = $DEFINER PROCEDURE shop.put(IN n INT, IN p VARCHAR(50), OUT sealed VARBINARY(200)) NO SQL SET sealed = keyring_ward_encrypt('col', p);
    CALL shop.put(1, 'one', @v); INSERT INTO shop.t VALUES (1, @v); CALL keyring_ward.register_column('shop', 't', 'v', 'col', NULL, NULL)" > /dev/null
  list_replica source one
  one source "CALL keyring_ward.send_key('col', '$DEFINER')"
  caught_up one source; carry source one || fail "the first version"
  out=$(on source -e "CALL keyring_ward.rotate_key('col')" 2>&1) && fail "switched: $out"
  caught_up one source; carry source one || fail "the second"
  # A receipt counts for an hour.
  expect "an old receipt" "$(on source -e "SET timestamp = UNIX_TIMESTAMP() + 7200; CALL keyring_ward.rotate_key('col')" 2>&1 | grep -c "1 replicas have not confirmed version 2")" 1
  one source "CALL keyring_ward.rotate_key('col')" > /dev/null
  caught_up one source
  # The replica does not know yet that it is current, and has values of it.
  expect "pending there" "$(one one "SELECT JSON_EXTRACT(keyring_ward_key_check('col', '$DEFINER'), '\$.logical.versions[1].state')")" '"pending"'
  out=$(on one -e "CALL keyring_ward.drop_pending('col', 2)" 2>&1) && fail "dropped: $out"
  case "$out" in *"1 values of shop.t.v are sealed with version 2, which is current elsewhere"*) ;; *) fail "$out" ;; esac
  # A replica destroys its own versions, by a look at the same columns.
  said source "key_destroy('col', '$DEFINER', 1, 1)"; on one -e "SELECT keyring_ward_key_destroy('col', '$DEFINER', 1, 1)" > /dev/null
  out=$(on one -e "CALL keyring_ward.destroy_due('col')" 2>&1) && fail "destroyed: $out"
  case "$out" in *"Nothing of col is due"*) ;; *) fail "$out" ;; esac
}

# Key pairs travel like other versions; the private half is served to nobody there either. And a replica may have the keyring as a plugin.
t_pairs_and_the_plugin_role() {
  cluster one
  # The manifest is read at a start: the next server has the plugin.
  mv "$MANIFEST" /tmp/kw-manifest-aside
  launch two --early-plugin-load=keyring_ward.so --loose-keyring-ward-backend=file --loose-keyring-ward-path="$KEYS/two.plugin.ward" --loose-keyring-ward-file-passphrase-file="$KEYS/two.passphrase"
  mv /tmp/kw-manifest-aside "$MANIFEST"
  sed 's/component_keyring_ward.so/keyring_ward.so/' /kw/share/install.sql | alone two
  follow two source
  hand_over source one two
  one source "DO keyring_ward_keypair_generate('p', 'ED25519'), keyring_ward_keypair_generate('r', 'RSA-2048'); UPDATE keyring_ward.settings SET transport_key = 'replicas'"
  said source "key_create('ssn', '$OWNER', 'AES', 32)"
  list_replica source one; list_replica source two
  local key server signature
  for key in p r ssn; do one source "CALL keyring_ward.send_key('$key', '$OWNER')"; done
  caught_up one source; caught_up two source; carry source one two || fail "carrying"
  for server in one two; do
    for key in p r; do
      expect "the public half of $key at $server" "$(one "$server" "SELECT keyring_ward_public_key('$key')")" "$(one source "SELECT keyring_ward_public_key('$key')")"
      signature=$(one "$server" "SELECT HEX(keyring_ward_sign('$key', 'x'))")
      expect "what $server signs with $key" "$(one source "SELECT keyring_ward_signature_verify('$key', 'x', UNHEX('$signature'))")" 1
    done
    expect "a value that the source has sealed, at $server" "$(one "$server" "SELECT keyring_ward_decrypt('ssn', UNHEX('$(one source "SELECT HEX(keyring_ward_encrypt('ssn', 'text'))")'))")" text
  done
  expect "the private half" "$(one one "SELECT keyring_key_fetch('p@1')")" NULL
  # A rotation of a pair waits for both, too.
  on source -e "CALL keyring_ward.rotate_key_of('p', '$OWNER', FALSE)" > /dev/null 2>&1 && fail "switched without the replicas"
  caught_up one source; caught_up two source; carry source one two || fail "carrying the second"
  one source "CALL keyring_ward.rotate_key_of('p', '$OWNER', FALSE)" > /dev/null
  expect "current" "$(one source "SELECT JSON_EXTRACT(keyring_ward_key_check('p', '$OWNER'), '$.logical.current')")" 2
  signature=$(one source "SELECT HEX(keyring_ward_sign('p', 'x'))")
  # Pending versions verify nothing: a replica does when word has come.
  caught_up one source; caught_up two source
  carry source one two || fail "that it is current"
  for server in one two; do expect "verified at $server" "$(one "$server" "SELECT keyring_ward_signature_verify('p', 'x', UNHEX('$signature'))")" 1; done
}

run_tests "$@"
