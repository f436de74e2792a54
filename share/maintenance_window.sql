-- Accounts that are open in their hours only: the backup operator from 01:00 to 03:00, and locked for the rest of the day.
--   mysql -uroot < share/maintenance_window.sql
--   CALL keyring_ward_gate.maintenance_window('backup@localhost', '01:00', '03:00', 'Europe/Berlin');
-- Two events look each minute, one unlocks, the other one locks: what a server that was down has missed is made up for in a minute, so that no
-- account stays open because nobody was there to lock it. It needs event_scheduler = ON, and for names of zones MySQL's table of them
-- (mysql_tzinfo_to_sql). Connections that are open stay open when an account is locked: rules with hours in the policy bind those.
-- Running it again is safe. Away with it: DROP SCHEMA keyring_ward_gate; DROP USER keyring_ward_gate@localhost. Accounts stay as they are then.
--
-- The events belong to keyring_ward_gate@localhost, which nobody can log in with and which may change accounts (CREATE USER): not those with
-- SYSTEM_USER, and here none whose name begins with keyring_ward_. Whoever may write the table can unlock the others: give nobody INSERT or
-- UPDATE on it who could not do so anyway. All routines have the rights of whoever calls them, so that EXECUTE on *.* opens nothing.

SET @keyring_ward_mode = @@SESSION.sql_mode, @keyring_ward_zone = @@SESSION.time_zone;
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SET SESSION time_zone = '+00:00', sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';
CREATE SCHEMA IF NOT EXISTS keyring_ward_gate DEFAULT CHARACTER SET utf8mb4 DEFAULT COLLATE utf8mb4_bin;
USE keyring_ward_gate;
CREATE USER IF NOT EXISTS keyring_ward_gate@localhost ACCOUNT LOCK COMMENT 'Owns the events of the schema keyring_ward_gate; nobody logs in with it';
ALTER USER keyring_ward_gate@localhost ACCOUNT LOCK;
GRANT SELECT, UPDATE, EXECUTE, EVENT ON keyring_ward_gate.* TO keyring_ward_gate@localhost;
GRANT CREATE USER ON *.* TO keyring_ward_gate@localhost;
GRANT SELECT (User, Host, account_locked) ON mysql.user TO keyring_ward_gate@localhost;

CREATE TABLE IF NOT EXISTS maintenance_windows (
  user VARCHAR(32) NOT NULL,
  host VARCHAR(255) NOT NULL,
  opens TIME NOT NULL,
  closes TIME NOT NULL COMMENT 'before opens: on the next day',
  time_zone VARCHAR(64) NOT NULL DEFAULT '+00:00' COMMENT 'of the two times',
  changed_at DATETIME(6) NULL COMMENT 'when an event locked or unlocked it last, in UTC',
  message VARCHAR(255) NULL COMMENT 'what is wrong',
  PRIMARY KEY (user, host)
) ENGINE = InnoDB COMMENT 'Accounts that are open in these hours only';

DELIMITER //
-- An account and its hours; NULL and NULL: it has none any more, and stays as it is. time_zone NULL: UTC.
DROP PROCEDURE IF EXISTS maintenance_window //
CREATE PROCEDURE maintenance_window(IN account VARCHAR(288), IN from_time TIME, IN to_time TIME, IN zone VARCHAR(64)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE of_host VARCHAR(255) DEFAULT SUBSTRING_INDEX(account, '@', -1);
  DECLARE of_user VARCHAR(288) DEFAULT LEFT(account, CHAR_LENGTH(account) - CHAR_LENGTH(of_host) - 1);
  IF account NOT LIKE '%@%' OR account IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Write the account as user@host, without quotes, like backup@localhost.';
  ELSEIF of_user LIKE 'keyring\_ward\_%' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'That account is one that nobody logs in with: it has no window.';
  ELSEIF (from_time IS NULL) <> (to_time IS NULL) OR from_time = to_time OR TIME_TO_SEC(from_time) NOT BETWEEN 0 AND 86400 OR TIME_TO_SEC(to_time) NOT BETWEEN 0 AND 86400 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'A window has two different times from 00:00 to 24:00; NULL and NULL take it away.';
  ELSEIF CONVERT_TZ('2026-01-01 00:00:00', '+00:00', COALESCE(zone, '+00:00')) IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'The server does not know this time zone: load them with mysql_tzinfo_to_sql, or write an offset like +01:00.';
  END IF;
  DELETE FROM keyring_ward_gate.maintenance_windows WHERE user = of_user AND host = of_host;
  IF from_time IS NOT NULL THEN
    INSERT INTO keyring_ward_gate.maintenance_windows (user, host, opens, closes, time_zone) VALUES (of_user, of_host, from_time, to_time, COALESCE(zone, '+00:00'));
  END IF;
END //

-- Is it open by the clock of its zone? A zone that the server does not know any more: no.
DROP FUNCTION IF EXISTS own_is_open //
CREATE FUNCTION own_is_open(opens TIME, closes TIME, zone VARCHAR(64)) RETURNS BOOLEAN SQL SECURITY INVOKER NOT DETERMINISTIC NO SQL
BEGIN
  DECLARE here TIME DEFAULT TIME(CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', zone));
  RETURN COALESCE(IF(opens < closes, here >= opens AND here < closes, here >= opens OR here < closes), FALSE);
END //

-- What one event does: UNLOCK what should be open and is locked, or LOCK what should be locked and is open.
DROP PROCEDURE IF EXISTS own_set //
CREATE PROCEDURE own_set(IN how VARCHAR(6)) SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN
  DECLARE of_user VARCHAR(32) DEFAULT '';
  DECLARE of_host VARCHAR(255) DEFAULT '';
  DECLARE is_locked CHAR(1);
  DECLARE should_be_open, done BOOLEAN DEFAULT FALSE;
  DECLARE said TEXT;
  WHILE NOT done DO
    BEGIN
      DECLARE EXIT HANDLER FOR NOT FOUND SET done = TRUE;
      SELECT w.user, w.host, own_is_open(w.opens, w.closes, w.time_zone) AND w.user NOT LIKE 'keyring\_ward\_%', (SELECT u.account_locked FROM mysql.user u WHERE u.User = w.user AND u.Host = w.host)
        INTO of_user, of_host, should_be_open, is_locked FROM keyring_ward_gate.maintenance_windows w WHERE (w.user, w.host) > (of_user, of_host) ORDER BY w.user, w.host LIMIT 1;
    END;
    IF NOT done THEN
      SET said = IF(is_locked IS NULL, 'There is no such account.', NULL);
      IF (how = 'UNLOCK' AND should_be_open AND is_locked = 'Y') OR (how = 'LOCK' AND NOT should_be_open AND is_locked = 'N') THEN
        BEGIN
          DECLARE EXIT HANDLER FOR SQLEXCEPTION GET DIAGNOSTICS CONDITION 1 said = MESSAGE_TEXT;
          SET @keyring_ward_gate = CONCAT('ALTER USER ', QUOTE(of_user), '@', QUOTE(of_host), ' ACCOUNT ', how);
          PREPARE keyring_ward_gate FROM @keyring_ward_gate;
          EXECUTE keyring_ward_gate;
          DEALLOCATE PREPARE keyring_ward_gate;
          UPDATE keyring_ward_gate.maintenance_windows SET changed_at = UTC_TIMESTAMP(6) WHERE user = of_user AND host = of_host;
        END;
      END IF;
      UPDATE keyring_ward_gate.maintenance_windows SET message = LEFT(said, 255) WHERE user = of_user AND host = of_host AND NOT message <=> LEFT(said, 255);
    END IF;
  END WHILE;
END //
DELIMITER ;

CREATE DEFINER = keyring_ward_gate@localhost EVENT IF NOT EXISTS maintenance_unlock ON SCHEDULE EVERY 1 MINUTE STARTS '2026-01-01 00:00:00' ON COMPLETION PRESERVE
  COMMENT 'Unlocks the accounts whose window is open' DO CALL keyring_ward_gate.own_set('UNLOCK');
CREATE DEFINER = keyring_ward_gate@localhost EVENT IF NOT EXISTS maintenance_lock ON SCHEDULE EVERY 1 MINUTE STARTS '2026-01-01 00:00:00' ON COMPLETION PRESERVE
  COMMENT 'Locks the accounts whose window is over' DO CALL keyring_ward_gate.own_set('LOCK');
SET SESSION time_zone = @keyring_ward_zone, SESSION sql_mode = @keyring_ward_mode;
