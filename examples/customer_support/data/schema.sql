-- The tables of effects: what agents have done to the world, one row for one effect. `effect_key` is the key the ledger
-- holds for the same effect, so the two can be compared row by row.

CREATE TABLE credits (
    effect_key   TEXT PRIMARY KEY NOT NULL,
    invoice      TEXT NOT NULL REFERENCES invoices (invoice),
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    reason       TEXT NOT NULL,
    made_on      TEXT NOT NULL
) STRICT;

CREATE TABLE cancellations (
    effect_key TEXT PRIMARY KEY NOT NULL,
    line       TEXT NOT NULL UNIQUE REFERENCES lines (line),
    reason     TEXT NOT NULL,
    made_on    TEXT NOT NULL
) STRICT;

CREATE TABLE resets (
    effect_key TEXT PRIMARY KEY NOT NULL,
    login      TEXT NOT NULL REFERENCES logins (login),
    made_on    TEXT NOT NULL
) STRICT;

CREATE TABLE incidents (
    effect_key TEXT PRIMARY KEY NOT NULL,
    area       TEXT NOT NULL REFERENCES areas (area),
    service    TEXT NOT NULL CHECK (service IN ('mobile', 'internet')),
    summary    TEXT NOT NULL,
    made_on    TEXT NOT NULL
) STRICT;

CREATE INDEX credits_by_invoice ON credits (invoice);

-- The books can never owe a customer more than was charged, whatever program writes to them.
CREATE TRIGGER credits_stay_within_the_invoice BEFORE INSERT ON credits
WHEN NEW.amount_cents + (SELECT coalesce(sum(amount_cents), 0) FROM credits WHERE invoice = NEW.invoice)
   > (SELECT sum(amount_cents) FROM invoice_items WHERE invoice = NEW.invoice)
BEGIN SELECT RAISE(ABORT, 'credits would exceed the invoice'); END;

-- Effects are history. INSERT OR REPLACE deletes without firing a DELETE trigger, so an insert over an existing row is
-- refused as well.

CREATE TRIGGER credits_are_final BEFORE UPDATE ON credits
BEGIN SELECT RAISE(ABORT, 'credits are final'); END;
CREATE TRIGGER credits_stay BEFORE DELETE ON credits
BEGIN SELECT RAISE(ABORT, 'credits are final'); END;
CREATE TRIGGER credits_happen_once BEFORE INSERT ON credits
WHEN EXISTS (SELECT 1 FROM credits WHERE effect_key = NEW.effect_key)
BEGIN SELECT RAISE(ABORT, 'credits are final'); END;

CREATE TRIGGER cancellations_are_final BEFORE UPDATE ON cancellations
BEGIN SELECT RAISE(ABORT, 'cancellations are final'); END;
CREATE TRIGGER cancellations_stay BEFORE DELETE ON cancellations
BEGIN SELECT RAISE(ABORT, 'cancellations are final'); END;
CREATE TRIGGER cancellations_happen_once BEFORE INSERT ON cancellations
WHEN EXISTS (SELECT 1 FROM cancellations WHERE effect_key = NEW.effect_key OR line = NEW.line)
BEGIN SELECT RAISE(ABORT, 'cancellations are final'); END;

CREATE TRIGGER resets_are_final BEFORE UPDATE ON resets
BEGIN SELECT RAISE(ABORT, 'resets are final'); END;
CREATE TRIGGER resets_stay BEFORE DELETE ON resets
BEGIN SELECT RAISE(ABORT, 'resets are final'); END;
CREATE TRIGGER resets_happen_once BEFORE INSERT ON resets
WHEN EXISTS (SELECT 1 FROM resets WHERE effect_key = NEW.effect_key)
BEGIN SELECT RAISE(ABORT, 'resets are final'); END;

CREATE TRIGGER incidents_are_final BEFORE UPDATE ON incidents
BEGIN SELECT RAISE(ABORT, 'incidents are final'); END;
CREATE TRIGGER incidents_stay BEFORE DELETE ON incidents
BEGIN SELECT RAISE(ABORT, 'incidents are final'); END;
CREATE TRIGGER incidents_happen_once BEFORE INSERT ON incidents
WHEN EXISTS (SELECT 1 FROM incidents WHERE effect_key = NEW.effect_key)
BEGIN SELECT RAISE(ABORT, 'incidents are final'); END;

CREATE TRIGGER a_cancelled_line_never_returns BEFORE UPDATE OF status ON lines
WHEN OLD.status = 'cancelled' AND NEW.status <> 'cancelled'
BEGIN SELECT RAISE(ABORT, 'a cancelled line cannot return'); END;
