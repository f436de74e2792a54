#!/usr/bin/env bash
# Every test, part by part, ending with the seconds of each part and one line "N passed, N failed".
#   scripts/test.sh [ci]         every proof once: what CI runs
#   scripts/test.sh quick        format, lints and the tests without a server: fmt clippy unit
#   scripts/test.sh --all        every part with its long numbers: MySQL's whole suite with each backend instead of its
#                                quick tests, more kills, the whole disk experiments, a million keys. Hours.
#   scripts/test.sh PART…        some parts, with --all in their long form:
#                                fmt clippy doc bindings deny unit fuzz exports versions
#                                server root several containers admin lifecycle schema sqlcomponent sealed access audit replicas doctor prove docs hsm kms vault kmip lease clouds mtr suite
#                                torture
# The last lines are kept in mysql-test/.work/results. A part that can't run where it should is a failure, never a silent
# skip; with CI=true so is a test that would leave something out.
. "$(dirname "$0")/lib.sh"
cd "$REPO"
QUICK_PARTS="fmt clippy unit"
CI_PARTS="fmt clippy doc bindings deny unit fuzz exports versions server root several containers admin lifecycle schema sqlcomponent sealed access audit replicas doctor prove docs hsm kms vault kmip lease clouds mtr suite torture"
# Those that need a server. Long ones first, so that the last one to end is short; not at once those that need examples, or
# what takes long to fetch.
IN_BOXES="lease clouds doctor prove server audit lifecycle schema sqlcomponent sealed access replicas mtr admin suite torture hsm kms docs several root containers vault kmip"
PASSED=0 FAILED=0 ALL=no PARTS=()
for argument; do
  case "$argument" in
    --all) ALL=yes ;;
    # shellcheck disable=SC2206  # words
    ci) PARTS+=($CI_PARTS) ;;
    # shellcheck disable=SC2206
    quick) PARTS+=($QUICK_PARTS) ;;
    *) case " $CI_PARTS " in *" $argument "*) PARTS+=("$argument") ;; *) wrong_usage ;; esac ;;
  esac
done
# shellcheck disable=SC2206
[ ${#PARTS[@]} -gt 0 ] || PARTS=($CI_PARTS)
export KW_LONG=$ALL
# What is told of the disk itself is torture.sh's, which has boxes of its own.
FILES_IN=memory
mkdir -p "$WORK"
TOOLS=$WORK/tools

# What the parts with a server need is fetched while the first parts compile.
box_image() { if has_docker; then ensure_base_image; else ensure_chroot; fi; }
has_part() { local part; for part; do case " ${PARTS[*]} " in *" $part "*) return 0 ;; esac; done; return 1; }
servers=()
# shellcheck disable=SC2086  # words
if has_part $IN_BOXES; then in_background image box_image; fi
if has_part unit kms lease clouds docs; then servers+=(ensure_kms); fi
if has_part unit vault lease clouds docs; then servers+=(ensure_bao); fi
if has_part unit kmip docs; then servers+=(ensure_kmip); fi
if has_part unit; then servers+=(ensure_cloud_clients); fi
[ ${#servers[@]} = 0 ] || in_background servers "${servers[@]}"
if has_part hsm; then in_background kryoptic ensure_kryoptic; fi

# check NAME COMMAND…: one check, counted once.
check() {
  local name=$1; shift
  if "$@"; then PASSED=$((PASSED + 1)); note "ok: $name"; else FAILED=$((FAILED + 1)); note "FAILED: $name"; fi
}

# tools COMMAND…: in the folder of each tool.
tools() {
  local tool
  for tool in tools/*/; do (cd "$tool" && "$@") || return 1; done
}

# Counts "N passed, N failed" lines that a script wrote; the script's failure alone counts too.
count_from() { # count_from LOG RC
  local p f
  p=$(sed -n 's/^\([0-9]\+\) passed, [0-9]\+ failed$/\1/p' "$1" | tail -1)
  f=$(sed -n 's/^[0-9]\+ passed, \([0-9]\+\) failed$/\1/p' "$1" | tail -1)
  PASSED=$((PASSED + ${p:-0})) FAILED=$((FAILED + ${f:-0}))
  if [ "$2" != 0 ] && [ "${f:-0}" = 0 ]; then FAILED=$((FAILED + 1)); fi
}

part_fmt() {
  check rustfmt cargo fmt --check
  check "rustfmt of the tools" tools cargo fmt --check
}
part_clippy() {
  check clippy cargo clippy --locked --all-targets -q -- -D warnings
  check "clippy of the judge" cargo clippy --locked -q --all-targets --manifest-path tools/judge/Cargo.toml --target-dir target/tools -- -D warnings
}
part_doc() { check rustdoc env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps -q; }

part_bindings() {
  need_file "/usr/lib/llvm-*/lib/libclang.so*" libclang-dev
  check "bindgen runs" cargo run --locked -q --manifest-path tools/bindings/Cargo.toml --target-dir target/tools -- "$WORK/abi.rs"
  check "boundary/src/abi.rs is what bindgen makes of include/" diff -u boundary/src/abi.rs "$WORK/abi.rs"
}

part_deny() {
  if [ ! -x "$TOOLS/bin/cargo-deny" ]; then
    note "building cargo-deny (two minutes, once)"
    CARGO_PROFILE_DEV_DEBUG=false cargo install -q --locked --debug cargo-deny@0.20.2 --root "$TOOLS" --target-dir "$WORK/deny-target"
    rm -rf "$WORK/deny-target"
  fi
  # Offline, it wants every crate of the lock file, those of other features and platforms as well.
  cargo fetch --locked -q
  local database=${ADVISORY_DB:-$REPO/../shared/advisory-db.tar.gz}
  check "licences, bans, sources" "$TOOLS/bin/cargo-deny" --offline check -s licenses bans sources
  if [ ! -e "$database" ]; then
    note "no copy of the advisory database at \$ADVISORY_DB: fetching it"
    check advisories "$TOOLS/bin/cargo-deny" check advisories
    return
  fi
  need git git
  # cargo-deny wants a git repository whose folder carries a hash of its URL's name.
  local home=$WORK/advisory-db
  rm -rf "$home"; mkdir -p "$home/unpacked"
  tar -xzf "$database" -C "$home/unpacked"
  check advisories offline_advisories "$home"
}

offline_advisories() {
  local from=$1/unpacked expected
  [ -d "$from/crates" ] || { note "the archive holds no advisory database"; return 1; }
  (cd "$from" && git init -q && git add -A \
    && git -c user.name=kw -c user.email=kw@localhost commit -qm copy && git fetch -q . HEAD)
  sed "s|^\[advisories\]|[advisories]\ndb-path = \"$1/db\"|" deny.toml > "$1/deny.toml"
  # The folder's name carries a hash; the first call says which one it looks for.
  expected=$("$TOOLS/bin/cargo-deny" -L debug --offline --config "$1/deny.toml" check advisories 2>&1 \
    | grep -o "'$1/db/[A-Za-z0-9._-]*'" | head -1 | tr -d "'" || true)
  [ -n "$expected" ] || { note "cargo-deny did not say where it looks for the database"; return 1; }
  mkdir -p "$1/db"; rm -rf "$expected"; mv "$from" "$expected"
  "$TOOLS/bin/cargo-deny" --offline --config "$1/deny.toml" check advisories
}

part_unit() {
  need_file /usr/lib/softhsm/libsofthsm2.so softhsm2
  ensure_kms
  ensure_kmip
  ensure_bao
  ensure_cloud_clients
  local log=$WORK/unit.log rc=0 p f
  # With --all, what is too long for every day as well. What fails is counted below.
  set +e
  unit_tests 2>&1 | tee "$log" | awk '/^thread .* panicked/ { more = 4 } more-- > 0 || /^(test result|test .*FAILED|failures:|---- |error|warning: unused|SKIPPED)/'
  rc=${PIPESTATUS[0]}
  set -e
  p=$(sed -n 's/^test result: .* \([0-9]\+\) passed; .*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
  f=$(sed -n 's/^test result: .* \([0-9]\+\) failed; .*/\1/p' "$log" | awk '{s+=$1} END {print s+0}')
  note "cargo test: $p passed, $f failed"
  PASSED=$((PASSED + p)) FAILED=$((FAILED + f))
  if [ "$rc" != 0 ] && [ "$f" = 0 ]; then FAILED=$((FAILED + 1)); tail -30 "$log"; fi
  check "a provider that is only its folder and its row is found everywhere" \
    cargo test --locked -q --features toy-provider --test toy --test contract_kek
}

# cargo runs one test program after the other. Those that wait for servers and modules more than they compute run beside the
# others, and so do the library's own: a process each, so that nothing of theirs is shared. The toy provider's test wants a
# feature, and has its own line in part_unit.
unit_tests() {
  local rc=0 each others=() pids=() logs=$WORK/unit
  cargo test --locked --manifest-path tools/judge/Cargo.toml --target-dir target/tools || rc=1
  cargo test --locked --no-run || return 1
  for each in tests/*.rs; do
    each=$(basename "$each" .rs)
    case $each in contract_kms | contract_kmip | contract_vault | contract_*_key_vault | contract_gcp_kms | contract_alibaba_kms | contract_oci_vault | contract_pkcs11 | contract_several_faults | toy) ;; *) others+=(--test "$each") ;; esac
  done
  rm -rf "$logs"; mkdir -p "$logs"
  cargo test --locked --no-fail-fast --test contract_kms --test contract_vault > "$logs/kms" 2>&1 & pids+=($!)
  cargo test --locked --no-fail-fast --test contract_kmip --test contract_several_faults > "$logs/kmip" 2>&1 & pids+=($!)
  cargo test --locked --no-fail-fast --test contract_gcp_kms --test contract_azure_key_vault --test contract_alibaba_kms --test contract_oci_vault > "$logs/clouds" 2>&1 & pids+=($!)
  cargo test --locked --no-fail-fast --test contract_pkcs11 > "$logs/pkcs11" 2>&1 & pids+=($!)
  cargo test --locked --no-fail-fast --lib --bins > "$logs/library" 2>&1 & pids+=($!)
  cargo test --locked --no-fail-fast "${others[@]}" > "$logs/others" 2>&1 || rc=1
  cargo test --locked --doc > "$logs/documents" 2>&1 || rc=1
  for each in "${pids[@]}"; do wait "$each" || rc=1; done
  cat "$logs"/*
  [ "$ALL" = no ] || cargo test --locked --test million -- --ignored || rc=1
  return $rc
}

# The fuzz targets must go on building; scripts/fuzz.sh runs them.
part_fuzz() {
  need c++ g++
  # The crates in target that clippy has checked are these ones.
  check "the fuzz targets build" cargo check -q --manifest-path fuzz/Cargo.toml --locked --target-dir target
}

part_exports() {
  build_library
  need nm binutils
  nm -D --defined-only target/release/libkeyring_ward.so | awk '{print $3}' | LC_ALL=C sort > "$WORK/exports"
  check "exported symbols are tests/exports.txt" diff -u tests/exports.txt "$WORK/exports"
  check "the SQL component exports its entry and nothing else" \
    test "$(nm -D --defined-only target/release/libkeyring_ward_sql.so | awk '{print $3}')" = list_components
  nm -D --undefined-only target/release/libkeyring_ward.so target/release/libkeyring_ward_sql.so | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 > "$WORK/glibc"
  check "needs no newer glibc than 2.34 (needs $(cat "$WORK/glibc"))" \
    test "$(printf 'GLIBC_2.34\n%s\n' "$(cat "$WORK/glibc")" | sort -V | tail -1)" = GLIBC_2.34
  check "scripts/install.sh installs and removes" installs_and_removes
  local library
  for library in libkeyring_ward libkeyring_ward_sql; do
    check "$library is linked with -z nodelete" sh -c "readelf -d target/release/$library.so | grep -q NODELETE"
  done
  # What is in it without being used costs every server memory (docs/adr/0019-a-small-tls-library.md). An issue that adds to
  # it raises this by what it may add.
  local most=10000000 size; size=$(stat -c %s target/release/libkeyring_ward.so)
  check "the library has at most $most bytes (it has $size)" test "$size" -le $most
  most=600000 size=$(stat -c %s target/release/libkeyring_ward_sql.so)
  check "the SQL component has at most $most bytes (it has $size)" test "$size" -le $most
}

# Everything that install.sh puts somewhere goes again; what an operator made stays.
installs_and_removes() {
  local root=$WORK/install-root
  rm -rf "$root"; mkdir -p "$root/var/lib/mysql-keyring"; : > "$root/var/lib/mysql-keyring/keyring.ward"
  scripts/install.sh --root "$root" >/dev/null || return 1
  [ -e "$root/usr/lib/mysql/plugin/component_keyring_ward.so" ] && [ -e "$root/usr/lib/mysql/plugin/component_keyring_ward_sql.so" ] && [ -e "$root/usr/local/share/man/man1/keyring-ward-doctor.1" ] \
    && [ -s "$root/usr/local/share/bash-completion/completions/keyring-ward" ] && "$root/usr/local/bin/keyring-ward" --version >/dev/null || return 1
  scripts/install.sh --root "$root" --remove >/dev/null || return 1
  [ "$(cd "$root" && find . -type f)" = ./var/lib/mysql-keyring/keyring.ward ]
}

# The release library in a host that has the services of 8.0, 8.4, 9.7 or none, and not one slot more. Prints what was called.
part_versions() {
  build_library
  cargo build --locked -q --example mysqld_fake_host
  check "the release library with each version's services, in each role" \
    env KW_LIBRARY=target/release/libkeyring_ward.so cargo test --locked -q --test fake_host -- --nocapture --test-threads 1
}

# One box for all parts that need a server.
with_box() { # with_box NAME COMMAND…
  local log=$WORK/$1.log rc=0; shift
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  set +e
  box "$@" 2>&1 | tee "$log"
  rc=${PIPESTATUS[0]}
  set -e
  count_from "$log" "$rc"
}
part_server() { with_box server env KW_LONG="$ALL" bash /kw/mysql-test/harness/server-tests.sh; }
# Started by root: nothing is done with root's rights, no thread or child stays behind.
part_root() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  cargo build --locked -q --example p11_shim
  box_put "$REPO" target/debug/examples/libp11_shim.so
  with_box root bash /kw/mysql-test/harness/root-tests.sh
}
# Several KEKs for one keyring: each subset of three, and kills of what changes them.
part_several() { with_box several env KW_LONG="$ALL" bash /kw/mysql-test/harness/several-tests.sh; }
# Secrets and volumes of Docker and Kubernetes, imitated; what a start waits for.
part_containers() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  box_put "$REPO" docs
  with_box containers bash /kw/mysql-test/harness/containers-tests.sh
}
# Administration: SQL functions, import and export, kills of rekey and reseal.
part_admin() { with_box admin env KW_LONG="$ALL" bash /kw/mysql-test/harness/admin-tests.sh; }
# A clock that jumps, for the server alone.
clock_put() {
  # shellcheck disable=SC2016  # the box's own words
  box flock /tmp/kw-clock-put sh -c 'ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && exit
    apt-get -qq -o Acquire::Check-Valid-Until=false update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends faketime >/dev/null'
}
# The life of keys: the SQL functions, what the server's own functions see, traps, migration, kills of rotations.
part_lifecycle() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  clock_put
  with_box lifecycle env KW_LONG="$ALL" bash /kw/mysql-test/harness/lifecycle-tests.sh
}
# The companion component: it comes, survives, shows and goes, in every order and beside everything.
part_sqlcomponent() { with_box sqlcomponent env KW_LONG="$ALL" bash /kw/mysql-test/harness/sqlcomponent-tests.sh; }
# Values sealed in SQL, blind indexes and key pairs.
part_sealed() { with_box sealed bash /kw/mysql-test/harness/sealed-tests.sh; }
# The access policy: who may do what with which keys, by which way; the eight roles, cell by cell.
part_access() {
  with_box access env KW_LONG="$ALL" bash /kw/mysql-test/harness/access-tests.sh
  with_box roles bash /kw/mysql-test/harness/roles-tests.sh
}
# The audit log: who it says it was, disks that hang or fail, kills under load.
part_audit() { with_box audit env KW_LONG="$ALL" bash /kw/mysql-test/harness/audit-tests.sh; }
# Keys for replicas: a source and two replicas, rotations under load, a promotion.
part_replicas() { with_box replicas bash /kw/mysql-test/harness/replicas-tests.sh; }
# The schema keyring_ward: installation, rotation and re-encryption, kills at each step, roles, events.
part_schema() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  clock_put
  with_box schema env KW_LONG="$ALL" bash /kw/mysql-test/harness/schema-tests.sh
}
# What doctor says of a hundred set-ups, beside what the server does.
part_doctor() { with_box doctor bash /kw/mysql-test/harness/doctor-tests.sh; }
# What prove says of data directories of every kind, with the right keyring and with others.
part_prove() { with_box prove env KW_LONG="$ALL" bash /kw/mysql-test/harness/prove-tests.sh; }
# The backend pkcs11 over real modules.
part_hsm() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  cargo build --locked -q --example p11_shim
  ensure_kryoptic
  mkdir -p "$WORK/put/modules"
  cp "$WORK/libkryoptic_pkcs11.so" "$WORK/put/modules/"
  box_put "$REPO" target/debug/examples/libp11_shim.so
  box_put "$WORK/put" modules
  with_box hsm bash /kw/mysql-test/harness/hsm-tests.sh
}
# The backend aws_kms over real KMS servers.
part_kms() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  kms_put
  with_box kms env KW_MOTO="$KMS_MOTO" KW_LOCALSTACK="$KMS_LOCALSTACK" bash /kw/mysql-test/harness/kms-tests.sh
}
# The backend kmip over a real KMIP server.
part_kmip() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  kmip_put
  with_box kmip env KW_KMIP="$KMIP" bash /kw/mysql-test/harness/kmip-tests.sh
  kmip_stop
}
# The backend vault over OpenBao.
part_vault() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  bao_put
  with_box vault bash /kw/mysql-test/harness/vault-tests.sh
}
# The backends of Google, Azure, Alibaba and Oracle over fakes of them, and eight KEKs at once.
part_clouds() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  kms_put
  bao_put
  fakes_put
  with_box clouds env KW_MOTO="$KMS_MOTO" bash /kw/mysql-test/harness/clouds-tests.sh
}
# The lease, over a KMS server, a token and OpenBao.
part_lease() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  kms_put
  bao_put
  cargo build --locked -q --example torture
  box_put "$REPO" target/debug/examples/torture
  with_box lease env KW_MOTO="$KMS_MOTO" KW_LOCALSTACK="$KMS_LOCALSTACK" bash /kw/mysql-test/harness/lease-tests.sh
}
# The commands of the documents, run as written (docs-tests.sh).
# A client library for the application of a page; in the background.
python_put() {
  # shellcheck disable=SC2016  # the box's own words
  box flock /tmp/kw-python-put sh -c 'python3 -c "import pymysql" 2>/dev/null && exit
    apt-get -qq -o Acquire::Check-Valid-Until=false update >/dev/null; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-pymysql >/dev/null'
}
part_docs() {
  [ -n "${BOX:-}" ] || { build_library; box_start; }
  kms_stop
  kmip_stop
  KMS_ACCOUNT=111122223333 kms_put # the account of the examples
  KMIP_LISTEN=5696 kmip_put # their port
  bao_put
  box_put "$REPO" README.md LICENSE-APACHE LICENSE-MIT CHANGELOG.md CONTRIBUTING.md SECURITY.md docs contrib tests/support/audit_verify.py
  # The page that wants it is one of the last, and waits.
  python_put &
  with_box docs env KW_MOTO="$KMS_MOTO" KW_KMIP="$KMIP" bash /kw/mysql-test/harness/docs-tests.sh
  wait $! || true
  kms_stop
  kmip_stop
}
part_mtr() { with_box mtr bash /kw/mysql-test/harness/mtr.sh own; }
part_suite() {
  if [ "$ALL" = yes ]; then
    with_box suite bash /kw/mysql-test/harness/mtr.sh all
    with_box suite-pkcs11 env KW_BACKEND=pkcs11 bash /kw/mysql-test/harness/mtr.sh all
    kms_put
    with_box suite-aws-kms env KW_BACKEND=aws_kms KW_MOTO="$KMS_MOTO" bash /kw/mysql-test/harness/mtr.sh all
    bao_put
    with_box suite-vault env KW_BACKEND=vault bash /kw/mysql-test/harness/mtr.sh all
    with_box suite-keks env KW_BACKEND=keks bash /kw/mysql-test/harness/mtr.sh all
  else
    with_box suite bash /kw/mysql-test/harness/mtr.sh quick
  fi
}

# Durability experiments, in a root file system of their own: the ones without a server, and power cuts of a rotation, in their
# short form; with --all every one of them with its long numbers.
part_torture() {
  local log=$WORK/torture.log rc=0 what=(--quick syscalls powercut life rotation tears)
  box_stop
  [ "$ALL" = no ] || what=()
  scripts/torture.sh "${what[@]}" 2>&1 | tee "$log" || rc=1
  count_from "$log" "$rc"
}

# ---- what runs, and beside what ---------------------------------------------------------------------

# Parts that need a server wait more than they compute: some of them run beside each other and beside the compiler, each
# part with a box of its own.
LANES=${KW_LANES:-4}
AT=$WORK/lanes

run_part() { # run_part PART: its counts and seconds go into files of its name
  local began=$SECONDS
  PASSED=0 FAILED=0
  say "$1"
  "part_$1"
  printf '%s %s %s\n' "$PASSED" "$FAILED" $((SECONDS - began)) > "$AT/$1.counts"
}

# Takes parts until there are none. What a part prints is shown in one piece when it ends.
lane() {
  local part
  ready built; ready image
  for part; do
    mkdir "$AT/$part.taken" 2>/dev/null || continue
    # Not behind || or if: there the shell would go on after an error.
    set +e
    (set -e; run_part "$part") > "$AT/$part.log" 2>&1 < /dev/null
    set -e
    flock "$AT" cat "$AT/$part.log"
  done
}

# Where this script is interrupted: each part removes its box when it is told to end.
end_lanes() {
  local pid parts
  for pid in "${LANE_PIDS[@]}"; do
    # Asked for first: they have another parent once the lane is gone.
    parts=$(pgrep -P "$pid" || true)
    # shellcheck disable=SC2086  # several, or none
    kill "$pid" $parts 2>/dev/null || true
  done
  wait
}

rm -rf "$AT"; mkdir -p "$AT"
boxed=() others=()
for part in $IN_BOXES; do if has_part "$part"; then boxed+=("$part"); fi; done
for part in "${PARTS[@]}"; do case " $IN_BOXES " in *" $part "*) ;; *) others+=("$part") ;; esac; done
LANE_PIDS=()
if [ ${#boxed[@]} -gt 0 ]; then
  in_background built build_library
  for ((i = 0; i < LANES && i < ${#boxed[@]}; i++)); do
    lane "${boxed[@]}" & LANE_PIDS+=($!)
  done
  trap end_lanes EXIT
fi
# What several parts need is compiled once, before they wait for each other.
if has_part unit hsm kms docs root torture; then
  # What does not build fails in the part that needs it, which is counted. Most parts wait for the library, so this yields.
  (cd "$REPO" && nice -n 5 cargo build --locked -q --examples) || note "the examples do not build"
fi
for part in "${others[@]}"; do
  set +e
  (set -e; run_part "$part")
  set -e
done
for pid in "${LANE_PIDS[@]}"; do wait "$pid" || true; done
trap - EXIT
ready image; ready servers; ready kryoptic
say "finished; no server is left"
PASSED=0 FAILED=0
: > "$WORK/results"
for part in "${PARTS[@]}"; do
  # A part that ended before it could count has failed.
  read -r p f seconds < "$AT/$part.counts" 2>/dev/null || p=0 f=1 seconds=0
  PASSED=$((PASSED + p)) FAILED=$((FAILED + f))
  printf '%5d s  %-10s %4d passed%s\n' "$seconds" "$part" "$p" "$([ "$f" = 0 ] || echo ", $f failed")" >> "$WORK/results"
done
printf '%5d s  all together\n%s\n' "$SECONDS" "$PASSED passed, $FAILED failed" >> "$WORK/results"
cat "$WORK/results"
[ "$FAILED" = 0 ]
