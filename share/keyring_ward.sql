-- Keyring Ward's schema: rotation of keys in SQL, with a policy, a log, registered columns, events and roles.
--   mysql -uroot < share/keyring_ward.sql
-- Run it with MySQL's own client (it uses DELIMITER), as an account that may create schemas, accounts and routines of another
-- account (CREATE USER, SET_ANY_DEFINER, GRANT OPTION). Running it again is safe at any time: it mends a schema that was installed in part,
-- brings an older one up to date, and keeps policy, log, registered columns and the state of the events. It refuses a newer one.
-- The SQL functions must be there when the procedures are called: share/install.sql, or INSTALL COMPONENT
-- 'file://component_keyring_ward_sql'; for the roles' KEYRING_WARD_… privileges the component, and then this file again.
-- Away with it: DROP SCHEMA keyring_ward; DROP USER keyring_ward_definer@localhost; and the roles. No key goes with that.
--
-- Who does what: every routine and event belongs to keyring_ward_definer@localhost, an account that nobody can log in with. The
-- application keys that are rotated here are that account's keys: applications get at values by routines and triggers of this
-- definer, never at the key. docs/guide/encrypt-a-column.md goes through it.
-- Procedures whose names start with own_ are the schema's own: they have the rights of whoever calls them, so that they are worth
-- nothing to an account that may execute every routine (EXECUTE on *.*, which MySQL's own keyring functions want).

SET @keyring_ward_mode = @@SESSION.sql_mode, @keyring_ward_zone = @@SESSION.time_zone;
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET SESSION time_zone = '+00:00',
    sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';

CREATE SCHEMA IF NOT EXISTS keyring_ward DEFAULT CHARACTER SET utf8mb4 DEFAULT COLLATE utf8mb4_bin;
USE keyring_ward;

-- ---- is it ours, and not newer? --------------------------------------------------------------------

DROP PROCEDURE IF EXISTS own_begin;
DELIMITER //
CREATE PROCEDURE own_begin() SQL SECURITY INVOKER
BEGIN
  DECLARE tables_there, ours, newer INT DEFAULT 0;
  SELECT COUNT(*), COALESCE(SUM(TABLE_NAME = 'schema_version'), 0) INTO tables_there, ours
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'keyring_ward';
  IF tables_there > 0 AND ours = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'There is a schema keyring_ward that this file did not make. Rename it; nothing was changed in it.';
  END IF;
  IF ours > 0 THEN
    SELECT COUNT(*) INTO newer FROM keyring_ward.schema_version WHERE version > 1;
    IF newer > 0 THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'The schema keyring_ward is of a newer release. Run that release\'s share/keyring_ward.sql.';
    END IF;
  END IF;
END //
DELIMITER ;
CALL own_begin();

CREATE TABLE IF NOT EXISTS schema_version (
  one TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one = 1),
  version INT UNSIGNED NOT NULL,
  complete BOOLEAN NOT NULL COMMENT 'FALSE while share/keyring_ward.sql runs, and after it was interrupted',
  installed_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  updated_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  lock_salt CHAR(32) CHARACTER SET ascii NOT NULL COMMENT 'part of the names of GET_LOCK() locks, so that who may not read this table can not hold them'
) ENGINE = InnoDB COMMENT 'One row: which release made this schema, and whether all of it is there. All times of the schema are UTC';
INSERT INTO schema_version (version, complete, lock_salt) VALUES (1, FALSE, HEX(RANDOM_BYTES(16))) ON DUPLICATE KEY UPDATE complete = FALSE;

-- ---- the account that owns it ----------------------------------------------------------------------

CREATE USER IF NOT EXISTS keyring_ward_definer@localhost ACCOUNT LOCK COMMENT 'Owns the routines and keys of the schema keyring_ward; nobody logs in with it';
ALTER USER keyring_ward_definer@localhost ACCOUNT LOCK;
GRANT ALL ON keyring_ward.* TO keyring_ward_definer@localhost;
-- Keys; MySQL's master keys; which tablespace a table lies in.
GRANT ENCRYPTION_KEY_ADMIN, BINLOG_ENCRYPTION_ADMIN ON *.* TO keyring_ward_definer@localhost;
GRANT PROCESS ON *.* TO keyring_ward_definer@localhost;
GRANT SELECT ON performance_schema.keyring_keys TO keyring_ward_definer@localhost;
GRANT SELECT ON performance_schema.user_defined_functions TO keyring_ward_definer@localhost;
GRANT SELECT ON performance_schema.replication_connection_configuration TO keyring_ward_definer@localhost;
-- Which keys an account has read or used, for rotate_exposed(). The table is there once component_keyring_ward_sql is installed.
SET @keyring_ward_sql = (SELECT IF(COUNT(*) = 0, 'DO 0', 'GRANT SELECT ON performance_schema.keyring_ward_audit TO keyring_ward_definer@localhost')
  FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'keyring_ward_audit');
PREPARE keyring_ward_statement FROM @keyring_ward_sql;
EXECUTE keyring_ward_statement;
DEALLOCATE PREPARE keyring_ward_statement;
-- Who may execute every routine, which check() tells.
GRANT SELECT (User, Host, Execute_priv, Create_user_priv, User_attributes) ON mysql.user TO keyring_ward_definer@localhost;

-- ---- tables ----------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS settings (
  one TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one = 1),
  batch_rows INT UNSIGNED NOT NULL DEFAULT 500 COMMENT 'rows of one transaction' CHECK (batch_rows BETWEEN 1 AND 1000000),
  rows_per_second INT UNSIGNED NULL COMMENT 'NULL: as fast as it goes' CHECK (rows_per_second > 0),
  max_replica_lag INT UNSIGNED NOT NULL DEFAULT 30 COMMENT 'seconds; re-encryption waits while a listed replica is further behind',
  paused BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'TRUE: re-encryption waits after the batch that it is in',
  transport_key VARCHAR(64) NULL COMMENT 'the transport key that new versions go to replicas under (docs/guide/replicas.md); NULL: none go',
  check_seconds SMALLINT UNSIGNED NOT NULL DEFAULT 5 COMMENT 'for so long check() looks at values of registered columns; rotate_due looks at all of them',
  also_on_replicas BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'TRUE: a server that has a source rotates all the same (circular replication)'
) ENGINE = InnoDB COMMENT 'One row: the pace of re-encryption';
INSERT IGNORE INTO settings (one) VALUES (1);

CREATE TABLE IF NOT EXISTS rotation_policy (
  key_type VARCHAR(32) NOT NULL PRIMARY KEY COMMENT 'kek, dek (application keys), innodb_master, binlog_master, transport, temporary',
  rotate_every SMALLINT UNSIGNED NOT NULL CHECK (rotate_every > 0),
  unit ENUM('hour', 'day') NOT NULL DEFAULT 'day',
  also_when VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'what else calls for a rotation; for people',
  priority ENUM('highest', 'high', 'medium', 'low') NOT NULL DEFAULT 'medium',
  automatic BOOLEAN NOT NULL DEFAULT TRUE COMMENT 'rotate_due does it; FALSE: it is only reminded of',
  quiet_from TIME NULL COMMENT 'rotate_due begins and goes on between these two; NULL: at any time',
  quiet_to TIME NULL,
  time_zone VARCHAR(64) NOT NULL DEFAULT '+00:00' COMMENT 'of the two times',
  retire_after_days SMALLINT UNSIGNED NULL COMMENT 'dek: the destruction of the old version is planned so many days after the rotation; NULL: never by itself' CHECK (retire_after_days > 0),
  CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
) ENGINE = InnoDB COMMENT 'How often each kind of key is rotated';
INSERT IGNORE INTO rotation_policy (key_type, rotate_every, unit, also_when, priority, retire_after_days) VALUES
  ('kek', 365, 'day', 'a grave security incident', 'highest', NULL),
  ('dek', 90, 'day', 'on schedule', 'high', 30),
  ('innodb_master', 90, 'day', 'on schedule', 'high', NULL),
  ('binlog_master', 90, 'day', 'on schedule', 'high', NULL),
  ('transport', 7, 'day', 'the end of a session', 'medium', NULL),
  ('temporary', 8, 'hour', 'the end of the task', 'low', NULL);

CREATE TABLE IF NOT EXISTS encrypted_columns (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  table_schema VARCHAR(64) NOT NULL,
  table_name VARCHAR(64) NOT NULL,
  column_name VARCHAR(64) NOT NULL,
  key_name VARCHAR(255) NOT NULL,
  key_owner VARCHAR(255) NOT NULL,
  context_text VARCHAR(255) NULL COMMENT 'the context of each value: this text, then the value of context_column; NULL and NULL: none',
  context_column VARCHAR(64) NULL,
  state ENUM('registered', 'reencrypting', 'checking', 'checked', 'failed') NOT NULL DEFAULT 'registered',
  target_version INT UNSIGNED NULL COMMENT 'the version that values are brought to',
  rows_total BIGINT UNSIGNED NULL COMMENT 'rows that were under another version at the start',
  rows_done BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rows_seen BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'rows that the present walk went by',
  started_at DATETIME(6) NULL,
  updated_at DATETIME(6) NULL,
  checked_at DATETIME(6) NULL COMMENT 'when every value was opened and found under checked_version',
  checked_version INT UNSIGNED NULL,
  rows_checked BIGINT UNSIGNED NULL,
  message VARCHAR(1000) NULL,
  registered_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  registered_by VARCHAR(288) NOT NULL,
  UNIQUE KEY place (table_schema, table_name, column_name),
  KEY by_key (key_name, key_owner)
) ENGINE = InnoDB COMMENT 'Columns whose values are sealed by keyring_ward_encrypt(), and how far their re-encryption is';

CREATE TABLE IF NOT EXISTS key_rotation_log (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  key_type VARCHAR(32) NOT NULL COMMENT 'as in rotation_policy, or table',
  key_name VARCHAR(255) NOT NULL,
  key_owner VARCHAR(255) NOT NULL DEFAULT '',
  old_key_id VARCHAR(300) NULL,
  new_key_id VARCHAR(300) NULL,
  rotation_time DATETIME(6) NULL COMMENT 'when the new one became current',
  old_version INT UNSIGNED NULL,
  new_version INT UNSIGNED NULL,
  state ENUM('started', 'pending', 'verified', 'waiting for replicas', 'switched', 'done', 'aborted') NOT NULL,
  resumable BOOLEAN NOT NULL DEFAULT TRUE COMMENT 'not at its end: the same call, or rotate_due, goes on with it',
  reason ENUM('call', 'due', 'monthly', 'emergency', 'exposed') NOT NULL,
  rows_total BIGINT UNSIGNED NOT NULL DEFAULT 0,
  rows_done BIGINT UNSIGNED NOT NULL DEFAULT 0,
  progress DECIMAL(5, 2) AS (CASE WHEN state = 'done' THEN 100 WHEN rows_total = 0 THEN 0 ELSE LEAST(100, 100 * rows_done / rows_total) END) COMMENT 'per cent of the rows that are re-encrypted',
  message VARCHAR(1000) NULL,
  asked_by VARCHAR(288) NOT NULL,
  server_uuid CHAR(36) NOT NULL,
  started_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  updated_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  finished_at DATETIME(6) NULL,
  KEY of_key (key_name, key_owner, resumable),
  KEY by_type (key_type, state)
) ENGINE = InnoDB COMMENT 'Every rotation, with each step as it was made durable';

CREATE TABLE IF NOT EXISTS schedule_runs (
  event_name VARCHAR(64) NOT NULL PRIMARY KEY,
  last_run DATETIME(6) NULL COMMENT 'when it began last, at its time or after the server was down',
  last_end DATETIME(6) NULL,
  runs BIGINT UNSIGNED NOT NULL DEFAULT 0,
  message VARCHAR(1000) NULL
) ENGINE = InnoDB COMMENT 'When the events ran';
INSERT IGNORE INTO schedule_runs (event_name) VALUES ('monthly_key_rotation'), ('rotate_due_daily');

-- Filled by the transport of keys to replicas.
CREATE TABLE IF NOT EXISTS replicas (
  server_uuid CHAR(36) NOT NULL PRIMARY KEY,
  name VARCHAR(255) NOT NULL,
  required BOOLEAN NOT NULL DEFAULT TRUE COMMENT 'a switch waits for its confirmation',
  lag_seconds INT UNSIGNED NULL COMMENT 'as it said last',
  seen_at DATETIME(6) NULL,
  added_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6))
) ENGINE = InnoDB COMMENT 'Replicas that must hold a new version before it becomes current';
CREATE TABLE IF NOT EXISTS key_transport (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  key_name VARCHAR(255) NOT NULL,
  key_owner VARCHAR(255) NOT NULL,
  version INT UNSIGNED NOT NULL,
  transport_key VARCHAR(255) NOT NULL COMMENT 'the name of the key that it is sealed with',
  state VARCHAR(16) NOT NULL COMMENT 'of the version, when it was sealed: accept_transport() brings a replica as far',
  sealed MEDIUMTEXT CHARACTER SET ascii NOT NULL COMMENT 'as keyring_ward_transport_seal() gave it',
  server_uuid CHAR(36) NOT NULL DEFAULT '' COMMENT 'of the server that sealed it: after a failover another one may have given the number to another version',
  created_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  what BINARY(32) AS (UNHEX(SHA2(CONCAT_WS('\n', key_name, key_owner, version, transport_key), 256))) STORED NOT NULL UNIQUE COMMENT 'one blob for each version and transport key'
) ENGINE = InnoDB COMMENT 'New versions on their way to replicas, sealed under a transport key that both keyrings hold';
CREATE TABLE IF NOT EXISTS key_transport_confirmations (
  server_uuid CHAR(36) NOT NULL,
  transport_id BIGINT UNSIGNED NOT NULL,
  receipt VARCHAR(1024) CHARACTER SET ascii NOT NULL COMMENT 'the proof: it is looked at again before a switch, so that a row alone confirms nothing',
  confirmed_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (server_uuid, transport_id),
  FOREIGN KEY (transport_id) REFERENCES key_transport (id) ON DELETE CASCADE
) ENGINE = InnoDB COMMENT 'Which replica has taken which version in';

-- A place that has its name and columns now. It is empty until escrow is kept: read it, and nothing in your queries changes when it fills.
CREATE OR REPLACE DEFINER = keyring_ward_definer@localhost SQL SECURITY DEFINER VIEW key_escrow_records AS
  SELECT CAST(NULL AS CHAR(50)) AS escrow_id, CAST(NULL AS CHAR(255)) AS key_id, CAST(NULL AS CHAR(16)) AS key_type,
         CAST(NULL AS DATETIME(6)) AS escrow_date, CAST(NULL AS JSON) AS custodian_info, CAST(NULL AS CHAR(4000)) AS release_conditions,
         CAST(NULL AS CHAR(16)) AS status, CAST(NULL AS CHAR(288)) AS created_by, CAST(NULL AS JSON) AS authorized_retrievers
    FROM schema_version WHERE FALSE;

-- An older schema: what it lacks is brought up to date here, one step for each version. There is none before 1.
ALTER TABLE key_rotation_log MODIFY reason ENUM('call', 'due', 'monthly', 'emergency', 'exposed') NOT NULL;

-- ---- small things that the others use --------------------------------------------------------------

DELIMITER //

-- An error with a sentence. MySQL cuts such texts at 128 characters: what was cut ends in …, and @keyring_ward_said, the log and `check` have the
-- whole.
DROP PROCEDURE IF EXISTS own_refuse //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_refuse(IN said TEXT) SQL SECURITY INVOKER NO SQL
BEGIN
  DECLARE sentence VARCHAR(128) DEFAULT own_cut(said);
  SET @keyring_ward_said = said;
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = sentence;
END //
DROP FUNCTION IF EXISTS own_cut //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_cut(said TEXT) RETURNS VARCHAR(128) SQL SECURITY INVOKER DETERMINISTIC NO SQL
RETURN IF(CHAR_LENGTH(said) > 128, CONCAT(LEFT(said, 127), '…'), said) //
-- The whole of a sentence that came back cut.
DROP FUNCTION IF EXISTS own_uncut //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_uncut(said TEXT) RETURNS TEXT SQL SECURITY INVOKER NOT DETERMINISTIC NO SQL
RETURN IF(RIGHT(said, 1) = '…' AND own_cut(@keyring_ward_said) = said, @keyring_ward_said, said) //

-- An identifier as it stands in a statement, whatever characters it has.
DROP FUNCTION IF EXISTS own_quoted //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_quoted(name VARCHAR(64)) RETURNS VARCHAR(130) DETERMINISTIC NO SQL
RETURN CONCAT('`', REPLACE(name, '`', '``'), '`') //

-- A member of a function's answer; NULL where there is none.
DROP FUNCTION IF EXISTS own_member //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_member(answer LONGTEXT, path VARCHAR(255)) RETURNS LONGTEXT DETERMINISTIC NO SQL
BEGIN
  DECLARE found JSON DEFAULT JSON_EXTRACT(answer, path);
  RETURN IF(found IS NULL OR JSON_TYPE(found) = 'NULL', NULL, JSON_UNQUOTE(found));
END //

-- What went wrong by a function's answer; NULL: nothing.
DROP FUNCTION IF EXISTS own_error //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_error(answer LONGTEXT) RETURNS LONGTEXT DETERMINISTIC NO SQL
RETURN CASE
  WHEN answer IS NULL THEN 'The function gave no answer; the error log says why.'
  WHEN JSON_EXTRACT(answer, '$.ok') = TRUE THEN NULL
  ELSE CONCAT('KW-', LPAD(COALESCE(own_member(answer, '$.error.number'), 0), 4, '0'), ': ', COALESCE(own_member(answer, '$.error.message'), 'no reason is given'), COALESCE(CONCAT(' ', own_member(answer, '$.error.hint')), ''))
END //

-- A time of a function's answer (RFC 3339 in UTC).
DROP FUNCTION IF EXISTS own_time //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_time(told VARCHAR(40)) RETURNS DATETIME(6) DETERMINISTIC NO SQL
RETURN STR_TO_DATE(LEFT(told, 19), '%Y-%m-%dT%H:%i:%s') //

-- The lock of one thing: a session holds it while it rotates, and the server frees it when that session ends, however it ends. Anybody may call
-- GET_LOCK(), so nobody else can know its name.
DROP FUNCTION IF EXISTS own_lock //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_lock(what VARCHAR(700)) RETURNS VARCHAR(64) SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
RETURN CONCAT('keyring_ward.', LEFT(SHA2(CONCAT((SELECT v.lock_salt FROM keyring_ward.schema_version v), ' ', what), 256), 40)) //
-- Who holds it, for people.
DROP FUNCTION IF EXISTS own_holder //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_holder(in_lock VARCHAR(64)) RETURNS VARCHAR(64) SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE holder BIGINT UNSIGNED DEFAULT IS_USED_LOCK(in_lock);
  DECLARE account VARCHAR(32) DEFAULT (SELECT MAX(p.USER) FROM information_schema.PROCESSLIST p WHERE p.ID = holder);
  RETURN CONCAT('Session ', COALESCE(holder, '?'), COALESCE(CONCAT(' (', account, ')'), ''));
END //

-- Is all of the schema there, and the SQL functions with it?
DROP PROCEDURE IF EXISTS own_there //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_there() SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE there, missing INT DEFAULT 0;
  DECLARE release_there INT;
  DECLARE whole BOOLEAN;
  IF DATABASE() <> 'keyring_ward' THEN
    CALL own_refuse('This schema must be called keyring_ward: its routines, events and account name it. Give it its name back.');
  END IF;
  SELECT COUNT(*), MAX(version), MAX(complete) INTO there, release_there, whole FROM keyring_ward.schema_version;
  IF there = 0 OR NOT whole THEN
    CALL own_refuse('The schema keyring_ward is there in part only: run share/keyring_ward.sql again. Nothing was rotated.');
  ELSEIF release_there <> 1 THEN
    CALL own_refuse('The schema keyring_ward and its routines are of two releases: run the newest share/keyring_ward.sql again.');
  END IF;
  IF @@GLOBAL.performance_schema THEN
    SELECT 4 - COUNT(*) INTO missing FROM performance_schema.user_defined_functions
      WHERE UDF_NAME IN ('keyring_ward_key_check', 'keyring_ward_key_rotate', 'keyring_ward_key_activate', 'keyring_ward_verify');
    IF missing > 0 THEN
      CALL own_refuse('SQL functions are missing: INSTALL COMPONENT ''file://component_keyring_ward_sql'', or run share/install.sql.');
    END IF;
  END IF;
END //

-- How many sources this server follows.
DROP FUNCTION IF EXISTS own_sources //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_sources() RETURNS INT SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
RETURN (SELECT COUNT(*) FROM performance_schema.replication_connection_configuration WHERE HOST <> '' AND CHANNEL_NAME NOT LIKE 'group\_replication\_%') //

-- May anything be rotated here, now? Every procedure that changes something begins with it.
DROP PROCEDURE IF EXISTS own_ready //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_ready() READS SQL DATA
BEGIN
  DECLARE anyway BOOLEAN;
  CALL own_there();
  IF @@GLOBAL.super_read_only OR @@GLOBAL.read_only THEN
    CALL own_refuse('This server is read_only: keys are rotated where data is written, on the source. Nothing was rotated.');
  END IF;
  IF @@SESSION.binlog_format = 'STATEMENT' OR @@GLOBAL.binlog_format = 'STATEMENT' THEN
    CALL own_refuse('binlog_format is STATEMENT, which logs values in clear text: SET PERSIST binlog_format = ROW. Nothing was rotated.');
  END IF;
  SET anyway = COALESCE((SELECT also_on_replicas FROM keyring_ward.settings), FALSE);
  IF NOT anyway THEN
    IF NOT @@GLOBAL.performance_schema THEN
      CALL own_refuse('performance_schema is OFF: nobody can tell whether this is a replica. Set settings.also_on_replicas if it is none.');
    END IF;
    IF own_sources() > 0 THEN
      CALL own_refuse('This server is a replica: keys are rotated on its source. If it is none any more: RESET REPLICA ALL.');
    END IF;
  END IF;
END //

-- Writes a step down, durable.
DROP PROCEDURE IF EXISTS own_note //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_note(IN log_id BIGINT UNSIGNED, IN new_state VARCHAR(32), IN said TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  UPDATE keyring_ward.key_rotation_log SET state = new_state, message = COALESCE(LEFT(said, 1000), message), updated_at = UTC_TIMESTAMP(6),
      rotation_time = IF(new_state = 'switched', COALESCE(rotation_time, UTC_TIMESTAMP(6)), rotation_time),
      finished_at = IF(new_state IN ('done', 'aborted'), UTC_TIMESTAMP(6), NULL), resumable = new_state NOT IN ('done', 'aborted')
    WHERE id = log_id;
  COMMIT;
END //

-- The rotation ends here, and what was current stays current.
DROP PROCEDURE IF EXISTS own_abort //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_abort(IN log_id BIGINT UNSIGNED, IN said TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  CALL own_note(log_id, 'aborted', said);
  CALL own_refuse(CONCAT('Aborted, the old one stays current: ', said));
END //

-- Is this the time of a kind of key, and until when?
DROP PROCEDURE IF EXISTS own_window //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_window(IN kind VARCHAR(32), OUT now_is_it BOOLEAN, OUT until_then DATETIME(6)) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE begins, ends, here TIME;
  DECLARE zone VARCHAR(64);
  SELECT quiet_from, quiet_to, time_zone INTO begins, ends, zone FROM keyring_ward.rotation_policy WHERE key_type = kind;
  SET now_is_it = TRUE, until_then = NULL;
  IF begins IS NOT NULL THEN
    SET here = TIME(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', zone));
    IF here IS NULL THEN
      CALL own_refuse(CONCAT('rotation_policy: the server does not know the time zone ', zone, '. Write an offset such as +02:00.'));
    END IF;
    SET now_is_it = IF(begins <= ends, here >= begins AND here < ends, here >= begins OR here < ends);
    SET until_then = UTC_TIMESTAMP(6) + INTERVAL MOD(TIME_TO_SEC(ends) - TIME_TO_SEC(here) + 86400, 86400) SECOND;
  END IF;
END //

-- ---- who has used which keys -------------------------------------------------------------------------

-- What performance_schema.keyring_ward_audit shows whoever calls this; NULL where there is no such table: component_keyring_ward_sql is not installed.
DROP FUNCTION IF EXISTS own_accesses //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_accesses() RETURNS JSON SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE EXIT HANDLER FOR 1146 RETURN NULL;
  -- An actor is `login as account from address #connection` (docs/reference/audit-log.md); where nothing stands behind `as`, both are one.
  RETURN (SELECT COALESCE(JSON_ARRAYAGG(JSON_OBJECT('line', t.LINE, 'time', t.TIME, 'event', t.EVENT, 'result', t.RESULT, 'key', t.KEY_ID, 'owner', t.KEY_OWNER,
      'count', t.COUNT, 'detail', t.DETAIL, 'login', SUBSTRING_INDEX(t.ACTOR, ' ', 1),
      'account', SUBSTRING_INDEX(IF(LOCATE(' as ', t.ACTOR) = 0, t.ACTOR, SUBSTRING_INDEX(t.ACTOR, ' as ', -1)), ' ', 1),
      'came_from', IF(LOCATE(' from ', t.ACTOR) = 0, NULL, SUBSTRING_INDEX(SUBSTRING_INDEX(t.ACTOR, ' from ', -1), ' ', 1)),
      'connection', IF(LOCATE(' #', t.ACTOR) = 0, NULL, SUBSTRING_INDEX(t.ACTOR, ' #', -1)))), JSON_ARRAY())
    FROM performance_schema.keyring_ward_audit t);
END //

-- Who has read, used, changed or been refused which key: the last 1,000 lines of the audit log since the keyring was loaded, as memory keeps
-- them. The whole log is the file that audit_file names (keyring-ward audit show). app_role is the account whose rights counted, login who
-- logged in. With the rights of who reads it: SELECT on performance_schema.keyring_ward_audit and KEYRING_WARD_AUDIT, which dba_admin and
-- key_auditor have. A view over a table that is not there can't be read, nor dumped: without component_keyring_ward_sql its lines come
-- of nothing. By way of a function, so that a dump can be restored where the component is not. check() tells when it is the wrong one.
SELECT IF(COUNT(*) = 0, 'NULL', 'keyring_ward.own_accesses()') INTO @keyring_ward_sql FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = 'keyring_ward_audit' //
SET @keyring_ward_sql = CONCAT('CREATE OR REPLACE DEFINER = keyring_ward_definer@localhost SQL SECURITY INVOKER VIEW keyring_ward.key_access_log AS
  SELECT a.app_role, a.key_name, a.access_time, a.operation, a.result, a.key_owner, a.accesses, a.login, a.came_from, a.connection_id, a.detail, a.line
    FROM JSON_TABLE(', @keyring_ward_sql, ', ''$[*]'' COLUMNS (app_role VARCHAR(288) PATH ''$.account'', key_name VARCHAR(1020) PATH ''$.key'', access_time DATETIME(6) PATH ''$.time'',
      operation VARCHAR(32) PATH ''$.event'', result VARCHAR(32) PATH ''$.result'', key_owner VARCHAR(1020) PATH ''$.owner'', accesses BIGINT PATH ''$.count'',
      login VARCHAR(288) PATH ''$.login'', came_from VARCHAR(255) PATH ''$.came_from'', connection_id BIGINT UNSIGNED PATH ''$.connection'',
      detail VARCHAR(255) PATH ''$.detail'', line BIGINT PATH ''$.line'')) a
    WHERE (a.key_name IS NOT NULL OR a.result = ''denied'') AND a.operation NOT LIKE ''document|_%'' ESCAPE ''|''') //
PREPARE keyring_ward_statement FROM @keyring_ward_sql //
EXECUTE keyring_ward_statement //
DEALLOCATE PREPARE keyring_ward_statement //

-- ---- replicas --------------------------------------------------------------------------------------

-- Seals a version for the replicas, unless that was done here in this state already. NULL: done, or no transport key is set.
DROP PROCEDURE IF EXISTS own_send //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_send(IN name VARCHAR(255), IN owner VARCHAR(255), IN number INT UNSIGNED, OUT said TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE under VARCHAR(64) DEFAULT (SELECT s.transport_key FROM keyring_ward.settings s);
  DECLARE answer LONGTEXT;
  DECLARE row_id BIGINT UNSIGNED;
  DECLARE now_state, then_state VARCHAR(16);
  SET said = NULL;
  IF under IS NOT NULL THEN
    SET answer = keyring_ward_transport_seal(under, name, owner, number), said = own_error(answer);
    IF said IS NULL THEN
      SET now_state = own_member(answer, '$.state');
      SELECT MAX(t.id), MAX(IF(t.server_uuid = @@server_uuid, t.state, '')) INTO row_id, then_state FROM keyring_ward.key_transport t
        WHERE t.key_name = name AND t.key_owner = owner AND t.version = number AND t.transport_key = under;
      IF row_id IS NULL THEN
        INSERT INTO keyring_ward.key_transport (key_name, key_owner, version, transport_key, state, sealed, server_uuid)
          VALUES (name, owner, number, under, now_state, own_member(answer, '$.message'), @@server_uuid);
      ELSEIF NOT then_state <=> now_state THEN
        -- Another message: receipts for the old one prove nothing of it.
        DELETE FROM keyring_ward.key_transport_confirmations WHERE transport_id = row_id;
        UPDATE keyring_ward.key_transport SET state = now_state, sealed = own_member(answer, '$.message'), server_uuid = @@server_uuid, created_at = UTC_TIMESTAMP(6) WHERE id = row_id;
      END IF;
    END IF;
    COMMIT;
  END IF;
END //

-- A receipt proves that this server has this version of the logical key with this id, and that it took in this very message; it counts for an hour,
-- since a replica that is set up again from an older copy of its keyring has lost what it confirmed.
DROP FUNCTION IF EXISTS own_proves //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_proves(receipt TEXT, uuid CHAR(36), key_id CHAR(32), number INT UNSIGNED, sealed MEDIUMTEXT) RETURNS BOOLEAN SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE answer LONGTEXT DEFAULT keyring_ward_transport_confirm(receipt);
  RETURN own_error(answer) IS NULL AND own_member(answer, '$.replica') <=> uuid AND own_member(answer, '$.id') <=> key_id
    AND own_member(answer, '$.version') <=> number AND own_member(answer, '$.sha256') <=> SHA2(FROM_BASE64(sealed), 256)
    AND own_member(answer, '$.state') IN ('pending', 'active', 'deactivated')
    AND COALESCE(ABS(TIMESTAMPDIFF(SECOND, own_time(own_member(answer, '$.at')), UTC_TIMESTAMP())) <= 3600, FALSE);
END //

-- Which required replicas have not proved that they hold a version.
DROP PROCEDURE IF EXISTS own_unconfirmed //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_unconfirmed(IN name VARCHAR(255), IN owner VARCHAR(255), IN number INT UNSIGNED, OUT how_many INT, OUT first_one VARCHAR(255)) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE key_id CHAR(32) DEFAULT own_member(keyring_ward_key_check(name, owner), '$.logical.id');
  SELECT COUNT(*), MIN(r.name) INTO how_many, first_one FROM keyring_ward.replicas r
    WHERE r.required AND NOT EXISTS (SELECT 1 FROM keyring_ward.key_transport t JOIN keyring_ward.key_transport_confirmations c ON c.transport_id = t.id
      WHERE c.server_uuid = r.server_uuid AND t.key_name = name AND t.key_owner = owner AND t.version = number
        AND own_proves(c.receipt, r.server_uuid, key_id, number, t.sealed));
END //

-- A version that is not here any more: destroyed, or its key is gone. Where the keyring does not answer, nothing is.
DROP FUNCTION IF EXISTS own_is_gone //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_is_gone(name VARCHAR(255), owner VARCHAR(255), number INT UNSIGNED) RETURNS BOOLEAN SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE answer LONGTEXT DEFAULT keyring_ward_key_check(name, owner);
  IF own_error(answer) IS NOT NULL THEN RETURN own_member(answer, '$.error.kind') <=> 'NotFound'; END IF;
  RETURN NOT EXISTS (SELECT 1 FROM JSON_TABLE(answer, '$.logical.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state')) v
    WHERE v.version = number AND v.state <> 'destroyed');
END //

-- What was destroyed is not sent any more: a replica on which all of the key is destroyed would take it in again.
DROP PROCEDURE IF EXISTS own_prune //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_prune() SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DELETE FROM keyring_ward.key_transport WHERE own_is_gone(key_name, key_owner, version);
  COMMIT;
END //

DROP PROCEDURE IF EXISTS send_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE send_key(IN name VARCHAR(255), IN owner VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'Every version of a key that is there, for replicas that are new'
BEGIN
  DECLARE answer, logical LONGTEXT;
  DECLARE number INT UNSIGNED DEFAULT 0;
  DECLARE said TEXT;
  CALL own_ready();
  IF name IS NULL OR owner IS NULL THEN CALL own_refuse('The name of the key or its owner is NULL.'); END IF;
  IF (SELECT transport_key FROM keyring_ward.settings) IS NULL THEN
    CALL own_refuse('settings.transport_key names no transport key: docs/guide/replicas.md. Nothing was sent.');
  END IF;
  SET answer = keyring_ward_key_check(name, owner), said = own_error(answer), logical = JSON_EXTRACT(answer, '$.logical');
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  WHILE number IS NOT NULL DO
    SELECT MIN(v.version) INTO number FROM JSON_TABLE(logical, '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', destroy_at VARCHAR(40) PATH '$.destroy_at')) v
      WHERE v.version > number AND v.state <> 'destroyed';
    IF number IS NOT NULL THEN
      CALL own_send(name, owner, number, said);
      IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
    END IF;
  END WHILE;
END //

-- A replica writes no table: what it took in comes back as a result set, and share/keyring-ward-carry carries it.
DROP PROCEDURE IF EXISTS accept_transport //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE accept_transport() READS SQL DATA
  COMMENT 'On a replica: takes in what key_transport brought, as often as you like; gives id, receipt, and what went wrong'
  SELECT /*+ NO_MERGE(a) */ a.id, own_member(a.answer, '$.receipt') AS receipt, own_error(a.answer) AS trouble
    FROM (SELECT t.id, keyring_ward_transport_accept(t.sealed) AS answer FROM keyring_ward.key_transport t ORDER BY t.id) a //

DROP PROCEDURE IF EXISTS confirm_transport //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE confirm_transport(IN receipt TEXT) MODIFIES SQL DATA
  COMMENT 'On the source: notes a receipt that accept_transport() gave on a replica, if it proves something'
BEGIN
  DECLARE answer LONGTEXT DEFAULT keyring_ward_transport_confirm(receipt);
  DECLARE said TEXT DEFAULT own_error(answer);
  DECLARE row_id BIGINT UNSIGNED;
  CALL own_ready();
  IF said IS NOT NULL THEN
    CALL own_prune();
    CALL own_refuse(said);
  END IF;
  SELECT MAX(t.id) INTO row_id FROM keyring_ward.key_transport t WHERE SHA2(FROM_BASE64(t.sealed), 256) = own_member(answer, '$.sha256');
  IF row_id IS NULL THEN
    CALL own_refuse('It is a receipt for a message that key_transport holds no more: call accept_transport() on the replica again.');
  END IF;
  INSERT INTO keyring_ward.key_transport_confirmations (server_uuid, transport_id, receipt) VALUES (own_member(answer, '$.replica'), row_id, receipt)
    ON DUPLICATE KEY UPDATE receipt = VALUES(receipt), confirmed_at = UTC_TIMESTAMP(6);
  UPDATE keyring_ward.replicas r SET seen_at = UTC_TIMESTAMP(6) WHERE r.server_uuid = own_member(answer, '$.replica');
END //

-- ---- registered columns ------------------------------------------------------------------------------

-- The statements for a column. Names come from information_schema, are quoted, and values go through variables: nothing of a name is
-- ever read as SQL. `after` and `upto` are the rows behind the last batch and up to the end of this one, in the order of
-- the primary key.
DROP PROCEDURE IF EXISTS own_column //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_column(IN column_id INT UNSIGNED,
  OUT place VARCHAR(300), OUT sealed VARCHAR(130), OUT context VARCHAR(400), OUT key_list TEXT, OUT into_list TEXT, OUT after TEXT, OUT upto TEXT, OUT advance TEXT, OUT unchanged TEXT) SQL SECURITY INVOKER
  READS SQL DATA
BEGIN
  DECLARE in_schema, in_table, in_column, part, kind, of_context VARCHAR(64);
  DECLARE text_of_context VARCHAR(255);
  DECLARE quoted, first_part VARCHAR(130);
  DECLARE same_from, same_to TEXT DEFAULT '';
  DECLARE number, parts, there INT DEFAULT 0;
  SELECT table_schema, table_name, column_name, context_text, context_column INTO in_schema, in_table, in_column, text_of_context, of_context
    FROM keyring_ward.encrypted_columns WHERE id = column_id;
  SELECT COUNT(*) INTO there FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = in_schema AND c.TABLE_NAME = in_table AND c.COLUMN_NAME = in_column;
  IF there = 0 THEN
    CALL own_refuse(CONCAT('keyring_ward_definer@localhost sees no column ', in_schema, '.', in_table, '.', in_column, ': GRANT SELECT, UPDATE on the table to it.'));
  END IF;
  SET place = CONCAT(own_quoted(in_schema), '.', own_quoted(in_table)), sealed = own_quoted(in_column), key_list = '', into_list = '', after = '', upto = '', advance = 'SET ', unchanged = '';
  SET @keyring_ward_context = text_of_context, context = IF(text_of_context IS NULL, NULL, '@keyring_ward_context');
  IF of_context IS NOT NULL THEN
    SELECT MAX(c.DATA_TYPE) INTO kind FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = in_schema AND c.TABLE_NAME = in_table AND c.COLUMN_NAME = of_context;
    SET context = CASE
      WHEN kind IN ('binary', 'varbinary') THEN own_quoted(of_context)
      WHEN kind IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'char', 'varchar', 'date') THEN CONCAT('CAST(', own_quoted(of_context), ' AS CHAR CHARACTER SET utf8mb4)') END;
    IF context IS NULL THEN
      CALL own_refuse(CONCAT(in_schema, '.', in_table, '.', of_context, ' is no column that a context is taken from: whole numbers, texts, binary strings and dates.'));
    END IF;
    SET context = IF(text_of_context IS NULL, context, CONCAT('CONCAT(@keyring_ward_context, ', context, ')'));
  END IF;
  SELECT COUNT(*) INTO parts FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = in_schema AND s.TABLE_NAME = in_table AND s.INDEX_NAME = 'PRIMARY';
  IF parts = 0 THEN
    CALL own_refuse(CONCAT(in_schema, '.', in_table, ' has no primary key: rows are gone through in its order. Add one.'));
  END IF;
  WHILE number < parts DO
    SET number = number + 1;
    SELECT s.COLUMN_NAME, c.DATA_TYPE INTO part, kind FROM information_schema.STATISTICS s
      JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME
      WHERE s.TABLE_SCHEMA = in_schema AND s.TABLE_NAME = in_table AND s.INDEX_NAME = 'PRIMARY' AND s.SEQ_IN_INDEX = number;
    IF kind IN ('enum', 'set', 'float', 'double', 'bit') THEN
      CALL own_refuse(CONCAT(in_schema, '.', in_table, ' has ', kind, ' in its primary key: its order can not be gone through value by value.'));
    ELSEIF kind = 'timestamp' AND @@SESSION.time_zone <> '+00:00' THEN
      CALL own_refuse(CONCAT(in_schema, '.', in_table, ' has a timestamp in its primary key: SET time_zone = ''+00:00'' first.'));
    END IF;
    SET quoted = own_quoted(part), first_part = COALESCE(first_part, quoted),
      key_list = CONCAT(key_list, IF(number > 1, ', ', ''), quoted),
      into_list = CONCAT(into_list, IF(number > 1, ', ', ''), '@keyring_ward_to', number),
      after = CONCAT(after, IF(number > 1, ' OR ', ''), '(', same_from, quoted, ' > @keyring_ward_from', number, ')'),
      upto = CONCAT(upto, IF(number > 1, ' OR ', ''), '(', same_to, quoted, IF(number = parts, ' <= ', ' < '), '@keyring_ward_to', number, ')'),
      advance = CONCAT(advance, IF(number > 1, ', ', ''), '@keyring_ward_from', number, ' = @keyring_ward_to', number),
      same_from = CONCAT(same_from, quoted, ' = @keyring_ward_from', number, ' AND '),
      same_to = CONCAT(same_to, quoted, ' = @keyring_ward_to', number, ' AND ');
  END WHILE;
  -- The first part by itself, too: that is what the index is read by.
  SET after = CONCAT('(', first_part, ' >= @keyring_ward_from1 AND (', after, '))'), upto = CONCAT('(', first_part, ' <= @keyring_ward_to1 AND (', upto, '))');
  -- A time stamp that moves with every UPDATE stays: the row's value is the same.
  SET number = 0;
  SELECT COUNT(*) INTO parts FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = in_schema AND c.TABLE_NAME = in_table AND c.EXTRA LIKE '%on update CURRENT\_TIMESTAMP%';
  WHILE number < parts DO
    SELECT c.COLUMN_NAME INTO part FROM information_schema.COLUMNS c
      WHERE c.TABLE_SCHEMA = in_schema AND c.TABLE_NAME = in_table AND c.EXTRA LIKE '%on update CURRENT\_TIMESTAMP%' ORDER BY c.ORDINAL_POSITION LIMIT 1 OFFSET number;
    SET unchanged = CONCAT(unchanged, ', ', own_quoted(part), ' = ', own_quoted(part)), number = number + 1;
  END WHILE;
END //

-- A column as people write it, and the call that brings it to the current version.
DROP FUNCTION IF EXISTS own_place //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_place(column_id INT UNSIGNED) RETURNS VARCHAR(200) SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
RETURN (SELECT CONCAT(c.table_schema, '.', c.table_name, '.', c.column_name) FROM keyring_ward.encrypted_columns c WHERE c.id = column_id) //
DROP FUNCTION IF EXISTS own_way_out //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_way_out(column_id INT UNSIGNED) RETURNS VARCHAR(500) SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
RETURN (SELECT CONCAT('CALL keyring_ward.reencrypt_column(', QUOTE(c.table_schema), ', ', QUOTE(c.table_name), ', ', QUOTE(c.column_name), ')') FROM keyring_ward.encrypted_columns c WHERE c.id = column_id) //

-- The expression that names a row of a column's table by its primary key, for people: id = '7'.
DROP FUNCTION IF EXISTS own_naming //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_naming(column_id INT UNSIGNED) RETURNS TEXT SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE in_schema, in_table, part, kind VARCHAR(64);
  DECLARE number, parts INT DEFAULT 0;
  DECLARE all_parts TEXT DEFAULT '';
  SELECT table_schema, table_name INTO in_schema, in_table FROM keyring_ward.encrypted_columns WHERE id = column_id;
  SELECT COUNT(*) INTO parts FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = in_schema AND s.TABLE_NAME = in_table AND s.INDEX_NAME = 'PRIMARY';
  WHILE number < parts DO
    SET number = number + 1;
    SELECT s.COLUMN_NAME, c.DATA_TYPE INTO part, kind FROM information_schema.STATISTICS s
      JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME
      WHERE s.TABLE_SCHEMA = in_schema AND s.TABLE_NAME = in_table AND s.INDEX_NAME = 'PRIMARY' AND s.SEQ_IN_INDEX = number;
    SET all_parts = CONCAT(all_parts, ', ', QUOTE(CONCAT(part, ' = ')), ', ', IF(kind LIKE '%binary' OR kind LIKE '%blob', CONCAT('''x'', QUOTE(HEX(', own_quoted(part), '))'),
      CONCAT('QUOTE(CAST(', own_quoted(part), ' AS CHAR CHARACTER SET utf8mb4))')), IF(number < parts, ', '', ''', ''));
  END WHILE;
  RETURN CONCAT('LEFT(CONCAT(''''', all_parts, '), 200)');
END //

-- What opens a value of a column, for the variable @keyring_ward_key.
DROP FUNCTION IF EXISTS own_opened //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_opened(sealed VARCHAR(130), context VARCHAR(400)) RETURNS TEXT DETERMINISTIC NO SQL
RETURN CONCAT('keyring_ward_decrypt(@keyring_ward_key, ', sealed, IF(context IS NULL, '', CONCAT(', ', context)), ')') //

-- One step through a table in the order of its primary key: `what` is a statement with the place @range@, which becomes the rows from behind
-- the last step to the end of this one. Tells whether that was the last step, and how many rows were changed.
DROP PROCEDURE IF EXISTS own_step //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_step(IN place VARCHAR(300), IN key_list TEXT, IN into_list TEXT, IN after TEXT, IN upto TEXT,
  IN front TEXT, IN back TEXT, IN rows_of_a_step INT UNSIGNED, IN is_first BOOLEAN, OUT was_last BOOLEAN, OUT changed BIGINT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  SET @keyring_ward_to1 = NULL, @keyring_ward_offset = rows_of_a_step - 1;
  SET @keyring_ward_sql = CONCAT('SELECT ', key_list, ' INTO ', into_list, ' FROM ', place, ' FORCE INDEX (PRIMARY) WHERE ', IF(is_first, 'TRUE', after),
    ' ORDER BY ', key_list, ' LIMIT 1 OFFSET ?');
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement USING @keyring_ward_offset;
  SET was_last = @keyring_ward_to1 IS NULL;
  SET @keyring_ward_sql = CONCAT(front, ' WHERE ', IF(is_first, 'TRUE', after), ' AND ', IF(was_last, 'TRUE', upto), back);
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  SET changed = ROW_COUNT();
  DEALLOCATE PREPARE keyring_ward_statement;
END //

-- A step as a transaction of its own, with what is written down of it. A deadlock, or a lock wait that was given up: it is done again.
DROP PROCEDURE IF EXISTS own_batch //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_batch(IN place VARCHAR(300), IN key_list TEXT, IN into_list TEXT, IN after TEXT, IN upto TEXT,
  IN front TEXT, IN back TEXT, IN rows_of_a_step INT UNSIGNED, IN is_first BOOLEAN, IN column_id INT UNSIGNED, IN log_id BIGINT UNSIGNED, OUT was_last BOOLEAN, OUT changed BIGINT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE again BOOLEAN;
  DECLARE tries INT DEFAULT 0;
  REPEAT
    BEGIN
      DECLARE CONTINUE HANDLER FOR 1205, 1213
      BEGIN
        ROLLBACK;
        SET again = TRUE, tries = tries + 1;
        IF tries >= 20 THEN RESIGNAL; END IF;
      END;
      SET again = FALSE;
      -- With autocommit = 0, as some connectors set it, every read has begun a transaction.
      COMMIT;
      SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
      START TRANSACTION;
      CALL own_step(place, key_list, into_list, after, upto, front, back, rows_of_a_step, is_first, was_last, changed);
      IF NOT again AND column_id IS NOT NULL THEN
        UPDATE keyring_ward.encrypted_columns SET rows_done = rows_done + changed, rows_seen = rows_seen + rows_of_a_step, updated_at = UTC_TIMESTAMP(6), message = NULL WHERE id = column_id;
        UPDATE keyring_ward.key_rotation_log SET rows_done = rows_done + changed, updated_at = UTC_TIMESTAMP(6) WHERE id = log_id;
      END IF;
      IF NOT again THEN COMMIT; END IF;
    END;
  UNTIL NOT again END REPEAT;
END //

-- One row first: a trigger of the table that seals whatever is written would seal a value a second time, and it would open still. What was
-- in it, as a digest, must be the same afterwards.
DROP PROCEDURE IF EXISTS own_probe //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_probe(IN place VARCHAR(300), IN key_list TEXT, IN into_list TEXT, IN front TEXT, IN opened TEXT, IN is_old TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE again BOOLEAN;
  DECLARE tries INT DEFAULT 0;
  REPEAT
    BEGIN
      DECLARE EXIT HANDLER FOR 1205, 1213
      BEGIN
        ROLLBACK;
        SET again = TRUE, tries = tries + 1;
        IF tries >= 20 THEN RESIGNAL; END IF;
      END;
      SET again = FALSE;
      SET @keyring_ward_to1 = NULL, @keyring_ward_same = TRUE;
      COMMIT;
      SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
      START TRANSACTION;
      SET @keyring_ward_sql = CONCAT('SELECT ', key_list, ', ', opened, ' INTO ', into_list, ', @keyring_ward_probe FROM ', place, ' FORCE INDEX (PRIMARY) WHERE ', is_old, ' ORDER BY ', key_list, ' LIMIT 1 FOR UPDATE');
      PREPARE keyring_ward_statement FROM @keyring_ward_sql;
      EXECUTE keyring_ward_statement;
      IF @keyring_ward_to1 IS NOT NULL THEN
        SET @keyring_ward_sql = CONCAT(front, ' WHERE (', key_list, ') = (', into_list, ')');
        PREPARE keyring_ward_statement FROM @keyring_ward_sql;
        EXECUTE keyring_ward_statement;
        SET @keyring_ward_sql = CONCAT('SELECT ', opened, ' <=> @keyring_ward_probe INTO @keyring_ward_same FROM ', place, ' WHERE (', key_list, ') = (', into_list, ')');
        PREPARE keyring_ward_statement FROM @keyring_ward_sql;
        EXECUTE keyring_ward_statement;
      END IF;
      DEALLOCATE PREPARE keyring_ward_statement;
      -- Its row comes with its batch.
      ROLLBACK;
    END;
  UNTIL NOT again END REPEAT;
  SET @keyring_ward_probe = NULL;
  IF NOT @keyring_ward_same THEN
    CALL own_refuse(CONCAT('A trigger of ', LEFT(place, 60), ' changes what is sealed: it must leave sealed values alone.'));
  END IF;
END //

-- The end of a step is where the next one begins. (Prepared each time: a routine's own statement would keep the types of the first table.)
DROP PROCEDURE IF EXISTS own_advance //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_advance(IN advance TEXT) SQL SECURITY INVOKER NO SQL
BEGIN
  SET @keyring_ward_sql = advance;
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  DEALLOCATE PREPARE keyring_ward_statement;
END //

-- Nothing of a table's primary key stays in the session of who called.
DROP PROCEDURE IF EXISTS own_forget //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_forget() SQL SECURITY INVOKER NO SQL
SET @keyring_ward_from1 = NULL, @keyring_ward_to1 = NULL, @keyring_ward_from2 = NULL, @keyring_ward_to2 = NULL, @keyring_ward_from3 = NULL,
    @keyring_ward_to3 = NULL, @keyring_ward_from4 = NULL, @keyring_ward_to4 = NULL, @keyring_ward_from5 = NULL, @keyring_ward_to5 = NULL,
    @keyring_ward_from6 = NULL, @keyring_ward_to6 = NULL, @keyring_ward_from7 = NULL, @keyring_ward_to7 = NULL, @keyring_ward_from8 = NULL,
    @keyring_ward_to8 = NULL, @keyring_ward_from9 = NULL, @keyring_ward_to9 = NULL, @keyring_ward_from10 = NULL, @keyring_ward_to10 = NULL,
    @keyring_ward_from11 = NULL, @keyring_ward_to11 = NULL, @keyring_ward_from12 = NULL, @keyring_ward_to12 = NULL, @keyring_ward_from13 = NULL,
    @keyring_ward_to13 = NULL, @keyring_ward_from14 = NULL, @keyring_ward_to14 = NULL, @keyring_ward_from15 = NULL, @keyring_ward_to15 = NULL,
    @keyring_ward_from16 = NULL, @keyring_ward_to16 = NULL //

-- How many values of a column `is_meant` (a condition) is true of, the lowest version of those, and the first row; step by step, as `until_then`
-- allows. `waits`: for transactions that are not at their end, whose rows count; each step commits then.
DROP PROCEDURE IF EXISTS own_look //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_look(IN column_id INT UNSIGNED, IN is_meant TEXT, IN waits BOOLEAN, IN until_then DATETIME(6),
  OUT found BIGINT, OUT lowest INT UNSIGNED, OUT first_row TEXT, OUT looked_at BIGINT, OUT is_whole BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE place VARCHAR(300);
  DECLARE sealed VARCHAR(130);
  DECLARE context VARCHAR(400);
  DECLARE key_list, into_list, after, upto, advance, unchanged, condition_on, front, back, naming TEXT;
  DECLARE batch INT UNSIGNED DEFAULT COALESCE((SELECT batch_rows FROM keyring_ward.settings), 500);
  DECLARE was_last, is_first BOOLEAN DEFAULT FALSE;
  DECLARE changed BIGINT;
  DECLARE began DATETIME(6);
  CALL own_column(column_id, place, sealed, context, key_list, into_list, after, upto, advance, unchanged);
  SET found = 0, lowest = NULL, first_row = NULL, looked_at = 0, is_whole = FALSE, is_first = TRUE, naming = own_naming(column_id);
  SET condition_on = CONCAT(sealed, ' IS NOT NULL AND ', REPLACE(is_meant, '@sealed@', sealed));
  SET front = CONCAT('SELECT COUNT(*), MIN(keyring_ward_sealed_version(', sealed, ')) INTO @keyring_ward_count, @keyring_ward_low FROM ', place, ' FORCE INDEX (PRIMARY)');
  SET back = CONCAT(' AND ', condition_on, IF(waits, ' FOR SHARE', '')), @keyring_ward_row = NULL;
  WHILE NOT was_last AND (until_then IS NULL OR UTC_TIMESTAMP(6) < until_then) DO
    SET began = UTC_TIMESTAMP(6);
    IF waits THEN
      CALL own_batch(place, key_list, into_list, after, upto, front, back, batch, is_first, NULL, NULL, was_last, changed);
    ELSE
      CALL own_step(place, key_list, into_list, after, upto, front, back, batch, is_first, was_last, changed);
    END IF;
    IF found = 0 AND @keyring_ward_count > 0 THEN
      SET @keyring_ward_sql = CONCAT('SELECT ', naming, ' INTO @keyring_ward_row FROM ', place, ' FORCE INDEX (PRIMARY) WHERE ', IF(is_first, 'TRUE', after), ' AND ', IF(was_last, 'TRUE', upto), ' AND ', condition_on,
        ' ORDER BY ', key_list, ' LIMIT 1');
      PREPARE keyring_ward_statement FROM @keyring_ward_sql;
      EXECUTE keyring_ward_statement;
      DEALLOCATE PREPARE keyring_ward_statement;
    END IF;
    SET found = found + @keyring_ward_count, lowest = LEAST(COALESCE(lowest, @keyring_ward_low), COALESCE(@keyring_ward_low, lowest)), is_first = FALSE, looked_at = looked_at + batch;
    CALL own_advance(advance);
    -- The pace is for what nobody waits for.
    IF until_then IS NULL AND NOT was_last AND NOT waits THEN CALL own_pace(column_id, batch, began, NULL); END IF;
  END WHILE;
  SET is_whole = was_last, first_row = @keyring_ward_row, @keyring_ward_row = NULL, @keyring_ward_sql = NULL, @keyring_ward_context = NULL;
  CALL own_forget();
END //

-- Why a version can't go: the registered columns that have values under it, with the way out; NULL: it can.
DROP PROCEDURE IF EXISTS own_needed //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_needed(IN name VARCHAR(255), IN number INT UNSIGNED, OUT how_many_columns INT, OUT said TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE column_id INT UNSIGNED DEFAULT 0;
  DECLARE found, looked_at BIGINT;
  DECLARE lowest INT UNSIGNED;
  DECLARE first_row TEXT;
  DECLARE is_whole BOOLEAN;
  SET how_many_columns = 0, said = NULL;
  WHILE column_id IS NOT NULL AND said IS NULL DO
    SELECT MIN(c.id) INTO column_id FROM keyring_ward.encrypted_columns c WHERE c.key_name = name AND c.key_owner = CURRENT_USER() AND c.id > column_id;
    IF column_id IS NOT NULL THEN
      SET how_many_columns = how_many_columns + 1;
      CALL own_look(column_id, CONCAT('keyring_ward_sealed_version(@sealed@) = ', number), TRUE, NULL, found, lowest, first_row, looked_at, is_whole);
      IF found > 0 THEN
        SET said = CONCAT(found, ' values of ', own_place(column_id), ' are under version ', number, ': ', own_way_out(column_id), ' first. (The first row: ', first_row, ')');
      END IF;
    END IF;
  END WHILE;
END //

-- Which row a walk could not get by, as `id = '7'`; NULL: every one opens now. From where the walk was: first the step, then row by row in it.
DROP PROCEDURE IF EXISTS own_find_bad //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_find_bad(IN column_id INT UNSIGNED, IN place VARCHAR(300), IN opened TEXT, IN key_list TEXT, IN into_list TEXT, IN after TEXT, IN upto TEXT, IN advance TEXT,
  IN batch INT UNSIGNED, IN is_first BOOLEAN, OUT which TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE was_last, failed, is_over BOOLEAN DEFAULT FALSE;
  DECLARE changed BIGINT;
  DECLARE rows_of_a_step INT UNSIGNED DEFAULT batch;
  DECLARE front TEXT DEFAULT CONCAT('SELECT COUNT(', opened, ') INTO @keyring_ward_count FROM ', place, ' FORCE INDEX (PRIMARY)');
  SET which = NULL;
  WHILE NOT is_over DO
    SET failed = FALSE;
    BEGIN
      DECLARE EXIT HANDLER FOR SQLEXCEPTION SET failed = TRUE;
      CALL own_step(place, key_list, into_list, after, upto, front, '', rows_of_a_step, is_first, was_last, changed);
    END;
    IF NOT failed THEN
      SET is_first = FALSE, is_over = was_last;
      CALL own_advance(advance);
    ELSEIF rows_of_a_step > 1 THEN
      SET rows_of_a_step = 1;
    ELSE
      SET is_over = TRUE, @keyring_ward_row = NULL;
      SET @keyring_ward_sql = CONCAT('SELECT ', own_naming(column_id), ' INTO @keyring_ward_row FROM ', place, ' WHERE (', key_list, ') = (', into_list, ')');
      PREPARE keyring_ward_statement FROM @keyring_ward_sql;
      EXECUTE keyring_ward_statement;
      DEALLOCATE PREPARE keyring_ward_statement;
      SET which = @keyring_ward_row, @keyring_ward_row = NULL;
    END IF;
  END WHILE;
END //

-- Waits as the settings say: the pace, a pause, replicas that are behind. Each batch is committed before.
DROP PROCEDURE IF EXISTS own_pace //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_pace(IN column_id INT UNSIGNED, IN changed BIGINT, IN began DATETIME(6), IN until_then DATETIME(6)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE most, lag_allowed INT UNSIGNED;
  DECLARE wait_for DOUBLE;
  DECLARE stands_still BOOLEAN DEFAULT TRUE;
  DECLARE why VARCHAR(1000);
  COMMIT;
  SELECT rows_per_second INTO most FROM keyring_ward.settings;
  SET wait_for = COALESCE(changed / most, 0) - TIMESTAMPDIFF(MICROSECOND, began, UTC_TIMESTAMP(6)) / 1000000;
  IF wait_for > 0 THEN DO SLEEP(wait_for); END IF;
  WHILE stands_still DO
    SET why = NULL;
    SELECT IF(s.paused, 'Waits: settings.paused is set.', (SELECT CONCAT('Waits: the replica ', MIN(r.name), ' is ', MAX(r.lag_seconds), ' s behind.')
        FROM keyring_ward.replicas r WHERE r.lag_seconds > s.max_replica_lag)) INTO why FROM keyring_ward.settings s;
    SET stands_still = why IS NOT NULL AND (until_then IS NULL OR UTC_TIMESTAMP(6) < until_then);
    IF stands_still THEN
      UPDATE keyring_ward.encrypted_columns SET message = why, updated_at = UTC_TIMESTAMP(6) WHERE id = column_id;
      COMMIT;
      DO SLEEP(1);
    END IF;
  END WHILE;
END //

-- Brings every value of a column to the current version of its key, and then opens every one. `finished` is FALSE where the time was over before.
-- A kill in between loses the batch that was not committed: the next call goes on with what is left.
DROP PROCEDURE IF EXISTS own_reencrypt //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_reencrypt(IN column_id INT UNSIGNED, IN log_id BIGINT UNSIGNED, IN until_then DATETIME(6), OUT finished BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE name, owner VARCHAR(255);
  DECLARE in_lock VARCHAR(64) DEFAULT own_lock(CONCAT('column ', column_id));
  DECLARE place VARCHAR(300);
  DECLARE sealed VARCHAR(130);
  DECLARE context VARCHAR(400);
  DECLARE key_list, into_list, after, upto, advance, unchanged, is_old, opened, front, said TEXT;
  DECLARE answer LONGTEXT;
  DECLARE number, batch INT UNSIGNED;
  DECLARE changed, seen, bad, left_over BIGINT DEFAULT 0;
  DECLARE was_last, is_first, is_locked, is_whole BOOLEAN DEFAULT FALSE;
  DECLARE passes INT DEFAULT 0;
  DECLARE began DATETIME(6);
  DECLARE which, sentence TEXT;
  DECLARE error_number INT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT, error_number = MYSQL_ERRNO;
    SET said = own_uncut(said);
    ROLLBACK;
    -- A value that does not open: which one, first of all.
    IF error_number = 3200 AND is_locked THEN
      BEGIN
        DECLARE EXIT HANDLER FOR SQLEXCEPTION SET which = NULL;
        CALL own_find_bad(column_id, place, opened, key_list, into_list, after, upto, advance, batch, is_first, which);
      END;
      SET said = CONCAT(own_place(column_id), COALESCE(CONCAT(', ', which), ''), ': ', SUBSTRING_INDEX(said, 'UDF failed; ', -1));
    END IF;
    SET sentence = own_cut(said), @keyring_ward_said = said;
    UPDATE keyring_ward.encrypted_columns SET state = IF(is_locked, 'failed', state), message = LEFT(said, 1000), updated_at = UTC_TIMESTAMP(6) WHERE id = column_id;
    COMMIT;
    IF is_locked THEN DO RELEASE_LOCK(in_lock); END IF;
    CALL own_forget();
    RESIGNAL SET MESSAGE_TEXT = sentence;
  END;
  SET finished = FALSE;
  SELECT key_name, key_owner INTO name, owner FROM keyring_ward.encrypted_columns WHERE id = column_id;
  IF owner <> CURRENT_USER() THEN
    CALL own_refuse(CONCAT('The key belongs to ', owner, ': only that account can re-encrypt (keyring_ward_reencrypt), or own the key here.'));
  END IF;
  IF COALESCE(GET_LOCK(in_lock, 0), 0) <> 1 THEN
    CALL own_refuse(CONCAT(own_holder(in_lock), ' re-encrypts this column now. It goes on by itself.'));
  END IF;
  SET is_locked = TRUE;
  SET answer = keyring_ward_key_check(name, owner), said = own_error(answer);
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  SET number = own_member(answer, '$.logical.current');
  IF number IS NULL THEN CALL own_refuse(CONCAT(name, ' has no current version.')); END IF;
  CALL own_column(column_id, place, sealed, context, key_list, into_list, after, upto, advance, unchanged);
  SET @keyring_ward_key = name, @keyring_ward_version = number;
  SET is_old = CONCAT(sealed, ' IS NOT NULL AND keyring_ward_sealed_version(', sealed, ') <> @keyring_ward_version');
  SET opened = own_opened(sealed, context), is_first = TRUE;
  SET front = CONCAT('UPDATE ', place, ' FORCE INDEX (PRIMARY) SET ', sealed, ' = keyring_ward_reencrypt(@keyring_ward_key, ', sealed, IF(context IS NULL, '', CONCAT(', ', context)), ')', unchanged);
  SET batch = COALESCE((SELECT batch_rows FROM keyring_ward.settings), 500);
  -- How much there is.
  SET @keyring_ward_sql = CONCAT('SELECT COUNT(*) INTO @keyring_ward_count FROM ', place, ' WHERE ', is_old);
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  SET left_over = @keyring_ward_count;
  UPDATE keyring_ward.encrypted_columns SET rows_total = left_over + IF(target_version <=> number, rows_done, 0),
      rows_done = IF(target_version <=> number, rows_done, 0), started_at = IF(target_version <=> number, started_at, UTC_TIMESTAMP(6)),
      state = 'reencrypting', target_version = number, rows_seen = 0, updated_at = UTC_TIMESTAMP(6), message = NULL
    WHERE id = column_id;
  UPDATE keyring_ward.key_rotation_log SET rows_total = rows_done + left_over, updated_at = UTC_TIMESTAMP(6) WHERE id = log_id;
  COMMIT;
  IF left_over > 0 THEN CALL own_probe(place, key_list, into_list, front, CONCAT('SHA2(', opened, ', 256)'), is_old); END IF;
  -- Batch by batch. A statement that began before the switch may seal under the old version until it ends: a second walk finds its rows. A
  -- transaction that has sealed before the switch, and is not at its end, has rows that nobody sees, and an UPDATE passes them over: opening
  -- every value waits for them, and goes back to the beginning where one is under an old version.
  REPEAT
    WHILE left_over > 0 AND passes < 10 DO
      SET is_first = TRUE, was_last = FALSE, passes = passes + 1;
      UPDATE keyring_ward.encrypted_columns SET rows_seen = 0 WHERE id = column_id;
      COMMIT;
      WHILE NOT was_last DO
        IF until_then IS NOT NULL AND UTC_TIMESTAMP(6) >= until_then THEN
          UPDATE keyring_ward.encrypted_columns SET message = 'The quiet hours are over: the next ones go on with it.', updated_at = UTC_TIMESTAMP(6) WHERE id = column_id;
          COMMIT;
          DO RELEASE_LOCK(in_lock);
          SET passes = 100, was_last = TRUE;
        ELSE
          SET began = UTC_TIMESTAMP(6);
          CALL own_batch(place, key_list, into_list, after, upto,
            front,
            CONCAT(' AND ', is_old), batch, is_first, column_id, log_id, was_last, changed);
          CALL own_advance(advance);
          SET is_first = FALSE;
          IF NOT was_last THEN CALL own_pace(column_id, changed, began, until_then); END IF;
        END IF;
      END WHILE;
      IF passes < 100 THEN
        SET @keyring_ward_sql = CONCAT('SELECT COUNT(*) INTO @keyring_ward_count FROM ', place, ' WHERE ', is_old);
        PREPARE keyring_ward_statement FROM @keyring_ward_sql;
        EXECUTE keyring_ward_statement;
        SET left_over = @keyring_ward_count;
      END IF;
    END WHILE;
    IF passes < 100 THEN
      IF left_over > 0 THEN
        CALL own_refuse(CONCAT(left_over, ' values come again under an old version of ', name, ': who seals with it?'));
      END IF;
      -- Every value is opened.
      UPDATE keyring_ward.encrypted_columns SET state = 'checking', rows_seen = 0, updated_at = UTC_TIMESTAMP(6) WHERE id = column_id;
      COMMIT;
      SET is_first = TRUE, was_last = FALSE, seen = 0, bad = 0;
      WHILE NOT was_last DO
        CALL own_batch(place, key_list, into_list, after, upto,
          CONCAT('SELECT COUNT(*), COALESCE(SUM(', opened, ' IS NULL), 0), COALESCE(SUM(keyring_ward_sealed_version(', sealed,
            ') <> @keyring_ward_version), 0) INTO @keyring_ward_count, @keyring_ward_bad, @keyring_ward_old FROM ', place, ' FORCE INDEX (PRIMARY)'),
          CONCAT(' AND ', sealed, ' IS NOT NULL FOR SHARE'), batch, is_first, NULL, NULL, was_last, changed);
        SET seen = seen + @keyring_ward_count, bad = bad + @keyring_ward_bad, left_over = left_over + @keyring_ward_old, is_first = FALSE;
        CALL own_advance(advance);
      END WHILE;
      IF bad > 0 THEN CALL own_refuse(CONCAT(bad, ' values of ', place, ' do not open.')); END IF;
      SET is_whole = left_over = 0;
      UPDATE keyring_ward.encrypted_columns SET state = IF(is_whole, state, 'reencrypting'), rows_total = rows_total + left_over, updated_at = UTC_TIMESTAMP(6) WHERE id = column_id;
      COMMIT;
    END IF;
  UNTIL is_whole OR passes >= 100 END REPEAT;
  IF is_whole THEN
    UPDATE keyring_ward.encrypted_columns SET state = 'checked', checked_at = UTC_TIMESTAMP(6), checked_version = number, rows_checked = seen, updated_at = UTC_TIMESTAMP(6), message = NULL WHERE id = column_id;
    COMMIT;
    DO RELEASE_LOCK(in_lock);
    SET finished = TRUE;
  END IF;
  CALL own_forget();
  SET @keyring_ward_sql = NULL, @keyring_ward_key = NULL, @keyring_ward_context = NULL;
END //

-- ---- application keys --------------------------------------------------------------------------------

-- generate, verify, switch, re-encrypt, check, retire: each step is written down before the next begins. What is true of the key says the
-- keyring, never the log: a session that was killed between the two is taken up where the keyring is.
DROP PROCEDURE IF EXISTS own_rotate //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_rotate(IN name VARCHAR(255), IN owner VARCHAR(255), IN forced BOOLEAN, IN why VARCHAR(16), IN until_then DATETIME(6), OUT finished BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE in_lock VARCHAR(64) DEFAULT own_lock(CONCAT('key ', owner, ' ', name));
  DECLARE answer, checked, logical LONGTEXT;
  DECLARE said, first_failure TEXT;
  DECLARE failures INT DEFAULT 0;
  DECLARE first_one VARCHAR(255);
  DECLARE log_id BIGINT UNSIGNED;
  DECLARE now_current, pending, goal, column_id INT UNSIGNED;
  DECLARE at_state, was_pair VARCHAR(32);
  DECLARE is_locked, is_whole BOOLEAN DEFAULT FALSE;
  DECLARE missing, columns_there INT DEFAULT 0;
  DECLARE days SMALLINT UNSIGNED;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    SET said = own_uncut(said);
    ROLLBACK;
    UPDATE keyring_ward.key_rotation_log SET message = COALESCE(IF(state = 'aborted', message, NULL), LEFT(said, 1000)), updated_at = UTC_TIMESTAMP(6) WHERE id = log_id;
    COMMIT;
    IF is_locked THEN DO RELEASE_LOCK(in_lock); END IF;
    RESIGNAL;
  END;
  SET finished = FALSE;
  IF in_lock IS NULL THEN CALL own_refuse('The name of the key or its owner is NULL.'); END IF;
  IF COALESCE(GET_LOCK(in_lock, 0), 0) <> 1 THEN
    CALL own_refuse(CONCAT(own_holder(in_lock), ' rotates this key now. Two rotations never overlap.'));
  END IF;
  SET is_locked = TRUE;
  SET answer = keyring_ward_key_check(name, owner), said = own_error(answer);
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  SET logical = JSON_EXTRACT(answer, '$.logical'), now_current = own_member(answer, '$.logical.current'), was_pair = own_member(answer, '$.pair');
  IF now_current IS NULL THEN
    CALL own_refuse(CONCAT(name, ' is no logical key with a current version: create_key makes one, keyring_ward_key_adopt() makes one of a plain key.'));
  END IF;
  SELECT MAX(v.version) INTO pending FROM JSON_TABLE(logical, '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', destroy_at VARCHAR(40) PATH '$.destroy_at')) v
    WHERE v.state = 'pending' AND v.destroy_at IS NULL;
  -- What was begun before, by this or by a session that is gone.
  SELECT MAX(l.id) INTO log_id FROM keyring_ward.key_rotation_log l WHERE l.key_type = 'dek' AND l.key_name = name AND l.key_owner = owner AND l.resumable;
  IF log_id IS NOT NULL THEN
    UPDATE keyring_ward.key_rotation_log l SET state = 'aborted', resumable = FALSE, finished_at = UTC_TIMESTAMP(6), message = 'Another rotation of the key has overtaken it.'
      WHERE l.key_type = 'dek' AND l.key_name = name AND l.key_owner = owner AND l.resumable AND l.id < log_id;
    SELECT l.state, l.new_version INTO at_state, goal FROM keyring_ward.key_rotation_log l WHERE l.id = log_id;
    IF goal <=> now_current THEN
      -- Current already; the log may not know it yet. An emergency, and a key that was exposed since, want a new one all the same.
      IF why IN ('emergency', 'exposed') THEN
        CALL own_note(log_id, 'aborted', IF(why = 'emergency', 'An emergency rotation has overtaken it.', 'The current version was exposed: a rotation has overtaken it.'));
        SET log_id = NULL;
      ELSEIF at_state <> 'switched' THEN
        CALL own_note(log_id, 'switched', NULL);
        SET at_state = 'switched';
      END IF;
    ELSEIF goal IS NOT NULL AND NOT goal <=> pending THEN
      CALL own_note(log_id, 'aborted', CONCAT('Version ', goal, ' is neither pending nor current any more; version ', now_current, ' is current.'));
      SET log_id = NULL;
    END IF;
  END IF;
  IF log_id IS NULL THEN
    INSERT INTO keyring_ward.key_rotation_log (key_type, key_name, key_owner, old_version, old_key_id, state, reason, asked_by, server_uuid)
      VALUES ('dek', name, owner, now_current, own_version(logical, now_current), 'started', why, USER(), @@server_uuid);
    SET log_id = LAST_INSERT_ID(), at_state = 'started', goal = NULL;
    COMMIT;
  END IF;
  IF at_state <> 'switched' THEN
    -- 1. A new version, which nobody seals with yet. One that is pending already is taken up.
    IF pending IS NULL THEN
      SET answer = keyring_ward_key_rotate(name, owner, 1), said = own_error(answer);
      IF said IS NOT NULL THEN CALL own_abort(log_id, said); END IF;
      SET pending = own_member(answer, '$.version');
    END IF;
    SET goal = pending;
    UPDATE keyring_ward.key_rotation_log SET new_version = goal, new_key_id = CONCAT(name, '@', goal), old_version = now_current, old_key_id = own_version(logical, now_current) WHERE id = log_id;
    CALL own_note(log_id, 'pending', NULL);
    -- 2. It is what the old one is, and the file as it lies on the disk is authentic, the new version in it.
    SET checked = keyring_ward_key_check(CONCAT(name, '@', goal), owner), said = own_error(checked);
    -- Of a pair its kind counts, which says how long it is.
    IF said IS NULL AND (NOT own_member(checked, '$.pair') <=> was_pair OR (was_pair IS NULL AND own_member(checked, '$.bits') <> 8 * own_member(logical, '$.bytes')) OR own_member(checked, '$.type') <> own_member(logical, '$.type') OR NOT own_member(checked, '$.state') <=> 'pending') THEN
      SET said = CONCAT('version ', goal, ' has another type, length or state than it should have');
    END IF;
    IF said IS NULL THEN
      SET answer = keyring_ward_verify(), said = own_error(answer);
      IF said IS NULL AND NOT own_member(answer, '$.complete') <=> 'true' THEN SET said = 'the keyring file is not complete: keyring-ward verify'; END IF;
    END IF;
    IF said IS NOT NULL THEN CALL own_abort(log_id, said); END IF;
    CALL own_note(log_id, 'verified', NULL);
    -- 3. The replicas hold it.
    CALL own_send(name, owner, goal, said);
    IF said IS NOT NULL AND NOT forced THEN CALL own_refuse(said); END IF;
    CALL own_unconfirmed(name, owner, goal, missing, first_one);
    IF missing > 0 AND NOT forced THEN
      CALL own_note(log_id, 'waiting for replicas', CONCAT(missing, ' replicas have not confirmed version ', goal, ', ', first_one, ' among them. Receipts count for an hour: let keyring-ward-carry run, then rotate again; or force it: rotate_key_of.'));
      CALL own_refuse(CONCAT(missing, ' replicas have not confirmed version ', goal, ' (', LEFT(first_one, 40), ', …): it stays pending. Try again, or force it.'));
    END IF;
    -- 4. The switch: one record.
    SET answer = keyring_ward_key_activate(name, owner, goal), said = own_error(answer);
    IF said IS NOT NULL THEN CALL own_abort(log_id, said); END IF;
    CALL own_note(log_id, 'switched', IF(missing > 0, CONCAT('Forced: ', missing, ' replicas had not confirmed.'), NULL));
    -- The replicas hear that it is current. They open its values without that, too.
    CALL own_send(name, owner, goal, said);
  END IF;
  -- 5. What is sealed under older versions, and every value opened.
  SET is_whole = TRUE, column_id = 0;
  WHILE column_id IS NOT NULL DO
    SELECT MIN(c.id) INTO column_id FROM keyring_ward.encrypted_columns c WHERE c.key_name = name AND c.key_owner = owner AND c.id > column_id;
    IF column_id IS NOT NULL AND is_whole THEN
      SET columns_there = columns_there + 1;
      BEGIN
        -- One column that fails (its table was dropped, a value is broken) keeps none of the others from it.
        DECLARE CONTINUE HANDLER FOR SQLEXCEPTION
        BEGIN
          GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
          SET said = own_uncut(said);
          SET failures = failures + 1, is_whole = TRUE, first_failure = COALESCE(first_failure, said);
        END;
        CALL own_reencrypt(column_id, log_id, until_then, is_whole);
      END;
    END IF;
  END WHILE;
  IF failures > 0 THEN
    CALL own_refuse(IF(failures = 1, first_failure, CONCAT(failures, ' columns failed. ', first_failure)));
  END IF;
  IF is_whole THEN
    -- 6. The old version is needed by nobody who is registered. Its destruction is planned; an administrator orders it after that day.
    SET said = IF(columns_there = 0, 'No column is registered for this key: its old versions stay.', NULL);
    SET days = (SELECT retire_after_days FROM keyring_ward.rotation_policy WHERE key_type = 'dek');
    IF columns_there > 0 AND days IS NOT NULL THEN CALL own_plan(name, owner, NULL, days, said); END IF;
    CALL own_note(log_id, 'done', said);
    SET finished = TRUE;
  ELSE
    CALL own_note(log_id, 'switched', 'The quiet hours are over: re-encryption goes on in the next ones.');
  END IF;
  DO RELEASE_LOCK(in_lock);
END //

-- How a version is called: an adopted key has its own name.
DROP FUNCTION IF EXISTS own_version //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_version(logical LONGTEXT, number INT UNSIGNED) RETURNS VARCHAR(300) DETERMINISTIC READS SQL DATA
RETURN (SELECT MAX(v.called) FROM JSON_TABLE(logical, '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', called VARCHAR(300) PATH '$.key')) v WHERE v.version = number) //

-- Plans the destruction of a version that is not current, or of all such; says what became of it.
DROP PROCEDURE IF EXISTS own_plan //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_plan(IN name VARCHAR(255), IN owner VARCHAR(255), IN only INT UNSIGNED, IN days SMALLINT UNSIGNED, OUT said TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE answer, logical LONGTEXT;
  DECLARE number INT UNSIGNED DEFAULT 0;
  DECLARE wrong TEXT;
  SET logical = JSON_EXTRACT(keyring_ward_key_check(name, owner), '$.logical'), said = '';
  WHILE number IS NOT NULL DO
    SELECT MIN(v.version) INTO number FROM JSON_TABLE(logical, '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', destroy_at VARCHAR(40) PATH '$.destroy_at')) v
      WHERE v.version > number AND v.state IN ('deactivated', 'compromised') AND v.destroy_at IS NULL AND (only IS NULL OR v.version = only);
    IF number IS NOT NULL THEN
      SET answer = keyring_ward_key_destroy(name, owner, number, days), wrong = own_error(answer);
      SET said = CONCAT(said, IF(wrong IS NULL, CONCAT('Version ', number, ' may be destroyed from ', own_member(answer, '$.due'), ' on. '), CONCAT('Version ', number, ' stays: ', wrong, ' ')));
    END IF;
  END WHILE;
  SET said = NULLIF(TRIM(said), '');
END //

DROP PROCEDURE IF EXISTS create_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE create_key(IN name VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'A logical key of 256 bits, of the account keyring_ward_definer@localhost, rotated as the policy says'
BEGIN
  DECLARE said TEXT;
  CALL own_ready();
  IF name IS NULL THEN CALL own_refuse('The name of the key is NULL.'); END IF;
  SET said = own_error(keyring_ward_key_create(name, CURRENT_USER(), 'AES', 32));
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
END //

DROP PROCEDURE IF EXISTS create_temporary_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE create_temporary_key(IN name VARCHAR(255), IN owner VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'A key that dies by time, after what rotation_policy says of temporary ones'
BEGIN
  DECLARE said TEXT;
  DECLARE hours INT UNSIGNED;
  CALL own_ready();
  IF name IS NULL OR owner IS NULL THEN CALL own_refuse('The name of the key or its owner is NULL.'); END IF;
  SELECT rotate_every * IF(unit = 'day', 24, 1) INTO hours FROM keyring_ward.rotation_policy WHERE key_type = 'temporary';
  SET said = own_error(keyring_ward_key_create(name, owner, 'AES', 32, JSON_OBJECT('expires', UNIX_TIMESTAMP() + COALESCE(hours, 8) * 3600)));
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
END //

DROP PROCEDURE IF EXISTS end_temporary_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE end_temporary_key(IN name VARCHAR(255), IN owner VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'The task is done: the temporary key is served to nobody from the next second on'
BEGIN
  DECLARE said TEXT;
  CALL own_ready();
  IF name IS NULL OR owner IS NULL THEN CALL own_refuse('The name of the key or its owner is NULL.'); END IF;
  SET said = own_error(keyring_ward_key_set(name, owner, JSON_OBJECT('expires', UNIX_TIMESTAMP() + 1)));
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
END //

DROP PROCEDURE IF EXISTS rotate_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_key(IN name VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'A new version of an application key of keyring_ward_definer@localhost, and all registered columns brought to it'
BEGIN
  DECLARE finished BOOLEAN;
  CALL own_ready();
  CALL own_rotate(name, CURRENT_USER(), FALSE, 'call', NULL, finished);
END //

DROP PROCEDURE IF EXISTS rotate_key_of //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_key_of(IN name VARCHAR(255), IN owner VARCHAR(255), IN forced BOOLEAN) MODIFIES SQL DATA
  COMMENT 'The same of any account''s key; forced: without the replicas'' confirmation'
BEGIN
  DECLARE finished BOOLEAN;
  CALL own_ready();
  IF forced IS NULL THEN CALL own_refuse('Argument 3, forced, is NULL.'); END IF;
  CALL own_rotate(name, owner, forced, 'call', NULL, finished);
END //

DROP PROCEDURE IF EXISTS reencrypt_column //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE reencrypt_column(IN in_schema VARCHAR(64), IN in_table VARCHAR(64), IN in_column VARCHAR(64)) MODIFIES SQL DATA
  COMMENT 'Brings every value of a registered column to the current version of its key, and opens every one'
BEGIN
  DECLARE column_id INT UNSIGNED;
  DECLARE finished BOOLEAN;
  CALL own_ready();
  SELECT id INTO column_id FROM keyring_ward.encrypted_columns WHERE table_schema = in_schema AND table_name = in_table AND column_name = in_column;
  IF column_id IS NULL THEN
    CALL own_refuse(CONCAT(in_schema, '.', in_table, '.', in_column, ' is not registered: register_column.'));
  END IF;
  CALL own_reencrypt(column_id, 0, NULL, finished);
END //

-- Opens the first value of a column that there is, with its key and context, and says what came of it. An empty column opens.
DROP PROCEDURE IF EXISTS own_try_one //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_try_one(IN column_id INT UNSIGNED, OUT said TEXT, OUT is_open BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE place VARCHAR(300);
  DECLARE sealed VARCHAR(130);
  DECLARE context VARCHAR(400);
  DECLARE key_list, into_list, after, upto, advance, unchanged, behind TEXT;
  CALL own_column(column_id, place, sealed, context, key_list, into_list, after, upto, advance, unchanged);
  SET behind = CONCAT(' FROM ', place, ' FORCE INDEX (PRIMARY) WHERE ', sealed, ' IS NOT NULL ORDER BY ', key_list, ' LIMIT 1');
  SET @keyring_ward_row = NULL, @keyring_ward_key = (SELECT c.key_name FROM keyring_ward.encrypted_columns c WHERE c.id = column_id), is_open = TRUE;
  SET @keyring_ward_sql = CONCAT('SELECT ', own_naming(column_id), ' INTO @keyring_ward_row', behind);
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  IF @keyring_ward_row IS NULL THEN
    SET said = 'The column has no value yet: whether key and context are right was not tried.';
  ELSE
    BEGIN
      DECLARE EXIT HANDLER FOR SQLEXCEPTION
      BEGIN
        GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
        SET is_open = FALSE, said = CONCAT(own_place(column_id), ', ', @keyring_ward_row, ', does not open with this key and context: ', SUBSTRING_INDEX(said, 'UDF failed; ', -1));
      END;
      SET @keyring_ward_sql = CONCAT('SELECT SHA2(', own_opened(sealed, context), ', 256) INTO @keyring_ward_probe', behind);
      PREPARE keyring_ward_statement FROM @keyring_ward_sql;
      EXECUTE keyring_ward_statement;
      SET said = CONCAT('One value (', @keyring_ward_row, ') was opened with this key and context.');
    END;
  END IF;
  DEALLOCATE PREPARE keyring_ward_statement;
  SET @keyring_ward_probe = NULL, @keyring_ward_row = NULL, @keyring_ward_sql = NULL, @keyring_ward_key = NULL, @keyring_ward_context = NULL;
END //

DROP PROCEDURE IF EXISTS register_column //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE register_column(IN in_schema VARCHAR(64), IN in_table VARCHAR(64), IN in_column VARCHAR(64), IN name VARCHAR(255), IN text_of_context VARCHAR(255), IN of_context VARCHAR(64)) MODIFIES SQL DATA
  COMMENT 'A column whose values keyring_ward_encrypt(name, …, context) sealed; the context is a text, a column, or the text followed by the column'
BEGIN
  DECLARE column_id INT UNSIGNED;
  DECLARE place VARCHAR(300);
  DECLARE sealed VARCHAR(130);
  DECLARE context VARCHAR(400);
  DECLARE key_list, into_list, after, upto, advance, unchanged, said TEXT;
  DECLARE kind VARCHAR(64);
  DECLARE is_open BOOLEAN;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK;
    RESIGNAL;
  END;
  CALL own_ready();
  SET said = own_error(keyring_ward_key_check(name, CURRENT_USER()));
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  START TRANSACTION;
  INSERT INTO keyring_ward.encrypted_columns (table_schema, table_name, column_name, key_name, key_owner, context_text, context_column, registered_by)
    VALUES (in_schema, in_table, in_column, name, CURRENT_USER(), text_of_context, of_context, USER());
  SET column_id = LAST_INSERT_ID();
  CALL own_column(column_id, place, sealed, context, key_list, into_list, after, upto, advance, unchanged);
  SELECT MAX(DATA_TYPE) INTO kind FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = in_schema AND c.TABLE_NAME = in_table AND c.COLUMN_NAME = in_column;
  IF kind NOT IN ('varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob') THEN
    CALL own_refuse(CONCAT('A sealed value is bytes: ', in_column, ' is ', kind, ', and must be VARBINARY or BLOB.'));
  END IF;
  -- Its privileges are tried, with no row.
  SET @keyring_ward_sql = CONCAT('UPDATE ', place, ' SET ', sealed, ' = ', sealed, unchanged, ' WHERE FALSE AND CONCAT_WS('''', ', key_list, ') IS NULL', IF(context IS NULL, '', CONCAT(' AND ', context, ' IS NULL')));
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  DEALLOCATE PREPARE keyring_ward_statement;
  CALL own_try_one(column_id, said, is_open);
  IF NOT is_open THEN CALL own_refuse(CONCAT('Not registered. ', said)); END IF;
  UPDATE keyring_ward.encrypted_columns SET message = LEFT(said, 1000) WHERE id = column_id;
  COMMIT;
  SELECT said AS result;
END //

DROP PROCEDURE IF EXISTS unregister_column //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE unregister_column(IN in_schema VARCHAR(64), IN in_table VARCHAR(64), IN in_column VARCHAR(64)) MODIFIES SQL DATA
  COMMENT 'The column is not re-encrypted any more; old versions that it needs must stay'
BEGIN
  DELETE FROM keyring_ward.encrypted_columns WHERE table_schema = in_schema AND table_name = in_table AND column_name = in_column;
  IF ROW_COUNT() = 0 THEN CALL own_refuse('That column is not registered.'); END IF;
  COMMIT;
END //

DROP PROCEDURE IF EXISTS retire_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE retire_key(IN name VARCHAR(255), IN number INT UNSIGNED, IN days SMALLINT UNSIGNED) MODIFIES SQL DATA
  COMMENT 'Plans the destruction of an old version that no value of a registered column is under; days NULL: as the policy says, else 30'
BEGIN
  DECLARE said TEXT;
  DECLARE columns_there INT DEFAULT 0;
  CALL own_ready();
  IF number IS NULL THEN CALL own_refuse('Argument 2, number, is NULL.'); END IF;
  CALL own_needed(name, number, columns_there, said);
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  IF columns_there = 0 THEN
    CALL own_refuse('No column is registered for this key: nobody knows what is sealed with it. keyring_ward_key_destroy() plans it anyway.');
  END IF;
  CALL own_plan(name, CURRENT_USER(), number, COALESCE(days, (SELECT retire_after_days FROM keyring_ward.rotation_policy WHERE key_type = 'dek'), 30), said);
  IF said IS NULL THEN CALL own_refuse(CONCAT('Version ', number, ' is current, planned already, gone, or never was.')); END IF;
  SELECT said AS result;
END //

DROP PROCEDURE IF EXISTS destroy_due //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE destroy_due(IN name VARCHAR(255)) MODIFIES SQL DATA
  COMMENT 'Destroys the versions of a key whose planned destruction is due, unless a registered column has values under them: a dump may have brought some back'
BEGIN
  DECLARE owner VARCHAR(255) DEFAULT CURRENT_USER();
  DECLARE answer LONGTEXT;
  DECLARE said, done TEXT;
  DECLARE number INT UNSIGNED;
  DECLARE columns_there, times INT DEFAULT 0;
  -- On a replica, too: each server destroys its own.
  CALL own_there();
  IF name IS NULL THEN CALL own_refuse('The name of the key is NULL.'); END IF;
  REPEAT
    SET answer = keyring_ward_key_check(name, owner), said = own_error(answer), number = NULL;
    -- The last one takes the key with it: it is not here any more.
    IF said IS NOT NULL AND done IS NULL THEN CALL own_refuse(said); END IF;
    -- The current one last: it goes with all others or not at all.
    SELECT MIN(v.version) INTO number FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', due VARCHAR(8) PATH '$.destroy_due')) v
      WHERE v.due = 'true' AND v.state NOT IN ('active', 'destroyed');
    SET number = COALESCE(number, (SELECT MIN(v.version) FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', due VARCHAR(8) PATH '$.destroy_due')) v
      WHERE v.due = 'true' AND v.state = 'active'));
    IF number IS NOT NULL THEN
      CALL own_needed(name, number, columns_there, said);
      IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
      SET answer = keyring_ward_key_destroy_due(name, owner, number), said = own_error(answer);
      IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
      SET done = CONCAT(COALESCE(CONCAT(done, ', '), ''), number);
    END IF;
    SET times = times + 1;
  UNTIL number IS NULL OR times > 300 END REPEAT;
  IF done IS NULL THEN CALL own_refuse(CONCAT('Nothing of ', name, ' is due: retire_key plans a destruction, and it is done after its day.')); END IF;
  SELECT CONCAT('Destroyed: version ', done, '. It is kept as a retired key for a while: keyring_ward_retired_keys().') AS result;
END //

-- Whether this server's version opens a value that names its number.
DROP PROCEDURE IF EXISTS own_opens //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_opens(IN column_id INT UNSIGNED, IN number INT UNSIGNED, OUT it_does BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE place VARCHAR(300);
  DECLARE sealed VARCHAR(130);
  DECLARE context VARCHAR(400);
  DECLARE key_list, into_list, after, upto, advance, unchanged TEXT;
  -- What says that it does not belong together (KW-0009); anything else decides nothing.
  DECLARE EXIT HANDLER FOR 3200
  BEGIN
    DECLARE said TEXT;
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    IF said NOT LIKE '%KW-0009%' THEN RESIGNAL; END IF;
    SET it_does = FALSE;
  END;
  CALL own_column(column_id, place, sealed, context, key_list, into_list, after, upto, advance, unchanged);
  SET it_does = TRUE, @keyring_ward_key = (SELECT c.key_name FROM keyring_ward.encrypted_columns c WHERE c.id = column_id);
  SET @keyring_ward_sql = CONCAT('SELECT SHA2(', own_opened(sealed, context), ', 256) INTO @keyring_ward_probe FROM ', place, ' FORCE INDEX (PRIMARY) WHERE ', sealed, ' IS NOT NULL AND keyring_ward_sealed_version(', sealed, ') = ', number,
      ' ORDER BY ', key_list, ' LIMIT 1');
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  DEALLOCATE PREPARE keyring_ward_statement;
  SET @keyring_ward_probe = NULL, @keyring_ward_sql = NULL, @keyring_ward_key = NULL, @keyring_ward_context = NULL;
END //

DROP PROCEDURE IF EXISTS drop_pending //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE drop_pending(IN name VARCHAR(255), IN number INT UNSIGNED) MODIFIES SQL DATA
  COMMENT 'Takes away a version that is pending and that nothing is sealed with; its number is free for the one that another server has given it'
BEGIN
  DECLARE owner VARCHAR(255) DEFAULT CURRENT_USER();
  DECLARE answer LONGTEXT;
  DECLARE said, first_row TEXT;
  DECLARE is_state VARCHAR(16);
  DECLARE column_id, lowest INT UNSIGNED DEFAULT 0;
  DECLARE found, looked_at BIGINT;
  DECLARE is_whole, is_ours BOOLEAN;
  CALL own_there();
  IF name IS NULL OR number IS NULL THEN CALL own_refuse('The name of the key or the number of the version is NULL.'); END IF;
  SET answer = keyring_ward_key_check(name, owner), said = own_error(answer);
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  SELECT MAX(v.state) INTO is_state FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state')) v WHERE v.version = number;
  IF NOT is_state <=> 'pending' THEN
    CALL own_refuse(CONCAT('Version ', number, ' of ', name, ' is ', COALESCE(is_state, 'not there'), ', not pending: retire_key plans its end.'));
  END IF;
  -- Values of that number: they are of this version where it opens them (this server is a replica, and its source has switched), else of another
  -- server's with the same number.
  WHILE column_id IS NOT NULL DO
    SELECT MIN(c.id) INTO column_id FROM keyring_ward.encrypted_columns c WHERE c.key_name = name AND c.key_owner = owner AND c.id > column_id;
    IF column_id IS NOT NULL THEN
      CALL own_look(column_id, CONCAT('keyring_ward_sealed_version(@sealed@) = ', number), TRUE, NULL, found, lowest, first_row, looked_at, is_whole);
      SET is_ours = FALSE;
      IF found > 0 THEN CALL own_opens(column_id, number, is_ours); END IF;
      IF is_ours THEN
        CALL own_refuse(CONCAT(found, ' values of ', own_place(column_id), ' are sealed with version ', number, ', which is current elsewhere: keep it. (The first row: ', first_row, ')'));
      END IF;
    END IF;
  END WHILE;
  SET answer = keyring_ward_key_drop(name, owner, number), said = own_error(answer);
  IF said IS NOT NULL THEN CALL own_refuse(said); END IF;
  IF NOT @@GLOBAL.read_only THEN
    UPDATE keyring_ward.key_rotation_log l SET l.state = 'aborted', l.resumable = FALSE, l.finished_at = UTC_TIMESTAMP(6), l.updated_at = UTC_TIMESTAMP(6), l.message = 'Its version was dropped: drop_pending.'
      WHERE l.key_type = 'dek' AND l.key_name = name AND l.key_owner = owner AND l.resumable AND l.new_version = number;
    COMMIT;
  END IF;
  SELECT CONCAT('Version ', number, ' of ', name, ' is dropped.') AS result;
END //

-- ---- MySQL's own keys, the KEK, tables ---------------------------------------------------------------

-- The highest number of one of this server's own keys, and its age in days.
DROP PROCEDURE IF EXISTS own_master //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_master(IN kind VARCHAR(32), OUT name VARCHAR(255), OUT number BIGINT UNSIGNED, OUT age INT) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE front VARCHAR(64) DEFAULT IF(kind = 'innodb_master', CONCAT('INNODBKey-', @@server_uuid, '-'), CONCAT('MySQLReplicationKey_', @@server_uuid, '_'));
  SELECT MAX(CAST(SUBSTR(KEY_ID, CHAR_LENGTH(front) + 1) AS UNSIGNED)) INTO number FROM performance_schema.keyring_keys
    WHERE LEFT(KEY_ID, CHAR_LENGTH(front)) = front AND SUBSTR(KEY_ID, CHAR_LENGTH(front) + 1) REGEXP '^[0-9]{1,18}$';
  SET name = CONCAT(front, number), age = own_member(keyring_ward_key_check(CONCAT(front, number), ''), '$.age_days');
END //

-- One of MySQL's master keys. A row that a session left behind when it was killed is finished by what the keyring says.
DROP PROCEDURE IF EXISTS own_rotate_master //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_rotate_master(IN kind VARCHAR(32), IN why VARCHAR(16)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE in_lock VARCHAR(64) DEFAULT own_lock(CONCAT('master ', kind));
  DECLARE before_it, after_it VARCHAR(255);
  DECLARE old_number, new_number, log_id BIGINT UNSIGNED;
  DECLARE age, times INT DEFAULT 0;
  DECLARE is_locked BOOLEAN DEFAULT FALSE;
  DECLARE said TEXT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    SET said = own_uncut(said);
    ROLLBACK;
    UPDATE keyring_ward.key_rotation_log SET state = 'aborted', resumable = FALSE, message = LEFT(said, 1000), updated_at = UTC_TIMESTAMP(6), finished_at = UTC_TIMESTAMP(6) WHERE id = log_id;
    COMMIT;
    IF is_locked THEN DO RELEASE_LOCK(in_lock); END IF;
    RESIGNAL;
  END;
  IF COALESCE(GET_LOCK(in_lock, 0), 0) <> 1 THEN
    CALL own_refuse(CONCAT(own_holder(in_lock), ' rotates this master key now. Two rotations never overlap.'));
  END IF;
  SET is_locked = TRUE;
  CALL own_master(kind, before_it, old_number, age);
  UPDATE keyring_ward.key_rotation_log l SET l.resumable = FALSE, l.finished_at = UTC_TIMESTAMP(6), l.updated_at = UTC_TIMESTAMP(6), l.new_version = IF(old_number > l.old_version, old_number, NULL),
      l.new_key_id = IF(old_number > l.old_version, before_it, NULL), l.rotation_time = IF(old_number > l.old_version, l.updated_at, NULL),
      l.state = IF(old_number > l.old_version, 'done', 'aborted'), l.message = 'The server or the session ended meanwhile.'
    WHERE l.key_type = kind AND l.resumable;
  COMMIT;
  IF old_number IS NOT NULL AND (kind = 'innodb_master' OR @@GLOBAL.binlog_encryption) THEN
    INSERT INTO keyring_ward.key_rotation_log (key_type, key_name, old_version, old_key_id, state, reason, asked_by, server_uuid)
      VALUES (kind, LEFT(before_it, CHAR_LENGTH(before_it) - CHAR_LENGTH(old_number)), old_number, before_it, 'started', why, USER(), @@server_uuid);
    SET log_id = LAST_INSERT_ID();
    COMMIT;
    -- After a start without any encrypted table InnoDB counts from 1 again and takes old keys without a word: on, until the key is a new one.
    REPEAT
      IF kind = 'innodb_master' THEN ALTER INSTANCE ROTATE INNODB MASTER KEY; ELSE ALTER INSTANCE ROTATE BINLOG MASTER KEY; END IF;
      SET times = times + 1;
      CALL own_master(kind, after_it, new_number, age);
    UNTIL new_number > old_number OR times >= 100 END REPEAT;
    IF NOT new_number > old_number THEN
      CALL own_refuse(CONCAT('MySQL took old keys ', times, ' times. Retire them at a stopped server (keyring-ward key retire), then rotate again.'));
    END IF;
    UPDATE keyring_ward.key_rotation_log SET new_version = new_number, new_key_id = after_it, rotation_time = UTC_TIMESTAMP(6) WHERE id = log_id;
    CALL own_note(log_id, 'done', IF(times > 1, CONCAT('MySQL counted from the beginning again and took old keys ', times - 1, ' times first: keyring-ward key retire ends that.'), NULL));
  END IF;
  DO RELEASE_LOCK(in_lock);
END //

DROP PROCEDURE IF EXISTS rotate_master_keys //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_master_keys() MODIFIES SQL DATA
  COMMENT 'A new InnoDB master key, and one of the binary log where that is encrypted'
BEGIN
  CALL own_ready();
  CALL own_rotate_master('innodb_master', 'call');
  CALL own_rotate_master('binlog_master', 'call');
END //

-- The file under a new DEK, which the KEK wraps as it is now: after a KEK was rotated where it lives, that is its newest version.
DROP PROCEDURE IF EXISTS own_reseal //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_reseal(IN why VARCHAR(16)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE log_id BIGINT UNSIGNED;
  DECLARE answer LONGTEXT;
  DECLARE said TEXT;
  UPDATE keyring_ward.key_rotation_log l SET l.resumable = FALSE, l.state = 'aborted', l.finished_at = UTC_TIMESTAMP(6), l.message = 'The server or the session ended meanwhile; the old file or the new one is in force.'
    WHERE l.key_type = 'kek' AND l.resumable;
  INSERT INTO keyring_ward.key_rotation_log (key_type, key_name, old_key_id, state, reason, asked_by, server_uuid)
    VALUES ('kek', 'DEK of the keyring file', CONCAT('generation ', own_member(keyring_ward_status(), '$.generation')), 'started', why, USER(), @@server_uuid);
  SET log_id = LAST_INSERT_ID();
  COMMIT;
  SET answer = keyring_ward_reseal(), said = own_error(answer);
  IF said IS NOT NULL THEN CALL own_abort(log_id, said); END IF;
  UPDATE keyring_ward.key_rotation_log SET new_key_id = CONCAT('generation ', own_member(answer, '$.generation')), rotation_time = UTC_TIMESTAMP(6) WHERE id = log_id;
  CALL own_note(log_id, 'done', 'The DEK is new and wrapped by the KEK anew. Another KEK: change the configuration, then keyring_ward_rekey().');
END //

-- A name as InnoDB writes it, which is as files are called; NULL for one with other characters than those of ASCII.
DROP FUNCTION IF EXISTS own_file_name //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_file_name(name VARCHAR(64)) RETURNS VARCHAR(330) DETERMINISTIC NO SQL
BEGIN
  DECLARE written VARCHAR(330) DEFAULT '';
  DECLARE place INT DEFAULT 0;
  DECLARE one VARCHAR(1);
  IF LENGTH(name) <> CHAR_LENGTH(name) THEN RETURN NULL; END IF;
  WHILE place < CHAR_LENGTH(name) DO
    SET place = place + 1, one = SUBSTR(name, place, 1);
    SET written = CONCAT(written, IF(one REGEXP '^[0-9A-Za-z_]$', one, CONCAT('@', LPAD(LOWER(HEX(ORD(one))), 4, '0'))));
  END WHILE;
  RETURN written;
END //

-- Where a table lies: its spaces' numbers, how many are encrypted, and how many are files of their own.
DROP PROCEDURE IF EXISTS own_space //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_space(IN in_schema VARCHAR(64), IN in_table VARCHAR(64), OUT spaces VARCHAR(255), OUT how_many INT, OUT encrypted INT, OUT own_files INT) READS SQL DATA
BEGIN
  DECLARE front VARCHAR(700) DEFAULT CONCAT(own_file_name(in_schema), '/', own_file_name(in_table));
  IF @@GLOBAL.lower_case_table_names > 0 THEN SET front = LOWER(front); END IF;
  IF front IS NULL THEN
    CALL own_refuse('InnoDB writes names with such characters in a way of its own. By hand: ALTER TABLE … FORCE, ALGORITHM = INPLACE, LOCK = NONE.');
  END IF;
  SELECT IF(COUNT(*) = 1, MIN(t.SPACE), CONCAT(MIN(t.SPACE), ' to ', MAX(t.SPACE))), COUNT(*), COALESCE(SUM(s.ENCRYPTION = 'Y'), 0), COALESCE(SUM(t.SPACE_TYPE = 'Single'), 0) INTO spaces, how_many, encrypted, own_files
    FROM information_schema.INNODB_TABLES t LEFT JOIN information_schema.INNODB_TABLESPACES s ON s.SPACE = t.SPACE
    WHERE t.NAME = front OR LEFT(t.NAME, CHAR_LENGTH(front) + 3) = CONCAT(front, '#p#') OR LEFT(t.NAME, CHAR_LENGTH(front) + 3) = CONCAT(front, '#P#');
END //
DROP PROCEDURE IF EXISTS own_table_log //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_table_log(INOUT log_id BIGINT UNSIGNED, IN in_schema VARCHAR(64), IN in_table VARCHAR(64), IN old_space VARCHAR(255), IN new_space VARCHAR(255), IN said TEXT) MODIFIES SQL DATA
BEGIN
  IF log_id IS NULL THEN
    INSERT INTO keyring_ward.key_rotation_log (key_type, key_name, old_key_id, state, resumable, reason, asked_by, server_uuid)
      VALUES ('table', CONCAT(in_schema, '.', in_table), CONCAT('space ', old_space), 'started', FALSE, 'call', USER(), @@server_uuid);
    SET log_id = LAST_INSERT_ID();
  ELSE
    UPDATE keyring_ward.key_rotation_log SET state = IF(new_space IS NULL, 'aborted', 'done'), new_key_id = CONCAT('space ', new_space), rotation_time = IF(new_space IS NULL, NULL, UTC_TIMESTAMP(6)),
      message = LEFT(said, 1000), updated_at = UTC_TIMESTAMP(6), finished_at = UTC_TIMESTAMP(6) WHERE id = log_id AND key_type = 'table' AND state = 'started';
  END IF;
  COMMIT;
END //

DROP PROCEDURE IF EXISTS rotate_table_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_table_key(IN in_schema VARCHAR(64), IN in_table VARCHAR(64)) SQL SECURITY INVOKER MODIFIES SQL DATA
  COMMENT 'A new key for the tablespace of one encrypted table, online; with the caller''s own right to ALTER the table'
BEGIN
  DECLARE log_id BIGINT UNSIGNED;
  DECLARE old_space, new_space VARCHAR(255);
  DECLARE how_many, encrypted, own_files INT DEFAULT 0;
  DECLARE said TEXT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    SET said = own_uncut(said);
    IF log_id IS NOT NULL THEN CALL own_table_log(log_id, in_schema, in_table, NULL, NULL, said); END IF;
    RESIGNAL;
  END;
  CALL own_ready();
  CALL own_space(in_schema, in_table, old_space, how_many, encrypted, own_files);
  IF how_many = 0 THEN
    CALL own_refuse(CONCAT('There is no InnoDB table ', in_schema, '.', in_table, '.'));
  ELSEIF encrypted < how_many THEN
    CALL own_refuse(CONCAT(in_schema, '.', in_table, ' is not encrypted: it has no key of its own. ALTER TABLE … ENCRYPTION = ''Y''.'));
  ELSEIF own_files < how_many THEN
    CALL own_refuse(CONCAT(in_schema, '.', in_table, ' lies in a general tablespace, whose key stays when a table is built anew.'));
  END IF;
  CALL own_table_log(log_id, in_schema, in_table, old_space, NULL, NULL);
  SET @keyring_ward_sql = CONCAT('ALTER TABLE ', own_quoted(in_schema), '.', own_quoted(in_table), ' FORCE, ALGORITHM = INPLACE, LOCK = NONE');
  PREPARE keyring_ward_statement FROM @keyring_ward_sql;
  EXECUTE keyring_ward_statement;
  DEALLOCATE PREPARE keyring_ward_statement;
  CALL own_space(in_schema, in_table, new_space, how_many, encrypted, own_files);
  IF new_space = old_space OR encrypted < how_many THEN
    CALL own_refuse('The table was not built anew, or is not encrypted any more.');
  END IF;
  CALL own_table_log(log_id, in_schema, in_table, old_space, new_space, NULL);
END //

-- ---- by policy ---------------------------------------------------------------------------------------

-- The next application key in the order of owner and name that is managed here: of a registered column, or of this account.
-- (Names with a backslash or what can't be seen only by their columns: the list writes them otherwise.)
DROP PROCEDURE IF EXISTS own_next_key //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_next_key(INOUT name VARCHAR(255)) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE answer LONGTEXT;
  DECLARE skip INT DEFAULT 0;
  DECLARE listed, registered, wanted VARCHAR(255);
  REPEAT
    SET answer = keyring_ward_keys(skip);
    SELECT MIN(k.name) INTO wanted FROM JSON_TABLE(answer, '$.keys[*]' COLUMNS (name VARCHAR(1100) PATH '$.name', owner VARCHAR(1100) PATH '$.owner', expires VARCHAR(40) PATH '$.expires', current INT UNSIGNED PATH '$.current')) k
      WHERE k.owner = CURRENT_USER() AND k.expires IS NULL AND k.current IS NOT NULL AND CHAR_LENGTH(k.name) <= 250 AND LOCATE('\\', k.name) = 0 AND k.name > name;
    SET listed = CASE WHEN listed IS NULL THEN wanted WHEN wanted IS NULL THEN listed ELSE LEAST(listed, wanted) END;
    SET skip = skip + COALESCE(JSON_LENGTH(answer, '$.keys'), 0);
  UNTIL NOT COALESCE(JSON_EXTRACT(answer, '$.complete') = FALSE, FALSE) OR COALESCE(JSON_LENGTH(answer, '$.keys'), 0) = 0 END REPEAT;
  SELECT MIN(c.key_name) INTO registered FROM keyring_ward.encrypted_columns c WHERE c.key_owner = CURRENT_USER() AND c.key_name > name;
  SET name = CASE WHEN listed IS NULL THEN registered WHEN registered IS NULL THEN listed ELSE LEAST(listed, registered) END;
END //

-- Is the rotation of a key due: by its own rotate_every, else by the policy? Or is one of it not at its end?
DROP PROCEDURE IF EXISTS own_is_due //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_is_due(IN name VARCHAR(255), OUT due BOOLEAN) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE answer LONGTEXT DEFAULT keyring_ward_key_check(name, CURRENT_USER());
  DECLARE since VARCHAR(40);
  DECLARE hours INT UNSIGNED;
  SELECT rotate_every * IF(unit = 'day', 24, 1) INTO hours FROM keyring_ward.rotation_policy WHERE key_type = 'dek';
  SELECT MAX(v.since) INTO since FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', since VARCHAR(40) PATH '$.since')) v
    WHERE v.version = own_member(answer, '$.logical.current');
  SET due = COALESCE(own_member(answer, '$.logical.rotation_due') = 'true', FALSE)
    OR (COALESCE(own_member(answer, '$.logical.rotate_every'), 0) = 0 AND COALESCE(own_time(since) <= UTC_TIMESTAMP(6) - INTERVAL hours HOUR, FALSE))
    OR EXISTS (SELECT 1 FROM keyring_ward.key_rotation_log l WHERE l.key_type = 'dek' AND l.key_name = name AND l.key_owner = CURRENT_USER() AND l.resumable);
END //

-- Is one of MySQL's keys, or the KEK, due?
DROP PROCEDURE IF EXISTS own_master_is_due //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_master_is_due(IN kind VARCHAR(32), OUT due BOOLEAN) SQL SECURITY INVOKER READS SQL DATA
BEGIN
  DECLARE name VARCHAR(255);
  DECLARE number BIGINT UNSIGNED;
  DECLARE age INT;
  DECLARE hours INT UNSIGNED;
  SELECT rotate_every * IF(unit = 'day', 24, 1) INTO hours FROM keyring_ward.rotation_policy WHERE key_type = kind;
  IF kind = 'kek' THEN
    SELECT TIMESTAMPDIFF(HOUR, COALESCE((SELECT MAX(l.rotation_time) FROM keyring_ward.key_rotation_log l WHERE l.key_type = 'kek' AND l.state = 'done'), v.installed_at), UTC_TIMESTAMP(6)) INTO age
      FROM keyring_ward.schema_version v;
    SET due = COALESCE(age >= hours, FALSE);
  ELSE
    CALL own_master(kind, name, number, age);
    SET due = COALESCE(24 * age >= hours, FALSE) AND (kind = 'innodb_master' OR @@GLOBAL.binlog_encryption);
  END IF;
END //

-- A column that was checked has values under older versions again: they are brought to the current one. Only where such a version is there.
DROP PROCEDURE IF EXISTS own_bring_back //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_bring_back(IN column_id INT UNSIGNED, IN until_then DATETIME(6)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE found, looked_at BIGINT DEFAULT 0;
  DECLARE lowest, now_current INT UNSIGNED;
  DECLARE first_row TEXT;
  DECLARE is_whole, finished, has_old BOOLEAN;
  DECLARE answer LONGTEXT;
  SELECT keyring_ward_key_check(c.key_name, c.key_owner) INTO answer FROM keyring_ward.encrypted_columns c WHERE c.id = column_id;
  SET now_current = own_member(answer, '$.logical.current');
  SELECT COUNT(*) > 0 INTO has_old FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state')) v
    WHERE v.state IN ('deactivated', 'compromised');
  IF has_old AND now_current IS NOT NULL THEN
    CALL own_look(column_id, CONCAT('keyring_ward_sealed_version(@sealed@) <> ', now_current), FALSE, NULL, found, lowest, first_row, looked_at, is_whole);
    IF found > 0 THEN CALL own_reencrypt(column_id, 0, until_then, finished); END IF;
  END IF;
END //

-- All that is due, or (everything) all that there is. What fails is in the log, and the rest goes on; at the end it says how many failed.
DROP PROCEDURE IF EXISTS own_rotate_all //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_rotate_all(IN why VARCHAR(16)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE in_lock VARCHAR(64) DEFAULT own_lock('all');
  DECLARE name VARCHAR(255) DEFAULT '';
  DECLARE kind VARCHAR(32);
  DECLARE kinds VARCHAR(255) DEFAULT 'innodb_master,binlog_master,kek,';
  DECLARE due, now_is_it, may, finished BOOLEAN;
  DECLARE until_then DATETIME(6);
  DECLARE failures INT DEFAULT 0;
  DECLARE said, first_failure TEXT;
  DECLARE column_id INT UNSIGNED;
  IF COALESCE(GET_LOCK(in_lock, 0), 0) <> 1 THEN
    CALL own_refuse(CONCAT(own_holder(in_lock), ' rotates what is due now. Two rotations never overlap.'));
  END IF;
  BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
      DO RELEASE_LOCK(in_lock);
      RESIGNAL;
    END;
    SET may = TRUE, now_is_it = TRUE;
    CALL own_prune();
    IF why <> 'emergency' THEN
      CALL own_window('dek', now_is_it, until_then);
      SET may = COALESCE((SELECT automatic FROM keyring_ward.rotation_policy WHERE key_type = 'dek'), FALSE);
    END IF;
    -- Values that a restored dump has brought back.
    SET column_id = 0;
    WHILE may AND now_is_it AND why = 'due' AND column_id IS NOT NULL DO
      SELECT MIN(c.id) INTO column_id FROM keyring_ward.encrypted_columns c WHERE c.key_owner = CURRENT_USER() AND c.state = 'checked' AND c.id > column_id;
      IF column_id IS NOT NULL THEN
        BEGIN
          DECLARE CONTINUE HANDLER FOR SQLEXCEPTION
          BEGIN
            GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
            SET said = own_uncut(said);
            SET failures = failures + 1, first_failure = COALESCE(first_failure, said);
          END;
          CALL own_bring_back(column_id, until_then);
        END;
      END IF;
    END WHILE;
    IF may AND now_is_it THEN
      CALL own_next_key(name);
      WHILE name IS NOT NULL DO
        SET due = TRUE;
        IF why = 'due' THEN CALL own_is_due(name, due); END IF;
        IF due THEN
          BEGIN
            DECLARE CONTINUE HANDLER FOR SQLEXCEPTION
            BEGIN
              GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
              SET said = own_uncut(said);
              SET failures = failures + 1, first_failure = COALESCE(first_failure, CONCAT(LEFT(name, 30), ': ', said));
            END;
            CALL own_rotate(name, CURRENT_USER(), FALSE, why, until_then, finished);
          END;
        END IF;
        CALL own_next_key(name);
      END WHILE;
    END IF;
    WHILE why <> 'monthly' AND kinds <> '' DO
      SET kind = SUBSTRING_INDEX(kinds, ',', 1), kinds = SUBSTR(kinds, CHAR_LENGTH(kind) + 2);
      BEGIN
        DECLARE CONTINUE HANDLER FOR SQLEXCEPTION
        BEGIN
          GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
          SET said = own_uncut(said);
          SET failures = failures + 1, first_failure = COALESCE(first_failure, CONCAT(kind, ': ', said));
        END;
        SET may = TRUE, due = TRUE;
        IF why <> 'emergency' THEN
          CALL own_window(kind, now_is_it, until_then);
          SET may = COALESCE((SELECT automatic AND now_is_it FROM keyring_ward.rotation_policy WHERE key_type = kind), FALSE);
          CALL own_master_is_due(kind, due);
        END IF;
        IF may AND due THEN
          IF kind = 'kek' THEN CALL own_reseal(why); ELSE CALL own_rotate_master(kind, why); END IF;
        END IF;
      END;
    END WHILE;
  END;
  DO RELEASE_LOCK(in_lock);
  IF failures > 0 THEN CALL own_refuse(CONCAT(failures, ' rotations failed. ', first_failure)); END IF;
END //

DROP PROCEDURE IF EXISTS rotate_due //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_due() MODIFIES SQL DATA
  COMMENT 'Rotates what is due by rotation_policy, and goes on with what is not at its end'
BEGIN
  CALL own_ready();
  CALL own_rotate_all('due');
END //

DROP PROCEDURE IF EXISTS rotate_emergency //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_emergency() MODIFIES SQL DATA
  COMMENT 'Rotates everything now: application keys, master keys, the file''s DEK; at any hour, and whatever the policy says'
BEGIN
  CALL own_ready();
  CALL own_rotate_all('emergency');
END //

-- ---- somebody leaves -----------------------------------------------------------------------------------

-- Why nobody can say that all that an account has read is known; NULL: it is. told: own_accesses(), older: what rotate_exposed() was given.
-- A log that was begun under this load has its first call in line 4, behind begin, started and checkpoint: then memory has all of it.
DROP FUNCTION IF EXISTS own_blind //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_blind(told JSON, older JSON) RETURNS TEXT SQL SECURITY INVOKER NOT DETERMINISTIC READS SQL DATA
BEGIN
  DECLARE answer LONGTEXT DEFAULT keyring_ward_status();
  DECLARE first_line BIGINT;
  DECLARE gaps INT;
  SELECT MIN(t.line), COALESCE(SUM(t.event IN ('gap', 'dropped', 'chain_restarted')), 0) INTO first_line, gaps
    FROM JSON_TABLE(told, '$[*]' COLUMNS (line BIGINT PATH '$.line', event VARCHAR(32) PATH '$.event')) t;
  RETURN CASE
    WHEN older IS NULL AND told IS NULL THEN 'the schema can not read performance_schema.keyring_ward_audit (INSTALL COMPONENT, then share/keyring_ward.sql again), and no list was given'
    -- waiting: nobody has called since the load, so there is nothing to write.
    WHEN NOT COALESCE(own_member(answer, '$.audit_state') IN ('writing', 'waiting'), FALSE) THEN CONCAT('the audit log is not written (Audit_state: ', COALESCE(own_member(answer, '$.audit_state'), '?'), ')')
    WHEN own_member(answer, '$.audit_dropped') > 0 THEN CONCAT(own_member(answer, '$.audit_dropped'), ' reads or events found no room in the audit log')
    WHEN gaps > 0 THEN 'the audit log has gaps since the keyring was loaded'
    WHEN COALESCE(own_member(older, '$.unread_lines'), 0) > 0 OR COALESCE(own_member(older, '$.places_where_reads_may_be_missing'), 0) > 0 THEN 'the list itself says that the log has gaps'
    WHEN older IS NULL AND COALESCE(first_line > 4, TRUE) THEN CONCAT('memory has only the end of the log', COALESCE(CONCAT(', from line ', first_line, ' on'), ''), ', and no list of what is older was given')
  END;
END //

-- The keys that an account has read or used, with the time of the last access. The account is who acted or who logged in; of one with a pattern
-- for a host everybody who logged in from there, so that rather one key too many is among them. What the server itself read is not the account's.
DROP FUNCTION IF EXISTS own_exposed //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_exposed(account VARCHAR(288), told JSON, older JSON) RETURNS JSON SQL SECURITY INVOKER NOT DETERMINISTIC NO SQL
BEGIN
  DECLARE host_there VARCHAR(288) DEFAULT SUBSTRING_INDEX(account, '@', -1);
  DECLARE user_there VARCHAR(288) DEFAULT LEFT(account, CHAR_LENGTH(account) - CHAR_LENGTH(host_there));
  RETURN (SELECT JSON_ARRAYAGG(JSON_OBJECT('key', e.name, 'owner', e.owner, 'last', e.last)) FROM (
    SELECT a.name, a.owner, MAX(a.last) AS last FROM (
      SELECT t.name, t.owner, t.last FROM JSON_TABLE(told, '$[*]' COLUMNS (name VARCHAR(1020) PATH '$.key', owner VARCHAR(1020) PATH '$.owner', last DATETIME(6) PATH '$.time',
          event VARCHAR(32) PATH '$.event', result VARCHAR(16) PATH '$.result', login VARCHAR(288) PATH '$.login', acted VARCHAR(288) PATH '$.account')) t
        WHERE t.event IN ('key_read', 'key_used') AND t.result = 'ok' AND t.login <> 'server'
          AND (account IN (t.login, t.acted) OR (LEFT(t.login, CHAR_LENGTH(user_there)) = user_there AND SUBSTR(t.login, CHAR_LENGTH(user_there) + 1) LIKE host_there))
      UNION ALL SELECT o.name, o.owner, own_time(o.last) FROM JSON_TABLE(older, '$.keys[*]' COLUMNS (name VARCHAR(1020) PATH '$.key', owner VARCHAR(1020) PATH '$.owner', last VARCHAR(40) PATH '$.last')) o
    ) a GROUP BY a.name, a.owner) e);
END //

-- One of them: rotates it if its current version is not younger than the last access, and says in a sentence what came of it.
DROP PROCEDURE IF EXISTS own_rotate_exposed //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_rotate_exposed(IN told_name VARCHAR(1020), IN owner VARCHAR(1020), IN last DATETIME(6), OUT outcome TEXT, OUT failed BOOLEAN) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE answer LONGTEXT;
  DECLARE said TEXT;
  DECLARE name VARCHAR(255);
  DECLARE since DATETIME(6);
  DECLARE is_begun, finished BOOLEAN;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    SET failed = TRUE, outcome = CONCAT('Failed: ', own_uncut(said));
  END;
  SET failed = FALSE, answer = keyring_ward_key_check(told_name, owner);
  IF own_member(answer, '$.error.kind') <=> 'NotFound' AND told_name REGEXP '@[0-9]+$' THEN
    -- A version that is gone, of a key that is there.
    SET answer = keyring_ward_key_check(LEFT(told_name, CHAR_LENGTH(told_name) - LOCATE('@', REVERSE(told_name))), owner);
  END IF;
  SET said = own_error(answer), name = own_member(answer, '$.logical.name');
  SELECT MAX(own_time(v.since)) INTO since FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', since VARCHAR(40) PATH '$.since')) v
    WHERE v.version = own_member(answer, '$.logical.current');
  SET is_begun = EXISTS (SELECT 1 FROM keyring_ward.key_rotation_log l WHERE l.key_type = 'dek' AND l.key_name = name AND l.key_owner = owner AND l.resumable);
  IF own_member(answer, '$.error.kind') <=> 'NotFound' THEN
    SET outcome = 'Not rotated: there is no such key any more (or the log escapes its name).';
  ELSEIF said IS NOT NULL THEN
    SET failed = TRUE, outcome = CONCAT('Failed: ', said);
  ELSEIF name IS NULL THEN
    SET outcome = 'Not rotated: it is no logical key. Make a new one and encrypt anew what is encrypted with it; keyring_ward_key_adopt() makes it one that can be rotated.';
  ELSEIF owner <> CURRENT_USER() THEN
    SET outcome = 'Not rotated: values of another account''s key are re-encrypted by its owner. CALL keyring_ward.rotate_key_of() gives it a new version.';
  ELSEIF since > last AND NOT is_begun THEN
    SET outcome = CONCAT('Not needed: version ', own_member(answer, '$.logical.current'), ' is younger than the last access.');
  ELSE
    CALL own_rotate(name, owner, FALSE, IF(since > last, 'call', 'exposed'), NULL, finished);
    SET outcome = CONCAT('Rotated: version ', own_member(keyring_ward_key_check(name, owner), '$.logical.current'), ' is current.');
  END IF;
END //

DROP PROCEDURE IF EXISTS rotate_exposed //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE rotate_exposed(IN account VARCHAR(288), IN older LONGTEXT, IN anyway BOOLEAN) MODIFIES SQL DATA
  COMMENT 'Somebody leaves: rotates what the account has read or used; older: what keyring-ward audit exposed --json printed, or NULL; anyway: though the log has gaps'
BEGIN
  DECLARE told, found JSON;
  DECLARE said, outcome, first_failure TEXT;
  DECLARE failed BOOLEAN;
  DECLARE at_key, failures INT DEFAULT 0;
  CALL own_ready();
  IF account IS NULL THEN CALL own_refuse('Argument 1, account, is NULL.'); END IF;
  IF anyway IS NULL THEN CALL own_refuse('Argument 3, anyway, is NULL.'); END IF;
  IF account NOT LIKE '%@%' THEN CALL own_refuse('Argument 1 is no account: user@host, as the audit log writes it.'); END IF;
  IF older IS NOT NULL THEN
    IF NOT JSON_VALID(older) THEN CALL own_refuse('Argument 2 is no JSON: what keyring-ward audit exposed --json printed, or NULL.'); END IF;
    IF NOT COALESCE(JSON_TYPE(JSON_EXTRACT(older, '$.keys')) = 'ARRAY', FALSE) THEN CALL own_refuse('Argument 2 has no list of keys: what keyring-ward audit exposed --json printed, or NULL.'); END IF;
    IF NOT own_member(older, '$.account') <=> account THEN
      CALL own_refuse(CONCAT('Argument 2 is a list of what ', COALESCE(own_member(older, '$.account'), '?'), ' has read, not ', account, '.'));
    END IF;
  END IF;
  BEGIN
    DECLARE EXIT HANDLER FOR 1142 SET told = NULL;
    SET told = own_accesses();
  END;
  SET said = own_blind(told, older);
  IF said IS NOT NULL AND (NOT anyway OR (told IS NULL AND older IS NULL)) THEN
    CALL own_refuse(CONCAT('Nothing was rotated: ', said, '. keyring-ward audit exposed FILE --account … --json prints the list; TRUE as the third argument rotates what is known all the same.'));
  END IF;
  SET found = own_exposed(account, told, older);
  -- Times of the log have seconds. What is made from the next one on is younger than all that it tells.
  IF found IS NOT NULL THEN DO SLEEP(1 - MICROSECOND(SYSDATE(6)) / 1000000); END IF;
  WHILE at_key < COALESCE(JSON_LENGTH(found), 0) DO
    CALL own_rotate_exposed(own_member(found, CONCAT('$[', at_key, '].key')), own_member(found, CONCAT('$[', at_key, '].owner')), own_member(found, CONCAT('$[', at_key, '].last')), outcome, failed);
    IF failed THEN SET failures = failures + 1, first_failure = COALESCE(first_failure, CONCAT(own_member(found, CONCAT('$[', at_key, '].key')), ': ', outcome)); END IF;
    SET found = JSON_SET(found, CONCAT('$[', at_key, '].outcome'), outcome), at_key = at_key + 1;
  END WHILE;
  SELECT f.key_name, f.key_owner, f.last_access, f.outcome FROM JSON_TABLE(COALESCE(found, JSON_ARRAY()), '$[*]' COLUMNS (key_name VARCHAR(1020) PATH '$.key', key_owner VARCHAR(1020) PATH '$.owner',
    last_access DATETIME PATH '$.last', outcome TEXT PATH '$.outcome')) f ORDER BY f.key_owner, f.key_name;
  IF failures > 0 THEN CALL own_refuse(CONCAT(failures, ' rotations failed. ', first_failure)); END IF;
END //

-- ---- events ------------------------------------------------------------------------------------------

-- What an event does, written down when it begins: that is how a missed one is known. With the definer's rights whoever the event belongs to:
-- ALTER EVENT makes it belong to the account that alters it.
DROP PROCEDURE IF EXISTS own_run //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_run(IN which VARCHAR(64)) MODIFIES SQL DATA
BEGIN
  DECLARE said TEXT;
  DECLARE is_ready BOOLEAN DEFAULT FALSE;
  BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
      GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
      SET said = own_uncut(said);
      ROLLBACK;
    END;
    CALL own_ready();
    SET is_ready = TRUE;
    UPDATE keyring_ward.schedule_runs SET last_run = UTC_TIMESTAMP(6), last_end = NULL, runs = runs + 1, message = NULL WHERE event_name = which;
    COMMIT;
    CALL own_rotate_all(IF(which = 'monthly_key_rotation', 'monthly', 'due'));
  END;
  -- Where nothing may be rotated nothing is written either: `check` tells why.
  IF is_ready THEN
    UPDATE keyring_ward.schedule_runs SET last_end = UTC_TIMESTAMP(6), message = LEFT(said, 1000) WHERE event_name = which;
    COMMIT;
  END IF;
END //

-- MySQL leaves out what should have begun while it was down. This looks once a minute whether an enabled event's last time went by
-- without it, and makes up for it, once.
DROP PROCEDURE IF EXISTS own_catch_up //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_catch_up() MODIFIES SQL DATA
BEGIN
  DECLARE which VARCHAR(64) DEFAULT '';
  DECLARE in_lock VARCHAR(64) DEFAULT own_lock('catch up');
  IF COALESCE(GET_LOCK(in_lock, 0), 0) = 1 THEN
    WHILE which IS NOT NULL DO
      SELECT MIN(e.EVENT_NAME) INTO which FROM information_schema.EVENTS e JOIN keyring_ward.schedule_runs r ON r.event_name = e.EVENT_NAME
        WHERE e.EVENT_SCHEMA = 'keyring_ward' AND e.STATUS = 'ENABLED' AND e.EVENT_NAME > which AND own_is_missed(e.STARTS, e.INTERVAL_VALUE, e.INTERVAL_FIELD,
          CONVERT_TZ(e.LAST_ALTERED, @@SESSION.time_zone, e.TIME_ZONE), CONVERT_TZ(r.last_run, '+00:00', e.TIME_ZONE), CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', e.TIME_ZONE));
      IF which IS NOT NULL THEN CALL own_run(which); END IF;
    END WHILE;
    DO RELEASE_LOCK(in_lock);
  END IF;
END //

-- The last time at which it should have begun is ten seconds ago at least, and later than its last run and than when it was enabled. All in the
-- event's own time zone, as MySQL reckons.
DROP FUNCTION IF EXISTS own_is_missed //
CREATE DEFINER = keyring_ward_definer@localhost FUNCTION own_is_missed(starts DATETIME, every VARCHAR(256), field VARCHAR(18), altered DATETIME, last_run DATETIME(6), at_time DATETIME) RETURNS BOOLEAN DETERMINISTIC NO SQL
BEGIN
  DECLARE seconds, months, times BIGINT;
  DECLARE last_time DATETIME;
  SET months = CASE field WHEN 'MONTH' THEN every WHEN 'QUARTER' THEN 3 * every WHEN 'YEAR' THEN 12 * every END;
  SET seconds = every * CASE field WHEN 'SECOND' THEN 1 WHEN 'MINUTE' THEN 60 WHEN 'HOUR' THEN 3600 WHEN 'DAY' THEN 86400 WHEN 'WEEK' THEN 604800 END;
  IF months IS NULL AND seconds IS NULL OR at_time < starts THEN RETURN FALSE; END IF;
  SET last_time = IF(months IS NULL, starts + INTERVAL (TIMESTAMPDIFF(SECOND, starts, at_time) DIV seconds) * seconds SECOND,
    starts + INTERVAL (TIMESTAMPDIFF(MONTH, starts, at_time) DIV months) * months MONTH);
  RETURN last_time <= at_time - INTERVAL 10 SECOND AND last_time > altered AND (last_run IS NULL OR last_run < last_time);
END //

-- ---- a look ------------------------------------------------------------------------------------------

-- Whether values of a column need an older version: those that a restored dump has brought back, which the state of the column does not show.
DROP PROCEDURE IF EXISTS own_check_column //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE own_check_column(IN column_id INT UNSIGNED, IN until_then DATETIME(6), OUT verdict VARCHAR(16), OUT detail TEXT) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE found, looked_at BIGINT;
  DECLARE lowest, now_current INT UNSIGNED;
  DECLARE first_row, said TEXT;
  DECLARE is_whole, is_open BOOLEAN;
  DECLARE is_state VARCHAR(16);
  DECLARE planned VARCHAR(40);
  DECLARE answer LONGTEXT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
    SET verdict = 'failure', detail = CONCAT('Its values can not be looked at: ', own_uncut(said), '.');
  END;
  SET verdict = 'ok', detail = NULL;
  SELECT keyring_ward_key_check(c.key_name, c.key_owner) INTO answer FROM keyring_ward.encrypted_columns c WHERE c.id = column_id;
  SET said = own_error(answer), now_current = own_member(answer, '$.logical.current');
  IF said IS NOT NULL OR now_current IS NULL THEN
    SET verdict = 'failure', detail = COALESCE(said, 'Its key has no current version.');
  ELSE
    CALL own_look(column_id, CONCAT('keyring_ward_sealed_version(@sealed@) <> ', now_current), FALSE, until_then, found, lowest, first_row, looked_at, is_whole);
    IF found > 0 THEN
      SELECT MAX(v.state), MAX(v.destroy_at) INTO is_state, planned FROM JSON_TABLE(JSON_EXTRACT(answer, '$.logical'), '$.versions[*]' COLUMNS (version INT UNSIGNED PATH '$.version', state VARCHAR(16) PATH '$.state', destroy_at VARCHAR(40) PATH '$.destroy_at')) v WHERE v.version = lowest;
      SET verdict = IF(planned IS NULL AND is_state IN ('deactivated', 'pending'), 'warning', 'failure');
      SET detail = CONCAT(found, IF(is_whole, ' values', ' values or more'), ' are not under version ', now_current, ' but under version ', lowest, ' and later, which is ', COALESCE(is_state, 'not here'),
        COALESCE(CONCAT(' and may be destroyed from ', planned, ' on'), ''), ' (the first row: ', first_row, '): ', own_way_out(column_id), '.');
    ELSEIF NOT is_whole THEN
      SET detail = CONCAT('Looked at the first ', looked_at, ' rows only (settings.check_seconds): rotate_due looks at all.');
    END IF;
    IF verdict = 'ok' AND (SELECT c.checked_at FROM keyring_ward.encrypted_columns c WHERE c.id = column_id) IS NULL THEN
      CALL own_try_one(column_id, said, is_open);
      SET verdict = IF(is_open, verdict, 'failure'), detail = CONCAT(COALESCE(CONCAT(detail, ' '), ''), said);
    END IF;
  END IF;
END //

DROP PROCEDURE IF EXISTS `check` //
CREATE DEFINER = keyring_ward_definer@localhost PROCEDURE `check`() READS SQL DATA
  COMMENT 'Is everything there that rotation needs, and what is due?'
BEGIN
  DECLARE name VARCHAR(255) DEFAULT '';
  DECLARE due, unknown BOOLEAN;
  DECLARE keys_there, keys_due INT DEFAULT 0;
  DECLARE kek_due, innodb_due, binlog_due BOOLEAN;
  DECLARE sources INT;
  DECLARE column_id INT UNSIGNED DEFAULT 0;
  DECLARE looked JSON DEFAULT JSON_ARRAY();
  DECLARE until_then DATETIME(6) DEFAULT UTC_TIMESTAMP(6) + INTERVAL COALESCE((SELECT check_seconds FROM keyring_ward.settings), 5) SECOND;
  DECLARE said, first_due, verdict, detail TEXT;
  BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION
    BEGIN
      GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
      SET said = own_uncut(said);
    END;
    CALL own_ready();
  END;
  BEGIN
    DECLARE EXIT HANDLER FOR SQLEXCEPTION SET unknown = TRUE;
    CALL own_next_key(name);
    WHILE name IS NOT NULL DO
      CALL own_is_due(name, due);
      SET keys_there = keys_there + 1, keys_due = keys_due + due, first_due = IF(due, COALESCE(first_due, name), first_due);
      CALL own_next_key(name);
    END WHILE;
    CALL own_master_is_due('kek', kek_due);
    CALL own_master_is_due('innodb_master', innodb_due);
    CALL own_master_is_due('binlog_master', binlog_due);
  END;
  SET sources = own_sources();
  WHILE column_id IS NOT NULL DO
    SELECT MIN(c.id) INTO column_id FROM keyring_ward.encrypted_columns c WHERE c.id > column_id;
    IF column_id IS NOT NULL THEN
      CALL own_check_column(column_id, until_then, verdict, detail);
      SET looked = JSON_ARRAY_APPEND(looked, '$', JSON_OBJECT('id', column_id, 'verdict', verdict, 'detail', detail));
    END IF;
  END WHILE;
  SELECT 'ready' AS what, IF(said IS NULL, 'ok', 'failure') AS verdict, COALESCE(said, 'Keys can be rotated here.') AS detail
  UNION ALL SELECT 'event scheduler', IF(@@GLOBAL.event_scheduler = 'ON', 'ok', 'warning'), IF(@@GLOBAL.event_scheduler = 'ON', 'It is on.', CONCAT('event_scheduler is ', @@GLOBAL.event_scheduler, ': no event runs. SET PERSIST event_scheduler = ON.'))
  -- What came by replication came disabled, and stays so when this server has no source any more.
  UNION ALL SELECT CONCAT('event ', e.EVENT_NAME), CASE WHEN e.STATUS = 'ENABLED' OR (e.STATUS <> 'DISABLED' AND sources > 0) THEN 'ok' WHEN e.STATUS <> 'DISABLED' AND (r.event_name IS NULL OR r.last_run IS NOT NULL) THEN 'failure' ELSE 'warning' END,
      CASE WHEN e.STATUS = 'ENABLED' THEN CONCAT('Enabled; last run: ', COALESCE(r.last_run, 'none'), COALESCE(CONCAT('. ', r.message), ''))
        WHEN e.STATUS <> 'DISABLED' AND sources > 0 THEN 'A replica runs no events of its source.'
        ELSE CONCAT(IF(e.STATUS = 'DISABLED', '', 'It came disabled from a source that this server has no more, so that nothing rotates by itself here: '),
          'ALTER DEFINER = keyring_ward_definer@localhost EVENT keyring_ward.', e.EVENT_NAME, ' ENABLE') END
    FROM information_schema.EVENTS e LEFT JOIN keyring_ward.schedule_runs r ON r.event_name = e.EVENT_NAME WHERE e.EVENT_SCHEMA = 'keyring_ward'
  UNION ALL SELECT 'EXECUTE on *.*', 'warning', CONCAT(COUNT(*), ' accounts, ', MIN(CONCAT(u.User, '@', u.Host)), ' among them, may call every procedure here: SET PERSIST partial_revokes = ON; REVOKE EXECUTE ON keyring_ward.* FROM …')
    FROM mysql.user u WHERE u.Execute_priv = 'Y' AND u.Create_user_priv = 'N' AND NOT COALESCE(JSON_CONTAINS(JSON_EXTRACT(u.User_attributes, '$.Restrictions'), '{"Database": "keyring_ward", "Privileges": ["EXECUTE"]}'), FALSE) HAVING COUNT(*) > 0
  UNION ALL SELECT CONCAT('quiet hours of ', p.key_type), 'warning', CONCAT('rotate_due_daily begins at ', TIME(CONVERT_TZ(e.STARTS, e.TIME_ZONE, p.time_zone)), ' ', p.time_zone, ', not within them: it rotates nothing of these. ALTER EVENT … ON SCHEDULE EVERY 1 DAY STARTS …')
    FROM information_schema.EVENTS e JOIN keyring_ward.rotation_policy p ON p.automatic AND p.quiet_from IS NOT NULL
    WHERE e.EVENT_SCHEMA = 'keyring_ward' AND e.EVENT_NAME = 'rotate_due_daily' AND e.STATUS = 'ENABLED' AND e.INTERVAL_FIELD IN ('DAY', 'WEEK', 'MONTH')
      AND NOT IF(p.quiet_from <= p.quiet_to, TIME(CONVERT_TZ(e.STARTS, e.TIME_ZONE, p.time_zone)) >= p.quiet_from AND TIME(CONVERT_TZ(e.STARTS, e.TIME_ZONE, p.time_zone)) < p.quiet_to,
        TIME(CONVERT_TZ(e.STARTS, e.TIME_ZONE, p.time_zone)) >= p.quiet_from OR TIME(CONVERT_TZ(e.STARTS, e.TIME_ZONE, p.time_zone)) < p.quiet_to)
  -- Without its table the view can't be read, and mysqldump stops there. The component's functions are of no library.
  UNION ALL SELECT 'key_access_log', IF(f.UDF_NAME IS NULL, 'failure', 'warning'), CONCAT('component_keyring_ward_sql was ', IF(f.UDF_NAME IS NULL, 'uninstalled', 'installed'), ' since: run share/keyring_ward.sql again.')
    FROM information_schema.VIEWS w LEFT JOIN performance_schema.user_defined_functions f ON f.UDF_NAME = 'keyring_ward_status' AND f.UDF_LIBRARY IS NULL
    WHERE w.TABLE_SCHEMA = 'keyring_ward' AND w.TABLE_NAME = 'key_access_log' AND (LOCATE('own_accesses', w.VIEW_DEFINITION) > 0) <> (f.UDF_NAME IS NOT NULL)
  UNION ALL SELECT 'application keys', CASE WHEN unknown THEN 'failure' WHEN keys_due > 0 THEN 'warning' ELSE 'ok' END,
      IF(unknown, 'They can not be listed: are the SQL functions there?', CONCAT(keys_there, ' are managed here, ', keys_due, ' due or not at their end', COALESCE(CONCAT(', ', first_due, ' first'), ''), '.'))
  UNION ALL SELECT 'InnoDB master key', IF(innodb_due, 'warning', 'ok'), IF(innodb_due, 'Its rotation is due: CALL keyring_ward.rotate_master_keys()', 'Not due.') FROM keyring_ward.schema_version WHERE innodb_due IS NOT NULL
  UNION ALL SELECT 'binary log master key', IF(binlog_due, 'warning', 'ok'), IF(binlog_due, 'Its rotation is due: CALL keyring_ward.rotate_master_keys()', 'Not due.') FROM keyring_ward.schema_version WHERE binlog_due IS NOT NULL
  UNION ALL SELECT 'KEK', IF(kek_due, 'warning', 'ok'), IF(kek_due, 'The file was not resealed for as long as rotation_policy says: rotate_due does that.', 'Not due.') FROM keyring_ward.schema_version WHERE kek_due IS NOT NULL
  UNION ALL SELECT CONCAT('column ', c.table_schema, '.', c.table_name, '.', c.column_name), CASE WHEN c.state = 'failed' OR o.verdict = 'failure' THEN 'failure' WHEN c.state = 'checked' AND o.verdict = 'ok' THEN 'ok' ELSE 'warning' END,
      CONCAT(COALESCE(CONCAT(o.detail, ' '), ''), c.state, COALESCE(CONCAT(', version ', c.target_version, ', ', c.rows_done, ' of ', c.rows_total, ' rows'), ''), COALESCE(CONCAT('. ', c.message), ''))
    FROM keyring_ward.encrypted_columns c LEFT JOIN JSON_TABLE(looked, '$[*]' COLUMNS (id INT UNSIGNED PATH '$.id', verdict VARCHAR(16) PATH '$.verdict', detail TEXT PATH '$.detail')) o ON o.id = c.id
  UNION ALL SELECT CONCAT('rotation ', l.id, ' of ', LEFT(l.key_name, 64)), IF(l.state = 'aborted', 'failure', 'warning'), CONCAT(l.state, COALESCE(CONCAT('. ', l.message), ''))
    FROM keyring_ward.key_rotation_log l WHERE l.resumable OR (l.state = 'aborted' AND NOT EXISTS (SELECT 1 FROM keyring_ward.key_rotation_log n
      WHERE n.id > l.id AND n.key_type = l.key_type AND n.key_name = l.key_name AND n.key_owner = l.key_owner AND n.state <> 'aborted'));
END //

-- ---- roles -------------------------------------------------------------------------------------------

-- The eight roles, each with the least that it needs. A role or account of that name that was there before is left alone: it is not
-- ours to give rights to, and which are ours is written down before they are made. KEYRING_WARD_… privileges are there once component_keyring_ward_sql is installed.
DROP PROCEDURE IF EXISTS own_role //
CREATE PROCEDURE own_role(IN role_name VARCHAR(32)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE there, ours INT DEFAULT 0;
  SELECT COUNT(*) INTO there FROM mysql.user WHERE User = role_name AND Host = '%';
  SELECT COUNT(*) INTO ours FROM keyring_ward.roles WHERE roles.role_name = role_name AND made_here;
  REPLACE INTO keyring_ward.roles VALUES (role_name, ours > 0 OR there = 0, IF(ours > 0 OR there = 0, NULL, 'An account or role of this name was there before and has got nothing. Grant by hand what it should have (share/keyring_ward.sql).'));
END //

-- Grants to a role that is ours. What the server does not know yet is noted, and `roles` tells.
DROP PROCEDURE IF EXISTS own_grant //
CREATE PROCEDURE own_grant(IN what VARCHAR(1000), IN role_name VARCHAR(32)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE ours INT DEFAULT 0;
  DECLARE said TEXT;
  SELECT COUNT(*) INTO ours FROM keyring_ward.roles WHERE roles.role_name = role_name AND made_here;
  IF ours > 0 THEN
    SET @keyring_ward_sql = CONCAT('GRANT ', what, ' TO ', own_quoted(role_name), '@`%`');
    IF what LIKE 'KEYRING\_WARD\_%' THEN
      BEGIN
        DECLARE CONTINUE HANDLER FOR SQLEXCEPTION
        BEGIN
          GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
          SET said = own_uncut(said);
          UPDATE keyring_ward.roles SET message = LEFT(CONCAT(COALESCE(CONCAT(message, ' '), ''), SUBSTRING_INDEX(what, ' ', 1), IF(what LIKE 'KEYRING\_WARD\_USE\_%',
            ' is not granted: it is the privilege of a group of keys, and this server has no such group. Until then the role reaches no key. Where the group comes to be, run share/keyring_ward.sql again.',
            ' is missing: INSTALL COMPONENT ''file://component_keyring_ward_sql'', then run share/keyring_ward.sql again.')), 1000) WHERE roles.role_name = role_name;
        END;
        PREPARE keyring_ward_statement FROM @keyring_ward_sql;
        EXECUTE keyring_ward_statement;
      END;
    ELSE
      PREPARE keyring_ward_statement FROM @keyring_ward_sql;
      EXECUTE keyring_ward_statement;
    END IF;
  END IF;
END //

-- Several routines at once.
DROP PROCEDURE IF EXISTS own_grant_routines //
CREATE PROCEDURE own_grant_routines(IN routines VARCHAR(1000), IN role_name VARCHAR(32)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE one VARCHAR(64);
  WHILE routines <> '' DO
    SET one = SUBSTRING_INDEX(routines, ' ', 1), routines = SUBSTR(routines, CHAR_LENGTH(one) + 2);
    CALL own_grant(CONCAT('EXECUTE ON PROCEDURE keyring_ward.', own_quoted(one)), role_name);
  END WHILE;
END //

-- Our tables in performance_schema, those that there are: they come with component_keyring_ward_sql.
DROP PROCEDURE IF EXISTS own_grant_tables //
CREATE PROCEDURE own_grant_tables(IN tables_wanted VARCHAR(1000), IN role_name VARCHAR(32)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE one VARCHAR(64);
  DECLARE there INT;
  WHILE tables_wanted <> '' DO
    SET one = SUBSTRING_INDEX(tables_wanted, ' ', 1), tables_wanted = SUBSTR(tables_wanted, CHAR_LENGTH(one) + 2);
    SELECT COUNT(*) INTO there FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' AND TABLE_NAME = one;
    IF there > 0 THEN CALL own_grant(CONCAT('SELECT ON performance_schema.', own_quoted(one)), role_name); END IF;
  END WHILE;
END //
DELIMITER ;

CREATE TABLE IF NOT EXISTS roles (
  role_name VARCHAR(32) NOT NULL PRIMARY KEY,
  made_here BOOLEAN NOT NULL,
  message VARCHAR(1000) NULL
) ENGINE = InnoDB COMMENT 'The roles that share/keyring_ward.sql made, and what they lack';
CALL own_role('dba_admin'); CALL own_role('key_admin'); CALL own_role('app_admin'); CALL own_role('key_operator');
CALL own_role('key_auditor'); CALL own_role('key_user'); CALL own_role('developer'); CALL own_role('tester');
CREATE ROLE IF NOT EXISTS dba_admin, key_admin, app_admin, key_operator, key_auditor, key_user, developer, tester;

-- What is for people, and what rotate_table_key needs, which has its caller's rights.
SET @keyring_ward_all = 'create_key create_temporary_key end_temporary_key send_key accept_transport confirm_transport rotate_key rotate_key_of rotate_master_keys rotate_due rotate_emergency rotate_exposed retire_key destroy_due drop_pending reencrypt_column register_column unregister_column rotate_table_key own_ready own_space own_table_log own_refuse check';
-- dba_admin: every operation on keys, and the schema's settings.
CALL own_grant('SELECT, EVENT ON keyring_ward.*', 'dba_admin');
CALL own_grant_routines('own_run own_catch_up', 'dba_admin');
CALL own_grant_routines(@keyring_ward_all, 'dba_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_quoted', 'dba_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_cut', 'dba_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_uncut', 'dba_admin');
CALL own_grant('ENCRYPTION_KEY_ADMIN, BINLOG_ENCRYPTION_ADMIN ON *.*', 'dba_admin');
CALL own_grant('KEYRING_WARD_ADMIN ON *.*', 'dba_admin');
CALL own_grant('KEYRING_WARD_OPERATE ON *.*', 'dba_admin');
CALL own_grant('INSERT, UPDATE, DELETE ON keyring_ward.rotation_policy', 'dba_admin');
CALL own_grant('INSERT, UPDATE, DELETE ON keyring_ward.replicas', 'dba_admin');
CALL own_grant('UPDATE ON keyring_ward.settings', 'dba_admin');
CALL own_grant('SELECT ON performance_schema.keyring_keys', 'dba_admin');
CALL own_grant('SELECT ON performance_schema.keyring_component_status', 'dba_admin');
CALL own_grant_tables('keyring_ward_status keyring_ward_keks keyring_ward_keys keyring_ward_audit', 'dba_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_accesses', 'dba_admin');
-- key_admin: makes, rotates and retires keys, and sets how often.
CALL own_grant('SELECT ON keyring_ward.*', 'key_admin');
CALL own_grant_routines(@keyring_ward_all, 'key_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_quoted', 'key_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_cut', 'key_admin');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_uncut', 'key_admin');
CALL own_grant('ENCRYPTION_KEY_ADMIN ON *.*', 'key_admin');
CALL own_grant('KEYRING_WARD_OPERATE ON *.*', 'key_admin');
CALL own_grant('UPDATE ON keyring_ward.rotation_policy', 'key_admin');
CALL own_grant('UPDATE ON keyring_ward.settings', 'key_admin');
CALL own_grant('SELECT ON performance_schema.keyring_keys', 'key_admin');
CALL own_grant_tables('keyring_ward_status keyring_ward_keks keyring_ward_keys', 'key_admin');
-- app_admin: says which columns are sealed, and uses application keys.
CALL own_grant('SELECT ON keyring_ward.encrypted_columns', 'app_admin');
CALL own_grant('SELECT ON keyring_ward.key_rotation_log', 'app_admin');
CALL own_grant_routines('register_column unregister_column create_temporary_key end_temporary_key', 'app_admin');
CALL own_grant('KEYRING_WARD_USE ON *.*', 'app_admin');
CALL own_grant('KEYRING_WARD_USE_APP ON *.*', 'app_admin');
-- key_operator: the daily run, by the procedures and their checks alone. No key is made, planned away or seen, and no version becomes
-- current without the replicas' receipts: KEYRING_WARD_OPERATE would do that (keyring_ward_key_activate, _key_destroy).
CALL own_grant('SELECT ON keyring_ward.*', 'key_operator');
CALL own_grant_routines('rotate_key rotate_master_keys rotate_due reencrypt_column send_key accept_transport confirm_transport check', 'key_operator');
CALL own_grant('UPDATE (paused, rows_per_second, batch_rows) ON keyring_ward.settings', 'key_operator');
CALL own_grant('KEYRING_WARD_AUDIT ON *.*', 'key_operator');
CALL own_grant_tables('keyring_ward_status keyring_ward_keys', 'key_operator');
-- key_auditor: reads.
CALL own_grant('SELECT ON keyring_ward.*', 'key_auditor');
CALL own_grant_routines('check', 'key_auditor');
CALL own_grant('SELECT ON performance_schema.keyring_keys', 'key_auditor');
CALL own_grant('SELECT ON performance_schema.keyring_component_status', 'key_auditor');
CALL own_grant('KEYRING_WARD_AUDIT ON *.*', 'key_auditor');
CALL own_grant_tables('keyring_ward_status keyring_ward_keks keyring_ward_keys keyring_ward_audit', 'key_auditor');
CALL own_grant('EXECUTE ON FUNCTION keyring_ward.own_accesses', 'key_auditor');
-- key_user: uses keys that it is let to.
CALL own_grant('KEYRING_WARD_USE ON *.*', 'key_user');
-- developer and tester: test keys, and nothing of production's: one may hold them, the other one only uses them. KEYRING_WARD_USE_… are there
-- where the policy names them (share/policy-example.json); without it the three roles that have one reach no key by it.
CALL own_grant('KEYRING_WARD_USE_TEST ON *.*', 'developer');
CALL own_grant('KEYRING_WARD_USE_TEST_DATA ON *.*', 'tester');

-- ---- events: they do nothing until they are enabled (ALTER DEFINER = … EVENT … ENABLE) ---------------------------------

CREATE DEFINER = keyring_ward_definer@localhost EVENT IF NOT EXISTS monthly_key_rotation ON SCHEDULE EVERY 1 MONTH STARTS '2026-01-01 02:00:00' ON COMPLETION PRESERVE DISABLE
  COMMENT 'Rotates every application key that is managed here, once a month, whatever the policy says' DO CALL keyring_ward.own_run('monthly_key_rotation');
CREATE DEFINER = keyring_ward_definer@localhost EVENT IF NOT EXISTS rotate_due_daily ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 03:00:00' ON COMPLETION PRESERVE DISABLE
  COMMENT 'Rotates what is due by rotation_policy' DO CALL keyring_ward.own_run('rotate_due_daily');
CREATE DEFINER = keyring_ward_definer@localhost EVENT IF NOT EXISTS missed_rotations ON SCHEDULE EVERY 1 MINUTE ON COMPLETION PRESERVE ENABLE
  COMMENT 'Makes up, once, for what should have begun while the server was down; only for events that are enabled' DO CALL keyring_ward.own_catch_up();

DROP PROCEDURE own_begin; DROP PROCEDURE own_role; DROP PROCEDURE own_grant; DROP PROCEDURE own_grant_routines; DROP PROCEDURE own_grant_tables;
UPDATE schema_version SET version = 1, complete = TRUE, updated_at = UTC_TIMESTAMP(6);
SET @keyring_ward_sql = NULL, @keyring_ward_all = NULL, SESSION time_zone = @keyring_ward_zone, SESSION sql_mode = @keyring_ward_mode;
SELECT role_name AS `role`, message AS `what it lacks` FROM roles WHERE message IS NOT NULL;
