# Power cuts during rotations of a key in SQL (share/keyring_ward.sql), with a real server. The whole machine loses power: keyring
# and data directory lie on the file system that is cut. Sourced by torture.sh.
. /kw/mysql-test/harness/schema-lib.sh

# A server, its schema and a table of sealed values on /cut.
on_cut() { # on_cut ROWS_OF_A_BATCH
  DATA=/cut/data KEYS=/cut/keys
  cut_make ext4 && $T shutdown /cut 1 && cut_again || fail "no ext4 that can be ended here"
  mkdir -p $DATA $KEYS; chown mysql:mysql $DATA $KEYS; chmod 750 $DATA $KEYS
  with_schema; sealed_table 1000; with_writers
  sql -e "UPDATE keyring_ward.settings SET batch_rows = $1"
  sync
}
cut_server() { $T shutdown /cut "$1"; kill_server; cut_again; } # cut_server FLAG

# At each step: its work is done, and not yet written down.
cuts_at_steps() { # cuts_at_steps ROUNDS STEP…
  local rounds=$1 round at job cuts=0; shift
  on_cut 100
  for ((round = 0; round < rounds; round++)); do
    for at; do
      # shellcheck disable=SC2086
      stop_at $at
      call "rotate_key('ssn')" >/dev/null 2>&1 & job=$!
      wait_for 30 is_sleeping || fail "nobody waits at $at"
      cut_server $((cuts % 2 + 1)); wait $job || true
      cuts=$((cuts + 1))
      after_a_kill || fail "after a power cut at $at"
    done
  done
  echo "cuts=$cuts versions=$(current ssn) rows_that_open=$(all_open)"
}

# At any moment, while two clients write. What a client was told before the cut began is there after it.
cuts_at_moments() { # cuts_at_moments ROUNDS
  local rounds=$1 cuts=0 jobs told rows=0
  on_cut 20
  while [ $cuts -lt "$rounds" ]; do
    rm -f /tmp/kw-wrote.* /tmp/kw-told; : > /tmp/kw-rotated
    writer 1 & jobs=$!; writer 2 & jobs="$jobs $!"
    { while call "rotate_key('ssn')" && current ssn >> /tmp/kw-rotated; do :; done; } >/dev/null 2>&1 & jobs="$jobs $!"
    # A moment by chance: nothing waits for it.
    sleep "$((RANDOM % 2)).$((100 + RANDOM % 900))"
    cat /tmp/kw-wrote.* > /tmp/kw-told; told=$(tail -1 /tmp/kw-rotated)
    cut_server $((cuts % 2 + 1))
    # shellcheck disable=SC2086
    wait $jobs || true
    cuts=$((cuts + 1)) rows=$((rows + $(wc -l < /tmp/kw-told)))
    start_server || fail "the server does not start after cut $cuts"
    written /tmp/kw-told
    [ "$(current ssn)" -ge "${told:-1}" ] || fail "version $told was told to be current, and $(current ssn) is"
    nothing_is_lost
    # A key has 255 versions at most.
    [ "$(current ssn)" -lt 200 ] || { stop_server; on_cut 20; }
  done
  echo "cuts=$cuts versions=$(current ssn) rows_told_to_be_written=$rows rows_that_open=$(all_open)"
}

# The judge must be able to say no: the keyring's fdatasync does nothing during a rotation.
cut_unsynced() {
  local tracer
  on_cut 100
  strace -f -qq -o /dev/null -P $KEYS/keyring.ward -e trace=fdatasync -e inject=fdatasync:retval=0 -p "$SERVER" 2>/dev/null & tracer=$!
  wait_for 10 sh -c "! grep -q '^TracerPid:.0\$' /proc/$SERVER/status"
  call "rotate_key('ssn')"
  cut_server 2; wait $tracer || true
  echo "the power was cut"
  after_a_kill
}

part_rotation() {
  local rc out lost=0 i
  local quick=("${STEPS[3]}" "${STEPS[5]}")
  one_run() { # one_run FUNCTION ARGUMENT…: in a shell of its own, which ends with the first thing that is wrong
    set +e
    (set -e; trap 'stop_server; cut_end' EXIT; "$@") > /tmp/kw-rotation 2>&1; rc=$?
    out=$(tail -1 /tmp/kw-rotation)
    # What a keyring says of itself, wherever it stands; then how the log ends.
    [ $rc = 0 ] || { grep KW- "$LOG" | tail -4; tail -8 "$LOG"; } | cut -c1-500 >> /tmp/kw-rotation
    own_servers | xargs -r kill -9 2>/dev/null
    cut_end
  }
  if [ $QUICK = yes ]; then one_run cuts_at_steps 1 "${quick[@]}"; else one_run cuts_at_steps 6 "${STEPS[@]}"; fi
  [ $rc = 0 ] || tail -15 /tmp/kw-rotation | sed 's/^/    /'
  result rotation_cut_at_each_step ward "$out"
  verdict "power cuts at the steps of a rotation" $rc
  [ $QUICK = no ] || return 0
  one_run cuts_at_moments 60
  [ $rc = 0 ] || tail -15 /tmp/kw-rotation | sed 's/^/    /'
  result rotation_cut_at_any_moment ward "$out"
  verdict "power cuts at any moment of rotations, with two clients writing" $rc
  for i in 1 2; do
    one_run cut_unsynced
    [ $rc = 0 ] || ! grep -q "the power was cut" /tmp/kw-rotation || lost=$((lost + 1))
    result rotation_without_fdatasync ward "$out"
  done
  verdict "without the keyring's fdatasync, a cut loses rows ($lost of 2)" $((lost == 0))
}
