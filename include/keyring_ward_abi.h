/* Our own declarations of the tables that MySQL and this library exchange.
 *
 * This file owns the memory layout of the C interface, and nothing else. It is written from
 * facts (measured on MySQL 9.7, read of 8.0 and 8.4; tests/support/host/versions.rs has each with
 * its source) about x86-64 Linux, not from MySQL's headers; names are ours. bindgen turns it into boundary/src/abi.rs
 * (`cargo run --manifest-path tools/bindings/Cargo.toml`).
 * It must never contain a table whose layout changes between the supported versions.
 */
#ifndef KEYRING_WARD_ABI_H
#define KEYRING_WARD_ABI_H

#include <stdbool.h>
#include <stddef.h>

/* Opaque handles. The server only carries them around. */
typedef struct kw_opaque *kw_handle;

/* ---- Components --------------------------------------------------------------------------- */

typedef struct kw_component_provides {
  const char *name;
  const void *implementation;
} kw_component_provides;

typedef struct kw_component_requires {
  const char *name;
  void **placeholder;
} kw_component_requires;

typedef struct kw_component_metadata {
  const char *key;
  const char *value;
} kw_component_metadata;

typedef struct kw_component {
  const char *name;
  const kw_component_provides *provides;
  const kw_component_requires *requires_;
  const kw_component_metadata *metadata;
  int (*init)(void);
  int (*deinit)(void);
} kw_component;

typedef struct kw_registry {
  int (*acquire)(const char *name, kw_handle *out);
  int (*acquire_related)(const char *name, kw_handle service, kw_handle *out);
  int (*release)(kw_handle service);
} kw_registry;

/* Severity: 0 System, 1 Error, 2 Warning, 3 Note. */
typedef struct kw_simple_error_log {
  int (*emit)(const char *component, const char *file, unsigned long line, int severity,
              int error_id, ...);
} kw_simple_error_log;

/* ---- Keyring services (the same in 8.0 and 9.7) --------------------------------------------- */

typedef struct kw_reader {
  int (*init)(const char *data_id, const char *auth_id, kw_handle *out);
  int (*deinit)(kw_handle reader);
  int (*fetch_length)(kw_handle reader, size_t *data_size, size_t *type_size);
  int (*fetch)(kw_handle reader, unsigned char *data, size_t data_capacity, size_t *data_size,
               char *type, size_t type_capacity, size_t *type_size);
} kw_reader;

typedef struct kw_writer {
  int (*store)(const char *data_id, const char *auth_id, const unsigned char *data,
               size_t data_size, const char *data_type);
  int (*remove)(const char *data_id, const char *auth_id);
} kw_writer;

typedef struct kw_generator {
  int (*generate)(const char *data_id, const char *auth_id, const char *data_type,
                  size_t data_size);
} kw_generator;

typedef struct kw_keys_iterator {
  int (*init)(kw_handle *out);
  int (*deinit)(kw_handle iterator);
  int (*is_valid)(kw_handle iterator);
  int (*next)(kw_handle iterator);
  int (*get_length)(kw_handle iterator, size_t *data_id_length, size_t *auth_id_length);
  int (*get)(kw_handle iterator, char *data_id, size_t data_id_capacity, char *auth_id,
             size_t auth_id_capacity);
} kw_keys_iterator;

typedef struct kw_component_status {
  int (*is_initialized)(void); /* 1 = usable */
} kw_component_status;

typedef struct kw_metadata_query {
  int (*init)(kw_handle *out);
  int (*deinit)(kw_handle iterator);
  int (*is_valid)(kw_handle iterator);
  int (*next)(kw_handle iterator);
  int (*get_length)(kw_handle iterator, size_t *key_length, size_t *value_length);
  int (*get)(kw_handle iterator, char *key, size_t key_capacity, char *value,
             size_t value_capacity);
} kw_metadata_query;

typedef struct kw_load {
  int (*load)(const char *component_path, const char *instance_path);
} kw_load;

typedef struct kw_aes {
  int (*get_size)(size_t input_length, const char *mode, size_t block_bits, size_t *out);
  int (*encrypt)(const char *data_id, const char *auth_id, const char *mode, size_t block_bits,
                 const unsigned char *iv, int padding, const unsigned char *in, size_t in_length,
                 unsigned char *out, size_t out_capacity, size_t *out_length);
  int (*decrypt)(const char *data_id, const char *auth_id, const char *mode, size_t block_bits,
                 const unsigned char *iv, int padding, const unsigned char *in, size_t in_length,
                 unsigned char *out, size_t out_capacity, size_t *out_length);
} kw_aes;

/* ---- Plugins ----------------------------------------------------------------------------------- */

typedef struct kw_show_var {
  const char *name;
  void *value;
  int type;
  int scope;
} kw_show_var;

/* The common head of every plugin system variable; the typed part follows it. */
typedef struct kw_sysvar_head {
  int flags;
  const char *name;
  const char *comment;
  void *check;
  void *update;
} kw_sysvar_head;

typedef struct kw_sysvar_str {
  kw_sysvar_head head;
  char **value;
  char *def;
} kw_sysvar_str;

typedef struct kw_sysvar_bool {
  kw_sysvar_head head;
  bool *value;
  bool def;
} kw_sysvar_bool;

typedef struct kw_plugin {
  int type;
  void *info;
  const char *name;
  const char *author;
  const char *descr;
  int license;
  int (*init)(void *plugin);
  int (*check_uninstall)(void *plugin);
  int (*deinit)(void *plugin);
  unsigned int version;
  kw_show_var *status_vars;
  void **system_vars;
  void *reserved;
  unsigned long flags;
} kw_plugin;

/* In this table `true` means failure. */
typedef struct kw_plugin_keyring {
  int interface_version;
  bool (*store)(const char *key_id, const char *key_type, const char *user_id, const void *key,
                size_t key_len);
  bool (*fetch)(const char *key_id, char **key_type, const char *user_id, void **key,
                size_t *key_len);
  bool (*remove)(const char *key_id, const char *user_id);
  bool (*generate)(const char *key_id, const char *key_type, const char *user_id, size_t key_len);
  void (*iterator_init)(void **iterator);
  void (*iterator_deinit)(void *iterator);
  bool (*iterator_get_key)(void *iterator, char *key_id, char *user_id);
} kw_plugin_keyring;

/* Plugin services: exported pointers that the server fills in when it loads the library. */
typedef struct kw_malloc_service {
  void *(*malloc)(unsigned int psi_key, size_t size, int flags);
  void *(*realloc)(unsigned int psi_key, void *ptr, size_t size, int flags);
  void (*claim)(void *ptr, bool claim);
  void (*free)(void *ptr);
} kw_malloc_service;

typedef struct kw_registry_service {
  kw_registry *(*acquire)(void);
  int (*release)(kw_registry *registry);
} kw_registry_service;

/* ---- SQL functions (CREATE FUNCTION … SONAME) ----------------------------------------------- */

typedef struct kw_udf_init {
  bool maybe_null;
  unsigned int decimals;
  unsigned long max_length;
  char *ptr;
  bool const_item;
  void *extension;
} kw_udf_init;

typedef struct kw_udf_args {
  unsigned int arg_count;
  int *arg_type;
  char **args;
  unsigned long *lengths;
  char *maybe_null;
  char **attributes;
  unsigned long *attribute_lengths;
  void *extension;
} kw_udf_args;

typedef struct kw_udf_metadata {
  int (*argument_get)(kw_udf_args *args, const char *what, unsigned int index, void **out);
  int (*result_get)(kw_udf_init *init, const char *what, void **out);
  int (*argument_set)(kw_udf_args *args, const char *what, unsigned int index, void *value);
  int (*result_set)(kw_udf_init *init, const char *what, void *value);
} kw_udf_metadata;

/* Global status variables. Type 4 is a pointer to 64 bits, scope 1 is global. */
typedef struct kw_status_variables {
  int (*register_variable)(kw_show_var *table);
  int (*unregister_variable)(kw_show_var *table);
} kw_status_variables;

/* Who calls: meaningful on connection threads only. */
typedef struct kw_thread_reader {
  int (*get)(kw_handle *out);
} kw_thread_reader;

typedef struct kw_thread_security {
  int (*get)(kw_handle thread, kw_handle *out);
  int (*set)(kw_handle thread, kw_handle context);
} kw_thread_security;

/* What the server gives as text: not terminated by a NUL. */
typedef struct kw_lex_string {
  const char *text;
  size_t length;
} kw_lex_string;

/* "priv_user" and "priv_host" are those of the account; out is a kw_lex_string then. */
typedef struct kw_security_options {
  int (*get)(kw_handle context, const char *name, void *out);
  int (*set)(kw_handle context, const char *name, void *value);
} kw_security_options;

/* The server's variables: their global values. On input val is a place for text and length its size, on output the text's. */
typedef struct kw_system_variables {
  void *register_variable;
  int (*get_variable)(const char *component, const char *name, void **val, size_t *length);
} kw_system_variables;

/* A session's values of the server's variables; kind is "SESSION" or "GLOBAL". val and length as above. */
typedef struct kw_variable_reader {
  int (*get)(kw_handle thread, const char *kind, const char *component, const char *name,
             void **val, size_t *length);
} kw_variable_reader;

/* An error of the statement that runs. arguments is a va_list, which is passed by its address: see src/mysql/sql_error.rs. */
typedef struct kw_runtime_error {
  void (*emit)(int error_id, int flags, void *arguments);
} kw_runtime_error;

/* What performance_schema knows of the calling thread. get_own gives 1 where it knows nothing. */
typedef struct kw_thread_attributes {
  unsigned long long id;
  unsigned long connection;
  unsigned long long os_thread;
  void *user_data;
  char user[96];
  size_t user_length;
  char host[255];
  size_t host_length;
  char group[192];
  size_t group_length;
  unsigned char address[128] __attribute__((aligned(8)));
  unsigned int address_length;
  bool system_thread;
} kw_thread_attributes;

typedef struct kw_resource_group {
  void *set_thread_resource_group;
  void *set_thread_resource_group_by_id;
  int (*get_thread_system_attrs)(kw_thread_attributes *out);
} kw_resource_group;

/* Gives 1 where the privilege is granted, by roles as well. */
typedef struct kw_global_grants {
  int (*has_global_grant)(kw_handle context, const char *name, size_t length);
} kw_global_grants;

/* ---- What the companion component registers -------------------------------------------------- */

/* Numbers that stand for the type of a result. */
#define KW_SQL_TEXT 0
#define KW_SQL_INTEGER 2

/* function: of the type that the result wants. was_present is 0 where nothing of that name was registered. */
typedef struct kw_udf_registration {
  int (*udf_register)(const char *name, int returns, void (*function)(void),
                      bool (*init)(kw_udf_init *, kw_udf_args *, char *),
                      void (*deinit)(kw_udf_init *));
  int (*udf_unregister)(const char *name, int *was_present);
} kw_udf_registration;

typedef struct kw_privileges {
  int (*register_privilege)(const char *name, size_t length);
  int (*unregister_privilege)(const char *name, size_t length);
} kw_privileges;

/* A table of performance_schema: what the server calls for it. The server copies the row of functions. */
typedef struct kw_pfs_share {
  int (*rnd_next)(kw_handle table);
  int (*rnd_init)(kw_handle table, bool scan);
  int (*rnd_pos)(kw_handle table);
  void *index_init;
  void *index_read;
  void *index_next;
  int (*read_column_value)(kw_handle table, kw_handle field, unsigned int column);
  void (*reset_position)(kw_handle table);
  void *write_column_value;
  void *write_row_values;
  void *update_column_value;
  void *update_row_values;
  void *delete_row_values;
  /* *position: ref_length bytes that the server copies to remember a row, and writes to before rnd_pos. */
  kw_handle (*open_table)(void **position);
  void (*close_table)(kw_handle table);
  const char *name;
  unsigned int name_length;
  const char *definition;
  unsigned int ref_length;
  int access; /* 0: read only */
  void *delete_all_rows;
  unsigned long long (*get_row_count)(void);
} kw_pfs_share;

/* Both give 0, 1, or the number of an error. */
typedef struct kw_pfs_tables {
  int (*add_tables)(kw_pfs_share **tables, unsigned int count);
  int (*delete_tables)(kw_pfs_share **tables, unsigned int count);
} kw_pfs_tables;

typedef struct kw_pfs_number {
  long long value;
  bool is_null;
} kw_pfs_number;

typedef struct kw_pfs_bigint {
  void (*set)(kw_handle field, kw_pfs_number value);
} kw_pfs_bigint;

typedef struct kw_pfs_string {
  void *set_char_utf8mb4;
  void *get_char_utf8mb4;
  void *read_key_string;
  void *match_key_string;
  void *get_varchar_utf8mb4;
  void *set_varchar_utf8mb4;
  void (*set_varchar_utf8mb4_len)(kw_handle field, const char *value, unsigned int length);
} kw_pfs_string;

/* "2026-11-30 12:00:00"; NULL by length 0. */
typedef struct kw_pfs_datetime {
  void (*set)(kw_handle field, const char *value, unsigned int length);
} kw_pfs_datetime;

/* A statement begins (1; 2 inside a routine) or has ended (4; 8 inside a routine). The texts end with the call. */
typedef struct kw_query_event {
  unsigned long subclass;
  int status;
  unsigned long connection;
  const char *sql_command;
  const char *query;
  size_t query_length;
  const char *query_charset;
} kw_query_event;

/* Provided by whoever wants to see them; every statement of the server goes through it. */
typedef struct kw_event_tracking_query {
  int (*notify)(const kw_query_event *event);
} kw_event_tracking_query;

/* A command of the protocol begins (1) or has ended (2). The text, such as "Reset Connection", ends with the call. */
typedef struct kw_command_event {
  unsigned long subclass;
  int status;
  unsigned long connection;
  const char *command;
  size_t command_length;
} kw_command_event;

/* Provided by whoever wants to see them; every command of every connection goes through it. */
typedef struct kw_event_tracking_command {
  int (*notify)(const kw_command_event *event);
} kw_event_tracking_command;

/* A connection is there (1), has ended (2), or has changed its account (4). What stands behind is not looked at. */
typedef struct kw_connection_event {
  unsigned long subclass;
  int status;
  unsigned long connection;
} kw_connection_event;

/* Provided by whoever wants to see them. */
typedef struct kw_event_tracking_connection {
  int (*notify)(const kw_connection_event *event);
} kw_event_tracking_connection;

/* ---- Our own: what component_keyring_ward gives to component_keyring_ward_sql ------------------- */

/* Another number with each change of what stands below: both libraries are of one release, or nothing is done. */
#define KW_CONTROL_INTERFACE 2

typedef struct kw_sql_function {
  const char *name;
  int returns;
  void (*function)(void);
  bool (*init)(kw_udf_init *, kw_udf_args *, char *);
  void (*deinit)(kw_udf_init *);
} kw_sql_function;

/* A table: its name, and its columns as CREATE TABLE takes them. */
typedef struct kw_sql_table {
  const char *name;
  const char *columns;
} kw_sql_table;

/* What there is to register. It lives as long as the process does. */
typedef struct kw_sql_objects {
  const char *version;
  const kw_sql_function *functions;
  size_t function_count;
  const kw_sql_table *tables;
  size_t table_count;
  const char *const *privileges;
  size_t privilege_count;
} kw_sql_objects;

#define KW_VALUE_TEXT 1
#define KW_VALUE_NUMBER 2
#define KW_VALUE_DATETIME 3

/* A value of a row. kind is the column's. Text is UTF-8 without a NUL, and lives until the next call with the same rows. */
typedef struct kw_value {
  int kind;
  bool is_null;
  const char *text;
  unsigned int length;
  long long number;
} kw_value;

typedef struct kw_control {
  /* Fails where the library has another interface; the version is told nevertheless. */
  int (*objects)(unsigned int interface, const kw_sql_objects **out, const char **version);
  /* The rows of a table as they are now, as far as the calling account may see them. One thread uses them at a time. */
  int (*rows_open)(size_t table, kw_handle *rows, size_t *count);
  int (*rows_value)(kw_handle rows, size_t row, unsigned int column, kw_value *out);
  void (*rows_close)(kw_handle rows);
  /* How many rows a table has, roughly: for the optimizer. */
  unsigned long long (*row_count)(size_t table);
  /* A statement ALTER INSTANCE of the calling thread has ended, with this status. */
  int (*instance_altered)(const char *query, size_t length, int status);
  /* Somebody tells of connections from now on, or (false) no more. */
  int (*connections_watched)(bool watched);
  /* A connection has ended, or begins anew: nothing of it stays. */
  int (*connection_over)(unsigned long connection);
} kw_control;

#endif
