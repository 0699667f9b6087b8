SELECT count(*) FROM t1 WHERE a = $1::int <- NULL
SELECT count(*) FROM t1 WHERE a = $1::int <- 3
SELECT r, t1.b FROM ref1 LEFT JOIN t1 ON t1.a = $1::int <- NULL
SELECT r, t1.b FROM ref1 LEFT JOIN t1 ON t1.a = NULL::int
SELECT r, (SELECT count(*) FROM t1 WHERE a = $1::int) FROM ref1 <- NULL
SELECT count(*) FROM t1 WHERE a = 5 UNION ALL SELECT b FROM t2
SELECT count(*) FROM t1 WHERE a=1 UNION ALL SELECT count(*) FROM t1 WHERE a=2
SELECT count(*) FROM t1 WHERE a=1 UNION ALL SELECT count(*) FROM t1 WHERE a=2 UNION ALL SELECT count(*) FROM t1 WHERE a = 3
SELECT x.a, x.n, t2.b FROM (SELECT a, count(*) n FROM t1 WHERE a = 5 GROUP BY ROLLUP (a)) x FULL JOIN t2 ON x.a = t2.a
SELECT * FROM (SELECT r.r, t1.a FROM ref1 r LEFT JOIN t1 ON t1.a = 5) x FULL JOIN t2 ON x.a = t2.a
SELECT count(*) FROM s1 GROUP BY k::bpchar
SELECT count(*) FROM (SELECT DISTINCT k::bpchar FROM s1) x
SELECT count(*) FROM (SELECT k::bpchar FROM s1 UNION SELECT k::bpchar FROM s2) x
WITH w AS (SELECT k || CASE WHEN n > 4 THEN ' ' ELSE '' END AS k FROM s1) SELECT count(*) FROM w GROUP BY k::bpchar
SELECT a FROM t1 ORDER BY a LIMIT 9223372036854775807 OFFSET 2
SELECT a FROM t1 ORDER BY a LIMIT -1 OFFSET 5
SELECT array_agg(b) FROM (SELECT b FROM t1 ORDER BY b) x
SELECT string_agg(c, ',') FROM (SELECT c FROM t1 ORDER BY c) x
SELECT json_agg(x) FROM (SELECT a, b FROM t1 ORDER BY a, b) x
SELECT json_agg(row_to_json(x)) FROM (SELECT * FROM t1 ORDER BY a, b, c, d) x
SELECT array_agg(b) FROM (SELECT b FROM t1 ORDER BY b LIMIT 5) x
SELECT array_agg(b) FROM (SELECT a, b FROM t1 ORDER BY b) x WHERE a > 2
SELECT array_agg(b) FROM (SELECT DISTINCT b FROM t1 ORDER BY b) x
SELECT tableoid = 't1'::regclass, count(*) FROM t1 GROUP BY 1
SELECT tableoid::regclass::text FROM t1
SELECT tableoid::regclass::text, tableoid = 't2'::regclass FROM t2 WHERE a = 3
SELECT t1.tableoid::regclass::text FROM t1 JOIN t2 USING (a)
SELECT count(DISTINCT ctid) > 0 FROM t1
SELECT (SELECT sum(t1.b) FROM ref1 LIMIT 1) FROM t1
SELECT a, (SELECT sum(t1.b + r) FROM ref1 LIMIT 1) FROM t1 GROUP BY a
SELECT 1 FROM t1 HAVING true
SELECT 1 FROM t1 HAVING count(*) > 1000
SELECT count(*) FROM t1 GROUP BY ()
SELECT count(*) FROM t1 WHERE false
SELECT a, count(*) FROM t1 GROUP BY a, a
SELECT DISTINCT ON (a) a, b FROM t1 ORDER BY a, b DESC NULLS LAST
SELECT DISTINCT ON (a + 0) a, b FROM t1 ORDER BY a + 0, a, b DESC NULLS LAST
SELECT k FROM s1 FULL JOIN s2 USING (k) GROUP BY k
SELECT s1.k FROM s1 FULL JOIN s2 USING (k) GROUP BY s1.k
SELECT s1.k, count(*) OVER (PARTITION BY s1.k) FROM s1 FULL JOIN s2 USING (k)
SELECT DISTINCT s1.k FROM s1 FULL JOIN s2 USING (k)
SELECT t2.a, count(*) FROM t1 LEFT JOIN t2 ON t1.a = t2.a AND t2.b > 5 GROUP BY t2.a
SELECT a FROM t1 WHERE a NOT IN (SELECT a FROM t2)
SELECT a FROM t1 WHERE a NOT IN (SELECT a FROM t2 WHERE a IS NOT NULL)
SELECT a FROM t1 WHERE (a IN (SELECT a FROM t2)) IS NULL
SELECT a FROM t1 WHERE a NOT IN (SELECT a FROM t2 WHERE t2.a = t1.a)
SELECT a, b IN (SELECT b FROM t2 WHERE t2.a = t1.a) FROM t1
SELECT a FROM t1 WHERE EXISTS (SELECT FROM t2 WHERE t2.a = t1.a AND EXISTS (SELECT FROM t3 WHERE t3.k = t1.a))
SELECT a FROM t1 WHERE EXISTS (SELECT FROM ref1 WHERE r = b AND EXISTS (SELECT FROM t3 WHERE t3.k = t1.a))
SELECT t1.a, x.n FROM t1, LATERAL (SELECT count(*) n FROM t2 WHERE t2.a = t1.a) x
SELECT t1.a, x.n FROM t1 LEFT JOIN LATERAL (SELECT count(*) n FROM t2 WHERE t2.a = t1.a HAVING count(*) > 1) x ON true
SELECT t1.a, x.n FROM t1 LEFT JOIN LATERAL (SELECT count(*) n FROM t2 WHERE t2.b = t1.a HAVING count(*) > 1) x ON true
SELECT t1.a, x.b FROM t1 LEFT JOIN LATERAL (SELECT t2.b FROM t2 WHERE t2.a = t1.a ORDER BY b LIMIT 1) x ON true
SELECT r, x.b FROM ref1 LEFT JOIN LATERAL (SELECT t2.b FROM t2 WHERE t2.a = r ORDER BY b LIMIT 1) x ON true
SELECT sum(sum(b)) OVER (PARTITION BY a) FROM t1 GROUP BY a, c
SELECT a, sum(n) OVER (PARTITION BY a) FROM (SELECT a, b, count(*) n FROM t1 GROUP BY a, b) x
SELECT a, count(*) FROM (SELECT a FROM t1 UNION ALL SELECT k FROM t3) x GROUP BY a
SELECT a, count(*) FROM (SELECT a FROM t1 UNION SELECT k FROM t3) x GROUP BY a
SELECT a FROM t1 INTERSECT SELECT k FROM t3
SELECT a FROM t1 UNION SELECT k + 0 FROM t3
SELECT a::numeric FROM t1 UNION SELECT 1.5
SELECT x FROM (SELECT a AS x FROM t1 WHERE a = 3 UNION SELECT a FROM t2 WHERE a = 4) y
SELECT a, b FROM t1 WHERE a = 3 EXCEPT SELECT a, b FROM t2 WHERE a = 3
WITH w AS (SELECT count(*) c FROM t1 WHERE a=1) SELECT * FROM w, t2
WITH w AS (SELECT count(*) c FROM t1 WHERE a=1) SELECT * FROM w, t2 WHERE t2.a = 1
WITH w AS (SELECT count(*) c FROM t1 WHERE a=1) SELECT * FROM t2 LEFT JOIN w ON true
WITH w AS (SELECT max(a) a FROM t1 WHERE a=1) SELECT * FROM t2 LEFT JOIN w USING (a)
WITH w AS (SELECT a, b FROM t1) SELECT * FROM w x JOIN w y USING (a)
WITH w AS MATERIALIZED (SELECT a, b FROM t1) SELECT * FROM w x JOIN w y ON x.b = y.b
SELECT t1, t2 FROM t1 LEFT JOIN t2 ON t1.a = t2.a
SELECT t1, t2 FROM t1 LEFT JOIN t2 ON t1.b = t2.b
SELECT t1.*, s1 FROM t1 LEFT JOIN s1 ON t1.b = s1.n
SELECT ROW(a, b) FROM t1
SELECT ROW(t1.a, t2.b) FROM t1 JOIN t2 ON t1.b = t2.b
SELECT (t1).a, (t1).c FROM t1
SELECT count(t1) FROM t1 LEFT JOIN s1 ON b = n
SELECT to_json(t1) FROM t1
SELECT row_to_json(x) FROM (SELECT a, count(*) FROM t1 GROUP BY a) x
SELECT x FROM (SELECT b, count(*) FROM t1 GROUP BY b) x
SELECT jsonb_agg(x ORDER BY x.b) FROM (SELECT b, count(*) FROM t1 GROUP BY b) x
SELECT a FROM t1 WHERE (a, b) = (3, 4)
SELECT a FROM t1 WHERE (a, b) < (3, 4)
SELECT a FROM t1 WHERE (a, b) IN ((3, 4), (5, 6))
SELECT a FROM t1 WHERE (a, b) IN (SELECT a, b FROM t2)
SELECT a FROM t1 WHERE (b, a) IN (SELECT b, a FROM t2 WHERE e = 'ok')
SELECT * FROM u1 JOIN u2 USING (x, y)
SELECT * FROM u1 JOIN u2 USING (y)
SELECT * FROM u1 WHERE x = 3 AND y = 'a'
SELECT * FROM u1 WHERE (x, y) IN (SELECT x, y FROM u2)
SELECT * FROM u1 WHERE (y, x) IN (SELECT y, x FROM u2)
SELECT x, y, count(*) FROM u1 GROUP BY y, x
SELECT y, count(*) FROM u1 GROUP BY y
SELECT x, y FROM u1 UNION SELECT x, y FROM u2
SELECT x, y FROM u1 EXCEPT SELECT x, y FROM u2
SELECT * FROM u1 FULL JOIN u2 ON u1.x = u2.x AND u1.y = u2.y
SELECT * FROM u1 LEFT JOIN u2 ON u1.x = u2.x AND u1.y = u2.y AND u1.z > 2
SELECT sum(c) FROM (SELECT count(*) c FROM t1 WHERE a = 1) x
SELECT * FROM (SELECT 1 AS one) x LEFT JOIN t1 ON a = 3
SELECT * FROM (SELECT 1 AS one) x LEFT JOIN t1 ON a = 77
SELECT * FROM (SELECT 1 AS one) x LEFT JOIN t1 ON true
SELECT * FROM one FULL JOIN two ON one.a = two.a
SELECT * FROM one, mono WHERE one.a = mono.a
SELECT * FROM mono m, t1 WHERE m.a = t1.a
SELECT r FROM ref1 WHERE r IN (SELECT b FROM t1 WHERE a = 3) AND r NOT IN (SELECT b FROM t1 WHERE a = 4 AND b IS NOT NULL)
SELECT grouping(a), grouping(b), a, b, count(*) FROM t1 GROUP BY CUBE (a, b)
SELECT a, b, count(*) FROM t1 WHERE a = 3 GROUP BY CUBE (a, b)
SELECT a, count(*) FROM (SELECT a FROM t1 WHERE a = 3 GROUP BY ROLLUP (a)) x GROUP BY a
SELECT * FROM generate_series(1, 3) g LEFT JOIN t1 ON t1.a = g
SELECT g, (SELECT count(*) FROM t1 WHERE a = g) FROM generate_series(1, 3) g
SELECT count(*) FROM t1 TABLESAMPLE BERNOULLI (100)
SELECT count(*) FROM ONLY t1
SELECT count(*) FROM ONLY r1
SELECT a FROM t1 FOR UPDATE
SELECT a FROM t1 WHERE a = 3 FOR UPDATE SKIP LOCKED
SELECT t1.a FROM t1 JOIN t2 USING (a) FOR UPDATE OF t1
SELECT t1.a FROM t1 JOIN s1 ON b = n FOR UPDATE OF t1
SELECT t1.a FROM t1 JOIN s1 ON b = n FOR UPDATE
SELECT a, b FROM t1 ORDER BY a, b LIMIT 3 FOR UPDATE
SELECT random() >= 0 FROM t1
SELECT count(*) FROM t1 WHERE random() >= 0
SELECT a, b + CASE WHEN random() < 2 THEN 1 ELSE 0 END FROM t1
SELECT count(*) FROM (SELECT a, random() FROM t1 OFFSET 0) x
SELECT x.a FROM (SELECT a, random() q FROM t1) x JOIN t2 USING (a) WHERE q < 2
SELECT unnest(f), a FROM t2
SELECT a, generate_series(1, 2), count(*) FROM t1 GROUP BY a
SELECT sum(g) FROM (SELECT generate_series(1, b) g FROM t1) x
SELECT b, sum(g) FROM (SELECT b, generate_series(1, b) g FROM t1) x GROUP BY b
SELECT min(a), max(a) FROM t1
SELECT a FROM t1 WHERE b = (SELECT max(b) FROM t1)
SELECT a FROM t1 WHERE a = (SELECT max(a) FROM t1)
SELECT a FROM t1 WHERE a = (SELECT max(r) FROM ref1)
SELECT a FROM t1 WHERE a = ANY (ARRAY(SELECT r FROM ref1))
SELECT a FROM t1 WHERE a = ANY ((SELECT array_agg(r) FROM ref1)::int[])
SELECT a FROM t1 WHERE a IN (1, 2, NULL)
SELECT a FROM t1 WHERE a = ANY ($1::int[]) <- {1,2}
SELECT a FROM t1 WHERE a = ANY ($1::int[]) <- NULL
SELECT a FROM t1 WHERE a = ALL ($1::int[]) <- {}
SELECT a FROM t1 WHERE a = ANY ('{}')
SELECT a FROM t1 WHERE a = ANY ('{{1,2},{3,4}}'::int[])
SELECT k FROM t3 WHERE k = ANY ('{1,2}'::int[])
SELECT k FROM t3 WHERE k = 3 AND k = 3::bigint
SELECT k FROM t3 JOIN t1 ON k = a WHERE a = 3
SELECT k FROM s1 WHERE k = 'a'::varchar
SELECT k FROM s1 WHERE k = 'a'::bpchar
SELECT k FROM s1 WHERE k = 'a'::name
SELECT k FROM s1 WHERE k COLLATE "C" = 'a'
SELECT k COLLATE "C" AS k, count(*) FROM s1 GROUP BY 1
SELECT a FROM t1 WHERE b = 3 AND b = a
SELECT a FROM t1 WHERE b = 3 AND b = a AND c = 'a'
SELECT t1.a FROM t1, t2 WHERE t1.a = t1.b AND t1.b = t2.a
SELECT t1.a, t2.b FROM t1 LEFT JOIN t2 ON t1.b = t2.a WHERE t1.a = t1.b
SELECT t1.a, t2.a, t3.k FROM t1 LEFT JOIN (t2 LEFT JOIN t3 ON true) ON t1.a = t2.a AND t1.a = t3.k
SELECT t1.a, t2.a, t3.k FROM t1 LEFT JOIN (t2 JOIN t3 ON true) ON t1.a = t2.a AND t1.a = t3.k
SELECT t1.a, t2.a, t3.k FROM t1 LEFT JOIN t2 ON t1.a = t2.a LEFT JOIN t3 ON t2.a = t3.k
SELECT t1.a, t2.a, t3.k FROM t1 FULL JOIN t2 ON t1.a = t2.a LEFT JOIN t3 ON t2.a = t3.k
SELECT t1.a, t2.a, t3.k FROM t1 FULL JOIN t2 ON t1.a = t2.a FULL JOIN t3 ON t2.a = t3.k
SELECT t1.a, t2.a, t3.k FROM t1 FULL JOIN t2 USING (a) FULL JOIN t3 ON a = t3.k
SELECT a, count(*) FROM t1 FULL JOIN t2 USING (a) GROUP BY a
SELECT * FROM t1 NATURAL JOIN t2
SELECT * FROM t1 NATURAL FULL JOIN t2
SELECT DISTINCT a FROM t1 WHERE a = 3 UNION ALL SELECT r FROM ref1
SELECT a FROM t1 UNION ALL SELECT r FROM ref1
SELECT a FROM t1 WHERE a = 3 UNION SELECT r FROM ref1
SELECT count(*) FROM (SELECT a FROM t1 WHERE a = 3 UNION SELECT r FROM ref1) x
VALUES (1, 2), (3, (SELECT count(*)::int FROM t1))
SELECT * FROM (VALUES (1), ((SELECT max(a) FROM t1))) v(x) JOIN t2 ON t2.a = x
SELECT a, row_number() OVER (PARTITION BY a ORDER BY b, c, d) FROM t1 WHERE a < 5
SELECT a FROM t1 GROUP BY a ORDER BY count(*) DESC, a LIMIT 3
SELECT a, max(b) FROM t1 GROUP BY a HAVING max(b) = (SELECT max(b) FROM t1)
SELECT c, max(b) FROM t1 GROUP BY c HAVING max(b) = (SELECT max(b) FROM t1)
SELECT c, max(b) FILTER (WHERE a IN (SELECT a FROM t2)) FROM t1 GROUP BY c
SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM t2 WHERE t2.a = t1.a)) FROM t1
SELECT sum((SELECT count(*) FROM t2 WHERE t2.a = t1.a)) FROM t1
SELECT sum((SELECT count(*) FROM t2 WHERE t2.b = t1.b)) FROM t1
SELECT a, sum((SELECT count(*) FROM t2 WHERE t2.b = t1.b)) FROM t1 GROUP BY a
SELECT b, lag(b) OVER (ORDER BY a, b, c, d), (SELECT count(*) FROM t2 WHERE t2.a = t1.a) FROM t1
SELECT pg_typeof(a), pg_typeof(count(*)) FROM t1 GROUP BY a
SELECT NULL FROM t1
SELECT 'x' FROM t1 UNION SELECT 'y'
SELECT 'x' AS q, NULL AS w FROM t1 WHERE a = 3
SELECT $1, a FROM t1 <- 5
SELECT $1::text || c FROM t1 WHERE a = $2::int <- q, 3
SELECT a FROM t1 WHERE a = $1 OR $1 IS NULL <- NULL
SELECT a FROM t1 WHERE a = coalesce($1::int, 3) <- NULL
SELECT now() = now(), a FROM t1
SELECT a FROM t1 WHERE now() > '2020-01-01'
SELECT * FROM v_now WHERE NOT late
SELECT current_user = 'postgres', a FROM t1
SELECT t2.tableoid::regclass::text, t1.a FROM t1 LEFT JOIN t2 USING (a)
SELECT t2.tableoid::regclass::text, t1.a FROM t1 LEFT JOIN t2 USING (b)
SELECT * FROM (SELECT a, b FROM t1 ORDER BY b, a) x WHERE a > 3 -- order by here
SELECT array_agg(b), c FROM (SELECT c, b FROM t1 ORDER BY b) x GROUP BY c
WITH w AS (SELECT b FROM t1 ORDER BY b) SELECT array_agg(b) FROM w
SELECT count(*) FROM (SELECT a FROM t1 ORDER BY b) x
SELECT k FROM s1 UNION SELECT k FROM s2 LIMIT (SELECT 100 + count(*) FROM t1)
SELECT k FROM s1 WHERE k = 'a' UNION SELECT k FROM s2 WHERE k = 'a' LIMIT (SELECT count(*) FROM t1)
SELECT count(*) FROM (SELECT DISTINCT k::bpchar FROM s1) x
SELECT count(*) FROM s1 GROUP BY k::bpchar
SELECT a FROM t1 WHERE a = 3 AND b::numeric(8,1) = 4.06::numeric(8,1)
SELECT b FROM t1 WHERE a = 3 AND d::numeric(3,0) > 0.4::numeric(3,0)
SELECT c FROM t1 WHERE a = 3 AND (c || 'xyz')::varchar(2) = 'ax'
SELECT c FROM t1 WHERE a = 3 AND c::char(3) = 'a'
SELECT a FROM t1 WHERE a = 3 AND extract(day FROM '2024-01-03'::date + b) > 1
SELECT k FROM t3 WHERE k = 3 AND extract(day FROM g) > 1 AND g::timestamp(0) > '2020-01-01'::timestamp(0)
SELECT k FROM t3 WHERE k = 3 AND (g, interval '1 day') OVERLAPS ('2024-01-01'::date, interval '10 days')
SELECT k FROM t3 WHERE k = 3 AND g AT TIME ZONE 'UTC' > '2020-01-01'
SELECT c FROM t1 WHERE a = 3 AND overlay(c placing 'x' from 1 for 1) = 'x' AND position('a' in c) = 1 AND substring(c from 1 for 1) = 'a'
SELECT c FROM t1 WHERE a = 3 AND trim(both 'x' from c) = 'a' AND c IS NFC NORMALIZED AND normalize(c, NFC) = c
SELECT c FROM t1 WHERE a = 3 AND c SIMILAR TO 'a|b' AND c LIKE 'a%' ESCAPE '!'
SELECT f FROM t2 WHERE a = 3 AND f[1:2] = ARRAY[1, 2]::int[] OR a = 3 AND f::numeric(3,0)[] = ARRAY[1.4]::numeric(3,0)[]
SELECT a FROM t2 WHERE a = 3 AND e IN ('ok', 'sad') AND CASE e WHEN 'ok' THEN 1 ELSE 2 END = 1
SELECT a FROM t1 WHERE a = 3 AND (b, c) = (5, 'a') OR a = 3 AND ROW(b, 'x') IS NOT NULL
SELECT a FROM t1 WHERE a = 3 AND xmlexists('//a' PASSING '<a/>'::xml)
-- a moved subquery that is worked out here runs as a whole on another node, which then is the sender
SELECT q1.c14 AS c29 FROM (SELECT 5 AS c14, (SELECT ARRAY[2] FROM r1 t15 ORDER BY 1 LIMIT 1) AS c13 FROM (VALUES (5, 'c'::text), (2, 'cc'::text)) v2(a, c) JOIN t3 ON t3.k = v2.a LEFT JOIN LATERAL (SELECT t6.a AS c7 FROM s2 t5 FULL JOIN v_agg t6 ON t5.n = t6.m WHERE t6.n >= t6.n) q4 ON q4.c7 = v2.a FULL JOIN one t10 ON v2.a = t10.a) q1 RIGHT JOIN t2 t27 ON t27.b = q1.c14 WHERE t27.a = 3
-- a key that is grouped by but not returned, in a set operation
SELECT max(b) FROM t1 GROUP BY a INTERSECT SELECT max(b) FROM t2 GROUP BY a
SELECT max(b), min(b) FROM t1 GROUP BY a EXCEPT SELECT b, b FROM t3 JOIN t2 ON t3.k = t2.a
-- whole rows of subqueries that are moved
SELECT q2::text AS c9, t1.a FROM r1 t1 CROSS JOIN (SELECT ('2024-01-08'::date + 1) AS c6, t5.c AS c7 FROM v_now t3, t1 t5) q2
SELECT row_to_json(q2)::text, q2.c7 FROM t2 LEFT JOIN (SELECT t3.k, t5.b, t5.c AS c7, t5.d FROM t3 JOIN t1 t5 ON t5.b = t3.v) q2 ON q2.b = t2.b
-- a condition that core adds to a part beside those that tie its tables together
SELECT * FROM (SELECT t1.a, t2.f, u2.w FROM t1, t2, u2 WHERE t1.a = t2.a AND u2.x = t1.b AND u2.y = 'a') q LEFT JOIN s1 ON s1.n = q.w WHERE q.a IS DISTINCT FROM 4 AND plus(q.a, 1) > 3
-- a subquery whose column that ties it to one shard is not needed
SELECT count(*) FROM r1 LEFT JOIN (SELECT v.a, (SELECT max(b) FROM mono) FROM (VALUES (1), (2)) v(a) OFFSET 0) q ON true
SELECT count(c) FROM r1, (WITH w AS MATERIALIZED (SELECT mono.a, v FROM mono LEFT JOIN t3 ON t3.k = mono.a) SELECT (SELECT max(v) FROM w) AS c, q.n FROM (SELECT max(a) AS n FROM t2) q LEFT JOIN t1 ON t1.c = 'a') s
SELECT count(*) FROM r1 FULL JOIN s1 ON s1.n = r1.a, (WITH w AS MATERIALIZED (SELECT mono.a, v FROM mono LEFT JOIN t3 ON t3.k = mono.a) SELECT (SELECT max(v) FROM w) AS c, q.n FROM (SELECT max(a) AS n FROM t2) q LEFT JOIN t1 ON t1.c = 'a') s
SELECT q1.c14::numeric(8,1) AS c44 FROM (WITH w2 AS (SELECT (t4.a IN (4, 6)) AS c7, nullif(t3.c, 'c'::text) AS c8, CASE WHEN ('2024-01-02'::date < '2024-01-02'::date) THEN 7::bigint ELSE 0::bigint END AS c9, (ARRAY[0, 4, 4] || t5.x) AS c10 FROM one t3 JOIN t1 t4 ON t4.a = t3.a JOIN u2 t5 ON t5.x = t4.a FULL JOIN generate_series(1, 3) f6(a) ON t4.b = f6.a WHERE t3.c IS NULL) (SELECT CASE WHEN (3::bigint BETWEEN 2::bigint AND 6::bigint) THEN t11.n ELSE t11.n END AS c12, t11.n AS c13, extract(day FROM '2024-01-05'::date)::int AS c14, ('ok'::mood BETWEEN 'ok'::mood AND 'happy'::mood) AS c15 FROM v_barrier t11) EXCEPT SELECT extract(day FROM '2024-01-03'::date)::int AS c18, CASE WHEN 3 IS NULL THEN 4 ELSE 4 END AS c19, (5 - 5) AS c20, t16.c7 AS c21 FROM w2 t16 JOIN s2 t17 ON t17.n = t16.c9 AND ('2024-01-02'::date = '2024-01-08'::date) AND '2024-01-03'::date IS NOT NULL WHERE (t16.c8 IN ('a'::text, 'B'::text, 'a'::text))) q1 FULL JOIN r1 t22 ON q1.c13 = t22.a, (WITH w24 AS MATERIALIZED (SELECT bool_or(('a'::text = 'B'::text)) FILTER (WHERE (t26.a = f25.a)) AS c27, array_agg(f25.a ORDER BY f25.a) AS c28 FROM numbers(3) f25(a) LEFT JOIN r1 t26 ON t26.a = f25.a AND 'sad'::mood IS NOT NULL WHERE (t26.b >= t26.b) GROUP BY f25.a HAVING count(*) >= 8), w29 AS MATERIALIZED (SELECT DISTINCT t32.g AS c33, t32.c AS c34, (5.5 + 1.5) AS c35, plus(1, 1) AS c36 FROM w24 t30 FULL JOIN mono t31 ON true RIGHT JOIN t3 t32 ON t32.k = t31.a AND t32.c IS NULL AND (t31.a < t32.v)) SELECT (SELECT t43.c36 FROM w29 t43 WHERE t43.c34 = q37.c39 AND (t43.c33 = t43.c33) ORDER BY 1 LIMIT 1) AS c42 FROM (SELECT max('c'::text) AS c39, grouping(t38.a)::numeric AS c40 FROM t2 t38 GROUP BY CUBE (t38.a)) q37 LEFT JOIN t1 t41 ON t41.c = q37.c39 AND (t41.c LIKE '%b%')) q23
-- constants in the condition of a full join, on the node that has the only shard
SELECT q1.b, q2.c FROM (SELECT one.b FROM one JOIN ref1 ON t = c WHERE one.a = 6) q1 FULL JOIN t1 q2 ON true
SELECT q1.b, q2.k FROM (SELECT b, a FROM one WHERE a < 6) q1 FULL JOIN s1 q2 ON n = b AND 1 = 1
SET plan_cache_mode = force_generic_plan;; SELECT q1.b, q2.c FROM (SELECT one.b FROM one JOIN ref1 ON t = c WHERE one.a = 6) q1 FULL JOIN t1 q2 ON true;; SELECT q1.b, q2.k FROM (SELECT b, a FROM one WHERE a < 6) q1 FULL JOIN s1 q2 ON n = b AND 1 = 1
-- a step that is compared with a subquery's rows
SELECT t19.a FROM ref2 t19 CROSS JOIN LATERAL (SELECT t19.e FROM u1 FULL JOIN r1 ON u1.z = r1.b WHERE u1.c = u1.c) q WHERE (SELECT c FROM t1 ORDER BY 1 LIMIT 1) IN (SELECT loc.c FROM loc WHERE loc.a = t19.a)
SELECT u1.x, r1.g FROM u1 FULL JOIN r1 ON u1.z = r1.b WHERE (SELECT c FROM t1 ORDER BY 1 LIMIT 1) IN (SELECT ref1.t FROM ref1 WHERE ref1.r = u1.x)
-- whole rows of views where an outer join has none
SELECT t1.a, v FROM t1 LEFT JOIN v_agg v ON v.a = t1.a AND v.n > 2 WHERE t1.a < 4
SELECT v, count(*) FROM t1 LEFT JOIN v_agg v ON v.a = t1.a AND v.n > 2 WHERE t1.a < 4 GROUP BY v
SELECT DISTINCT v FROM t1 LEFT JOIN v_owner v ON v.a = t1.a AND v.n > 2 WHERE t1.a < 4
SELECT v, v IS DISTINCT FROM NULL FROM t1 LEFT JOIN v_agg v ON v.a = t1.a AND v.n > 20 WHERE t1.a = 4
SELECT count(t3::text), count(*), array_agg(t3.a ORDER BY t3.a) FROM v_union t2 FULL JOIN v_agg t3 ON t2.a = t3.a
SELECT count(*), count(DISTINCT ctid) FROM t1
SELECT count(*) FROM t1 WHERE ctid IN (SELECT min(ctid) FROM t1 GROUP BY b)
SELECT count(*) FROM t1 x JOIN t1 y ON x.b = y.b AND x.ctid < y.ctid
SELECT count(*) FROM t1 x LEFT JOIN t2 y ON x.b = y.b AND y.ctid = (SELECT max(ctid) FROM t2) WHERE y.ctid IS NULL
