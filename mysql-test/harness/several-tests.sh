#!/bin/bash
# Several KEKs for one keyring with a real server: it starts with each subset of three of them, or does not; what it says of
# those that are away; and one that goes while it runs. Prints the table of docs/guide/several-keks.md. Then kills of the commands
# that change KEKs, for docs/proof/durability.md.
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

# ---- kills ---------------------------------------------------------------------------------------

# Each command that changes a keyring's KEKs is killed at every system call that changes a file, and at others. Then the keyring
# is in one of two states, with every key; nothing is left but what the next writer takes away; and the command works.
KILLS=/tmp/kw-kills
KILLS_KEYS=500
# What is there when nothing was left behind.
WHOLE='k/keyring.ward k/keyring.ward.lock data/keyring_ward.marker'
# What can change a file or says that somebody is there, and the end.
CHANGES=openat,creat,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,fsync,fdatasync
CHANGES+=,sync_file_range,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod
CHANGES+=,fchmod,fchmodat,chown,fchown,fchownat,utimensat,setxattr,fsetxattr,flock,exit_group

# What is killed | the state before | which configurations open the keyring before | and which after. A configuration's name is
# its threshold and its KEKs; of those in a line the others must not open it.
KILLED='kek add c --config 1-abc|1-ab|1-a 1-b|1-a 1-b 1-c
kek add c --config 2-abc|2-ab|2-ab|2-ab 2-ac 2-bc
kek sync --config 1-abc|1-ab|1-a 1-b|1-a 1-b 1-c
kek sync --config 2-abc|2-ab|2-ab|2-ab 2-ac 2-bc
kek remove c --config 1-abc|1-abc|1-a 1-b 1-c|1-a 1-b
kek remove c --config 2-abc|2-abc|2-ab 2-ac 2-bc|2-ab
rekey --config 1-abc --new-config 1-def|1-abc|1-a 1-b 1-c|1-d 1-e 1-f
rekey --config 2-abc --new-config 2-def|2-abc|2-ab 2-ac 2-bc|2-de 2-df 2-ef
rekey --config 1-abc --new-config 2-abc|1-abc|1-a 1-b 1-c|2-ab 2-ac 2-bc
rekey --config 2-abc --new-config 1-abc|2-abc|2-ab 2-ac 2-bc|1-a 1-b 1-c'

# killed_config NAME: its file.
killed_config() {
  local list='' kek
  for kek in $(grep -o . <<<"${1#*-}"); do list+=", { \"name\": \"$kek\", \"provider\": \"key_file\", \"key_file\": \"$KILLS/$kek\" }"; done
  echo "{ \"path\": \"$KILLS/k/keyring.ward\", \"threshold\": ${1%-*}, \"keks\": [ ${list#, } ] }" > "$KILLS/$1"
}

# ward WORD…: the tool on that keyring, in the folder of the configurations, with the marker.
ward() { keyring-ward "$@" --datadir "$KILLS/data"; }

# Four keyrings to begin with, each with its marker: a server has made the first one's.
killed_keyrings() {
  local name i elements=
  reset_all; component_manifest
  rm -rf $KILLS; mkdir -p $KILLS/k $KILLS/data $KILLS/from; cd $KILLS || exit 1
  for name in a b c d e f; do (umask 077; head -c 32 /dev/urandom > $name); done
  for name in $(grep -oE '[12]-[a-f]+' <<<"$KILLED" | sort -u); do killed_config "$name"; done
  chown -R mysql:mysql $KILLS
  for ((i = 0; i < KILLS_KEYS; i++)); do printf -v elements '%s,{"user":"","data_id":"k%d","data_type":"AES","data":"%064X","extension":[]}' "$elements" $i $i; done
  echo "{\"version\":\"1.0\",\"elements\":[${elements#,}]}" > keys.json
  cp 1-ab "$CONFIG"; fresh_data
  keyring-ward import --config "$CONFIG" --from keys.json --user mysql > /dev/null
  start_server; stop_server
  cp -a "$DATA/keyring_ward.marker" data/
  save 1-ab
  for name in 1-abc 2-ab 2-abc; do
    begin_with 1-ab
    if [ $name = 1-abc ]; then ward kek add c --config 1-abc; else ward rekey --config 1-ab --new-config $name; fi > /dev/null
    save $name
  done
}
save() { mkdir "from/$1"; cp -a k data "from/$1"; }
begin_with() { rm -rf k data; cp -a "from/$1/." .; }

# opened_by NAME…: OPENED is those that open the keyring, with all keys.
opened_by() {
  local name those=()
  for name; do
    case " ${those[*]} " in *" $name "*) continue ;; esac
    case $(ward verify --config "$name" 2>/dev/null) in *": $KILLS_KEYS keys.") those+=("$name") ;; esac
  done
  OPENED=${those[*]}
}

# After a kill of COMMAND at WHERE: one of the two states. Says which, and leaves the keyring in the state after.
after_kill() { # after_kill COMMAND BEFORE AFTER WHERE
  local command=$1 before=$2 after=$3 where="$1, killed at $4" said
  # shellcheck disable=SC2086  # names
  opened_by $before $after
  case $OPENED in "$before") STATE=before ;; "$after") STATE=after ;; *) fail "$where: opened by '$OPENED'" ;; esac
  case $(echo k/* data/*) in "$WHOLE" | "${WHOLE/lock/lock k/keyring.ward.new}") ;; *) fail "$where: left: $(echo k/* data/*)" ;; esac
  # shellcheck disable=SC2086  # words
  if ! said=$(ward $command 2>&1); then
    # A rekey whose old configuration is no longer the keyring's: that is said, nothing changes, and the new one's writers go on.
    [ "$STATE ${command%% *}" = "after rekey" ] || fail "$where: again: $said"
    case $said in *"a rekey may have changed it"* | *"is under these KEKs already"* | *"claim that 1 is enough"*) ;; *) fail "$where: again: $said" ;; esac
    ward reseal --config "${command##* }" > /dev/null || fail "$where: no reseal"
  fi
  # shellcheck disable=SC2086
  opened_by $before $after
  expect "$where: afterwards, opened by" "$OPENED" "$after"
  expect "$where: left afterwards" "$(echo k/* data/*)" "$WHOLE"
}

# killed_at CALL NUMBER COMMAND FROM: under strace; fails where the command made no such call.
killed_at() {
  begin_with "$4"
  # shellcheck disable=SC2086  # words
  { strace -f -qq -o trace -e trace="$1" -e inject="$1:signal=KILL:when=$2" keyring-ward $3 --datadir $KILLS/data; } > /dev/null 2>&1 || true
  grep -q 'killed by SIGKILL' trace
}

# The system calls of a command's run, as CALL and its number among those of its name: those that change a file (also: opened to
# be written, and locks), or with 'rest' the others. What is printed changes none.
calls_of() { # calls_of changes|rest COMMAND FROM
  local which=()
  begin_with "$3"
  [ "$1" = rest ] || which=(-e trace=$CHANGES)
  # shellcheck disable=SC2086
  strace -qq -o trace "${which[@]}" keyring-ward $2 --datadir $KILLS/data > /dev/null 2>&1 || fail "$2: not killed, and fails"
  awk -v which="$1" -v changes=",$CHANGES," '
    match($0, /^[a-z0-9_]+\(/) {
      call = substr($0, 1, RLENGTH - 1); number[call]++
      does = index(changes, "," call ",") > 0
      if (call == "openat" && !/O_CREAT|O_WRONLY|O_RDWR|O_TRUNC/) does = 0
      if (/^write\([12],/) does = 0
      if (call != "execve" && does == (which == "changes")) print call, number[call]
    }' trace
}

t_kills_at_every_change_of_a_file() {
  local command from before after call number count total=0 done_
  killed_keyrings
  while IFS='|' read -r command from before after; do
    count=0 done_=0
    begin_with "$from"
    # shellcheck disable=SC2086  # names
    opened_by $before $after
    expect "$command: to begin with, opened by" "$OPENED" "$before"
    calls_of changes "$command" "$from" > calls
    while read -r call number; do
      killed_at "$call" "$number" "$command" "$from" || fail "$command: there is no $call number $number"
      after_kill "$command" "$before" "$after" "$call number $number"
      count=$((count + 1)); [ $STATE = before ] || done_=$((done_ + 1))
    done < calls
    echo "    $command: killed $count times: $((count - done_)) before, $done_ after"
    # The last one is at the end, when all is done.
    [ $count -ge 10 ] && [ $done_ -ge 1 ] && [ $done_ -lt $count ] || fail "$command: $(cat calls)"
    total=$((total + count))
  done <<<"$KILLED"
  echo "    $total kills, one at every system call that changes a file"
}

# The same at other system calls, and at moments of a clock.
t_kills_at_other_calls_and_moments() {
  local samples command from before after call number i first=0 killed=0 line rc
  samples=$(many 50 400)
  killed_keyrings
  RANDOM=15
  while IFS='|' read -r command from before after; do
    calls_of rest "$command" "$from" > "rest-$first"; first=$((first + 1))
  done <<<"$KILLED"
  first=0
  for ((i = 0; killed < samples; i++)); do
    [ $i -lt 4000 ] || fail "only $killed of $i runs were killed"
    line=$((i % $(wc -l <<<"$KILLED")))
    IFS='|' read -r command from before after <<<"$(sed -n $((line + 1))p <<<"$KILLED")"
    read -r call number <<<"$(sed -n $((1 + RANDOM % $(wc -l < rest-$line)))p rest-$line)"
    # How often somebody is waited for is not the same in each run.
    killed_at "$call" "$number" "$command" "$from" || continue
    killed=$((killed + 1))
    after_kill "$command" "$before" "$after" "$call number $number"
    [ $STATE = after ] || first=$((first + 1))
  done
  echo "    $samples kills at other system calls: $first before, $((samples - first)) after"
  first=0 killed=0
  for ((i = 0; killed < samples; i++)); do
    [ $i -lt 4000 ] || fail "only $killed of $i runs were killed"
    line=$((i % $(wc -l <<<"$KILLED")))
    IFS='|' read -r command from before after <<<"$(sed -n $((line + 1))p <<<"$KILLED")"
    begin_with "$from"
    # shellcheck disable=SC2086  # words
    rc=0; timeout -s KILL "$(awk -v r=$RANDOM 'BEGIN { printf "%.4f", 0.001 + r / 32768 * 0.02 }')" keyring-ward $command --datadir $KILLS/data > /dev/null 2>&1 || rc=$?
    [ $rc != 0 ] || continue
    expect "$command: exit code of a kill" $rc 137
    killed=$((killed + 1))
    after_kill "$command" "$before" "$after" "a moment"
    [ $STATE = after ] || first=$((first + 1))
  done
  echo "    $samples kills at random moments: $first before, $((samples - first)) after"
}

run_tests "$@"
