#!/usr/bin/env bash
# Ours, the stock component and the disk's floor in one run: medians, p99, ratios, targets.
#   scripts/bench.sh [--quick] [MEASURE…]
#   scripts/bench.sh [--quick] --against LIBRARY   fetch and generate beside another build of this library, in turn
# Measures: writes fetches starts million logical sealed access reencrypt component prove (all unless named). The result is kept in bench/results.
# Runs in a root file system of its own under mysql-test/.work, in real-time priority (a busy machine
# rounds waits for the disk up otherwise). Nothing else should run meanwhile. Fifteen minutes.
. "$(dirname "$0")/lib.sh"
export KW_NO_DOCKER=1
MEASURES=() OTHER=
while [ $# -gt 0 ]; do
  case "$1" in
    --quick | writes | fetches | starts | million | logical | sealed | access | reencrypt | component | prove) MEASURES+=("$1") ;;
    --against) OTHER=${2:-}; [ -f "$OTHER" ] || die "--against wants a library of another build."; MEASURES+=(against); shift ;;
    *) wrong_usage ;;
  esac
  shift
done
build_library
(cd "$REPO" && cargo build --locked --example torture --example floor_udf --example many_keys)
box_start
box_put "$REPO" target/debug/examples/{torture,many_keys,libfloor_udf.so}
box install -m 0755 /kw/target/debug/examples/libfloor_udf.so /usr/lib/mysql/plugin/
[ -z "$OTHER" ] || as_root cp "$OTHER" "$BOX/kw/other.so"
say "measuring"
log=$WORK/bench.log
as_root chroot "$BOX" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \
  chrt -r 1 bash /kw/mysql-test/harness/bench.sh "${MEASURES[@]}" > "$log" 2>&1 || { tail -20 "$log"; die "the bench failed, see $log"; }
grep -q '^bench finished' "$log" || { tail -20 "$log"; die "the bench did not finish, see $log"; }
box_stop
say "results: microseconds; memory in bytes for each key"
# What was measured is what the commit names, or it says so.
commit=$(git -C "$REPO" rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$REPO" status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit-changed
kept=$REPO/bench/results/$(date -u +%Y-%m-%dT%H%M)-$commit.txt
mkdir -p "${kept%/*}"
{
  echo "scripts/bench.sh ${MEASURES[*]} on $(uname -m), $(nproc) processors, $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $commit"
  "$REPO/target/tools/debug/judge" bench "$log"
  grep '^RESULT' "$log"
} > "$kept"
grep -v '^RESULT' "$kept"
say "kept in ${kept#"$REPO"/}"
