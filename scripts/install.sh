#!/usr/bin/env bash
# Installs Keyring Ward into the system's MySQL, or removes it again. Keyrings, secrets and configurations are never touched.
#   scripts/install.sh [--plugin-dir DIR] [--prefix DIR] [--root DIR]
#   scripts/install.sh --remove [the same]
# --plugin-dir: where MySQL has its plugins (default: as mysqld says, else /usr/lib/mysql/plugin); --prefix: for the tool and
# its pages (default /usr/local); --root: put before every path (packages, tests). What is built already is taken: cargo is
# wanted only where target/release lacks it or the sources are newer.
. "$(dirname "$0")/lib.sh"
remove=no plugins= prefix=/usr/local root=
while [ $# -gt 0 ]; do
  case "$1" in
    --remove) remove=yes ;;
    --plugin-dir) shift; plugins=${1:?"--plugin-dir wants a folder"} ;;
    --prefix) shift; prefix=${1:?"--prefix wants a folder"} ;;
    --root) shift; root=${1:?"--root wants a folder"} ;;
    *) wrong_usage ;;
  esac
  shift
done
if [ -z "$plugins" ] && command -v mysqld >/dev/null; then
  plugins=$(mysqld --no-defaults --verbose --help 2>/dev/null | awk '$1 == "plugin-dir" {print $2}' || true)
fi
plugins=$root${plugins:-/usr/lib/mysql/plugin}
plugins=${plugins%/}
share=$root$prefix/share
files() {
  echo "$plugins/component_keyring_ward.so" "$plugins/keyring_ward.so" "$plugins/component_keyring_ward_sql.so" "$root$prefix/bin/keyring-ward" \
    "$share/man/man1"/keyring-ward*.1 "$share/bash-completion/completions/keyring-ward" \
    "$share/zsh/site-functions/_keyring-ward" "$share/fish/vendor_completions.d/keyring-ward.fish"
}
if [ "$remove" = yes ]; then
  # shellcheck disable=SC2046
  rm -f $(files)
  rm -rf "$share/keyring-ward"
  note "removed; keyrings, secrets, configurations and the manifest are as they were"
  note "a server that still names the library will not find its keys: move them first (docs/guide/coming-from.md)"
  exit 0
fi
[ "$(id -u)" = 0 ] || [ -n "$root" ] || die "this needs root; --root DIR installs below a folder"
is_built || build_library
tool=$REPO/target/release/keyring-ward
# A server may run with the old library: a new file beside it and a rename leave that one's mapping alone.
put() { install -D -m "$1" "$2" "$3.new" && mv -f "$3.new" "$3"; }
put 0755 "$REPO/target/release/libkeyring_ward.so" "$plugins/component_keyring_ward.so"
ln -sf component_keyring_ward.so "$plugins/keyring_ward.so"
put 0755 "$REPO/target/release/libkeyring_ward_sql.so" "$plugins/component_keyring_ward_sql.so"
put 0755 "$tool" "$root$prefix/bin/keyring-ward"
mkdir -p "$share/man/man1"
"$tool" man "$share/man/man1"
for shell in bash zsh fish; do
  case $shell in
    bash) to=$share/bash-completion/completions/keyring-ward ;;
    zsh) to=$share/zsh/site-functions/_keyring-ward ;;
    fish) to=$share/fish/vendor_completions.d/keyring-ward.fish ;;
  esac
  mkdir -p "$(dirname "$to")"
  "$tool" completions $shell > "$to"
done
mkdir -p "$share/keyring-ward"
cp -r "$REPO/share/." "$REPO/contrib/systemd" "$REPO/contrib/apparmor" "$REPO/contrib/selinux" "$REPO/contrib/prometheus" "$share/keyring-ward/"
say "installed"
note "library:  $plugins/component_keyring_ward.so (and keyring_ward.so, for the plugin role)"
note "SQL:      $plugins/component_keyring_ward_sql.so (INSTALL COMPONENT 'file://component_keyring_ward_sql')"
note "tool:     $root$prefix/bin/keyring-ward, man pages, completions"
note "rules:    $share/keyring-ward (systemd, AppArmor, SELinux, install.sql)"
note "next:     keyring-ward init, then keyring-ward doctor (README.md, five minutes on your server)"
