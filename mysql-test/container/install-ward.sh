#!/bin/sh
# Installs Keyring Ward from a folder into this root file system: install-ward.sh FOLDER
# The plugin's name is a symbolic link: two copies would be two keyrings with two states.
set -eu
from=$1
plugins=/usr/lib/mysql/plugin
install -m 0755 "$from/libkeyring_ward.so" "$plugins/component_keyring_ward.so"
install -m 0755 "$from/libkeyring_ward_sql.so" "$plugins/component_keyring_ward_sql.so"
ln -sfn component_keyring_ward.so "$plugins/keyring_ward.so"
install -m 0755 "$from/keyring-ward" /usr/bin/keyring-ward
