# Azure in the box: an application with a client secret, and a key in a vault of the fake at $FAKE (HOST:PORT). Sourced. $KEYS is the
# folder of mysqld's secrets.

AZURE_TENANT=11111111-2222-3333-4444-555555555555
AZURE_CLIENT=0123abcd-0123-4567-89ab-0123456789ab
AZURE_SECRET=wJalrXUtnFEMI~harness-client-secret-0042

# What the fake is started with, as NAME=VALUE.
cloud_settings() {
  printf '%s\n' "tenant=$AZURE_TENANT" "client_id=$AZURE_CLIENT" "client_secret=$AZURE_SECRET"
}

# The credential files; the one with the secret in $CLOUD_SECRET.
cloud_prepare() {
  CLOUD_SECRET=$KEYS/azure-client-secret
  (umask 077; printf '%s\n' "$AZURE_SECRET" > "$CLOUD_SECRET")
  chown mysql:mysql "$CLOUD_SECRET"
  chmod 600 "$CLOUD_SECRET"
}

# The provider's options, by their flat names.
cloud_options() {
  printf 'azure_key_vault_%s\n' "vault_url=http://$FAKE" resource=https://vault.azure.net key=mysql auth=secret \
    "authority=http://$FAKE" "tenant_id=$AZURE_TENANT" "client_id=$AZURE_CLIENT" "client_secret_file=$KEYS/azure-client-secret"
}

# The key is disabled: it goes on wrapping, and unwraps nothing. And the way back.
cloud_disable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state disabled; }
cloud_enable() { /kw/target/debug/examples/cloud_fake set "$FAKE" state enabled; }
# What must stand in no log.
cloud_secret_texts() { echo "$AZURE_SECRET"; }
