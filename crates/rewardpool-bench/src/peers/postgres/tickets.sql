-- The pool as tickets in an order drawn by lot beforehand: a draw takes the first that nobody else is
-- taking. The odds are those of an urn, and a pool is finite.
CREATE TABLE ticket (id bigint PRIMARY KEY, item integer NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
          autovacuum_vacuum_cost_delay = 0);
INSERT INTO ticket
    SELECT row_number() OVER (ORDER BY random()), t.item
    FROM (VALUES @TICKETS@) t (item, units), generate_series(1, t.units);
VACUUM ANALYZE ticket;
