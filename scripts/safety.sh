#!/usr/bin/env bash
# Memory safety, leaks and panics.
#   scripts/safety.sh [PART…]     asan tsan valgrind leaks panics (all unless named)
# asan, tsan: the cargo tests under AddressSanitizer and ThreadSanitizer. valgrind: the tests of the C
# interface. leaks, panics: a real server in a root file system of its own, as for scripts/torture.sh.
. "$(dirname "$0")/lib.sh"
cd "$REPO"
PASSED=0 FAILED=0 PARTS=("$@")
[ ${#PARTS[@]} -gt 0 ] || PARTS=(asan tsan valgrind leaks panics)
for part in "${PARTS[@]}"; do case $part in asan | tsan | valgrind | leaks | panics) ;; *) wrong_usage ;; esac; done
mkdir -p "$WORK"
TARGET=x86_64-unknown-linux-gnu

verdict() { if [ "$2" = 0 ]; then PASSED=$((PASSED + 1)); note "ok: $1"; else FAILED=$((FAILED + 1)); note "FAILED: $1"; fi; }

part_asan() {
  local rc=0
  need_file /usr/lib/softhsm/libsofthsm2.so softhsm2
  ensure_kms
  ensure_kmip
  # A library of its own can't find AddressSanitizer in the test program: the shim, and what the fake host loads, are built without.
  cargo build --locked -q --example p11_shim
  # As in CI: a test that can't run is a failure, no skip.
  CI=true KW_P11_SHIM=$REPO/target/debug/examples/libp11_shim.so KW_LIBRARY=$REPO/target/debug/deps/libkeyring_ward.so RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --locked --no-fail-fast -q --target $TARGET --target-dir target/asan >"$WORK/asan.log" 2>&1 || rc=1
  verdict "AddressSanitizer (and LeakSanitizer): $(grep -c '^test result: ok' "$WORK/asan.log") test programs" $rc
  [ $rc = 0 ] || tail -30 "$WORK/asan.log"
}

# The standard library must be instrumented as well: its locks are atomics that the sanitizer has to
# see. Compiler, the source of its library and the sanitizer's runtime come from Debian, in a root of its own.
part_tsan() {
  local rc=0 authorities=/etc/ssl/certs/ca-certificates.crt
  server_box
  box sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get -qq -o Acquire::Check-Valid-Until=false update >/dev/null
    apt-get -qq install -y --no-install-recommends rustc cargo rust-src clang gcc libc6-dev ca-certificates >/dev/null
    apt-get -qq install -y --no-install-recommends "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev" >/dev/null'
  box mkdir -p /src
  tar -c --exclude=./target --exclude=./mysql-test/.work --exclude=./fuzz/target --exclude=./.git . | box_pipe tar -C /src -x
  # This machine's certificate authorities, for a proxy that it may be behind.
  [ ! -e $authorities ] || as_root cp $authorities "$BOX/src/authorities.crt"
  box bash -c 'cd /src; [ ! -e authorities.crt ] || export CARGO_HTTP_CAINFO=/src/authorities.crt
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Zexternal-clangrt -Clinker=clang -Clink-arg=-fsanitize=thread"
    cargo test --locked -Zbuild-std --target x86_64-unknown-linux-gnu --lib --test ffi --test contract_store' >"$WORK/tsan.log" 2>&1 || rc=1
  if grep -q 'WARNING: ThreadSanitizer' "$WORK/tsan.log"; then rc=1; fi
  verdict "ThreadSanitizer: $(grep -c '^test result: ok' "$WORK/tsan.log") test programs without a race" $rc
  [ $rc = 0 ] || grep -A30 'WARNING: ThreadSanitizer\|^error' "$WORK/tsan.log" | head -60
}

part_valgrind() {
  need valgrind valgrind
  local rc=0 program
  # valgrind knows neither AES-NI in all its forms nor our seccomp filters: the C interface is the point.
  program=$(cargo test --locked --no-run --test ffi --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\/ffi-[^"]*\)".*/\1/p')
  valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite "$program" >"$WORK/valgrind.log" 2>&1 || rc=1
  verdict "valgrind memcheck over the C interface" $rc
  [ $rc = 0 ] || tail -40 "$WORK/valgrind.log"
}

server_box() {
  export KW_NO_DOCKER=1
  [ -z "${BOX:-}" ] || return 0
  build_library
  box_start
}

server_part() {
  server_box
  if [ ! -e "$BOX/kw/target/inject" ]; then
    cargo build --locked --example torture
    cargo build --release --locked --features inject-panics --target-dir target/inject
    box_put "$REPO" target/debug/examples/torture target/inject/release/libkeyring_ward.so target/inject/release/libkeyring_ward_sql.so target/inject/release/keyring-ward
    box sh -c 'apt-get -qq -o Acquire::Check-Valid-Until=false update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gdb >/dev/null'
  fi
  local rc=0
  box bash /kw/mysql-test/harness/safety.sh "$1" 2>&1 | tee "$WORK/$1.log" || rc=1
  local passed; passed=$(sed -n 's/^\([0-9]*\) passed, .*/\1/p' "$WORK/$1.log")
  PASSED=$((PASSED + ${passed:-0}))
  [ $rc = 0 ] && grep -q ' 0 failed$' "$WORK/$1.log" || FAILED=$((FAILED + 1))
}
part_leaks() { server_part leaks; }
part_panics() { server_part panics; }

for part in "${PARTS[@]}"; do say "$part"; "part_$part"; done
box_stop
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
