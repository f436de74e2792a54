-- Keyring Ward's SQL functions. Run as an account that may INSERT into mysql.func:
--   mysql -uroot < share/install.sql
-- Where the keyring is a component, INSTALL COMPONENT 'file://component_keyring_ward_sql' brings them without this script.
-- They need the privilege ENCRYPTION_KEY_ADMIN: GRANT ENCRYPTION_KEY_ADMIN ON *.* TO …
-- Where the library is loaded as a plugin only, write keyring_ward.so instead.
-- The type is the function's own: with another one MySQL hands over places that an answer does not fit into. The functions refuse
-- to run then. Those of the last block serve each account with its own keys, and need no privilege (but to make key pairs).
CREATE FUNCTION IF NOT EXISTS keyring_ward_status RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_verify RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_reload RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_reseal RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_rekey RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_policy RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_audit_public_key RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_keks RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_kek_add RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_kek_remove RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_kek_sync RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_keys RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_retired_keys RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_check RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_create RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_adopt RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_rotate RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_rotate_index RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_activate RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_drop RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_set RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_destroy RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_destroy_due RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_cancel RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_restore RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_compromise RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_hold RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_release RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_retire RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_request RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_new RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_accept RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_seal RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_confirm RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_list RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_transport_remove RETURNS STRING SONAME 'component_keyring_ward.so';

CREATE FUNCTION IF NOT EXISTS keyring_ward_encrypt RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_decrypt RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_reencrypt RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_hmac RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_key_fetch RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_sealed_version RETURNS INTEGER SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_session_key_create RETURNS INTEGER SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_session_key_destroy RETURNS INTEGER SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_keypair_generate RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_public_key RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_sign RETURNS STRING SONAME 'component_keyring_ward.so';
CREATE FUNCTION IF NOT EXISTS keyring_ward_signature_verify RETURNS INTEGER SONAME 'component_keyring_ward.so';
