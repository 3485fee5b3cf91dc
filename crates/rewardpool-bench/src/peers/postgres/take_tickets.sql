WITH won AS (
    DELETE FROM ticket WHERE id IN (
        SELECT id FROM ticket ORDER BY id LIMIT @COUNT@ FOR UPDATE SKIP LOCKED)
    RETURNING item)
INSERT INTO log (items) SELECT array_agg(item) FROM won HAVING count(*) > 0
RETURNING request_id, items;
