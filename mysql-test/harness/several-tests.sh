#!/bin/bash
# Several KEKs for one keyring with a real server: it starts with each subset of three of them, or does not; what it says of
# those that are away; and one that goes while it runs. Prints the table of docs/guide/several-keks.md.
#   several-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
NAMES="aws hsm paper"

# several_config THRESHOLD: three KEKs; what they are made of does not matter here, only whether they are there.
several_config() {
  local keks='' name
  for name in $NAMES; do keks+=", { \"name\": \"$name\", \"provider\": \"key_file\", \"key_file\": \"$KEYS/$name.key\" }"; done
  echo "{ \"path\": \"$KEYS/keyring.ward\", \"start_timeout\": 3, \"timeout\": 3, \"threshold\": $1, \"keks\": [ ${keks#, } ] }" > "$CONFIG"
}

# A keyring under three KEKs and an encrypted table.
with_three() { # with_three THRESHOLD
  reset_all; component_manifest; several_config "$1"; fresh_data
  keyring-ward init --config "$CONFIG" --user mysql --generate >/dev/null
  start_server; encrypted_table; stop_server
}

# leave NAME…: these KEKs are there, the others are not.
leave() {
  local name
  for name in $NAMES; do
    case " $* " in
      *" $name "*) [ ! -e "$KEYS/$name.away" ] || mv "$KEYS/$name.away" "$KEYS/$name.key" ;;
      *) [ ! -e "$KEYS/$name.key" ] || mv "$KEYS/$name.key" "$KEYS/$name.away" ;;
    esac
  done
}

variable() { sql -e "SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME='$1'"; }

# What a server does with the KEKs that are there, in a few words.
server_does() {
  local began=$SECONDS
  start_server || { echo "does not start"; return; }
  if [ "$(status_row Component_status)" = Active ] && [ "$(row)" = one ]; then
    echo "serves, answered $(variable Keyring_ward_keks_answered) of $(variable Keyring_ward_keks), degraded $(variable Keyring_ward_degraded)"
  else
    log_has "Nothing was changed."
    echo "disabled after $((SECONDS - began)) s"
  fi
  stop_server
}

subsets() { # subsets THRESHOLD
  local mask name there count did
  with_three "$1"
  for mask in 7 3 5 6 1 2 4 0; do
    there='' count=0
    for name in aws:1 hsm:2 paper:4; do
      [ $((mask & ${name#*:})) = 0 ] || { there+=" ${name%:*}"; count=$((count + 1)); }
    done
    # shellcheck disable=SC2086  # several names
    leave $there
    did=$(server_does)
    echo "    threshold $1, there:${there:- none}: $did"
    case "$did" in serves*) [ $count -ge "$1" ] || fail "too few KEKs opened it" ;; *) [ $count -lt "$1" ] || fail "it should serve" ;; esac
  done
}

t_each_subset_any_of_three() { subsets 1; }
t_each_subset_two_of_three() { subsets 2; }

# While it runs no KEK is needed; a RELOAD and a restart take what is there.
t_one_goes_while_the_server_runs() {
  with_three 1
  start_server; install_udf
  expect degraded "$(variable Keyring_ward_degraded)" 0
  leave hsm paper
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect row "$(row)" one
  sql -e "ALTER INSTANCE RELOAD KEYRING"
  expect degraded "$(variable Keyring_ward_degraded)" 1
  expect result "$(status_row KEK.aws.Result)" NotFound
  expect result "$(status_row KEK.hsm.Result)" opened
  log_has "The KEK 'aws' did not open the keyring, others did"
  leave
  sql -e "ALTER INSTANCE RELOAD KEYRING" 2>/dev/null && fail "a reload without any KEK"
  expect row "$(row)" one
  stop_server
  leave aws hsm paper
  start_server
  expect degraded "$(variable Keyring_ward_degraded)" 0
  expect key "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
}

# As plugin: the list stands in a file that a variable names.
t_the_plugin_reads_a_file() {
  with_three 1
  mv "$CONFIG" /etc/keyring_ward.json; rm -f "$MANIFEST"
  start_server --early-plugin-load=keyring_ward.so --loose-keyring-ward-config-file=/etc/keyring_ward.json
  expect row "$(row)" one
  stop_server
  rm -f /etc/keyring_ward.json
}

run_tests "$@"
