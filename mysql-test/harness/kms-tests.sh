#!/bin/bash
# The backend aws_kms with a real server and real KMS servers, moto and LocalStack, behind a proxy that counts calls
# and injects faults.
#   kms-tests.sh [NAME…]
set -uo pipefail
. /kw/mysql-test/harness/tests-lib.sh
. /kw/mysql-test/harness/kms.sh

with_kms() { # with_kms [SERVER]: a configured component, a keyring, a fresh data directory
  reset_all; component_manifest; kms_reset "${1:-$KW_MOTO}"; kms_config
  keyring-ward init --config "$CONFIG" --user mysql | head -2
  fresh_data
  kms_calls >/dev/null
}
reload() { sql -e "ALTER INSTANCE RELOAD KEYRING"; }
many() { # many FIRST LAST: generates keys
  local i
  for ((i = $1; i <= $2; i++)); do echo "DO keyring_key_generate('m$i','AES',32);"; done | sql
}

t_component_moto() { whole "$KW_MOTO"; }
t_component_localstack() { whole "$KW_LOCALSTACK"; }
whole() {
  with_kms "$1"
  start_server
  expect status "$(status_row Component_status)" Active
  expect mechanism "$(status_row KEK_mechanism)" data-key+aes-256-gcm
  expect calls "$(kms_calls)" Decrypt
  install_udf; encrypted_table
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  local key; key=$(sql -e "SELECT HEX(keyring_key_fetch('k'))")
  kill_server
  start_server
  expect key "$(sql -e "SELECT HEX(keyring_key_fetch('k'))")" "$key"
  expect row "$(row)" one
  for _ in 1 2 3; do sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"; done
  expect row "$(row)" one
  expect "calls of a start and three reloads" "$(kms_calls)" "Decrypt Decrypt Decrypt Decrypt"
  for file in "$KEYS"/keyring.ward "$KEYS"/keyring.ward.lock "$DATA"/keyring_ward.marker; do
    expect "$file" "$(stat -c '%U %a' "$file")" "mysql 600"
  done
  log_lacks "[ERROR]"
  log_lacks AKIDEXAMPLE
}

t_plugin_my_cnf_alone() {
  with_kms
  rm -f "$MANIFEST" "$CONFIG"
  { echo "[mysqld]"; echo "early-plugin-load=keyring_ward.so"; kms_my_cnf loose_keyring_ward_; } > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  install_udf; encrypted_table
  expect "a fixed variable" "$(sql -e "SELECT @@keyring_ward_aws_kms_key_id")" "$KEY"
  sql_fails 1238 "SET GLOBAL keyring_ward_aws_kms_region='elsewhere'"
  kill_server
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
  # The same options as a group of its own, for the component.
  stop_server
  component_manifest
  { echo '[keyring_ward]'; kms_my_cnf ''; } > /etc/my.cnf
  FIRST=--defaults-file=/etc/my.cnf start_server --innodb-redo-log-encrypt=ON
  expect row "$(row)" one
}

t_calls_are_counted() {
  with_kms
  start_server
  install_udf
  expect "start, 0 keys" "$(kms_calls)" Decrypt
  many 1 1000
  expect "1,000 generates" "$(kms_calls)" ""
  sql -e "DO BENCHMARK(1000, keyring_key_fetch('m1'))"
  expect "1,000 fetches" "$(kms_calls)" ""
  stop_server; start_server
  expect "start, 1,000 keys" "$(kms_calls)" Decrypt
  many 1001 10000
  expect "9,000 generates" "$(kms_calls)" ""
  stop_server; start_server
  expect keys "$(status_row Keys)" 10000
  expect "start, 10,000 keys" "$(kms_calls)" Decrypt
  stop_server
  keyring-ward rekey --config "$CONFIG" --new-config "$CONFIG" 2>/dev/null && fail "the same key is a new KEK"
  kms_calls >/dev/null
  keyring-ward reseal --config "$CONFIG" >/dev/null
  expect reseal "$(kms_calls)" "Decrypt GenerateDataKey Decrypt"
  start_server
  expect "start after the reseal" "$(kms_calls)" Decrypt
  expect keys "$(status_row Keys)" 10000
  echo "    KMS calls: start with 0, 1,000, 10,000 keys 1 each; 1,000 fetches 0; 10,000 generates 0; reseal 3 (Decrypt, GenerateDataKey, Decrypt)"
}

# KMS away while the server runs: nothing breaks; RELOAD fails in time and leaves the keyring in place.
t_away_while_running() {
  with_kms
  start_server; install_udf; encrypted_table
  kms_fault hang
  expect generate "$(sql -e "SELECT keyring_key_generate('k','AES',32)")" 1
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  expect row "$(row)" one
  case "$(status_row KEK_last_contact)" in *"s ago"*) ;; *) fail "last contact: $(status_row KEK_last_contact)" ;; esac
  local before=$SECONDS
  reload 2>/dev/null && fail "the reload succeeded"
  [ $((SECONDS - before)) -le 8 ] || fail "the reload took $((SECONDS - before)) s of 5"
  log_has "KW-0012 Unreachable"
  expect row "$(row)" one
  kms_fault ""
  reload
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
}

# KMS away at the start: tried until the budget ends, then Disabled with the reason; RELOAD brings it back.
t_away_at_start() {
  with_kms
  start_server; install_udf; encrypted_table
  sql -e "DO keyring_key_generate('k','AES',32)"
  stop_server
  START_TIMEOUT=4 kms_config
  kms_fault hang
  local before=$SECONDS
  start_server
  echo "    start with KMS away, budget 4 s: ready after $((SECONDS - before)) s"
  [ $((SECONDS - before)) -le 15 ] || fail "the start took $((SECONDS - before)) s"
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"did not answer within"*) ;; *) fail "$(status_row Last_error)" ;; esac
  sql_fails 3185 "SELECT b FROM d.t"
  kms_fault ""
  reload
  expect status "$(status_row Component_status)" Active
  expect length "$(sql -e "SELECT keyring_key_length_fetch('k')")" 32
  # It comes back before the budget ends.
  stop_server
  START_TIMEOUT=20 kms_config
  kms_fault times 3 hang
  start_server
  expect status "$(status_row Component_status)" Active
  expect row "$(row)" one
}

# Each fault at a reload of a running server and at a start: the error is told, the server is up, nothing is lost.
t_faults() {
  TIMEOUT=3 START_TIMEOUT=3 with_kms
  TIMEOUT=3 START_TIMEOUT=3 kms_config
  start_server; install_udf; encrypted_table
  local fault words sum; sum=$(sha256sum < "$KEYS/keyring.ward")
  while IFS='|' read -r fault words; do
    kms_fault "$fault"
    local begin; begin=$(date +%s%N)
    reload 2>/dev/null && fail "the reload succeeded under '$fault'"
    local ms=$((($(date +%s%N) - begin) / 1000000))
    grep -qF -- "$words" "$LOG" || fail "under '$fault' the log has no '$words'"
    [ $ms -le 9000 ] || fail "'$fault' took $ms ms of 3,000"
    expect "row under '$fault'" "$(row)" one
    echo "    $fault: $ms ms of 3,000"
    kms_fault ""
    reload
  done <<'FAULTS'
hang|did not answer within
reset|Unreachable
truncate 20|error reading a body
status 500|HTTP status 500
status 400 ThrottlingException Rate exceeded|Rate exceeded
status 400 AccessDeniedException User: arn:aws:iam::1:user/db is not authorized to perform: kms:Decrypt|user/db is not authorized
status 400 NotFoundException|KW-0001 NotFound
status 400 DisabledException|enable-key
status 400 InvalidCiphertextException|KW-0009 Tampered
status 400 IncorrectKeyException|KW-0008 WrongKek
status 400 ExpiredTokenException|have expired
html|not AWS KMS
endless|more than 1 MiB
redirect|Redirects are not followed
short-key|16 bytes instead of 32
FAULTS
  stop_server
  while read -r fault; do
    kms_fault "$fault"
    start_server || fail "no start under '$fault'"
    expect "status under '$fault'" "$(status_row Component_status)" Disabled
    stop_server
    kms_fault ""
  done <<'FAULTS'
status 400 AccessDeniedException
html
short-key
FAULTS
  chmod 644 "$AWS_KEYS"
  start_server
  expect "status with an open credentials file" "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in *"chmod 600"*) ;; *) fail "$(status_row Last_error)" ;; esac
  chmod 600 "$AWS_KEYS"
  reload
  expect row "$(row)" one
  expect "the keyring file" "$(sha256sum < "$KEYS/keyring.ward")" "$sum"
}

# A key that somebody schedules for deletion, in LocalStack, which keeps states.
t_pending_deletion() {
  with_kms "$KW_LOCALSTACK"
  start_server; install_udf; encrypted_table
  kms_admin ScheduleKeyDeletion "{\"KeyId\":\"$KEY\",\"PendingWindowInDays\":7}" >/dev/null
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "pending deletion; it will be destroyed on 20"
  log_has "NOW run: aws kms cancel-key-deletion --key-id $KEY"
  expect row "$(row)" one
  kms_admin CancelKeyDeletion "{\"KeyId\":\"$KEY\"}" >/dev/null
  kms_admin EnableKey "{\"KeyId\":\"$KEY\"}" >/dev/null
  reload
  expect row "$(row)" one
}

# Another key takes over under the running server; the tool drops the old one.
t_another_key() {
  with_kms
  start_server; install_udf; encrypted_table
  local old=$KEY
  KEY=$(kms_key)
  kms_config
  reload 2>/dev/null && fail "the reload succeeded with another key"
  log_has "Add that key to previous_key_ids"
  kms_config "\"previous_key_ids\": \"$old\""
  reload
  log_has "is now wrapped by AWS KMS key '$KEY'"
  expect "opened by" "$(status_row Opened_by)" "AWS KMS key '$KEY' ($KMS_URL)"
  expect row "$(row)" one
  stop_server
  keyring-ward rekey --config "$CONFIG" --new-config "$CONFIG" >/dev/null
  kms_config
  start_server
  expect row "$(row)" one
  stop_server
  # From a passphrase to KMS and back, by the tool.
  make_passphrase
  keyring-ward rekey --config "$CONFIG" --new-passphrase-file "$KEYS/passphrase" >/dev/null
  component_config "\"passphrase_file\": \"$KEYS/passphrase\""
  cp "$CONFIG" /tmp/kw-passphrase.cnf
  start_server
  expect row "$(row)" one
  stop_server
  kms_config
  keyring-ward rekey --config /tmp/kw-passphrase.cnf --new-config "$CONFIG" >/dev/null
  start_server
  expect row "$(row)" one
}

# --daemonize forks after load(): the runtime of the load must be gone.
t_daemonize() {
  with_kms
  mysqld --no-defaults --user=mysql --datadir=$DATA --socket=$SOCKET --pid-file=/run/mysqld/mysqld.pid \
    --skip-networking --mysqlx=OFF --log-error=$LOG --daemonize
  wait_for 60 mysqladmin -uroot -S $SOCKET ping
  install_udf; encrypted_table
  sql -e "ALTER INSTANCE RELOAD KEYRING; ALTER INSTANCE ROTATE INNODB MASTER KEY"
  expect row "$(row)" one
  local pid; pid=$(cat /run/mysqld/mysqld.pid)
  ! grep -l '^kw-' /proc/"$pid"/task/*/comm || fail "a thread of ours is left"
  mysqladmin -uroot -S $SOCKET shutdown
  wait_for 30 sh -c "! kill -0 $pid" || fail "the shutdown hangs"
}

# After a start, a reload and keys: neither the secret access key nor a data key is in the server's memory.
t_nothing_is_left_in_memory() {
  with_kms
  start_server; install_udf
  sql -e "DO keyring_key_generate('k','AES',32)"
  reload
  $PROXY memory "$SERVER" $KMS "$KEY" > /tmp/kw-found || fail "$(cat /tmp/kw-found)"
  echo "    $(tail -1 /tmp/kw-found)"
}

# ---- where credentials come from ----

AWS=$KEYS/aws
# with_environment: a keyring whose credentials come from the server's environment; $AWS/config with this text.
with_environment() {
  with_kms
  rm -rf $AWS; mkdir -p $AWS
  kms_config
  sed -i 's|"credentials_file": "[^"]*",|"sts_endpoint_url": "'"$KMS_URL"'",|' "$CONFIG"
}
aws_file() { printf '%b' "$2" > "$AWS/$1"; chmod "$3" "$AWS/$1"; chown -R mysql:mysql $AWS; }
process() { aws_file process "#!/bin/sh\n$1\n" 755; }
GOOD='{"Version":1,"AccessKeyId":"AKIDPROC","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}'
start_with() { start_as_mysql env AWS_EC2_METADATA_DISABLED=true AWS_SHARED_CREDENTIALS_FILE=$AWS/none AWS_CONFIG_FILE=$AWS/config "$@" --; }
# Processes of this box with a word in their command line; zombies of the server.
with_word() { local p; for p in $(pgrep -f "$1"); do if [ "/proc/$p/root" -ef / ] && tr '\0' ' ' < "/proc/$p/cmdline" | grep -q "^sleep $1"; then echo "$p"; fi; done; }
zombies() { ps -o stat= --ppid "$SERVER" | grep -c Z || true; }

t_credential_process() {
  with_environment
  aws_file config "[default]\nregion = us-east-1\ncredential_process = $AWS/process\n" 600
  process "id -u > $AWS/uid; printf '%s' '$GOOD'"
  start_with
  expect status "$(status_row Component_status)" Active
  expect "whose process" "$(cat $AWS/uid)" "$(id -u mysql)"
  install_udf; encrypted_table
  # It hangs: the reload ends in time, the message names it, nothing of it is left.
  process "sleep 7431 & exec sleep 7431"
  local before=$SECONDS
  reload 2>/dev/null && fail "the reload succeeded"
  [ $((SECONDS - before)) -le 8 ] || fail "the reload took $((SECONDS - before)) s of 5"
  log_has "the program '$AWS/process' (credential_process in '$AWS/config' line 3) had not ended"
  log_lacks "AWS KMS ($KMS_URL) did not answer"
  expect "what is left" "$(with_word 7431)" ""
  expect zombies "$(zombies)" 0
  # Endless output: cut, and the server's memory does not grow by it.
  process "exec cat /dev/zero"
  local kb; kb=$(awk '/VmRSS/ { print $2 }' /proc/$SERVER/status)
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "printed more than 65536 bytes"
  [ $(($(awk '/VmRSS/ { print $2 }' /proc/$SERVER/status) - kb)) -le 20000 ] || fail "the server's memory grew"
  # Its own words are told, its output never.
  process "echo hidden-output; echo 'no ticket' >&2; exit 3"
  reload 2>/dev/null && fail "the reload succeeded"
  log_has 'failed with exit code 3: "no ticket"'
  log_lacks hidden-output
  # The server dies: so does the process.
  process "exec sleep 7432"
  sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1 &
  wait_for 10 has_started 7432
  kill -9 "$SERVER"; wait "$SERVER" 2>/dev/null || true
  wait_for 5 is_gone 7432
  process "printf '%s' '$GOOD'"
  start_with
  expect row "$(row)" one
  [ $((0x$(awk '/SigCgt/ { print $2 }' /proc/$SERVER/status) & 0x10000)) = 0 ] || fail "somebody handles SIGCHLD in the server"
}
has_started() { [ -n "$(with_word "$1")" ]; }
is_gone() { [ -z "$(with_word "$1")" ]; }

# A carriage return from an environment file with Windows line ends, and files that others can write: told as what they are.
t_credential_texts_and_files() {
  with_environment
  local cr; cr=$(printf 'AKIDEXAMPLE\r')
  start_with AWS_ACCESS_KEY_ID="$cr" AWS_SECRET_ACCESS_KEY=s
  expect status "$(status_row Component_status)" Disabled
  case "$(status_row Last_error)" in "KW-0005 "*"AWS_ACCESS_KEY_ID in the environment has a carriage return"*) ;; *) fail "$(status_row Last_error)" ;; esac
  log_lacks KW-0015
  log_lacks AKIDEXAMPLE
  aws_file config "[default]\ncredential_process = $AWS/process\n" 666
  process "printf '%s' '$GOOD'"
  stop_server
  start_with
  case "$(status_row Last_error)" in "KW-0006 "*"'$AWS/config' has mode 0666"*) ;; *) fail "$(status_row Last_error)" ;; esac
  chmod 600 $AWS/config
  reload
  expect status "$(status_row Component_status)" Active
  chmod 644 $AWS/config; chown nobody $AWS/config
  reload 2>/dev/null && fail "the reload succeeded"
  case "$(status_row Last_error)" in *"'$AWS/config': it belongs to user $(id -u nobody)"*) ;; *) fail "$(status_row Last_error)" ;; esac
  expect status "$(status_row Component_status)" Active
}

# Web identity: its call goes where sts_endpoint_url says, and what is wrong with it names path and host.
t_web_identity() {
  with_environment
  aws_file token tok 644
  local identity=(AWS_ROLE_ARN=arn:aws:iam::123456789012:role/r AWS_WEB_IDENTITY_TOKEN_FILE=$AWS/token)
  start_with "${identity[@]}"
  expect status "$(status_row Component_status)" Active
  rm $AWS/token
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "AWS_WEB_IDENTITY_TOKEN_FILE in the environment: "
  aws_file token tok 644
  sed -i 's|"sts_endpoint_url": "[^"]*"|"sts_endpoint_url": "http://127.0.0.1:9"|' "$CONFIG"
  reload 2>/dev/null && fail "the reload succeeded"
  log_has "no answer of 127.0.0.1:9"
}

kms_off
run_tests "$@"
rc=$?
kms_off
exit $rc
