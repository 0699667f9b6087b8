-- Rows of TPC-H's tables for a scale factor, :scale.  They follow from the numbers
-- of the rows alone, so every server makes the same ones; they are distributed
-- like the benchmark's (values, correlations and shares that its queries ask
-- about), but are not the same as its own generator's.

-- a number between low and high, for the row and for what it is
CREATE FUNCTION tpch_number(row_number bigint, what int, low bigint, high bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN low + (hashint8extended(row_number, what) & 9223372036854775807) % (high - low + 1);

CREATE FUNCTION tpch_pick(row_number bigint, what int, choices text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN choices[1 + (hashint8extended(row_number, what) & 9223372036854775807) % cardinality(choices)];

CREATE FUNCTION tpch_words(row_number bigint, what int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN tpch_pick(row_number, what, '{carefully,quickly,furiously,slyly,blithely,ruthlessly,express,even}') || ' ' ||
	tpch_pick(row_number, what + 1, '{final,ironic,regular,bold,pending,silent,unusual,special}') || ' ' ||
	tpch_pick(row_number, what + 2, '{deposits,requests,packages,accounts,theodolites,pinto beans,instructions,platelets,foxes,ideas}') || ' ' ||
	tpch_pick(row_number, what + 3, '{sleep,haggle,nag,wake,cajole,detect,integrate,boost}') || ' ' ||
	tpch_pick(row_number, what + 4, '{above,among,across,along,about,beneath,after,against}') || ' the ' ||
	tpch_pick(row_number, what + 5, '{deposits,requests,packages,accounts,theodolites,pinto beans,instructions,platelets,foxes,ideas}');

CREATE FUNCTION tpch_phone(row_number bigint, nation bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 10 + nation || '-' || tpch_number(row_number, 901, 100, 999) || '-' || tpch_number(row_number, 902, 100, 999) ||
	'-' || tpch_number(row_number, 903, 1000, 9999);

-- the i-th (0 to 3) supplier of a part
CREATE FUNCTION tpch_supplier(part bigint, i bigint, suppliers bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (part + i * (suppliers / 4 + (part - 1) / suppliers)) % suppliers + 1;

CREATE FUNCTION tpch_price(part bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (90000 + part / 10 % 20001 + 100 * (part % 1000)) / 100.0;

-- order keys have gaps
CREATE FUNCTION tpch_order_key(n bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (n - 1) / 8 * 32 + (n - 1) % 8 + 1;

-- two thirds of the customers have orders
CREATE FUNCTION tpch_customer(n bigint, customers bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN tpch_number(n, 301, 0, customers / 3 - 1) * 3 + tpch_number(n, 302, 1, 2);

CREATE FUNCTION tpch_order_date(n bigint) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date '1992-01-01' + tpch_number(n, 303, 0, 2405)::int;

SELECT greatest((10000 * :scale)::bigint, 20) AS suppliers, greatest((200000 * :scale)::bigint, 100) AS parts,
	greatest((150000 * :scale)::bigint, 60) AS customers, greatest((1500000 * :scale)::bigint, 200) AS orders \gset

INSERT INTO region SELECT i - 1, ('{AFRICA,AMERICA,ASIA,EUROPE,"MIDDLE EAST"}'::text[])[i], tpch_words(i, 1)
FROM generate_series(1, 5) i;

INSERT INTO nation SELECT i - 1, ('{ALGERIA,ARGENTINA,BRAZIL,CANADA,EGYPT,ETHIOPIA,FRANCE,GERMANY,INDIA,INDONESIA,IRAN,IRAQ,JAPAN,JORDAN,KENYA,MOROCCO,MOZAMBIQUE,PERU,CHINA,ROMANIA,"SAUDI ARABIA",VIETNAM,RUSSIA,"UNITED KINGDOM","UNITED STATES"}'::text[])[i],
	('{0,1,1,1,4,0,3,3,2,2,4,4,2,4,0,0,0,1,2,3,4,2,3,3,1}'::int[])[i], tpch_words(i, 11)
FROM generate_series(1, 25) i;

-- some suppliers' comments tell of complaints
INSERT INTO supplier SELECT i, 'Supplier#' || lpad(i::text, 9, '0'), md5(i::text), tpch_number(i, 101, 0, 24),
	tpch_phone(i, tpch_number(i, 101, 0, 24)), tpch_number(i, 102, -99999, 999999) / 100.0,
	CASE i % 199 WHEN 10 THEN 'sly Customer ' || tpch_words(i, 111) || ' Complaints'
		WHEN 20 THEN 'sly Customer ' || tpch_words(i, 111) || ' Recommends' ELSE tpch_words(i, 111) END
FROM generate_series(1, :suppliers) i;

INSERT INTO part SELECT i,
	(SELECT string_agg(tpch_pick(i * 5 + j, 201, '{almond,antique,aquamarine,azure,beige,bisque,black,blanched,blue,blush,brown,burlywood,burnished,chartreuse,chiffon,chocolate,coral,cornflower,cornsilk,cream,cyan,dark,deep,dim,dodger,drab,firebrick,floral,forest,frosted,gainsboro,ghost,goldenrod,green,grey,honeydew,hot,indian,ivory,khaki,lace,lavender,lawn,lemon,light,lime,linen,magenta,maroon,medium,metallic,midnight,mint,misty,moccasin,navajo,navy,olive,orange,orchid,pale,papaya,peach,peru,pink,plum,powder,puff,purple,red,rose,rosy,royal,saddle,salmon,sandy,seashell,sienna,sky,slate,smoke,snow,spring,steel,tan,thistle,tomato,turquoise,violet,wheat,white,yellow}'), ' ' ORDER BY j)
		FROM generate_series(0, 4) j),
	'Manufacturer#' || tpch_number(i, 202, 1, 5), 'Brand#' || tpch_number(i, 202, 1, 5) || tpch_number(i, 203, 1, 5),
	tpch_pick(i, 204, '{STANDARD,SMALL,MEDIUM,LARGE,ECONOMY,PROMO}') || ' ' ||
		tpch_pick(i, 205, '{ANODIZED,BURNISHED,PLATED,POLISHED,BRUSHED}') || ' ' || tpch_pick(i, 206, '{TIN,NICKEL,BRASS,STEEL,COPPER}'),
	tpch_number(i, 207, 1, 50),
	tpch_pick(i, 208, '{SM,LG,MED,JUMBO,WRAP}') || ' ' || tpch_pick(i, 209, '{CASE,BOX,BAG,JAR,PKG,PACK,CAN,DRUM}'),
	tpch_price(i), tpch_words(i, 211)
FROM generate_series(1, :parts) i;

INSERT INTO partsupp SELECT p, tpch_supplier(p, i, :suppliers), tpch_number(p * 4 + i, 221, 1, 9999),
	tpch_number(p * 4 + i, 222, 100, 100000) / 100.0, tpch_words(p * 4 + i, 223)
FROM generate_series(1, :parts) p, generate_series(0, 3) i;

INSERT INTO customer SELECT i, 'Customer#' || lpad(i::text, 9, '0'), md5(i::text), tpch_number(i, 401, 0, 24),
	tpch_phone(i, tpch_number(i, 401, 0, 24)), tpch_number(i, 402, -99999, 999999) / 100.0,
	tpch_pick(i, 403, '{AUTOMOBILE,BUILDING,FURNITURE,MACHINERY,HOUSEHOLD}'), tpch_words(i, 411)
FROM generate_series(1, :customers) i;

-- the lines of the orders from one number to another
CREATE FUNCTION tpch_lines(first bigint, last bigint, parts bigint, suppliers bigint)
RETURNS TABLE (n bigint, line int, part bigint, supplier bigint, quantity bigint, price numeric, discount numeric, tax numeric, ordered date, shipped date, received date)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT n, line, part, tpch_supplier(part, tpch_number(id, 503, 0, 3), suppliers), quantity, quantity * tpch_price(part),
		tpch_number(id, 504, 0, 10) / 100.0, tpch_number(id, 505, 0, 8) / 100.0,
		ordered, shipped, shipped + tpch_number(id, 507, 1, 30)::int
	FROM (SELECT n, line, id, tpch_order_date(n) AS ordered, tpch_number(id, 501, 1, parts) AS part,
			tpch_number(id, 502, 1, 50) AS quantity, tpch_order_date(n) + tpch_number(id, 506, 1, 121)::int AS shipped
		FROM (SELECT n, line, n * 8 + line AS id
			FROM generate_series(first, last) n, generate_series(1, tpch_number(n, 304, 1, 7)::int) line) i) l;
END;

INSERT INTO orders SELECT tpch_order_key(n), tpch_customer(n, :customers),
	CASE WHEN bool_and(shipped > date '1995-06-17') THEN 'O' WHEN bool_or(shipped > date '1995-06-17') THEN 'P' ELSE 'F' END,
	round(sum(price * (1 + tax) * (1 - discount)), 2), ordered,
	tpch_pick(n, 305, '{1-URGENT,2-HIGH,3-MEDIUM,"4-NOT SPECIFIED",5-LOW}'),
	'Clerk#' || lpad(tpch_number(n, 306, 1, greatest(:suppliers / 10, 1))::text, 9, '0'), 0, tpch_words(n, 311)
FROM tpch_lines(1, :orders, :parts, :suppliers)
GROUP BY n, ordered;

INSERT INTO lineitem SELECT tpch_order_key(n), part, supplier, line, quantity, price, discount, tax,
	CASE WHEN received > date '1995-06-17' THEN 'N' ELSE tpch_pick(n * 8 + line, 508, '{R,A}') END,
	CASE WHEN shipped > date '1995-06-17' THEN 'O' ELSE 'F' END,
	shipped, ordered + tpch_number(n * 8 + line, 509, 30, 90)::int, received,
	tpch_pick(n * 8 + line, 510, '{DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN}'),
	tpch_pick(n * 8 + line, 511, '{REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB}'), tpch_words(n * 8 + line, 521)
FROM tpch_lines(1, :orders, :parts, :suppliers);

DROP FUNCTION tpch_lines, tpch_order_date, tpch_customer, tpch_order_key, tpch_price, tpch_supplier, tpch_phone, tpch_words, tpch_pick, tpch_number;
VACUUM ANALYZE region, nation, supplier, part, partsupp, customer, orders, lineitem;
