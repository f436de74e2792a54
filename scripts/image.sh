#!/usr/bin/env bash
# Builds the image keyring-ward/mysql:9.7 (MySQL 9.7 with our library) for docker-compose.yml.
#   scripts/image.sh [kms]
# kms: also keyring-ward/kms, the KMS server of the profile aws.
. "$(dirname "$0")/lib.sh"
case "${1:-}" in "" | kms) ;; *) wrong_usage ;; esac
has_docker || die "no Docker engine answers; scripts/demo.sh works without one"
build_library
ensure_base_image
say "building keyring-ward/mysql:9.7"
# A context of a few files: the working tree with its target folder is large.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/target/release" "$context/mysql-test"
cp "$REPO"/target/release/{libkeyring_ward.so,libkeyring_ward_sql.so,keyring-ward} "$context/target/release/"
cp -r "$REPO/mysql-test/container" "$context/mysql-test/"
cp -r "$REPO/share" "$context/"
docker build -q -t keyring-ward/mysql:9.7 -f "$REPO/mysql-test/container/Dockerfile" "$context"
if [ "${1:-}" = kms ]; then
  say "building keyring-ward/kms"
  docker build -q --network=host --build-arg BASE="$BASE_IMAGE" -t keyring-ward/kms -f "$REPO/mysql-test/container/Dockerfile.kms" "$REPO/mysql-test/container"
fi
say "done. Start it with: docker-compose up -d; docker-compose exec mysql mysql -uroot"
