#!/bin/bash
# The backend pkcs11 with a real server and real modules: SoftHSM2, opencryptoki, kryoptic, and SoftHSM2
# behind p11-kit's socket, which can be switched off.
#   hsm-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/hsm.sh

json() { # json CONDITION: standard input is one JSON document, of which the Perl expression over $d is true
  perl -MJSON::PP -e '$d = decode_json(join "", <STDIN>); exit !(eval shift)' "$1" || fail "not so: $1"
}

with_hsm() { # with_hsm MODULE [shim]: a token with a KEK, a configured component, a fresh data directory
  reset_all; component_manifest; hsm_reset; pin_file
  "use_$1"
  if [ "${2:-}" = shim ]; then use_shim; fi
  pkcs11_config
  as_mysql keyring-ward init --config "$CONFIG" --generate | head -2
  fresh_data
}

# ---- every module --------------------------------------------------------------------------------

# The whole contract of a KEK, and what the module lacks by name.
contract() { # contract MODULE PASSED LACKING
  reset_all; hsm_reset; pin_file; "use_$1"
  as_mysql keyring-ward hsm test --module "$MODULE" --token-label ward --pin-file "$KEYS/pin" > /tmp/kw-contract 2>&1 \
    || { grep -v '^ok' /tmp/kw-contract; fail "the contract does not hold"; }
  local lacking; lacking=$(sed -n 's/^lacking  \([^:]*\):.*/\1/p' /tmp/kw-contract | sort -u | tr '\n' ' ')
  echo "    $1: $(tail -1 /tmp/kw-contract); lacking: ${lacking:-nothing}"
  expect "steps" "$(tail -1 /tmp/kw-contract)" "$2 passed, 0 failed"
  expect "lacking" "$lacking" "$3"
}
t_contract_softhsm() { contract softhsm 54 "rsa-oaep-sha256 "; }
t_contract_opencryptoki() { contract opencryptoki 66 ""; }
t_contract_kryoptic() { contract kryoptic 53 "aes-kwp "; }
t_contract_p11kit() { contract p11kit 28 "aes-kw aes-kwp rsa-oaep-sha256 "; }

# An encrypted table, kill -9, restart, RELOAD, a new InnoDB master key; TLS must survive that the module
# shares the server's OpenSSL.
server_with() { # server_with MODULE START_COMMAND…
  with_hsm "$1"; shift
  "$@"
  expect status "$(status_row Component_status)" Active
  expect mechanism "$(status_row KEK_mechanism)" aes-gcm
  install_udf; encrypted_table
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  if [ "$1" = start_server ]; then kill_server; else mysqladmin -uroot -S $SOCKET shutdown; wait "$SERVER" || true; fi
  "$@"
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect row "$(row)" one
  for _ in 1 2 3; do sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"; done
  expect row "$(row)" one
  expect TLS "$(sql --ssl-mode=REQUIRED -e "SHOW STATUS LIKE 'Ssl_version'" | cut -f2 | cut -c1-3)" TLS
  for file in "$KEYS"/keyring.ward "$KEYS"/keyring.ward.lock "$DATA"/keyring_ward.marker; do
    expect "$file" "$(stat -c '%U %a' "$file")" "mysql 600"
  done
  log_lacks "[ERROR]"
}
t_server_softhsm() { server_with softhsm start_server; }
t_server_kryoptic() { server_with kryoptic start_server; }
t_server_p11kit() { server_with p11kit start_server; }
# Its token wants a process of the group pkcs11: also where root starts the server, the account has its groups.
t_server_opencryptoki() { server_with opencryptoki start_as_mysql env --; stop_server; server_with opencryptoki start_server; }

# ---- keys on the token ---------------------------------------------------------------------------

# The keys themselves are objects on the token: nothing is on disk, with and without a copy in memory.
on_token() { # on_token MODULE CACHE
  with_hsm "$1"
  rm -f "$KEYS"/keyring.ward*
  pkcs11_config '"storage": "token"' "\"cache\": $2"
  START=start_server; [ "$1" != opencryptoki ] || START="start_as_mysql env --"
  $START
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect store "$(sql -e "SELECT keyring_key_store('s','SECRET','some text')")" 1
  sql_null "SELECT keyring_key_generate('k','AES',32)"
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  expect length "${#key}" 64
  if [ "$1" = opencryptoki ]; then mysqladmin -uroot -S $SOCKET shutdown; wait "$SERVER" || true; else kill_server; fi
  [ ! -e "$KEYS/keyring.ward" ] || fail "there is a keyring file"
  $START
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect text "$(sql -e "SELECT keyring_key_fetch('s')")" "some text"
  expect row "$(row)" one
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY; SELECT keyring_key_remove('s')" >/dev/null
  expect "a removed key" "$(sql -e "SELECT IFNULL(keyring_key_fetch('s'),'gone')")" gone
  expect keys "$(status_row Keys)" 3
}
t_token_softhsm() { on_token softhsm true; stop_server; on_token softhsm false; }
t_token_kryoptic() { on_token kryoptic true; stop_server; on_token kryoptic false; }
t_token_p11kit() { on_token p11kit true; stop_server; on_token p11kit false; }
t_token_opencryptoki() { on_token opencryptoki true; }

t_token_hsm_goes_away_and_comes_back() {
  on_token p11kit true
  hsm_off
  # Cached keys are served, changes fail within the time, and work again by themselves.
  expect row "$(row)" one
  expect cached "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  local before=$SECONDS
  sql_null "SELECT keyring_key_generate('n','AES',32)"
  [ $((SECONDS - before)) -le 8 ] || fail "a write took $((SECONDS - before)) s"
  log_has "KW-0012 Unreachable"
  hsm_on
  expect generate "$(sql -e "SELECT keyring_key_generate('n','AES',32)")" 1
  stop_server
  # Without a copy in memory reads fail as well: as failures, not as absent keys.
  pkcs11_config '"storage": "token"' '"cache": false'
  start_server
  expect length "$(sql -e "SELECT keyring_key_length_fetch('n')")" 32
  hsm_off
  sql_null "SELECT keyring_key_length_fetch('n')"
  hsm_on
  expect length "$(sql -e "SELECT keyring_key_length_fetch('n')")" 32
}

t_token_daemonize() {
  with_hsm softhsm shim
  rm -f "$KEYS"/keyring.ward*
  pkcs11_config '"storage": "token"' '"cache": false'
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
  expect "initialised and ended" "$(calls Initialize)" "$(calls Finalize)"
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid"
}

# ---- roles --------------------------------------------------------------------------------------

t_plugin_my_cnf_alone() {
  with_hsm softhsm
  rm -f "$MANIFEST" "$CONFIG"
  cat > /etc/my.cnf <<CNF
[mysqld]
early-plugin-load=keyring_ward.so
loose_keyring_ward_backend=pkcs11
loose_keyring_ward_path=$KEYS/keyring.ward
loose_keyring_ward_pkcs11_module=$MODULE
loose_keyring_ward_pkcs11_token_label=ward
loose_keyring_ward_pkcs11_key_label=kek
loose_keyring_ward_pkcs11_pin_file=$KEYS/pin
CNF
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  install_udf; encrypted_table
  expect "a fixed variable" "$(sql -e "SELECT @@keyring_ward_pkcs11_token_label")" ward
  sql_fails 1238 "SET GLOBAL keyring_ward_pkcs11_module='/elsewhere'"
  kill_server
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
  # The same options as a group of its own, for the component.
  stop_server
  component_manifest
  { echo '[keyring_ward]'; sed -n 's/^loose_keyring_ward_//p' /etc/my.cnf; } > /etc/my.cnf.new
  mv /etc/my.cnf.new /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
}

t_daemonize() {
  with_hsm softhsm shim
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  install_udf; encrypted_table
  # After the fork the module is initialised afresh, by the child.
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect row "$(row)" one
  expect "initialised and ended" "$(calls Initialize)" "$(calls Finalize)"
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid"
}

t_daemonize_with_a_hanging_module() {
  START_TIMEOUT=2 with_hsm softhsm shim
  # Started by root the module hangs in a child, which is gone: it can be used as soon as it works.
  faults "DecryptInit hang 15"
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  expect status "$(status_row Component_status)" Disabled
  faults ""
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect status "$(status_row Component_status)" Active
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid" || fail "the shutdown hangs"
  faults "DecryptInit hang 15"
  as_mysql mysqld --no-defaults --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  expect status "$(status_row Component_status)" Disabled
  faults ""
  # The thread that hangs stayed with the launcher: in this process the module can't be used any more.
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "the reload succeeded"
  case "$(status_row Last_error)" in *"hung before this process was forked"*) ;; *) fail "$(status_row Last_error)" ;; esac
  pid=$(cat /run/mysqld/mysqld.pid)
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid" || fail "the shutdown hangs"
  start_server
  expect status "$(status_row Component_status)" Active
}

# A module that is never finalised meets the fork.
t_daemonize_opencryptoki() {
  with_hsm opencryptoki
  : > $LOG; chown mysql:mysql $LOG
  as_mysql mysqld --no-defaults --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  install_udf; encrypted_table
  local i
  for i in 1 2 3; do sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"; done
  expect row "$(row)" one
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid"
}

t_help_runs_touch_nothing() {
  with_hsm softhsm shim
  : > $HSM/calls
  mysqld --verbose --help --user=mysql --datadir=$DATA >/dev/null 2>&1
  mysqld --validate-config --user=mysql --datadir=$DATA >/dev/null 2>&1
  expect "calls" "$(wc -l < $HSM/calls)" 0
  start_server
  [ "$(wc -l < $HSM/calls)" -gt 0 ] || fail "the shim counts nothing"
}

t_tool_beside_the_server() {
  with_hsm softhsm
  start_server; install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  keyring-ward status --config "$CONFIG" > /tmp/kw-status
  grep -q '^KEK_mechanism *aes-gcm' /tmp/kw-status || fail "$(cat /tmp/kw-status)"
  keyring-ward verify --config "$CONFIG"
  keyring-ward hsm list --module "$MODULE" | grep -q "Token 'ward'"
  keyring-ward hsm keys --config "$CONFIG" | grep -q "'kek'.*encrypts"
  # The same for programs: each is one JSON document.
  keyring-ward hsm list --json --module "$MODULE" \
    | json 'grep { $_->{label} eq "ward" && grep { $_ eq "aes-gcm" } @{$_->{mechanisms}} } @{$d->{tokens}}'
  keyring-ward hsm keys --json --config "$CONFIG" | json 'grep { /kek/ } @{$d->{keys}}'
  keyring-ward hsm test --json --config "$CONFIG" | json '$d->{failed} == 0 && $d->{passed} > 1 && @{$d->{steps}} >= $d->{passed}'
  stop_server
  # From a passphrase to the token and back again, by the tool.
  make_passphrase
  cp "$CONFIG" /tmp/kw-on-token.cnf
  keyring-ward rekey --config "$CONFIG" --new-passphrase-file "$KEYS/passphrase"
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  start_server; expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32; stop_server
  keyring-ward rekey --config "$CONFIG" --new-config /tmp/kw-on-token.cnf
  cp /tmp/kw-on-token.cnf "$CONFIG"
  start_server; expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
}

# No rekey moves a key onto the token or off it, and none says that it has; an import does, as docs/guide/pkcs11.md says.
t_moving_onto_the_token() {
  with_hsm softhsm
  start_server; encrypted_table; install_udf; sql < /kw/share/install.sql
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  local key said; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  cp "$CONFIG" /tmp/kw-old.cnf
  pkcs11_config '"storage": "token"'; sed -i 's/"kek"/"keys"/; s/keyring\.ward"/token.ward"/' "$CONFIG"; cp "$CONFIG" /tmp/kw-new.cnf
  sed 's/token\.ward"/keyring.ward"/' /tmp/kw-new.cnf > "$CONFIG"; cp "$CONFIG" /tmp/kw-same.cnf
  case "$(sql -e "SELECT keyring_ward_rekey()")" in *"keyring-ward import"*) ;; *) fail "SQL moves keys onto the token" ;; esac
  stop_server; cp /tmp/kw-old.cnf "$CONFIG"
  said=$(keyring-ward rekey --config /tmp/kw-old.cnf --new-config /tmp/kw-same.cnf --generate 2>&1) && fail "rekey moves keys onto the token: $said"
  case "$said" in *"keyring-ward import"*) ;; *) fail "no way is named: $said" ;; esac
  said=$(keyring-ward init --path "$KEYS/token.ward" --module "$MODULE" --token-label ward --key-label keys --pin-file "$KEYS/pin" \
    --option pkcs11_storage=token --option start_timeout=20 --generate --user mysql) || fail "init: $said"
  case "$said" in *"Made the keyring on the token 'ward'"*'"storage": "token"'*loose_keyring_ward_pkcs11_storage=token*) ;; *) fail "init: $said" ;; esac
  [ ! -e "$KEYS/token.ward" ] || fail "there is a file"
  # What init prints is the configuration.
  grep -m1 '^  {' <<< "$said" > /tmp/kw-new.cnf
  keyring-ward import --config /tmp/kw-new.cnf --from-config /tmp/kw-old.cnf > /dev/null
  case "$(keyring-ward import --config /tmp/kw-new.cnf --from-config /tmp/kw-old.cnf --dry-run)" in *"0 keys would be imported"*) ;; *) fail "the dry run does not see the token" ;; esac
  keyring-ward reset-marker --datadir "$DATA" > /dev/null
  cp /tmp/kw-new.cnf "$CONFIG"
  keyring-ward doctor --plugin-dir "$PLUGINS" --datadir "$DATA" > /tmp/kw-doctor || fail "$(cat /tmp/kw-doctor)"
  start_server
  expect row "$(row)" one
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  stop_server
  keyring-ward rekey --config "$CONFIG" --new-config /tmp/kw-old.cnf > /tmp/kw-said 2>&1 && fail "rekey moves keys off the token"
  return 0
}

# Neither the PIN file's content nor a removed trace of it is in the server's memory, log or status after the start.
t_pin_leaves_no_trace() {
  PIN=Zq7-pin-of-the-test-91
  with_hsm softhsm
  start_as_mysql env --
  install_udf; encrypted_table
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  # The search must be able to find something: the token's label is there.
  local found; found=$(as_mysql $JUDGE memory "$SERVER" "$PIN" "token_label")
  echo "    PIN in memory: ${found% *} places; a word of the configuration: ${found#* } places"
  [ "${found#* }" -gt 0 ] || fail "the search finds nothing at all"
  expect "places with the PIN" "${found% *}" 0
  ! grep -qF "$PIN" "$LOG" || fail "the PIN is in the log"
  ! sql -e "SELECT * FROM performance_schema.keyring_component_status" | grep -qF "$PIN" || fail "the PIN is in the status rows"
  mysqladmin -uroot -S $SOCKET shutdown; wait "$SERVER" || true
}

# Anybody can wrap for a public key: only a pinned fingerprint says that the DEK is ours.
t_rsa_oaep_needs_a_fingerprint() {
  with_hsm kryoptic
  rm -f "$KEYS"/keyring.ward*
  pkcs11_config '"mechanism": "rsa-oaep-sha256"'
  local pin; pin=$(as_mysql keyring-ward init --config "$CONFIG" --generate | sed -n "s/.*fingerprint is \([0-9a-f]*\)\..*/\1/p")
  expect "a fingerprint" "${#pin}" 32
  start_server
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"no fingerprint is pinned"*) ;; *) fail "$(status_row Last_error)" ;; esac
  stop_server
  sed -i "s|\"backend\"|\"fingerprint\": \"$pin\", \"backend\"|" "$CONFIG"
  start_server
  install_udf; encrypted_table
  expect mechanism "$(status_row KEK_mechanism)" rsa-oaep-sha256
  kill_server; start_server
  expect row "$(row)" one
  stop_server
  sed -i "s|$pin|${pin:1}0|" "$CONFIG"
  start_server
  case "$(status_row Last_error)" in *"WrongKek"*"pins"*) ;; *) fail "$(status_row Last_error)" ;; esac
}

# ---- cost ----------------------------------------------------------------------------------------

t_calls_to_the_module() {
  with_hsm softhsm shim
  start_server; install_udf
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  stop_server
  : > $HSM/calls
  start_server
  echo "    a start: $(wc -l < $HSM/calls) calls, of these $(calls Login) login, $(calls DecryptInit) decryption"
  expect "decryptions at start" "$(calls DecryptInit)" 1
  expect "logins at start" "$(calls Login)" 1
  : > $HSM/calls
  sql --delimiter=// -e "CREATE DATABASE d// CREATE PROCEDURE d.fill(n INT) BEGIN DECLARE i INT DEFAULT 0;
    WHILE i < n DO DO keyring_key_generate(CONCAT('x',i),'AES',32); SET i=i+1; END WHILE; END//"
  sql -e "CALL d.fill(1000); DO BENCHMARK(1000, keyring_key_fetch('k'))"
  expect "calls for 1,000 generates and 1,000 fetches" "$(wc -l < $HSM/calls)" 0
  expect keys "$(status_row Keys)" 1001
}

# ---- faults --------------------------------------------------------------------------------------

t_hsm_goes_away_and_comes_back() {
  START_TIMEOUT=3 with_hsm p11kit
  start_server; install_udf; encrypted_table
  sql -e "SELECT keyring_key_generate('k','AES',32)" >/dev/null
  # Gone while the server runs: nobody notices.
  hsm_off
  expect generate "$(sql -e "SELECT keyring_key_generate('k2','AES',32)")" 1
  expect row "$(row)" one
  case "$(status_row KEK_last_contact)" in *" s ago, "*) ;; *) fail "$(status_row KEK_last_contact)" ;; esac
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "the reload succeeded without the HSM"
  log_has "The keyring that was loaded before goes on serving."
  echo "    reload without the HSM: $(status_row Last_error | cut -c1-200)"
  expect row "$(row)" one
  hsm_on
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect row "$(row)" one
  stop_server
  # Gone at start: waited for, then disabled with the reason; RELOAD brings it back.
  hsm_off
  local before=$SECONDS
  start_server
  echo "    start without the HSM: ready after $((SECONDS - before)) s with start_timeout 3, $(status_row Last_error | cut -c1-160)"
  [ $((SECONDS - before)) -le 9 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  sql_fails 3185 "SELECT * FROM d.t"
  hsm_on
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect status "$(status_row Component_status)" Active
  expect key "$(sql -e "SELECT keyring_key_length_fetch('k2')")" 32
  stop_server
  # It comes while the start waits for it: once the module was asked again, which the shim tells.
  hsm_off
  use_shim; START_TIMEOUT=30 pkcs11_config
  asked_again() { [ "$(calls Initialize)" -ge 2 ]; }
  (wait_for 25 asked_again && hsm_on) &
  local switch=$!
  start_server
  wait $switch
  expect status "$(status_row Component_status)" Active
  expect row "$(row)" one
}

t_hanging_module() {
  START_TIMEOUT=2 with_hsm softhsm shim
  start_server; install_udf; encrypted_table; stop_server
  faults "DecryptInit hang 60"
  local before=$SECONDS
  start_server
  [ $((SECONDS - before)) -le 8 ] || fail "the start took $((SECONDS - before)) s"
  echo "    a module that hangs 60 s: ready after $((SECONDS - before)) s, $(status_row Last_error | cut -c1-160)"
  expect status "$(status_row Component_status)" Disabled
  before=$SECONDS
  stop_server
  [ $((SECONDS - before)) -le 8 ] || fail "the stop took $((SECONDS - before)) s"
  faults ""
  start_server
  expect row "$(row)" one
}

# A wrong PIN is tried once, whatever is done with it.
t_wrong_pin_in_a_restart_loop() {
  with_hsm softhsm shim
  start_server; install_udf; encrypted_table; stop_server
  pin_file 99999999
  : > $HSM/calls
  local i
  for i in 1 2 3 4; do
    start_server
    expect status "$(status_row Component_status)" Disabled
    sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "the reload succeeded"
    mysqld --verbose --help --user=mysql --datadir=$DATA >/dev/null 2>&1
    stop_server
  done
  expect "attempts at the token" "$(calls Login)" 1
  log_has "was refused by this token before"
  pin_file
  start_server
  expect row "$(row)" one
  [ ! -e "$KEYS/keyring.ward.refused-pin" ] || fail "the refused PIN is still remembered"
}

# What is wrong with the configuration or the HSM: a Disabled keyring with the reason, a server that is up, and
# everything back when it is mended.
t_bad_input() {
  with_hsm softhsm shim
  start_server; install_udf; encrypted_table; stop_server
  local sum; sum=$(sha256sum < "$KEYS/keyring.ward")
  START_TIMEOUT=2 pkcs11_config; cp "$CONFIG" /tmp/kw-good.cnf
  mended() { cp /tmp/kw-good.cnf "$CONFIG"; faults ""; pin_file; rm -f "$KEYS/keyring.ward.refused-pin"; }
  bad() { # bad WHAT KIND TEXT: the configuration, file or fault is broken now
    start_server || fail "$1: the server did not start"
    expect "$1: status" "$(status_row Component_status)" Disabled
    local error; error=$(status_row Last_error)
    case "$error" in *"$2:"*"$3"*) ;; *) fail "$1: $error" ;; esac
    printf '    %-26s %s\n' "$1" "$(echo "$error" | cut -c1-230)"
    stop_server
    mended
    expect "$1: the keyring file" "$(sha256sum < "$KEYS/keyring.ward")" "$sum"
  }
  # What is not of the server's own doing is a row of tests/contract_pkcs11.rs as well: here with --all alone.
  rarely() { if [ "$(many no yes)" = yes ]; then bad "$@"; else mended; fi; }
  edit() { sed -i "$1" "$CONFIG"; }
  edit "s|$SHIM|/nowhere/module.so|"; bad "module missing" NotFound "No such file"
  edit "s|$SHIM|/usr/lib/x86_64-linux-gnu/libz.so.1|"; rarely "not a PKCS#11 module" Config "has no C_GetFunctionList"
  edit "s|$SHIM|/etc/passwd|"; rarely "not a library" Config "is not a shared library"
  head -c 18 $SHIM > /kw/arm.so; printf '\267\0' >> /kw/arm.so; tail -c +21 $SHIM >> /kw/arm.so
  edit "s|$SHIM|/kw/arm.so|"; rarely "another architecture" Config "for another architecture"
  cp $SHIM /kw/open.so; chmod 777 /kw/open.so
  edit "s|$SHIM|/kw/open.so|"; rarely "module writable by all" Permission "others than its owner can change it"
  edit 's|"token_label": "ward"|"token_label": "absent"|'; rarely "token missing" NotFound "no token 'absent'"
  edit 's|"key_label": "kek"|"key_label": "absent"|'; bad "key missing" NotFound "there is no AES key 'absent'"
  rm "$KEYS/pin"; rarely "PIN file missing" NotFound "No such file"
  pin_file ""; rarely "PIN empty" InvalidInput "is empty"
  pin_file 99999999; bad "PIN wrong" Denied "CKR_PIN_INCORRECT"
  chmod 644 "$KEYS/pin"; rarely "PIN readable by all" Permission "mode 0644"
  faults "Login a4"; rarely "PIN locked" Denied "CKR_PIN_LOCKED"
  faults "Login a3"; rarely "PIN expired" Denied "CKR_PIN_EXPIRED"
  faults "GetTokenInfo e0"; bad "token removed" Unreachable "CKR_TOKEN_NOT_PRESENT"
  faults "DecryptInit 30"; rarely "device error" Unreachable "CKR_DEVICE_ERROR"
  faults "OpenSession b1"; rarely "no session left" Unreachable "CKR_SESSION_COUNT"
  edit 's|"key_label"|"mechanism": "aes-kwp", "key_label"|'; rarely "another mechanism pinned" WrongKek "the configuration pins 'aes-kwp'"
  start_server; expect row "$(row)" one; stop_server
  # The right label, but another key.
  as_mysql pkcs11-tool --module $SOFTHSM --token-label ward --login --pin $PIN --delete-object --type secrkey --label kek >/dev/null
  as_mysql pkcs11-tool --module $SOFTHSM --token-label ward --login --pin $PIN --keygen --key-type AES:32 --label kek --sensitive --usage-decrypt >/dev/null
  bad "another key of that label" WrongKek "is not the one that wrapped its DEK"
}

run_tests "$@"
