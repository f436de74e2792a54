#!/bin/bash
# Tests with a real server that mysql-test-run can't do: start as root, --daemonize, Docker's start
# sequence, --initialize, two servers, disabled keyrings, damaged files, kill -9.
#   server-tests.sh [NAME…]
# Each test is a function t_NAME, run in a subshell under set -e: the first failing command ends it.
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh

with_component() { # a configured component and a fresh data directory
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\"" "${1:-false}"
  fresh_data
}

t_root_start_gives_files_to_mysql() {
  with_component
  [ "$(id -u)" = 0 ]
  start_server
  install_udf; encrypted_table
  local file
  for file in "$KEYS"/keyring.ward "$KEYS"/keyring.ward.lock "$DATA"/keyring_ward.marker; do
    expect "$file" "$(stat -c '%U %a %h' "$file")" "mysql 600 1"
  done
  # Root's rights are not used: what mysql can't read is not read.
  stop_server
  chown root:root "$KEYS/passphrase"
  start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "KW-0006 Permission"
  chown mysql:mysql "$KEYS/passphrase"
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
}

t_initialize_with_a_global_manifest() {
  with_component
  find "$DATA" -mindepth 1 -delete
  initialize --innodb-redo-log-encrypt=ON
  expect owner "$(stat -c %U "$KEYS/keyring.ward")" mysql
  start_server --innodb-redo-log-encrypt=ON --default-table-encryption=ON
  expect status "$(status_row Component_status)" Active
  sql -e "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b TEXT); INSERT INTO d.t VALUES (1,'one')"
  expect encryption "$(sql -e "SELECT encryption FROM information_schema.innodb_tablespaces WHERE name='d/t'")" Y
  kill_server
  start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
}

# With a keyring that keyring-ward init has made before: nothing may be put into the empty data directory.
t_initialize_with_a_keyring_that_exists() {
  with_component
  find "$DATA" -mindepth 1 -delete
  keyring-ward init --config "$CONFIG" --user mysql >/dev/null
  initialize || fail "mysqld --initialize"
  start_server
  expect status "$(status_row Component_status)" Active
  encrypted_table
  expect marker "$(ls "$DATA" | grep -c keyring_ward.marker)" 1
  kill_server
  start_server
  expect row "$(row)" one
}

# How many files a run opens in the way of the keyring: the library opens secrets, keyrings, locks
# and markers with O_NOFOLLOW, the server opens nothing so. (strace can't show the paths: taking on
# the identity of the data directory's owner makes the process unreadable for it.)
keyring_opens() { strace -f -qq -e trace=open,openat,openat2 -o /tmp/kw-strace "$@" >/dev/null 2>&1; grep -c 'O_NONBLOCK|O_NOFOLLOW' /tmp/kw-strace || true; }
t_help_runs_touch_nothing() {
  with_component
  expect "--verbose --help" "$(keyring_opens mysqld --verbose --help --user=mysql --datadir=$DATA)" 0
  expect "--validate-config" "$(keyring_opens mysqld --validate-config --user=mysql --datadir=$DATA)" 0
  grep -q component_keyring_ward /tmp/kw-strace || fail "the library was not loaded at all"
  expect "nothing was made" "$(ls "$KEYS")" passphrase
  # The same trace sees the files when the server really starts.
  (keyring_opens mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --skip-networking --mysqlx=OFF >/tmp/kw-count) &
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  mysqladmin -uroot -S $SOCKET shutdown
  wait
  [ "$(cat /tmp/kw-count)" -gt 0 ] || fail "the trace sees nothing"
}

t_docker_start_sequence() {
  reset_all
  # The image has them there (Dockerfile).
  mkdir -p /usr/share/keyring-ward; cp -r /kw/share/. /usr/share/keyring-ward/
  sh /kw/mysql-test/container/entrypoint.sh mysqld > "$LOG" 2>&1 &
  local pid=$!
  wait_for 90 sh -c "mysql -uroot -S $SOCKET -e 'SELECT keyring_key_generate(\"k\",\"AES\",32)'" || fail "no server"
  expect status "$(status_row Component_status)" Active
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  mysqladmin -uroot -S $SOCKET shutdown
  wait $pid
  sh /kw/mysql-test/container/entrypoint.sh mysqld > "$LOG" 2>&1 &
  pid=$!
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  expect "length after the restart" "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  mysqladmin -uroot -S $SOCKET shutdown
  wait $pid
}

t_daemonize() {
  with_component
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  install_udf; encrypted_table
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  expect "the holder's pid" "$(tr -d ' \n' < "$KEYS/keyring.ward.lock")" "$pid"
  # The launcher is gone; its child still holds the lock.
  flock --nonblock "$KEYS/keyring.ward.lock" true && fail "the lock is free"
  # Locks on memory are not inherited by a fork; they are taken again.
  local locked; locked=$(awk '/^VmLck/ {print $2}' "/proc/$pid/status")
  [ "$locked" -gt 0 ] || fail "no memory is locked"
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect row "$(row)" one
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid"
  flock --nonblock "$KEYS/keyring.ward.lock" true || fail "the lock is still held"
}

t_two_servers_one_keyring() {
  with_component
  start_server
  local first=$SERVER
  install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  cp -a /var/cache/kw-data /var/lib/kw-second; rm -f /var/lib/kw-second/auto.cnf
  mysqld --no-defaults --user=mysql --datadir=/var/lib/kw-second --socket=/run/mysqld/second.sock \
    --pid-file=/run/mysqld/second.pid --skip-networking --mysqlx=OFF > /tmp/kw-second.log 2>&1 &
  local second=$!
  wait_for 60 mysqladmin -uroot -S /run/mysqld/second.sock ping
  local error; error=$(mysql -uroot -S /run/mysqld/second.sock -BN -e \
    "SELECT STATUS_VALUE FROM performance_schema.keyring_component_status WHERE STATUS_KEY='Last_error'")
  case "$error" in "KW-0007 Locked:"*"process $first"*) ;; *) fail "Last_error is '$error'" ;; esac
  # The tool looks on beside the server.
  expect keys "$(keyring-ward list --config $CONFIG | grep -c '^k	')" 1
  # A killed server's lock is nobody's.
  kill_server
  mysql -uroot -S /run/mysqld/second.sock -e "ALTER INSTANCE RELOAD KEYRING"
  mysqladmin -uroot -S /run/mysqld/second.sock shutdown
  wait $second
  rm -rf /var/lib/kw-second
}

plugin_options() {
  cat > /etc/my.cnf <<CNF
[mysqld]
$1=keyring_ward.so
loose_keyring_ward_backend=file
loose_keyring_ward_path=$KEYS/keyring.ward
loose_keyring_ward_file_passphrase_file=$KEYS/passphrase
CNF
}
t_plugin_load_add() {
  reset_all; make_passphrase; plugin_options plugin-load-add
  find "$DATA" -mindepth 1 -delete
  mysqld --defaults-file=/etc/my.cnf --initialize-insecure --user=mysql --datadir=$DATA > "$LOG" 2>&1
  FIRST=--defaults-file=/etc/my.cnf start_server
  log_has "was loaded after InnoDB"
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  expect type "$(sql -e "SELECT keyring_key_type_fetch('k')")" AES
  expect names "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID='k'")" 1
  expect "a fixed variable" "$(sql -e "SELECT @@keyring_ward_path")" "$KEYS/keyring.ward"
  sql_fails 1238 "SET GLOBAL keyring_ward_path='/elsewhere'"
  sql_fails 1238 "SET PERSIST_ONLY keyring_ward_path='/elsewhere'"
  stop_server
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect row "$(row)" one
}

t_early_plugin_load_survives_kill() {
  reset_all; make_passphrase; plugin_options early-plugin-load; fresh_data
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  log_lacks "was loaded after InnoDB"
  install_udf; encrypted_table
  local i key
  for i in 1 2 3; do
    sql -e "SELECT keyring_key_generate('k$i','AES',32); INSERT INTO d.t VALUES (10+$i,'$i')" >/dev/null
    key=$(sql -e "SELECT HEX(keyring_key_fetch('k$i'))")
    kill_server
    FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
    expect "key k$i" "$(sql -e "SELECT HEX(keyring_key_fetch('k$i'))")" "$key"
    expect row "$(row)" one
  done
  expect rows "$(sql -e "SELECT COUNT(*) FROM d.t")" 4
}

t_install_plugin() {
  reset_all; make_passphrase; plugin_options loose_nothing; fresh_data
  FIRST=--defaults-file=/etc/my.cnf start_server
  sql -e "INSTALL PLUGIN keyring_ward SONAME 'keyring_ward.so'"
  install_udf
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  # The server decides whether it lets go of a keyring plugin; it must not crash over it.
  sql -e "UNINSTALL PLUGIN keyring_ward" 2>/dev/null || true
  expect "the server lives" "$(sql -e "SELECT 1")" 1
}

t_install_component_beside_the_plugin_is_harmless() {
  reset_all; make_passphrase; plugin_options early-plugin-load; fresh_data
  FIRST=--defaults-file=/etc/my.cnf start_server
  install_udf; encrypted_table
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  local i
  for i in 1 2; do
    sql -e "INSTALL COMPONENT 'file://component_keyring_ward'"
    expect "length beside the component" "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
    sql -e "UNINSTALL COMPONENT 'file://component_keyring_ward'"
    expect "length after the component" "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  done
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  stop_server
  log_lacks "Failed to shutdown components"
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect row "$(row)" one
}

t_systemd_credentials() {
  reset_all; component_manifest; fresh_data
  rm -rf /run/kw-credentials; mkdir /run/kw-credentials
  head -c 48 /dev/urandom > /run/kw-credentials/kek
  # As systemd serves them: readable through an ACL, whose mask shows as the group's bits.
  chmod 440 /run/kw-credentials/kek; chown -R mysql:mysql /run/kw-credentials
  component_config '"key_file": "credential:kek"'
  start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "systemd gave this process no credentials"
  stop_server
  CREDENTIALS_DIRECTORY=/run/kw-credentials start_server
  install_udf; encrypted_table
  expect opened_by "$(status_row Opened_by)" "key file credential 'kek'"
  kill_server
  CREDENTIALS_DIRECTORY=/run/kw-credentials start_server
  expect row "$(row)" one
  rm -rf /run/kw-credentials
}

t_plugin_without_configuration_is_disabled() {
  reset_all; fresh_data
  start_server --early-plugin-load=keyring_ward.so
  log_has "no backend is named (in the variables keyring_ward_*)"
  install_udf
  sql_null "SELECT keyring_key_fetch('k')"
}

t_component_and_plugin_are_harmless() {
  with_component
  start_server --early-plugin-load=keyring_ward.so --loose-keyring-ward-backend=file \
    --loose-keyring-ward-path=$KEYS/other.ward --loose-keyring-ward-file-passphrase-file=$KEYS/passphrase
  log_has "stays passive"
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  [ ! -e "$KEYS/other.ward" ] || fail "the plugin made a keyring of its own"
  expect keys "$(keyring-ward list --config $CONFIG | grep -c '^k	')" 1
  kill_server
  start_server --early-plugin-load=keyring_ward.so
  expect row "$(row)" one
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
}

t_my_cnf_group_alone() {
  reset_all; component_manifest; make_passphrase; fresh_data
  cat > /etc/my.cnf <<CNF
[keyring_ward]
backend=file
path=$KEYS/keyring.ward
file_passphrase_file=$KEYS/passphrase
[keyring_ward@replica1]
path=$KEYS/replica.ward
CNF
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect status "$(status_row Component_status)" Active
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  kill_server
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect row "$(row)" one
  stop_server
  rm "$DATA/keyring_ward.marker"
  FIRST="--defaults-file=/etc/my.cnf --defaults-group-suffix=@replica1" start_server
  expect file "$(status_row Data_file)" "$KEYS/replica.ward"
}

t_disabled_clean_start_and_reload() {
  with_component
  start_server; install_udf; encrypted_table
  sql -e "CREATE TABLE d.u (a INT) ENCRYPTION='Y'; CREATE TABLE d.plain (a INT); SELECT keyring_key_generate('k','AES',32)" >/dev/null
  stop_server
  echo '{ "backend": "file", }' > $CONFIG
  start_server
  expect status "$(status_row Component_status)" Disabled
  expect keys "$(status_row Keys)" None
  log_has "not valid JSON"; log_has "do NOT use it"
  expect "unencrypted tables work" "$(sql -e "SELECT COUNT(*) FROM d.plain")" 0
  sql_fails 3185 "SELECT * FROM d.t"
  sql_null "SELECT keyring_key_fetch('k')"
  sql_fails 4035 "ALTER INSTANCE RELOAD KEYRING"
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect status "$(status_row Component_status)" Active
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  expect "a table not touched meanwhile" "$(sql -e "SELECT COUNT(*) FROM d.u")" 0
  stop_server; start_server
  expect "a touched one after the restart" "$(row)" one
}

t_disabled_after_a_crash_refuses_to_start() {
  with_component
  start_server --innodb-redo-log-encrypt=ON; install_udf; encrypted_table
  kill_server
  mv "$KEYS/passphrase" "$KEYS/away"
  local rc=0
  start_server --innodb-redo-log-encrypt=ON || rc=$?
  [ $rc != 0 ] || fail "the server started"
  log_has "KW-0001 NotFound"; log_has "do NOT use it, it loses data"
  mv "$KEYS/away" "$KEYS/passphrase"
  start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
}

t_memory_lock_refused_is_a_warning() {
  with_component
  start_as_mysql sh -c 'ulimit -l 0; exec "$0" "$@"' --
  log_has "Key material could not be locked into memory"
  expect status "$(status_row Component_status)" Active
  install_udf
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
}

t_cost_in_system_calls() {
  with_component
  rm -f /tmp/kw-calls; touch /tmp/kw-calls; chown mysql:mysql /tmp/kw-calls
  start_as_mysql strace -f -qq -y -o /tmp/kw-calls --
  install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  # One append and one fdatasync for each key, whatever else the server does meanwhile.
  local file="<$KEYS/keyring.ward>" writes syncs
  writes=$(grep -c "pwrite64([0-9]*$file" /tmp/kw-calls || true)
  syncs=$(grep -c "fdatasync([0-9]*$file" /tmp/kw-calls || true)
  sql --delimiter=// -e "CREATE DATABASE d// CREATE PROCEDURE d.fill(n INT) BEGIN DECLARE i INT DEFAULT 0;
    WHILE i < n DO DO keyring_key_generate(CONCAT('x',i),'AES',32); SET i=i+1; END WHILE; END//"
  sql -e "CALL d.fill(20)"
  expect "writes for 20 keys" $(($(grep -c "pwrite64([0-9]*$file" /tmp/kw-calls) - writes)) 20
  expect "syncs for 20 keys" $(($(grep -c "fdatasync([0-9]*$file" /tmp/kw-calls) - syncs)) 20
  # 200,000 fetches: what all threads of the server do meanwhile is far less than one call each.
  local before after
  before=$(wc -l < /tmp/kw-calls)
  sql -e "DO BENCHMARK(200000, keyring_key_fetch('k'))"
  after=$(wc -l < /tmp/kw-calls)
  echo "    200,000 fetches: $((after - before)) system calls of the whole server meanwhile"
  [ $((after - before)) -lt 20000 ] || fail "fetches make system calls: $((after - before))"
  mysqladmin -uroot -S $SOCKET shutdown
  wait $SERVER || true
  rm -f /tmp/kw-calls
}

t_read_only() {
  with_component; start_server; install_udf; encrypted_table; stop_server
  component_config "\"passphrase_file\": \"$KEYS/passphrase\"" true
  local before; before=$(stat -c '%i %s %Y' "$KEYS/keyring.ward")
  start_server
  expect row "$(row)" one
  expect read_only "$(status_row Read_only)" Yes
  sql_null "SELECT keyring_key_generate('x','AES',32)"
  log_has "KW-0004 ReadOnly"
  expect "the file" "$(stat -c '%i %s %Y' "$KEYS/keyring.ward")" "$before"
}

t_odd_names() {
  with_component; start_server; install_udf
  local n255; n255=$(printf 'n%.0s' $(seq 255))
  local name
  for name in 'k%s%n%p' "quote'" 'semi;colon' "$(printf 'nl\ntab\t')"; do
    expect "generate $name" "$(sql -e "SELECT keyring_key_generate(\"$name\",'AES',32)")" 1
    expect "length of $name" "$(sql -e "SELECT keyring_key_length_fetch(\"$name\")")" 32
    # An existing key is a note that quotes the name: no format may be taken from it.
    sql_null "SET GLOBAL log_error_verbosity=3; SELECT keyring_key_generate(\"$name\",'AES',32)"
  done
  log_has "k%s%n%p"
  expect "not UTF-8" "$(sql -e "SELECT keyring_key_generate(x'fffe80','AES',32)")" 1
  expect "255 letters" "$(sql -e "SELECT keyring_key_generate('$n255','AES',32)")" 1
  expect "listed" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 6
  sql_null "SELECT keyring_key_generate('${n255}n','AES',32)"
  expect "still listed" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 6
  stop_server; start_server
  expect "after the restart" "$(sql -e "SELECT keyring_key_length_fetch('$n255'), keyring_key_length_fetch(x'fffe80')")" "32	32"
}

migrate() { # migrate FROM TO [OPTION…]
  local from=$1 to=$2; shift 2
  mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring=$from --destination-keyring=$to "$@" 2>&1
}
# Names of 255 characters in any alphabet, in the role that serves: made, read, listed, kept, removed.
long_names() {
  local each
  for each in n é 钥 🔑; do
    expect "generate 255 $each" "$(sql -e "SELECT keyring_key_generate(REPEAT('$each',255),'AES',32)")" 1
    expect "length and type of 255 $each" "$(sql -e "SELECT keyring_key_length_fetch(REPEAT('$each',255)), keyring_key_type_fetch(REPEAT('$each',255))")" "32	AES"
    sql_null "SELECT keyring_key_generate(REPEAT('$each',256),'AES',32)"
    sql_null "SELECT keyring_key_fetch(REPEAT('$each',256))"
  done
  log_has "the limit is 255 characters"
  # The server's list ends at the first name that is longer than 255 bytes: those come last and hide no other key.
  sql -e "SELECT $(for each in $(seq 40); do printf "keyring_key_generate('short%s','AES',16)," "$each"; done) 1" >/dev/null
  expect "listed" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'short%' OR KEY_ID LIKE 'nnn%'")" 41
  sql -e "SELECT HEX(keyring_key_fetch(REPEAT('钥',255)))" > /tmp/kw-before
  stop_server; start_server
  expect "after the restart" "$(sql -e "SELECT HEX(keyring_key_fetch(REPEAT('钥',255)))")" "$(cat /tmp/kw-before)"
  for each in n é 钥 🔑; do
    expect "remove 255 $each" "$(sql -e "SELECT keyring_key_remove(REPEAT('$each',255))")" 1
    expect "255 $each is gone" "$(sql -e "SELECT keyring_key_length_fetch(REPEAT('$each',255))")" NULL
  done
}
t_long_names_of_a_component() { with_component; start_server; install_udf; long_names; }
t_long_names_of_a_plugin() {
  reset_all; make_passphrase; plugin_options early-plugin-load; fresh_data
  FIRST=--defaults-file=/etc/my.cnf
  start_server; install_udf; long_names
}

# From the stock component to ours and back, and by import.
t_long_names_migrate() {
  echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf
  with_component; echo '{ "components": "file://component_keyring_file" }' > $MANIFEST
  touch "$KEYS/stock"; chown mysql:mysql "$KEYS/stock"
  start_server; install_udf
  local all="" each
  for each in n é 钥 🔑; do all="$all, HEX(keyring_key_fetch(REPEAT('$each',255))), keyring_key_type_fetch(REPEAT('$each',255))"; done
  sql -e "SELECT keyring_key_generate(REPEAT('n',255),'AES',32), keyring_key_generate(REPEAT('é',255),'DSA',16),
    keyring_key_generate(REPEAT('钥',255),'RSA',100), keyring_key_store(REPEAT('🔑',255),'SECRET','text')" >/dev/null
  local before; before=$(sql -e "SELECT 1$all")
  stop_server
  migrate component_keyring_file component_keyring_ward
  component_manifest; start_server
  expect "with ours" "$(sql -e "SELECT 1$all")" "$before"
  stop_server
  keyring-ward import --path "$KEYS/imported" --passphrase-file "$KEYS/passphrase" --from "$KEYS/stock"
  expect "imported" "$(keyring-ward list --path "$KEYS/imported" --passphrase-file "$KEYS/passphrase" | grep -c root@localhost)" 4
  rm "$KEYS/stock"
  migrate component_keyring_ward component_keyring_file
  echo '{ "components": "file://component_keyring_file" }' > $MANIFEST
  chown mysql:mysql "$KEYS/stock"
  start_server
  expect "with the stock component again" "$(sql -e "SELECT 1$all")" "$before"
  rm -f $PLUGINS/component_keyring_file.cnf
}

t_migrate_both_ways_and_beside_a_server() {
  with_component
  echo "{ \"path\": \"$KEYS/stock\", \"read_only\": false }" > $PLUGINS/component_keyring_file.cnf
  start_server; install_udf; encrypted_table
  sql -e "SELECT keyring_key_generate('k','AES',32), keyring_key_store('s','SECRET','text')" >/dev/null
  local before; before=$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")
  # Beside the running server, which holds the lock: a snapshot is read.
  migrate component_keyring_ward component_keyring_file --online-migration --user=root --socket=$SOCKET
  expect "the stock keyring serves" "$(grep -c text "$KEYS/stock")" 0
  stop_server
  echo '{ "components": "file://component_keyring_file" }' > $MANIFEST
  chown mysql:mysql "$KEYS/stock"
  start_server
  expect "with the stock component" "$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")" "$before"
  expect row "$(row)" one
  stop_server
  # And back, into a new keyring, without a server.
  rm "$KEYS/keyring.ward" "$DATA/keyring_ward.marker"
  migrate component_keyring_file component_keyring_ward
  component_manifest
  start_server
  expect "back again" "$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")" "$before"
  expect row "$(row)" one
  rm -f $PLUGINS/component_keyring_file.cnf "$KEYS/stock"
}

t_kills_during_generates() {
  local kills; kills=$(many 10 50)
  with_component; start_server; install_udf
  sql --delimiter=// -e "CREATE DATABASE d// CREATE PROCEDURE d.fill(n INT) BEGIN DECLARE i INT DEFAULT 0;
    WHILE i < n DO DO keyring_key_generate(CONCAT('base',i),'AES',32); SET i=i+1; END WHILE; END//"
  sql -e "CALL d.fill(1000)"
  expect "base keys" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys")" 1000
  local round acknowledged=0 lost=0
  for round in $(seq "$kills"); do
    # A client notes each acknowledged key with its bytes; the kill comes while it runs.
    (i=0; while [ $i -lt 400 ]; do
       echo "SELECT CONCAT('ack r${round}x$i ', keyring_key_generate('r${round}x$i','AES',32), ' ', HEX(keyring_key_fetch('r${round}x$i')));"
       i=$((i + 1)); done) | mysql -uroot -S $SOCKET -BN --unbuffered > /tmp/kw-ack 2>/dev/null &
    local client=$! target=$((RANDOM % 200 + 1))
    until [ "$(wc -l < /tmp/kw-ack)" -ge $target ] || ! kill -0 $client 2>/dev/null; do :; done
    kill_server
    wait $client 2>/dev/null || true
    start_server || fail "round $round: the server did not start"
    expect "round $round: status" "$(status_row Component_status)" Active
    # The last line may be cut by the kill: only whole ones count.
    grep -E '^ack [^ ]+ 1 [0-9A-F]{64}$' /tmp/kw-ack > /tmp/kw-whole || true
    sed 's/^ack \([^ ]*\) .*/SELECT CONCAT("ack \1 1 ", HEX(keyring_key_fetch("\1")));/' /tmp/kw-whole | sql > /tmp/kw-now
    diff /tmp/kw-whole /tmp/kw-now > /tmp/kw-diff || lost=$((lost + 1))
    acknowledged=$((acknowledged + $(wc -l < /tmp/kw-whole)))
    sql -e "SELECT COUNT(keyring_key_remove(KEY_ID)) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'r${round}x%'" >/dev/null
  done
  echo "    $kills kills, $acknowledged acknowledged keys, rounds with a lost key: $lost"
  expect "rounds with a lost key" $lost 0
  expect "base keys" "$(sql -e "SELECT COUNT(*) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'base%'")" 1000
  [ $acknowledged -gt $((kills * 20)) ]
}

. /kw/mysql-test/harness/bad-input.sh
. /kw/mysql-test/harness/memory-limit.sh

run_tests "$@"
