#!/usr/bin/env bash
# Runs the fuzz targets with AddressSanitizer, one after the other.
#   scripts/fuzz.sh [SECONDS [TARGET…]]     60 seconds each unless said otherwise
# Findings lie in fuzz/artifacts; the ones that teach something become vectors in tests/vectors.
. "$(dirname "$0")/lib.sh"
SECONDS_EACH=${1:-60}; shift || true
case "$SECONDS_EACH" in *[!0-9]* | '') wrong_usage ;; esac
TARGETS=("$@"); [ ${#TARGETS[@]} -gt 0 ] || TARGETS=(journal configuration c_entry import ttlv age answers shares scan sealed transport)
TOOLS=$WORK/tools
need cc gcc libc6-dev
need c++ g++
mkdir -p "$WORK"
if [ ! -x "$TOOLS/bin/cargo-fuzz" ]; then
  say "building cargo-fuzz (two minutes, once)"
  cargo install -q --locked cargo-fuzz@0.13.1 --root "$TOOLS" --target-dir "$WORK/tools-target"
  rm -rf "$WORK/tools-target"
fi
# (The last argument below is for the library alone: a program that it does not know it takes for a server, unless it migrates.)
# Sanitizers are switched on by flags that the stable compiler only takes with this variable.
export RUSTC_BOOTSTRAP=1
cd "$REPO"
for target in "${TARGETS[@]}"; do
  say "fuzzing $target for $SECONDS_EACH s"
  log=$WORK/fuzz-$target.log
  "$TOOLS/bin/cargo-fuzz" build -s address "$target" 2>&1 | tail -3
  "$TOOLS/bin/cargo-fuzz" run -s address "$target" -- -max_total_time="$SECONDS_EACH" -print_final_stats=1 \
    -rss_limit_mb=4096 -max_len=8192 --keyring-migration-source=fuzz >"$log" 2>&1 || { tail -40 "$log"; die "$target failed, see $log and fuzz/artifacts/$target"; }
  note "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions in $(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log") s, clean; $(grep -o 'cov: [0-9]*' "$log" | tail -1)"
done
