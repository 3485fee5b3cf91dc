-- A pool in tables. What never changes stands apart from what does: `item` is found by an index that
-- is never written again, and a row of `stock` has a page for itself, so that its versions are pruned
-- in place. An item is chosen by its place in the running total of the weights.
CREATE TABLE item (
    id integer NOT NULL,
    weight bigint NOT NULL,
    upto bigint PRIMARY KEY,
    is_limited boolean NOT NULL
);
CREATE TABLE stock (
    id integer PRIMARY KEY,
    granted bigint NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 0)
) WITH (fillfactor = 10);

-- The log: a row for each request, its draws in order; 0 is an empty one.
CREATE SEQUENCE request;
CREATE TABLE log (request_id bigint NOT NULL DEFAULT nextval('request'), items integer[] NOT NULL);

-- An item by weight among what is available now, by a look at every item; 0 when there is none.
CREATE FUNCTION choose_available() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    point bigint;
BEGIN
    SELECT sum(i.weight) INTO total FROM item i LEFT JOIN stock s USING (id)
        WHERE s.id IS NULL OR s.quantity > 0;
    IF coalesce(total, 0) = 0 THEN RETURN 0; END IF;
    point := floor(random() * total);
    RETURN coalesce((
        SELECT a.id FROM (
            SELECT i.id, sum(i.weight) OVER (ORDER BY i.id) AS upto
            FROM item i LEFT JOIN stock s USING (id) WHERE s.id IS NULL OR s.quantity > 0
        ) a WHERE a.upto > point ORDER BY a.upto LIMIT 1), -1);
END $$;

-- Takes one unit of an item chosen by weight. A row lock keeps others from the same item until the
-- end of the transaction. An item that is sold out is chosen again: the odds among the others stay.
CREATE FUNCTION take_one() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    chosen integer;
    limited boolean;
    point bigint;
    tries integer := 0;
BEGIN
    LOOP
        IF tries < 20 THEN
            point := floor(random() * @TOTAL@);
            SELECT id, is_limited INTO chosen, limited FROM item WHERE upto > point
                ORDER BY upto LIMIT 1;
        ELSE
            chosen := choose_available();
            IF chosen = 0 THEN RETURN 0; END IF;
            limited := chosen < 0 OR EXISTS (SELECT FROM stock WHERE id = chosen);
        END IF;
        IF NOT limited THEN RETURN chosen; END IF;
        UPDATE stock SET quantity = quantity - 1 WHERE id = chosen AND quantity > 0;
        IF FOUND THEN RETURN chosen; END IF;
        tries := tries + 1;
    END LOOP;
END $$;

CREATE FUNCTION draw_one(OUT request bigint, OUT won integer) LANGUAGE plpgsql AS $$
DECLARE
    limited boolean;
    point bigint := floor(random() * @TOTAL@);
BEGIN
    SELECT id, is_limited INTO won, limited FROM item WHERE upto > point ORDER BY upto LIMIT 1;
    IF limited THEN
        UPDATE stock SET quantity = quantity - 1 WHERE id = won AND quantity > 0;
        IF NOT FOUND THEN won := take_one(); END IF;
    END IF;
    INSERT INTO log (items) VALUES (ARRAY[won]) RETURNING request_id INTO request;
END $$;

-- Many draws in one transaction: chosen together, locked in the order of their ids (so that two of
-- them cannot wait for each other), taken by one update. When an item has too few units, the locks
-- are given up, and with every item locked in order the draws are made one by one.
CREATE FUNCTION draw_many(count integer, OUT request bigint, OUT won integer[]) LANGUAGE plpgsql AS $$
BEGIN
    won := ARRAY(
        SELECT (SELECT id FROM item WHERE upto > floor(g.r * @TOTAL@)::bigint ORDER BY upto LIMIT 1)
        FROM (SELECT random() AS r FROM generate_series(1, count)) g);
    BEGIN
        PERFORM FROM stock WHERE id = ANY (won) ORDER BY id FOR UPDATE;
        IF EXISTS (
            SELECT FROM (SELECT t.id, count(*) AS n FROM unnest(won) t (id) GROUP BY t.id) t
            JOIN stock s USING (id) WHERE s.quantity < t.n)
        THEN
            RAISE EXCEPTION 'too few units' USING ERRCODE = 'P0S01';
        END IF;
        UPDATE stock s SET quantity = s.quantity - t.n
        FROM (SELECT t.id, count(*) AS n FROM unnest(won) t (id) GROUP BY t.id) t
        WHERE s.id = t.id;
    EXCEPTION WHEN SQLSTATE 'P0S01' THEN
        PERFORM FROM stock ORDER BY id FOR UPDATE;
        won := ARRAY[]::integer[];
        FOR place IN 1..count LOOP
            won := won || take_one();
        END LOOP;
    END;
    INSERT INTO log (items) VALUES (won) RETURNING request_id INTO request;
END $$;
