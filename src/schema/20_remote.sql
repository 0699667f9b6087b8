/* ---- connections to nodes: nothing of its own in SQL, see 80_views.sql ---- */
