#!/bin/bash
# What prove says of real data directories, backups and clones: with the right keyring, with yesterday's (before a ROTATE), with
# another server's (other names) and with a twin's (the same names,
# other keys).
#   prove-tests.sh [NAME…]
# Prints the table of docs/guide/prove.md. A cell is the verdict, and it must be the one that the row says.
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
PLACE=/var/cache/kw-prove
ALL="--server-id=1 --log-bin=binlog --binlog-encryption=ON --innodb-redo-log-encrypt=ON --innodb-undo-log-encrypt=ON"

# A keyring of its own for this data directory.
new_keyring() {
  find "$KEYS" -mindepth 1 -delete
  head -c 32 /dev/urandom > "$KEYS/kek"; chown mysql:mysql "$KEYS" "$KEYS/kek"; chmod 600 "$KEYS/kek"
  component_manifest; component_config "\"key_file\": \"$KEYS/kek\""
}
# keep NAME: the keyring as it is now. With its KEK, so that it can be opened later.
keep() { rm -rf "$PLACE/$1"; mkdir -p "$PLACE/$1"; cp -a "$KEYS/." "$PLACE/$1/"; rm -f "$PLACE/$1"/*.lock; }
# prove_with KEYRING OPTION… DIR…: the tool's words go to a file.
prove_with() {
  local keyring=$1; shift
  keyring-ward prove --path "$PLACE/$keyring/keyring.ward" --key-file "$PLACE/$keyring/kek" --user mysql "$@" > /tmp/kw-proof 2>&1
}
verdict() { # verdict KEYRING OPTION… DIR…
  local rc=0
  prove_with "$@" || rc=$?
  case $rc in 0) echo opens ;; 5) echo missing ;; 6) echo wrong ;; 7) echo unreadable ;; *) echo "error $rc" ;; esac
}
# row TITLE "RIGHT YESTERDAY ANOTHER TWIN" DIR…
row() {
  local title=$1 wanted=$2 is=() keyring; shift 2
  for keyring in right yesterday another twin; do
    is+=("$(verdict $keyring --pages "$@")")
    [ "$keyring" != right ] || { cp /tmp/kw-proof /tmp/kw-right; pages=$(sed -n 's/^\([0-9]*\) encrypted pages and blocks are right.*/\1/p' /tmp/kw-proof); }
  done
  echo "    | $title | ${is[0]} | $pages | ${is[1]} | ${is[2]} | ${is[3]} |"
  [ "${is[*]}" = "$wanted" ] || { cat /tmp/kw-right; fail "$title: expected $wanted, got ${is[*]}"; }
}
# only NAME FILE…: a folder with these files of the data directory alone.
only() {
  local name=$1; shift
  rm -rf "$PLACE/$name"; mkdir -p "$PLACE/$name"
  # shellcheck disable=SC2048,SC2086  # patterns
  (cd "$PLACE/whole" && cp -a --parents $* auto.cnf "$PLACE/$name/")
  chown -R mysql:mysql "$PLACE/$name"
}

tables() {
  sql <<'SQL'
CREATE DATABASE d; USE d;
CREATE TABLE numbers (n INT PRIMARY KEY); INSERT INTO numbers WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<600) SELECT n FROM s;
CREATE TABLE t (a INT PRIMARY KEY, b TEXT) ENCRYPTION='Y'; INSERT INTO t SELECT n, REPEAT(SHA2(n,256),5) FROM numbers;
SQL
}
more_tables() {
  sql d <<'SQL'
CREATE TABLE parts (a INT PRIMARY KEY, b TEXT) ENCRYPTION='Y' PARTITION BY HASH(a) PARTITIONS 3; INSERT INTO parts SELECT * FROM t;
CREATE TABLE rtree (a INT PRIMARY KEY, g GEOMETRY NOT NULL SRID 0, SPATIAL INDEX(g)) ENCRYPTION='Y'; INSERT INTO rtree SELECT n, POINT(n, n%37) FROM numbers;
CREATE TABLESPACE general ADD DATAFILE 'general.ibd' ENCRYPTION='Y'; CREATE TABLE g TABLESPACE general ENCRYPTION='Y' AS SELECT * FROM t;
CREATE TABLESPACE was ADD DATAFILE 'was.ibd' ENCRYPTION='Y'; ALTER TABLESPACE was ENCRYPTION='N';
ALTER TABLESPACE mysql ENCRYPTION='Y';
SQL
}
zip_tables() { # zip_tables SIZE…
  local each
  for each; do sql d -e "CREATE TABLE zip$each (a INT PRIMARY KEY, b TEXT) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=$each ENCRYPTION='Y'; INSERT INTO zip$each SELECT * FROM t"; done
}
compressed_tables() {
  local each
  for each in zlib lz4; do sql d -e "CREATE TABLE $each (a INT PRIMARY KEY, b TEXT) COMPRESSION='$each' ENCRYPTION='Y'; INSERT INTO $each SELECT * FROM t"; done
}
sensitive_variable() {
  sql -e "INSTALL COMPONENT 'file://component_test_sensitive_system_variables'; SET PERSIST test_component.sensitive_string_1='of nobody'" \
    || fail "no sensitive variable"
}
rotate() { sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE ROTATE BINLOG MASTER KEY; INSERT INTO d.numbers VALUES (-1)"; }

# The data directory of a server that had its first table, its keyring before and after a rotation, and a twin's: the same names.
make_whole() { # make_whole OPTION…
  new_keyring
  # shellcheck disable=SC2086  # words
  start_server $ALL "$@"; tables
  "${MORE[@]}"
  keep yesterday; rotate; stop_server; keep right
  rm -rf "$PLACE/whole"; cp -a "$DATA" "$PLACE/whole"
  local twin=$PLACE/twin
  rm -rf "$twin"; mkdir -p "$twin"; cp -p "$PLACE/right/kek" "$twin/"; chown mysql:mysql "$twin"
  keyring-ward export --path "$PLACE/right/keyring.ward" --key-file "$PLACE/right/kek" --user mysql --plaintext --to "$twin/clear" >/dev/null 2>&1 || fail "export"
  sed -i 's/"data":"[0-9A-F]\{4\}/"data":"BAD0/g' "$twin/clear"
  keyring-ward import --path "$twin/keyring.ward" --key-file "$twin/kek" --user mysql --from "$twin/clear" >/dev/null || fail "import"
}
make_another() {
  [ ! -d "$PLACE/another" ] || return 0
  fresh_data; new_keyring
  # shellcheck disable=SC2086
  start_server $ALL; tables; stop_server; keep another
}
everything() { more_tables; zip_tables 8 4 1; compressed_tables; sensitive_variable; }

t_every_kind() {
  echo "    | files | the right keyring | encrypted pages opened | yesterday's | another server's | a twin's |"
  echo "    |---|---|---|---|---|---|"
  reset_all; make_another
  reset_all; fresh_data; MORE=(everything); make_whole
  local lost="opens missing missing wrong"
  row "a whole data directory, 16K" "$lost" "$PLACE/whole"
  only kind d/t.ibd; row "a table" "$lost" "$PLACE/kind"
  only kind 'd/parts*'; row "partitions" "$lost" "$PLACE/kind"
  only kind d/zip8.ibd; row "ROW_FORMAT=COMPRESSED, 8K" "$lost" "$PLACE/kind"
  only kind d/zip4.ibd; row "ROW_FORMAT=COMPRESSED, 4K" "$lost" "$PLACE/kind"
  only kind d/zip1.ibd; row "ROW_FORMAT=COMPRESSED, 1K" "$lost" "$PLACE/kind"
  only kind d/zlib.ibd; row "COMPRESSION='zlib'" "$lost" "$PLACE/kind"
  only kind d/lz4.ibd; row "COMPRESSION='lz4'" "$lost" "$PLACE/kind"
  only kind d/rtree.ibd; row "an R-tree" "$lost" "$PLACE/kind"
  only kind general.ibd; row "a general tablespace" "$lost" "$PLACE/kind"
  only kind mysql.ibd; row "the dictionary" "$lost" "$PLACE/kind"
  only kind undo_001 undo_002; row "undo" "$lost" "$PLACE/kind"
  only kind '#innodb_redo'; row "the redo log" "$lost" "$PLACE/kind"
  only kind 'binlog.*'; row "binary logs" "$lost" "$PLACE/kind"
  only kind mysqld-auto.cnf; row "persisted variables (their key never rotates)" "opens opens missing wrong" "$PLACE/kind"
  only kind was.ibd d/numbers.ibd ibdata1; row "files that are not encrypted, or not any more" "opens opens opens opens" "$PLACE/kind"
}

# Two at a time: a server waits for its disk.
initialize_sizes() {
  local size
  for size; do
    # shellcheck disable=SC2086  # words
    mysqld --no-defaults --initialize-insecure --user=mysql --datadir="$PLACE/empty-$size" $SMALL --innodb-page-size="${size}k" \
      --innodb-buffer-pool-size=32M > "$PLACE/empty-$size.log" 2>&1 &
  done
  wait
}

t_page_sizes() {
  local size
  reset_all; make_another; reset_all
  initialize_sizes 4 8; initialize_sizes 32 64
  for size in 4 8 32 64; do
    [ -e "$PLACE/empty-$size/mysql.ibd" ] || fail "initialize with $size K: $(tail -3 "$PLACE/empty-$size.log")"
    reset_all; cp -a "$PLACE/empty-$size/." "$DATA/"
    MORE=(more_tables)
    [ $size -gt 8 ] || MORE=(page_size_with_zip)
    make_whole --innodb-page-size=${size}k --innodb-buffer-pool-size=32M
    row "a data directory of ${size}K pages" "opens missing missing wrong" "$PLACE/whole"
  done
}
page_size_with_zip() { more_tables; zip_tables 2; }

# What changes while it is looked at, and what was copied meanwhile, is never said to be under a missing or wrong key.
t_beside_a_running_server() {
  local i load is
  reset_all; fresh_data; new_keyring
  # shellcheck disable=SC2086
  start_server $ALL; tables
  : > /tmp/kw-load; (while [ -e /tmp/kw-load ] && sql -e "INSERT INTO d.t SELECT MAX(a)+1, REPEAT('x',200) FROM d.t; CREATE TABLE d.c (a INT) ENCRYPTION='Y'; DROP TABLE d.c; ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE ROTATE BINLOG MASTER KEY"; do :; done >/dev/null 2>&1) & load=$!
  mkdir -p "$PLACE/live"; declare -A seen=()
  for ((i = 0; i < $(many 12 200); i++)); do
    is=$(keyring-ward prove "$DATA" --config "$CONFIG" --user mysql > /tmp/kw-proof 2>&1; echo $?)
    seen[$is]=$((${seen[$is]:-0} + 1))
    case $is in 0 | 7) ;; *) rm -f /tmp/kw-load; cat /tmp/kw-proof; fail "beside a server: $is" ;; esac
  done
  rm -f /tmp/kw-load; wait $load 2>/dev/null || true
  # Without rotations of the logs' key: the keyring that is kept behind has no old one of these.
  : > /tmp/kw-load; (while [ -e /tmp/kw-load ] && sql -e "INSERT INTO d.t SELECT MAX(a)+1, REPEAT('x',200) FROM d.t; ALTER INSTANCE ROTATE INNODB MASTER KEY"; do :; done >/dev/null 2>&1) & load=$!
  rm -rf "$PLACE/copy"; cp -a "$DATA" "$PLACE/copy" 2>/dev/null; keep right
  rm -f /tmp/kw-load; wait $load 2>/dev/null || true
  echo "    beside a server under load, with rotations: exit codes $(for is in "${!seen[@]}"; do echo -n "$is × ${seen[$is]} "; done)"
  is=$(verdict right "$PLACE/copy"); echo "    a copy made under load: $is"
  case $is in opens | unreadable) ;; *) cat /tmp/kw-proof; fail "a copy made under load: $is" ;; esac
  sql -e "INSTALL PLUGIN clone SONAME 'mysql_clone.so'"
  rm -rf /var/lib/mysql-keyring/clone; sql -e "CLONE LOCAL DATA DIRECTORY '/var/lib/mysql-keyring/clone'" || fail "no clone"
  is=$(keyring-ward prove /var/lib/mysql-keyring/clone --config "$CONFIG" --user mysql --pages > /tmp/kw-proof 2>&1; echo $?)
  echo "    a clone: exit code $is, $(tail -2 /tmp/kw-proof | head -1)"
  [ "$is" = 0 ] || { cat /tmp/kw-proof; fail "a clone: $is"; }
}

# Right after ROTATE the headers on disk name the old key, and records of the redo log the new one: the server agrees.
t_killed_right_after_a_rotation() {
  reset_all; fresh_data; new_keyring
  start_server --skip-log-bin; tables; stop_server; start_server --skip-log-bin
  keep yesterday
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; INSERT INTO d.numbers VALUES (-1)"; kill_server; keep right
  expect "the right keyring" "$(verdict right "$DATA")" opens
  expect "yesterday's" "$(verdict yesterday "$DATA")" missing
  grep -q 'ib_redo' /tmp/kw-proof || fail "the redo log is not named: $(cat /tmp/kw-proof)"
  cp -a "$PLACE/yesterday/keyring.ward" "$KEYS/keyring.ward"; rm -f "$DATA/keyring_ward.marker"; rm -rf "$PLACE/whole"; cp -a "$DATA" "$PLACE/whole"
  # It finds the record, and does not end by itself for a minute.
  (start_server --skip-log-bin) & wait_for 30 grep -qF "Encryption information in the redo log of space" "$LOG" || fail "the server starts with yesterday's keyring"
  mysqladmin -uroot -S $SOCKET ping >/dev/null 2>&1 && fail "the server answers with yesterday's keyring"
  own_servers | xargs -r kill -9; wait_for 30 no_servers
  echo "    $(grep -o 'Encryption information in the redo log.*' "$LOG" | head -1)"
  find "$DATA" -mindepth 1 -delete; cp -a "$PLACE/whole/." "$DATA/"
  cp -a "$PLACE/right/keyring.ward" "$KEYS/keyring.ward"
  start_server --skip-log-bin || fail "the server does not start with the right keyring"
  expect "rows" "$(sql -e "SELECT COUNT(*) FROM d.t")" 600
}

# A log that was kept from before ROTATE BINLOG MASTER KEY, which removes the key, is told as that; doctor names missing keys.
t_archived_logs_and_doctor() {
  reset_all; fresh_data; new_keyring
  # shellcheck disable=SC2086
  start_server $ALL; tables
  mkdir -p "$PLACE/archive"; cp -a "$DATA/binlog.000001" "$DATA/auto.cnf" "$PLACE/archive/"
  rotate; keep right; stop_server; keep right
  expect "the archive" "$(verdict right "$PLACE/archive")" missing
  grep -q "removed this key by ALTER INSTANCE ROTATE BINLOG MASTER KEY" /tmp/kw-proof || fail "$(cat /tmp/kw-proof)"
  local said name
  said=$(keyring-ward doctor --config "$CONFIG" --datadir "$DATA" --user mysql) || fail "$said"
  grep -q "^ok       MySQL's files: " <<< "$said" || fail "$said"
  name=$(keyring-ward list --config "$CONFIG" --user mysql | awk '/^INNODBKey/ { print $1 }' | sort -t- -k7 -n | tail -1)
  keyring-ward remove --config "$CONFIG" --datadir "$DATA" --user mysql --name "$name" --owner '' --server-key >/dev/null || fail "remove"
  said=$(keyring-ward doctor --config "$CONFIG" --datadir "$DATA" --user mysql) && fail "doctor finds nothing: $said"
  grep "MySQL's files" <<< "$said" | cut -c1-300 | sed 's/^/    /'
  grep -q "the keyring lacks $name, which [0-9]* files need: \./" <<< "$said" || fail "$said"
}

# Old master keys are retired once no file names them. Right after ROTATE and a kill the one before is still named: it stays;
# whoever removes it nevertheless gets it back.
t_old_keys_retire() {
  local tool=(--config "$CONFIG" --datadir "$DATA" --user mysql) names last before i
  reset_all; fresh_data; new_keyring
  start_server --skip-log-bin; tables
  for ((i = 0; i < 4; i++)); do sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"; done
  stop_server; start_server --skip-log-bin
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; INSERT INTO d.numbers VALUES (-1)"; kill_server
  names=$(keyring-ward list "${tool[@]}" | awk '/^INNODBKey/ { print $1 }' | sort -t- -k7 -n)
  last=$(tail -1 <<< "$names") before=$(tail -2 <<< "$names" | head -1)
  keyring-ward key retire "${tool[@]}" "$DATA" > /tmp/kw-retired 2>&1 || { cat /tmp/kw-retired; fail "retire after a kill"; }
  sed 's/^/    /' /tmp/kw-retired
  grep -q "^$before stays: [0-9]* files name it" /tmp/kw-retired || fail "$before is named, and does not stay"
  grep -q "^$last stays" /tmp/kw-retired || fail "the highest does not stay"
  expect "retired after the kill" "$(grep -c '^Retired INNODBKey' /tmp/kw-retired)" 4
  start_server --skip-log-bin || fail "the server does not start after retire"
  expect "rows" "$(sql -e "SELECT COUNT(*) FROM d.t")" 600
  # The same, and the key that is named goes by force: no start. Brought back: a start.
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; INSERT INTO d.numbers VALUES (-2)"; kill_server
  before=$last
  keyring-ward remove "${tool[@]}" --name "$before" --owner '' --server-key > /tmp/kw-removed 2>&1 || { cat /tmp/kw-removed; fail "remove"; }
  keyring-ward prove "$DATA" --config "$CONFIG" --user mysql > /tmp/kw-proof 2>&1 || true
  grep -q "key restore --name $before brings it back" /tmp/kw-proof || { cat /tmp/kw-proof; fail "prove does not name the way back"; }
  # It finds the record, and does not end by itself for a minute.
  (start_server --skip-log-bin) >/dev/null 2>&1 & wait_for 30 grep -qF "Encryption information in the redo log of space" "$LOG" || fail "the server starts without $before"
  mysqladmin -uroot -S $SOCKET ping >/dev/null 2>&1 && fail "the server answers without $before"
  own_servers | xargs -r kill -9; wait_for 30 no_servers
  # The lock lives as long as the last of its threads.
  wait_for 30 keyring-ward key restore "${tool[@]}" --name "$before" >/tmp/kw-restored 2>&1 || { cat /tmp/kw-restored; fail "restore"; }
  start_server --skip-log-bin || fail "the server does not start with the key that came back"
  expect "rows" "$(sql -e "SELECT COUNT(*) FROM d.t")" 600
  # Every header is new after a clean stop: then it goes.
  stop_server
  keyring-ward key retire "${tool[@]}" "$DATA" > /tmp/kw-retired 2>&1 || { cat /tmp/kw-retired; fail "retire after a stop"; }
  grep -q "^Retired $before\." /tmp/kw-retired || { cat /tmp/kw-retired; fail "$before is not retired after a clean stop"; }
  start_server --skip-log-bin || fail "the server does not start after the second retire"
  expect "rows" "$(sql -e "SELECT COUNT(*) FROM d.t")" 600
  keyring-ward key retire "${tool[@]}" "$DATA" > /tmp/kw-retired 2>&1 && fail "retire beside a running server"
  grep -q "key retire --beside-server" /tmp/kw-retired || { cat /tmp/kw-retired; fail "it is not said what to do beside a server"; }
}

mkdir -p "$PLACE"; chown mysql:mysql "$PLACE"
run_tests "$@"
rc=$?
rm -rf "$PLACE"
exit $rc
