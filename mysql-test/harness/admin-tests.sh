#!/bin/bash
# Administration with a real server: the SQL functions, moving to and from the stock keyrings, kills of rekey and reseal.
#   admin-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
STOCK=$PLUGINS/component_keyring_file.cnf
STOCK_FILE=$KEYS/component_keyring_file

with_passphrase() {
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  fresh_data
  start_server
  install_udf
  sql < /kw/share/install.sql
}
# A member of a JSON answer: member JSON NAME
member() { sql -e "SELECT JSON_UNQUOTE(JSON_EXTRACT('$(printf '%s' "$1" | sed "s/'/''/g; s/\\\\/\\\\\\\\/g")', '\$.$2'))"; }
call() { sql -e "SELECT keyring_ward_$1()"; }
# kek_config FILE KEYRING FOLDER NAME…: a list of KEKs, each the key file of its name in FOLDER.
kek_config() {
  local file=$1 keyring=$2 folder=$3 name list=
  shift 3
  for name; do list="$list,{\"name\":\"$name\",\"provider\":\"key_file\",\"key_file\":\"$folder/$name\"}"; done
  echo "{\"path\":\"$keyring\",\"keks\":[${list#,}]}" > "$file"
}
calls_ok() { local answer; answer=$(call "$1"); expect "$1: $answer" "$(member "$answer" ok)" true; }

t_sql_functions() {
  with_passphrase
  encrypted_table
  sql -e "DO keyring_key_generate('k','AES',32)"
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  local status; status=$(call status)
  expect component_status "$(member "$status" component_status)" Active
  expect backend "$(member "$status" backend)" file
  expect keys "$(member "$status" keys)" "$(status_row Keys)"
  case "$status" in *"$key"*) fail "the key is in the status" ;; esac
  for function in verify reload reseal; do calls_ok $function; done
  expect generation "$(member "$(call status)" generation)" 2
  expect row "$(row)" one
  # Another KEK, online: the configuration first, then the function.
  (umask 077; echo "another passphrase" > "$KEYS/passphrase.2"); chown mysql:mysql "$KEYS/passphrase.2"
  component_config "\"passphrase_file\": \"$KEYS/passphrase.2\""
  calls_ok rekey
  expect "opened by" "$(status_row Opened_by)" "passphrase from '$KEYS/passphrase.2'"
  rm "$KEYS/passphrase"
  kill_server; start_server
  expect row "$(row)" one
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  # What can't be done is said in the answer, and in the log; the keyring goes on.
  chmod 644 "$KEYS/passphrase.2"
  local answer; answer=$(call reload)
  expect "a reload that fails" "$(member "$answer" ok)" false
  expect "its number and kind" "$(member "$answer" error.number) $(member "$answer" error.kind)" "6 Permission"
  case "$(member "$answer" error.hint)" in *"chmod 600"*) ;; *) fail "$answer" ;; esac
  log_has "KW-0006 Permission"
  expect row "$(row)" one
  chmod 600 "$KEYS/passphrase.2"
  sql < /kw/share/uninstall.sql
  sql_fails 1305 "USE mysql; SELECT keyring_ward_status()"
}

t_sql_functions_need_the_privilege() {
  with_passphrase
  sql -e "CREATE USER app IDENTIFIED BY 'app'; CREATE USER ops IDENTIFIED BY 'ops'; CREATE ROLE keys_admin;
    GRANT ENCRYPTION_KEY_ADMIN ON *.* TO keys_admin; GRANT keys_admin TO ops"
  local function out
  for function in status verify reload reseal rekey; do
    out=$(mysql -uapp -papp -S $SOCKET -e "SELECT keyring_ward_$function()" 2>&1) && fail "app may call $function"
    case "$out" in *"ERROR 1123 "*"need the ENCRYPTION_KEY_ADMIN privilege"*) ;; *) fail "$function: $out" ;; esac
  done
  # By a role, once it is active.
  mysql -uops -pops -S $SOCKET -e "SELECT keyring_ward_status()" >/dev/null 2>&1 && fail "an inactive role is enough"
  out=$(mysql -uops -pops -S $SOCKET --batch --skip-column-names -e "SET ROLE keys_admin; SELECT keyring_ward_status()" 2>/dev/null)
  case "$out" in *'"component_status":"Active"'*) ;; *) fail "$out" ;; esac
  out=$(mysql -uroot -S $SOCKET -e "SELECT keyring_ward_status(1)" 2>&1) && fail "an argument is taken"
  case "$out" in *"takes no arguments"*) ;; *) fail "$out" ;; esac
}

# The KEKs of a list are added, synced and taken out beside a running server, by the functions that the tool names.
t_keks_from_sql() {
  reset_all
  (umask 077; head -c 32 /dev/urandom > "$KEYS/a"; head -c 32 /dev/urandom > "$KEYS/b"); chown mysql:mysql "$KEYS/a" "$KEYS/b"
  kek_config "$CONFIG" "$KEYS/keyring.ward" "$KEYS" a
  component_manifest; fresh_data
  start_server
  sql < /kw/share/install.sql
  encrypted_table
  kek_config "$CONFIG" "$KEYS/keyring.ward" "$KEYS" a b
  local said; said=$(keyring-ward kek add b --config "$CONFIG" 2>&1) && fail "added beside a server"
  case "$said" in *"SELECT keyring_ward_kek_add('b')"*) ;; *) fail "$said" ;; esac
  said=$(keyring-ward kek sync --config "$CONFIG" 2>&1) && fail "synced beside a server"
  case "$said" in *"SELECT keyring_ward_kek_sync()"*) ;; *) fail "$said" ;; esac
  said=$(sql -e "SELECT keyring_ward_kek_add('c')")
  expect "a KEK that is not there" "$(member "$said" ok) $(member "$said" error.kind)" "false NotFound"
  said=$(sql -e "SELECT keyring_ward_kek_add('b')")
  expect "add" "$(member "$said" ok)" true
  case "$said" in *'"result":"wrapped"'*) ;; *) fail "$said" ;; esac
  calls_ok kek_sync
  said=$(call keks); case "$said" in *'"name":"b"'*) ;; *) fail "$said" ;; esac
  said=$(keyring-ward kek test --config "$CONFIG") || fail "$said"
  # The first one is lost: the server starts by the second.
  kill_server; mv "$KEYS/a" "$KEYS/a.away"; start_server
  expect row "$(row)" one
  mv "$KEYS/a.away" "$KEYS/a"
  said=$(sql -e "SELECT keyring_ward_kek_remove('a')")
  expect "remove" "$(member "$said" ok)" true
  kek_config "$CONFIG" "$KEYS/keyring.ward" "$KEYS" b
  kill_server; start_server
  expect row "$(row)" one
  kek_config /tmp/kw-only-a "$KEYS/keyring.ward" "$KEYS" a
  keyring-ward verify --config /tmp/kw-only-a >/dev/null 2>&1 && fail "the KEK that was taken out opens it"
  for said in "keyring_ward_kek_add()" "keyring_ward_kek_add('a','b')"; do
    said=$(mysql -uroot -S $SOCKET -e "SELECT $said" 2>&1) && fail "taken: $said"
    case "$said" in *"(name of a KEK) takes 1 argument, "*) ;; *) fail "$said" ;; esac
  done
  said=$(sql -e "SELECT keyring_ward_kek_add(NULL)")
  expect "no name" "$(member "$said" ok) $(member "$said" error.kind)" "false InvalidInput"
}

# With another return type the server hands over a place that is too small for a text.
t_sql_functions_return_text() {
  with_passphrase
  local type out
  for type in INTEGER REAL DECIMAL; do
    sql -e "DROP FUNCTION keyring_ward_status; CREATE FUNCTION keyring_ward_status RETURNS $type SONAME 'component_keyring_ward.so'"
    out=$(mysql -uroot -S $SOCKET -e "SELECT keyring_ward_status()" 2>&1) && fail "$type is taken: $out"
    case "$out" in *"RETURNS STRING"*) ;; *) fail "$type: $out" ;; esac
  done
  sql -e "DROP FUNCTION keyring_ward_status; CREATE FUNCTION keyring_ward_status RETURNS STRING SONAME 'component_keyring_ward.so'"
  expect "as text" "$(member "$(call status)" component_status)" Active
}

# What an account asked for and was refused is in the log and in Last_error; what the server finds out by asking is not.
# An unknown type or a key of 0 bytes never comes here: the server's own functions refuse it, as an error in SQL.
t_refused_requests_are_told() {
  with_passphrase
  encrypted_table
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect "after the server's own calls" "$(status_row Last_error)" None
  local errors; errors=$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_errors'" | cut -f2)
  local call words
  while IFS='|' read -r call words; do
    sql -e "DO keyring_key_generate('k', 'AES', 32)" || true
    sql -e "SELECT $call" >/dev/null 2>&1 || true
    case "$(status_row Last_error)" in *"$words"*) ;; *) fail "$call: Last_error is $(status_row Last_error)" ;; esac
    log_has "$words"
    call reload >/dev/null
    expect "after a reload" "$(status_row Last_error)" None
  done <<'CALLS'
keyring_key_generate('k', 'AES', 16)|'k' of 'root@localhost' exists already
keyring_key_store('k', 'SECRET', 'text')|'k' of 'root@localhost' exists already
keyring_key_remove('absent')|'absent' of 'root@localhost' does not exist
keyring_key_generate(REPEAT('n', 256), 'AES', 16)|the name has 256 characters
CALLS
  sql_fails 1123 "SELECT keyring_key_generate('other', 'FOO', 16)"
  expect "what the server itself refuses" "$(status_row Last_error)" None
  expect "errors for an operator" "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_errors'" | cut -f2)" "$errors"
  # One account can't fill the log, and trouble is not hidden behind refusals.
  local before after i
  before=$(grep -c 'does not exist' "$LOG")
  for ((i = 0; i < 200; i++)); do echo "DO keyring_key_remove('absent$i');"; done | sql 2>/dev/null
  after=$(grep -c 'does not exist' "$LOG")
  [ $((after - before)) -le 30 ] || fail "$((after - before)) lines for 200 refused requests"
  chmod 644 "$KEYS/passphrase"
  call reload >/dev/null
  sql -e "DO keyring_key_remove('absent')" 2>/dev/null || true
  case "$(status_row Last_error)" in *Permission*) ;; *) fail "Last_error is $(status_row Last_error)" ;; esac
  chmod 600 "$KEYS/passphrase"
}

# A full disk and signals: what a command made is gone, and the same command works then.
t_failed_commands_leave_nothing() {
  reset_all
  local dir=/tmp/kw-full room pid i now=a
  rm -rf $dir; mkdir -p $dir
  for room in 0 4 8 12; do # KiB that are left for it
    mount -t tmpfs -o size=64k,mode=755 full $dir
    dd if=/dev/zero of=$dir/filler bs=1k count=$((64 - room)) 2>/dev/null || true
    if keyring-ward init --path $dir/a/b/k --passphrase-file $dir/a/b/p --generate >/dev/null 2>$dir.err; then
      [ -s $dir/a/b/k ] && [ -s $dir/a/b/p ] || fail "done with $room KiB, but not whole"
    else
      grep -q 'KW-0011 Io' $dir.err || fail "$(cat $dir.err)"
      expect "left with $room KiB" "$(ls $dir)" filler
      rm $dir/filler
      keyring-ward init --path $dir/a/b/k --passphrase-file $dir/a/b/p --generate >/dev/null || fail "the retry with $room KiB"
    fi
    umount $dir
  done
  (umask 077; head -c 32 /dev/urandom > $dir/kek.a)
  keyring-ward init --path $dir/k --key-file $dir/kek.a >/dev/null
  local whole=0 undone=0
  for ((i = 0; i < 60; i++)); do
    keyring-ward rekey --path $dir/k --key-file $dir/kek.$now --new-key-file $dir/kek.$i --generate >/dev/null 2>&1 & pid=$!
    sleep "$(awk -v i=$i 'BEGIN { printf "%.4f", i * i / 60000 }')" # a moment of its own for each run
    kill -$([ $((i % 2)) = 0 ] && echo TERM || echo HUP) $pid 2>/dev/null || true; wait $pid 2>/dev/null || true
    if [ -e $dir/kek.$i ]; then now=$i whole=$((whole + 1)); else undone=$((undone + 1)); fi
    keyring-ward verify --path $dir/k --key-file $dir/kek.$now >/dev/null || fail "run $i: the keyring is not under $now"
  done
  echo "    $whole rekeys whole, $undone undone; no secret without a keyring, no keyring without its secret"
  rm -rf $dir $dir.err
}

# In the plugin role: the same functions from the other name of the library.
t_sql_functions_of_the_plugin() {
  reset_all; make_passphrase; fresh_data
  cat > /etc/my.cnf <<CNF
[mysqld]
early-plugin-load=keyring_ward.so
loose_keyring_ward_backend=file
loose_keyring_ward_path=$KEYS/keyring.ward
loose_keyring_ward_file_passphrase_file=$KEYS/passphrase
CNF
  FIRST=--defaults-file=/etc/my.cnf start_server
  install_udf; encrypted_table
  sed 's/component_keyring_ward.so/keyring_ward.so/' /kw/share/install.sql | sql
  for function in verify reload reseal; do calls_ok $function; done
  # The configuration names the KEK that the file is under, and can't be changed at run time.
  local answer; answer=$(call rekey)
  expect "rekey to the same KEK" "$(member "$answer" ok) $(member "$answer" error.kind)" "false InvalidInput"
  expect row "$(row)" one
  FIRST=--defaults-file=/etc/my.cnf; kill_server; start_server
  expect row "$(row)" one
}

# Global status variables, in both roles.
t_status_variables() {
  with_passphrase
  local value; variable() { value=$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_$1'" | cut -f2); expect "Keyring_ward_$1" "$value" "$2"; }
  variable active 1
  variable loads 1
  variable keys "$(status_row Keys)"
  variable writes 0
  sql -e "DO keyring_key_generate('a','AES',32), keyring_key_generate('b','AES',32), keyring_key_generate('a','AES',32), keyring_key_remove('b')"
  variable keys "$(status_row Keys)"
  value=$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_writes'" | cut -f2)
  [ "$value" -ge 3 ] || fail "writes: $value"
  value=$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_write_longest_us'" | cut -f2)
  [ "$value" -gt 0 ] || fail "longest: $value"
  sql -e "DO BENCHMARK(1000, keyring_key_fetch('a'))"
  value=$(member "$(call status)" fetches)
  [ "$value" -ge 1000 ] || fail "fetches: $value"
  chmod 644 "$KEYS/passphrase"
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "reloaded"
  chmod 600 "$KEYS/passphrase"
  variable loads 2
  variable active 1
  # INSTALL PLUGIN beside the component registers nothing twice; its end takes nothing away.
  sql -e "INSTALL PLUGIN keyring_ward SONAME 'keyring_ward.so'; UNINSTALL PLUGIN keyring_ward" || true
  expect "rows" "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_%'" | wc -l)" 17
  stop_server
  rm -f "$MANIFEST"
  cat > /etc/my.cnf <<CNF
[mysqld]
early-plugin-load=keyring_ward.so
loose_keyring_ward_backend=file
loose_keyring_ward_path=$KEYS/keyring.ward
loose_keyring_ward_file_passphrase_file=$KEYS/passphrase
CNF
  FIRST=--defaults-file=/etc/my.cnf start_server
  variable active 1
  expect "rows of the plugin" "$(sql -e "SHOW GLOBAL STATUS LIKE 'Keyring_ward_%'" | wc -l)" 17
}

# Fetches go on while the file is resealed again and again.
t_reseal_under_load() {
  with_passphrase
  local i
  for ((i = 1; i <= 2000; i++)); do echo "DO keyring_key_generate('m$i','AES',32);"; done | sql
  local ends=()
  for i in 1 2; do
    sql -e "SELECT SUM(keyring_key_length_fetch(CONCAT('m', 1 + n % 2000))) FROM (WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM c WHERE n < 999999) SELECT /*+ SET_VAR(cte_max_recursion_depth=1000000) */ n FROM c) t" > /tmp/kw-sum.$i &
    ends+=($!)
  done
  local reseals=0
  while kill -0 "${ends[0]}" 2>/dev/null; do calls_ok reseal; reseals=$((reseals + 1)); done
  wait "${ends[@]}"
  expect "bytes fetched" "$(cat /tmp/kw-sum.1)" 32000000
  expect "bytes fetched" "$(cat /tmp/kw-sum.2)" 32000000
  echo "    2,000,000 fetches by two clients during $reseals reseals of 2,000 keys"
  [ $reseals -gt 0 ] || fail "no reseal ran meanwhile"
}

# ---- moving --------------------------------------------------------------------------------------

t_import_the_real_plugin_file() {
  local file=/usr/lib/mysql-test/std_data/plugin_keyring_file_data sum
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  sum=$(sha256sum < $file)
  keyring-ward import --config "$CONFIG" --from $file --dry-run | sed 's/^/    /'
  [ ! -e "$KEYS/keyring.ward" ] || fail "the dry run wrote"
  keyring-ward import --config "$CONFIG" --from $file | grep -q "3 keys were imported" || fail "no three keys"
  expect "the source" "$(sha256sum < $file)" "$sum"
  fresh_data; start_server; install_udf
  expect key1 "$(sql -e "SELECT keyring_key_fetch('key1')")" abcdefgh
  expect key2 "$(sql -e "SELECT keyring_key_fetch('key2')")" 12345678
  expect key3 "$(sql -e "SELECT keyring_key_fetch('key3')")" abcdefgh12345678
}

stock() { # a server on component_keyring_file
  echo '{ "components": "file://component_keyring_file" }' > "$MANIFEST"
  echo "{ \"path\": \"$STOCK_FILE\", \"read_only\": false }" > "$STOCK"
}

t_from_the_stock_component_and_back() {
  reset_all; stock
  (umask 077; : > "$STOCK_FILE"); chown mysql:mysql "$STOCK_FILE"
  fresh_data
  start_server --binlog-encryption=ON --innodb-redo-log-encrypt=ON
  install_udf; encrypted_table
  sql -e "DO keyring_key_generate('k','AES',32), keyring_key_store('s','SECRET','it\\'s \"text\"')"
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  stop_server
  make_passphrase; component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  keyring-ward import --config "$CONFIG" --from "$STOCK_FILE" >/dev/null
  # The manifest first: doctor says which keyring the server would have.
  component_manifest
  keyring-ward doctor --plugin-dir "$PLUGINS" --datadir "$DATA" > /tmp/kw-doctor || fail "$(cat /tmp/kw-doctor)"
  mv "$STOCK_FILE" /tmp/kw-stock
  start_server --binlog-encryption=ON --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect text "$(sql -e "SELECT keyring_key_fetch('s')")" "it's \"text\""
  sql -e "ALTER INSTANCE ROTATE INNODB MASTER KEY; ALTER INSTANCE ROTATE BINLOG MASTER KEY; DO keyring_key_generate('n','AES',16)"
  stop_server
  # Back.
  keyring-ward export --config "$CONFIG" --to "$STOCK_FILE" 2>/dev/null && fail "exported without --plaintext"
  keyring-ward export --config "$CONFIG" --to "$STOCK_FILE" --plaintext >/dev/null 2>&1
  expect "the export" "$(stat -c %a "$STOCK_FILE")" 600
  chown mysql:mysql "$STOCK_FILE"
  stock
  start_server --binlog-encryption=ON --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect length "$(sql -e "SELECT keyring_key_length_fetch('n')")" 16
  stop_server
  rm -f "$STOCK" "$STOCK_FILE" /tmp/kw-stock
}

# The server's own migration mode, between our plugin role and the stock component.
# The manifest was switched before the import: both keyrings have a key of one name, and tables are under each.
t_started_before_the_import() {
  reset_all; stock
  (umask 077; : > "$STOCK_FILE"); chown mysql:mysql "$STOCK_FILE"
  fresh_data; start_server; encrypted_table
  local said
  # Beside the stock server an import may miss keys, and says so.
  make_passphrase; component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  said=$(keyring-ward import --config "$CONFIG" --from "$STOCK_FILE" --dry-run 2>&1)
  case "$said" in *"a server runs on '$DATA' (process "*) ;; *) fail "no word of the running server: $said" ;; esac
  stop_server
  said=$(keyring-ward import --config "$CONFIG" --from "$STOCK_FILE" --dry-run 2>&1)
  case "$said" in *warning*) fail "a warning about a server that is stopped: $said" ;; esac
  component_manifest
  said=$(keyring-ward doctor --plugin-dir "$PLUGINS" --datadir "$DATA" 2>&1) && fail "doctor does not see the keys of before: $said"
  case "$said" in *"d/t.ibd' is encrypted under 'INNODBKey-"*"import --from '$STOCK_FILE'"*) ;; *) fail "doctor: $said" ;; esac
  start_server
  sql -e "CREATE TABLE d.n (a INT) ENCRYPTION='Y'; INSERT INTO d.n VALUES (7)"
  stop_server
  said=$(keyring-ward import --config "$CONFIG" --from "$STOCK_FILE" 2>&1) && fail "imported over another key"
  case "$said" in *"Never remove one"*"reset-marker"*) ;; *) fail "the sentence: $said" ;; esac
  # The way out, as the sentence and docs/guide/coming-from.md say it.
  start_server; sql -e "ALTER TABLE d.n ENCRYPTION='N'"; stop_server
  mv "$KEYS/keyring.ward" "$KEYS/keyring.ward.aside"
  keyring-ward init --config "$CONFIG" > /dev/null
  keyring-ward import --config "$CONFIG" --from "$STOCK_FILE" > /dev/null
  keyring-ward reset-marker --datadir "$DATA" > /dev/null
  keyring-ward doctor --plugin-dir "$PLUGINS" --datadir "$DATA" > /tmp/kw-doctor || fail "$(cat /tmp/kw-doctor)"
  start_server
  expect row "$(row)" one
  expect "the new table" "$(sql -e "SELECT a FROM d.n")" 7
  sql -e "ALTER TABLE d.n ENCRYPTION='Y'; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  stop_server; start_server
  expect "row after a restart" "$(row)$(sql -e "SELECT a FROM d.n")" one7
}

# What root runs is done as the account: of root's own files and folders it speaks only where they matter.
t_what_only_root_can_reach() {
  with_passphrase; encrypted_table; stop_server
  # Root's clients read it, too.
  trap 'rm -f /root/.my.cnf; stop_server' EXIT
  local said; printf '[client]\npassword=x\n' > /root/.my.cnf; chmod 600 /root/.my.cnf; chmod 700 /root
  said=$(HOME=/root keyring-ward doctor --plugin-dir "$PLUGINS" --datadir "$DATA" 2>&1) || fail "doctor: $said"
  case "$said" in *my.cnf*) fail "root's own my.cnf is a finding: $said" ;; esac
  rm "$CONFIG"
  said=$(HOME=/root keyring-ward status --plugin-dir "$PLUGINS" --datadir "$DATA" 2>&1) && fail "status without a configuration"
  case "$said" in *root/.my.cnf*) fail "root's own my.cnf: $said" ;; *"nothing is configured"*) ;; *) fail "$said" ;; esac
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  said=$(keyring-ward export --config "$CONFIG" --to /root/kw-export --plaintext 2>&1) && fail "exported into root's folder"
  case "$said" in *"This is done as 'mysql' (user "*"not as root: name a place"*) ;; *) fail "no word of the account: $said" ;; esac
  said=$(keyring-ward export --config "$CONFIG" --to "$KEYS/kw-export" --plaintext 2>&1) || fail "$said"
  case "$said" in *"Give it to"*) fail "what is so already is advised: $said" ;; esac
}

t_the_log_says_that_it_is_over() {
  with_passphrase; encrypted_table; stop_server
  mv "$KEYS/passphrase" "$KEYS/away"; start_server
  expect status "$(status_row Component_status)" Disabled
  log_has "Restore it from the copy that is kept apart"
  mv "$KEYS/away" "$KEYS/passphrase"; sql -e "ALTER INSTANCE RELOAD KEYRING"
  log_has "The keyring is no longer disabled"
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect "sentences about the end" "$(grep -c "no longer disabled" "$LOG")" 1
}

# rekey prints what the server needs then, a running server is told of by the function of this command only.
t_rekey_prints_the_configuration() {
  with_passphrase; encrypted_table
  local said; said=$(keyring-ward rekey --config "$CONFIG" --new-key-file "$KEYS/kek" --generate 2>&1) && fail "rekeyed beside a server"
  case "$said" in *reseal*) fail "another command's function: $said" ;; *"SELECT keyring_ward_rekey()"*) ;; *) fail "$said" ;; esac
  stop_server
  keyring-ward rekey --config "$CONFIG" --new-key-file "$KEYS/kek" --generate > /tmp/kw-said
  grep -m1 '^  {' /tmp/kw-said > "$CONFIG"
  start_server; expect row "$(row)" one
  # Root's shell opens the secret; the copy lies where only root can look.
  mkdir -p -m 0700 /backup; cp "$KEYS/keyring.ward" /backup/
  keyring-ward verify --path /backup/keyring.ward --key-file-fd 3 3< "$KEYS/kek" > /dev/null || fail "a copy is not verified by a key file"
  said=$(keyring-ward verify --path /backup/keyring.ward --passphrase-fd 3 3< "$KEYS/kek" 2>&1) && fail "a key file as a passphrase"
  case "$said" in *"wrapped by 'key_file'"*"--key-file-fd"*) ;; *) fail "the wrong kind of secret: $said" ;; esac
  rm -r /backup
}

t_server_migration_mode() {
  reset_all; component_manifest; make_passphrase
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  fresh_data; start_server; install_udf; encrypted_table
  sql -e "DO keyring_key_generate('k','AES',32), keyring_key_store('s','SECRET','text')"
  local before; before=$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")
  stop_server
  rm -f "$MANIFEST"
  local options=(--loose-keyring-ward-backend=file "--loose-keyring-ward-path=$KEYS/keyring.ward" "--loose-keyring-ward-file-passphrase-file=$KEYS/passphrase")
  migration_mode() {
    mysqld --no-defaults --user=mysql --datadir=$DATA --plugin-dir=$PLUGINS --log-error-verbosity=3 "$@" "${options[@]}" > /tmp/kw-migration 2>&1 || fail "$(tail -5 /tmp/kw-migration)"
    grep -q 'Keyring migration successful' /tmp/kw-migration || fail "$(cat /tmp/kw-migration)"
    [ ! -e /keyring_ward.marker ] && ! grep -q marker /tmp/kw-migration || fail "a marker was written where it does not belong"
    grep -o 'Keyring migration successful.*' /tmp/kw-migration | sed 's/^/    /'
  }
  echo "{ \"path\": \"$STOCK_FILE\", \"read_only\": false }" > "$STOCK"
  migration_mode --keyring-migration-to-component --keyring-migration-source=keyring_ward.so --keyring-migration-destination=component_keyring_file.so
  stock; chown mysql:mysql "$STOCK_FILE"; mv "$CONFIG" /tmp/kw-config
  start_server
  expect "in the stock component" "$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")" "$before"
  expect row "$(row)" one
  stop_server
  rm -f "$KEYS"/keyring.ward* "$DATA/keyring_ward.marker" "$MANIFEST"
  migration_mode --keyring-migration-from-component --keyring-migration-source=component_keyring_file.so --keyring-migration-destination=keyring_ward.so
  { echo "[mysqld]"; echo "early-plugin-load=keyring_ward.so"; printf '%s\n' "${options[@]#--}"; } | sed 's/^loose-keyring-ward-\([a-z-]*\)/loose_keyring_ward_\1/; s/file-passphrase-file/file_passphrase_file/' > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server
  expect "back in our plugin" "$(sql -e "SELECT HEX(keyring_key_fetch('k')), keyring_key_fetch('s')")" "$before"
  expect row "$(row)" one
  stop_server
  rm -f "$STOCK" "$STOCK_FILE"
}

# ---- kills ---------------------------------------------------------------------------------------

# rekey and reseal are killed at random moments: the old file opens or the new one, with every key.
t_kills_of_rekey_and_reseal() {
  local kills; kills=$(many 40 200)
  reset_all
  local dir=/tmp/kw-kills i opened wait
  rm -rf $dir; mkdir -p $dir
  (umask 077; head -c 32 /dev/urandom > $dir/a; head -c 32 /dev/urandom > $dir/b)
  elements=$(for ((i = 0; i < 2000; i++)); do printf ',{"user":"","data_id":"k%d","data_type":"AES","data":"%064X","extension":[]}' $i $i; done)
  echo "{\"version\":\"1.0\",\"elements\":[${elements#,}]}" > $dir/keys.json
  keyring-ward import --path $dir/k --key-file $dir/a --from $dir/keys.json >/dev/null
  local now=a other=b done_=0 killed=0
  for ((i = 0; killed < kills; i++)); do
    [ $i -lt 1000 ] || fail "only $killed of $i runs were killed"
    wait=$(awk -v s=$i 'BEGIN { srand(s * 7919 + 1); printf "%.4f", rand() * 0.025 }')
    if [ $((i % 2)) = 0 ]; then
      timeout -s KILL "$wait" keyring-ward rekey --path $dir/k --key-file $dir/$now --new-key-file $dir/$other >/dev/null 2>&1
    else
      timeout -s KILL "$wait" keyring-ward reseal --path $dir/k --key-file $dir/$now >/dev/null 2>&1
    fi && done_=$((done_ + 1)) || killed=$((killed + 1))
    opened=
    for each in a b; do
      if keyring-ward verify --path $dir/k --key-file $dir/$each > $dir/out 2>/dev/null; then
        opened=$opened$each
        grep -q ': 2000 keys' $dir/out || fail "kill $i: $(cat $dir/out)"
      fi
    done
    case $opened in
      "$now") ;;
      "$other") now=$other; other=$([ $now = a ] && echo b || echo a) ;;
      *) fail "kill $i: opened by '$opened'" ;;
    esac
  done
  echo "    $((killed + done_)) runs of rekey and reseal with 2,000 keys: $killed killed, $done_ ended before; always one of the two opened, with all keys"
  rm -rf $dir
}

# The same at every system call that changes something, by strace.
t_kill_at_every_system_call() {
  reset_all
  local dir=/tmp/kw-kills call n opened total=0 command
  rm -rf $dir; mkdir -p $dir
  (umask 077; head -c 32 /dev/urandom > $dir/a; head -c 32 /dev/urandom > $dir/b)
  keyring-ward init --path $dir/k0 --key-file $dir/a >/dev/null
  echo '{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES","data":"00FF","extension":[]}]}' > $dir/keys.json
  keyring-ward import --path $dir/k0 --key-file $dir/a --from $dir/keys.json >/dev/null
  for command in "rekey --new-key-file $dir/b" reseal; do
    for call in openat pwrite64 write fsync fdatasync rename renameat2 unlink ftruncate flock; do
      for ((n = 1; n < 60; n++)); do
        cp $dir/k0 $dir/k; rm -f $dir/k.new
        # shellcheck disable=SC2086
        strace -f -qq -o $dir/trace -e trace=$call -e inject=$call:signal=KILL:when=$n \
          keyring-ward ${command%% *} --path $dir/k --key-file $dir/a $([ "$command" = reseal ] || echo "${command#* }") >/dev/null 2>&1 || true
        grep -q 'killed by SIGKILL' $dir/trace || break
        total=$((total + 1)); opened=
        for each in a b; do
          keyring-ward verify --path $dir/k --key-file $dir/$each 2>/dev/null | grep -q ': 1 keys' && opened=$opened$each
        done
        case $opened in a | b) ;; *) fail "$command, $call number $n: opened by '$opened'" ;; esac
      done
    done
  done
  echo "    $total kills, one at every system call of rekey and reseal: always one of the two opened"
  [ $total -gt 40 ] || fail "only $total kills"
  rm -rf $dir
}

run_tests "$@"
