-- The name that the customer knows the cdn by, where it is not the cdn's own.
ALTER TABLE customer_cdn ADD COLUMN alias TEXT;
