-- Orders and what is in them by order, parts and who has them by part.
SELECT shoal.create_reference_table('region');
SELECT shoal.create_reference_table('nation');
SELECT shoal.create_distributed_table('orders', 'o_orderkey');
SELECT shoal.create_distributed_table('lineitem', 'l_orderkey', colocate_with => 'orders');
SELECT shoal.create_distributed_table('customer', 'c_custkey', colocate_with => 'none');
SELECT shoal.create_distributed_table('supplier', 's_suppkey', colocate_with => 'none');
SELECT shoal.create_distributed_table('part', 'p_partkey', colocate_with => 'none');
SELECT shoal.create_distributed_table('partsupp', 'ps_partkey', colocate_with => 'part');
