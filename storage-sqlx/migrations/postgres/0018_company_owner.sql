-- The owner's name as a person, which until now was the name of the account.
ALTER TABLE company ADD COLUMN owner_name TEXT NOT NULL DEFAULT '';
UPDATE company SET owner_name = (SELECT name FROM account WHERE account.id = owner_id) WHERE owner_id IS NOT NULL;
