#!/bin/sh
# Compiles kryoptic from /kry/src with the crates in /kry/vendor; leaves /kry/libkryoptic_pkcs11.so.
set -eu
export DEBIAN_FRONTEND=noninteractive CARGO_HOME=/kry/home
apt-get -qq -o Acquire::Check-Valid-Until=false update
apt-get -qq install -y --no-install-recommends cargo rustc gcc libc6-dev libssl-dev libsqlite3-dev pkg-config libclang-dev
cd /kry/src
# What it computes is OpenSSL's to compute: nobody waits for its own code, but for its compilation, which yields to others.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256
nice -n 10 cargo build --release --offline
cp target/release/libkryoptic_pkcs11.so /kry/
rm -rf target
