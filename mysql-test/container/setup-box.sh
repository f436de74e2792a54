#!/bin/sh
# Makes a root file system with MySQL's packages ready for servers and for mysql-test-run:
# the account, the links that Debian's test suite package lacks, the folders.
# It must never contain anything of Keyring Ward itself: see install-ward.sh.
set -eu
id mysql >/dev/null 2>&1 || useradd --system --create-home --home-dir /var/lib/mysql-home --shell /bin/bash mysql
# The package has initialised a data directory; ours start empty.
rm -rf /var/lib/mysql
mkdir -p /var/lib/mysql /var/lib/mysql-keyring /run/mysqld /var/lib/mysql-test
chown mysql:mysql /var/lib/mysql /var/lib/mysql-keyring /run/mysqld /var/lib/mysql-test
chmod 0750 /var/lib/mysql /var/lib/mysql-keyring
for program in /usr/lib/mysql-test/bin/*; do
  [ -e "/usr/bin/${program##*/}" ] || ln -s "$program" "/usr/bin/${program##*/}"
done
grep -q localhost /etc/hosts 2>/dev/null || echo '127.0.0.1 localhost' >> /etc/hosts || true
