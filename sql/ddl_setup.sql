--
-- Functions that the tests of DDL use (run this before any of them).
--
-- "twins" has set it
SET shoal.forward_ddl = off;
ALTER DATABASE shoal_n3 RESET shoal.enable_shard_scan;
RESET shoal.forward_ddl;

-- what a query says on each node
CREATE FUNCTION public.everywhere(query text) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(coalesce(result, '-'), ' ' ORDER BY node_id) FROM shoal.run_on_nodes(query) $$;
CREATE FUNCTION public.exists_everywhere(name text) RETURNS text LANGUAGE sql AS
$$ SELECT public.everywhere(format('SELECT to_regclass(%L) IS NOT NULL', name)) $$;

-- one line for each object of the schema (and some without schema)
CREATE FUNCTION public.schema_lines(nsp text) RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog AS $$
WITH n AS (SELECT oid FROM pg_namespace WHERE nspname = nsp),
c AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM n))
SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relpersistence, relowner::regrole, relacl, reloptions,
	relrowsecurity, relforcerowsecurity, relreplident, obj_description(oid, 'pg_class')) FROM c
UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
	attgenerated, attcollation::regcollation, attacl,
	(SELECT array_agg(o ORDER BY o) FROM unnest(attoptions) o WHERE o !~ '^pg_attver'), attstorage, attcompression, attstattarget,
	pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
	FROM pg_attribute JOIN c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident, obj_description(indexrelid, 'pg_class'))
	FROM pg_index JOIN c ON c.oid = indexrelid
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, contypid::regtype, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint'))
	FROM pg_constraint WHERE connamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), tgenabled, obj_description(t.oid, 'pg_trigger'))
	FROM pg_trigger t JOIN c ON c.oid = tgrelid WHERE NOT tgisinternal
UNION ALL SELECT concat_ws(' ', 'rule', pg_get_ruledef(r.oid), ev_enabled) FROM pg_rewrite r JOIN c ON c.oid = ev_class
UNION ALL SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
	FROM pg_policy JOIN c ON c.oid = polrelid
UNION ALL SELECT concat_ws(' ', 'sequence', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle)
	FROM pg_sequence JOIN c ON c.oid = seqrelid
UNION ALL SELECT concat_ws(' ', 'function', CASE WHEN prokind <> 'a' THEN pg_get_functiondef(oid) ELSE oid::regprocedure::text END, proowner::regrole, proacl, obj_description(oid, 'pg_proc'))
	FROM pg_proc WHERE pronamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'type', oid::regtype, typtype, typowner::regrole, typdefault, typacl, typnotnull, typbasetype::regtype,
	(SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), obj_description(oid, 'pg_type'))
	FROM pg_type t WHERE typnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'operator', oid::regoperator, oprcode, oprowner::regrole, oprrest, oprjoin) FROM pg_operator WHERE oprnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'opclass', opcname, opcowner::regrole, opcintype::regtype) FROM pg_opclass WHERE opcnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'opfamily', opfname, opfowner::regrole, (SELECT count(*) FROM pg_amop WHERE amopfamily = f.oid)) FROM pg_opfamily f WHERE opfnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'collation', collname, collcollate, collowner::regrole, obj_description(oid, 'pg_collation')) FROM pg_collation WHERE collnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'conversion', conname, conproc, condefault) FROM pg_conversion WHERE connamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(oid), stxstattarget) FROM pg_statistic_ext WHERE stxnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'ts', cfgname, (SELECT count(*) FROM pg_ts_config_map WHERE mapcfg = t.oid)) FROM pg_ts_config t WHERE cfgnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'ts', dictname, dictinitoption) FROM pg_ts_dict WHERE dictnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'ts', prsname) FROM pg_ts_parser WHERE prsnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'ts', tmplname) FROM pg_ts_template WHERE tmplnamespace IN (SELECT oid FROM n)
UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole, nspacl, obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname !~ '^(pg_|shoal|information)'
UNION ALL SELECT concat_ws(' ', 'cast', castsource::regtype, casttarget::regtype, castcontext, castmethod, obj_description(oid, 'pg_cast')) FROM pg_cast WHERE oid >= 16384
UNION ALL SELECT concat_ws(' ', 'language', lanname, lanowner::regrole, lanacl, lanpltrusted) FROM pg_language
UNION ALL SELECT concat_ws(' ', 'transform', trftype::regtype, trffromsql, trftosql) FROM pg_transform
UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion, extnamespace::regnamespace) FROM pg_extension
UNION ALL SELECT concat_ws(' ', 'event trigger', evtname, evtevent, evtenabled, evtfoid::regproc, evttags, evtowner::regrole) FROM pg_event_trigger
UNION ALL SELECT concat_ws(' ', 'publication', pubname, puballtables, pubinsert, pubviaroot, pubowner::regrole, (SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables t WHERE t.pubname = p.pubname)) FROM pg_publication p
UNION ALL SELECT concat_ws(' ', 'am', amname, amhandler) FROM pg_am
UNION ALL SELECT concat_ws(' ', 'fdw', fdwname, fdwowner::regrole, fdwacl, fdwoptions) FROM pg_foreign_data_wrapper
UNION ALL SELECT concat_ws(' ', 'server', srvname, srvtype, srvversion, srvowner::regrole, srvacl, srvoptions) FROM pg_foreign_server WHERE srvname !~ '^shoal'
UNION ALL SELECT concat_ws(' ', 'user mapping', usename, srvname, umoptions) FROM pg_user_mappings WHERE srvname !~ '^shoal'
UNION ALL SELECT concat_ws(' ', 'foreign table', ftrelid::regclass, ftoptions) FROM pg_foreign_table
UNION ALL SELECT concat_ws(' ', 'default acl', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl) FROM pg_default_acl
UNION ALL SELECT concat_ws(' ', 'database', (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), datdba::regrole) FROM pg_database WHERE datname = current_database()
UNION ALL SELECT concat_ws(' ', 'setting', setrole::regrole, setconfig) FROM pg_db_role_setting
	WHERE setdatabase IN (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
-- what not all nodes have
CREATE FUNCTION public.differences(nsp text) RETURNS TABLE (nodes text, object text) LANGUAGE sql AS $$
SELECT string_agg(node_id::text, ',' ORDER BY node_id), line
FROM (SELECT node_id, unnest(string_to_array(result, chr(1))) AS line
	FROM shoal.run_on_nodes(format('SELECT string_agg(l, chr(1)) FROM public.schema_lines(%L) l', nsp))) s
GROUP BY line HAVING count(*) <> (SELECT count(*) FROM shoal.nodes)
ORDER BY line
$$;
-- names and definitions of what belongs to the shards of a table, on all nodes
CREATE FUNCTION public.shard_objects(tab regclass) RETURNS TABLE (n bigint, object text) LANGUAGE sql AS $$
SELECT count(*), line FROM (
	SELECT unnest(string_to_array(result, chr(1))) AS line
	FROM shoal.run_on_nodes(format($q$SELECT string_agg(l, chr(1)) FROM (
		SELECT regexp_replace(pg_get_indexdef(i.indexrelid), 'shoal_\d+_\d+', 'SHARD') || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END AS l
		FROM pg_inherits JOIN pg_index i ON i.indrelid = inhrelid WHERE inhparent = %1$L::regclass
		UNION ALL SELECT 'table ' || relname || ' ' || relpersistence::text || coalesce(reloptions::text, '') FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = %1$L::regclass
		UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_inherits ON conrelid = inhrelid WHERE inhparent = %1$L::regclass AND contype NOT IN ('p', 'n') AND conname !~ '_\d+$'
		UNION ALL SELECT 'trigger ' || tgname || ' ' || tgenabled::text FROM pg_trigger JOIN pg_inherits ON tgrelid = inhrelid WHERE inhparent = %1$L::regclass AND NOT tgisinternal) s$q$, tab::text))) s
WHERE line <> '' GROUP BY line ORDER BY line $$;
