-- Removes Keyring Ward's SQL functions; the keyring itself is not touched.
DROP FUNCTION IF EXISTS keyring_ward_status;
DROP FUNCTION IF EXISTS keyring_ward_verify;
DROP FUNCTION IF EXISTS keyring_ward_reload;
DROP FUNCTION IF EXISTS keyring_ward_reseal;
DROP FUNCTION IF EXISTS keyring_ward_rekey;
DROP FUNCTION IF EXISTS keyring_ward_keks;
DROP FUNCTION IF EXISTS keyring_ward_kek_add;
DROP FUNCTION IF EXISTS keyring_ward_kek_remove;
DROP FUNCTION IF EXISTS keyring_ward_kek_sync;
