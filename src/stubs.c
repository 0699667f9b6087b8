/* TEMPORARY weak stubs, so that layers can be built before the others are there */
#include "postgres.h"
#include "base/base_settings.h"
#include "base/base_types.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "plan/plan_fragment.h"
#include "plan/plan.h"
#include "exec/exec.h"
#include "ddl/ddl.h"
int shoal_shard_count __attribute__((weak));
int shoal_replicas __attribute__((weak));
char *shoal_node_conninfo __attribute__((weak));
int shoal_origin __attribute__((weak));
int shoal_max_cached_statements __attribute__((weak));
bool shoal_forward_ddl __attribute__((weak));
bool shoal_enable_local __attribute__((weak));
bool shoal_enable_router __attribute__((weak));
bool shoal_enable_push __attribute__((weak));
int shoal_batch_size __attribute__((weak));
__attribute__((weak)) void shoal_settings_init(void)
{  }
__attribute__((weak)) bool shoal_types_is_binary(Oid type)
{ elog(ERROR, "shoal_types_is_binary is a stub"); }
__attribute__((weak)) Oid shoal_types_wire_oid(Oid type)
{ elog(ERROR, "shoal_types_wire_oid is a stub"); }
__attribute__((weak)) bool shoal_meta_enabled(void)
{ return false; }
__attribute__((weak)) const ShoalTable *shoal_meta_table(Oid relid)
{ return NULL; }
__attribute__((weak)) const ShoalGroup *shoal_meta_group(int group_id)
{ elog(ERROR, "shoal_meta_group is a stub"); }
__attribute__((weak)) const ShoalNode *shoal_meta_node(int node_id)
{ elog(ERROR, "shoal_meta_node is a stub"); }
__attribute__((weak)) List *shoal_meta_nodes(void)
{ elog(ERROR, "shoal_meta_nodes is a stub"); }
__attribute__((weak)) int shoal_meta_local_node_id(void)
{ elog(ERROR, "shoal_meta_local_node_id is a stub"); }
__attribute__((weak)) bool shoal_meta_is_alone(void)
{ elog(ERROR, "shoal_meta_is_alone is a stub"); }
__attribute__((weak)) List *shoal_meta_table_oids(int group_id)
{ elog(ERROR, "shoal_meta_table_oids is a stub"); }
__attribute__((weak)) void shoal_meta_init(void)
{  }
__attribute__((weak)) int shoal_meta_shard_of(const ShoalTable *table, const Datum *values, const bool *nulls, const Oid *types)
{ elog(ERROR, "shoal_meta_shard_of is a stub"); }
__attribute__((weak)) bool shoal_meta_hashable_as(const ShoalTable *table, int key, Oid type)
{ elog(ERROR, "shoal_meta_hashable_as is a stub"); }
__attribute__((weak)) void shoal_meta_add_group(int group_id, char kind, int shard_count, int replicas, bool closed)
{ elog(ERROR, "shoal_meta_add_group is a stub"); }
__attribute__((weak)) void shoal_meta_drop_group(int group_id)
{ elog(ERROR, "shoal_meta_drop_group is a stub"); }
__attribute__((weak)) void shoal_meta_add_table(Oid relid, char kind, int group_id)
{ elog(ERROR, "shoal_meta_add_table is a stub"); }
__attribute__((weak)) void shoal_meta_drop_table(Oid relid)
{ elog(ERROR, "shoal_meta_drop_table is a stub"); }
__attribute__((weak)) void shoal_meta_add_placement(int group_id, int shard, int node_id, const char *role, const char *state)
{ elog(ERROR, "shoal_meta_add_placement is a stub"); }
__attribute__((weak)) void shoal_meta_drop_placement(int group_id, int shard, int node_id)
{ elog(ERROR, "shoal_meta_drop_placement is a stub"); }
__attribute__((weak)) int shoal_meta_next_group_id(void)
{ elog(ERROR, "shoal_meta_next_group_id is a stub"); }
__attribute__((weak)) char *shoal_meta_shard_schema(int group_id, int shard)
{ elog(ERROR, "shoal_meta_shard_schema is a stub"); }
__attribute__((weak)) bool shoal_meta_is_shard_schema(Oid nspid, int *group_id, int *shard)
{ elog(ERROR, "shoal_meta_is_shard_schema is a stub"); }
__attribute__((weak)) void shoal_meta_invalidate_table(Oid relid)
{ elog(ERROR, "shoal_meta_invalidate_table is a stub"); }
__attribute__((weak)) void shoal_meta_invalidate_all(void)
{ elog(ERROR, "shoal_meta_invalidate_all is a stub"); }
__attribute__((weak)) char *shoal_scope_marker(int group_id, const Bitmapset *shards, bool partial)
{ elog(ERROR, "shoal_scope_marker is a stub"); }
__attribute__((weak)) bool shoal_scope_parse(const char *query_string, ShoalScope *scope)
{ return false; }
__attribute__((weak)) PlannedStmt *shoal_scope_plan(Query *query, const char *query_string, int cursor_options, ParamListInfo params, const ShoalScope *scope)
{ elog(ERROR, "shoal_scope_plan is a stub"); }
__attribute__((weak)) void shoal_scope_enter_local(void)
{  }
__attribute__((weak)) void shoal_scope_leave_local(void)
{  }
__attribute__((weak)) void shoal_scope_enter_trust(void)
{  }
__attribute__((weak)) void shoal_scope_leave_trust(void)
{  }
__attribute__((weak)) bool shoal_scope_is_local_work(void)
{ return false; }
__attribute__((weak)) void shoal_scope_init(void)
{  }
__attribute__((weak)) ShoalConn *shoal_remote_conn(int node_id)
{ elog(ERROR, "shoal_remote_conn is a stub"); }
__attribute__((weak)) List *shoal_remote_all(void)
{ elog(ERROR, "shoal_remote_all is a stub"); }
__attribute__((weak)) void shoal_remote_queue(ShoalConn *conn, const char *sql)
{ elog(ERROR, "shoal_remote_queue is a stub"); }
__attribute__((weak)) ShoalRequest *shoal_remote_send(ShoalConn *conn, const char *sql, const ShoalParams *params, int flags)
{ elog(ERROR, "shoal_remote_send is a stub"); }
__attribute__((weak)) PGresult *shoal_remote_next(ShoalRequest *req)
{ elog(ERROR, "shoal_remote_next is a stub"); }
__attribute__((weak)) bool shoal_remote_ready(ShoalRequest *req)
{ elog(ERROR, "shoal_remote_ready is a stub"); }
__attribute__((weak)) int shoal_remote_wait_any(ShoalRequest **reqs, int n)
{ elog(ERROR, "shoal_remote_wait_any is a stub"); }
__attribute__((weak)) void shoal_remote_on_absorb(ShoalRequest *req, ShoalAbsorb absorb, void *arg)
{ elog(ERROR, "shoal_remote_on_absorb is a stub"); }
__attribute__((weak)) void shoal_remote_discard(ShoalRequest *req)
{ elog(ERROR, "shoal_remote_discard is a stub"); }
__attribute__((weak)) ShoalConn *shoal_remote_request_conn(ShoalRequest *req)
{ elog(ERROR, "shoal_remote_request_conn is a stub"); }
__attribute__((weak)) uint64 shoal_remote_exec(ShoalConn *conn, const char *sql)
{ elog(ERROR, "shoal_remote_exec is a stub"); }
__attribute__((weak)) void shoal_remote_exec_all(List *conns, const char *sql)
{ elog(ERROR, "shoal_remote_exec_all is a stub"); }
__attribute__((weak)) PGresult *shoal_remote_query(ShoalConn *conn, const char *sql, const ShoalParams *params)
{ elog(ERROR, "shoal_remote_query is a stub"); }
__attribute__((weak)) void shoal_remote_copy_begin(ShoalConn *conn, const char *sql)
{ elog(ERROR, "shoal_remote_copy_begin is a stub"); }
__attribute__((weak)) void shoal_remote_copy_data(ShoalConn *conn, const char *data, int len)
{ elog(ERROR, "shoal_remote_copy_data is a stub"); }
__attribute__((weak)) uint64 shoal_remote_copy_end(ShoalConn *conn)
{ elog(ERROR, "shoal_remote_copy_end is a stub"); }
__attribute__((weak)) bool shoal_remote_try_all(List *conns, char **sqls, bool recover)
{ elog(ERROR, "shoal_remote_try_all is a stub"); }
__attribute__((weak)) void shoal_remote_close(ShoalConn *conn)
{ elog(ERROR, "shoal_remote_close is a stub"); }
__attribute__((weak)) void shoal_remote_forget_statements(void)
{ }
__attribute__((weak)) ShoalConn *shoal_remote_conn_separate(int node_id)
{ elog(ERROR, "shoal_remote_conn_separate is a stub"); }
__attribute__((weak)) ShoalConn *shoal_remote_conn_to(const char *host, int port, const char *dbname, const char *user, const char *password)
{ elog(ERROR, "shoal_remote_conn_to is a stub"); }
__attribute__((weak)) void shoal_remote_raise(ShoalConn *conn, PGresult *res)
{ elog(ERROR, "shoal_remote_raise is a stub"); }
__attribute__((weak)) void shoal_remote_init(void)
{  }
__attribute__((weak)) ShoalConn *shoal_xact_conn(int node_id, int flags)
{ elog(ERROR, "shoal_xact_conn is a stub"); }
__attribute__((weak)) bool shoal_xact_is_single(void)
{ elog(ERROR, "shoal_xact_is_single is a stub"); }
__attribute__((weak)) void shoal_xact_run(const char *sql, List *node_ids)
{ }
__attribute__((weak)) void shoal_xact_lock_cluster(void)
{ }
__attribute__((weak)) void shoal_xact_init(void)
{  }
__attribute__((weak)) void shoal_fragment_store(CustomScan *cscan, const ShoalFragment *frag)
{ elog(ERROR, "shoal_fragment_store is a stub"); }
__attribute__((weak)) ShoalFragment *shoal_fragment_load(CustomScan *cscan)
{ elog(ERROR, "shoal_fragment_load is a stub"); }
__attribute__((weak)) void shoal_insert_store(CustomScan *cscan, const ShoalInsert *insert)
{ elog(ERROR, "shoal_insert_store is a stub"); }
__attribute__((weak)) ShoalInsert *shoal_insert_load(CustomScan *cscan)
{ elog(ERROR, "shoal_insert_load is a stub"); }
__attribute__((weak)) void shoal_plan_init(void)
{  }
__attribute__((weak)) void shoal_exec_init(void)
{  }
__attribute__((weak)) ShoalSink *shoal_sink_open(Relation rel, List *attnums, const char *copy_options, bool replay)
{ elog(ERROR, "shoal_sink_open is a stub"); }
__attribute__((weak)) void shoal_sink_row(ShoalSink *sink, const Datum *values, const bool *nulls)
{ elog(ERROR, "shoal_sink_row is a stub"); }
__attribute__((weak)) void shoal_sink_line(ShoalSink *sink, int shard, const char *line, int len)
{ elog(ERROR, "shoal_sink_line is a stub"); }
__attribute__((weak)) uint64 shoal_sink_close(ShoalSink *sink)
{ elog(ERROR, "shoal_sink_close is a stub"); }
__attribute__((weak)) uint64 shoal_exec_copy_from(CopyStmt *stmt, const char *query_string, int stmt_location, int stmt_len)
{ elog(ERROR, "shoal_exec_copy_from is a stub"); }
__attribute__((weak)) void shoal_ddl_init(void)
{  }
__attribute__((weak)) Oid shoal_ddl_convert(Oid relid, List *keyattrs)
{ elog(ERROR, "shoal_ddl_convert is a stub"); }
__attribute__((weak)) void shoal_ddl_create_partition(Oid relid, int group_id, int shard, int shard_count)
{ elog(ERROR, "shoal_ddl_create_partition is a stub"); }
__attribute__((weak)) void shoal_ddl_align_names(Oid relid)
{ elog(ERROR, "shoal_ddl_align_names is a stub"); }
__attribute__((weak)) void shoal_ddl_drop_init(void)
{  }
