#!/bin/bash
# The durability experiments, inside the box: scripts/torture.sh runs this and explains it.
#   torture.sh [--quick] PART…
# Parts without a server (ours alone): syscalls powercut life tears
# With a server, ours alone: rotation
# Parts with a server, for both keyrings: older kill servercut serverfaults full copies replaced twoservers bitrot
# Each experiment prints lines "RESULT <experiment> <keyring> name=value…"; ours must be without fault,
# what becomes of the stock component is reported, whatever it is.
set -uo pipefail
. /kw/mysql-test/harness/torture-lib.sh
QUICK=no; [ "${1:-}" = --quick ] && { QUICK=yes; shift; }
PASSED=0 FAILED=0
RANDOM=${SEED:-$$}
# bash tells of every process that was killed; here that is the point.
exec 2> >(grep -v ' Killed ' >&2)

many() { if [ $QUICK = yes ]; then echo "$1"; else echo "$2"; fi; } # many QUICK WHOLE
verdict() { # verdict NAME BAD
  if [ "$2" = 0 ]; then PASSED=$((PASSED + 1)); echo "ok      $1"; else FAILED=$((FAILED + 1)); echo "FAILED  $1"; fi
}
result() { echo "RESULT $*"; }

# ---- every system call of the write path, ours ------------------------------------------------

# A keyring with five keys (none for "new"), and with an unacknowledged half record for "torn".
syscall_template() { # syscall_template SCENARIO
  rm -rf /t; mkdir /t
  case $1 in new) $T prepare /t/d /t/s 0 ;; *) $T prepare /t/d /t/s 5 ;; esac || return 1
  if [ "$1" = torn ]; then
    # As a kill in mid-write leaves it: the marker does not know of that record.
    cp /t/s/acks /t/acks; cp /t/d/data/keyring_ward.marker /t/marker
    $T stream /t/d /t/s 1 && mv /t/acks /t/s/acks && mv /t/marker /t/d/data/keyring_ward.marker
    truncate -s -10 /t/d/keys/keyring.ward
  fi
  rm -rf /t.template; cp -a /t /t.template
}
command_of() { case $1 in new | torn) echo "scenario /t/d /t/s write" ;; *) echo "scenario /t/d /t/s $1" ;; esac; }

# In "rescue" the test itself removes the file; a kill before it is written anew from memory leaves none.
removed_by_the_test() { [ "$1 $2" = "rescue KILL" ] && [ ! -e /t/d/keys/keyring.ward ]; }

part_syscalls() {
  local scenario error name n cases=0 bad=0 calls=0 kills=0 out rc gone=0
  for scenario in new write compact rekey reload rescue torn; do
    syscall_template $scenario || { bad=$((bad + 1)); continue; }
    # shellcheck disable=SC2046
    strace -qq -y -e trace=%file,%desc -o /t.calls $T $(command_of $scenario) >/t.out || { cat /t.out; bad=$((bad + 1)); }
    # The calls that name the keyring's folder or the data directory: "name ordinal".
    # shellcheck disable=SC2046
    $JUDGE calls $(many --short "") /t.calls > /t.list
    calls=$((calls + $(wc -l < /t.list)))
    while read -r name n; do
      for error in EIO ENOSPC EDQUOT EROFS KILL; do
        rm -rf /t; cp -a /t.template /t
        case $error in KILL) out=signal=KILL ;; *) out=error=$error ;; esac
        # shellcheck disable=SC2046
        strace -qq -o /dev/null -e trace="$name" -e inject="$name:$out:when=$n" $T $(command_of $scenario) >/t.out 2>&1
        rc=$?
        cases=$((cases + 1)); [ $error = KILL ] && kills=$((kills + 1))
        if removed_by_the_test $scenario $error; then gone=$((gone + 1)); continue; fi
        if { [ $error != KILL ] && [ $rc != 0 ]; } || ! $T check /t/d /t/s >/t.check 2>&1; then
          bad=$((bad + 1)); echo "    $scenario: $name $n $error: exit $rc"; sed 's/^/        /' /t.out /t.check | tail -12
        fi
      done
      # From this call on the disk stays broken; then it is mended and the keyring opened again.
      rm -rf /t; cp -a /t.template /t
      # shellcheck disable=SC2046
      strace -qq -o /dev/null -e trace="$name" -e inject="$name:error=EIO:when=$n+" $T $(command_of $scenario) >/t.out 2>&1
      cases=$((cases + 1))
      if removed_by_the_test $scenario KILL; then gone=$((gone + 1)); continue; fi
      if ! $T check /t/d /t/s >/t.check 2>&1; then
        bad=$((bad + 1)); echo "    $scenario: $name $n EIO for good"; sed 's/^/        /' /t.out /t.check | tail -12
      fi
    done < /t.list
  done
  result syscalls ward scenarios=7 calls=$calls injected=$cases of_these_kills=$kills file_removed_by_the_test=$gone bad=$bad
  verdict "every system call fails once and is killed at" $bad
  # The judge must be able to say no: a write that claims success.
  syscall_template write
  strace -qq -o /t.calls -e trace=pwrite64 $T stream /t/d /t/s 1 >/dev/null
  n=$(awk '/^pwrite64/ { print $NF; exit }' /t.calls)
  syscall_template write
  strace -qq -o /dev/null -e trace=pwrite64 -e inject=pwrite64:retval="$n":when=1 $T stream /t/d /t/s 1 >/dev/null 2>&1
  $T check /t/d /t/s >/t.check 2>&1
  rc=$?
  verdict "the judge sees a write that never happened ($(head -1 /t.check | cut -c1-40))" $((rc == 0))
}

# ---- power cuts -------------------------------------------------------------------------------

cut_make() { # cut_make FILESYSTEM
  cut_end; rm -f /cut.img; mkdir -p /cut
  truncate -s 400M /cut.img
  case $1 in
    ext4) mkfs.ext4 -q -F /cut.img ;;
    xfs) mkfs.xfs -q -f /cut.img ;;
    btrfs) mkfs.btrfs -q -f /cut.img ;;
  esac && mount -o loop /cut.img /cut
}
cut_end() { umount /cut 2>/dev/null || umount -l /cut 2>/dev/null; true; }
# The disk is as it was at the cut: unmount what can write no more, mount what the disk holds. (Where somebody keeps it, that is
# what can write no more once again.)
cut_again() {
  local i
  for i in 1 2 3 4 5 6 7 8 9 10; do umount /cut 2>/dev/null && break; sleep 0.1; done
  mount -o loop /cut.img /cut || return 1
  touch /cut/.again 2>/dev/null || { echo "    the file system that was ended is still mounted elsewhere"; return 1; }
}

oks() { local n; n=$(grep -c '^ok' /stable/acks 2>/dev/null); echo "${n:-0}"; }
run_and_cut() { # run_and_cut COMMAND FLAG: cuts at a random moment
  local target writer; target=$(($(oks) + RANDOM % 40 + 1))
  $T "$1" /cut/t /stable 1000000 >/t.out 2>&1 &
  writer=$!
  until [ "$(oks)" -ge $target ] || ! kill -0 $writer 2>/dev/null; do :; done
  echo cut >> /stable/acks
  $T shutdown /cut "$2"
  kill -9 $writer 2>/dev/null; wait $writer 2>/dev/null
}

powercut_on() { # powercut_on FILESYSTEM ROUNDS
  local fs=$1 rounds=$2 i mode flag bad=0 acknowledged=0 out
  if ! cut_make "$fs"; then echo "SKIPPED powercut on $fs: it can't be mounted here"; return 0; fi
  if ! $T shutdown /cut 1 2>/t.out; then echo "SKIPPED powercut on $fs: $(grep -o 'shutdown: .*' /t.out | head -1)"; cut_end; return 0; fi
  cut_again
  rm -rf /stable; $T prepare /cut/t /stable 30
  declare -A count=()
  for i in $(seq "$rounds"); do
    flag=$((i % 2 + 1))
    case $((i % 5)) in
      0) mode=during_writes; run_and_cut stream $flag ;;
      1) mode=after_an_acknowledgement; $T cut /cut/t /stable $((RANDOM % 20 + 1)) $flag >/t.out 2>&1 ;;
      2) mode=during_compaction; run_and_cut compact $flag ;;
      3) mode=during_a_kek_change; run_and_cut rekey $flag ;;
      4) mode=after_kill_and_restart
        # Rule 7: killed before fdatasync, opened again, what is served is acknowledged, cut.
        strace -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=KILL:when=$((RANDOM % 8 + 2)) \
          $T stream /cut/t /stable 1000 >/t.out 2>&1
        $T publish /cut/t /stable >/t.out 2>&1
        $T shutdown /cut $flag ;;
    esac
    acknowledged=$((acknowledged + $(oks)))
    cut_again
    if out=$($T check /cut/t /stable 2>&1); then count[$mode]=$((${count[$mode]:-0} + 1))
    else bad=$((bad + 1)); echo "    cut $i $mode flag $flag: $out"; rm -rf /cut/t; $T prepare /cut/t /stable 30 >/dev/null 2>&1; fi
  done
  local each=; for mode in "${!count[@]}"; do each="$each $mode=${count[$mode]}"; done
  result "powercut_$fs" ward cuts=$rounds bad=$bad acknowledged=$acknowledged $each
  verdict "power cuts on $fs" $bad
  # The judge must be able to say no: the same with an fdatasync that does nothing.
  local lost=0
  for i in 1 2 3 4 5 6; do
    strace -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:retval=0 $T cut /cut/t /stable 5 2 >/t.out 2>&1
    cut_again
    $T check /cut/t /stable >/t.out 2>&1 || lost=$((lost + 1))
    rm -rf /cut/t; $T prepare /cut/t /stable 30 >/dev/null
  done
  result "powercut_$fs" ward_without_fdatasync cuts=6 bad=$lost
  verdict "without fdatasync, cuts on $fs lose keys ($lost of 6)" $((lost == 0))
  cut_end
}
part_powercut() {
  powercut_on ext4 "$(many 10 120)"
  [ $QUICK = yes ] || { powercut_on xfs 60; powercut_on btrfs 60; }
}

# ---- the life of keys -------------------------------------------------------------------------

# Every change to logical and retired keys (made, rotated, pending, activated, planned, cancelled, held, compromised, destroyed,
# brought back, InnoDB's keys retired and brought back), broken off at every call that changes a file, and by power cuts: each
# key is in one of two states afterwards, and every version's material is there.
life_template() { rm -rf /t /t.template; mkdir /t; $T prepare /t/d /t/s 3 && cp -a /t /t.template; }
part_life() {
  local error name n out rc cases=0 bad=0
  life_template || { verdict "a keyring for the life of keys" 1; return; }
  # shellcheck disable=SC2046
  strace -qq -y -e trace=%file,%desc -o /t.calls $T live /t/d /t/s 60 > /t.out || { cat /t.out; bad=1; }
  # shellcheck disable=SC2046
  $JUDGE calls $(many --short "") /t.calls | grep -E '^(p?write|fsync|fdatasync|rename|unlink|ftruncate|fallocate|openat|link|fchmod|fchown)' > /t.list
  while read -r name n; do
    for error in $(many KILL "KILL EIO ENOSPC"); do
      rm -rf /t; cp -a /t.template /t
      case $error in KILL) out=signal=KILL ;; *) out=error=$error ;; esac
      strace -qq -o /dev/null -e trace="$name" -e inject="$name:$out:when=$n" $T live /t/d /t/s 60 >/t.out 2>&1
      rc=$?; cases=$((cases + 1))
      if { [ $error != KILL ] && [ $rc != 0 ] && [ $rc != 10 ]; } || grep -q 'torture: ' /t.out || ! $T livecheck /t/d /t/s >/t.check 2>&1 || ! $T live /t/d /t/s 30 >/t.out 2>&1; then
        bad=$((bad + 1)); echo "    life: $name $n $error: exit $rc"; sed 's/^/        /' /t.out /t.check | tail -8
      fi
    done
  done < /t.list
  result life ward calls="$(wc -l < /t.list)" injected=$cases bad=$bad
  verdict "the life of keys, killed at every call that changes a file" $((bad > 0 || cases == 0))
  life_cuts "$(many 6 120)"
}
life_cuts() { # life_cuts ROUNDS
  local rounds=$1 i bad=0 acknowledged=0 target writer out lost=0
  cut_make ext4 && $T shutdown /cut 1 2>/t.out || { echo "SKIPPED power cuts in the life of keys: no ext4 that can be ended here"; cut_end; return 0; }
  cut_again
  rm -rf /stable; $T prepare /cut/t /stable 3
  lived() { local n; n=$(grep -c '^ok' /stable/life 2>/dev/null); echo "${n:-0}"; }
  for ((i = 1; i <= rounds; i++)); do
    if [ $((i % 3)) = 0 ]; then $T livecut /cut/t /stable $((RANDOM % 25 + 1)) $((i % 2 + 1)) >/t.out 2>&1; else
      target=$(($(lived) + RANDOM % 50 + 1))
      $T live /cut/t /stable 1000000 >/t.out 2>&1 & writer=$!
      until [ "$(lived)" -ge $target ] || ! kill -0 $writer 2>/dev/null; do :; done
      echo cut >> /stable/life
      $T shutdown /cut $((i % 2 + 1))
      kill -9 $writer 2>/dev/null; wait $writer 2>/dev/null
    fi
    acknowledged=$((acknowledged + $(lived)))
    cut_again
    out=$($T livecheck /cut/t /stable 2>&1) || { bad=$((bad + 1)); echo "    cut $i in the life of keys: $out"; rm -rf /cut/t; $T prepare /cut/t /stable 3; : > /stable/life; }
  done
  result life_powercut ward cuts=$rounds bad=$bad acknowledged=$acknowledged "last='$out'"
  verdict "the life of keys: power cuts on ext4" $bad
  # The judge must be able to say no: the same with an fdatasync that does nothing.
  for i in 1 2 3 4; do
    strace -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:retval=0 $T livecut /cut/t /stable 9 2 >/t.out 2>&1
    cut_again
    $T livecheck /cut/t /stable >/t.out 2>&1 || lost=$((lost + 1))
    rm -rf /cut/t; $T prepare /cut/t /stable 3 >/dev/null; : > /stable/life
  done
  verdict "without fdatasync, cuts lose versions ($lost of 4)" $((lost == 0))
  cut_end
}

# ---- zeroed sectors ---------------------------------------------------------------------------

part_tears() {
  local out rc
  rm -rf /t; $T prepare /t/d /t/s 5 || { verdict "a keyring for zeroed sectors" 1; return; }
  out=$($T tears /t/d /t/s "$(many 9 1)"); rc=$?
  [ $rc = 0 ] || echo "$out" | head -12 | sed 's/^/    /'
  # shellcheck disable=SC2046
  result tears ward $(echo "$out" | tail -1)
  verdict "zeroed sectors: what the marker knows is never cut, else at most the last record" $rc
}

# ---- with a server, both keyrings --------------------------------------------------------------

fill() { # fill N PREFIX: N keys
  sql --delimiter=// -e "CREATE DATABASE IF NOT EXISTS kw// DROP PROCEDURE IF EXISTS kw.fill// CREATE PROCEDURE kw.fill(n INT, p TEXT) BEGIN DECLARE i INT DEFAULT 0;
    WHILE i < n DO DO keyring_key_generate(CONCAT(p,i),'AES',32); SET i=i+1; END WHILE; END//"
  sql -e "CALL kw.fill($1,'$2')"
}
# What the server serves: "name hash", sorted.
dump() { sql -e "SELECT CONCAT(KEY_ID,' ',IFNULL(SHA2(keyring_key_fetch(KEY_ID),256),'UNREADABLE')) FROM performance_schema.keyring_keys WHERE KEY_OWNER<>''" | LC_ALL=C sort; }

# A client's stream of generates, stores and removes: "ack put NAME HASH" and "ack remove NAME" lines
# for what the server acknowledged, in /tmp/kw-acks. begin lines say what was asked for.
stream_sql() { # stream_sql PREFIX COUNT
  local i
  for ((i = 0; i < $2; i++)); do
    case $((i % 4)) in
      0 | 1) echo "SELECT CONCAT('ack put $1$i ', IF(keyring_key_generate('$1$i','AES',32)=1, SHA2(keyring_key_fetch('$1$i'),256), NULL));" ;;
      2) echo "SELECT CONCAT('ack put $1$i ', IF(keyring_key_store('$1$i','SECRET',REPEAT('$i ',20))=1, SHA2(keyring_key_fetch('$1$i'),256), NULL));" ;;
      3) echo "SELECT CONCAT('ack remove $1$((i - 3)) ', IF(keyring_key_remove('$1$((i - 3))')=1, 'gone', NULL));" ;;
    esac
  done
}
# compare KEYRING BASE ACKS DUMP PREFIX [LAST]: what is lost, wrong or back, as LOST, WRONG, BACK lines
# (tools/judge/src/compare.rs says what is forgiven).
compare() { $JUDGE compare "$@"; }

# One keyring, one size: kills at random points of a stream.
kills() { # kills KEYRING KEYS ROUNDS
  local keyring=$1 keys=$2 rounds=$3 round client target lost=0 destroyed=0 back=0 acknowledged=0 file
  reset_all; use_keyring "$keyring"; fresh_data
  file=$(keyring_file "$keyring" $KEYS)
  start_server || { verdict "$keyring starts" 1; return; }
  install_udf; fill "$keys" base; dump > /tmp/kw-base
  stop_server
  rm -rf /tmp/kw-saved; cp -a $KEYS /tmp/kw-saved
  start_server
  for ((round = 0; round < rounds; round++)); do
    target=$((RANDOM % 60 + 1)); : > /tmp/kw-acks
    stream_sql "r${round}x" 400 > /tmp/kw-sql
    mysql -uroot -S $SOCKET -BN --unbuffered --force < /tmp/kw-sql > /tmp/kw-acks 2>/dev/null &
    client=$!
    until [ "$(wc -l < /tmp/kw-acks)" -ge $target ] || ! kill -0 $client 2>/dev/null; do :; done
    kill_server; wait $client 2>/dev/null
    acknowledged=$((acknowledged + $(grep -c '^ack' /tmp/kw-acks)))
    if ! start_server; then
      destroyed=$((destroyed + 1)); echo "    $keyring $keys keys, kill $round: the server does not start"; restore_saved; continue
    fi
    if [ "$(status_row Component_status)" != Active ]; then
      destroyed=$((destroyed + 1)); echo "    $keyring $keys keys, kill $round: the keyring is $(status_row Component_status); $(wc -c < "$file") bytes"; restore_saved; continue
    fi
    dump > /tmp/kw-dump
    compare "$keyring" /tmp/kw-base /tmp/kw-acks /tmp/kw-dump "r${round}x" > /tmp/kw-diff
    if [ ! -s /tmp/kw-dump ] && [ -s /tmp/kw-base ]; then destroyed=$((destroyed + 1)); echo "    $keyring $keys keys, kill $round: every key is gone"; restore_saved; continue; fi
    grep -qE '^(LOST|WRONG)' /tmp/kw-diff && { lost=$((lost + 1)); echo "    $keyring $keys keys, kill $round: $(head -2 /tmp/kw-diff | tr '\n' ' ')"; }
    grep -q '^BACK' /tmp/kw-diff && { back=$((back + 1)); echo "    $keyring $keys keys, kill $round: $(head -2 /tmp/kw-diff | tr '\n' ' ')"; }
    sql -e "SELECT COUNT(keyring_key_remove(KEY_ID)) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'r${round}x%'" >/dev/null
  done
  result "kill_${keys}_keys" "$keyring" kills=$rounds destroyed=$destroyed lost=$lost removed_came_back=$back acknowledged=$acknowledged
  [ "$keyring" != ward ] || verdict "kills at $keys keys" $((destroyed + lost + back + (acknowledged < rounds)))
  stop_server
}
restore_saved() {
  [ -z "${SERVER:-}" ] || kill_server
  find $KEYS -mindepth 1 -delete; cp -a /tmp/kw-saved/. $KEYS/
  rm -f $DATA/keyring_ward.marker
  start_server
}
part_kill() { # the sizes of the issue
  local keyring size rounds
  for keyring in ${KEYRINGS:-ward file}; do
    for size in ${SIZES:-5 200 3000 10000}; do
      case $size in 5) rounds=250 ;; 10000) rounds=90 ;; *) rounds=80 ;; esac
      kills "$keyring" "$size" "$(many 5 $rounds)"
    done
  done
}

# Power cuts under a running server.
part_servercut() {
  local keyring round rounds client target lost destroyed back acknowledged before overtaken noticed opens
  rounds=$(many 3 60)
  after_cut() { start_server && [ "$(status_row Component_status)" = Active ] && dump > /tmp/kw-dump && [ -s /tmp/kw-dump ]; }
  for keyring in ${KEYRINGS:-ward file}; do
    lost=0 destroyed=0 back=0 acknowledged=0 overtaken=0 noticed=0
    reset_all; cut_make ext4 || { echo "SKIPPED servercut: no loop device"; return; }
    use_keyring "$keyring" /cut/keys; fresh_data
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 200 base; dump > /tmp/kw-base; stop_server; sync
    rm -rf /tmp/kw-saved; cp -a /cut/keys /tmp/kw-saved
    start_server
    for ((round = 0; round < rounds; round++)); do
      target=$((RANDOM % 60 + 1)); : > /tmp/kw-acks
      stream_sql "r${round}x" 400 > /tmp/kw-sql
      mysql -uroot -S $SOCKET -BN --unbuffered --force < /tmp/kw-sql > /tmp/kw-acks 2>/dev/null &
      client=$!
      until [ "$(wc -l < /tmp/kw-acks)" -ge $target ] || ! kill -0 $client 2>/dev/null; do :; done
      before=$(wc -l < /tmp/kw-acks)
      $T shutdown /cut $((round % 2 + 1))
      kill -9 $client 2>/dev/null; kill_server; wait $client 2>/dev/null
      acknowledged=$((acknowledged + $(grep -c '^ack' /tmp/kw-acks)))
      cut_again
      opens=yes; after_cut || opens=no
      # A file system that is cut still answers "synced" to a write or two that it then lacks. Only the keyring lies on it:
      # the marker, on a disk that goes on, has believed the answer, and says so. What was acknowledged before the cut is
      # judged below like everything else.
      if [ "$keyring $opens" = "ward no" ] && grep -q "is an older copy: it ends with record" "$LOG"; then
        noticed=$((noticed + 1)); [ -z "${SERVER:-}" ] || kill_server
        keyring-ward reset-marker --datadir "$DATA" >/dev/null
        opens=yes; after_cut || opens=no
      fi
      if [ $opens = no ]; then
        destroyed=$((destroyed + 1)); echo "    $keyring cut $round: $(status_row Component_status 2>/dev/null || echo 'no server'), $(stat -c '%n %s' /cut/keys/* | tr '\n' ' ')"
        [ -z "${SERVER:-}" ] || kill_server
        find /cut/keys -mindepth 1 -delete; cp -a /tmp/kw-saved/. /cut/keys/; rm -f $DATA/keyring_ward.marker; sync
        start_server; continue
      fi
      compare "$keyring" /tmp/kw-base /tmp/kw-acks /tmp/kw-dump "r${round}x" "$before" > /tmp/kw-diff
      compare "$keyring" /tmp/kw-base /tmp/kw-acks /tmp/kw-dump "r${round}x" | grep -qE '^(LOST|WRONG)' && overtaken=$((overtaken + 1))
      grep -qE '^(LOST|WRONG)' /tmp/kw-diff && lost=$((lost + 1))
      grep -q '^BACK' /tmp/kw-diff && back=$((back + 1))
      [ ! -s /tmp/kw-diff ] || { [ "$keyring" != ward ] || echo "    cut $round: $(head -3 /tmp/kw-diff | tr '\n' ' ') acks: $(grep -c ^ack /tmp/kw-acks), failures: $(grep -c ^NULL /tmp/kw-acks)"; }
      sql -e "SELECT COUNT(keyring_key_remove(KEY_ID)) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'r${round}x%'" >/dev/null
      # What the stock component lost of the base stays lost: compare with what is there now.
      dump > /tmp/kw-base
    done
    result servercut_200_keys "$keyring" cuts=$rounds destroyed=$destroyed lost=$lost removed_came_back=$back acknowledged=$acknowledged lost_counting_answers_after_the_cut=$overtaken marker_has_noticed=$noticed
    [ "$keyring" != ward ] || verdict "power cuts under a server" $((destroyed + lost + back + (acknowledged < rounds)))
    stop_server; cut_end
  done
}

# A system call of a generate fails once under a running server, which is then killed and started again.
part_serverfaults() {
  local keyring call error file tracer first second cases bad lost destroyed told
  for keyring in ${KEYRINGS:-ward file}; do
    cases=0 lost=0 destroyed=0 told=0
    reset_all; use_keyring "$keyring"; fresh_data; file=$(keyring_file "$keyring" $KEYS)
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 5 base; dump > /tmp/kw-base; stop_server
    rm -rf /tmp/kw-saved; cp -a $KEYS /tmp/kw-saved
    for call in openat write pwrite64 fdatasync fsync ftruncate rename renameat2 unlink close fstat newfstatat statx; do
      for error in EIO ENOSPC EROFS; do
        restore_saved
        strace -f -qq -o /tmp/kw-trace -P "$file" -P "$file.backup" -P "$file.new" -P "$file.lock" -p $SERVER \
          -e trace=$call -e inject=$call:error=$error:when=1 2>/dev/null &
        tracer=$!
        wait_for 10 sh -c "! grep -q '^TracerPid:.0\$' /proc/$SERVER/status" || { kill $tracer; continue; }
        first=$(sql -e "SELECT IFNULL(keyring_key_generate('first','AES',32),0)")
        second=$(sql -e "SELECT IFNULL(keyring_key_generate('second','AES',32),0)")
        kill $tracer; wait $tracer 2>/dev/null
        kill_server
        grep -q INJECTED /tmp/kw-trace || continue
        cases=$((cases + 1)); [ "$first" = 1 ] || told=$((told + 1))
        if ! start_server || [ "$(status_row Component_status)" != Active ] || ! dump > /tmp/kw-dump || [ ! -s /tmp/kw-dump ]; then
          destroyed=$((destroyed + 1)); echo "    $keyring: $call $error: $(status_row Component_status 2>/dev/null || echo 'no server')"; continue
        fi
        bad=$(grep -vxFf /tmp/kw-dump /tmp/kw-base | wc -l)
        [ "$first" != 1 ] || grep -q '^first ' /tmp/kw-dump || bad=$((bad + 1))
        [ "$second" != 1 ] || grep -q '^second ' /tmp/kw-dump || bad=$((bad + 1))
        [ "$bad" = 0 ] || { lost=$((lost + 1)); echo "    $keyring: $call $error: $bad keys lost (acknowledged: $first $second)"; }
      done
    done
    result serverfaults "$keyring" faults=$cases reported_as_failed=$told destroyed=$destroyed lost=$lost
    [ "$keyring" != ward ] || verdict "a failing call under a server" $((destroyed + lost + (cases < 9)))
    [ -z "${SERVER:-}" ] || stop_server
  done
}

# The control: a program that does nothing but append, fdatasync, acknowledge. What it loses is the
# simulation's doing; counted with and without the acknowledgements after the cut had begun.
part_control() {
  local i writer target before lost=0 overtaken=0 have
  cut_make ext4 || { echo "SKIPPED control: no loop device"; return; }
  rm -rf /stable; mkdir /stable
  for ((i = 0; i < $(many 20 200); i++)); do
    rm -f /cut/f /stable/acks; sync
    $T append /cut/f /stable 100000 >/dev/null 2>&1 &
    writer=$!
    target=$((RANDOM % 60 + 1))
    until [ "$(oks)" -ge $target ]; do :; done
    before=$(oks); $T shutdown /cut $((i % 2 + 1))
    wait $writer; cut_again
    have=$(($(stat -c %s /cut/f 2>/dev/null || echo 0) / 150))
    [ "$have" -ge "$before" ] || lost=$((lost + 1))
    [ "$have" -ge "$(oks)" ] || overtaken=$((overtaken + 1))
  done
  cut_end
  result control append_and_fdatasync cuts=$i lost=$lost lost_counting_answers_after_the_cut=$overtaken
  verdict "the simulated power cut keeps what was synced before it" $lost
}

# A full disk and an exhausted quota in mid-stream.
full_case() { # full_case KEYRING HOW
  local keyring=$1 how=$2 file i ok=0 failed=0 after=never bad
  reset_all
  case $how in
    disk) cut_end; mkdir -p /cut; truncate -s 8M /cut.img; mkfs.ext4 -q -F -m 0 -O ^has_journal /cut.img && mount -o loop /cut.img /cut || return 0 ;;
    # A kernel may lack disk quotas; btrfs brings its own, per subvolume.
    quota) cut_make btrfs && btrfs quota enable /cut && btrfs -q subvolume create /cut/keys && btrfs qgroup limit 768K /cut/keys \
        || { echo "SKIPPED quota: no btrfs with quotas here"; cut_end; return 0; } ;;
  esac
  use_keyring "$keyring" /cut/keys; fresh_data
  file=$(keyring_file "$keyring" /cut/keys)
  start_server || { verdict "$keyring starts" 1; return; }
  install_udf; fill 200 base
  [ $how = disk ] && { dd if=/dev/zero of=/cut/ballast bs=1k 2>/dev/null; truncate -s -8k /cut/ballast; sync; }
  # Until it fails, and then some.
  for i in $(seq 20000); do echo "SELECT CONCAT(IF(keyring_key_generate('f$i','AES',32)=1,'ok','NULL'),' f$i ',IFNULL(SHA2(keyring_key_fetch('f$i'),256),''));"; done > /tmp/kw-sql
  { sql --force --unbuffered < /tmp/kw-sql | awk '{ print } !/^ok/ { if (++n == 500) exit }' > /tmp/kw-full; } 2>/dev/null
  ok=$(grep -c '^ok' /tmp/kw-full); failed=$(grep -vc '^ok' /tmp/kw-full)
  # The failed writes' keys must not be served now, nor after.
  dump > /tmp/kw-before
  case $how in disk) rm /cut/ballast ;; quota) btrfs qgroup limit none /cut/keys ;; esac
  local refused; refused=$(grep -o 'KW-[0-9]* [A-Za-z]*: [^.]*' "$LOG" | tail -1 | cut -c1-160)
  if [ "$(sql -e "SELECT keyring_key_generate('after','AES',32)")" = 1 ]; then after=at_once
  # A failed fdatasync: only a complete rewrite ends that.
  elif sql -e "ALTER INSTANCE RELOAD KEYRING" && [ "$(sql -e "SELECT keyring_key_generate('after','AES',32)")" = 1 ]; then after=after_a_reload; fi
  [ "$keyring" != ward ] || echo "    said while full: $refused"
  kill_server; start_server
  dump > /tmp/kw-dump
  bad=$($JUDGE full /tmp/kw-full /tmp/kw-dump)
  local base; base=$(grep -c '^base' /tmp/kw-dump)
  result "full_$how" "$keyring" acknowledged=$ok failed=$failed "lost_extra_of='$bad'" base_left=$base works_again=$after status="$(status_row Component_status)"
  [ "$keyring" != ward ] || verdict "a full $how" $((! (failed > 0 && base == 200) || ${bad%% *} > 0 || $(echo "$bad" | cut -d' ' -f2) > 0 || $([ $after = never ] && echo 1 || echo 0)))
  stop_server; cut_end
}
part_full() {
  local keyring how
  for keyring in ${KEYRINGS:-ward file}; do for how in disk quota; do full_case "$keyring" $how; done; done
}

# Copies taken while a client writes.
part_copies() {
  local keyring total file i client opened bad base short tool taken
  total=$(many 60 1000)
  for keyring in ${KEYRINGS:-ward file}; do
    reset_all; use_keyring "$keyring"; fresh_data; file=$(keyring_file "$keyring" $KEYS)
    rm -rf /stable /copy /borg; mkdir /stable /copy; export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_BASE_DIR=/tmp/borg; cp $KEYS/kek /stable/kek1 2>/dev/null
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 200 base
    # The keys of each round are removed after it, so that compactions come in between.
    ( n=0; while :; do stream_sql "c${n}x" 400; echo "SELECT COUNT(keyring_key_remove(KEY_ID)) FROM performance_schema.keyring_keys WHERE KEY_ID LIKE 'c%';"; n=$((n + 1)); done ) | mysql -uroot -S $SOCKET -BN --force >/dev/null 2>&1 &
    client=$!
    bad=0 short=0 taken=0
    for i in $(seq $total); do
      rm -rf /copy/*
      case $((i % 6)) in
        5) tool=borg
          [ -d /borg ] || BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes borg init -e none /borg
          # 1 is its warning that the file has changed while it was read: that is the point here.
          (cd $KEYS && { borg create "/borg::$keyring-$i" "$(basename "$file")" || [ $? = 1 ]; } && cd /copy && borg extract "/borg::$keyring-$i" && mv "$(basename "$file")" k) >/tmp/kw-borg 2>&1 ;;
        0 | 1) tool=cp; cp "$file" /copy/k ;;
        2 | 3) tool=rsync; rsync -q "$file" /copy/k ;;
        4) tool=tar; tar -C $KEYS -cf /copy/t.tar "$(basename "$file")" 2>/dev/null; tar -C /copy --transform='s/.*/k/' -xf /copy/t.tar ;;
      esac
      taken=$((taken + 1))
      case $keyring in
        ward) opened=$($T view /copy/k /stable 2>/tmp/kw-view | grep -c '^base') ;;
        file) opened=$($JUDGE stock /copy/k 2>/dev/null); opened=${opened:-0} ;;
      esac
      if [ "$opened" = 0 ]; then bad=$((bad + 1)); elif [ "$opened" != 200 ]; then short=$((short + 1)); fi
    done
    pkill -P $client 2>/dev/null; kill $client 2>/dev/null; stop_server; wait $client 2>/dev/null
    result copies_during_writes "$keyring" copies=$taken do_not_open=$bad lack_old_keys=$short
    [ "$keyring" != ward ] || verdict "copies during writes" $((bad + short))
  done
}

# The file is removed, replaced and restored from an older copy under the running server.
part_replaced() {
  local keyring how file silent kept after
  for keyring in ${KEYRINGS:-ward file}; do
    for how in removed restored_older replaced_by_foreign; do
      reset_all; use_keyring "$keyring"; fresh_data; file=$(keyring_file "$keyring" $KEYS)
      start_server || { verdict "$keyring starts" 1; continue; }
      install_udf; fill 5 foreign; stop_server
      mkdir -p /tmp/kw-foreign; cp -p "$file" /tmp/kw-foreign/k
      rm -f "$file" $DATA/keyring_ward.marker; use_keyring "$keyring"
      start_server; fill 5 old; cp -p "$file" /tmp/kw-older; fill 5 new
      case $how in
        removed) rm "$file" ;;
        restored_older) cp -p /tmp/kw-older /tmp/kw-x; chown mysql:mysql /tmp/kw-x; mv /tmp/kw-x "$file" ;;
        replaced_by_foreign) cp -p /tmp/kw-foreign/k /tmp/kw-x; chown mysql:mysql /tmp/kw-x; mv /tmp/kw-x "$file" ;;
      esac
      silent=$(sql -e "SELECT IFNULL(keyring_key_generate('later','AES',32),'refused')")
      # What a DBA does: looks into the log, removes what is in the way, reloads.
      [ "$keyring" = ward ] && [ $how != removed ] && rm -f "$file"
      sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1
      after=$(sql -e "SELECT IFNULL(keyring_key_generate('after','AES',32),'refused')")
      stop_server; start_server
      kept=$(dump | grep -cE '^(old|new)')
      result "file_$how" "$keyring" write_meanwhile="$silent" write_after_reload="$after" keys_left_of_10="$kept"
      [ "$keyring" != ward ] || verdict "the file is $how under a server" $((kept != 10 || after != 1))
      stop_server
    done
  done
}

# Yesterday's keyring put back while the server is down: after a clean stop, after kill -9, and under a running server.
part_older() {
  local keyring how file noticed today
  for keyring in ${KEYRINGS:-ward file}; do
    reset_all; use_keyring "$keyring"; fresh_data; file=$(keyring_file "$keyring" $KEYS)
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 3 old
    for how in stop kill reload; do
      cp -p "$file" /tmp/kw-yesterday
      sql -e "SELECT keyring_key_generate('$how','AES',32)" >/dev/null
      case $how in stop) stop_server ;; kill) kill_server ;; esac
      cp -p "$file" /tmp/kw-today
      # Over the file, as a restore by rsync --inplace does it, and beside it, as cp and mv do it.
      cp -p /tmp/kw-yesterday "$file.x"; mv "$file.x" "$file"
      case $how in
        reload) sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1; noticed=$([ $? != 0 ] && echo yes || echo no) ;;
        *) start_server; noticed=$([ "$(status_row Component_status)" = Active ] && echo no || echo yes) ;;
      esac
      [ "$keyring" != ward ] || grep -q 'is an older copy' "$LOG" || noticed=without_a_word
      cp -p /tmp/kw-today "$file.x"; mv "$file.x" "$file"
      sql -e "ALTER INSTANCE RELOAD KEYRING" >/dev/null 2>&1
      today=$(dump | grep -c "^$how ")
      result "older_copy_$how" "$keyring" noticed=$noticed key_of_today_after_repair="$today"
      [ "$keyring" != ward ] || verdict "yesterday's keyring is noticed ($how)" "$([ "$noticed $today" = "yes 1" ]; echo $?)"
    done
    stop_server
  done
}

# Two servers with one keyring file.
part_twoservers() {
  local keyring second told_to_second i
  for keyring in ${KEYRINGS:-ward file}; do
    reset_all; use_keyring "$keyring"; fresh_data
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 5 a
    rm -rf /var/lib/kw-second; cp -a /var/cache/kw-data /var/lib/kw-second; rm -f /var/lib/kw-second/auto.cnf
    mysqld --no-defaults --user=mysql --datadir=/var/lib/kw-second --socket=/run/mysqld/second.sock \
      --pid-file=/run/mysqld/second.pid --skip-networking --mysqlx=OFF > /tmp/kw-second.log 2>&1 &
    second=$!
    # It waits for the first one's lock as long as start_timeout says, and serves then without a keyring.
    wait_for 150 mysqladmin -uroot -S /run/mysqld/second.sock ping || { verdict "$keyring: the second server starts" 1; kill -9 $second; }
    told_to_second=$(SOCKET=/run/mysqld/second.sock; { install_udf; fill 5 second; } >/dev/null 2>&1; dump | grep -c '^second')
    fill 5 b
    kill $second; wait $second
    stop_server; start_server
    result two_servers "$keyring" keys_of_the_first="$(dump | grep -cE '^[ab]')/10" keys_of_the_second="$(dump | grep -c '^second')/$told_to_second"
    [ "$keyring" != ward ] || verdict "two servers, one file" $(($(dump | grep -cE '^[ab]') != 10))
    stop_server; rm -rf /var/lib/kw-second
  done
}

# Each byte of a small file changed, each length cut: what is served afterwards? Ours bit by bit is a
# cargo test (contract_store); here both are opened by MySQL's migration tool.
part_bitrot() {
  local keyring file size i step wrong refused fine fewer out
  for keyring in ${KEYRINGS:-ward file}; do
    reset_all; use_keyring "$keyring"; fresh_data; file=$(keyring_file "$keyring" $KEYS)
    start_server || { verdict "$keyring starts" 1; continue; }
    install_udf; fill 3 k; stop_server
    cp -p "$file" /tmp/kw-whole; size=$(stat -c %s /tmp/kw-whole)
    rm -rf /stable; mkdir /stable; head -c 32 /dev/zero > /stable/kek1; chmod 600 /stable/kek1
    bitrot_read "$keyring" /tmp/kw-whole > /tmp/kw-true
    [ "$(wc -l < /tmp/kw-true)" = 3 ] || { verdict "$keyring can be read by the migration tool" 1; continue; }
    for how in flip cut; do
      wrong=0 refused=0 fine=0 fewer=0
      step=$(many 40 1)
      for ((i = 0; i < size; i += step)); do
        case $how in
          flip) cp /tmp/kw-whole /tmp/kw-x; $JUDGE flip /tmp/kw-x $i ;;
          cut) head -c $i /tmp/kw-whole > /tmp/kw-x ;;
        esac
        if ! bitrot_read "$keyring" /tmp/kw-x > /tmp/kw-now; then refused=$((refused + 1))
        elif cmp -s /tmp/kw-true /tmp/kw-now; then fine=$((fine + 1))
        elif [ -z "$(comm -13 /tmp/kw-true /tmp/kw-now)" ]; then fewer=$((fewer + 1))
        else wrong=$((wrong + 1)); fi
      done
      result "bitrot_$how" "$keyring" cases=$(((size + step - 1) / step)) refused=$refused unchanged=$fine fewer_keys=$fewer WRONG_KEYS=$wrong
      # Ours: a cut at a record's end, or within a record, is an older file; the marker notices that.
      [ "$keyring" != ward ] || verdict "each byte: $how" $((wrong + ($([ $how = flip ] && echo $fewer || echo 0))))
    done
  done
}
# Reads a keyring file as MySQL's tools do; prints "name hash" lines. Fails where it does not open.
bitrot_read() { # bitrot_read KEYRING FILE
  if [ "$1" = ward ]; then cp $KEYS/kek /stable/kek1; $T view "$2" /stable 2>/dev/null; return; fi
  local folder=/tmp/kw-bitrot
  rm -rf $folder; mkdir $folder; cp "$2" $folder/stock
  echo "{ \"path\": \"$folder/stock\", \"read_only\": true }" > $STOCK
  echo "{ \"backend\": \"file\", \"path\": \"$folder/keyring.ward\", \"file\": { \"key_file\": \"/stable/kek1\" } }" > $CONFIG
  mysql_migrate_keyring --component-dir=$PLUGINS --source-keyring=component_keyring_file --destination-keyring=component_keyring_ward >/tmp/kw-migrate 2>&1 || return 1
  $T view $folder/keyring.ward /stable 2>/dev/null
}

# Power cuts during rotations of a key in SQL.
. /kw/mysql-test/harness/torture-rotation.sh

trap 'stop_server; cut_end' EXIT
for part; do
  echo "--- $part"
  FIRST=; started=$SECONDS
  "part_$part"
  echo "    $part took $((SECONDS - started)) s"
done
stop_server; cut_end
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
