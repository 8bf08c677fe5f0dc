"""The functions in the schema of a store.

Some have the names of SQLite's, so that the same statements call them. Those of filters do what
`agentmem_storage.sql.where.filters.Matcher` does in SQLite, by the same rules; JSON is kept as text
(``json``, not ``jsonb``), because a number that is written 1.0 is a float and 1 is not. One case
differs: an integer beyond 2**53 and a float are compared as decimals, of which the float is the
shortest that is written so.
"""

from __future__ import annotations

from typing import Final

# Invisible characters: Unicode's Default_Ignorable_Code_Point.
_IGNORABLE: Final = (
    r"\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)

FUNCTIONS: Final = (
    """
    CREATE FUNCTION json_each(listed text) RETURNS TABLE (value bigint)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CAST(one.value AS bigint)
        FROM json_array_elements_text(CAST(listed AS json)) AS one
    $$
    """,
    """
    CREATE FUNCTION hex(given bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT upper(encode(coalesce(given, ''), 'hex'))
    $$
    """,
    # How many times words stand in a row in a text.
    """
    CREATE FUNCTION agentmem_occurrences(terms tsvector, words text[]) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT count(*) FROM (
            SELECT 1
            FROM unnest(words) WITH ORDINALITY AS wanted (word, number)
            JOIN unnest(terms) AS held ON held.lexeme = wanted.word
            CROSS JOIN LATERAL unnest(held.positions) AS place
            GROUP BY place - wanted.number
            HAVING count(*) = cardinality(words)
        ) AS found
    $$
    """,
    """
    CREATE FUNCTION agentmem_note_ids() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO ids_given (name, seq)
        SELECT TG_TABLE_NAME, max(id) FROM added HAVING count(*) > 0
        ON CONFLICT (name) DO UPDATE SET seq = greatest(ids_given.seq, excluded.seq);
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION agentmem_note_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO ids_given (name, seq)
        SELECT TG_TABLE_NAME, max(seq) FROM added HAVING count(*) > 0
        ON CONFLICT (name) DO UPDATE SET seq = greatest(ids_given.seq, excluded.seq);
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION agentmem_count_added() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE totals SET chunks = totals.chunks + (SELECT count(*) FROM added);
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION agentmem_count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE totals SET chunks = totals.chunks - (SELECT count(*) FROM deleted);
        RETURN NULL;
    END $$
    """,
    rf"""
    CREATE FUNCTION agentmem_composed(given text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT CASE
            WHEN octet_length(given) = char_length(given) THEN given
            ELSE normalize(regexp_replace(given, '[{_IGNORABLE}]', '', 'g'), NFKC)
        END
    $$
    """,
    # -1, 0 or 1.
    r"""
    CREATE FUNCTION agentmem_number_order(one text, other text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        floats boolean := one ~ '[.eE]' OR other ~ '[.eE]';
        limits CONSTANT numeric := 9007199254740992;
    BEGIN
        IF floats AND (one ~ '[.eE]' OR abs(CAST(one AS numeric)) <= limits)
                AND (other ~ '[.eE]' OR abs(CAST(other AS numeric)) <= limits) THEN
            RETURN CASE
                WHEN CAST(one AS double precision) < CAST(other AS double precision) THEN -1
                WHEN CAST(one AS double precision) > CAST(other AS double precision) THEN 1
                ELSE 0 END;
        END IF;
        RETURN CAST(sign(CAST(one AS numeric) - CAST(other AS numeric)) AS integer);
    END $$
    """,
    # Whether two values are the same; objects and lists never are.
    """
    CREATE FUNCTION agentmem_same(held json, wanted json) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        kind text := json_typeof(held);
    BEGIN
        IF kind <> json_typeof(wanted) THEN
            RETURN false;
        END IF;
        RETURN CASE kind
            WHEN 'string' THEN
                agentmem_composed(held #>> '{}') = agentmem_composed(wanted #>> '{}')
            WHEN 'number' THEN agentmem_number_order(held #>> '{}', wanted #>> '{}') = 0
            WHEN 'boolean' THEN held #>> '{}' = wanted #>> '{}'
            WHEN 'null' THEN true
            ELSE false END;
    END $$
    """,
    # The name of a key as it is written in an object: the same one, or one that reads the same.
    """
    CREATE FUNCTION agentmem_key(node json, name text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        wanted text := agentmem_composed(name);
        key text;
        alike text;
    BEGIN
        FOR key IN SELECT json_object_keys(node) LOOP
            IF key = name THEN
                RETURN key;
            END IF;
            IF alike IS NULL AND agentmem_composed(key) = wanted THEN
                alike := key;
            END IF;
        END LOOP;
        RETURN alike;
    END $$
    """,
    # The value at a path, in which a dot descends unless the key itself has it; NULL if none is.
    """
    CREATE FUNCTION agentmem_look_up(node json, path text) RETURNS json
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        key text;
        dot integer;
    BEGIN
        LOOP
            IF json_typeof(node) <> 'object' THEN
                RETURN NULL;
            END IF;
            key := agentmem_key(node, path);
            IF key IS NOT NULL THEN
                RETURN node -> key;
            END IF;
            dot := strpos(path, '.');
            IF dot = 0 THEN
                RETURN NULL;
            END IF;
            key := agentmem_key(node, left(path, dot - 1));
            IF key IS NULL THEN
                RETURN NULL;
            END IF;
            node := node -> key;
            path := substr(path, dot + 1);
        END LOOP;
    END $$
    """,
    # The value fulfils one test; all but "exists" need one.
    """
    CREATE FUNCTION agentmem_holds(held json, op text, wanted json) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        kind text := json_typeof(held);
        placed integer;
    BEGIN
        IF op IN ('eq', 'ne') THEN
            RETURN agentmem_same(held, wanted) = (op = 'eq');
        ELSIF op IN ('in', 'not_in') THEN
            RETURN EXISTS (
                SELECT 1 FROM json_array_elements(wanted) AS one
                WHERE agentmem_same(held, one.value)
            ) = (op = 'in');
        ELSIF op = 'contains' THEN
            IF kind = 'array' THEN
                RETURN EXISTS (
                    SELECT 1 FROM json_array_elements(held) AS one
                    WHERE agentmem_same(one.value, wanted)
                );
            END IF;
            RETURN kind = 'string' AND json_typeof(wanted) = 'string' AND strpos(
                agentmem_composed(held #>> '{}'), agentmem_composed(wanted #>> '{}')
            ) > 0;
        END IF;
        IF kind <> json_typeof(wanted) THEN
            RETURN false;
        ELSIF kind = 'number' THEN
            placed := agentmem_number_order(held #>> '{}', wanted #>> '{}');
        ELSIF kind = 'string' THEN
            placed := CASE
                WHEN agentmem_composed(held #>> '{}') COLLATE "C"
                    < agentmem_composed(wanted #>> '{}') COLLATE "C" THEN -1
                WHEN agentmem_composed(held #>> '{}') = agentmem_composed(wanted #>> '{}') THEN 0
                ELSE 1 END;
        ELSE
            RETURN false;
        END IF;
        RETURN CASE op
            WHEN 'gt' THEN placed > 0
            WHEN 'gte' THEN placed >= 0
            WHEN 'lt' THEN placed < 0
            WHEN 'lte' THEN placed <= 0 END;
    END $$
    """,
    """
    CREATE FUNCTION agentmem_metadata_matches(metadata bytea, path text, op text, operand text)
    RETURNS integer LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        held json := agentmem_look_up(
            CAST(convert_from(coalesce(metadata, '{}'), 'UTF8') AS json), path
        );
        wanted json := CAST(operand AS json);
    BEGIN
        IF op = 'exists' THEN
            RETURN CAST((held IS NOT NULL) = CAST(operand AS boolean) AS integer);
        END IF;
        RETURN CAST(held IS NOT NULL AND agentmem_holds(held, op, wanted) AS integer);
    END $$
    """,
)
