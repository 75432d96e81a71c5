-- Orders that a clock which was ahead has put off are looked for every few seconds.
CREATE INDEX file_order_put_off ON file_order (due) WHERE due IS NOT NULL;
