#!/bin/sh
# Starts MySQL with Keyring Ward in the way of the official images: help runs to read the
# configuration, --initialize into an empty data directory, a temporary server for the accounts,
# then the real one. Any other command than mysqld is run as it is.
set -eu
[ "${1:-mysqld}" = mysqld ] || exec "$@"
data=/var/lib/mysql
keyring=/var/lib/mysql-keyring
chown mysql:mysql "$data" "$keyring" /run/mysqld
if [ ! -e /usr/sbin/mysqld.my ]; then
  echo '{ "components": "file://component_keyring_ward" }' > /usr/sbin/mysqld.my
fi
config=/usr/lib/mysql/plugin/component_keyring_ward.cnf
as_mysql() { setpriv --reuid mysql --regid mysql --init-groups "$@"; }
if [ "${KEYRING_WARD_BACKEND:-file}" = pkcs11 ]; then
  # A software token beside the keyring: for trying the backend, not for protection.
  module=/usr/lib/softhsm/libsofthsm2.so
  mkdir -p /etc/softhsm "$keyring/tokens"
  echo "directories.tokendir = $keyring/tokens" > /etc/softhsm/softhsm2.conf
  chmod 755 /etc/softhsm; chmod 644 /etc/softhsm/softhsm2.conf; chown mysql:mysql "$keyring/tokens"
  if [ ! -e "$keyring/pin" ]; then
    echo "entrypoint: no PIN in $keyring/pin: making a token with a random one"
    (umask 077; od -An -tx1 -N16 /dev/urandom | tr -d ' \n' > "$keyring/pin")
    chown mysql:mysql "$keyring/pin"
    pin=$(cat "$keyring/pin")
    # The tool takes PINs as arguments only; nobody else is in this container yet.
    as_mysql softhsm2-util --init-token --free --label ward --so-pin "$pin" --pin "$pin"
  fi
  if [ ! -e "$config" ]; then
    cat > "$config" <<CONFIG
{ "backend": "pkcs11", "path": "$keyring/keyring.ward", "pkcs11": { "module": "$module",
  "token_label": "ward", "key_label": "kek", "pin_file": "$keyring/pin" } }
CONFIG
  fi
  if [ ! -e "$keyring/keyring.ward" ]; then as_mysql keyring-ward init --config "$config" --generate; fi
fi
if [ "${KEYRING_WARD_BACKEND:-file}" = aws_kms ]; then
  # A KMS server on this machine's own address, for trying: it asks for credentials and takes any.
  url=http://127.0.0.1:5566
  if [ ! -e "$keyring/aws-credentials" ]; then
    (umask 077; printf '[default]\naws_access_key_id = try\naws_secret_access_key = try\n' > "$keyring/aws-credentials")
    chown mysql:mysql "$keyring/aws-credentials"
  fi
  if [ ! -e "$config" ]; then
    cat > "$config" <<CONFIG
{ "backend": "aws_kms", "path": "$keyring/keyring.ward", "aws_kms": { "key_id": "alias/mysql",
  "region": "us-east-1", "endpoint_url": "$url", "credentials_file": "$keyring/aws-credentials" } }
CONFIG
  fi
  if [ ! -e "$keyring/keyring.ward" ]; then
    echo "entrypoint: making a key in the KMS server, alias/mysql"
    perl -MHTTP::Tiny -e 'my ($url) = @ARGV;
      sub ask { my ($action, $body) = @_;
        for (1 .. 100) {
          my $answer = HTTP::Tiny->new->post($url, { content => $body, headers => {
            "content-type" => "application/x-amz-json-1.1", "x-amz-target" => "TrentService.$action",
            "authorization" => "AWS4-HMAC-SHA256 Credential=try/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0" } });
          return $answer->{content} if $answer->{success};
          select(undef, undef, undef, 0.2);
        }
        die "entrypoint: the KMS server does not answer\n" }
      my ($id) = ask("CreateKey", "{}") =~ /"KeyId": ?"([^"]+)"/;
      ask("CreateAlias", qq({"AliasName":"alias/mysql","TargetKeyId":"$id"}));' "$url"
    as_mysql keyring-ward init --config "$config"
  fi
fi
if [ ! -e "$config" ]; then
  if [ ! -e "$keyring/passphrase" ]; then
    echo "entrypoint: no passphrase in $keyring/passphrase: making a random one"
    (umask 077; od -An -tx1 -N24 /dev/urandom | tr -d ' \n' > "$keyring/passphrase")
    chown mysql:mysql "$keyring/passphrase"
  fi
  cat > "$config" <<CONFIG
{ "backend": "file", "path": "$keyring/keyring.ward", "read_only": false,
  "file": { "passphrase_file": "$keyring/passphrase" } }
CONFIG
fi
# As the official entry point does: ask the server for its configuration, partly as root.
mysqld --verbose --help >/dev/null
if [ ! -d "$data/mysql" ]; then
  echo 'entrypoint: initialising the data directory'
  mysqld --initialize-insecure --user=mysql --datadir="$data"
  mysqld --user=mysql --datadir="$data" --daemonize --skip-networking \
    --socket=/run/mysqld/temporary.sock --pid-file=/run/mysqld/temporary.pid \
    --log-error="$data/temporary.err"
  mysql --socket=/run/mysqld/temporary.sock -uroot <<SQL
INSTALL PLUGIN keyring_udf SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_generate RETURNS INTEGER SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_fetch RETURNS STRING SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_length_fetch RETURNS INTEGER SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_type_fetch RETURNS STRING SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_store RETURNS INTEGER SONAME 'keyring_udf.so';
CREATE FUNCTION keyring_key_remove RETURNS INTEGER SONAME 'keyring_udf.so';
SQL
  # keyring_ward_status() and the others.
  functions=/usr/share/keyring-ward/install.sql
  if [ -e $functions ]; then mysql --socket=/run/mysqld/temporary.sock -uroot < $functions; fi
  mysqladmin --socket=/run/mysqld/temporary.sock -uroot shutdown
fi
exec mysqld --user=mysql --datadir="$data" --socket=/run/mysqld/mysqld.sock
