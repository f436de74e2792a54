#!/usr/bin/env bash
# Mutants of the code that keys depend on (format/, store/, kek/ without the providers that want a server): each must turn a
# test red.
#   scripts/mutants.sh [SHARD]     SHARD is K/N: every Nth mutant from the Kth on; 0/75 unless named, half an hour. 0/1: all, days.
# What was caught and missed is kept in bench/results. It works in a copy of the sources. What it calls missed in store/token.rs
# may be held by tests/contract_pkcs11.rs, which takes too long to be run for each.
. "$(dirname "$0")/lib.sh"
cd "$REPO"
SHARD=${1:-0/75}
[[ "$SHARD" =~ ^[0-9]+/[1-9][0-9]*$ ]] || wrong_usage
TOOLS=$WORK/tools OUT=$WORK/mutants
mkdir -p "$WORK"
if [ ! -x "$TOOLS/bin/cargo-mutants" ]; then
  say "building cargo-mutants (two minutes, once)"
  cargo install -q --locked cargo-mutants@27.1.0 --root "$TOOLS" --target-dir "$WORK/tools-target"
  rm -rf "$WORK/tools-target"
fi
rm -rf "$OUT"; mkdir -p "$OUT"
say "mutants $SHARD"
# It ends with an error where one was missed, which is what it is asked for.
PATH=$TOOLS/bin:$PATH cargo mutants --shard "$SHARD" --sharding round-robin --timeout 240 -o "$OUT" \
  -f 'src/format/**' -f 'src/store/**' -f 'src/kek/*.rs' -f 'src/kek/age/**' -f 'src/kek/file/**' \
  -- --locked --lib --test contract_store --test contract_several --test contract_several_attacks --test contract_kek --test vectors \
  || [ -s "$OUT/mutants.out/outcomes.json" ] || die "cargo-mutants failed."
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
kept=bench/results/$(date -u +%Y-%m-%d)-mutants-$commit-${SHARD/\//-of-}.txt
{
  echo "scripts/mutants.sh $SHARD at $commit, $(date -u +%Y-%m-%d)"
  for outcome in caught missed timeout unviable; do
    echo "$outcome: $(wc -l < "$OUT/mutants.out/$outcome.txt")"
    [ $outcome = caught ] || [ $outcome = unviable ] || sed 's/^/  /' "$OUT/mutants.out/$outcome.txt"
  done
} > "$kept"
cat "$kept"
say "kept in $kept"
